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
  // One word, so that a worker joins a job and the caller closes it in one step each:
  // generation << 32 | open | workers that joined. The caller waits for these alone: a thread that
  // another process keeps from running misses the job, and nobody waits for it to notice.
  static constexpr std::uint64_t kOpen = 1ULL << 31, kJoined = kOpen - 1;
  static std::uint64_t generation_of(std::uint64_t word) { return word >> 32; }

  std::vector<std::thread> threads;
  std::mutex mutex;
  std::condition_variable wake, left;
  std::atomic<std::uint64_t> word{0};
  std::atomic<bool> caller_sleeps{false};
  std::atomic<bool> stop{false};
  const std::function<void(Index, int)>* job = nullptr;
  Index count = 0;
  std::atomic<Index> next{0};
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
    const auto is_new = [&] { return generation_of(word.load()) != seen; };
    const auto until = std::chrono::steady_clock::now() + kSpin;
    while (!is_new()) {
      if (std::chrono::steady_clock::now() < until) {
        pause_spinning();
        continue;
      }
      std::unique_lock lock(mutex);
      wake.wait(lock, is_new);
    }
  }

  // False: the job is over.
  bool join() {
    std::uint64_t now = word.load();
    while ((now & kOpen) != 0) {
      if (word.compare_exchange_weak(now, now + 1)) return true;
    }
    return false;
  }

  void leave() {
    const std::uint64_t now = word.fetch_sub(1) - 1;
    if ((now & (kOpen | kJoined)) != 0 || !caller_sleeps.load()) return;
    { std::lock_guard lock(mutex); }
    left.notify_one();
  }

  void work(int worker) {
    set_float_mode(float_mode() | kFlushToZero);
    for (std::uint64_t seen = 0;;) {
      wait_for_job(seen);
      // In this order: stop is set before the last generation, which nobody follows with another.
      seen = generation_of(word.load());
      if (stop.load()) return;
      if (!join()) continue;
      claim(worker);
      leave();
    }
  }

  void publish(std::uint64_t open) {
    {
      std::lock_guard lock(mutex);
      word.store((generation_of(word.load()) + 1) << 32 | open);
    }
    wake.notify_all();
  }

  // Sleeping, not yielding: a worker that another process keeps from its core can then be moved to
  // this one.
  void close() {
    word.fetch_and(~kOpen);
    const auto all_left = [&] { return (word.load() & kJoined) == 0; };
    const auto until = std::chrono::steady_clock::now() + kSpin;
    while (!all_left() && std::chrono::steady_clock::now() < until) pause_spinning();
    if (all_left()) return;
    caller_sleeps.store(true);
    {
      std::unique_lock lock(mutex);
      left.wait(lock, all_left);
    }
    caller_sleeps.store(false);
  }

  void shut_down() {
    stop.store(true);
    publish(0);
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
    state_->publish(State::kOpen);
    state_->claim(0);
    state_->close();
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
