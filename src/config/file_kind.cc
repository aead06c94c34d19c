#include "sluice/config/file_kind.h"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <utility>

#include "sluice/base/error.h"
#include "sluice/base/file.h"
#include "sluice/base/printable.h"
#include "sluice/config/open_model.h"
#include "sluice/formats/safetensors.h"
#include "sluice/text/corpus.h"
#include "sluice/text/utf8.h"
#include "sluice/train/run_directory.h"

namespace sluice::config {
namespace {

constexpr std::size_t kStartBytes = 64 * 1024;

// A protobuf whose first field (ModelProto.pieces, number 1) holds a message whose first field is
// the piece (a string, number 1), of at most some hundred bytes. Two bytes of text could look like
// that; that the lengths fit into each other as well is no accident.
bool is_sentencepiece(std::string_view start) {
  constexpr char kFirstField = 0x0a;
  if (start.size() < 4 || start[0] != kFirstField) return false;
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(start[i]); };
  std::size_t length = byte(1), at = 2;
  if (length >= 0x80) {
    length = (length & 0x7f) | static_cast<std::size_t>(byte(2)) << 7;
    at = 3;
  }
  const std::size_t end = at + length;
  if (end > start.size() || at + 2 > end || start[at] != kFirstField) return false;
  std::size_t inside = at + 2 + byte(at + 1);
  if (inside > end) return false;
  for (; inside < end;) {  // score (a float, number 2) and type (a varint, number 3)
    if (start[inside] == 0x15) {
      inside += 5;
    } else if (start[inside] == 0x18) {
      inside += 2;
    } else {
      return false;
    }
  }
  const bool another = end == start.size() || start[end] == kFirstField || start[end] == 0x12;
  return inside == end && another;
}

bool is_compressed(std::string_view start) {
  return std::any_of(
      text::kPackedFormats.begin(), text::kPackedFormats.end(),
      [start](const text::PackedFormat& format) { return start.starts_with(format.signature); });
}

bool is_text(std::string_view start, bool whole) {
  if (start.find('\0') != std::string_view::npos) return false;
  if (!whole) start = start.substr(0, text::complete_utf8_prefix(start));
  return !text::find_invalid_utf8(start);
}

bool looks_like_config(std::string_view start) {
  const std::size_t first = start.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return false;
  const std::string_view rest = start.substr(first);
  if (rest.starts_with("//") || rest.starts_with("/*")) return true;
  if (!rest.starts_with('{')) return false;
  // Lines of text may begin with a brace too: the next thing must be a key, or the end.
  const std::size_t next = rest.find_first_not_of(" \t\r\n", 1);
  return next != std::string_view::npos &&
         (rest[next] == '"' || rest[next] == '}' || rest[next] == '/');
}

FileKind recognise_safetensors(const std::string& path) {
  const formats::SafetensorsReader reader(path);
  const formats::Metadata& metadata = reader.metadata();
  if (const auto kind = metadata.find("sluice.kind"); kind != metadata.end()) {
    return kind->second == "checkpoint" ? FileKind::kCheckpoint : FileKind::kModel;
  }
  const bool tokens = reader.find("ids") != nullptr && reader.find("line_starts") != nullptr;
  return tokens ? FileKind::kTokens : FileKind::kSafetensors;
}

}  // namespace

FileKind recognise(const std::string& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    if (train::RunDirectory::is_run(path)) return FileKind::kRun;
    throw Error(ExitCode::kNoInput, "{}: not a run directory (expected checkpoints and a model)",
                printable(path));
  }
  const InputFile file(path);
  const std::string start = read_start(file, kStartBytes);
  if (start.empty()) return FileKind::kEmpty;
  if (start.starts_with("sluice tokenizer ")) return FileKind::kTokenizer;
  if (formats::is_safetensors(start)) return recognise_safetensors(path);
  if (is_sentencepiece(start)) return FileKind::kSentencePiece;
  if (is_compressed(start)) return FileKind::kCompressed;
  if (!is_text(start, start.size() == file.size())) return FileKind::kUnknown;
  return looks_like_config(start) ? FileKind::kConfig : FileKind::kText;
}

std::string_view describe(FileKind kind) {
  switch (kind) {
    case FileKind::kRun:
      return "a run";
    case FileKind::kModel:
      return "a model";
    case FileKind::kCheckpoint:
      return "a checkpoint";
    case FileKind::kTokens:
      return "a token file";
    case FileKind::kTokenizer:
      return "a tokenizer";
    case FileKind::kSentencePiece:
      return "a SentencePiece model";
    case FileKind::kSafetensors:
      return "a safetensors file of another program";
    case FileKind::kCompressed:
      return "a compressed file";
    case FileKind::kConfig:
      return "JSON";
    case FileKind::kText:
      return "text";
    case FileKind::kEmpty:
      return "an empty file";
    case FileKind::kUnknown:
      break;
  }
  return "no format that Sluice knows";
}

std::string tokenizer_path(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_directory(path, error)) return path;
  if (recognise(path) == FileKind::kRun) {
    const std::string best = train::RunDirectory::open_to_read(path).best_path();
    if (std::filesystem::exists(best, error)) return best;
  }
  return model_path(path, Which::kLast);
}

}  // namespace sluice::config
