#include "sluice/text/token_lines.h"

#include <catch2/catch.hpp>
#include <span>
#include <utility>
#include <vector>

#include "sluice/formats/safetensors.h"
#include "sluice/text/tokenizer.h"
#include "tests/text/text_files.h"

using namespace sluice;
using namespace sluice::text;
using namespace sluice::text::testing;

namespace {

using Line = std::pair<std::uint64_t, std::uint64_t>;

TokenFile bytes_of(const ScratchFolder& folder, const std::string& text) {
  TokenizerConfig config;
  config.type = TokenizerType::kByte;
  const auto file = folder.write("text", text);
  const auto tokenizer = train_tokenizer({file}, {}, config, false);
  return tokenize({file}, {}, *tokenizer, folder.path("cache"), nullptr);
}

std::vector<Line> lines_of(const TokenFile& tokens) {
  std::vector<Line> lines;
  CHECK(each_line(tokens, [&](std::uint64_t begin, std::uint64_t end) {
    lines.emplace_back(begin, end);
    return true;
  }));
  return lines;
}

// The same file with other line starts.
std::string with_starts(const TokenFile& tokens, const std::string& path,
                        const std::vector<std::uint64_t>& starts) {
  const formats::SafetensorsReader reader(tokens.path());
  formats::SafetensorsWriter writer(path, reader.metadata());
  writer.declare("ids", formats::Dtype::kU16, {tokens.size()});
  writer.declare("line_starts", formats::Dtype::kU64, {starts.size()});
  writer.declare("files", formats::Dtype::kU64, reader.get("files").shape);
  writer.commit([&](const formats::TensorInfo& tensor, const auto& put) {
    if (tensor.name == "line_starts") {
      put(std::as_bytes(std::span(starts)));
    } else {
      const auto kept = reader.read_all(reader.get(tensor.name));
      put(std::as_bytes(std::span(kept)));
    }
  });
  return path;
}

}  // namespace

TEST_CASE("each_line: all lines in order, over blocks of them", "[text]") {
  const ScratchFolder folder;
  CHECK(lines_of(bytes_of(folder, "a\n\nbcd\nef")) ==
        std::vector<Line>{{0, 2}, {2, 3}, {3, 7}, {7, 10}});
  std::string text;
  std::vector<Line> expected;
  for (std::uint64_t i = 0; i < 20000; ++i) {
    const std::uint64_t begin = text.size();
    text.append(i % 5, 'x') += '\n';
    expected.emplace_back(begin, text.size());
  }
  const TokenFile tokens = bytes_of(folder, text);
  CHECK(lines_of(tokens) == expected);
  CHECK(longest_line(tokens) == 5);
}

TEST_CASE("each_line: ends where it is told to", "[text]") {
  const ScratchFolder folder;
  int seen = 0;
  CHECK_FALSE(each_line(bytes_of(folder, "a\nb\nc\n"),
                        [&](std::uint64_t, std::uint64_t) { return ++seen < 2; }));
  CHECK(seen == 2);
}

TEST_CASE("each_line: damaged line starts are named", "[text]") {
  const ScratchFolder folder;
  const TokenFile tokens = bytes_of(folder, "a\nb\nc\n");
  const std::string path = folder.path("made");
  CHECK(lines_of(TokenFile(with_starts(tokens, path, {0, 1, 5}))) ==
        std::vector<Line>{{0, 1}, {1, 5}, {5, 6}});
  const auto refused = [&](const std::string& line, const std::vector<std::uint64_t>& starts) {
    const TokenFile made(with_starts(tokens, path, starts));
    check_error(ExitCode::kBadData, {path, line, "start"}, [&] { longest_line(made); });
  };
  refused("line 1", {1, 2, 4});
  refused("line 2", {0, 0, 4});
  refused("line 3", {0, 4, 2});
  refused("line 3", {0, 2, 6});
  std::vector<std::uint64_t> starts(2);
  check_error(ExitCode::kInternal, {"lines"}, [&] { tokens.read_line_starts(2, starts); });
}
