// One pass over a schedule in order of ids: a transfer starts at the latest of what it waits for
// and drains at the rate that it has alone. Exact as long as no link is ever oversubscribed, which
// is checked on the way.
#pragma once

#include <stddef.h>

#include <cstdint>
#include <vector>

#include "heap.hpp"
#include "numbering.hpp"

namespace simnet {

// A link that is fuller by less, relatively, is full.
constexpr double ROUNDING = 1e-13;
// What drains in no more than this share of the time that it is, a few thousand spacings of double,
// is told by the clock too coarsely to tell who shares: that is left to the events.
constexpr double UNRESOLVED = 1e-12;

// How far two transfers that touch may overlap by rounding, seconds: the sums that lead to the end
// of the one and the beginning of the other round apart. A few spacings of double at `time`, or
// more where that is nothing to the shortest transfer, which otherwise might pass unseen.
inline double rounding_at(double time, double shortest) {
  const double few = 1e-15 * time, more = 1e-10 * shortest, most = ROUNDING * time;
  const double least = few < more ? more : few;
  return least < most ? least : most;
}

// Consecutive transfers of a schedule that come `times` times, one copy after the other; offsets of
// deps count from this block's first.
struct TransferBlock {
  size_t count, times, num_sizes, num_deps;
  const int64_t *src, *dst;  // places in the group; equal for a join
  const int64_t *size, *channel;  // num_sizes sizes: of one copy for all of them, or of every copy
  const uint8_t* reduces;
  const int64_t *dep_offsets, *deps;
  const double* release;  // absolute seconds; or null
  int64_t shift = 0;      // how far the deps of this copy are behind those of the first

  void go_to_next() {
    shift += static_cast<int64_t>(count);
    if (num_sizes > count) size += count;
  }
};

// What the pass runs over; the arrays outlive it.
struct MaxPlusInput {
  std::vector<double> capacity;  // bytes/s of the links, then of the ranks' local reduction
  size_t links;
  std::vector<uint32_t> ranks;   // the network's rank of each place
  std::vector<double> arrival;   // of each place, absolute seconds
  uint32_t in_flight;            // of one connection; 0 for any number
  size_t transfers;
  double* end;                   // filled; one entry a transfer
  double* start;                 // likewise; or null, but not where a sweep may follow
};

class MaxPlus {
 public:
  explicit MaxPlus(MaxPlusInput input);

  struct Key {
    uint32_t src, dst;
    int64_t channel;
  };

  // Connections that a block needs and that have no route yet; `connect` gives each its route.
  const std::vector<Key>& find_connections(const TransferBlock& block);
  void connect(const int64_t* links, size_t hops, double delay);

  // Carry on with the next block, whose connections were found; false where the pass does not
  // apply: a link is oversubscribed, or a connection's order is not that of ids.
  bool run(const TransferBlock& block);

  // Whether links are left that only a sweep over their transfers can clear: then the blocks are
  // collected once more, and swept.
  bool in_doubt() const { return !doubted_.empty(); }
  void collect(const TransferBlock& block, size_t first);
  bool sweep();

  size_t done() const { return done_; }
  size_t num_links() const { return in_.links; }
  // When each place has left: its own part is over.
  const std::vector<double>& left() const { return left_; }
  void carried(int64_t* links) const;

 private:
  struct Connection {
    double delay = 0.0, rate = INF;
    double free = -INF;     // when it may start the next, where one is in flight at a time
    double ready = -INF;    // of the last transfer that came to it
    size_t last = 0;        // that transfer
    bool late = false;      // whether it came behind another thing of its instant
    bool reduction_watched = false;
    uint32_t begin = 0, hops = 0, watched = 0;  // links; those that are watched come first
    uint32_t reducer = 0;                       // of the receiver; NONE where it takes no time
    Key key{};
    int64_t bytes = 0;
  };
  // A link is watched once its connections might oversubscribe it.
  struct Link {
    double end = -INF, enter = INF, rate = 0.0;  // of the transfer on it that ends last
    double shortest = INF;    // of its transfers, seconds
    double sum = 0.0;         // bytes/s of its connections, each alone
    bool watched = false, doubted = false;
    std::vector<uint32_t> users;  // until it is watched
  };
  struct Interval {
    double enter, end, rate;
    uint32_t link;
  };

  struct Span {
    double start, end;
  };

  void check_copies(const TransferBlock& block) const;
  bool run_copy(const TransferBlock& block);
  void collect_copy(const TransferBlock& block, size_t first);
  bool send(const TransferBlock& block, size_t at, Span& span);
  bool reduce(const Connection& one, double size, Span& span);
  void add_user(uint32_t link, uint32_t connection, double rate);
  void watch(uint32_t link, uint32_t connection);
  bool occupy(uint32_t link, double enter, double end, double rate);
  bool take_turn(Connection& connection, const TransferBlock& block, size_t at, double ready);
  bool waits_for(const TransferBlock& block, size_t at, size_t id) const;
  bool is_late(const TransferBlock& block, size_t at, double ready) const;
  void mark_instant(size_t id);
  void check(const TransferBlock& block, size_t at, size_t first) const;
  double* free_of(uint32_t number);
  void collect_on(uint32_t link, double enter, double end, double rate);
  bool fits(const Interval* begin, const Interval* end) const;

  MaxPlusInput in_;
  std::vector<Link> links_;
  std::vector<Connection> connections_;
  std::vector<uint32_t> route_links_;
  std::vector<double> flights_;  // of each connection: when each place in flight is free
  Numbering numbers_;
  std::vector<Key> wanted_;
  std::vector<uint32_t> found_;  // the connection of each transfer of the present block
  std::vector<uint32_t> doubted_;
  std::vector<Interval> intervals_;
  std::vector<double> left_;
  size_t done_ = 0;
  int64_t bytes_ = 0;  // of all that was sent
  std::vector<bool> instant_;  // of each transfer: whether it ended when it began; empty at first
  bool vanishing_ = false;  // whether any bytes have drained in no time, by rounding
};

}  // namespace simnet
