#include <algorithm>
#include <stdexcept>

#include "many.hpp"
#include "model.hpp"

namespace simnet {

namespace {

// Nothing is drawn here, and one job alone meets no other.
Outside nobody() {
  Outside outside;
  outside.draw = [](uint32_t, int64_t, std::vector<Round>&) -> double {
    throw std::logic_error("a draw without a stream");
  };
  outside.rank = [](const std::vector<uint32_t>&, std::vector<uint32_t>&) {
    throw std::logic_error("one job has no order");
  };
  return outside;
}

Model make_model(const ManyPlan& plan, const double* bandwidth, const double* latency) {
  std::vector<double> capacity(bandwidth, bandwidth + plan.links);
  capacity.insert(capacity.end(), plan.reduction.begin(), plan.reduction.end());
  Model model(std::move(capacity), plan.links, plan.reduction.size(), nobody());
  std::vector<int64_t> links;
  for (size_t i = 0; i < plan.overhead.size(); ++i) {
    links.assign(plan.route_links.begin() + plan.route_begin[i],
                 plan.route_links.begin() + plan.route_begin[i + 1]);
    const std::vector<int64_t> weights(links.size(), 1);
    double seconds = 0.0;
    for (const int64_t link : links) seconds += latency[link];
    model.add_connection({links.data(), weights.data(), links.size()}, plan.overhead[i] + seconds,
                         false);
  }
  return model;
}

void check(const ManyPlan& plan, const Program& program) {
  if (program.connections > plan.overhead.size()) {
    throw std::invalid_argument("the program has connections of another plan");
  }
  if (program.network_ranks > plan.reduction.size()) {
    throw std::invalid_argument("the program has ranks of another plan");
  }
  if (program.ranks.size() != plan.arrival.size()) {
    throw std::invalid_argument("the program has other places than the plan");
  }
}

}  // namespace

void run_events(const ManyPlan& plan, const std::shared_ptr<const Program>& program,
                const ManyLinks& links, const int64_t* scenarios, size_t count, double* left) {
  check(plan, *program);
  const size_t places = plan.arrival.size();
  for (const int64_t* one = scenarios; one != scenarios + count; ++one) {
    const size_t scenario = static_cast<size_t>(*one);
    Model model = make_model(plan, links.bandwidth + scenario * links.bandwidth_stride,
                             links.latency + scenario * links.latency_stride);
    const uint32_t job = model.post(program, 0.0);
    for (size_t place = 0; place < places; ++place) {
      model.arrive(job, static_cast<uint32_t>(place), plan.arrival[place]);
    }
    double time;
    while ((time = model.next_time()) < INF) {
      for (const Departure& each : model.advance(time, INF)) {
        left[scenario * places + each.place] = each.time;
      }
    }
  }
}

}  // namespace simnet
