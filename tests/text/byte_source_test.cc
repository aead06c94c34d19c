#include "src/text/byte_source.h"

#include <sys/stat.h>
#include <zlib.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <string>

#include "sluice/text/corpus.h"
#include "src/text/corpus_reader.h"
#include "tests/text/text_files.h"

using namespace sluice;
using namespace sluice::text;
using namespace sluice::text::testing;

namespace {

// One member of a gzip file.
std::string gzip(const std::string& content) {
  z_stream stream{};
  REQUIRE(deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string packed(deflateBound(&stream, content.size()), '\0');
  std::string input = content;
  stream.next_in = reinterpret_cast<Bytef*>(input.data());
  stream.avail_in = static_cast<uInt>(input.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

std::string all_of(const std::string& file) {
  ByteSource source(file);
  std::string all;
  for (;;) {
    const std::string_view block = source.next();
    if (block.empty()) break;
    all += block;
  }
  CHECK(source.next().empty());
  CHECK(source.read() == std::filesystem::file_size(file));
  return all;
}

std::string some_text() {
  std::string text;
  for (int i = 0; i < 100000; ++i) text += std::to_string(i * 7919 % 104729) + "\n";
  return text;
}

}  // namespace

TEST_CASE("ByteSource: gzip files come unpacked, all members, whatever their name", "[text]") {
  const ScratchFolder folder;
  const std::string text = some_text();
  CHECK(all_of(folder.write("plain.gz", text)) == text);
  CHECK(all_of(folder.write("one", gzip(text))) == text);
  CHECK(all_of(folder.write("many", gzip(text) + gzip("") + gzip("more") + gzip(text))) ==
        text + "more" + text);
  CHECK(all_of(folder.write("tape", gzip(text) + std::string(300000, '\0'))) == text);
  CHECK(all_of(folder.write("empty", "")) == "");
  CHECK(all_of(folder.write("nothing", gzip(""))) == "");
  CHECK(all_of(folder.write("short", "\x1f")) == "\x1f");
}

TEST_CASE("ByteSource: a damaged gzip file is refused with its offset", "[text]") {
  const ScratchFolder folder;
  const std::string text = some_text(), whole = gzip(text);
  const auto file = folder.path("bad.gz");
  for (const std::size_t length : {2u, 9u, 100u, 200000u}) {
    folder.write("bad.gz", whole.substr(0, length));
    check_error(ExitCode::kBadData,
                {file + ": offset " + std::to_string(length) + ": gzip data cut short"},
                [&] { all_of(file); });
  }
  folder.write("bad.gz", whole.substr(0, whole.size() - 1));
  check_error(ExitCode::kBadData, {file + ": offset ", "cut short"}, [&] { all_of(file); });
  for (const std::size_t at : {std::size_t{3}, std::size_t{1000}, whole.size() - 6}) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x55);
    folder.write("bad.gz", damaged);
    check_error(ExitCode::kBadData, {file + ": offset "}, [&] { all_of(file); });
  }
  folder.write("bad.gz", whole + "rubbish");
  check_error(ExitCode::kBadData, {file + ": offset ", "corrupt gzip"}, [&] { all_of(file); });
}

TEST_CASE("ByteSource: a gzip file is the text that it holds, to everyone", "[text]") {
  const ScratchFolder folder;
  const std::string text = some_text() + "end";
  const auto plain = folder.write("plain", text), packed = folder.write("packed", gzip(text));
  const auto lines = [](const std::string& file, std::uint64_t& hash, CorpusCounts& counts) {
    std::vector<std::string> found;
    counts = read_corpus(
        {file}, [&](const LinePiece& piece) { found.emplace_back(piece.text); }, &hash);
    return found;
  };
  std::uint64_t plain_hash = 0, packed_hash = 1;
  CorpusCounts plain_counts, packed_counts;
  CHECK(lines(plain, plain_hash, plain_counts) == lines(packed, packed_hash, packed_counts));
  CHECK(plain_hash == packed_hash);
  CHECK(hash_corpus({packed}) == plain_hash);
  CHECK(plain_counts == packed_counts);
  CHECK(plain_counts.bytes == text.size());
  CHECK(count_lines({packed}) == 100001);
  const auto bad = folder.write("bad", gzip("ok\n\xff\n"));
  check_error(ExitCode::kBadData, {bad + ": offset 3: invalid text, unpacked"},
              [&] { count_lines({bad}), read_corpus({bad}, [](const LinePiece&) {}); });
  const auto twice = folder.write("twice", gzip(gzip("text\n")));
  check_error(ExitCode::kBadData, {"gzip file within"},
              [&] { read_corpus({twice}, [](const LinePiece&) {}); });
}

TEST_CASE("ByteSource: a file that changes while it is read is refused", "[text]") {
  const ScratchFolder folder;
  const auto file = folder.write("text", std::string(600000, 'x'));
  const auto change = [&](const auto& how) {
    ByteSource source(file);
    source.next();
    how();
    check_error(ExitCode::kBadData, {file, "changed while it was read"}, [&] {
      while (!source.next().empty()) {
      }
    });
  };
  change([&] { std::ofstream(file, std::ios::app) << "more"; });
  change([&] { std::filesystem::resize_file(file, 300000); });
  change([&] {
    std::filesystem::last_write_time(
        file, std::filesystem::last_write_time(file) - std::chrono::hours(1));
  });
}
