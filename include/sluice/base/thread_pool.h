#pragma once

#include <functional>
#include <memory>

#include "sluice/base/real.h"

namespace sluice {

// A fixed set of threads that claim numbered chunks of one job at a time; the calling thread works
// too. Waiting threads spin for some microseconds, then sleep, so an idle pool costs nothing.
//
// The contract that gives the same bits for any number of threads: callers cut their work by its
// shape alone, never by size(), each chunk writes what no other chunk writes, and sums over chunks
// are stored per chunk and added in chunk order.
//
// Every thread flushes denormals to zero inside run(), the caller included.
class ThreadPool {
 public:
  // threads >= 1, the caller included. Error kNoResource when a thread cannot be started.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const;
  // Calls chunk(i, worker) once for each i in [0, count), worker in [0, size()), and returns when
  // all are done. What a chunk throws ends the job and is thrown from here, the first of several.
  // Not reentrant.
  void run(Index count, const std::function<void(Index chunk, int worker)>& chunk);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// CPUs this process may use: affinity mask and cgroup quota, at least 1.
int available_cpus();

}  // namespace sluice
