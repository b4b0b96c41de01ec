// What is to happen, by instant.
#pragma once

#include "heap.hpp"

namespace simnet {

// Things added in a row for one instant become one entry of the heap: the many transfers of a
// collective that begin or end together cost O(1) each.
template <class What>
class Agenda {
 public:
  bool empty() const { return instants_.empty(); }
  double time() const { return instants_.empty() ? INF : instants_.top().time; }
  const What& next() const { return nodes_[instants_.top().first].what; }
  uint32_t next_node() const { return instants_.top().first; }

  // Returns the node that holds it until it is popped.
  uint32_t add(double time, const What& what) {
    const uint32_t node = new_node(what);
    if (last_ != NONE && time == last_time_) {
      nodes_[last_].next = node;
    } else {
      instants_.push({time, node});
      last_time_ = time;
    }
    last_ = node;
    return node;
  }

  What pop() {
    const uint32_t node = instants_.top().first;
    const uint32_t next = nodes_[node].next;
    if (next != NONE) {
      instants_.top().first = next;
    } else {
      instants_.pop();
      if (last_ == node) last_ = NONE;
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

  uint32_t new_node(const What& what) {
    uint32_t node = free_;
    if (node == NONE) {
      node = static_cast<uint32_t>(nodes_.size());
      nodes_.push_back({what, NONE});
    } else {
      free_ = nodes_[node].next;
      nodes_[node] = {what, NONE};
    }
    return node;
  }

  TimeHeap<Instant> instants_;
  std::vector<Node> nodes_;
  uint32_t free_ = NONE;
  double last_time_ = 0.0;
  uint32_t last_ = NONE;  // the node added last, unless its instant is over
};

}  // namespace simnet
