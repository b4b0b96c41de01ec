// Max-min fair sharing of links, held up to date as flows come and go.
//
// Flows over one route are a class: they have one rate, so the class counts the bytes served to
// each of them and a flow ends when that count reaches its tag. A change of rate is O(1) a class.
#pragma once

#include <stddef.h>

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "heap.hpp"

namespace simnet {

class Fair {
 public:
  explicit Fair(std::vector<double> capacity);

  // The class of a route: the same for the same links in the same order.
  uint32_t route_class(const int64_t* links, size_t hops);

  // Let `size` > 0 bytes of a flow begin to drain; `leg` is handed back when they have.
  void enter(uint32_t route, double size, uint32_t leg, double time);

  // When the next flow ends; infinity where none is active.
  double next_finish() const { return finishes_.least(); }

  // Take out the flows that end at or before `time`; appends their legs.
  void pop_finished(double time, std::vector<uint32_t>& legs);

  // Share anew whatever the flows that came and went since the last call have changed.
  void settle(double time);

  // Count bytes that a route has carried.
  void count_bytes(uint32_t route, int64_t bytes) { classes_[route].bytes += bytes; }

  // Add what every class has counted to `links`, and call `under_way(route, leg, left)` for each
  // active flow.
  template <class F>
  void carried(double time, int64_t* links, size_t num_links, F under_way) const;

  size_t hops(uint32_t route) const { return classes_[route].hops; }
  const uint32_t* links(uint32_t route) const { return &route_links_[classes_[route].begin]; }
  size_t num_links() const { return links_.size(); }

  // What the last solves cost, for tests and profiles: calls, rounds of expansion, classes.
  uint64_t solves = 0, expansions = 0, solved_classes = 0;

  // The rate of every active class, with its count of flows and route, for tests.
  struct Active {
    uint32_t route, count;
    double rate;
  };
  std::vector<Active> active() const;

 private:
  struct Flow {
    double tag;
    uint32_t leg;
  };
  struct User {
    uint32_t route, position;
  };
  struct Class {
    double rate = 0.0, served = 0.0, since = 0.0;
    double next = 0.0;    // the rate being solved for; negative while open
    double loaded = 0.0;  // what it adds to the load of each of its links
    Flow only{0.0, 0};    // its flow, where there is just one
    int64_t bytes = 0;
    uint32_t begin = 0, hops = 0, count = 0;
    uint32_t many = NONE;        // its heap of flows, where there are more
    uint32_t bottleneck = NONE;  // the link that holds its rate down
    uint32_t mark = 0;           // of the solve that it is part of
    bool changed = false;
  };
  struct Link {
    double capacity = 0.0;
    double load = 0.0;   // bytes/s of the classes on it that are not being solved for
    double level = 0.0;  // rate of the classes that it holds down
    std::vector<User> users;
    uint32_t members = 0;  // classes that it holds down, but those being solved for
    uint32_t updates = 0;
    bool dirty = false;
    // Of the solve under way:
    uint32_t mark = 0, inside = 0;
    double residual = 0.0, sum = 0.0, top = 0.0, held = 0.0;
    uint64_t open = 0, used = 0;
  };
  struct Level {
    double level;
    uint32_t link;
    bool operator<(const Level& other) const { return level > other.level; }
  };

  void attach(uint32_t route);
  void detach(uint32_t route);
  void sync(Class& one, double time);
  void add_flow(Class& one, Flow flow);
  Flow pop_flow(Class& one);
  const Flow& head(const Class& one) const;
  void mark_changed(uint32_t route);

  bool alone(const Class& one) const;
  void settle_alone(uint32_t route, double time);
  void join(uint32_t route);
  void join_members(uint32_t link);
  void join_closure();
  void join_component();
  void solve();
  void freeze(double rate);
  void find_violators();
  void commit(double time);
  void set_rate(Class& one, double rate, double time);
  double finish(const Class& one) const;
  void refresh_load(Link& link);

  std::vector<Link> links_;
  std::vector<Class> classes_;
  std::vector<uint32_t> route_links_;  // links of every class, one after the other
  std::vector<uint32_t> user_place_;   // where each of these stands among the link's users
  std::unordered_multimap<uint64_t, uint32_t> by_hash_;
  std::vector<std::vector<Flow>> many_;
  std::vector<uint32_t> free_many_;
  KeyHeap finishes_;

  std::vector<uint32_t> changed_, dirty_;
  uint32_t mark_ = 0;
  std::vector<uint32_t> solving_, touched_, violators_;
  std::vector<Level> levels_;
  std::vector<uint32_t> saturated_, drawn_on_;
};

template <class F>
void Fair::carried(double time, int64_t* links, size_t num_links, F under_way) const {
  for (uint32_t route = 0; route < classes_.size(); ++route) {
    const Class& one = classes_[route];
    if (one.bytes) {
      for (uint32_t hop = 0; hop < one.hops; ++hop) {
        const uint32_t link = route_links_[one.begin + hop];
        if (link < num_links) links[link] += one.bytes;
      }
    }
    if (!one.count) continue;
    const double past = time - one.since;
    const double served = one.served + (past > 0.0 ? one.rate * past : 0.0);
    if (one.many == NONE) {
      under_way(route, one.only.leg, one.only.tag - served);
    } else {
      for (const Flow& flow : many_[one.many]) under_way(route, flow.leg, flow.tag - served);
    }
  }
}

}  // namespace simnet
