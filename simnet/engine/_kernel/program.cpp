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
  throw std::invalid_argument("transfer " + std::to_string(transfer) + " " + what);
}

void check(const ProgramColumns& given, size_t network_ranks, size_t connections) {
  if (given.transfers >= NONE / 2 || given.num_deps >= NONE) {
    throw std::invalid_argument("too many transfers: " + std::to_string(given.transfers));
  }
  if (given.in_flight < 0 || given.in_flight >= static_cast<int64_t>(NONE)) {
    throw std::invalid_argument("in_flight is " + std::to_string(given.in_flight));
  }
  for (size_t place = 0; place < given.num_ranks; ++place) {
    if (given.ranks[place] < 0 || static_cast<size_t>(given.ranks[place]) >= network_ranks) {
      throw std::invalid_argument("rank " + std::to_string(given.ranks[place]) +
                                  " is not one of the network's");
    }
  }
  const int64_t places = static_cast<int64_t>(given.num_ranks);
  const int64_t known = static_cast<int64_t>(connections);
  if (given.dep_offsets[0] != 0 ||
      given.dep_offsets[given.transfers] != static_cast<int64_t>(given.num_deps)) {
    throw std::invalid_argument("dep_offsets do not span deps");
  }
  for (size_t i = 0; i < given.transfers; ++i) {
    if (given.src[i] < 0 || given.src[i] >= places || given.dst[i] < 0 || given.dst[i] >= places) {
      refuse(i, "is between ranks that the group does not have");
    }
    const bool join = given.src[i] == given.dst[i];
    if (join != (given.connection[i] == -1)) refuse(i, "has no connection, or a join has one");
    if (!join && (given.connection[i] < 0 || given.connection[i] >= known)) {
      refuse(i, "has an unknown connection");
    }
    if (given.size[i] < 0) refuse(i, "has a negative size");
    if (given.release && !(std::isfinite(given.release[i]) && given.release[i] >= 0.0)) {
      refuse(i, "is released at no time");
    }
    if (given.dep_offsets[i + 1] < given.dep_offsets[i] ||
        given.dep_offsets[i + 1] > static_cast<int64_t>(given.num_deps)) {
      refuse(i, "has descending dep_offsets");
    }
    for (int64_t at = given.dep_offsets[i]; at < given.dep_offsets[i + 1]; ++at) {
      if (given.deps[at] < 0 || given.deps[at] >= static_cast<int64_t>(i)) {
        refuse(i, "depends on one that is not before it");
      }
    }
  }
}

// Turn counts in begin[1 …] into where each run begins, and leave a cursor for filling.
std::vector<uint32_t> accumulate(std::vector<uint32_t>& begin) {
  std::partial_sum(begin.begin(), begin.end(), begin.begin());
  return std::vector<uint32_t>(begin.begin(), begin.end() - 1);
}

void fill_transfers(const ProgramColumns& given, Program& program) {
  program.transfers.reserve(given.transfers + 1);
  const uint32_t held = given.release ? 1 : 0;
  for (size_t i = 0; i < given.transfers; ++i) {
    const int64_t deps = given.dep_offsets[i + 1] - given.dep_offsets[i];
    Transfer transfer;
    transfer.size = given.size[i];
    transfer.connection = static_cast<uint32_t>(given.connection[i]);  // NONE for -1
    transfer.src = static_cast<uint32_t>(given.src[i]);
    transfer.dst = static_cast<uint32_t>(given.dst[i]);
    transfer.dependents = 0;
    transfer.holds = static_cast<uint32_t>(deps) + held;
    transfer.reduces = given.reduces[i] != 0;
    program.transfers.push_back(transfer);
    program.connections =
        std::max(program.connections, static_cast<uint32_t>(given.connection[i] + 1));
  }
  program.transfers.push_back({});
}

void fill_dependents(const ProgramColumns& given, Program& program) {
  std::vector<uint32_t> begin(given.transfers + 1, 0);
  for (size_t at = 0; at < given.num_deps; ++at) ++begin[given.deps[at] + 1];
  std::vector<uint32_t> next = accumulate(begin);
  for (size_t i = 0; i <= given.transfers; ++i) program.transfers[i].dependents = begin[i];
  program.dependents.resize(given.num_deps);
  for (size_t i = 0; i < given.transfers; ++i) {
    for (int64_t at = given.dep_offsets[i]; at < given.dep_offsets[i + 1]; ++at) {
      program.dependents[next[given.deps[at]]++] = static_cast<uint32_t>(i);
    }
  }
}

// Whether a transfer waits for the arrival of `place`, its sender or receiver.
bool awaits(const ProgramColumns& given, size_t transfer, int64_t place) {
  for (int64_t at = given.dep_offsets[transfer]; at < given.dep_offsets[transfer + 1]; ++at) {
    const int64_t dep = given.deps[at];
    if (given.src[dep] == place || given.dst[dep] == place) return false;
  }
  return true;
}

// Call `found(transfer, place)` for every arrival that a transfer waits for.
template <class F>
void each_awaited(const ProgramColumns& given, F found) {
  for (size_t i = 0; i < given.transfers; ++i) {
    const int64_t src = given.src[i], dst = given.dst[i];
    if (awaits(given, i, src)) found(i, src);
    if (dst != src && awaits(given, i, dst)) found(i, dst);
  }
}

void fill_places(const ProgramColumns& given, Program& program) {
  program.touching.assign(given.num_ranks, 0);
  for (size_t i = 0; i < given.transfers; ++i) {
    ++program.touching[given.src[i]];
    if (given.dst[i] != given.src[i]) ++program.touching[given.dst[i]];
  }
  program.awaiting_begin.assign(given.num_ranks + 1, 0);
  each_awaited(given, [&](size_t transfer, int64_t place) {
    ++program.awaiting_begin[place + 1];
    ++program.transfers[transfer].holds;
  });
  std::vector<uint32_t> next = accumulate(program.awaiting_begin);
  program.awaiting.resize(program.awaiting_begin.back());
  each_awaited(given, [&](size_t transfer, int64_t place) {
    program.awaiting[next[place]++] = static_cast<uint32_t>(transfer);
  });
}

}  // namespace

Program make_program(const ProgramColumns& given, size_t network_ranks, size_t connections) {
  check(given, network_ranks, connections);
  Program program;
  const size_t total = given.transfers;
  program.count = static_cast<uint32_t>(total);
  program.in_flight = static_cast<uint32_t>(given.in_flight);
  program.ranks.assign(given.ranks, given.ranks + given.num_ranks);
  for (const uint32_t rank : program.ranks) {
    program.network_ranks = std::max(program.network_ranks, rank + 1);
  }
  fill_transfers(given, program);
  fill_dependents(given, program);
  fill_places(given, program);
  if (given.release) {
    program.release.assign(given.release, given.release + total);
    program.release_order.resize(total);
    std::iota(program.release_order.begin(), program.release_order.end(), 0u);
    std::stable_sort(
        program.release_order.begin(), program.release_order.end(),
        [&](uint32_t a, uint32_t b) { return program.release[a] < program.release[b]; });
  }
  return program;
}

}  // namespace simnet
