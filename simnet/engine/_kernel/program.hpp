// A piece of work as arrays: what is sent, what waits for what.
#pragma once

#include <stddef.h>

#include <cstdint>
#include <vector>

#include "large.hpp"

namespace simnet {

// All of one transfer lies in one place: where ranks go their own pace, transfers are met in no
// order.
struct Transfer {
  int64_t size;
  uint32_t connection;  // NONE for a join
  uint32_t src, dst;    // places
  uint32_t dependents;  // where those that wait for it begin
  uint32_t holds : 31;  // what must happen before it may start: ends, arrivals, its release
  uint32_t reduces : 1;
};

struct Program {
  uint32_t count = 0;      // of transfers
  uint32_t in_flight = 0;  // of one connection; 0 for any number
  uint32_t connections = 0, network_ranks = 0;  // its numbers of these are below
  std::vector<uint32_t> ranks;  // the network's rank of each place in the group
  LargeVector<Transfer> transfers;  // and one more, where the last's dependents end
  LargeVector<uint32_t> dependents;
  std::vector<uint32_t> touching;  // how many transfers each place is part of
  // Which transfers wait for each place's arrival. Those that wait for the end of another one
  // there do not: it has not started before.
  std::vector<uint32_t> awaiting_begin, awaiting;
  std::vector<double> release;  // after posting, seconds; or empty
  std::vector<uint32_t> release_order;
};

// What a program is made from; arrays of `transfers` entries but where said.
struct ProgramColumns {
  size_t transfers, num_ranks, num_deps;
  const int64_t* ranks;        // num_ranks
  const int64_t *src, *dst;    // places in `ranks`
  const int64_t* connection;   // -1 for a join
  const int64_t* size;
  const uint8_t* reduces;
  const int64_t* dep_offsets;  // transfers + 1
  const int64_t* deps;         // num_deps
  const double* release;       // or null
  int64_t in_flight;
};

// Checks everything; std::invalid_argument names the transfer at fault.
Program make_program(const ProgramColumns& given, size_t network_ranks, size_t connections);

}  // namespace simnet
