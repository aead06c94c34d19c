#pragma once

#include <string>
#include <string_view>

namespace sluice::config {

// What a path is, by what stands at its start (and for our own files in the metadata), not by its
// name.
enum class FileKind {
  kRun,            // a run directory
  kModel,          // a model file
  kCheckpoint,     // the same with what training needs
  kTokens,         // a token file
  kTokenizer,      // a tokenizer that was stored on its own
  kSentencePiece,  // a SentencePiece .model
  kSafetensors,    // safetensors, but not ours
  kCompressed,     // gzip, xz, zip, zstd, bzip2
  kConfig,         // a JSON object or a comment in front of one
  kText,           // UTF-8
  kEmpty,
  kUnknown,
};

// Error kNoInput when it cannot be read, kBadData for a safetensors file with a bad header. Bytes
// behind the header are not looked at: a file that is named a model may yet be damaged.
FileKind recognise(const std::string& path);

// "a model", "a token file", "text".
std::string_view describe(FileKind kind);

// The file in which MODEL, a tokenizer or a run, keeps its tokenizer: itself, or of a run the best
// model or else the last checkpoint. Error kNoInput.
std::string tokenizer_path(const std::string& path);

}  // namespace sluice::config
