// A queue by time for entries that never come before one that has gone.
#pragma once

#include <algorithm>

#include "heap.hpp"

namespace simnet {

// Entries with a member `time`, least first. A few are a heap. Many are spread over days of equal
// length, as in a calendar (Brown, "Calendar queues", CACM 1988): those of the present day are the
// heap, those of other days lie about unsorted, and those after the last day wait until it is
// over. What the days are like changes the cost and nothing else: at worst it is a heap.
template <class Entry>
class Calendar {
 public:
  bool empty() const { return today_.empty(); }
  const Entry& top() const { return today_.top(); }
  Entry& top() { return today_.top(); }

  void push(const Entry& entry) {
    if (today_.empty()) days_a_second_ = today_number_ = 0.0;  // nor is there any other day
    const double day = day_of(entry.time);
    if (day < today_number_ + 1) {
      today_.push(entry);
      if (today_.size() > crowd_ && !far_) spread();
    } else {
      ++far_;
      put_far(entry, day);
    }
  }

  void pop() {
    today_.pop();
    if (today_.empty() && far_) turn_the_page();
  }

 private:
  static constexpr size_t CROWD = 64;
  static constexpr size_t DAYS = 4096;
  struct Node {
    Entry entry;
    uint32_t next;
  };

  double day_of(double time) const { return (time - begin_) * days_a_second_; }

  void put_far(const Entry& entry, double day) {
    if (!(day < DAYS)) {
      later_.push_back(entry);
      return;
    }
    uint32_t node = free_;
    if (node == NONE) {
      node = static_cast<uint32_t>(nodes_.size());
      nodes_.emplace_back();
    } else {
      free_ = nodes_[node].next;
    }
    uint32_t& first = days_[static_cast<size_t>(day)];
    nodes_[node] = {entry, first};
    first = node;
  }

  // Go on to the next day that has entries.
  void turn_the_page() {
    while (++today_number_ < DAYS) {
      uint32_t node = days_[static_cast<size_t>(today_number_)];
      if (node == NONE) continue;
      days_[static_cast<size_t>(today_number_)] = NONE;
      while (node != NONE) {
        today_.push(nodes_[node].entry);
        --far_;
        const uint32_t next = nodes_[node].next;
        nodes_[node].next = free_;
        free_ = node;
        node = next;
      }
      return;
    }
    spread();
  }

  // Begin a calendar: as many days as there are entries, from the first to the last.
  void spread() {
    spreading_.swap(later_);
    while (!today_.empty()) {
      spreading_.push_back(today_.top());
      today_.pop();
    }
    double first = INF, last = -INF;
    for (const Entry& entry : spreading_) {
      first = std::min(first, entry.time);
      last = std::max(last, entry.time);
    }
    days_.assign(DAYS, NONE);
    begin_ = first;
    days_a_second_ = static_cast<double>(spreading_.size()) / (last - first);
    const bool few = spreading_.size() < CROWD / 2;
    if (few || !(days_a_second_ < 1e300)) days_a_second_ = 0.0;  // all are today's
    today_number_ = 0;
    far_ = 0;
    for (const Entry& entry : spreading_) {
      const double day = day_of(entry.time);
      if (day < 1.0) {
        today_.push(entry);
      } else {
        ++far_;
        put_far(entry, day);
      }
    }
    spreading_.clear();
    crowd_ = std::max(CROWD, 2 * today_.size());
  }

  TimeHeap<Entry> today_;
  std::vector<Node> nodes_;
  std::vector<uint32_t> days_;  // of each day: the first of its nodes
  std::vector<Entry> later_, spreading_;
  double begin_ = 0.0, days_a_second_ = 0.0;
  double today_number_ = 0.0;
  size_t far_ = 0;  // entries that are not today's
  size_t crowd_ = CROWD;
  uint32_t free_ = NONE;
};

}  // namespace simnet
