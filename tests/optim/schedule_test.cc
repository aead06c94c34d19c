#include "sluice/optim/schedule.h"

#include <catch2/catch.hpp>

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

TEST_CASE("Schedule: progress beyond a limit that was overshot counts as its end", "[optim]") {
  const ScheduleConfig config{.type = ScheduleType::kCosine, .min_lr = 0.5};
  CHECK(learning_rate(config, 2.0, 1.5) == Approx(0.5));
  CHECK(learning_rate(config, 2.0, -1.0) == Approx(2.0));
}

}  // namespace
}  // namespace sluice::optim
