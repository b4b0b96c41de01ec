// What is to happen, by instant.
#pragma once

#include <cstring>

#include "calendar.hpp"

namespace simnet {

// Things added for one of the instants named last become one entry of the heap: the many
// transfers of a collective that begin or end together cost O(1) each.
template <class What>
class Agenda {
 public:
  bool empty() const { return instants_.empty(); }
  double time() const { return instants_.empty() ? INF : instants_.top().time; }
  const What& next() const { return nodes_[instants_.top().first].what; }
  uint32_t next_node() const { return instants_.top().first; }

  // Returns the node that holds it until it is popped. What is due at infinity never comes.
  uint32_t add(double time, const What& what) {
    if (!(time < INF)) return NONE;
    const uint32_t node = new_node(what);
    Recent& recent = recent_of(time);
    if (recent.last != NONE && time == recent.time) {
      nodes_[recent.last].next = node;
    } else {
      instants_.push({time, node});
      recent.time = time;
    }
    recent.last = node;
    return node;
  }

  What pop() {
    const uint32_t node = instants_.top().first;
    const uint32_t next = nodes_[node].next;
    if (next != NONE) {
      instants_.top().first = next;
    } else {
      Recent& recent = recent_of(instants_.top().time);
      if (recent.last == node) recent.last = NONE;
      instants_.pop();
    }
    nodes_[node].next = free_;
    free_ = node;
    return nodes_[node].what;
  }

 private:
  struct Node {
    What what;
    uint32_t next;
  };
  struct Instant {
    double time;
    uint32_t first;
  };

  // An instant, and the node added to it last, unless it is over.
  struct Recent {
    double time = 0.0;
    uint32_t last = NONE;
  };
  static constexpr int RECENT_BITS = 4;

  Recent& recent_of(double time) {
    uint64_t bits;
    std::memcpy(&bits, &time, sizeof bits);
    return recent_[bits * 0x9E3779B97F4A7C15ull >> (64 - RECENT_BITS)];
  }

  uint32_t new_node(const What& what) {
    uint32_t node = free_;
    if (node == NONE) {
      node = static_cast<uint32_t>(nodes_.size());
      nodes_.emplace_back();
    } else {
      free_ = nodes_[node].next;
    }
    nodes_[node] = {what, NONE};
    return node;
  }

  Calendar<Instant> instants_;
  std::vector<Node> nodes_;
  uint32_t free_ = NONE;
  Recent recent_[1 << RECENT_BITS];
};

}  // namespace simnet
