#include "numbering.hpp"

#include <stdexcept>

namespace simnet {

const Numbering::Entry& Numbering::find(Source& source, uint32_t dst, int64_t channel) {
  if (2 * source.used >= source.table.size()) grow(source.table);
  Entry& entry = place(source.table, dst, channel);
  if (entry.number == NONE) {
    if (count_ == NONE) throw std::invalid_argument("too many connections");
    entry = {channel, dst, count_++};
    ++source.used;
  }
  return entry;
}

// Where in the table a connection is, or belongs. Neighbours lie side by side, as they come.
Numbering::Entry& Numbering::place(std::vector<Entry>& table, uint32_t dst, int64_t channel) {
  const size_t mask = table.size() - 1;
  const uint64_t turn = dst / table.size() + static_cast<uint64_t>(channel);
  const uint64_t far = turn * 0x9E3779B97F4A7C15ull;
  size_t at = (dst + (far >> 32)) & mask;
  while (table[at].number != NONE && (table[at].dst != dst || table[at].channel != channel)) {
    at = (at + 1) & mask;
  }
  return table[at];
}

void Numbering::grow(std::vector<Entry>& table) {
  std::vector<Entry> larger(table.empty() ? 4 : 2 * table.size());
  for (const Entry& entry : table) {
    if (entry.number != NONE) place(larger, entry.dst, entry.channel) = entry;
  }
  table.swap(larger);
}

}  // namespace simnet
