#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sluice/config/file_kind.h"

namespace sluice::config {

struct VerifiedFile {
  FileKind kind = FileKind::kUnknown;
  std::string path;
  std::uint64_t bytes = 0;
};

// Reads a file of ours from end to end. Of a model or checkpoint: every checksum; that config,
// tokenizer, permutation and weights fit each other, tensor by tensor; that all numbers are finite.
// Of a token file: every checksum, and that every id is one of the vocabulary. Of a tokenizer: that
// it can be loaded. Of a config (of a run): that it can be read and checked.
// Error kNoInput, or kBadData naming what is wrong.
VerifiedFile verify_file(const std::string& path);

// The files that a source means: itself, or of a run directory its config, its checkpoints from the
// oldest on, and its best model, as far as they are there. Error kNoInput.
std::vector<std::string> files_to_verify(const std::string& source);

}  // namespace sluice::config
