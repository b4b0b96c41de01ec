#include "program.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <string>

#include "heap.hpp"

namespace simnet {

namespace {

[[noreturn]] void refuse(size_t transfer, const char* what) {
  throw std::invalid_argument("schedule: transfer " + std::to_string(transfer) + " " + what);
}

// Call `found(i, place)` for every arrival that the i-th transfer of a block waits for; `at(dep)`
// is another one that it waits for. What waits for one at a place does not wait for its arrival.
template <class At, class Found>
void each_awaited(const ProgramBlock& block, At at, Found found) {
  for (size_t i = 0; i < block.count; ++i) {
    bool src = true, dst = block.dst[i] != block.src[i];
    for (int64_t dep = block.dep_offsets[i]; dep < block.dep_offsets[i + 1]; ++dep) {
      const Transfer& before = at(block.deps[dep]);
      src = src && before.src != block.src[i] && before.dst != block.src[i];
      dst = dst && before.src != block.dst[i] && before.dst != block.dst[i];
    }
    if (src) found(i, static_cast<uint32_t>(block.src[i]));
    if (dst) found(i, static_cast<uint32_t>(block.dst[i]));
  }
}

}  // namespace

ProgramBuilder::ProgramBuilder(std::vector<uint32_t> ranks, size_t network_ranks,
                               uint32_t in_flight) {
  for (const uint32_t rank : ranks) {
    if (rank >= network_ranks) {
      throw std::invalid_argument("rank " + std::to_string(rank) + " is not one of the network's");
    }
    program_.network_ranks = std::max(program_.network_ranks, rank + 1);
  }
  program_.in_flight = in_flight;
  program_.touching.assign(ranks.size(), 0);
  program_.ranks = std::move(ranks);
}

void ProgramBuilder::add(const ProgramBlock& block, size_t connections) {
  if (!program_.release.empty()) throw std::invalid_argument("transfers after their releases");
  check(block, connections);
  count_bytes(block);
  make_room(program_.transfers, block.count * block.times);
  add_first(block);
  if (block.times > 1 && block.count) repeat(block);
}

void ProgramBuilder::check(const ProgramBlock& block, size_t connections) const {
  const size_t first = program_.transfers.size();
  const size_t most = NONE / 2 - std::min<size_t>(first, NONE / 2);
  const size_t count = std::max<size_t>(block.count, 1);
  if (count >= most || block.times < 1 || block.times > most / count) {
    throw std::invalid_argument("too many transfers: " + std::to_string(block.count) + ", " +
                                std::to_string(block.times) + " times");
  }
  const size_t waits = std::min<size_t>(program_.waiting.size() + waits_.size(), NONE / 2);
  if (block.num_deps > (NONE / 2 - waits) / 4) {
    throw std::invalid_argument("too many dependencies: " + std::to_string(block.num_deps));
  }
  if (block.num_sizes != block.count && block.num_sizes != block.count * block.times) {
    throw std::invalid_argument(std::to_string(block.count) + " transfers, " +
                                std::to_string(block.times) + " times, with " +
                                std::to_string(block.num_sizes) + " sizes");
  }
  if (block.dep_offsets[0] != 0 ||
      block.dep_offsets[block.count] != static_cast<int64_t>(block.num_deps)) {
    throw std::invalid_argument("dep_offsets do not span deps");
  }
  const int64_t places = static_cast<int64_t>(program_.ranks.size());
  const int64_t known = static_cast<int64_t>(connections);
  const int64_t begin = static_cast<int64_t>(first);
  const int64_t least = block.times > 1 ? begin - static_cast<int64_t>(block.count) : 0;
  for (size_t i = 0; i < block.count; ++i) {
    const int64_t src = block.src[i], dst = block.dst[i], connection = block.connection[i];
    if (src < 0 || src >= places || dst < 0 || dst >= places) {
      refuse(first + i, "is between ranks that the group does not have");
    }
    if ((src == dst) != (connection == -1)) {
      refuse(first + i, "has no connection, or a join has one");
    }
    if (connection < -1 || connection >= known) refuse(first + i, "has an unknown connection");
    if (block.dep_offsets[i + 1] < block.dep_offsets[i] ||
        block.dep_offsets[i + 1] > static_cast<int64_t>(block.num_deps)) {
      refuse(first + i, "has descending dep_offsets");
    }
    const int64_t before = block.times > 1 ? begin : begin + static_cast<int64_t>(i);
    for (int64_t at = block.dep_offsets[i]; at < block.dep_offsets[i + 1]; ++at) {
      if (block.deps[at] < std::max<int64_t>(least, 0) || block.deps[at] >= before) {
        refuse(first + i, "depends on one that is not before it");
      }
    }
  }
}

void ProgramBuilder::count_bytes(const ProgramBlock& block) {
  const size_t again = block.num_sizes == block.count ? block.times : 1;
  int64_t sum = program_.bytes;
  for (size_t i = 0; i < block.num_sizes; ++i) {
    const size_t transfer = program_.transfers.size() + i;
    if (block.size[i] < 0) refuse(transfer, "has a negative size");
    if (block.size[i] > (MOST_BYTES - sum) / static_cast<int64_t>(again)) {
      refuse(transfer, "brings the bytes over 2^62");
    }
    sum += block.size[i] * static_cast<int64_t>(again);
  }
  program_.bytes = sum;
}

// The first copy, with all that its transfers wait for.
void ProgramBuilder::add_first(const ProgramBlock& block) {
  const uint32_t first = program_.count();
  for (size_t i = 0; i < block.count; ++i) {
    Transfer& transfer = program_.transfers.emplace_back();
    transfer.size = block.size[i];
    transfer.connection = static_cast<uint32_t>(block.connection[i]);  // NONE for -1
    transfer.src = static_cast<uint32_t>(block.src[i]);
    transfer.dst = static_cast<uint32_t>(block.dst[i]);
    transfer.holds = static_cast<uint32_t>(block.dep_offsets[i + 1] - block.dep_offsets[i]);
    transfer.reduces = block.reduces[i] != 0;
    const uint32_t connections = static_cast<uint32_t>(block.connection[i] + 1);
    program_.connections = std::max(program_.connections, connections);
    const uint32_t times = static_cast<uint32_t>(block.times);
    program_.touching[transfer.src] += times;
    if (transfer.dst != transfer.src) program_.touching[transfer.dst] += times;
    for (int64_t at = block.dep_offsets[i]; at < block.dep_offsets[i + 1]; ++at) {
      waits_.push_back({static_cast<uint32_t>(block.deps[at]), first + static_cast<uint32_t>(i)});
    }
  }
  Transfer* const all = program_.transfers.data();
  each_awaited(
      block, [&](int64_t dep) -> const Transfer& { return all[dep]; },
      [&](size_t i, uint32_t place) {
        awaited_.push_back({place, first + static_cast<uint32_t>(i)});
        ++all[first + i].holds;
      });
}

// The other copies: each waits for the one before it, and all do so alike.
void ProgramBuilder::repeat(const ProgramBlock& block) {
  const uint32_t count = static_cast<uint32_t>(block.count), first = program_.count() - count;
  Transfer* const begin = program_.transfers.data() + first;
  std::vector<Transfer> last(begin, begin + count);
  for (uint32_t i = 0; i < count; ++i) {
    last[i].holds = static_cast<uint32_t>(block.dep_offsets[i + 1] - block.dep_offsets[i]);
  }
  std::vector<Pair> awaited;
  each_awaited(
      block, [&](int64_t dep) -> const Transfer& { return last[dep + count - first]; },
      [&](size_t i, uint32_t place) {
        awaited.push_back({place, static_cast<uint32_t>(i)});
        ++last[i].holds;
      });
  share_waiting(block, begin);
  std::vector<Transfer> copy = last;
  for (uint32_t i = 0; i < count; ++i) {
    copy[i].waiting = begin[i].waiting;
    copy[i].waiters = begin[i].waiters;
  }
  for (size_t time = 1; time < block.times; ++time) {
    const std::vector<Transfer>& next = time + 1 < block.times ? copy : last;
    const uint32_t at = program_.count();
    program_.transfers.insert(program_.transfers.end(), next.begin(), next.end());
    for (size_t i = time * count; i < (time + 1) * count && i < block.num_sizes; ++i) {
      program_.transfers[first + i].size = block.size[i];
    }
    for (const Pair& pair : awaited) awaited_.push_back({pair.of, at + pair.transfer});
  }
}

// Enter who waits for each transfer of a copy: some of the next one.
void ProgramBuilder::share_waiting(const ProgramBlock& block, Transfer* copy) {
  const uint32_t count = static_cast<uint32_t>(block.count), first = program_.count() - count;
  const auto awaited = [&](int64_t at) { return copy + (block.deps[at] + count - first); };
  for (size_t at = 0; at < block.num_deps; ++at) ++awaited(at)->waiters;
  uint32_t begin = static_cast<uint32_t>(program_.waiting.size());
  program_.waiting.resize(begin + block.num_deps);
  for (uint32_t i = 0; i < count; ++i) {
    copy[i].waiting = begin;
    begin += copy[i].waiters;
    copy[i].waiters = 0;
  }
  for (uint32_t i = 0; i < count; ++i) {
    for (int64_t at = block.dep_offsets[i]; at < block.dep_offsets[i + 1]; ++at) {
      Transfer& one = *awaited(at);
      program_.waiting[one.waiting + one.waiters++] =
          count + i - static_cast<uint32_t>(&one - copy);
    }
  }
}

void ProgramBuilder::release(const double* after, size_t count) {
  if (count != program_.transfers.size()) {
    throw std::invalid_argument("release has " + std::to_string(count) + " entries; needs " +
                                std::to_string(program_.transfers.size()));
  }
  for (size_t i = 0; i < count; ++i) {
    if (!(std::isfinite(after[i]) && after[i] >= 0.0)) refuse(i, "is released at no time");
    ++program_.transfers[i].holds;
  }
  program_.release.assign(after, after + count);
}

std::shared_ptr<const Program> ProgramBuilder::finish() {
  fill_waiting();
  fill_awaiting();
  const std::vector<double>& release = program_.release;
  std::vector<uint32_t>& order = program_.release_order;
  order.resize(release.size());
  std::iota(order.begin(), order.end(), 0u);
  if (!std::is_sorted(release.begin(), release.end())) {
    std::stable_sort(order.begin(), order.end(),
                     [&](uint32_t a, uint32_t b) { return release[a] < release[b]; });
  }
  return std::make_shared<const Program>(std::move(program_));
}

// Enter who waits for each transfer, behind those that it shares with other copies.
void ProgramBuilder::fill_waiting() {
  if (waits_.empty()) return;
  std::vector<uint32_t> more(program_.transfers.size(), 0);
  for (const Pair& pair : waits_) ++more[pair.of];
  LargeVector<uint32_t>& waiting = program_.waiting;
  waiting.reserve(waiting.size() + waits_.size());
  for (size_t i = 0; i < more.size(); ++i) {
    if (!more[i]) continue;
    Transfer& one = program_.transfers[i];
    const uint32_t shared = one.waiting;
    one.waiting = static_cast<uint32_t>(waiting.size());
    waiting.resize(waiting.size() + one.waiters + more[i]);
    std::copy_n(waiting.begin() + shared, one.waiters, waiting.begin() + one.waiting);
  }
  for (const Pair& pair : waits_) {
    Transfer& one = program_.transfers[pair.of];
    waiting[one.waiting + one.waiters++] = pair.transfer - pair.of;
  }
  std::vector<Pair>().swap(waits_);
}

void ProgramBuilder::fill_awaiting() {
  std::vector<uint32_t>& begin = program_.awaiting_begin;
  begin.assign(program_.ranks.size() + 1, 0);
  for (const Pair& pair : awaited_) ++begin[pair.of + 1];
  std::partial_sum(begin.begin(), begin.end(), begin.begin());
  std::vector<uint32_t> next(begin.begin(), begin.end() - 1);
  program_.awaiting.resize(awaited_.size());
  for (const Pair& pair : awaited_) program_.awaiting[next[pair.of]++] = pair.transfer;
  std::vector<Pair>().swap(awaited_);
}

}  // namespace simnet
