#include "sluice/text/token_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "sluice/base/file.h"
#include "sluice/formats/safetensors.h"
#include "sluice/text/utf8.h"
#include "tests/text/text_files.h"

using namespace sluice;
using namespace sluice::text;
using namespace sluice::text::testing;

namespace {

std::unique_ptr<Tokenizer> train(TokenizerType type, const std::string& line,
                                 bool unk_in_text = false) {
  TokenizerConfig config;
  config.type = type;
  const auto trainer = make_tokenizer_trainer(config, unk_in_text);
  trainer->add_line(line);
  return trainer->finish();
}

std::vector<int> ids_of(const TokenFile& file) {
  std::vector<int> ids(file.size());
  file.read(0, ids);
  return ids;
}

// The only token file of a cache.
std::string only_file(const ScratchFolder& folder, const std::string& cache) {
  const auto names = folder.names(cache);
  REQUIRE(names.size() == 1);
  return folder.path(cache + "/" + names[0]);
}

// A token file written by hand: what tokenize() never makes.
struct HandMade {
  formats::Metadata metadata = {{"sluice.token_file", "3"},
                                {"sluice.invalid_utf8", "error"},
                                {"sluice.tokenizer_hash", "0123456789abcdef"},
                                {"sluice.corpus_hash", "00000000000000ff"},
                                {"sluice.vocabulary", "5"},
                                {"sluice.oov", "1"},
                                {"sluice.literal_unknowns", "0"},
                                {"sluice.bytes", "8"},
                                {"sluice.chars", "8"},
                                {"sluice.lines", "2"},
                                {"sluice.words", "2"},
                                {"sluice.replaced", "0"},
                                {"sluice.malformed", "0"},
                                {"sluice.byte_order_marks", "0"},
                                {"sluice.range_begin", "0"},
                                {"sluice.range_end", "2"}};
  std::vector<std::uint16_t> ids = {2, 0, 4, 0};
  std::vector<std::uint64_t> starts = {0, 2};
  std::vector<std::uint64_t> files = {8, 8, 2, 2, 0, 0, 0, 4, 1, 0};
  std::vector<std::uint64_t> files_shape = {1, 10};
  formats::Dtype ids_type = formats::Dtype::kU16, starts_type = formats::Dtype::kU64;
  std::vector<std::uint64_t> ids_shape = {4};
  std::string ids_name = "ids", starts_name = "line_starts";

  void write(const std::string& path) const {
    formats::SafetensorsWriter writer(path, metadata);
    writer.declare(ids_name, ids_type, ids_shape);
    writer.declare(starts_name, starts_type, {starts.size()});
    writer.declare("files", formats::Dtype::kU64, files_shape);
    writer.commit([this](const formats::TensorInfo& tensor, const auto& put) {
      if (tensor.name == ids_name) put(std::as_bytes(std::span(ids)));
      if (tensor.name == starts_name) put(std::as_bytes(std::span(starts)));
      if (tensor.name == "files") put(std::as_bytes(std::span(files)));
    });
  }
};

}  // namespace

TEST_CASE("TokenFile: holds the ids of all lines, each ended, and what the text held", "[text]") {
  const ScratchFolder folder;
  const auto first = folder.write("first", "a b <unk>\n\nc  new\n");
  const auto second = folder.write("second",
                                   "\xef\xbb\xbf"
                                   "b caf\xc3\xa9");
  const auto tokenizer = train(TokenizerType::kWord, "a b b c c c", true);
  const TokenFile file = tokenize({first, second}, {}, *tokenizer, folder.path("cache"), nullptr);
  // </s> 0, <unk> 1, c 2, b 3, a 4.
  CHECK(ids_of(file) == std::vector<int>{4, 3, 1, 0, 0, 2, 1, 0, 3, 1, 0});
  CHECK(file.size() == 11);
  CHECK(file.vocabulary() == 5);
  CHECK(file.oov() == 2);
  CHECK(file.literal_unknowns() == 1);
  CHECK(file.counts() ==
        CorpusCounts{.bytes = 28, .chars = 25, .lines = 4, .words = 7, .byte_order_marks = 1});
  REQUIRE(file.files().size() == 2);
  CHECK(file.files()[0] == FileTokens{{.bytes = 18, .chars = 18, .lines = 3, .words = 5}, 8, 1, 1});
  CHECK(file.files()[1] ==
        FileTokens{
            {.bytes = 10, .chars = 7, .lines = 1, .words = 2, .byte_order_marks = 1}, 3, 1, 0});
  CHECK(file.counts() == read_corpus({first, second}, [](const LinePiece&) {}));
  CHECK(file.frequencies() == std::vector<std::uint64_t>{4, 3, 1, 2, 1});
  CHECK(file.tokenizer_hash() == tokenizer->hash());
  CHECK(file.range() == LineRange{});

  const formats::SafetensorsReader reader(only_file(folder, "cache"));
  const auto bytes = reader.read_all(reader.get("line_starts"));
  std::vector<std::uint64_t> starts(bytes.size() / sizeof(std::uint64_t));
  std::memcpy(starts.data(), bytes.data(), bytes.size());
  CHECK(starts == std::vector<std::uint64_t>{0, 4, 5, 8});
}

TEST_CASE("TokenFile: any part can be read", "[text]") {
  const ScratchFolder folder;
  std::string text;
  for (int i = 0; i < 5000; ++i) text += fmt::format("{}\n", i * i);
  const auto tokenizer = train(TokenizerType::kByte, "");
  const TokenFile file =
      tokenize({folder.write("text", text)}, {}, *tokenizer, folder.path("cache"), nullptr);
  REQUIRE(file.size() == text.size());
  for (const std::size_t begin : {0u, 1u, 4095u, 8192u, 20000u}) {
    for (const std::size_t length : {0u, 1u, 8191u, 8192u, 8193u, 16385u}) {
      std::vector<int> ids(length);
      file.read(begin, ids);
      for (std::size_t i = 0; i < length; ++i) REQUIRE(ids[i] == text[begin + i]);
    }
  }
  std::vector<int> ids(2);
  check_error(ExitCode::kInternal, {"tokens"}, [&] { file.read(text.size() - 1, ids); });
  check_error(ExitCode::kInternal, {"tokens"}, [&] { file.read(~0ULL, ids); });
}

TEST_CASE("TokenFile: several threads read at once", "[text]") {
  const ScratchFolder folder;
  std::string text;
  for (int i = 0; i < 50000; ++i) text += static_cast<char>('a' + i % 23);
  const auto tokenizer = train(TokenizerType::kByte, "");
  const TokenFile file =
      tokenize({folder.write("text", text)}, {}, *tokenizer, folder.path("cache"), nullptr);
  std::vector<std::size_t> wrong(4);
  std::vector<std::thread> threads;
  for (std::size_t thread = 0; thread < wrong.size(); ++thread) {
    threads.emplace_back([&, thread] {
      std::vector<int> ids(100);
      for (std::size_t begin = thread; begin + ids.size() < text.size(); begin += 97) {
        file.read(begin, ids);
        for (std::size_t i = 0; i < ids.size(); ++i) {
          wrong[thread] += ids[i] != text[begin + i] ? 1u : 0u;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == std::vector<std::size_t>(4));
}

TEST_CASE("TokenFile: ids are narrow while the vocabulary allows", "[text]") {
  const ScratchFolder folder;
  std::string text;
  for (char32_t c = 0x10000; c < 0x10000 + 65534; ++c) append_utf8(c, text);
  for (const bool wide : {false, true}) {
    if (wide) text += "A";
    const auto tokenizer = train(TokenizerType::kChar, text);
    const std::string cache = wide ? "wide" : "narrow";
    const TokenFile file =
        tokenize({folder.write("text", text)}, {}, *tokenizer, folder.path(cache), nullptr);
    CHECK(file.vocabulary() == (wide ? 65537 : 65536));
    const formats::SafetensorsReader reader(only_file(folder, cache));
    CHECK(reader.get("ids").dtype == (wide ? formats::Dtype::kU32 : formats::Dtype::kU16));
    std::vector<int> last(3);
    file.read(file.size() - 3, last);
    // "A" comes first among equally frequent characters, and every other id moves up by one.
    CHECK(last == (wide ? std::vector<int>{65536, 2, 0} : std::vector<int>{65534, 65535, 0}));
  }
}

TEST_CASE("TokenFile: a range takes its lines and their counts", "[text]") {
  const ScratchFolder folder;
  const auto first = folder.write("first", "a\nbb\n");
  const auto second = folder.write("second", "c c\nd");
  const auto tokenizer = train(TokenizerType::kByte, "");
  const auto in_range = [&](LineRange range) {
    return tokenize({first, second}, range, *tokenizer, folder.path("cache"), nullptr);
  };
  const TokenFile middle = in_range({1, 3});
  CHECK(ids_of(middle) == std::vector<int>{'b', 'b', '\n', 'c', ' ', 'c', '\n'});
  CHECK(middle.counts() == CorpusCounts{.bytes = 7, .chars = 7, .lines = 2, .words = 3});
  CHECK(middle.range() == LineRange{1, 3});
  CHECK(ids_of(in_range({3, 9})) == std::vector<int>{'d', '\n'});
  CHECK(middle.corpus_hash() == in_range({3, 9}).corpus_hash());
  CHECK(folder.names("cache").size() == 2);
  check_error(ExitCode::kBadData, {first, "nothing to predict"}, [&] { in_range({4, 9}); });
}

TEST_CASE("TokenFile: the cache is used again for the same text and tokenizer only", "[text]") {
  const ScratchFolder folder;
  const auto file = folder.write("text", "some text\n");
  const auto bytes = train(TokenizerType::kByte, "");
  const auto chars = train(TokenizerType::kChar, "some text");
  const auto encodes = [&](const Tokenizer& tokenizer) {
    bool encoded = false;
    tokenize({file}, {}, tokenizer, folder.path("cache"),
             [&encoded](std::uint64_t, std::uint64_t) { encoded = true; });
    return encoded;
  };
  CHECK(encodes(*bytes));
  CHECK_FALSE(encodes(*bytes));
  CHECK(encodes(*chars));
  CHECK_FALSE(encodes(*chars));
  CHECK(encodes(*train(TokenizerType::kChar, "some text and more")));
  folder.write("text", "some Text\n");
  CHECK(encodes(*bytes));
  CHECK(folder.names("cache").size() == 4);
}

TEST_CASE("TokenFile: a damaged cache file is made again", "[text]") {
  const ScratchFolder folder;
  const auto text = folder.write("text", "to be damaged\n");
  const auto tokenizer = train(TokenizerType::kByte, "");
  const auto run = [&] {
    return ids_of(tokenize({text}, {}, *tokenizer, folder.path("cache"), nullptr));
  };
  const std::vector<int> ids = run();
  const std::string path = only_file(folder, "cache"), whole = content_of(path);
  const auto name = std::filesystem::path(path).filename().string();
  for (std::size_t i = 0; i < whole.size(); i += 13) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ 4);
    folder.write("cache/" + name, i % 2 == 0 ? damaged : whole.substr(0, i));
    REQUIRE(run() == ids);
    REQUIRE(content_of(path) == whole);
  }
}

TEST_CASE("TokenFile: another text under the right name is not taken", "[text]") {
  const ScratchFolder folder;
  const auto tokenizer = train(TokenizerType::kByte, "");
  const auto first = folder.write("first", "first\n"), second = folder.write("second", "second\n");
  tokenize({first}, {}, *tokenizer, folder.path("a"), nullptr);
  tokenize({second}, {}, *tokenizer, folder.path("b"), nullptr);
  std::filesystem::copy_file(only_file(folder, "b"), only_file(folder, "a"),
                             std::filesystem::copy_options::overwrite_existing);
  CHECK(tokenize({first}, {}, *tokenizer, folder.path("a"), nullptr).size() == 6);
}

TEST_CASE("TokenFile: what does not fit together is refused", "[text]") {
  const ScratchFolder folder;
  const auto path = folder.path("made");
  const auto refused = [&](const std::string& part, const std::function<void(HandMade&)>& change) {
    HandMade made;
    change(made);
    made.write(path);
    check_error(ExitCode::kBadData, {path, part}, [&] { TokenFile{path}; });
  };
  HandMade().write(path);
  CHECK(ids_of(TokenFile(path)) == std::vector<int>{2, 0, 4, 0});
  CHECK_NOTHROW(TokenFile(path).verify());

  refused("sluice.words", [](HandMade& made) { made.metadata.erase("sluice.words"); });
  refused("line starts", [](HandMade& made) { made.metadata["sluice.lines"] = std::string("3"); });
  refused("ids", [](HandMade& made) { made.metadata["sluice.oov"] = std::string("5"); });
  refused("ids",
          [](HandMade& made) { made.metadata["sluice.literal_unknowns"] = std::string("5"); });
  refused("U32", [](HandMade& made) { made.metadata["sluice.vocabulary"] = std::string("65537"); });
  refused("ids", [](HandMade& made) { made.ids_name = "id"; });
  refused("line_starts", [](HandMade& made) { made.starts_name = "starts"; });
  refused("I16", [](HandMade& made) { made.ids_type = formats::Dtype::kI16; });
  refused("I64", [](HandMade& made) { made.starts_type = formats::Dtype::kI64; });
  refused("2 dimensions", [](HandMade& made) { made.ids_shape = {2, 2}; });
  refused("ids", [](HandMade& made) {
    made.ids = {0};
    made.ids_shape = {1};
  });
  refused("version 2", [](HandMade& made) { made.metadata["sluice.token_file"] = "1"; });
  refused("'files': wrong type", [](HandMade& made) { made.files_shape = {10}; });
  refused("'files': wrong type", [](HandMade& made) { made.files_shape = {2, 5}; });
  for (std::size_t column = 0; column < 10; ++column) {
    refused("do not add up", [column](HandMade& made) { ++made.files[column]; });
  }
  check_error(ExitCode::kNoInput, {"none"}, [&] { TokenFile{folder.path("none")}; });
}

TEST_CASE("TokenFile: an id outside the vocabulary is found when it is read", "[text]") {
  const ScratchFolder folder;
  HandMade made;
  made.ids[2] = 5;
  made.write(folder.path("made"));
  const TokenFile file(folder.path("made"));
  std::vector<int> two(2);
  CHECK_NOTHROW(file.read(0, two));
  check_error(ExitCode::kBadData, {folder.path("made"), "token 2", "below 5", "found 5"},
              [&] { file.read(1, two); });
}

TEST_CASE("TokenFile: cut while open it is an error, replaced or deleted it is not", "[text]") {
  const ScratchFolder folder;
  const auto path = folder.path("made");
  HandMade().write(path);
  const TokenFile file(path);
  HandMade other;
  other.ids = {3, 0, 3, 0};
  other.write(path);
  CHECK(ids_of(file) == std::vector<int>{2, 0, 4, 0});
  const TokenFile replaced(path);
  std::filesystem::remove(path);
  CHECK(ids_of(replaced) == std::vector<int>{3, 0, 3, 0});
  HandMade().write(path);
  const TokenFile cut(path);
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 2);
  check_error(ExitCode::kBadData, {path, "offset"}, [&] { ids_of(cut); });
}

TEST_CASE("TokenFile: malformed bytes are read as asked for, each way with its own file",
          "[text]") {
  const ScratchFolder folder;
  const auto file = folder.write("text", "a\xff\nb\n");
  const auto bytes = train(TokenizerType::kByte, ""), words = train(TokenizerType::kWord, "a b");
  const auto run = [&](InvalidUtf8 mode, const Tokenizer& tokenizer) {
    return tokenize(Corpus({file}, mode), {}, tokenizer, folder.path("cache"), nullptr);
  };
  const TokenFile kept = run(InvalidUtf8::kBytes, *bytes);
  CHECK(ids_of(kept) == std::vector<int>{'a', 0xff, '\n', 'b', '\n'});
  CHECK(kept.counts().malformed == 1);
  CHECK(kept.invalid_utf8() == InvalidUtf8::kBytes);
  const TokenFile replaced = run(InvalidUtf8::kReplace, *bytes);
  CHECK(ids_of(replaced) == std::vector<int>{'a', 0xef, 0xbf, 0xbd, '\n', 'b', '\n'});
  CHECK(replaced.counts().replaced == 1);
  CHECK(folder.names("cache").size() == 2);
  CHECK(ids_of(run(InvalidUtf8::kBytes, *bytes)) == ids_of(kept));
  // A file in the cache does not make the error go away.
  check_error(ExitCode::kBadData, {file, "offset 1"}, [&] { run(InvalidUtf8::kError, *bytes); });
  check_error(ExitCode::kUsage, {"data.invalid_utf8", "word"},
              [&] { run(InvalidUtf8::kBytes, *words); });
  CHECK(run(InvalidUtf8::kReplace, *words).oov() == 1);
  // Nor does the part of it that is taken.
  const auto head = [&](InvalidUtf8 mode) {
    return tokenize(Corpus({file}, mode), {1, 2}, *bytes, folder.path("cache"), nullptr);
  };
  CHECK(head(InvalidUtf8::kReplace).counts().replaced == 0);
  check_error(ExitCode::kBadData, {file, "offset 1"}, [&] { head(InvalidUtf8::kError); });
}

TEST_CASE("TokenFile: text without malformed bytes has one file for all ways", "[text]") {
  const ScratchFolder folder;
  const auto file = folder.write("text", "fine\n");
  const auto bytes = train(TokenizerType::kByte, "");
  for (const InvalidUtf8 mode : {InvalidUtf8::kReplace, InvalidUtf8::kError, InvalidUtf8::kBytes}) {
    const TokenFile tokens =
        tokenize(Corpus({file}, mode), {}, *bytes, folder.path("cache"), nullptr);
    CHECK(tokens.path() == only_file(folder, "cache"));
    CHECK(tokens.invalid_utf8() == InvalidUtf8::kError);
  }
}

TEST_CASE("TokenFile: text that changes while it is read is refused", "[text]") {
  const ScratchFolder folder;
  std::string long_line(600000, 'x');
  const auto file = folder.write("text", long_line += "\n");
  const auto tokenizer = train(TokenizerType::kByte, "");
  bool changed = false;
  const auto change = [&](std::uint64_t done, std::uint64_t total) {
    CHECK(done <= total);
    if (changed) return;
    changed = true;
    REQUIRE(::truncate(file.c_str(), 500000) == 0);
  };
  check_error(ExitCode::kBadData, {file, "changed"},
              [&] { tokenize({file}, {}, *tokenizer, folder.path("cache"), change); });
  CHECK(folder.names("cache").empty());
}

TEST_CASE("TokenFile: a cache that cannot be written names data.cache_dir", "[text]") {
  const ScratchFolder folder;
  const auto file = folder.write("text", "text\n");
  const auto tokenizer = train(TokenizerType::kByte, "");
  check_error(ExitCode::kOutput, {file, "data.cache_dir"},
              [&] { tokenize({file}, {}, *tokenizer, file + "/cache", nullptr); });
}

TEST_CASE("TokenFile: a cache that is only read is used, and else nothing is left", "[text]") {
  const ScratchFolder folder;
  const ScratchFolder temporary;
  REQUIRE(::setenv("TMPDIR", temporary.path("").c_str(), 1) == 0);
  const auto file = folder.write("text", "text\n");
  const auto tokenizer = train(TokenizerType::kByte, "");
  const std::string cache = folder.path("cache");
  const auto read_only = [&] {
    return ids_of(tokenize({file}, {}, *tokenizer, cache, nullptr, Cache::kReadOnly));
  };
  const std::vector<int> ids = read_only();
  CHECK(!std::filesystem::exists(cache));
  CHECK(temporary.names("").empty());
  CHECK(ids_of(tokenize({file}, {}, *tokenizer, cache, nullptr)) == ids);
  // Found there: not encoded again.
  int encoded = 0;
  tokenize(
      {file}, {}, *tokenizer, cache, [&](std::uint64_t, std::uint64_t) { ++encoded; },
      Cache::kReadOnly);
  CHECK(encoded == 0);
  const std::string kept = only_file(folder, "cache");
  const auto changed = std::filesystem::last_write_time(kept);
  folder.write("text", "other\n");
  CHECK(read_only() != ids);
  CHECK(only_file(folder, "cache") == kept);
  CHECK(std::filesystem::last_write_time(kept) == changed);
  check_error(ExitCode::kOutput, {file, "data.cache_dir"}, [&] {
    tokenize({file}, {}, *tokenizer, file + "/cache", nullptr, Cache::kReadOnly);
  });
  CHECK(temporary.names("").empty());
  ::unsetenv("TMPDIR");
}

TEST_CASE("TokenFile: where a dry run encodes is named when it is full, and left empty", "[text]") {
  class FullFileSystem final : public FileSystem {
   public:
    std::ptrdiff_t write(int, const void*, std::size_t) override {
      errno = ENOSPC;
      return -1;
    }
  };
  const ScratchFolder folder;
  const ScratchFolder temporary;
  const auto file = folder.write("text", "text\n");
  REQUIRE(::setenv("TMPDIR", temporary.path("").c_str(), 1) == 0);
  FullFileSystem full;
  const ScopedFileSystem scope(full);
  const std::optional<Error> error = ::sluice::testing::error_of([&] {
    tokenize({file}, {}, *train(TokenizerType::kByte, ""), folder.path("cache"), nullptr,
             Cache::kReadOnly);
  });
  ::unsetenv("TMPDIR");
  REQUIRE(error);
  CHECK(error->code() == ExitCode::kOutput);
  const std::string text = error->what();
  CHECK(text.find("set it to a folder") != std::string::npos);
  CHECK(text.find("TMPDIR") != std::string::npos);
  CHECK(text.find("data.cache_dir") == std::string::npos);
  CHECK(temporary.names("").empty());
}

TEST_CASE("TokenFile: a full disk leaves the cache as it was", "[text]") {
  class FailingFileSystem final : public FileSystem {
   public:
    std::ptrdiff_t write(int fd, const void* data, std::size_t size) override {
      return fails() ? -1 : FileSystem::write(fd, data, size);
    }
    int open(const char* path, int flags, unsigned mode) override {
      return fails() ? -1 : FileSystem::open(path, flags, mode);
    }
    int fsync(int fd) override { return fails() ? -1 : FileSystem::fsync(fd); }
    int rename(const char* from, const char* to) override {
      return fails() ? -1 : FileSystem::rename(from, to);
    }
    int failing_call = 0, calls = 0;

   private:
    bool fails() {
      errno = ENOSPC;
      return calls++ == failing_call;
    }
  };
  const ScratchFolder folder;
  const auto file = folder.write("text", "text\n");
  const auto tokenizer = train(TokenizerType::kByte, "");
  std::filesystem::create_directory(folder.path("cache"));
  int failures = 0;
  for (int call = 0; call < 100; ++call) {
    FailingFileSystem failing;
    failing.failing_call = call;
    bool done = false;
    {
      const ScopedFileSystem scope(failing);
      try {
        const TokenFile made = tokenize({file}, {}, *tokenizer, folder.path("cache"), nullptr);
        done = made.size() == 5;
      } catch (const Error& error) {
        CHECK(error.code() == ExitCode::kOutput);
        CHECK(std::string(error.what()).find("data.cache_dir") != std::string::npos);
      }
    }
    if (done) break;
    ++failures;
    // After the rename the new file may stand, whole.
    for (const auto& name : folder.names("cache")) {
      CHECK_FALSE(is_temporary_name(name));
      CHECK_NOTHROW(TokenFile(folder.path("cache/" + name)).verify());
      std::filesystem::remove(folder.path("cache/" + name));
    }
  }
  CHECK(failures >= 6);
  CHECK(failures < 100);
}

TEST_CASE("TokenFile: a pipe is encoded in one pass", "[text]") {
  const ScratchFolder folder;
  const auto pipe = folder.path("pipe");
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  std::thread writer([&pipe] {
    const int fd = ::open(pipe.c_str(), O_WRONLY);
    if (::write(fd, "a\nb", 3) == 3) ::close(fd);
  });
  const auto tokenizer = train(TokenizerType::kByte, "");
  const TokenFile file = tokenize({pipe}, {}, *tokenizer, folder.path("cache"), nullptr);
  writer.join();
  CHECK(ids_of(file) == std::vector<int>{'a', '\n', 'b', '\n'});
  CHECK(file.corpus_hash() == checksum("a\nb"));
}

TEST_CASE("TokenFile: leftovers of killed processes are swept after a day", "[text]") {
  const ScratchFolder folder;
  const auto text = folder.write("text", "text\n");
  std::filesystem::create_directory(folder.path("cache"));
  const auto now = std::filesystem::file_time_type::clock::now();
  for (const std::string name : {".tokens-1.safetensors.tmp-1-1", ".tokens-2.safetensors.tmp-1-2",
                                 ".else.tmp-1-3", "tokens-old.safetensors"}) {
    REQUIRE(is_temporary_name(name) == (name[0] == '.'));
    const auto path = folder.write("cache/" + name, "x");
    const bool young = name.ends_with("-2");
    std::filesystem::last_write_time(path, now - std::chrono::hours(young ? 23 : 25));
  }
  tokenize({text}, {}, *train(TokenizerType::kByte, ""), folder.path("cache"), nullptr);
  const auto names = folder.names("cache");
  CHECK(std::count(names.begin(), names.end(), ".tokens-1.safetensors.tmp-1-1") == 0);
  CHECK(names.size() == 4);
}

TEST_CASE("TokenFile: the default cache follows the environment", "[text]") {
  const auto value_of = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
  const std::string home = value_of("HOME"), cache = value_of("XDG_CACHE_HOME");
  ::setenv("HOME", "/home/of", 1);
  ::setenv("XDG_CACHE_HOME", "/some/cache", 1);
  CHECK(default_cache_dir() == "/some/cache/sluice");
  ::setenv("XDG_CACHE_HOME", "relative", 1);
  CHECK(default_cache_dir() == "/home/of/.cache/sluice");
  ::unsetenv("XDG_CACHE_HOME");
  CHECK(default_cache_dir() == "/home/of/.cache/sluice");
  ::unsetenv("HOME");
  check_error(ExitCode::kOutput, {"data.cache_dir"}, [] { default_cache_dir(); });
  if (!home.empty()) ::setenv("HOME", home.c_str(), 1);
  if (!cache.empty()) ::setenv("XDG_CACHE_HOME", cache.c_str(), 1);
}
