#pragma once

#include <string>

#include "sluice/base/error.h"
#include "sluice/config/config.h"
#include "sluice/config/run_text.h"
#include "sluice/text/batcher.h"
#include "sluice/train/checkpoint.h"

namespace sluice::cli {

class Output;

// A run that is ready to begin or to go on.
struct DryRun {
  const config::Config& config;
  const std::string& path;
  const config::RunText& text;
  const text::Batcher& batches;
  model::GatedConvLm& network;
  const train::ModelInfo& info;
  const train::TrainState& state;
  bool resumed = false;
};

// `train --dry-run`: prints what the run would need and take, and writes nothing else. Refuses what
// the run itself would, a full disk only as far as its first checkpoint.
ExitCode dry_run(const DryRun& run, Output& out);

}  // namespace sluice::cli
