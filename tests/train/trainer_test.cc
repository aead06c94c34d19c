#include "sluice/train/trainer.h"

#include <catch2/catch.hpp>
#include <cerrno>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <sstream>
#include <thread>

#include "sluice/train/step.h"
#include "tests/support/error_check.h"
#include "tests/support/tiny_model.h"
#include "tests/support/tiny_run.h"

namespace sluice::train {
namespace {

using kernels::Array;
using testing::check_error;
using testing::read_all;
using testing::TinyRun;
using Outcome = Trainer::Outcome;

std::vector<nlohmann::json> rows_of(const RunDirectory& directory) {
  std::vector<nlohmann::json> rows;
  std::istringstream lines(testing::read_text(directory.metrics_path()));
  for (std::string line; std::getline(lines, line);) rows.push_back(nlohmann::json::parse(line));
  return rows;
}

std::vector<std::int64_t> steps_saved(const RunDirectory& directory) {
  std::vector<std::int64_t> steps;
  for (const auto& checkpoint : directory.checkpoints()) steps.push_back(checkpoint.step);
  return steps;
}

struct Fixture {
  explicit Fixture(const std::function<void(TinyRun&)>& change = [](TinyRun&) {}) {
    change(run);
    run.prepare();
    model = run.new_model();
  }
  TinyRun run;
  RunDirectory directory = RunDirectory::open_new(run.folder / "run", false);
  std::unique_ptr<model::GatedConvLm> model;
};

TEST_CASE("Trainer: trains, validates, logs and saves when due", "[train]") {
  Fixture it([](TinyRun& run) { run.config.train.keep_last = 3; });
  Trainer trainer = it.run.trainer(*it.model, it.directory);
  CHECK(trainer.run() == Outcome::kFinished);
  CHECK(trainer.state().step == 12);
  CHECK(trainer.state().updates == 12);
  CHECK(trainer.state().samples == 24);
  CHECK(trainer.state().bad_steps == 0);
  CHECK(trainer.state().elapsed_seconds > 0);
  CHECK(steps_saved(it.directory) == std::vector<std::int64_t>{12, 8, 4});
  std::vector<std::int64_t> logged, validated;
  for (const auto& row : rows_of(it.directory)) {
    (row.contains("loss") ? logged : validated).push_back(row["step"]);
  }
  CHECK(logged == std::vector<std::int64_t>{2, 4, 6, 8, 10, 12});
  CHECK(validated == std::vector<std::int64_t>{4, 8, 12});
  const ModelFile best(it.directory.best_path());
  CHECK(best.state().best_loss == trainer.state().best_loss);
  CHECK(best.state().step == trainer.state().best_step);
  CHECK(rows_of(it.directory).front()["loss"] > rows_of(it.directory).back()["valid_loss"]);
}

TEST_CASE("Trainer: the logged loss is the mean over the interval's targets", "[train]") {
  Fixture it([](TinyRun& run) {
    run.config.train.log_every = 3;
    run.config.train.max_steps = 3;
    run.config.train.accumulate_steps = 2;
    run.config.optimizer.lr = 1e-30;  // the weights stay where they are
    run.config.optimizer.momentum = 0;
    run.config.model.dropout = {.embedding = 0, .layer = 0, .output = 0};
  });
  it.run.trainer(*it.model, it.directory).run();
  const auto fresh = it.run.new_model();
  const auto state = fresh->state(2, 8, false);
  text::Batch batch;
  double nats = 0;
  Index targets = 0;
  for (std::uint64_t sample = 0; sample < 12; sample += 2) {
    it.run.batches->load(sample, batch);
    state->clear_context();
    nats += fresh->forward(batch.inputs, batch.targets, *state).nats;
    targets += batch.scored;
  }
  const auto row = rows_of(it.directory).front();
  CHECK(row["step"] == 3);
  CHECK(row["loss"].get<double>() == Approx(nats / static_cast<double>(targets)).epsilon(1e-6));
}

// What a resumed run goes on from.
Trainer::Context context_of(const ModelFile& checkpoint, const TinyRun& run,
                            const model::GatedConvLm& model) {
  if (!run.config.data.carry_context || !checkpoint.state().leaves_context()) return {};
  return checkpoint.context(run.config.data.batch_size, model::context_rows(run.config.model),
                            model.state(1, 1, false)->context_widths());
}

TEST_CASE("Trainer: a stop anywhere, and the run goes on with the same bits", "[train]") {
  const bool averaged_on_a_plateau = GENERATE(false, true), carries = GENERATE(false, true);
  const auto change = [&](TinyRun& run) {
    run.config.data.carry_context = carries;
    run.config.train.accumulate_steps = 2;
    run.config.train.log_every = 3;
    run.config.model.dropout = {.embedding = 0.2, .layer = 0.2, .output = 0.2};
    if (!averaged_on_a_plateau) return;
    run.config.train.ema_decay = 0.7;
    run.config.optimizer.lr = 3;  // too much: validations get worse
    run.config.schedule = {.type = optim::ScheduleType::kPlateau, .patience = 0};
  };
  Fixture whole(change);
  Trainer uninterrupted = whole.run.trainer(*whole.model, whole.directory);
  uninterrupted.run();
  REQUIRE((uninterrupted.state().plateau.lr_scale < 1) == averaged_on_a_plateau);
  int stops = 0;
  for (int asked = 0; asked < 17; ++asked) {  // before 12 steps and in 3 validations
    Fixture it(change);
    int left = asked;
    Trainer first = it.run.trainer(*it.model, it.directory, {}, [&] { return left-- <= 0; });
    if (first.run() == Outcome::kFinished) continue;
    ++stops;
    const ModelFile checkpoint(it.directory.checkpoints().front().path);
    CHECK(checkpoint.state().step == first.state().step);
    const auto resumed = it.run.new_model(99);
    checkpoint.load(*resumed, true);
    Trainer second = it.run.trainer(
        *resumed, it.directory, checkpoint.state(), [] { return false; },
        context_of(checkpoint, it.run, *resumed));
    second.estimate_seconds();  // takes the memory
    CHECK(second.run() == Outcome::kFinished);
    for (const Array array : {Array::kValue, Array::kState0, Array::kAverage}) {
      if (!resumed->parameters().arrays().has(array)) continue;
      CHECK(read_all(resumed->parameters(), array) == read_all(whole.model->parameters(), array));
    }
    TrainState end = second.state();
    end.elapsed_seconds = uninterrupted.state().elapsed_seconds;
    CHECK(end == uninterrupted.state());
    CHECK(rows_of(it.directory).size() == rows_of(whole.directory).size());
  }
  CHECK(stops == 15);
}

// Nats of all training targets, each with everything in front of it.
std::vector<double> exact_nats(const TinyRun& run, const model::GatedConvLm& model) {
  const auto size = static_cast<Index>(run.text->train.size());
  std::vector<int> inputs(static_cast<std::size_t>(size)), targets(inputs.size());
  run.text->train.read(0, targets);
  for (int& id : targets) id = run.text->permutation.to_model(id);
  inputs[0] = run.text->permutation.to_model(run.text->tokenizer->end_of_line());
  std::copy(targets.begin(), targets.end() - 1, inputs.begin() + 1);
  const auto state = model.state(1, size, false);
  model.forward(inputs, targets, *state);
  const auto nats = model.nats(*state);
  return {nats.begin(), nats.end()};
}

void without_dropout(TinyRun& run) {
  run.config.model.dropout = {.embedding = 0, .layer = 0, .output = 0};
  run.config.model.blocks[0].layers[0].dilation = 2;
}

TEST_CASE("Trainer: with context enough, windows are scored as the whole stream is", "[train]") {
  Fixture it([](TinyRun& run) {
    without_dropout(run);
    run.config.data.context_tokens = model::receptive_field(run.config.model) - 1;
  });
  const bool enough = GENERATE(true, false);
  if (!enough) {
    --it.run.config.data.context_tokens;
    it.run.prepare();
  }
  const text::DataConfig& data = it.run.config.data;
  const std::vector<double> exact = exact_nats(it.run, *it.model);
  eval::Totals totals;
  REQUIRE(eval::evaluate(
      *it.model, it.run.text->permutation, it.run.text->tokenizer->end_of_line(),
      text::Mode::kStream, it.run.text->train, [](std::uint64_t, std::uint64_t) { return true; },
      totals));
  CHECK(totals.nats == Approx(std::accumulate(exact.begin(), exact.end(), 0.0)).epsilon(1e-6));
  const auto memory = it.model->state(data.batch_size, data.positions_per_sample(), true);
  std::vector<double> found;
  text::Batch batch;
  // An even number of epochs is a whole number of batches.
  for (std::uint64_t n = 0; n < it.run.batches->epoch_start(2); n += 2) {
    it.run.batches->load(n, batch);
    memory->reshape(batch.sequences, batch.time);
    it.model->forward(batch.inputs, batch.targets, *memory);
    for (std::size_t i = 0; i < batch.targets.size(); ++i) {
      if (batch.targets[i] >= 0) found.push_back(it.model->nats(*memory)[i]);
    }
  }
  // In whatever order: each of the text's is there twice.
  std::vector<double> expected = exact;
  expected.insert(expected.end(), exact.begin(), exact.end());
  std::sort(found.begin(), found.end());
  std::sort(expected.begin(), expected.end());
  REQUIRE(found.size() == expected.size());
  double worst = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    worst = std::max(worst, std::abs(found[i] - expected[i]) / expected[i]);
  }
  CHECK((worst <= 1e-6) == enough);
}

TEST_CASE("Trainer: windows that carry their context are scored as one stream", "[train]") {
  Fixture it([](TinyRun& run) {
    without_dropout(run);
    run.config.data.carry_context = true;
  });
  const text::DataConfig& data = it.run.config.data;
  const auto field = static_cast<std::size_t>(model::receptive_field(it.run.config.model));
  const std::vector<double> exact = exact_nats(it.run, *it.model);
  const auto memory = it.model->state(data.batch_size, data.tokens_per_sample, true);
  // Nats of each stream, by position from its begin; what was read there says where that is.
  std::vector<std::vector<double>> streams(2);
  std::vector<std::vector<int>> targets(2);
  text::Batch batch;
  for (std::uint64_t n = 0; n < it.run.batches->epoch_start(1); n += 2) {
    it.run.batches->load(n, batch);
    GradientSum sum;
    add_gradient(*it.model, batch, 1, n, *memory, sum);
    for (std::size_t i = 0; i < batch.targets.size(); ++i) {
      streams[i / 8].push_back(it.model->nats(*memory)[i]);
      targets[i / 8].push_back(batch.targets[i]);
    }
  }
  std::vector<int> text(exact.size());
  it.run.text->train.read(0, text);
  for (int& id : text) id = it.run.text->permutation.to_model(id);
  for (std::size_t b = 0; b < 2; ++b) {
    REQUIRE(streams[b].size() > 2 * field);
    const auto begin = std::search(text.begin(), text.end(), targets[b].begin(), targets[b].end());
    REQUIRE(begin != text.end());
    const double* whole = exact.data() + (begin - text.begin());
    for (std::size_t t = field - 1; t < streams[b].size(); ++t) {
      CHECK(streams[b][t] == Approx(whole[t]).epsilon(1e-6));
    }
  }
}

// As TinyRun::trainer(), for what the clock of --stop-after asks.
Trainer timed_trainer(Fixture& it, const TrainState& state, TinyRun::Stop out_of_time) {
  return Trainer({.train = it.run.config.train,
                  .optimizer = it.run.config.optimizer,
                  .schedule = it.run.config.schedule,
                  .model = *it.model,
                  .batches = *it.run.batches,
                  .batch_size = it.run.config.data.batch_size,
                  .positions_per_sample = it.run.config.data.positions_per_sample(),
                  .valid = it.run.text->valid,
                  .mode = it.run.config.data.mode,
                  .permutation = it.run.text->permutation,
                  .end_of_line = it.run.text->tokenizer->end_of_line(),
                  .info = it.run.info,
                  .directory = it.directory,
                  .bar = it.run.bar,
                  .stop_requested = [] { return false; },
                  .out_of_time = std::move(out_of_time)},
                 state);
}

TEST_CASE("Trainer: a process ends the validation that it begins with, whatever its clock says",
          "[train]") {
  Fixture it;
  int left = 4;  // steps; the first window of the validation is one too much
  Trainer first = timed_trainer(it, {}, [&] { return left-- <= 0; });
  CHECK(first.run() == Outcome::kStopped);
  CHECK(first.state().step == 4);
  REQUIRE(first.state().validated_step == 0);
  Trainer second = timed_trainer(it, first.state(), [] { return true; });
  CHECK(second.run() == Outcome::kStopped);
  CHECK(second.state().step == 4);
  CHECK(second.state().validated_step == 4);
  CHECK(ModelFile(it.directory.checkpoints().front().path).state() == second.state());
  // A signal does not wait.
  Trainer third = it.run.trainer(*it.model, it.directory, first.state(), [] { return true; });
  CHECK(third.run() == Outcome::kStopped);
  CHECK(third.state().validated_step == 0);
}

TEST_CASE("Trainer: the time of a validation that was cut short counts", "[train]") {
  Fixture it;
  int asked = 0;
  Trainer trainer = it.run.trainer(*it.model, it.directory, {}, [&] {
    if (++asked <= 4) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    return true;
  });
  CHECK(trainer.run() == Outcome::kStopped);
  REQUIRE(trainer.state().validated_step == 0);
  CHECK(trainer.state().elapsed_seconds >= 0.06);
  CHECK(ModelFile(it.directory.checkpoints().front().path).state() == trainer.state());
}

TEST_CASE("Trainer: another model's weights validate first, and are what is to be bettered",
          "[train]") {
  Fixture it([](TinyRun& run) {
    run.config.optimizer.lr = 0.01;
    run.config.train.early_stop_evals = 2;
    run.config.train.eval_every = 5;
    run.config.train.save_every = 5;
    run.config.train.log_every = 20;
  });
  TrainState state;
  state.baseline_due = 1;
  const auto initial = read_all(it.model->parameters(), Array::kValue);
  // Stopped at once, it is still due; a resume begins with it.
  Trainer stopped = it.run.trainer(*it.model, it.directory, state, [] { return true; });
  CHECK(stopped.run() == Outcome::kStopped);
  const ModelFile checkpoint(it.directory.checkpoints().front().path);
  CHECK(checkpoint.state().baseline_due == 1);
  const Trainer* self = nullptr;
  Trainer trainer = it.run.trainer(*it.model, it.directory, checkpoint.state(), [&] {
    if (self->state().step > 0) {  // training makes it worse
      testing::set_element(it.model->parameters(), "output.bias", it.run.row_of('q'), 50);
    }
    return false;
  });
  self = &trainer;
  CHECK(trainer.run() == Outcome::kFinished);
  CHECK(trainer.state().baseline_due == 0);
  CHECK(trainer.state().best_step == 0);
  CHECK(trainer.state().step == 10);  // two validations that were no better
  const ModelFile best(it.directory.best_path());
  CHECK(best.state().step == 0);
  const auto again = it.run.new_model(9);
  best.load(*again, false);
  CHECK(read_all(again->parameters(), Array::kValue) == initial);
  std::vector<std::pair<std::int64_t, bool>> rows;
  for (const auto& row : rows_of(it.directory)) {
    rows.emplace_back(row["step"], row.contains("valid_loss"));
  }
  // The last row of training stands behind the validation that ended the run.
  CHECK(rows ==
        std::vector<std::pair<std::int64_t, bool>>{{0, true}, {5, true}, {10, true}, {10, false}});
  CHECK(trainer.state().interval_targets == 0);
}

TEST_CASE("Trainer: a finished run has nothing left to do; a longer limit goes on", "[train]") {
  Fixture it;
  Trainer first = it.run.trainer(*it.model, it.directory);
  first.run();
  const auto before = read_all(it.model->parameters(), Array::kValue);
  Trainer again = it.run.trainer(*it.model, it.directory, first.state());
  CHECK(again.run() == Outcome::kFinished);
  CHECK(read_all(it.model->parameters(), Array::kValue) == before);
  it.run.config.train.max_steps = 14;
  Trainer longer = it.run.trainer(*it.model, it.directory, first.state());
  CHECK(longer.run() == Outcome::kFinished);
  CHECK(longer.state().step == 14);
}

// The row of a character that is in the text once: steps that meet it are not finite.
void poison(TinyRun& run, model::GatedConvLm& model, char character) {
  const auto row = run.row_of(character);
  const auto width = static_cast<std::size_t>(run.config.model.embedding_dim);
  for (std::size_t i = 0; i < width; ++i) {
    testing::set_element(model.parameters(), "embedding.weight", row * width + i, 3e38f);
  }
}

TEST_CASE("Trainer: a step that is not finite is skipped and counted, the run goes on", "[train]") {
  const bool carries = GENERATE(false, true);
  Fixture it([&](TinyRun& run) {
    run.config.data.carry_context = carries;
    run.config.model.blocks[0].layers[0].dilation = 7;  // what a window leaves is most of it
    run.train_text.append(200, 'a').append("Z").append(200, 'b').append("\n");
    run.config.train.max_steps = 60;
    run.config.train.max_bad_steps = 60;
    run.config.train.log_every = 1;
  });
  poison(it.run, *it.model, 'Z');
  Trainer trainer = it.run.trainer(*it.model, it.directory);
  CHECK(trainer.run() == Outcome::kFinished);
  const TrainState& end = trainer.state();
  CHECK(end.bad_steps > 0);
  CHECK(end.bad_steps < 20);
  // Those that read it, and none that goes on from them.
  std::int64_t reading = 0;
  text::Batch batch;
  for (std::uint64_t n = 0; n < end.samples; n += 2) {
    it.run.batches->load(n, batch);
    const auto id = static_cast<int>(it.run.row_of('Z'));
    reading += std::count(batch.inputs.begin(), batch.inputs.end(), id) > 0;
  }
  CHECK(end.bad_steps == reading);
  CHECK(end.updates + end.bad_steps == end.step);
  CHECK(end.samples == 120);
  for (const Real value : read_all(it.model->parameters(), Array::kValue)) {
    REQUIRE(std::isfinite(value));
  }
  CHECK(rows_of(it.directory).back()["valid_loss"].is_number());
}

TEST_CASE("Trainer: bad steps in a row change nothing and end as diverged", "[train]") {
  Fixture it([](TinyRun& run) {
    run.train_text.assign(300, 'Z').append("\n");
    run.config.train.max_bad_steps = 5;
    run.config.train.save_every = 1;
    run.config.train.eval_every = 100;
    run.valid_text = "Z\n";
  });
  poison(it.run, *it.model, 'Z');
  const auto values = read_all(it.model->parameters(), Array::kValue);
  const auto states = read_all(it.model->parameters(), Array::kState0);
  Trainer trainer = it.run.trainer(*it.model, it.directory);
  check_error(ExitCode::kDiverged, {it.directory.path(), "step 5", "5 non-finite steps in a row"},
              [&] { trainer.run(); });
  CHECK(read_all(it.model->parameters(), Array::kValue) == values);
  CHECK(read_all(it.model->parameters(), Array::kState0) == states);
  CHECK(trainer.state().bad_steps == 5);
  CHECK(trainer.state().updates == 0);
  CHECK_FALSE(it.directory.checkpoints().empty());
}

TEST_CASE("Trainer: without a finite validation there is no model to hand out", "[train]") {
  Fixture it([](TinyRun& run) {
    run.config.tokenizer.type = text::TokenizerType::kByte;
    run.valid_text = "ZZZZ\n";
  });
  poison(it.run, *it.model, 'Z');
  Trainer trainer = it.run.trainer(*it.model, it.directory);
  check_error(ExitCode::kDiverged, {"no validation"}, [&] { trainer.run(); });
  CHECK_FALSE(std::filesystem::exists(it.directory.best_path()));
}

TEST_CASE("Trainer: weights that are not finite never replace a good checkpoint", "[train]") {
  Fixture it([](TinyRun& run) {
    run.config.tokenizer.type = text::TokenizerType::kByte;
    run.config.train.save_every = 1;
    run.config.train.keep_last = 1;
  });
  int asked = 0;
  // A row that no text meets: every loss stays finite.
  const auto stop = [&] {
    if (++asked == 7) {
      testing::set_element(it.model->parameters(), "embedding.weight", it.run.row_of('Z') * 4,
                           std::numeric_limits<Real>::infinity());
    }
    return false;
  };
  Trainer trainer = it.run.trainer(*it.model, it.directory, {}, stop);
  check_error(ExitCode::kDiverged, {"embedding.weight", "not finite"}, [&] { trainer.run(); });
  REQUIRE(it.directory.checkpoints().size() == 1);
  const ModelFile last(it.directory.checkpoints().front().path);
  CHECK(last.state().step >= 4);
  CHECK_NOTHROW(last.load(*it.run.new_model(), true));
}

// Refuses to create files whose name holds `word` while it is full.
class FullDisk : public FileSystem {
 public:
  explicit FullDisk(std::string word) : word_(std::move(word)) {}
  int open(const char* path, int flags, unsigned mode) override {
    if (full && std::string_view(path).find(word_) != std::string_view::npos) {
      ++refused;
      errno = ENOSPC;
      return -1;
    }
    return FileSystem::open(path, flags, mode);
  }
  bool full = false;
  int refused = 0;

 private:
  std::string word_;
};

// Asked between steps; fills the disk from step `begin` to `end`.
TinyRun::Stop disk_full_between(FullDisk& disk, const Trainer*& trainer, std::int64_t begin,
                                std::int64_t end) {
  return [&disk, &trainer, begin, end] {
    disk.full = trainer->state().step >= begin && trainer->state().step < end;
    return false;
  };
}

TEST_CASE("Trainer: a save that fails is tried again at the next interval", "[train]") {
  Fixture it;
  FullDisk disk(".step-");
  const ScopedFileSystem scope(disk);
  const Trainer* self = nullptr;
  Trainer trainer =
      it.run.trainer(*it.model, it.directory, {}, disk_full_between(disk, self, 2, 9));
  self = &trainer;
  CHECK(trainer.run() == Outcome::kFinished);
  CHECK(disk.refused == 2);
  CHECK(steps_saved(it.directory) == std::vector<std::int64_t>{12, 0});
}

TEST_CASE("Trainer: the first save and the last must succeed", "[train]") {
  Fixture it;
  FullDisk disk(".step-");
  const ScopedFileSystem scope(disk);
  disk.full = true;
  Trainer none = it.run.trainer(*it.model, it.directory);
  check_error(ExitCode::kOutput, {"step-00000000"}, [&] { none.run(); });
  CHECK(none.state().step == 0);

  disk.full = false;
  const Trainer* self = nullptr;
  Trainer trainer =
      it.run.trainer(*it.model, it.directory, {}, disk_full_between(disk, self, 9, 99));
  self = &trainer;
  check_error(ExitCode::kOutput, {"step-00000012"}, [&] { trainer.run(); });
  CHECK(steps_saved(it.directory) == std::vector<std::int64_t>{8, 4});
  CHECK(ModelFile(it.directory.checkpoints().front().path).state().step == 8);
}

TEST_CASE("Trainer: a better model that cannot be written does not make room for a worse one",
          "[train]") {
  Fixture it([](TinyRun& run) {
    run.config.train.eval_every = 1;
    run.config.optimizer.lr = 0.01;
  });
  FullDisk disk(".best");
  const ScopedFileSystem scope(disk);
  const Trainer* self = nullptr;
  // Step 3 betters step 2 but cannot be kept; from step 4 on all are bad. Asked twice after a step:
  // in its validation, which is one window, and before the next.
  int asked_after_three = 0;
  const auto stop = [&] {
    asked_after_three += self->state().step == 3;
    disk.full = asked_after_three == 1;
    if (asked_after_three == 2) {
      testing::set_element(it.model->parameters(), "output.bias", it.run.row_of('q'), 50);
    }
    return false;
  };
  Trainer trainer = it.run.trainer(*it.model, it.directory, {}, stop);
  self = &trainer;
  CHECK(trainer.run() == Outcome::kFinished);
  CHECK(disk.refused == 1);
  std::vector<double> losses;
  for (const auto& row : rows_of(it.directory)) {
    if (row.contains("valid_loss")) losses.push_back(row["valid_loss"]);
  }
  REQUIRE(losses.at(2) < losses.at(1));
  REQUIRE(losses.at(3) > losses.at(0));
  CHECK(trainer.state().best_step == 2);
  CHECK(trainer.state().best_loss == losses.at(1));
  CHECK(ModelFile(it.directory.best_path()).state().step == 2);
}

TEST_CASE("Trainer: a validation that is not the best writes no model", "[train]") {
  Fixture it;
  TrainState state;
  state.best_loss = 1e-3;  // cannot be beaten here
  Trainer trainer = it.run.trainer(*it.model, it.directory, state);
  CHECK(trainer.run() == Outcome::kFinished);
  CHECK(trainer.state().best_loss == 1e-3);
  CHECK_FALSE(std::filesystem::exists(it.directory.best_path()));
}

// Validations that do not improve, from the first one on.
TrainState on_a_plateau() {
  TrainState state;
  state.plateau.best = 1e-3;
  return state;
}

TEST_CASE("Trainer: on a plateau the learning rate falls, after patience validations", "[train]") {
  Fixture it([](TinyRun& run) {
    run.config.train.eval_every = 2;
    run.config.train.log_every = 1;
    run.config.schedule = {.type = optim::ScheduleType::kPlateau, .factor = 0.1, .patience = 1};
  });
  Trainer trainer = it.run.trainer(*it.model, it.directory, on_a_plateau());
  CHECK(trainer.run() == Outcome::kFinished);
  for (const auto& row : rows_of(it.directory)) {
    if (!row.contains("lr")) continue;
    CAPTURE(row["step"].get<int>());
    const int falls = (row["step"].get<int>() - 1) / 4;  // with validations 2, 4 and so on
    CHECK(row["lr"].get<double>() == Approx(0.05 * std::pow(0.1, falls)));
  }
}

TEST_CASE("Trainer: ends early, saved, after early_stop_evals without improvement", "[train]") {
  Fixture it([](TinyRun& run) {
    run.config.train.early_stop_evals = 2;
    run.config.train.max_steps = 100;
    run.config.train.save_every = 100;
  });
  Trainer trainer = it.run.trainer(*it.model, it.directory, on_a_plateau());
  CHECK(trainer.run() == Outcome::kFinished);
  CHECK(trainer.finished());
  CHECK(trainer.state().step == 8);
  CHECK(steps_saved(it.directory) == std::vector<std::int64_t>{8, 0});
  const ModelFile last(it.directory.checkpoints().front().path);
  CHECK(last.state() == trainer.state());
  CHECK(it.run.trainer(*it.model, it.directory, last.state()).finished());
  it.run.config.train.early_stop_evals = 3;
  Trainer longer = it.run.trainer(*it.model, it.directory, last.state());
  CHECK(longer.run() == Outcome::kFinished);
  CHECK(longer.state().step == 12);
}

TEST_CASE("Trainer: a validation that only the end of the run asks for is not counted", "[train]") {
  Fixture it([](TinyRun& run) { run.config.train.max_steps = 6; });
  Trainer trainer = it.run.trainer(*it.model, it.directory, on_a_plateau());
  CHECK(trainer.run() == Outcome::kFinished);
  CHECK(trainer.state().validated_step == 6);
  CHECK(trainer.state().plateau.stale == 1);  // step 4
}

void averaged(TinyRun& run) {
  run.config.train.ema_decay = 0.4;
  run.config.train.max_steps = 3;
  run.config.train.eval_every = 100;
}

TEST_CASE("Trainer: averages start as the initial weights and follow the updates", "[train]") {
  Fixture it(averaged);
  std::vector<std::vector<Real>> values;
  const auto capture = [&] {
    if (values.size() < 3) values.push_back(read_all(it.model->parameters(), Array::kValue));
    return false;
  };
  it.run.trainer(*it.model, it.directory, {}, capture).run();
  values.push_back(read_all(it.model->parameters(), Array::kValue));
  std::vector<double> expected(values[0].begin(), values[0].end());
  const double kept[] = {2.0 / 11, 3.0 / 12, 4.0 / 13};
  for (std::size_t update = 1; update <= 3; ++update) {
    REQUIRE(values[update] != values[update - 1]);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const double decay = std::min(0.4, kept[update - 1]);
      expected[i] = decay * expected[i] + (1 - decay) * static_cast<double>(values[update][i]);
    }
  }
  const auto averages = read_all(it.model->parameters(), Array::kAverage);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    CHECK(averages[i] == Approx(expected[i]).epsilon(1e-4).margin(1e-6));
  }
}

TEST_CASE("Trainer: the averages validate, are the best model, and what a checkpoint evaluates as",
          "[train]") {
  Fixture it(averaged);
  Trainer trainer = it.run.trainer(*it.model, it.directory);
  CHECK(trainer.run() == Outcome::kFinished);
  const auto values = read_all(it.model->parameters(), Array::kValue);
  const auto averages = read_all(it.model->parameters(), Array::kAverage);
  REQUIRE(values != averages);
  const ModelFile best(it.directory.best_path());
  const ModelFile last(it.directory.checkpoints().front().path);
  model::GatedConvLm network(it.run.config.model, it.model->vocabulary(), *it.run.backend,
                             {Array::kValue});
  for (const ModelFile* file : {&best, &last}) {
    network.initialise(9);
    file->load(network, false);
    CHECK(read_all(network.parameters(), Array::kValue) == averages);
    eval::Totals totals;
    REQUIRE(eval::evaluate(
        network, it.run.text->permutation, it.run.text->tokenizer->end_of_line(),
        text::Mode::kStream, it.run.text->valid, [](std::uint64_t, std::uint64_t) { return true; },
        totals));
    CHECK(eval::nats_per_token(totals) == trainer.state().best_loss);
  }
  CHECK(best.hash() == last.hash());
  const auto resumed = it.run.new_model(9);
  last.load(*resumed, true);
  CHECK(read_all(resumed->parameters(), Array::kValue) == values);
  CHECK(read_all(resumed->parameters(), Array::kAverage) == averages);
}

TEST_CASE("Trainer: a last best model that cannot be written costs a validation, not the run",
          "[train]") {
  Fixture it(averaged);
  FullDisk disk(".best");
  const ScopedFileSystem scope(disk);
  disk.full = true;
  Trainer trainer = it.run.trainer(*it.model, it.directory);
  check_error(ExitCode::kOutput, {it.directory.best_path()}, [&] { trainer.run(); });
  const auto values = read_all(it.model->parameters(), Array::kValue);
  const ModelFile last(it.directory.checkpoints().front().path);
  CHECK(last.state().step == 3);
  CHECK(last.state().validated_step == 0);
  const auto resumed = it.run.new_model(9);
  last.load(*resumed, true);
  CHECK(read_all(resumed->parameters(), Array::kValue) == values);  // not the averages
  disk.full = false;
  Trainer again = it.run.trainer(*resumed, it.directory, last.state());
  CHECK(again.run() == Outcome::kFinished);
  CHECK(ModelFile(it.directory.best_path()).state().step == 3);
}

TEST_CASE("Trainer: max_time counts what the processes before have taken", "[train]") {
  Fixture it([](TinyRun& run) {
    run.config.train.max_steps.reset();
    run.config.train.max_time = Seconds{1000.05};
  });
  TrainState state;
  state.elapsed_seconds = 1000;
  Trainer brief = it.run.trainer(*it.model, it.directory, state);
  CHECK_FALSE(brief.finished());
  CHECK(brief.run() == Outcome::kFinished);
  CHECK(brief.state().elapsed_seconds >= 1000.05);
  CHECK(brief.state().elapsed_seconds < 1060);
  CHECK(it.run.trainer(*it.model, it.directory, brief.state()).finished());
}

TEST_CASE("Trainer: epochs and time limit a run", "[train]") {
  Fixture epochs([](TinyRun& run) {
    run.config.train.max_steps.reset();
    run.config.train.max_epochs = 2;
  });
  Trainer two = epochs.run.trainer(*epochs.model, epochs.directory);
  CHECK(two.run() == Outcome::kFinished);
  CHECK(two.state().samples >= epochs.run.batches->epoch_start(2));
  CHECK(two.state().samples < epochs.run.batches->epoch_start(2) + 2);
  CHECK(two.state().validated_step == two.state().step);

  Fixture timed([](TinyRun& run) {
    run.config.train.max_steps.reset();
    run.config.train.max_time = Seconds{0.05};
  });
  Trainer brief = timed.run.trainer(*timed.model, timed.directory);
  CHECK(brief.run() == Outcome::kFinished);
  CHECK(brief.state().elapsed_seconds >= 0.05);
}

}  // namespace
}  // namespace sluice::train
