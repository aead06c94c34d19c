#include "sluice/base/thread_pool.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <limits>
#include <new>
#include <thread>
#include <vector>

namespace sluice {

TEST_CASE("ThreadPool: every chunk runs once, whatever the number of threads", "[base]") {
  const int threads = GENERATE(1, 2, 3, 4);
  ThreadPool pool(threads);
  CHECK(pool.size() == threads);
  for (const Index count : {0, 1, 2, 3, 7, 100, 1000}) {
    std::vector<std::atomic<int>> runs(static_cast<std::size_t>(count));
    std::atomic<bool> workers_fit{true};
    pool.run(count, [&](Index chunk, int worker) {
      runs[static_cast<std::size_t>(chunk)].fetch_add(1);
      if (worker < 0 || worker >= threads) workers_fit = false;
    });
    CHECK(workers_fit);
    for (const auto& run : runs) REQUIRE(run == 1);
  }
}

TEST_CASE("ThreadPool: jobs end before run() returns, over many short jobs", "[base]") {
  const int threads = GENERATE(2, 3, 4);
  ThreadPool pool(threads);
  for (int job = 0; job < 3000; ++job) {
    // Plain memory, gone after the job: a chunk that outlived its job would write into the next.
    std::vector<int> marks(5);
    pool.run(5, [&](Index chunk, int) { marks[static_cast<std::size_t>(chunk)] += job + 1; });
    for (const int mark : marks) REQUIRE(mark == job + 1);
    // Now and then long enough for the workers to fall asleep.
    if (job % 300 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

TEST_CASE("ThreadPool: one worker runs one chunk at a time", "[base]") {
  ThreadPool pool(4);
  std::vector<std::atomic<int>> inside(4);
  std::atomic<bool> alone{true};
  pool.run(2000, [&](Index, int worker) {
    auto& own = inside[static_cast<std::size_t>(worker)];
    if (own.fetch_add(1) != 0) alone = false;
    own.fetch_sub(1);
  });
  CHECK(alone);
}

TEST_CASE("ThreadPool: chunks flush denormals to zero, the caller's mode comes back", "[base]") {
  const int threads = GENERATE(1, 3);
  ThreadPool pool(threads);
  volatile float tiny = std::numeric_limits<float>::min();
  const float halved = tiny / 2;
  CHECK(halved > 0);
  std::atomic<int> wrong{0};
  for (int job = 0; job < 50; ++job) {
    pool.run(64, [&](Index, int) {
      const volatile float half = tiny / 2;  // FTZ: a denormal result
      volatile float denormal = halved;
      const volatile float product = denormal * 1e30F;  // DAZ: a denormal operand
      if (half != 0 || product != 0) wrong.fetch_add(1);
    });
  }
  CHECK(wrong == 0);
  const volatile float after = tiny / 2;
  CHECK(after > 0);
}

TEST_CASE("ThreadPool: a pool that never ran a job ends", "[base]") {
  for (int i = 0; i < 20; ++i) ThreadPool pool(1 + i % 4);
}

TEST_CASE("ThreadPool: at least one CPU is available", "[base]") {
  CHECK(available_cpus() >= 1);
  CHECK(available_cpus() <= 4096);
}

TEST_CASE("ThreadPool: what a chunk throws ends the job and reaches the caller", "[base]") {
  const int threads = GENERATE(1, 2, 4);
  ThreadPool pool(threads);
  for (int round = 0; round < 50; ++round) {
    std::atomic<int> started{0};
    const auto fail_from_ten = [&](Index chunk, int) {
      ++started;
      if (chunk >= 10) throw std::bad_alloc();
    };
    CHECK_THROWS_AS(pool.run(1000, fail_from_ten), std::bad_alloc);
    CHECK(started >= 11);
    CHECK(started < 1000);
    // The pool is as good as before.
    std::atomic<int> done{0};
    pool.run(100, [&](Index, int) { ++done; });
    CHECK(done == 100);
  }
}

}  // namespace sluice
