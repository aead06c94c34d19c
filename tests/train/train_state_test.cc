#include "sluice/train/train_state.h"

#include <catch2/catch.hpp>

#include "tests/support/error_check.h"

namespace sluice::train {
namespace {

// Numbers that no short decimal spells.
TrainState some_state() {
  return {.step = 12345678901,
          .updates = 12345678900,
          .samples = 98765432109876,
          .bad_steps = 3,
          .bad_in_a_row = 1,
          .elapsed_seconds = 1e4 / 3,
          .validated_step = 77,
          .best_loss = 1.0 / 3,
          .best_step = 70,
          .plateau = {.best = 2.0 / 3, .stale = 9, .waited = 4, .lr_scale = 0.1 * 0.7},
          .baseline_due = 1,
          .interval_nats = 0.1 + 0.2,
          .interval_targets = 4096,
          .last_lr = 1e-300 / 3,
          .last_grad_norm = 2.0 / 7};
}

TEST_CASE("TrainState: JSON and back is the same state, bit for bit", "[train]") {
  CHECK(TrainState::from_json(some_state().to_json(), "x") == some_state());
  const TrainState fresh;  // with infinite best losses
  CHECK(TrainState::from_json(fresh.to_json(), "x") == fresh);
}

// Fields that files of the first version do not have.
bool is_later(const std::string& field) {
  return field.starts_with("plateau_") || field == "lr_scale" || field == "baseline_due";
}

TEST_CASE("TrainState: of a file from before the plateau schedule, its defaults", "[train]") {
  const TrainState state = TrainState::from_json(
      R"({"step":30,"updates":29,"samples":120,"bad_steps":1,"bad_in_a_row":0,)"
      R"("elapsed_seconds":1.5,"validated_step":30,"best_loss":2.5,"best_step":20,)"
      R"("interval_nats":0.0,"interval_targets":0,"last_lr":0.01,"last_grad_norm":0.5})",
      "x");
  CHECK(state.step == 30);
  CHECK(state.best_loss == 2.5);
  CHECK(state.plateau == optim::Plateau{});
  CHECK(state.baseline_due == 0);
}

TEST_CASE("TrainState: every field takes part", "[train]") {
  const TrainState fresh;
  const std::string json = some_state().to_json();
  for (const std::string field :
       {"step", "updates", "samples", "bad_steps", "bad_in_a_row", "elapsed_seconds",
        "validated_step", "best_step", "plateau_best", "plateau_stale", "plateau_waited",
        "lr_scale", "baseline_due", "interval_nats", "interval_targets", "last_lr",
        "last_grad_norm"}) {
    CAPTURE(field);
    std::string cut = json;
    const std::size_t at = cut.find("\"" + field + "\":");
    REQUIRE(at != std::string::npos);
    cut.replace(at + 1, 1, "_");
    if (is_later(field)) {
      CHECK_NOTHROW(TrainState::from_json(cut, "x"));
    } else {
      testing::check_error(ExitCode::kBadData, {"x: training state: no " + field},
                           [&] { TrainState::from_json(cut, "x"); });
    }
    for (const std::string bad : {"-1", "\"1\"", "true", "null"}) {
      std::string wrong = json;
      const std::size_t value = at + field.size() + 3;
      wrong.replace(value, wrong.find_first_of(",}", value) - value, bad);
      testing::check_error(ExitCode::kBadData, {"x: training state: bad " + field},
                           [&] { TrainState::from_json(wrong, "x"); });
    }
  }
}

TEST_CASE("TrainState: counts that would overflow and texts that are no state are refused",
          "[train]") {
  std::string json = TrainState{}.to_json();
  json.replace(json.find("\"step\":0") + 7, 1, "9223372036854775808");
  testing::check_error(ExitCode::kBadData, {"bad step"}, [&] { TrainState::from_json(json, "x"); });
  for (const std::string text : {"", "[]", "1", "{", "null"}) {
    testing::check_error(ExitCode::kBadData, {"not a JSON object"},
                         [&] { TrainState::from_json(text, "x"); });
  }
}

}  // namespace
}  // namespace sluice::train
