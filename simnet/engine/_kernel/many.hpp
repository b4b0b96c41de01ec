// One schedule under many parameters of its links at once: a max-plus pass with the scenario
// innermost. What all scenarios share (order, dependencies, who might meet whom on which link) is
// worked out once.
#pragma once

#include <stddef.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "heap.hpp"
#include "program.hpp"

namespace simnet {

// A program whose connections have their routes; see simnet/engine/program.py.
struct ManyColumns {
  size_t transfers, num_deps, places, connections, links, network_ranks;
  const int64_t *src, *dst;   // places; equal for a join
  const int64_t* connection;  // -1 for a join
  const int64_t* size;
  const uint8_t* reduces;
  const int64_t *dep_offsets, *deps;
  const double* floor;    // of each transfer: no earlier start, absolute seconds
  const double* arrival;  // of each place, absolute seconds
  const int64_t *route_offsets, *route_links;  // of each connection
  const double* overhead;                      // of each connection's sender, seconds
  const int64_t* receiver;                     // of each connection: the network's rank
  const double* reduction;                     // bytes/s of each rank of the network
  bool queues;  // one transfer of a connection at a time; else any number
};

// Parameters of the links, scenario by scenario; a stride of 0 repeats one row.
struct ManyLinks {
  const double *bandwidth, *latency;
  size_t bandwidth_stride, latency_stride;
};

// What is done for all scenarios alike: arithmetic on rows of one value a scenario.
struct ManyPlan {
  // A transfer. Members that are rows are NONE where there is nothing to do.
  struct Op {
    uint32_t in_begin = 0, in_end = 0;  // in `inputs`: the ends that it waits for
    double floor = -1.0;                // no earlier start; negative where that follows
    uint32_t ready = NONE;              // when the last before it came to its connection
    bool turns = false;                 // whether that must be checked
    uint32_t after = NONE;              // the end of that one
    uint32_t delay = NONE, drain = NONE;
    uint32_t watch_begin = 0, watch_end = 0;  // in `watched`: links that others might be on
    double reduction = 0.0;                   // seconds
    uint32_t reducer = NONE;                  // its watch
    uint32_t left[2] = {NONE, NONE};          // the places that may leave after it
    uint32_t out = 0;
  };
  struct Drain {
    uint32_t connection;
    double size;
  };
  // A link on which transfers of several connections may meet, or several of one.
  struct Watch {
    uint32_t link;
    bool single;  // whether each connection has one transfer on it at a time
    std::vector<uint32_t> connections;
  };
  // The first row of each kind.
  struct Rows {
    uint32_t rate = 0, delay = 0, drain = 0, checked = 0, busy = 0, shortest = 0, ready = 0;
    uint32_t left = 0, ends = 0;
    uint32_t count = 0;
  };

  std::vector<Op> ops;
  std::vector<uint32_t> inputs, watched;
  std::vector<Drain> drains;
  std::vector<Watch> watches;
  std::vector<uint32_t> route_begin, route_links;
  std::vector<double> overhead, arrival, reduction;
  Rows rows;
  size_t links = 0;
  bool turns = false;      // whether any connection's order must be checked
  bool instantly = false;  // whether a transfer may end at the instant of its start
};

// Checks everything; std::invalid_argument names the transfer at fault.
ManyPlan make_many_plan(const ManyColumns& given);

// Work out scenarios `first` to `last`: when each place leaves, and whether that holds: no link is
// oversubscribed, and each connection takes its transfers in order of ids.
void run_many(const ManyPlan& plan, const ManyLinks& links, size_t first, size_t last,
              double* left, uint8_t* holds);

// The same for one scenario after the other, event by event, which holds always.
void run_events(const ManyPlan& plan, const std::shared_ptr<const Program>& program,
                const ManyLinks& links, const int64_t* scenarios, size_t count, double* left);

}  // namespace simnet
