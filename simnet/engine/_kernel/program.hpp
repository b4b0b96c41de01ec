// A piece of work as arrays: what is sent, what waits for what.
#pragma once

#include <stddef.h>

#include <cstdint>
#include <vector>

namespace simnet {

struct Program {
  uint32_t transfers = 0;
  uint32_t in_flight = 0;            // of one connection; 0 for any number
  std::vector<uint32_t> ranks;       // the network's rank of each place in the group
  std::vector<uint32_t> src, dst;    // places
  std::vector<uint32_t> connection;  // NONE for a join
  std::vector<int64_t> size;
  std::vector<uint8_t> reduces;
  std::vector<uint32_t> holds;  // what must happen before each may start: ends, arrivals, release
  std::vector<uint32_t> dependent_begin, dependents;  // which transfers wait for each
  std::vector<uint32_t> touching_begin, touching;     // which transfers each place is part of
  std::vector<double> release;                        // after posting, seconds; or empty
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
