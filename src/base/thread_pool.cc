#include "sluice/base/thread_pool.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "sluice/base/error.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace sluice {
namespace {

// The thread's floating-point mode, the bits of it that flush denormals to zero, and the hint that
// a thread is spinning.
#if defined(__x86_64__)
using FloatMode = unsigned;
constexpr FloatMode kFlushToZero = 0x8040;  // FTZ | DAZ of MXCSR
FloatMode float_mode() { return _mm_getcsr(); }
void set_float_mode(FloatMode mode) { _mm_setcsr(mode); }
void pause_spinning() { _mm_pause(); }
#elif defined(__aarch64__)
using FloatMode = std::uint64_t;
constexpr FloatMode kFlushToZero = 1 << 24;  // FZ of FPCR
FloatMode float_mode() {
  FloatMode mode;
  asm volatile("mrs %0, fpcr" : "=r"(mode));
  return mode;
}
void set_float_mode(FloatMode mode) { asm volatile("msr fpcr, %0" : : "r"(mode)); }
void pause_spinning() { asm volatile("yield"); }
#else
using FloatMode = unsigned;
constexpr FloatMode kFlushToZero = 0;
FloatMode float_mode() { return 0; }
void set_float_mode(FloatMode) {}
void pause_spinning() {}
#endif

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
  std::exception_ptr failure;

  // A chunk can run out of memory. The first failure ends the job and is thrown by run(), once no
  // worker looks at the job any more.
  void claim(int worker) noexcept {
    try {
      for (;;) {
        const Index chunk = next.fetch_add(1, std::memory_order_relaxed);
        if (chunk >= count) return;
        (*job)(chunk, worker);
      }
    } catch (...) {
      std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
      next.store(count, std::memory_order_relaxed);
    }
  }

  void wait_for_job(std::uint64_t seen) {
    const auto until = std::chrono::steady_clock::now() + kSpin;
    while (generation.load(std::memory_order_acquire) == seen) {
      if (std::chrono::steady_clock::now() < until) {
        pause_spinning();
        continue;
      }
      std::unique_lock lock(mutex);
      wake.wait(lock, [&] { return generation.load(std::memory_order_acquire) != seen; });
    }
  }

  void work(int worker) {
    set_float_mode(float_mode() | kFlushToZero);
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
  const FloatMode caller_mode = float_mode();
  set_float_mode(caller_mode | kFlushToZero);
  state_->job = &chunk;
  state_->count = count;
  state_->next.store(0, std::memory_order_relaxed);
  if (count <= 1 || state_->threads.empty()) {
    state_->claim(0);
  } else {
    state_->busy.store(static_cast<int>(state_->threads.size()), std::memory_order_relaxed);
    state_->publish();
    state_->claim(0);
    // Every worker must have left the job before its storage goes: wait for the stragglers.
    const auto until = std::chrono::steady_clock::now() + kSpin;
    while (state_->busy.load(std::memory_order_acquire) != 0) {
      if (std::chrono::steady_clock::now() < until) {
        pause_spinning();
      } else {
        std::this_thread::yield();
      }
    }
  }
  set_float_mode(caller_mode);
  if (state_->failure) std::rethrow_exception(std::exchange(state_->failure, nullptr));
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
