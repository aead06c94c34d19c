#include "sluice/config/file_kind.h"

#include <catch2/catch.hpp>
#include <cstdint>
#include <filesystem>

#include "tests/support/error_check.h"
#include "tests/support/tiny_run.h"

namespace sluice::config {
namespace {

using testing::check_error;
using testing::TempDir;
using testing::TinyRun;

// A SentencePiece model of these pieces, as far as its first bytes go.
std::string sentencepiece(const std::vector<std::string>& pieces) {
  std::string model;
  for (const std::string& piece : pieces) {
    std::string message = "\x0a" + std::string(1, static_cast<char>(piece.size())) + piece;
    message += std::string("\x15\0\0\x80\xbf\x18\x01", 7);
    model += "\x0a" + std::string(1, static_cast<char>(message.size())) + message;
  }
  return model + "\x12\x02xy";
}

TEST_CASE("recognise: files that are none of ours, by how they start", "[config]") {
  const TempDir folder;
  const auto kind = [&](const std::string& content) {
    return recognise(folder.write("file", content));
  };
  CHECK(kind("") == FileKind::kEmpty);
  CHECK(kind("sluice tokenizer byte 1\n") == FileKind::kTokenizer);
  CHECK(kind("a line\nof text") == FileKind::kText);
  CHECK(kind("\n\n\n\n\n\n\n\n\n\n\n\n\n\n") == FileKind::kText);
  CHECK(kind("\n\x05\n\x03"
             "abcd\n") == FileKind::kText);  // its lengths do not fit
  CHECK(kind(sentencepiece({"<unk>", "\xe2\x96\x81the"})) == FileKind::kSentencePiece);
  CHECK(kind(sentencepiece({std::string(90, 'a')})) == FileKind::kSentencePiece);
  CHECK(kind("{\"model\": {}}") == FileKind::kConfig);
  CHECK(kind("// why\n{}") == FileKind::kConfig);
  CHECK(kind("{curly text}") == FileKind::kText);
  CHECK(kind("\x1f\x8b\x08") == FileKind::kCompressed);
  CHECK(kind("\xfd"
             "7zXZ") == FileKind::kCompressed);
  CHECK(kind(std::string("a\0b", 3)) == FileKind::kUnknown);
  CHECK(kind("\xff\xfe text") == FileKind::kUnknown);
  CHECK(kind("eight   {") == FileKind::kText);  // a brace where safetensors has its header
}

TEST_CASE("recognise: a character that the first block cuts is still text", "[config]") {
  const TempDir folder;
  std::string text = "a";
  while (text.size() < 70000) text += "\xc3\xa9";
  CHECK(recognise(folder.write("file", text)) == FileKind::kText);
}

TEST_CASE("recognise: a run, and each kind of file that it leaves", "[config]") {
  TinyRun run;
  run.prepare();
  train::RunDirectory directory = train::RunDirectory::open_new(run.folder / "run", false);
  const auto model = run.new_model();
  train::save_checkpoint(directory.checkpoint_path(3), run.info, {}, *model);
  CHECK(recognise(directory.path()) == FileKind::kRun);
  CHECK(tokenizer_path(directory.path()) == directory.checkpoint_path(3));
  train::save_model(directory.best_path(), run.info, {}, *model);
  CHECK(tokenizer_path(directory.path()) == directory.best_path());
  CHECK(tokenizer_path("any/file") == "any/file");
  CHECK(recognise(directory.checkpoint_path(3)) == FileKind::kCheckpoint);
  CHECK(recognise(directory.best_path()) == FileKind::kModel);
  for (const std::string& name : run.folder.names("cache")) {
    CHECK(recognise(run.folder / ("cache/" + name)) == FileKind::kTokens);
  }
  formats::SafetensorsWriter writer(run.folder / "foreign", {});
  writer.declare("w", formats::Dtype::kF32, {1});
  writer.commit([](const formats::TensorInfo&, const formats::SafetensorsWriter::Write& write) {
    write(std::as_bytes(std::span("abc")));
  });
  CHECK(recognise(run.folder / "foreign") == FileKind::kSafetensors);
}

TEST_CASE("recognise: what is not there, or no run", "[config]") {
  const TempDir folder;
  check_error(ExitCode::kNoInput, {"missing"}, [&] { recognise(folder / "missing"); });
  check_error(ExitCode::kNoInput, {folder.path(), "not a run"}, [&] { recognise(folder.path()); });
  check_error(ExitCode::kNoInput, {"not a run"}, [&] { tokenizer_path(folder.path()); });
  const std::string damaged = folder.write("damaged", std::string("\x40\0\0\0\0\0\0\0{", 9));
  check_error(ExitCode::kBadData, {"damaged"}, [&] { recognise(damaged); });
}

}  // namespace
}  // namespace sluice::config
