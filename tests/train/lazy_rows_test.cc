// Rows of the embedding that are stepped late leave no trace in a run.
#include <catch2/catch.hpp>

#include "sluice/kernels/instruction_set.h"
#include "sluice/train/trainer.h"
#include "tests/support/tiny_model.h"
#include "tests/support/tiny_run.h"

namespace sluice::train {
namespace {

using kernels::Array;
using testing::read_all;
using testing::TinyRun;

// Far more words than a batch has tokens, each in few batches of an epoch.
std::string rare_words() {
  std::string text;
  for (std::uint64_t i = 0; i < 2000; ++i) {
    const double u = uniform_at(derive_key(5, "text"), i);
    text += "w" + std::to_string(static_cast<int>(400 * u * u)) + (i % 9 == 8 ? "\n" : " ");
  }
  return text;
}

struct Case {
  std::string name;
  bool adaptive = false, tied = false;
  double ema_decay = 0;
  Index accumulate_steps = 1;
};

void prepare(TinyRun& run, kernels::RowUpdates updates, const Case& c) {
  run.backend = kernels::make_backend(run.pool, kernels::chosen_instruction_set(), updates);
  run.train_text = rare_words();
  run.config.tokenizer.type = text::TokenizerType::kWord;
  run.config.optimizer.momentum = 0.9;
  run.config.optimizer.weight_decay = 1e-3;
  run.config.train.ema_decay = c.ema_decay;
  run.config.train.accumulate_steps = c.accumulate_steps;
  run.config.model.output.tied = c.tied;
  run.config.model.output.type =
      c.adaptive ? model::OutputType::kAdaptive : model::OutputType::kSoftmax;
  run.config.model.output.cutoffs = {20, 100};
  run.config.model.output.tail_div = c.tied ? 1 : 2;
  run.config.train.max_steps = 1000;
  run.config.train.eval_every = 300;
  run.config.train.save_every = 450;
  run.config.train.log_every = 100;
  run.prepare();
}

}  // namespace

TEST_CASE("Trainer: lazy rows give the bits of dense ones over 1,000 steps with resumes",
          "[train]") {
  const Case c = GENERATE(Case{"whole"}, Case{"adaptive", true}, Case{"tied adaptive", true, true},
                          Case{"averages", true, false, 0.9},
                          Case{"tied averages, accumulated", true, true, 0.9, 2});
  INFO(c.name);
  TinyRun dense;
  prepare(dense, kernels::RowUpdates::kDense, c);
  RunDirectory whole = RunDirectory::open_new(dense.folder / "run", false);
  const auto expected = dense.new_model();
  Trainer uninterrupted = dense.trainer(*expected, whole);
  uninterrupted.run();

  TinyRun lazy;
  prepare(lazy, kernels::RowUpdates::kLazy, c);
  RunDirectory directory = RunDirectory::open_new(lazy.folder / "run", false);
  auto model = lazy.new_model();
  TrainState state;
  int resumes = 0;
  for (;; ++resumes) {
    int left = 137;  // stops at no particular place
    Trainer trainer = lazy.trainer(*model, directory, state, [&] { return left-- <= 0; });
    const Trainer::Outcome outcome = trainer.run();
    state = trainer.state();
    if (outcome == Trainer::Outcome::kFinished) break;
    const ModelFile checkpoint(directory.checkpoints().front().path);
    REQUIRE(checkpoint.state().step == state.step);
    model = lazy.new_model(99);
    checkpoint.load(*model, true);
  }
  CHECK(resumes >= 7);
  for (const Array array : {Array::kValue, Array::kState0}) {
    CHECK(read_all(model->parameters(), array) == read_all(expected->parameters(), array));
  }
  if (c.ema_decay > 0) {
    CHECK(read_all(model->parameters(), Array::kAverage) ==
          read_all(expected->parameters(), Array::kAverage));
  }
  CHECK(state.best_loss == uninterrupted.state().best_loss);
  CHECK(state.last_grad_norm == uninterrupted.state().last_grad_norm);
}

}  // namespace sluice::train
