#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "sluice/config/config.h"
#include "sluice/config/run_text.h"
#include "sluice/kernels/instruction_set.h"
#include "sluice/optim/optimizer.h"
#include "sluice/train/trainer.h"
#include "tests/support/temp_dir.h"
#include "tests/support/text_file.h"

namespace sluice::testing {

// Everything that a run needs, small enough to train in a moment, in a directory of its own. Change
// `config` and the texts, then call prepare().
struct TinyRun {
  TinyRun() {
    config.tokenizer.type = text::TokenizerType::kChar;
    config.data.tokens_per_sample = 8;
    config.data.batch_size = 2;
    config.data.cache_dir = folder / "cache";
    config.model.embedding_dim = 4;
    config.model.blocks = {{.layers = {{.kernel = 2, .channels = 5}}, .repeat = 2}};
    config.optimizer.lr = 0.05;
    config.train.max_steps = 12;
    config.train.eval_every = 4;
    config.train.save_every = 4;
    config.train.log_every = 2;
  }

  void prepare() {
    config.data.train = {write_text(folder / "train.txt", train_text)};
    config.data.valid = {write_text(folder / "valid.txt", valid_text)};
    text.emplace(config::prepare_text(
        config.data, config.tokenizer, std::nullopt, [](const std::string&) {},
        [](std::uint64_t, std::uint64_t) {}));
    config::resolve_cutoffs(config, *text, [](const std::string&) {});
    batches = text::make_batcher(config.data, text->train, text->permutation,
                                 text->tokenizer->end_of_line(), model::context_rows(config.model),
                                 static_cast<std::uint64_t>(config.train.seed));
    info = {.config = to_json(config),
            .tokenizer = text->tokenizer->serialise(),
            .permutation = text->permutation.model_ids(),
            .data_hash = text->train.corpus_hash(),
            .tokenizer_hash = text->tokenizer->hash()};
  }

  std::unique_ptr<model::GatedConvLm> new_model(std::uint64_t seed = 1) {
    auto model = std::make_unique<model::GatedConvLm>(
        config.model, text->tokenizer->size(), *backend,
        kernels::training_arrays(optim::update_kind(config.optimizer), config.train.ema_decay > 0));
    model->initialise(seed);
    return model;
  }

  // Row of a character in the tables of the model.
  std::size_t row_of(char character) const {
    text::Encoding encoding;
    text->tokenizer->encode(std::string(1, character), encoding);
    return static_cast<std::size_t>(text->permutation.to_model(encoding.ids.at(0)));
  }

  using Stop = std::function<bool()>;
  train::Trainer trainer(
      model::GatedConvLm& model, train::RunDirectory& directory,
      const train::TrainState& state = {}, Stop stop = [] { return false; },
      train::Trainer::Context context = {}) {
    return train::Trainer({.train = config.train,
                           .optimizer = config.optimizer,
                           .schedule = config.schedule,
                           .model = model,
                           .batches = *batches,
                           .batch_size = config.data.batch_size,
                           .positions_per_sample = config.data.positions_per_sample(),
                           .valid = text->valid,
                           .mode = config.data.mode,
                           .permutation = text->permutation,
                           .end_of_line = text->tokenizer->end_of_line(),
                           .info = info,
                           .directory = directory,
                           .bar = bar,
                           .stop_requested = std::move(stop)},
                          state, std::move(context));
  }

  TempDir folder;
  config::Config config;
  std::string train_text =
      "the quick brown fox jumps over the lazy dog\nand the dog sleeps on\nuntil the fox is gone\n";
  std::string valid_text = "a dog and a fox\nare quick\n";

  ThreadPool pool{1};
  std::unique_ptr<kernels::Backend> backend = kernels::make_backend(pool);
  train::ProgressBar bar{false};
  std::optional<config::RunText> text;
  std::unique_ptr<text::Batcher> batches;
  train::ModelInfo info;
};

}  // namespace sluice::testing
