// Max-min fair sharing of links, held up to date as flows come and go.
//
// Flows over one route are a class: they have one rate. A class is held down by one link, its
// bottleneck, and all classes that a link holds have one rate, the link's level. So the link's
// clock counts the bytes served to each of them, and a flow ends when the clock reaches its tag:
// a change of level is O(1) whatever the link holds.
//
// fair.cpp keeps the classes and their flows, holding.cpp which link holds which class,
// repair.cpp mends the levels after a small change, filling.cpp computes all of them anew.
#pragma once

#include <stddef.h>

#include <cstdint>
#include <vector>

#include "agenda.hpp"
#include "heap.hpp"
#include "routes.hpp"

namespace simnet {

class Fair {
 public:
  explicit Fair(std::vector<double> capacity);

  // The number of a route, for `enter`.
  uint32_t add_route(const Hops& given);
  void announce_route(const Hops& given) const { routes_.announce(given); }
  void expect_routes(size_t count, size_t hops) { routes_.expect(count, hops); }
  void count_bytes(uint32_t route, int64_t bytes) { routes_.count_bytes(route, bytes); }
  const Routes& routes() const { return routes_; }

  // Let `size` > 0 bytes of a flow begin to drain; `leg` is handed back when they have.
  void enter(uint32_t route, double size, uint32_t leg, double time);

  // When the next flow ends; infinity where none is active.
  double next_finish() const {
    const double alone = alone_.time(), shared = finishes_.least();
    return alone < shared ? alone : shared;
  }

  // Take out the flows that end at or before `time`; appends their legs.
  void pop_finished(double time, std::vector<uint32_t>& legs);

  // Share anew whatever the flows that came and went since the last call have changed.
  void settle(double time) {
    if (!changed_.empty()) settle_changed(time);
  }

  // Add what every route has counted to `links`, and call `under_way(route, leg, left)` for each
  // active flow.
  template <class F>
  void carried(double time, int64_t* links, size_t num_links, F under_way) const;


  // What was done so far, for tests and profiles: levels mended, links looked at, fillings.
  uint64_t repairs = 0, looks = 0, fillings = 0;

  // The rate of every active class, with its count of flows and route, for tests.
  struct Active {
    uint32_t route, count;
    double rate;
  };
  std::vector<Active> active() const;

 private:
  struct Flow {
    double tag;  // bytes served to its class when it ends
    uint32_t leg;
  };
  // A class on a link, and which of its hops the link is.
  struct User {
    uint32_t slot, hop;
  };
  // A link of a class.
  struct Share {
    double flows;          // as which the class counts there
    uint32_t link, place;  // where it stands among the link's users
  };
  // The flows over one route. Slots are used again, so that those in use lie close together.
  struct alignas(64) Class {
    double offset = 0.0;  // the clock of the link that holds it, less the bytes served to it
    double since = 0.0;   // when its flow began, while it is alone
    double bound = INF;   // rate of a flow that is alone
    double tag = 0.0;     // of its flow, where there is just one
    uint32_t leg = 0;
    uint32_t many = NONE;  // its heap of flows, where there are more
    uint32_t count = 0;    // its flows; zero: idle
    uint32_t counted = 0;  // as so many the links count it; zero: they do not
    uint32_t node = NONE;  // of `alone_`, while it is alone and active
    uint32_t route = NONE;
    uint32_t place = 0;    // among the classes that its link holds
    uint16_t hops = 0;
    bool alone = false;  // no other class is on any of its links, and they do not count it
    bool changed = false;
  };
  struct alignas(64) Link {
    double capacity = 0.0;
    double level = INF;    // rate of the classes that it holds; infinite where there are none
    double held = 0.0;     // flows that it holds
    double outside = 0.0;  // bytes/s of the classes on it that others hold
    double top = 0.0;      // no less than the rate of any of these
    double rounding = 0.0;   // sum of `outside` over its changes since it was summed
    uint32_t outsiders = 0;  // how many these are
    bool waiting = false;    // to be looked at
  };
  // A class that a link holds, and the clock's reading when its next flow ends.
  struct Due {
    double tag;
    uint32_t slot;
  };
  // Of a link: bytes served to every flow that it holds, up to `since`.
  struct Clock {
    double served = 0.0, since = 0.0;
    double begun = 0.0;  // when it stood at zero
    std::vector<Due> due;  // a heap, least tag first
    bool stirred = false;  // its level or its first tag has changed
  };
  // A class that may be held by another link, in `take_over`.
  struct Outsider {
    double rate, flows;
    uint32_t slot;
  };
  // A link while all rates rise together, in `fill`.
  struct Filling {
    double residual;  // bytes/s not given away yet
    double open;      // flows on it without a rate
    double used;      // flows on it that get one in this round
  };
  struct Level {
    double time;  // a level, under the name that the heap sorts by
    uint32_t link;
  };

  // fair.cpp
  uint32_t open_class(uint32_t route, double time);
  uint32_t new_slot(uint32_t route);
  void widen(uint32_t hops);
  void close_class(uint32_t slot);
  void attach(uint32_t slot, double time);
  void detach(uint32_t slot);
  void meet(uint32_t slot, double time);
  void drop_stale();
  void settle_changed(double time);
  void add_flow(Class& one, Flow flow);
  Flow pop_flow(Class& one);
  double first_tag(const Class& one) const;
  double served(uint32_t slot, double time) const;
  void mark_changed(uint32_t slot);
  void pop_due(uint32_t link, double time, std::vector<uint32_t>& legs);

  // holding.cpp
  Share* shares(uint32_t slot) { return shares_.data() + size_t{slot} * stride_; }
  const Share* shares(uint32_t slot) const { return shares_.data() + size_t{slot} * stride_; }
  double reading(uint32_t link, double time) const;
  double finish(uint32_t link, double tag) const;
  void sync(uint32_t link);
  void stir(uint32_t link);
  void hold(uint32_t slot, uint32_t link);
  void let_loose(uint32_t slot);
  void retag(uint32_t slot);
  void sift(std::vector<Due>& due, size_t at, Due one);
  void rewind(uint32_t link);
  void rekey();

  // repair.cpp
  void repair();
  void wake(uint32_t link);
  void let_wait(uint32_t link);
  void look(uint32_t link);
  void list_outsiders(uint32_t link);
  void sum_outside(uint32_t link, size_t count);
  size_t part_outsiders(uint32_t link);
  void take_over(uint32_t link);
  void set_level(uint32_t link, double level);
  void change_level(uint32_t link, double level);
  void resolve();
  void yield(uint32_t slot);
  void move(uint32_t slot, uint32_t to);
  void insert(uint32_t slot);
  void remove(uint32_t slot);
  void recount(uint32_t slot);

  // filling.cpp
  void fill();
  void begin_filling();
  void freeze(double rate);
  void end_filling();

  std::vector<Link> links_;
  std::vector<Clock> clocks_;
  std::vector<std::vector<User>> users_;  // of every link
  Routes routes_;
  std::vector<Class> classes_;
  std::vector<uint32_t> holder_;  // of every class: the link that holds it, or NONE
  std::vector<Share> shares_;     // of every class: its links, `stride_` for each
  size_t stride_ = 0;             // most hops of any class
  std::vector<uint32_t> free_slots_;
  std::vector<std::vector<Flow>> many_;
  std::vector<uint32_t> free_many_;
  Agenda<uint32_t> alone_;  // when the flows of classes that are alone end
  KeyHeap finishes_;        // when the first flow that a link holds ends
  double time_ = 0.0;       // of the present call
  uint32_t counted_ = 0;    // classes that the links count

  std::vector<uint32_t> changed_, stirred_, places_;
  TimeHeap<Level> queue_;        // links that hold classes, to be looked at by ascending level
  std::vector<uint32_t> calm_;   // and those that hold none
  std::vector<uint32_t> conflicts_;
  std::vector<Outsider> outsiders_;
  std::vector<Filling> fillings_;
  std::vector<uint32_t> open_, saturated_, drawn_on_;
  TimeHeap<Level> levels_;
};

template <class F>
void Fair::carried(double time, int64_t* links, size_t num_links, F under_way) const {
  for (uint32_t route = 0; route < routes_.count(); ++route) {
    if (const int64_t bytes = routes_.bytes(route)) {
      for (uint32_t hop = 0; hop < routes_.hops(route); ++hop) {
        const Hop& on = routes_.at(route)[hop];
        if (on.link < num_links) links[on.link] += bytes * on.weight;
      }
    }
    const uint32_t slot = routes_.slot(route);
    if (slot == NONE || !classes_[slot].count) continue;
    const Class& one = classes_[slot];
    const double before = served(slot, time);
    if (one.many == NONE) {
      under_way(route, one.leg, one.tag - before);
    } else {
      for (const Flow& flow : many_[one.many]) under_way(route, flow.leg, flow.tag - before);
    }
  }
}

}  // namespace simnet
