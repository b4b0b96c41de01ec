// The event loop of the fluid model: the same rules as simnet/engine/reference.py, over arrays.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agenda.hpp"
#include "fair.hpp"
#include "heap.hpp"
#include "program.hpp"

namespace simnet {

struct Round {
  double wait;
  int64_t size;
};

struct Departure {
  uint32_t job, place;
  double time;
};

// What the model asks of the outside.
struct Outside {
  // Delay and rounds of the next message of `size` bytes on a connection that draws.
  std::function<double(uint32_t connection, int64_t size, std::vector<Round>& rounds)> draw;
  // For jobs that meet on a connection at one instant: the place of each in their order.
  std::function<void(const std::vector<uint32_t>& jobs, std::vector<uint32_t>& places)> rank;
};

// How far a transfer has come.
struct Progress {
  double start, end;
  uint32_t holds;  // what must still happen before it may start
};

struct Job {
  std::shared_ptr<const Program> program;
  double posted = 0.0;
  uint32_t released = 0;
  LargeVector<Progress> progress;
  std::vector<int64_t> again;  // bytes retransmitted; empty where none were
  std::vector<uint32_t> open;  // transfers of each place that have not ended
  std::vector<uint8_t> arrived, left;
};

class Model {
 public:
  // `capacity` is of the network's links, then of each rank's reduction (infinite where absent).
  Model(std::vector<double> capacity, size_t links, size_t ranks, Outside outside);

  // `draws`: its delay and rounds are asked for message by message.
  uint32_t add_connection(const Hops& route, double delay, bool draws);
  // Say that one over a route will be added soon.
  void announce_connection(const Hops& route) const { fair_.announce_route(route); }
  // Make room for as many connections more, over as many links in all.
  void expect_connections(size_t count, size_t hops);
  size_t num_connections() const { return connections_.size(); }
  size_t num_ranks() const { return reducers_.size(); }
  size_t num_links() const { return num_links_; }

  uint32_t post(std::shared_ptr<const Program> program, double time);
  // Drop the books of a job that every place has left.
  void forget(uint32_t job);
  size_t num_kept() const { return num_kept_; }  // jobs that are not forgotten
  void arrive(uint32_t job, uint32_t place, double time);
  double next_time() const;

  // Carry out all that happens at `time`, then, while nobody leaves, all instants before
  // `horizon`. Returns who left, all at one instant.
  const std::vector<Departure>& advance(double time, double horizon);

  void carried(double time, int64_t* links) const;
  const Job& job(uint32_t number) const;
  const Fair& fair() const { return fair_; }
  double now() const { return now_; }

 private:
  struct Connection {
    uint32_t route = 0, started = 0;
    uint32_t head = NONE, tail = NONE;  // of the queue
    uint32_t mark = 0;                  // of the launch that it was met in
    bool draws = false;
    double delay = 0.0;
  };
  // A transfer under way, with what is asked of it on the way.
  struct Leg {
    int64_t size;
    uint32_t job, transfer;
    uint32_t connection, route;
    uint32_t round;  // or NONE while reducing
    uint32_t rounds;  // where its drawn rounds are kept, or NONE for one
  };
  struct Queued {
    uint32_t job, transfer, next;
  };
  struct Entry {
    uint32_t what, place;  // leg; job that a place enters; job that is released
  };
  using Ready = uint64_t;  // job, then transfer

  static constexpr uint32_t LEG = NONE, RELEASE = NONE - 1;

  // model.cpp
  Job& kept(uint32_t number) const;
  void carry_out_instant(double time);
  [[noreturn]] void report_stall() const;
  bool carry_out(double time);
  void do_arrive(uint32_t job, uint32_t place, double time);
  void do_release(uint32_t job, double time);
  void plan_release(uint32_t job);
  void let_go(Job& job, uint32_t number, uint32_t transfer);
  void check_progress(double time);

  // queueing.cpp
  void launch(double time);
  bool conflicts();
  void put_in_order();
  void queue(uint32_t job, uint32_t transfer, double time);
  void serve_freed(double time);

  // legs.cpp
  void start(uint32_t job, uint32_t transfer, uint32_t connection, double time);
  double draw(Leg& leg);
  void enter(uint32_t leg, double time);
  void drained(uint32_t leg, double time);
  void delivered(uint32_t leg, double time);
  void ended(uint32_t job, uint32_t transfer, double time);
  void leave(uint32_t job, uint32_t place, double time);
  uint32_t new_leg();
  int64_t bytes_on_wire(const Leg& leg) const;

  Fair fair_;
  Outside outside_;
  size_t num_links_;
  std::vector<uint32_t> reducers_;  // the class of each rank's reduction, NONE where it is free
  std::vector<Connection> connections_;
  std::vector<std::unique_ptr<Job>> jobs_;  // null where forgotten
  size_t num_kept_ = 0;
  std::vector<Leg> legs_;
  std::vector<uint32_t> free_legs_;
  std::vector<Queued> queued_;
  uint32_t free_queued_ = NONE;
  std::vector<std::vector<Round>> rounds_;
  std::vector<uint32_t> free_rounds_;
  Agenda<Entry> agenda_;
  std::vector<Ready> ready_, launching_;
  std::vector<uint32_t> freed_, finished_;
  std::vector<Departure> departures_;
  uint32_t mark_ = 0;
  double now_ = -INF;
  uint64_t idle_ = 0;  // instants in a row at which nothing was due
};

}  // namespace simnet
