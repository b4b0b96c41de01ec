// Connections as numbers, in the order in which they are met.
#pragma once

#include <stddef.h>

#include <cstdint>
#include <vector>

#include "heap.hpp"

namespace simnet {

class Numbering {
 public:
  explicit Numbering(size_t sources) : sources_(sources) {}

  size_t sources() const { return sources_.size(); }
  uint32_t count() const { return count_; }

  // The number of a connection from a source: a new one gets `count()`.
  uint32_t number(uint32_t src, uint32_t dst, int64_t channel) {
    Source& source = sources_[src];
    if (source.last.dst != dst || source.last.channel != channel) {
      source.last = find(source, dst, channel);
    }
    return source.last.number;
  }

 private:
  struct Entry {
    int64_t channel = 0;
    uint32_t dst = NONE, number = NONE;
  };
  // The connections from one source, by a hash of what tells them apart; at most half full.
  struct Source {
    Entry last;  // asked for
    std::vector<Entry> table;
    uint32_t used = 0;
  };

  const Entry& find(Source& source, uint32_t dst, int64_t channel);
  static Entry& place(std::vector<Entry>& table, uint32_t dst, int64_t channel);
  static void grow(std::vector<Entry>& table);

  std::vector<Source> sources_;
  uint32_t count_ = 0;
};

}  // namespace simnet
