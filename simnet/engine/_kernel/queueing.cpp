// What is ready to start, and the queues of connections.
#include <algorithm>
#include <tuple>

#include "model.hpp"

namespace simnet {

namespace {

uint32_t job_of(uint64_t ready) { return static_cast<uint32_t>(ready >> 32); }
uint32_t transfer_of(uint64_t ready) { return static_cast<uint32_t>(ready); }

}  // namespace

// Queue what has become ready and start what its connection lets through.
void Model::launch(double time) {
  while (!ready_.empty()) {
    launching_.swap(ready_);
    ready_.clear();
    if (conflicts()) put_in_order();
    for (const Ready item : launching_) queue(job_of(item), transfer_of(item), time);
  }
  serve_freed(time);
}

// Whether order matters: two of those that are ready come to one connection.
bool Model::conflicts() {
  if (launching_.size() < 2) return false;
  if (++mark_ == 0) {
    for (Connection& connection : connections_) connection.mark = 0;
    mark_ = 1;
  }
  for (const Ready item : launching_) {
    const Program& program = *jobs_[job_of(item)]->program;
    const uint32_t number = program.transfers[transfer_of(item)].connection;
    if (number == NONE) continue;
    Connection& connection = connections_[number];
    if (!program.in_flight && !connection.draws) continue;
    if (connection.mark == mark_) return true;
    connection.mark = mark_;
  }
  return false;
}

// By the order of jobs, sizes of flows, number of posting, transfer.
void Model::put_in_order() {
  std::sort(launching_.begin(), launching_.end());
  std::vector<uint32_t> numbers;
  for (const Ready item : launching_) {
    if (numbers.empty() || numbers.back() != job_of(item)) numbers.push_back(job_of(item));
  }
  std::vector<uint32_t> places(numbers.size(), 0);
  if (numbers.size() > 1) outside_.rank(numbers, places);
  struct Turn {
    uint32_t place;
    int64_t size;
    Ready item;
    bool operator<(const Turn& other) const {
      return std::tie(place, size, item) < std::tie(other.place, other.size, other.item);
    }
  };
  std::vector<Turn> turns;
  size_t at = 0;
  for (const Ready item : launching_) {
    while (numbers[at] != job_of(item)) ++at;
    const Program& program = *jobs_[job_of(item)]->program;
    const int64_t size = program.transfers[transfer_of(item)].size;
    turns.push_back({places[at], program.in_flight ? 0 : size, item});
  }
  std::sort(turns.begin(), turns.end());
  for (size_t i = 0; i < turns.size(); ++i) launching_[i] = turns[i].item;
}

void Model::queue(uint32_t number, uint32_t transfer, double time) {
  Job& job = *jobs_[number];
  const Program& program = *job.program;
  const uint32_t at = program.transfers[transfer].connection;
  if (at == NONE) {
    job.progress[transfer].start = time;
    ended(number, transfer, time);
    return;
  }
  Connection& connection = connections_[at];
  if (!program.in_flight) {
    start(number, transfer, at, time);
    return;
  }
  // Where delays are drawn, flows that never queue draw before those that do, as in the twin.
  if (connection.head == NONE && connection.started < program.in_flight && !connection.draws) {
    ++connection.started;
    start(number, transfer, at, time);
    return;
  }
  uint32_t node = free_queued_;
  if (node == NONE) {
    node = static_cast<uint32_t>(queued_.size());
    queued_.push_back({});
  } else {
    free_queued_ = queued_[node].next;
  }
  queued_[node] = {number, transfer, NONE};
  if (connection.head == NONE) {
    connection.head = node;
  } else {
    queued_[connection.tail].next = node;
  }
  connection.tail = node;
  freed_.push_back(at);
}

void Model::serve_freed(double time) {
  for (size_t i = 0; i < freed_.size(); ++i) {
    const uint32_t at = freed_[i];
    while (connections_[at].head != NONE) {
      Connection& connection = connections_[at];
      const uint32_t node = connection.head;
      const Queued item = queued_[node];
      if (connection.started >= jobs_[item.job]->program->in_flight) break;
      connection.head = item.next;
      queued_[node].next = free_queued_;
      free_queued_ = node;
      ++connection.started;
      start(item.job, item.transfer, at, time);
    }
  }
  freed_.clear();
}

}  // namespace simnet
