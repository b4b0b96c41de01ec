// The routes that flows take, each known by a number.
#pragma once

#include <stddef.h>

#include <cstdint>
#include <vector>

#include "heap.hpp"
#include "large.hpp"

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

class Routes {
 public:
  explicit Routes(size_t num_links) : num_links_(num_links) {}

  // The number of a route: the same for the same links and weights in the same order.
  uint32_t number(const Hops& given);

  // Say that a route will be asked for soon, if there is any.
  void announce(const Hops& given) const;

  // Make room for as many routes more, over as many links in all.
  void expect(size_t count, size_t hops) {
    make_room(routes_, count);
    make_room(hops_, hops);
    make_table(routes_.size() + count);
  }

  size_t count() const { return routes_.size(); }
  uint32_t hops(uint32_t route) const { return routes_[route].hops; }
  const Hop* at(uint32_t route) const { return hops_.data() + routes_[route].begin; }
  uint32_t most_hops() const { return most_hops_; }

  // Which class of flows is on it, NONE where none is.
  uint32_t slot(uint32_t route) const { return routes_[route].slot; }
  void set_slot(uint32_t route, uint32_t slot) { routes_[route].slot = slot; }

  // The bytes that flows over it have carried.
  int64_t bytes(uint32_t route) const { return routes_[route].bytes; }
  void count_bytes(uint32_t route, int64_t bytes) { routes_[route].bytes += bytes; }

 private:
  struct Route {
    int64_t bytes;
    uint32_t begin, hops, slot;
  };

  // A place in the table: a number, and the hash of its route.
  struct Entry {
    uint32_t number = NONE, hash = 0;
  };

  bool is(uint32_t number, const Hop* hops, size_t count) const;
  Entry& find(uint32_t hash, const Hop* hops, size_t count);
  void make_table(size_t count);

  size_t num_links_;
  std::vector<Route> routes_;
  std::vector<Hop> given_;  // by the call that is under way
  std::vector<Hop> hops_;   // of every route, one after the other
  LargeVector<Entry> table_;  // of routes by their hash, at most half full
  uint32_t most_hops_ = 0;
};

}  // namespace simnet
