// Two small min-heaps of four children a node: plain, and with keys that may change.
//
// Sifts compare strictly, so entries of equal key cost O(1) each: the many transfers of a
// collective that happen at one instant are never sorted among each other.
#pragma once

#include <stddef.h>

#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

namespace simnet {

constexpr double INF = std::numeric_limits<double>::infinity();
constexpr uint32_t NONE = 0xFFFFFFFFu;

// Ask for memory that will be needed soon.
inline void prefetch(const void* address) {
#if defined(__GNUC__)
  __builtin_prefetch(address);
#else
  (void)address;
#endif
}

// Of the children `first` … `end` - 1 of a node: the place of the least. Which it is cannot be
// foreseen, so the usual four are compared without a branch.
template <class Entries, class Key>
size_t least_child(const Entries& entries, size_t first, size_t end, Key key) {
  if (end == first + 4) {
    const size_t a = first + (key(entries[first + 1]) < key(entries[first]));
    const size_t b = first + 2 + (key(entries[first + 3]) < key(entries[first + 2]));
    return key(entries[b]) < key(entries[a]) ? b : a;
  }
  size_t least = first;
  for (size_t child = first + 1; child < end; ++child) {
    if (key(entries[child]) < key(entries[least])) least = child;
  }
  return least;
}

// Entries with a member `time`, least first.
template <class Entry>
class TimeHeap {
 public:
  bool empty() const { return entries_.empty(); }
  size_t size() const { return entries_.size(); }
  const Entry& top() const { return entries_.front(); }
  Entry& top() { return entries_.front(); }

  void push(const Entry& entry) {
    size_t at = entries_.size();
    entries_.emplace_back();  // filled where it stands: a copy would wait for its parts
    while (at > 0) {
      const size_t parent = (at - 1) >> 2;
      if (!(entry.time < entries_[parent].time)) break;
      entries_[at] = entries_[parent];
      at = parent;
    }
    entries_[at] = entry;
  }

  void clear() { entries_.clear(); }

  // Append without order; `rebuild` restores it.
  void append(const Entry& entry) { entries_.push_back(entry); }

  void rebuild() {
    if (entries_.size() < 2) return;
    for (size_t at = (entries_.size() - 2) / 4 + 1; at-- > 0;) down(at, entries_[at]);
  }

  void pop() {
    const Entry last = entries_.back();
    entries_.pop_back();
    if (!entries_.empty()) down(0, last);
  }

  void replace_top(const Entry& entry) { down(0, entry); }

 private:
  void down(size_t at, const Entry last) {
    const size_t size = entries_.size();
    while (true) {
      const size_t first = 4 * at + 1;
      if (first >= size) break;
      const size_t end = first + 4 < size ? first + 4 : size;
      const size_t least =
          least_child(entries_, first, end, [](const Entry& entry) { return entry.time; });
      if (!(entries_[least].time < last.time)) break;
      entries_[at] = entries_[least];
      at = least;
    }
    entries_[at] = last;
  }

  std::vector<Entry> entries_;
};

// Numbers 0 … n - 1 with keys, least first; a key can be changed where it stands.
class KeyHeap {
 public:
  void grow(size_t count) { place_.resize(count, NONE); }
  double least() const { return nodes_.empty() ? INF : nodes_.front().key; }
  uint32_t top() const { return nodes_.front().id; }

  void set(uint32_t id, double key) {
    uint32_t at = place_[id];
    if (at == NONE) {
      at = static_cast<uint32_t>(nodes_.size());
      nodes_.emplace_back();
      up(at, {key, id});
      return;
    }
    const double before = nodes_[at].key;
    if (key < before) {
      up(at, {key, id});
    } else if (key > before) {
      down(at, {key, id});
    }
  }

  void remove(uint32_t id) {
    const uint32_t at = place_[id];
    if (at == NONE) return;
    place_[id] = NONE;
    const Node last = nodes_.back();
    nodes_.pop_back();
    if (last.id == id) return;
    place_[last.id] = at;
    nodes_[at] = last;
    if (at > 0 && last.key < nodes_[(at - 1) >> 2].key) {
      up(at, last);
    } else {
      down(at, last);
    }
  }

 private:
  struct Node {
    double key;
    uint32_t id;
  };

  void put(uint32_t at, const Node& node) {
    nodes_[at] = node;
    place_[node.id] = at;
  }

  void up(uint32_t at, const Node node) {
    while (at > 0) {
      const uint32_t parent = (at - 1) >> 2;
      if (!(node.key < nodes_[parent].key)) break;
      put(at, nodes_[parent]);
      at = parent;
    }
    put(at, node);
  }

  void down(uint32_t at, const Node node) {
    const size_t size = nodes_.size();
    while (true) {
      const size_t first = 4 * static_cast<size_t>(at) + 1;
      if (first >= size) break;
      const size_t end = first + 4 < size ? first + 4 : size;
      const size_t least =
          least_child(nodes_, first, end, [](const Node& one) { return one.key; });
      if (!(nodes_[least].key < node.key)) break;
      put(at, nodes_[least]);
      at = static_cast<uint32_t>(least);
    }
    put(at, node);
  }

  std::vector<Node> nodes_;
  std::vector<uint32_t> place_;
};

}  // namespace simnet
