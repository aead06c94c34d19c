#include "sluice/optim/optimizer.h"

#include <catch2/catch.hpp>

#include "tests/support/golden.h"

namespace sluice::optim {
namespace {

TEST_CASE("Optimizer: the clipping factor is torch.nn.utils.clip_grad_norm_'s", "[optim]") {
  const testing::Golden golden("clip");
  const double max_norm = golden.scalar("max_norm");
  for (const std::string kind : {"above", "below"}) {
    CAPTURE(kind);
    const double factor = clip_factor(golden.scalar(kind + ".total_norm"), max_norm);
    for (const std::string name : {".grad.a", ".grad.b"}) {
      const auto gradient = golden.values<double>(kind + name);
      const auto clipped = golden.values<double>(kind + ".clipped" + name.substr(5));
      for (std::size_t i = 0; i < gradient.size(); ++i) {
        CHECK(gradient[i] * factor == Approx(clipped[i]).epsilon(1e-12));
      }
    }
  }
  CHECK(clip_factor(1e9, 0) == 1);
  CHECK(clip_factor(0, 0.1) == 1);
}

TEST_CASE("Optimizer: a rule divides the sum by its targets and clips", "[optim]") {
  OptimizerConfig config;
  config.clip_norm = 0.5;
  CHECK(update_rule(config, 0.1, 8, 0.25, 1).scale == Approx(1.0 / 8));
  CHECK(update_rule(config, 0.1, 8, 2.0, 1).scale == Approx(0.25 / 8).epsilon(1e-5));
  config.clip_norm = 0;
  CHECK(update_rule(config, 0.1, 8, 2.0, 1).scale == Approx(1.0 / 8));
}

TEST_CASE("Optimizer: a rule carries its optimiser's own fields", "[optim]") {
  OptimizerConfig config{.type = OptimizerType::kNag,
                         .lr = 3,
                         .momentum = 0.7,
                         .betas = {0.8, 0.95},
                         .eps = 1e-5,
                         .weight_decay = 0.02};
  const kernels::UpdateRule nag = update_rule(config, 0.1, 1, 0, 5);
  CHECK(nag.kind == kernels::UpdateKind::kNag);
  CHECK(nag.lr == 0.1);  // the schedule's, not the peak
  CHECK(nag.momentum == 0.7);
  CHECK(nag.step == 5);
  CHECK(nag.matrix_decay == 0.02);
  CHECK(nag.other_decay == 0);

  config.type = OptimizerType::kAdamw;
  config.decay = Decay::kAll;
  const kernels::UpdateRule adamw = update_rule(config, 0.1, 1, 0, 6);
  CHECK(adamw.kind == kernels::UpdateKind::kAdamw);
  CHECK(adamw.momentum == 0.8);
  CHECK(adamw.beta2 == 0.95);
  CHECK(adamw.eps == 1e-5);
  CHECK(adamw.step == 6);
  CHECK(adamw.matrix_decay == 0.02);
  CHECK(adamw.other_decay == 0.02);

  config.type = OptimizerType::kSgd;
  CHECK(update_rule(config, 0.1, 1, 0, 6).kind == kernels::UpdateKind::kSgd);
  CHECK(update_rule(config, 0.1, 1, 0, 6).momentum == 0.7);
  config.type = OptimizerType::kAdam;
  CHECK(update_rule(config, 0.1, 1, 0, 6).kind == kernels::UpdateKind::kAdam);
  CHECK(update_rule(config, 0.1, 1, 0, 6).beta2 == 0.95);
}

TEST_CASE("Optimizer: averages are short at first and then decay as asked", "[optim]") {
  CHECK(average_share(0.9, 1) == Approx(9.0 / 11));
  CHECK(average_share(0.9, 10) == Approx(9.0 / 20));
  CHECK(average_share(0.9, 79) == Approx(9.0 / 89));
  CHECK(average_share(0.9, 80) == Approx(0.1));  // 81 / 90
  CHECK(average_share(0.9, 1000000) == Approx(0.1));
  CHECK(average_share(0.05, 1) == Approx(0.95));
}

}  // namespace
}  // namespace sluice::optim
