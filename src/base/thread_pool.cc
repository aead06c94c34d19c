#include "sluice/base/thread_pool.h"

#include <immintrin.h>
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "sluice/base/error.h"

namespace sluice {
namespace {

constexpr unsigned kFlushToZero = 0x8040;  // FTZ | DAZ of MXCSR

// Long enough to bridge the gap between two operations of a training step, short enough that a
// waiting thread does not keep a busy machine's other processes out.
constexpr auto kSpin = std::chrono::microseconds(30);

}  // namespace

struct ThreadPool::State {
  std::vector<std::thread> threads;
  std::mutex mutex;
  std::condition_variable wake;
  std::atomic<std::uint64_t> generation{0};
  std::atomic<bool> stop{false};
  const std::function<void(Index, int)>* job = nullptr;
  Index count = 0;
  std::atomic<Index> next{0};
  std::atomic<int> busy{0};

  void claim(int worker) {
    for (;;) {
      const Index chunk = next.fetch_add(1, std::memory_order_relaxed);
      if (chunk >= count) return;
      (*job)(chunk, worker);
    }
  }

  void wait_for_job(std::uint64_t seen) {
    const auto until = std::chrono::steady_clock::now() + kSpin;
    while (generation.load(std::memory_order_acquire) == seen) {
      if (std::chrono::steady_clock::now() < until) {
        _mm_pause();
        continue;
      }
      std::unique_lock lock(mutex);
      wake.wait(lock, [&] { return generation.load(std::memory_order_acquire) != seen; });
    }
  }

  void work(int worker) {
    _mm_setcsr(_mm_getcsr() | kFlushToZero);
    for (std::uint64_t seen = 0;;) {
      wait_for_job(seen);
      if (stop.load(std::memory_order_acquire)) return;
      seen = generation.load(std::memory_order_acquire);
      claim(worker);
      busy.fetch_sub(1, std::memory_order_acq_rel);
    }
  }

  void publish() {
    {
      std::lock_guard lock(mutex);
      generation.fetch_add(1, std::memory_order_acq_rel);
    }
    wake.notify_all();
  }

  void shut_down() {
    stop.store(true, std::memory_order_release);
    publish();
    for (std::thread& thread : threads) thread.join();
  }
};

ThreadPool::ThreadPool(int threads) : state_(std::make_unique<State>()) {
  for (int worker = 1; worker < threads; ++worker) {
    try {
      state_->threads.emplace_back([this, worker] { state_->work(worker); });
    } catch (const std::system_error& error) {
      state_->shut_down();
      throw Error(ExitCode::kNoResource, "cannot start thread {} of {}: {}; lower --threads",
                  worker + 1, threads, error.code().message());
    }
  }
}

ThreadPool::~ThreadPool() { state_->shut_down(); }

int ThreadPool::size() const { return static_cast<int>(state_->threads.size()) + 1; }

void ThreadPool::run(Index count, const std::function<void(Index, int)>& chunk) {
  const unsigned caller_mode = _mm_getcsr();
  _mm_setcsr(caller_mode | kFlushToZero);
  if (count == 1 || state_->threads.empty()) {
    for (Index i = 0; i < count; ++i) chunk(i, 0);
  } else if (count > 1) {
    state_->job = &chunk;
    state_->count = count;
    state_->next.store(0, std::memory_order_relaxed);
    state_->busy.store(static_cast<int>(state_->threads.size()), std::memory_order_relaxed);
    state_->publish();
    state_->claim(0);
    // Every worker must have left the job before its storage goes: wait for the stragglers.
    const auto until = std::chrono::steady_clock::now() + kSpin;
    while (state_->busy.load(std::memory_order_acquire) != 0) {
      if (std::chrono::steady_clock::now() < until) {
        _mm_pause();
      } else {
        std::this_thread::yield();
      }
    }
  }
  _mm_setcsr(caller_mode);
}

int available_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  int cpus = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
  // cgroup v2: "MAX PERIOD" in microseconds, or "max".
  if (std::FILE* file = std::fopen("/sys/fs/cgroup/cpu.max", "re")) {
    long quota = 0, period = 0;
    if (std::fscanf(file, "%ld %ld", &quota, &period) == 2 && quota > 0 && period > 0) {
      cpus = std::min(cpus, static_cast<int>((quota + period - 1) / period));
    }
    std::fclose(file);
  }
  return std::max(cpus, 1);
}

}  // namespace sluice
