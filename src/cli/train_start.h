#pragma once

#include <memory>
#include <optional>
#include <string>

#include "sluice/config/config.h"
#include "sluice/config/run_text.h"
#include "sluice/train/checkpoint.h"
#include "sluice/train/run_directory.h"
#include "src/cli/config_arguments.h"
#include "src/cli/logging.h"
#include "src/cli/text_arguments.h"

// How a run of `train` begins, anew or resumed, and everything that is checked before.
namespace sluice::cli {

struct TrainArguments {
  ConfigArguments config;
  TextArguments text;
  std::optional<std::string> out, init, precision;
  bool resume = false, overwrite = false, dry_run = false;
  std::optional<Index> seed, max_steps, threads;
  std::optional<Seconds> max_time, stop_after;
  Verbosity verbosity;
};

// What a run starts from: a config, and a checkpoint when resumed, another model with --init.
struct Start {
  config::Config config;
  std::string path;  // of the run
  // Null until a new run is ready to be created, and in a dry run.
  std::unique_ptr<train::RunDirectory> directory;
  std::unique_ptr<train::ModelFile> checkpoint;  // null for a new run
  std::unique_ptr<train::ModelFile> init;        // null without --init
  std::optional<config::Vocabulary> vocabulary;  // of either; none: to be made from the text
};

// Error kUsage, kNoInput, kBadData, kExists. Changes nothing; a run that is resumed is locked,
// unless it is only a dry run, which refuses one that is.
Start start_run(const TrainArguments& arguments);

// The first weights of a run, or those that it left; and its state. Error kBadData.
train::TrainState load_weights(const Start& start, model::GatedConvLm& network);

// A resumed run must find what it left: the same texts, cut as before. Error kBadData.
void check_continuity(const train::ModelFile& checkpoint, const config::Config& config,
                      const config::RunText& text);

// Bytes of the context in each checkpoint of a run that carries it.
double carried_bytes(const config::Config& config, const model::GatedConvLm& network);

// Whether the first files of a run fit on the disk, before those of an older run are given up.
// Error kOutput.
void check_disk(const std::string& path, double bytes);

}  // namespace sluice::cli
