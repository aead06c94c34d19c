#include "sluice/optim/plateau.h"

#include <catch2/catch.hpp>
#include <limits>
#include <vector>

namespace sluice::optim {
namespace {

// How often the rate has fallen after each of these losses.
std::vector<int> falls(const ScheduleConfig& schedule, const std::vector<double>& losses) {
  Plateau plateau;
  std::vector<int> counts;
  double scale = 1;
  int count = 0;
  for (const double loss : losses) {
    plateau.add(loss, schedule);
    count += plateau.lr_scale < scale;
    scale = plateau.lr_scale;
    counts.push_back(count);
  }
  return counts;
}

TEST_CASE("Plateau: patience losses are borne, the next lowers the rate and waits anew",
          "[optim]") {
  const ScheduleConfig two{.type = ScheduleType::kPlateau, .patience = 2};
  CHECK(falls(two, {3, 3, 3, 3, 3, 3, 3}) == std::vector<int>{0, 0, 0, 1, 1, 1, 2});
  CHECK(falls(two, {3, 3, 3, 2, 3, 3, 3}) == std::vector<int>{0, 0, 0, 0, 0, 0, 1});
  const ScheduleConfig none{.type = ScheduleType::kPlateau, .patience = 0};
  CHECK(falls(none, {3, 3, 2, 3}) == std::vector<int>{0, 1, 1, 2});
}

TEST_CASE("Plateau: an improvement is relative, by more than 1e-4 of the best", "[optim]") {
  const ScheduleConfig schedule{.type = ScheduleType::kPlateau};
  Plateau plateau;
  plateau.add(5, schedule);
  CHECK(plateau.best == 5);
  plateau.add(5 * (1 - 0.99e-4), schedule);
  CHECK(plateau.best == 5);
  CHECK(plateau.stale == 1);
  plateau.add(5 * (1 - 1.01e-4), schedule);
  CHECK(plateau.best == 5 * (1 - 1.01e-4));
  CHECK(plateau.stale == 0);
  CHECK(plateau.waited == 0);
  plateau.add(std::numeric_limits<double>::quiet_NaN(), schedule);
  CHECK(plateau.best == 5 * (1 - 1.01e-4));
  CHECK(plateau.stale == 1);
}

TEST_CASE("Plateau: the count for early stopping outlives a fall of the rate", "[optim]") {
  const ScheduleConfig schedule{.type = ScheduleType::kPlateau, .patience = 1};
  Plateau plateau;
  for (int i = 0; i < 4; ++i) plateau.add(1, schedule);
  CHECK(plateau.stale == 3);
  CHECK(plateau.waited == 1);
  CHECK(plateau.lr_scale == 0.5);
}

TEST_CASE("Plateau: other schedules leave the rate alone and count all the same", "[optim]") {
  const ScheduleConfig schedule{.type = ScheduleType::kCosine, .patience = 0};
  Plateau plateau;
  for (int i = 0; i < 4; ++i) plateau.add(1, schedule);
  CHECK(plateau.lr_scale == 1);
  CHECK(plateau.stale == 3);
  CHECK(plateau.waited == 0);
}

TEST_CASE("Plateau: the peak falls by the factor, never under min_lr", "[optim]") {
  const ScheduleConfig schedule{
      .type = ScheduleType::kPlateau, .min_lr = 0.3, .factor = 0.25, .patience = 0};
  Plateau plateau;
  CHECK(peak_left(plateau, schedule, 2) == 2);
  plateau.add(1, schedule);
  plateau.add(1, schedule);
  CHECK(peak_left(plateau, schedule, 2) == 0.5);
  plateau.add(1, schedule);
  CHECK(peak_left(plateau, schedule, 2) == 0.3);
}

}  // namespace
}  // namespace sluice::optim
