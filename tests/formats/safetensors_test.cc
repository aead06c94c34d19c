#include "sluice/formats/safetensors.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <functional>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "sluice/base/error.h"
#include "tests/support/error_check.h"
#include "tests/support/temp_dir.h"

namespace sluice::formats {
namespace {

using testing::error_of;
using testing::TempDir;

std::string little_endian(std::uint64_t value) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(value >> (8 * i) & 0xff);
  return bytes;
}

std::string file_of(const std::string& json, const std::string& data = "") {
  return little_endian(json.size()) + json + data;
}

std::string zeros(std::size_t count) { return std::string(count, '\0'); }

std::string entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  const std::string& offsets) {
  return fmt::format(R"("{}":{{"dtype":"{}","shape":{},"data_offsets":{}}})", name, dtype, shape,
                     offsets);
}

// A file of one tensor "a".
std::string one(const std::string& dtype, const std::string& shape, const std::string& offsets,
                const std::string& data = zeros(16)) {
  return file_of("{" + entry("a", dtype, shape, offsets) + "}", data);
}

std::string text_of(const std::vector<std::byte>& bytes) {
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

struct BadFile {
  std::string claim;
  std::string bytes;
  std::uint64_t offset;  // that the message must name
  std::string fragment;  // that the message must contain
};

void check_refused(const std::vector<BadFile>& files) {
  const TempDir dir;
  const std::string path = dir / "m.safetensors";
  for (const BadFile& file : files) {
    INFO(file.claim);
    dir.write("m.safetensors", file.bytes);
    const auto failure = error_of([&] { SafetensorsReader{path}; });
    REQUIRE(failure);
    const std::string text = failure->what();
    CAPTURE(text);
    CHECK(failure->code() == ExitCode::kBadData);
    CHECK(text.find(fmt::format("{}: offset {}: ", path, file.offset)) == 0);
    CHECK(text.find(file.fragment) != std::string::npos);
    CHECK(text.size() < path.size() + 400);
    CHECK(std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; }));
  }
}

TEST_CASE("SafetensorsReader: refuses bad headers", "[formats]") {
  const std::string good = "{" + entry("a", "F32", "[4]", "[0,16]") + "}";
  const std::string deep(100000, '[');
  check_refused({
      {"no bytes", "", 0, "found 0"},
      {"one byte", "{", 1, "found 1"},
      {"seven bytes", little_endian(2).substr(0, 7), 7, "found 7"},
      {"length 0", file_of("", "{}"), 8, "does not start with {"},
      {"length 1", file_of("{", "}"), 8, "not well-formed"},
      {"length one beyond the end", little_endian(3) + "{}", 0, "expected at most 2, found 3"},
      {"length 2^63", little_endian(std::uint64_t{1} << 63) + good, 0, "9223372036854775808"},
      {"length 2^64-1", little_endian(~std::uint64_t{0}) + good, 0, "18446744073709551615"},
      {"length over the limit", little_endian(100'000'001) + "{", 0,
       "expected at most 100000000, found 100000001"},
      {"starts with a space", file_of(" " + good, zeros(16)), 8, "does not start with {"},
      {"byte order mark", file_of("\xef\xbb\xbf" + good, zeros(16)), 8, "does not start"},
      {"overlong UTF-8", file_of("{\"a\xc0\x80\":{}}"), 11, "UTF-8"},
      {"lone byte 0xff", file_of("{\"\xff\":{}}"), 10, "UTF-8"},
      {"raw control byte", file_of("{\"a\x1b\":{}}"), 11, "not well-formed"},
      {"cut JSON", file_of(good.substr(0, 20)), 27, "not well-formed"},
      {"an array", file_of("[]"), 8, "expected a JSON object"},
      {"null", file_of("null"), 8, "expected a JSON object"},
      {"text after }", file_of("{}x"), 10, "not well-formed"},
      {"a second object", file_of("{}{}"), 10, "not well-formed"},
      {"zeros as padding", file_of("{}" + zeros(6)), 10, "zero byte"},
      {"a zero and more after it", file_of("{}" + zeros(1) + "\"x"), 10, "zero byte"},
      {"a comment", file_of("{/**/}"), 9, "not well-formed"},
      {"100,000 [", file_of("{\"a\":" + deep), 13, "expected an object, found an array"},
      {"100,000 [ in a shape", file_of(R"({"a":{"shape":)" + deep), 23, "found an array"},
      {"100 MB claimed in a small file", little_endian(100'000'000) + good, 0, "runs past the end"},
  });
}

TEST_CASE("SafetensorsReader: refuses a header over 100 MB even when the file has it",
          "[formats]") {
  const TempDir dir;
  const std::string path = dir / "m.safetensors";
  write_file_atomically(path, little_endian(100'000'001) + "{}");
  REQUIRE(::truncate(path.c_str(), 100'000'100) == 0);
  const auto failure = error_of([&] { SafetensorsReader{path}; });
  REQUIRE(failure);
  CHECK(std::string(failure->what()).find("header too long") != std::string::npos);
}

TEST_CASE("SafetensorsReader: refuses bad names and entries", "[formats]") {
  const std::string a = entry("a", "U8", "[4]", "[0,4]");
  const auto named = [](const std::string& name) {
    return file_of("{" + entry(name, "U8", "[0]", "[0,0]") + "}");
  };
  const auto after_a = [&](const std::string& name) {
    return file_of("{" + a + "," + entry(name, "U8", "[0]", "[4,4]") + "}", zeros(4));
  };
  check_refused({
      {"a name twice", after_a("a"), 10 + a.size(), R"("a" appears twice)"},
      {"a name twice, escaped", after_a(R"(\u0061)"), 10 + a.size(), R"("a" appears twice)"},
      {"an empty name", named(""), 9, "without a name"},
      {"a name of 1 MB", named(std::string(1 << 20, 'n')), 9, "found 1048576"},
      {"a name with NUL", named(R"(a\u0000b)"), 9, "NUL"},
      {"a name that steers a terminal, wrong size",
       file_of("{" + entry(R"(\u001b]0;x\u0007)", "U8", "[1]", "[0,2]") + "}", zeros(2)), 9,
       R"(\u{1b}]0;x\u{7}")"},
      {"an entry that is a list", file_of(R"({"a":[]})"), 13, "expected an object"},
      {"an entry that is a string", file_of(R"({"a":"F32"})"), 13, R"(found "F32")"},
      {"an entry that is a number", file_of(R"({"a":12})"), 13, "found 12"},
      {"no dtype", file_of(R"({"a":{"shape":[4],"data_offsets":[0,4]}})", zeros(4)), 9, "no dtype"},
      {"no shape", file_of(R"({"a":{"dtype":"U8","data_offsets":[0,4]}})", zeros(4)), 9,
       "no shape"},
      {"no offsets", file_of(R"({"a":{"dtype":"U8","shape":[0]}})"), 9, "no data_offsets"},
      {"an empty entry", file_of(R"({"a":{}})"), 9, "no dtype"},
      {"an unknown key", file_of(R"({"a":{"stride":[1]}})"), 14, R"(unknown key "stride")"},
      {"a field twice", file_of(R"({"a":{"dtype":"U8","dtype":"U8"}})"), 27, "appears twice"},
      {"an unknown dtype", one("F33", "[4]", "[0,16]"), 22, R"(found "F33")"},
      {"a dtype in lower case", one("f32", "[4]", "[0,16]"), 22, "BF16"},
      {"a dtype that is a number", file_of(R"({"a":{"dtype":7}})"), 22,
       "expected a string, found 7"},
      {"a dtype that is null", file_of(R"({"a":{"dtype":null}})"), 22, "found null"},
  });
}

TEST_CASE("SafetensorsReader: refuses bad shapes and offsets", "[formats]") {
  std::string dims = "[1";
  for (int i = 1; i < 33; ++i) dims += ",1";
  check_refused({
      {"a shape that is a number", one("F32", "4", "[0,16]"), 36, "expected an array, found 4"},
      {"a shape that is a string", one("F32", R"("4")", "[0,16]"), 36, R"(found "4")"},
      {"a shape that is an object", one("F32", "{}", "[0,16]"), 36, "found an object"},
      {"a negative size", one("F32", "[-4]", "[0,16]"), 37, "found -4"},
      {"minus zero", one("F32", "[4,-0]", "[0,16]"), 39, "expected a non-negative integer"},
      {"a fraction", one("F32", "[4.0]", "[0,16]"), 37, "found 4.0"},
      {"an exponent", one("F32", "[4e0]", "[0,16]"), 37, "found 4e0"},
      {"a bool as a size", one("F32", "[4,true]", "[0,16]"), 39, "found true"},
      {"null as a size", one("F32", "[null]", "[0,16]"), 37, "found null"},
      {"a string as a size", one("F32", R"(["4"])", "[0,16]"), 37, R"(found "4")"},
      {"a size of 2^63", one("F32", "[9223372036854775808,0]", "[0,0]", ""), 37,
       "found 9223372036854775808"},
      {"a size of 2^64", one("F32", "[18446744073709551616]", "[0,16]"), 37,
       "found 18446744073709551616"},
      {"a number of 300 digits", one("F32", "[" + std::string(300, '1') + "]", "[0,16]"), 37,
       "1111..."},
      {"a number beyond any double", one("F32", "[" + std::string(400, '9') + "]", "[0,16]"), 437,
       "not well-formed"},
      {"33 dimensions", one("F32", dims + "]", "[0,4]", zeros(4)), 101, "expected at most 32"},
      {"a product that wraps to 4",
       one("U8", "[4194305,4194305,211106198978564]", "[0,4]", zeros(4)), 9, "overflows"},
      {"a product that wraps with the dtype",
       one("F32", "[4611686018427387905]", "[0,4]", zeros(4)), 9, "overflows"},
      {"no offsets in the list", one("F32", "[4]", "[]"), 57, "expected 2 numbers, found 0"},
      {"one offset", one("F32", "[4]", "[16]"), 59, "expected 2 numbers, found 1"},
      {"three offsets", one("F32", "[4]", "[0,16,16]"), 61, "too many numbers"},
      {"reversed offsets", one("F32", "[4]", "[16,0]"), 9, "reversed"},
      {"a negative offset", one("F32", "[4]", "[-16,0]"), 56, "found -16"},
      {"a fractional offset", one("F32", "[4]", "[0,16.5]"), 58, "found 16.5"},
      {"an offset past the end", one("F32", "[5]", "[0,20]"), 9, "expected at most 16"},
      {"a wrapping offset", one("F32", "[4]", "[9223372036854775807,15]"), 9, "reversed"},
  });
}

TEST_CASE("SafetensorsReader: refuses holes, overlaps and leftovers", "[formats]") {
  std::string shared = "{";
  for (int i = 0; i < 10000; ++i) {
    shared += (i == 0 ? "" : ",") + entry("t" + std::to_string(i), "U8", "[4]", "[0,4]");
  }
  const std::uint64_t second = 10 + entry("a", "U8", "[4]", "[0,4]").size();
  const auto two = [](const std::string& shape, const std::string& offsets, std::size_t bytes) {
    return file_of(
        "{" + entry("a", "U8", "[4]", "[0,4]") + "," + entry("b", "U8", shape, offsets) + "}",
        zeros(bytes));
  };
  const std::string good = one("F32", "[4]", "[0,16]");
  check_refused({
      {"a gap at the start", one("F32", "[4]", "[4,20]", zeros(20)), 9, "gap before"},
      {"a gap", two("[4]", "[8,12]", 12), second, "gap before tensor \"b\""},
      {"an overlap", two("[4]", "[3,7]", 7), second, "overlap"},
      {"the same bytes 10,000 times", file_of(shared + "}", zeros(4)),
       10 + entry("t0", "U8", "[4]", "[0,4]").size(), "overlap"},
      {"a zero-size tensor inside another", two("[0]", "[2,2]", 4), second, "overlap"},
      {"bytes after the last tensor", good + "1234", good.size(), "found 4 more bytes"},
      {"bytes without any tensor", file_of("{}", "x"), 10, "found 1 more bytes"},
      {"more bytes than the shape has", one("F32", "[3]", "[0,16]"), 9, "expected 12, found 16"},
      {"fewer bytes than the shape has", one("F32", "[5]", "[0,16]"), 9, "expected 20, found 16"},
      {"another dtype's size", one("F64", "[4]", "[0,16]"), 9, "expected 32, found 16"},
      {"zero elements with bytes", one("F32", "[4,0]", "[0,16]"), 9, "expected 0, found 16"},
      {"file one byte short", good.substr(0, good.size() - 1), 9, "expected at most 15"},
  });
}

TEST_CASE("SafetensorsReader: refuses bad metadata", "[formats]") {
  const auto with = [](const std::string& metadata) {
    return file_of(R"({"__metadata__":)" + metadata + "}");
  };
  check_refused({
      {"a list", with("[]"), 24, "__metadata__ (expected an object, found an array)"},
      {"a string", with("\"x\""), 24, "expected an object"},
      {"null", with("null"), 24, "found null"},
      {"a number as value", with(R"({"step":12})"), 32, R"("step" (expected a string, found 12))"},
      {"null as value", with(R"({"step":null})"), 32, "found null"},
      {"false as value", with(R"({"step":false})"), 32, "found false"},
      {"a list as value", with(R"({"step":["x"]})"), 32, "found an array"},
      {"an object as value", with(R"({"step":{}})"), 32, "found an object"},
      {"a key twice", with(R"({"k":"1","k":"1"})"), 33, "appears twice"},
      {"metadata twice", with(R"({"k":"1"},"__metadata__":{})"), 34, "appears twice"},
      {"a checksum without the header's", with(R"({"sluice.xxh3.data:a":"0000000000000000"})"), 8,
       "no checksum"},
      {"a header checksum that is none", with(R"({"sluice.xxh3.header":"yes"})"), 8,
       "no checksum of 16 digits"},
      {"a wrong header checksum", with(R"({"sluice.xxh3.header":"0000000000000000"})"), 47,
       "wrong checksum of the header"},
      {"a checksum for no tensor",
       with(R"({"sluice.xxh3.data:a":"0","sluice.xxh3.header":"0000000000000000"})"), 8,
       "not there"},
      {"a tensor without its checksum",
       file_of(R"({"__metadata__":{"sluice.xxh3.header":"0000000000000000"},)" +
               entry("a", "U8", "[0]", "[0,0]") + "}"),
       66, R"("a" has no checksum)"},
  });
}

TEST_CASE("SafetensorsReader: a hostile header cannot claim much more memory than the file",
          "[formats]") {
  const auto empty_tensor = [](const std::string& name) {
    return entry(name, "U8", "[0]", "[0,0]");
  };
  std::string entries = "{" + empty_tensor("t");
  for (int i = 1; i < 65540; ++i) entries += "," + empty_tensor(std::to_string(i));
  std::string metadata = R"({"__metadata__":{"x":"")";
  for (int i = 1; i < 131080; ++i) metadata += fmt::format(R"(,"{}":"")", i);
  std::string names = "{" + empty_tensor("t");
  for (int i = 1; i < 300; ++i) {
    names += "," + empty_tensor(fmt::format("{:05}", i) + std::string(65531 - 5, 'n'));
  }
  const std::size_t long_bytes = std::size_t{5} << 20;
  const auto valued = [](const std::string& value) {
    return file_of(R"({"__metadata__":{"k":")" + value + "\"}}");
  };
  check_refused({
      {"too many tensors", file_of(entries + "}"), 8 + entries.find("\"65536\":"), "65536"},
      {"too many keys", file_of(metadata + "}}"), 8 + metadata.find("\"131072\":"), "131072"},
      {"too much text in names", file_of(names + "}"), 8 + names.find("\"00257n") + 65532,
       "too much text"},
      {"a value of 5 MB", valued(std::string(long_bytes, 'x')), 29, "too long"},
      {"a value of 5 MB of commas", valued(std::string(long_bytes, ',')), 29, "too long"},
      {"a value of 5 MB behind a quote", valued("\\\"" + std::string(long_bytes, ',')), 29,
       "too long"},
      {"a number of 5 MB", file_of("{\"a\":" + std::string(long_bytes, '1') + "}"), 12, "too long"},
      {"5 MB of spaces", file_of("{" + std::string(long_bytes, ' ') + "}"), 8, "too long"},
  });
}

struct Loaded {
  TempDir dir;
  SafetensorsReader file;
  explicit Loaded(const std::string& bytes) : file(write(dir, bytes)) {}
  static std::string write(const TempDir& dir, const std::string& bytes) {
    write_file_atomically(dir / "m.safetensors", bytes);
    return dir / "m.safetensors";
  }
  std::string text(const std::string& name) const { return text_of(file.read_all(file.get(name))); }
};

TEST_CASE("SafetensorsReader: loads scalars and zero-size dimensions", "[formats]") {
  const Loaded scalar(one("F32", "[]", "[0,4]", "abcd"));
  CHECK(scalar.file.get("a").shape.empty());
  CHECK(scalar.file.get("a").elements() == 1);
  CHECK(scalar.text("a") == "abcd");

  const Loaded empty(file_of("{" + entry("b", "U16", "[2]", "[0,4]") + "," +
                                 entry("a", "F32", "[3,0,7]", "[0,0]") + "," +
                                 entry("c", "F32", "[0]", "[4,4]") + "}",
                             "wxyz"));
  REQUIRE(empty.file.tensors().size() == 3);
  CHECK(empty.file.tensors()[0].name == "a");
  CHECK(empty.file.tensors()[1].name == "b");
  CHECK(empty.file.get("a").elements() == 0);
  CHECK(empty.file.get("b").elements() == 2);
  CHECK(empty.text("c").empty());
}

TEST_CASE("SafetensorsReader: loads padded, empty and unaligned headers", "[formats]") {
  const Loaded padded(file_of(
      "{\n \"a\" : {\"dtype\":\"U8\",\t\"shape\":[ 2 ],\"data_offsets\":[0, 2]} }      \n", "hi"));
  CHECK(padded.text("a") == "hi");
  CHECK(Loaded(file_of("{}")).file.tensors().empty());
  const Loaded no_metadata(file_of(R"({"__metadata__":{}})"));
  CHECK(no_metadata.file.metadata().empty());
  CHECK_FALSE(no_metadata.file.has_checksums());
  CHECK(error_of([&] { no_metadata.file.verify(); })->code() == ExitCode::kBadData);
  const Loaded unaligned(file_of(
      "{" + entry("b", "F64", "[1]", "[1,9]") + "," + entry("a", "U8", "[1]", "[0,1]") + "}",
      "123456789"));
  CHECK(unaligned.text("b") == "23456789");
}

TEST_CASE("SafetensorsReader: loads the longest name, spelt with escapes", "[formats]") {
  const std::string tail(65533, 'n');
  const Loaded loaded(file_of("{" + entry(R"(\"\\)" + tail, "U8", "[1]", "[0,1]") + "}", "x"));
  CHECK(loaded.file.find(R"("\)" + tail) != nullptr);
  CHECK(loaded.file.find("n") == nullptr);
  CHECK(error_of([&] { loaded.file.get("n"); })->code() == ExitCode::kBadData);
}

TEST_CASE("SafetensorsReader: loads every dtype in 32 dimensions", "[formats]") {
  std::string dims = "[1";
  for (int i = 1; i < 32; ++i) dims += ",1";
  const std::vector<std::pair<std::string, std::size_t>> dtypes = {
      {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"U16", 2}, {"I16", 2}, {"F16", 2}, {"BF16", 2},
      {"U32", 4},  {"I32", 4}, {"F32", 4}, {"U64", 8}, {"I64", 8}, {"F64", 8}};
  std::string json;
  std::size_t at = 0;
  for (const auto& [dtype, size] : dtypes) {
    json += json.empty() ? "{" : ",";
    json += entry(dtype, dtype, dims + "]", fmt::format("[{},{}]", at, at + size));
    at += size;
  }
  const Loaded loaded(file_of(json + "}", zeros(at)));
  CHECK(loaded.file.tensors().size() == dtypes.size());
  for (const auto& [dtype, size] : dtypes) {
    const TensorInfo& tensor = loaded.file.get(dtype);
    CHECK(dtype_name(tensor.dtype) == dtype);
    CHECK(dtype_size(tensor.dtype) == size);
    CHECK(tensor.shape.size() == 32);
  }
}

TEST_CASE("SafetensorsReader: loads the Python library's layout and the format's own example",
          "[formats]") {
  std::string json = R"({"__metadata__":{"format":"pt","note":"\u00fc\ud83d\ude00"},)"
                     R"("embedding.weight":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
                     R"("ids":{"dtype":"I64","shape":[2],"data_offsets":[24,40]}})";
  json.append((8 - json.size() % 8) % 8, ' ');
  std::string data(40, '\0');
  std::iota(data.begin(), data.end(), '\1');
  const Loaded loaded(file_of(json, data));
  CHECK(loaded.file.metadata().at("format") == "pt");
  CHECK(loaded.file.metadata().at("note") == "\u00fc\U0001f600");
  CHECK(loaded.file.get("embedding.weight").shape == std::vector<std::uint64_t>{2, 3});
  CHECK(loaded.text("ids") == data.substr(24));

  const Loaded example(std::string("\x3c\0\0\0\0\0\0\0", 8) +
                       R"({"test":{"dtype":"I32","shape":[2,2],"data_offsets":[0,16]}})" +
                       zeros(16));
  CHECK(example.file.get("test").elements() == 4);
}

TEST_CASE("SafetensorsReader: reads parts of a tensor and never leaves it", "[formats]") {
  const Loaded loaded(
      file_of("{" + entry("a", "U8", "[4]", "[0,4]") + "," + entry("b", "U8", "[4]", "[4,8]") + "}",
              "abcdwxyz"));
  const SafetensorsReader& file = loaded.file;
  std::vector<std::byte> out(2);
  file.read(file.get("b"), 1, out);
  CHECK(text_of(out) == "xy");
  for (const std::uint64_t offset : {std::uint64_t{3}, std::uint64_t{5}, ~std::uint64_t{0}}) {
    CHECK(error_of([&] { file.read(file.get("a"), offset, out); })->code() == ExitCode::kInternal);
  }
  REQUIRE(::truncate(file.path().c_str(), 100) == 0);
  CHECK(error_of([&] { file.read_all(file.get("b")); })->code() == ExitCode::kBadData);
}

const std::vector<std::pair<std::string, std::string>> kContents = {
    {"weight", "0123456789abcdef"}, {"bias", "ABCDEFGH"}, {"\"odd\" name\n", "xyz"}, {"none", ""}};
constexpr std::size_t kContentBytes = 27;

// A small file with tensors of three alignments, produced in pieces.
void write_example(const std::string& path, const Metadata& metadata) {
  SafetensorsWriter writer(path, metadata);
  writer.declare("\"odd\" name\n", Dtype::kU8, {3});
  writer.declare("none", Dtype::kF32, {0, 5});
  writer.declare("weight", Dtype::kF32, {2, 2});
  writer.declare("bias", Dtype::kI64, {1});
  writer.commit([](const TensorInfo& tensor, const SafetensorsWriter::Write& write) {
    const auto content = std::find_if(kContents.begin(), kContents.end(),
                                      [&](const auto& pair) { return pair.first == tensor.name; });
    for (const char& c : content->second) write(std::as_bytes(std::span(&c, 1)));
  });
}

TEST_CASE("SafetensorsWriter: what it writes is read back and verified", "[formats]") {
  const TempDir dir;
  const std::string path = dir / "m.safetensors";
  write_example(path, {{"step", "12"}, {"config", "{\"a\": \"\u00fc\\n\"}"}});
  const SafetensorsReader file(path);
  CHECK(file.has_checksums());
  file.verify();
  CHECK(file.metadata().at("step") == "12");
  CHECK(file.metadata().at("config") == "{\"a\": \"\u00fc\\n\"}");
  CHECK(file.metadata().at("format") == "pt");
  // The published XXH3-64 of nothing.
  CHECK(file.metadata().at("sluice.xxh3.data:none") == "2d06800538d394c2");
  REQUIRE(file.tensors().size() == 4);
  for (const auto& [name, content] : kContents) {
    CHECK(text_of(file.read_all(file.get(name))) == content);
  }
  CHECK(file.get("weight").shape == std::vector<std::uint64_t>{2, 2});
  CHECK(file.get("none").shape == std::vector<std::uint64_t>{0, 5});
  CHECK(file.get("bias").dtype == Dtype::kI64);
}

TEST_CASE("SafetensorsWriter: order and padding are the format's, so other readers take it",
          "[formats]") {
  const TempDir dir;
  const std::string path = dir / "m.safetensors";
  write_example(path, {{"step", "12"}});
  const std::string bytes = read_whole_file(path, 1 << 16);
  const std::size_t data = bytes.size() - kContentBytes;
  CHECK(bytes.substr(0, 8) == little_endian(data - 8));
  CHECK(data % 8 == 0);
  const auto json = nlohmann::json::parse(bytes.substr(8, data - 8));
  CHECK(json["bias"]["data_offsets"] == nlohmann::json({0, 8}));
  CHECK(json["none"]["data_offsets"] == nlohmann::json({8, 8}));
  CHECK(json["weight"]["data_offsets"] == nlohmann::json({8, 24}));
  CHECK(json["\"odd\" name\n"]["data_offsets"] == nlohmann::json({24, 27}));
  CHECK(json["weight"]["dtype"] == "F32");
  CHECK(json["__metadata__"]["format"] == "pt");
  CHECK(bytes.substr(data) == "ABCDEFGH0123456789abcdefxyz");
}

TEST_CASE("SafetensorsWriter: equal content gives equal bytes, stale checksums are replaced",
          "[formats]") {
  const TempDir dir;
  write_example(dir / "a", {{"step", "12"}});
  write_example(dir / "b", {{"step", "12"}});
  const std::string first = read_whole_file(dir / "a", 1 << 16);
  CHECK(first == read_whole_file(dir / "b", 1 << 16));
  write_example(dir / "other", {{"step", "13"}, {"sluice.xxh3.data:gone", "0123"}});
  Metadata copied = SafetensorsReader(dir / "other").metadata();
  copied["step"] = "12";
  write_example(dir / "c", copied);
  CHECK(first == read_whole_file(dir / "c", 1 << 16));
}

TEST_CASE("SafetensorsWriter: a file without tensors can be verified too", "[formats]") {
  const TempDir dir;
  SafetensorsWriter(dir / "m", {}).commit([](const TensorInfo&, const auto&) {});
  SafetensorsReader(dir / "m").verify();
}

TEST_CASE("SafetensorsWriter: wrong use is an internal error and leaves the old file",
          "[formats]") {
  const TempDir dir;
  const std::string path = dir / "m";
  write_file_atomically(path, "old");
  const auto code_of = [&](const std::function<void(SafetensorsWriter&)>& use,
                           std::size_t produced = 4) {
    const auto failure = error_of([&] {
      SafetensorsWriter writer(path, {});
      use(writer);
      const std::string content(produced, 'x');
      writer.commit([&](const TensorInfo&, const SafetensorsWriter::Write& write) {
        write(std::as_bytes(std::span(content)));
      });
    });
    CHECK(read_whole_file(path, 100) == "old");
    CHECK(dir.names() == std::vector<std::string>{"m"});
    return failure ? failure->code() : ExitCode::kDone;
  };
  const auto declare = [](const std::string& name, std::vector<std::uint64_t> shape) {
    return [=](SafetensorsWriter& writer) { writer.declare(name, Dtype::kF32, shape); };
  };
  CHECK(code_of(declare("", {1})) == ExitCode::kInternal);
  CHECK(code_of(declare("__metadata__", {1})) == ExitCode::kInternal);
  CHECK(code_of(declare(std::string("a\0b", 3), {1})) == ExitCode::kInternal);
  CHECK(code_of(declare("not \xff UTF-8", {1})) == ExitCode::kInternal);
  CHECK(code_of(declare("a", std::vector<std::uint64_t>(33, 1))) == ExitCode::kInternal);
  CHECK(code_of(declare("a", {std::uint64_t{1} << 62, 4})) == ExitCode::kInternal);
  CHECK(code_of(declare("a", {1}), 3) == ExitCode::kInternal);
  CHECK(code_of(declare("a", {1}), 5) == ExitCode::kInternal);
  CHECK(code_of([&](SafetensorsWriter& writer) {
          writer.declare("a", Dtype::kF32, {1});
          writer.declare("b", Dtype::kF32, {1});
          writer.declare("a", Dtype::kU8, {4});
        }) == ExitCode::kInternal);
}

TEST_CASE("Safetensors: every flipped bit, cut and appended byte is found", "[formats]") {
  const TempDir dir;
  write_example(dir / "m", {{"step", "12"}});
  const std::string good = read_whole_file(dir / "m", 1 << 16);
  const std::size_t data = good.size() - kContentBytes;
  const std::string path = dir / "damaged";
  const auto refusal = [&](const std::string& bytes) {
    dir.write("damaged", bytes);
    const auto failure = error_of([&] { SafetensorsReader(path).verify(); });
    if (failure && failure->code() != ExitCode::kBadData) return std::string("wrong exit code");
    return failure ? std::string(failure->what()) : std::string();
  };
  REQUIRE(refusal(good).empty());
  std::vector<std::string> missed;
  const auto expect_refused = [&](const std::string& what, const std::string& bytes) {
    if (refusal(bytes).find(path + ": offset ") != 0) missed.push_back(what);
  };
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (std::size_t bit = 0; bit < 8; ++bit) {
      if (at >= data && bit != at % 8) continue;
      std::string bytes = good;
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << bit));
      expect_refused(fmt::format("bit {} of byte {}", bit, at), bytes);
    }
    expect_refused(fmt::format("cut at {}", at), good.substr(0, at));
  }
  for (const char c : {'\0', ' ', 'x'}) expect_refused("appended byte", good + c);
  CHECK(missed == std::vector<std::string>{});
}

TEST_CASE("Safetensors: swapped tensors are named with their offset", "[formats]") {
  const TempDir dir;
  const std::string path = dir / "m";
  SafetensorsWriter writer(path, {});
  writer.declare("first", Dtype::kU8, {8});
  writer.declare("second", Dtype::kU8, {8});
  writer.commit([](const TensorInfo& tensor, const SafetensorsWriter::Write& write) {
    const std::string content(8, tensor.name[0]);
    write(std::as_bytes(std::span(content)));
  });
  std::string bytes = read_whole_file(path, 1 << 16);
  const std::size_t data = bytes.size() - 16;
  bytes = bytes.substr(0, data) + bytes.substr(data + 8) + bytes.substr(data, 8);
  write_file_atomically(path, bytes);
  const SafetensorsReader swapped(path);
  const auto failure = error_of([&] { swapped.verify(); });
  REQUIRE(failure);
  CHECK(std::string(failure->what())
            .find(fmt::format("{}: offset {}: wrong checksum of tensor \"first\"", path, data)) ==
        0);
  const auto second = error_of([&] { swapped.read_all(swapped.get("second")); });
  REQUIRE(second);
  CHECK(std::string(second->what()).find(fmt::format("offset {}: ", data + 8)) !=
        std::string::npos);
}

}  // namespace
}  // namespace sluice::formats
