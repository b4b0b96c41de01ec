#include "many.hpp"

#include <algorithm>

#include "maxplus.hpp"

// The same code for wider registers, chosen when the module is loaded.
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__GLIBC__) && \
    !defined(__SANITIZE_ADDRESS__)
#define FOR_WIDE_REGISTERS __attribute__((target_clones("avx2", "default")))
#else
#define FOR_WIDE_REGISTERS
#endif

namespace simnet {

namespace {

constexpr size_t LANES = 32;  // scenarios side by side
using Lanes = double[LANES];

inline double larger(double a, double b) { return a < b ? b : a; }
inline double smaller(double a, double b) { return b < a ? b : a; }

inline void copy(double* to, const double* from) {
  for (size_t lane = 0; lane < LANES; ++lane) to[lane] = from[lane];
}

inline void raise(double* to, const double* other) {
  for (size_t lane = 0; lane < LANES; ++lane) to[lane] = larger(to[lane], other[lane]);
}

inline void add(double* to, const double* other) {
  for (size_t lane = 0; lane < LANES; ++lane) to[lane] += other[lane];
}

// Slack is the least of all that must not be negative.
inline void occupy(const ManyPlan& plan, uint32_t watch, const double* enter, const double* end,
                   double* rows, double* slack) {
  const double* const checked = rows + (plan.rows.checked + watch) * LANES;
  double* const busy = rows + (plan.rows.busy + watch) * LANES;
  double* const shortest = rows + (plan.rows.shortest + watch) * LANES;
  for (size_t lane = 0; lane < LANES; ++lane) {
    const double length = end[lane] - enter[lane];
    shortest[lane] = smaller(shortest[lane], length);
    const double free = busy[lane] - rounding_at(busy[lane], shortest[lane]);
    const double least = smaller(enter[lane] - free, length - UNRESOLVED * end[lane]);
    slack[lane] = smaller(slack[lane], least * checked[lane]);
    busy[lane] = larger(busy[lane], end[lane]);
  }
}

// A transfer comes to its connection after the one before it; at the same instant only where
// nothing takes no time.
inline void take_turn(const double* ready, const double* last, bool instantly, double* slack) {
  for (size_t lane = 0; lane < LANES; ++lane) {
    const double later = ready[lane] - last[lane];
    slack[lane] = smaller(slack[lane], instantly && !(later > 0.0) ? -1.0 : later);
  }
}

inline void must_take_time(const double* enter, const double* end, double* slack) {
  for (size_t lane = 0; lane < LANES; ++lane) {
    slack[lane] = smaller(slack[lane], end[lane] > enter[lane] ? 0.0 : -1.0);
  }
}

inline void wait(const ManyPlan& plan, const ManyPlan::Op& op, const double* rows, double* time) {
  const uint32_t* in = plan.inputs.data() + op.in_begin;
  const uint32_t* const end = plan.inputs.data() + op.in_end;
  if (in == end) {
    for (size_t lane = 0; lane < LANES; ++lane) time[lane] = op.floor;
    return;
  }
  copy(time, rows + *in * LANES);
  while (++in != end) raise(time, rows + *in * LANES);
  if (op.floor < 0.0) return;
  for (size_t lane = 0; lane < LANES; ++lane) time[lane] = larger(time[lane], op.floor);
}

inline void drain(const ManyPlan& plan, const ManyPlan::Op& op, double* rows, double* time,
                  double* slack) {
  const bool looked_at = plan.turns || op.watch_begin != op.watch_end;
  Lanes enter;
  if (looked_at) copy(enter, time);
  add(time, rows + op.drain * LANES);
  if (plan.turns) must_take_time(enter, time, slack);
  for (uint32_t at = op.watch_begin; at < op.watch_end; ++at) {
    const uint32_t watch = plan.watched[at];
    occupy(plan, watch, enter, time, rows, slack);
  }
  if (!(op.reduction > 0.0)) return;
  copy(enter, time);
  for (size_t lane = 0; lane < LANES; ++lane) time[lane] += op.reduction;
  if (op.reducer == NONE) return;
  occupy(plan, op.reducer, enter, time, rows, slack);
}

}  // namespace

FOR_WIDE_REGISTERS
void evaluate_many(const ManyPlan& plan, double* rows, double* slack) {
  for (size_t i = 0; i < plan.drains.size(); ++i) {
    double* const seconds = rows + (plan.rows.drain + i) * LANES;
    const double* const rate = rows + (plan.rows.rate + plan.drains[i].connection) * LANES;
    for (size_t lane = 0; lane < LANES; ++lane) seconds[lane] = plan.drains[i].size / rate[lane];
  }
  for (const ManyPlan::Op& op : plan.ops) {
    Lanes time;
    wait(plan, op, rows, time);
    if (op.ready != NONE) {
      double* const last = rows + op.ready * LANES;
      if (op.turns) take_turn(time, last, plan.instantly, slack);
      copy(last, time);
    }
    if (op.after != NONE) raise(time, rows + op.after * LANES);
    if (op.delay != NONE) add(time, rows + op.delay * LANES);
    if (op.drain != NONE) drain(plan, op, rows, time, slack);
    copy(rows + op.out * LANES, time);
    for (const uint32_t left : op.left) {
      if (left != NONE) raise(rows + left * LANES, time);
    }
  }
}

namespace {

// Rates, delays and what else a block of scenarios begins with.
void load(const ManyPlan& plan, const ManyLinks& links, size_t first, size_t count, double* rows) {
  const ManyPlan::Rows& at = plan.rows;
  for (size_t lane = 0; lane < LANES; ++lane) {
    const size_t scenario = first + std::min(lane, count - 1);
    const double* const bandwidth = links.bandwidth + scenario * links.bandwidth_stride;
    const double* const latency = links.latency + scenario * links.latency_stride;
    for (size_t i = 0; i < plan.overhead.size(); ++i) {
      double rate = INF, seconds = 0.0;
      for (uint32_t hop = plan.route_begin[i]; hop < plan.route_begin[i + 1]; ++hop) {
        rate = smaller(rate, bandwidth[plan.route_links[hop]]);
        seconds += latency[plan.route_links[hop]];
      }
      rows[(at.rate + i) * LANES + lane] = rate;
      rows[(at.delay + i) * LANES + lane] = plan.overhead[i] + seconds;
    }
    for (size_t i = 0; i < plan.watches.size(); ++i) {
      const ManyPlan::Watch& watch = plan.watches[i];
      bool fits = watch.single && watch.link < plan.links;
      if (fits) {
        double sum = 0.0;
        for (const uint32_t one : watch.connections) sum += rows[(at.rate + one) * LANES + lane];
        fits = sum <= bandwidth[watch.link] * (1.0 + ROUNDING);
      }
      rows[(at.checked + i) * LANES + lane] = fits ? 0.0 : 1.0;
    }
  }
  std::fill(rows + at.busy * LANES, rows + at.shortest * LANES, 0.0);
  std::fill(rows + at.shortest * LANES, rows + at.ready * LANES, INF);
  std::fill(rows + at.ready * LANES, rows + at.left * LANES, -1.0);
  for (size_t place = 0; place < plan.arrival.size(); ++place) {
    std::fill_n(rows + (at.left + place) * LANES, LANES, plan.arrival[place]);
  }
}

}  // namespace

void run_many(const ManyPlan& plan, const ManyLinks& links, size_t first, size_t last,
              double* left, uint8_t* holds) {
  std::vector<double> rows(plan.rows.count * LANES);
  const size_t places = plan.arrival.size();
  for (size_t begin = first; begin < last; begin += LANES) {
    const size_t count = std::min(LANES, last - begin);
    Lanes slack;
    std::fill_n(slack, LANES, 0.0);
    load(plan, links, begin, count, rows.data());
    evaluate_many(plan, rows.data(), slack);
    for (size_t lane = 0; lane < count; ++lane) {
      holds[begin + lane] = slack[lane] >= 0.0;
      double* const mine = left + (begin + lane) * places;
      const double* const times = rows.data() + plan.rows.left * LANES + lane;
      for (size_t place = 0; place < places; ++place) mine[place] = times[place * LANES];
    }
  }
}

}  // namespace simnet
