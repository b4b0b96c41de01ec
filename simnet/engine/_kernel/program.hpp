// A piece of work as arrays: what is sent, what waits for what.
#pragma once

#include <stddef.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "large.hpp"

namespace simnet {

// Of a message with all that is sent again, a program, all programs of a model: so that no sum of
// bytes leaves int64.
constexpr int64_t MOST_BYTES = int64_t{1} << 62;

// All of one transfer lies in one place: where ranks go their own pace, transfers are met in no
// order.
struct Transfer {
  int64_t size;
  uint32_t connection;  // NONE for a join
  uint32_t src, dst;    // places
  uint32_t waiting = 0, waiters = 0;  // where those that wait for it begin, and how many they are
  uint32_t holds : 31;  // what must happen before it may start: ends, arrivals, its release
  uint32_t reduces : 1;
};

struct Program {
  uint32_t in_flight = 0;  // of one connection; 0 for any number
  uint32_t connections = 0, network_ranks = 0;  // its numbers of these are below
  std::vector<uint32_t> ranks;  // the network's rank of each place in the group
  LargeVector<Transfer> transfers;
  // Those that wait for a transfer, ascending: how many further on each is, so that transfers
  // alike share them.
  LargeVector<uint32_t> waiting;
  std::vector<uint32_t> touching;  // how many transfers each place is part of
  // Which transfers wait for each place's arrival. Those that wait for the end of another one
  // there do not: it has not started before.
  std::vector<uint32_t> awaiting_begin, awaiting;
  std::vector<double> release;  // after posting, seconds; or empty
  std::vector<uint32_t> release_order;
  int64_t bytes = 0;  // of all transfers

  uint32_t count() const { return static_cast<uint32_t>(transfers.size()); }
};

// Consecutive transfers that come `times` times, one copy after the other; arrays of `count`
// entries but where said.
struct ProgramBlock {
  size_t count, times, num_sizes, num_deps;
  const int64_t *src, *dst;    // places
  const int64_t* connection;   // -1 for a join
  const int64_t* size;         // num_sizes: of one copy for all of them, or of every copy
  const uint8_t* reduces;
  const int64_t* dep_offsets;  // count + 1
  // Of the first copy, num_deps; others wait for transfers as many places before them. Where
  // there are several, each waits only for the `count` transfers before it.
  const int64_t* deps;
};

// Makes a program block by block. Everything is checked; std::invalid_argument names the transfer
// at fault.
class ProgramBuilder {
 public:
  ProgramBuilder(std::vector<uint32_t> ranks, size_t network_ranks, uint32_t in_flight);

  void expect(size_t transfers) { program_.transfers.reserve(transfers); }
  // `connections`: of the model; their numbers are below.
  void add(const ProgramBlock& block, size_t connections);
  // Let transfers start at these times after posting at the earliest.
  void release(const double* after, size_t count);
  // To be called once, as the last.
  std::shared_ptr<const Program> finish();

 private:
  struct Pair {
    uint32_t of, transfer;
  };

  void check(const ProgramBlock& block, size_t connections) const;
  void count_bytes(const ProgramBlock& block);
  void add_first(const ProgramBlock& block);
  void repeat(const ProgramBlock& block);
  void share_waiting(const ProgramBlock& block, Transfer* copy);
  void fill_waiting();
  void fill_awaiting();

  Program program_;
  std::vector<Pair> waits_;    // for the end of `of`, but for those that copies share
  std::vector<Pair> awaited_;  // the arrival of `of`
};

}  // namespace simnet
