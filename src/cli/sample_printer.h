#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sluice/eval/draft.h"
#include "src/cli/output.h"

namespace sluice::cli {

// Writes continuations to stdout: as text, each with a newline behind it and where there may be
// several a line "--- prompt 2 sample 1 ---" in front, or as an object a line.
class SamplePrinter {
 public:
  struct Options {
    Index samples = 1;    // of each prompt
    bool marked = false;  // there may be several
    bool seeded = true;   // they come from draws
    bool echo = false, json = false;
  };
  // The prompts must outlive it.
  SamplePrinter(const Options& options, const std::vector<std::string>& prompts, Output& out)
      : options_(options), prompts_(prompts), out_(out) {}

  // What comes of a text while it is written: shown where it is the only one.
  void show_piece(Index number, std::string_view piece);
  // A whole text, also after its pieces. Numbers as in eval::GenerationPlan, in order.
  void show_sample(Index number, const eval::Sample& sample);

 private:
  const std::string& prompt_of(Index number) const {
    return prompts_[static_cast<std::size_t>(number / options_.samples)];
  }
  void begin_text(Index number);
  std::string to_json(Index number, const eval::Sample& sample) const;

  Options options_;
  const std::vector<std::string>& prompts_;
  Output& out_;
  bool begun_ = false, streamed_ = false;
};

}  // namespace sluice::cli
