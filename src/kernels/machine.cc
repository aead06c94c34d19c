#include "sluice/kernels/machine.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <chrono>
#include <vector>

#include "simd/peak.h"
#include "simd/tile_peak.h"

namespace sluice::kernels {
namespace {

using Clock = std::chrono::steady_clock;

// Small beside a measurement and large beside the claim of a chunk.
constexpr Index kRounds = 20000;
constexpr Index kTileProducts = 10;
constexpr std::size_t kPiece = std::size_t{1} << 18;  // bytes

// What a thread writes and remembers, on cache lines of its own.
struct alignas(128) Worker {
  std::array<float, simd::kSinkSize> sink{0.5F, 0.25F};
  double work = 0;  // FLOP or bytes
  std::size_t at = 0;
};

// Runs chunk(worker) on all threads for about `seconds` and `least` times or more; returns what it
// added to `work`, per second.
template <class Chunk>
double rate(ThreadPool& pool, double seconds, Index least, const Chunk& chunk) {
  std::vector<Worker> workers(static_cast<std::size_t>(pool.size()));
  const auto run = [&](Index chunks) {
    for (Worker& worker : workers) worker.work = 0;
    const auto begin = Clock::now();
    pool.run(chunks,
             [&](Index, int worker) { chunk(worker, workers[static_cast<std::size_t>(worker)]); });
    return std::chrono::duration<double>(Clock::now() - begin).count();
  };
  // A first run wakes the threads and tells how many chunks fill the time.
  const Index first = 4 * pool.size();
  const double one = std::max(run(first), 1e-7) / static_cast<double>(first);
  const double elapsed = run(std::max(least, static_cast<Index>(std::min(seconds / one, 1e9))));
  double work = 0;
  for (const Worker& worker : workers) work += worker.work;
  return work / elapsed;
}

}  // namespace

double measure_product_peak(ThreadPool& pool, double seconds) {
  return rate(pool, seconds, pool.size(), [](int, Worker& worker) {
    // Chains that stay where they are: x -> x / 2 + 1 / 4 at 1 / 2.
    worker.sink[0] = 0.5F;
    worker.sink[1] = 0.25F;
    worker.work += simd::multiply_add(kRounds, worker.sink.data());
  });
}

double measure_tile_peak(ThreadPool& pool, double seconds) {
  const simd::TileKernels* const kernels = simd::find_amx_kernels();
  assert(kernels != nullptr);
  std::vector<simd::TilePeak> peaks(static_cast<std::size_t>(pool.size()));
  return rate(pool, seconds, 1, [&](int number, Worker& worker) {
    worker.work += peaks[static_cast<std::size_t>(number)].multiply(*kernels, kTileProducts);
  });
}

double measure_read_rate(ThreadPool& pool, std::span<const std::byte> memory, double seconds) {
  assert(!memory.empty());
  const auto threads = static_cast<std::size_t>(pool.size());
  // Whole cache lines where there are enough.
  const std::size_t share = std::max<std::size_t>(memory.size() / threads / 64 * 64, 64);
  // All of it: the beginning alone might fit into a cache.
  const auto pass = static_cast<Index>(memory.size() / kPiece) + pool.size();
  return rate(pool, seconds, pass, [&](int number, Worker& worker) {
    const std::size_t begin = std::min(static_cast<std::size_t>(number) * share, memory.size() - 1);
    const std::size_t size = std::min(share, memory.size() - begin);
    // As much as a piece, from where the last one ended.
    for (std::size_t left = kPiece; left > 0;) {
      const std::size_t length = std::min(left, size - worker.at);
      simd::read(memory.data() + begin + worker.at, length, worker.sink.data());
      worker.at = worker.at + length == size ? 0 : worker.at + length;
      worker.work += static_cast<double>(length);
      left -= length;
    }
  });
}

std::string_view widest_instructions() { return simd::target_name(); }

}  // namespace sluice::kernels
