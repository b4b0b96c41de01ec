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

// A link of a route, and how many of the flows that one flow stands for cross it: a flow of rate r
// loads it by weight * r and counts as `weight` flows where it is shared.
struct Hop {
  uint32_t link, weight;
};

// A route as it is given.
struct Hops {
  const int64_t *links, *weights;
  size_t count;
};

class Fair {
 public:
  explicit Fair(std::vector<double> capacity);

  // The class of a route: the same for the same links and weights in the same order.
  uint32_t route_class(const Hops& given);

  // Let `size` > 0 bytes of a flow begin to drain; `leg` is handed back when they have.
  void enter(uint32_t route, double size, uint32_t leg, double time);

  // When the next flow ends; infinity where none is active.
  double next_finish() const { return finishes_.least(); }

  // Take out the flows that end at or before `time`; appends their legs.
  void pop_finished(double time, std::vector<uint32_t>& legs);

  // Share anew whatever the flows that came and went since the last call have changed.
  void settle(double time);

  // Count bytes that a route has carried.
  void count_bytes(uint32_t route, int64_t bytes) { routes_[route].bytes += bytes; }

  // Add what every route has counted to `links`, and call `under_way(route, leg, left)` for each
  // active flow.
  template <class F>
  void carried(double time, int64_t* links, size_t num_links, F under_way) const;

  size_t hops(uint32_t route) const { return routes_[route].hops; }
  const Hop* hops_of(uint32_t route) const { return &route_hops_[routes_[route].begin]; }
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
  // A class on a link, and which of its hops the link is.
  struct User {
    uint32_t slot, hop;
  };
  struct Route {
    uint32_t begin, hops;
    uint32_t slot;  // of its class, NONE while no flow is on it
    int64_t bytes;
  };
  // The flows over one route. Slots are used again, so that those in use lie close together.
  struct Class {
    double loaded = 0.0;  // what it adds to the load of each of its links, per unit of weight
    uint32_t count = 0, hops = 0;
    uint32_t bottleneck = NONE;  // the link that holds its rate down
    uint32_t mark = 0;           // of the solve that it is part of
    double rate = 0.0, served = 0.0, since = 0.0;
    Flow only{0.0, 0};     // its flow, where there is just one
    uint32_t many = NONE;  // its heap of flows, where there are more
    uint32_t route = NONE;
    bool changed = false;
  };
  struct Link {
    double capacity = 0.0;
    double load = 0.0;   // bytes/s of the classes on it that are not being solved for
    double level = 0.0;  // rate of the classes that it holds down
    std::vector<User> users;
    uint32_t members = 0;  // classes that it holds down, but those being solved for
    uint32_t updates = 0;
    uint32_t mark = 0;    // of the solve that it is touched by
    uint32_t inside = 0;  // classes on it that are being solved for
    bool dirty = false;
  };
  // Of every link while rates are solved for.
  struct Filling {
    double residual = 0.0;   // bytes/s that the classes outside leave
    double potential = 0.0;  // bytes/s that the classes on it could take if it were alone
    uint32_t narrow = NONE;  // where it stands in `narrow_`, if it may bind
  };
  // A link that may bind, while rates are solved for.
  struct Narrow {
    double residual;      // bytes/s not given away yet
    double open;          // flows on it without a rate
    double used;          // flows on it that get one in this round
    double held;          // the rate at which it holds down any of them, or negative
    uint32_t link;
    uint32_t begin, end;  // its classes, in `crossing_`
  };
  // A narrow link that a class crosses.
  struct Crossed {
    uint32_t narrow;
    double flows;  // as which the class counts there
  };
  struct Level {
    double time;  // a level, under the name that the heap sorts by
    uint32_t narrow;
  };

  bool is_route(uint32_t number, const Hops& given) const;
  uint32_t new_slot(uint32_t route);
  void widen(uint32_t hops);
  const Hop* hops_at(uint32_t slot) const { return &slot_hops_[size_t{slot} * stride_]; }
  uint32_t* places_of(uint32_t slot) { return &slot_places_[size_t{slot} * stride_]; }
  void attach(uint32_t slot);
  void detach(uint32_t slot);
  void sync(Class& one, double time);
  void add_flow(Class& one, Flow flow);
  Flow pop_flow(Class& one);
  const Flow& head(const Class& one) const;
  void mark_changed(uint32_t slot);

  bool alone(uint32_t slot) const;
  void settle_alone(uint32_t slot, double time);
  void join(uint32_t slot);
  void join_members(uint32_t link);
  void join_closure();
  void join_component();
  void solve();
  void choose_narrow();
  void list_crossings();
  size_t freeze(double rate);
  void find_violators();
  void commit(double time);
  void set_rate(Class& one, double rate, double time);
  double finish(const Class& one) const;
  void refresh_load(Link& link);

  std::vector<Link> links_;
  std::vector<Filling> fillings_;
  std::vector<Route> routes_;
  std::vector<Hop> route_hops_;  // of every route, one after the other
  std::vector<Class> classes_;
  std::vector<uint32_t> free_slots_;
  size_t stride_ = 0;                  // most hops of any route
  std::vector<Hop> slot_hops_;         // of every class: its links
  std::vector<uint32_t> slot_places_;  // and where it stands among the users of each
  std::unordered_multimap<uint64_t, uint32_t> by_hash_;
  std::vector<std::vector<Flow>> many_;
  std::vector<uint32_t> free_many_;
  KeyHeap finishes_;

  std::vector<uint32_t> changed_, dirty_;
  uint32_t mark_ = 0;
  std::vector<uint32_t> solving_, touched_, violators_;
  TimeHeap<Level> levels_;
  std::vector<Narrow> narrow_;
  std::vector<uint32_t> crossing_;       // of each narrow link: places in `solving_`
  std::vector<Crossed> crossed_;         // of each place: narrow links
  std::vector<uint32_t> crossed_begin_;
  std::vector<double> next_;  // of each place: the rate that it gets, negative while open
  std::vector<uint32_t> saturated_, drawn_on_;
};

template <class F>
void Fair::carried(double time, int64_t* links, size_t num_links, F under_way) const {
  for (uint32_t number = 0; number < routes_.size(); ++number) {
    const Route& route = routes_[number];
    if (route.bytes) {
      for (uint32_t hop = 0; hop < route.hops; ++hop) {
        const Hop& on = route_hops_[route.begin + hop];
        if (on.link < num_links) links[on.link] += route.bytes * on.weight;
      }
    }
    if (route.slot == NONE) continue;
    const Class& one = classes_[route.slot];
    const double past = time - one.since;
    const double served = one.served + (past > 0.0 ? one.rate * past : 0.0);
    if (one.many == NONE) {
      under_way(number, one.only.leg, one.only.tag - served);
    } else {
      for (const Flow& flow : many_[one.many]) under_way(number, flow.leg, flow.tag - served);
    }
  }
}

}  // namespace simnet
