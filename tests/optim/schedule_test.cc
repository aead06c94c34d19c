#include "sluice/optim/schedule.h"

#include <catch2/catch.hpp>
#include <cmath>

namespace sluice::optim {
namespace {

TEST_CASE("Schedule: constant is the peak, after a linear rise", "[optim]") {
  const ScheduleConfig flat;
  for (const double progress : {0.0, 0.3, 1.0}) CHECK(learning_rate(flat, 2.0, progress) == 2.0);
  const ScheduleConfig risen{.warmup = 0.2};
  CHECK(learning_rate(risen, 2.0, 0.0) == 0.0);
  CHECK(learning_rate(risen, 2.0, 0.05) == Approx(0.5));
  CHECK(learning_rate(risen, 2.0, 0.2) == 2.0);
  CHECK(learning_rate(risen, 2.0, 0.7) == 2.0);
}

TEST_CASE("Schedule: cosine falls from the peak to min_lr over what the warm-up leaves",
          "[optim]") {
  const ScheduleConfig config{.type = ScheduleType::kCosine, .warmup = 0.2, .min_lr = 0.5};
  CHECK(learning_rate(config, 2.0, 0.1) == Approx(1.0));
  CHECK(learning_rate(config, 2.0, 0.2) == Approx(2.0));
  CHECK(learning_rate(config, 2.0, 0.4) == Approx(0.5 + 1.5 * (1 + 0.7071067811865476) / 2));
  CHECK(learning_rate(config, 2.0, 0.6) == Approx(1.25));
  CHECK(learning_rate(config, 2.0, 1.0) == Approx(0.5));
}

TEST_CASE("Schedule: linear falls from the peak to min_lr over what the warm-up leaves",
          "[optim]") {
  const ScheduleConfig config{.type = ScheduleType::kLinear, .warmup = 0.2, .min_lr = 0.5};
  CHECK(learning_rate(config, 2.0, 0.1) == Approx(1.0));
  CHECK(learning_rate(config, 2.0, 0.2) == Approx(2.0));
  CHECK(learning_rate(config, 2.0, 0.4) == Approx(1.625));
  CHECK(learning_rate(config, 2.0, 0.6) == Approx(1.25));
  CHECK(learning_rate(config, 2.0, 1.0) == Approx(0.5));
  const ScheduleConfig to_zero{.type = ScheduleType::kLinear};
  CHECK(learning_rate(to_zero, 2.0, 0.0) == 2.0);
  CHECK(learning_rate(to_zero, 2.0, 1.0) == 0.0);
}

TEST_CASE("Schedule: inverse_sqrt falls with the root of progress from the end of the warm-up",
          "[optim]") {
  const ScheduleConfig config{.type = ScheduleType::kInverseSqrt, .warmup = 0.04};
  CHECK(learning_rate(config, 2.0, 0.02) == Approx(1.0));
  CHECK(learning_rate(config, 2.0, 0.04) == Approx(2.0));
  CHECK(learning_rate(config, 2.0, 0.16) == Approx(1.0));
  CHECK(learning_rate(config, 2.0, 0.5) == Approx(2.0 * std::sqrt(0.08)));
  CHECK(learning_rate(config, 2.0, 1.0) == Approx(0.4));
}

TEST_CASE("Schedule: steps falls by the factor at each milestone that is reached", "[optim]") {
  const ScheduleConfig config{
      .type = ScheduleType::kSteps, .warmup = 0.1, .factor = 0.25, .milestones = {0.5, 0.75}};
  CHECK(learning_rate(config, 2.0, 0.05) == Approx(1.0));
  CHECK(learning_rate(config, 2.0, 0.1) == 2.0);
  CHECK(learning_rate(config, 2.0, 0.4999) == 2.0);
  CHECK(learning_rate(config, 2.0, 0.5) == 0.5);
  CHECK(learning_rate(config, 2.0, 0.7499) == 0.5);
  CHECK(learning_rate(config, 2.0, 0.75) == 0.125);
  CHECK(learning_rate(config, 2.0, 1.0) == 0.125);
}

TEST_CASE("Schedule: plateau is the peak that it is given, after a linear rise", "[optim]") {
  const ScheduleConfig config{.type = ScheduleType::kPlateau, .warmup = 0.2};
  CHECK(learning_rate(config, 2.0, 0.1) == Approx(1.0));
  for (const double progress : {0.2, 0.6, 1.0}) CHECK(learning_rate(config, 2.0, progress) == 2.0);
}

TEST_CASE("Schedule: min_lr is the least after the warm-up, unless the peak is less", "[optim]") {
  ScheduleConfig config{.warmup = 0.1, .min_lr = 0.5, .milestones = {0.2, 0.3, 0.4}};
  for (const auto type : {ScheduleType::kInverseSqrt, ScheduleType::kSteps}) {
    config.type = type;
    CHECK(learning_rate(config, 1.0, 1.0) == 0.5);
    CHECK(learning_rate(config, 1.0, 0.1) == 1.0);
    CHECK(learning_rate(config, 1.0, 0.01) == Approx(0.1));  // still rising
    CHECK(learning_rate(config, 0.25, 1.0) == 0.25);
  }
  for (const auto type : {ScheduleType::kConstant, ScheduleType::kPlateau}) {
    config.type = type;
    CHECK(learning_rate(config, 0.25, 1.0) == 0.25);
  }
}

TEST_CASE("Schedule: progress beyond a limit that was overshot counts as its end", "[optim]") {
  const ScheduleConfig config{.type = ScheduleType::kCosine, .min_lr = 0.5};
  CHECK(learning_rate(config, 2.0, 1.5) == Approx(0.5));
  CHECK(learning_rate(config, 2.0, -1.0) == Approx(2.0));
}

}  // namespace
}  // namespace sluice::optim
