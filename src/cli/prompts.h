#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sluice/base/real.h"
#include "sluice/eval/draft.h"
#include "src/cli/options.h"

// What `generate` goes on from.
namespace sluice::cli {

struct PromptArguments {
  std::optional<std::string> text, file, list;  // one of them at most
};

void add_prompt_options(CLI::App& command, PromptArguments& arguments);

// All of them are looked at before anything is written: a bad one must not come up hours later.
class Prompts {
 public:
  // Error kNoInput; kBadData when there is none, or one is not what the writer can go on from. The
  // writer's parts must outlive it.
  Prompts(const PromptArguments& arguments, const eval::Writer& writer);

  const std::vector<std::string>& texts() const { return texts_; }
  Index count() const { return static_cast<Index>(texts_.size()); }
  std::vector<int> ids(Index prompt) const;  // of the tokenizer

 private:
  void read(const PromptArguments& arguments, bool lines);
  void check_line(std::size_t prompt) const;
  std::string source(std::size_t prompt) const;
  std::size_t offset(std::size_t prompt) const { return prompt == 0 ? skipped_ : 0; }

  const text::Tokenizer* tokenizer_;
  std::string source_;  // of all
  bool many_ = false;   // a line each
  std::vector<std::string> texts_;
  std::size_t skipped_ = 0;  // bytes in front of the first
};

}  // namespace sluice::cli
