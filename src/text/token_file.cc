#include "sluice/text/token_file.h"

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <span>
#include <system_error>

#include "corpus_reader.h"
#include "encoded_corpus.h"
#include "sluice/base/error.h"
#include "sluice/base/file.h"
#include "sluice/base/output_place.h"
#include "sluice/base/printable.h"
#include "sluice/formats/safetensors.h"
#include "token_format.h"

namespace sluice::text {
namespace {

static_assert(std::endian::native == std::endian::little, "token files are little-endian");

using formats::Dtype;
using formats::TensorInfo;

constexpr std::size_t kBlockIds = 8192;

const TensorInfo& get_list(const formats::SafetensorsReader& reader, std::string_view name,
                           Dtype dtype) {
  const TensorInfo& tensor = reader.get(name);
  if (tensor.dtype != dtype || tensor.shape.size() != 1) {
    throw Error(ExitCode::kBadData,
                "{}: tensor '{}': wrong type (expected a list of {}, found {} with {} dimensions)",
                printable(reader.path()), name, dtype_name(dtype), dtype_name(tensor.dtype),
                tensor.shape.size());
  }
  return tensor;
}

std::vector<FileTokens> read_files(const formats::SafetensorsReader& reader) {
  const TensorInfo& tensor = reader.get("files");
  if (tensor.dtype != Dtype::kU64 || tensor.shape.size() != 2 || tensor.shape[1] != kFileColumns) {
    throw Error(ExitCode::kBadData,
                "{}: tensor 'files': wrong type (expected rows of {} U64, found {} with {} "
                "dimensions)",
                printable(reader.path()), kFileColumns, dtype_name(tensor.dtype),
                tensor.shape.size());
  }
  std::vector<std::uint64_t> rows(tensor.elements());
  reader.read(tensor, 0, std::as_writable_bytes(std::span(rows)));
  return from_rows(rows);
}

// Named by what decides the content; text without malformed bytes is the same in every mode.
std::string cache_path(const std::string& directory, std::uint64_t corpus_hash,
                       std::uint64_t tokenizer_hash, LineRange range, InvalidUtf8 mode) {
  const std::string key =
      fmt::format("tokens {}\n{}\n{}\n{} {}\n{}\n", kTokenFileVersion, to_hex(corpus_hash),
                  to_hex(tokenizer_hash), range.begin, range.end, static_cast<int>(mode));
  return fmt::format("{}/tokens-{}.safetensors", directory, to_hex(checksum(key)));
}

// What a text becomes, and how it is to be read.
struct Source {
  const Corpus& corpus;
  LineRange range;
  const Tokenizer& tokenizer;
  std::optional<std::uint64_t> corpus_hash;  // what the text must have; unknown for a pipe
  const std::function<void(std::uint64_t, std::uint64_t)>& progress;
  ThreadPool* pool;
};

// The cached file if it is there, whole, and what its name says.
std::optional<TokenFile> find_cached(const std::string& directory, const Source& source,
                                     InvalidUtf8 mode) {
  const std::uint64_t tokenizer_hash = source.tokenizer.hash();
  try {
    TokenFile file(cache_path(directory, *source.corpus_hash, tokenizer_hash, source.range, mode));
    file.verify();
    if (file.corpus_hash() == *source.corpus_hash && file.tokenizer_hash() == tokenizer_hash &&
        file.vocabulary() == source.tokenizer.size() && file.range() == source.range &&
        file.invalid_utf8() == mode && file.files().size() == source.corpus.files.size()) {
      return file;
    }
  } catch (const Error&) {
    // Missing or damaged: a cache that costs nothing but time to write anew.
  }
  return std::nullopt;
}

std::optional<TokenFile> find_cached(const std::string& directory, const Source& source) {
  auto found = find_cached(directory, source, InvalidUtf8::kError);
  const InvalidUtf8 mode = source.corpus.invalid_utf8;
  return found || mode == InvalidUtf8::kError ? found : find_cached(directory, source, mode);
}

// Removes what processes killed a day or more ago left half written.
void sweep_cache(const std::string& directory) {
  namespace fs = std::filesystem;
  const auto stale = fs::file_time_type::clock::now() - std::chrono::hours(24);
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (!name.starts_with(".tokens-") || !is_temporary_name(name)) continue;
    std::error_code gone;
    const auto written = entry->last_write_time(gone);
    if (!gone && written < stale) FileSystem::current().unlink(entry->path().c_str());
  }
}

}  // namespace

FileTokens& FileTokens::operator+=(const FileTokens& other) {
  counts += other.counts;
  tokens += other.tokens;
  oov += other.oov;
  literal_unknowns += other.literal_unknowns;
  return *this;
}

struct TokenFile::State {
  explicit State(const std::string& path)
      : reader(path),
        header(parse_token_file_header(reader.metadata(), path)),
        files(read_files(reader)) {
    ids = &get_list(reader, "ids",
                    header.vocabulary <= kNarrowVocabulary ? Dtype::kU16 : Dtype::kU32);
    line_starts = &get_list(reader, "line_starts", Dtype::kU64);
    const std::uint64_t starts = line_starts->elements();
    if (starts != header.counts.lines || starts == 0) {
      throw Error(ExitCode::kBadData, "{}: wrong number of line starts (expected {}, found {})",
                  printable(path), header.counts.lines, starts);
    }
    if (ids->elements() < starts || header.oov > ids->elements() ||
        header.literal_unknowns > ids->elements()) {
      throw Error(ExitCode::kBadData,
                  "{}: too few ids (expected one for each of {} lines, {} unknown forms and {} "
                  "literal <unk>, found {})",
                  printable(path), starts, header.oov, header.literal_unknowns, ids->elements());
    }
    check_files();
  }

  void check_files() const {
    FileTokens sum;
    for (const FileTokens& file : files) sum += file;
    const FileTokens expected = {header.counts, ids->elements(), header.oov,
                                 header.literal_unknowns};
    if (sum == expected) return;
    throw Error(ExitCode::kBadData,
                "{}: the counts of the files do not add up to those of the whole (expected {} "
                "bytes and {} tokens, found {} and {})",
                printable(reader.path()), expected.counts.bytes, expected.tokens, sum.counts.bytes,
                sum.tokens);
  }

  template <class Id>
  void read(std::uint64_t begin, std::span<int> out) const {
    std::array<Id, kBlockIds> block;
    while (!out.empty()) {
      const std::span<Id> ids_read(block.data(), std::min(out.size(), kBlockIds));
      reader.read(*ids, begin * sizeof(Id), std::as_writable_bytes(ids_read));
      for (std::size_t i = 0; i < ids_read.size(); ++i) {
        if (ids_read[i] >= header.vocabulary) {
          throw Error(ExitCode::kBadData,
                      "{}: token {}: id outside the vocabulary (expected below {}, found {})",
                      printable(reader.path()), begin + i, header.vocabulary, ids_read[i]);
        }
        out[i] = static_cast<int>(ids_read[i]);
      }
      begin += ids_read.size();
      out = out.subspan(ids_read.size());
    }
  }

  formats::SafetensorsReader reader;
  TokenFileHeader header;
  std::vector<FileTokens> files;
  const TensorInfo *ids = nullptr, *line_starts = nullptr;  // belong to the reader
};

TokenFile::TokenFile(const std::string& path) : state_(std::make_shared<const State>(path)) {}

const std::string& TokenFile::path() const { return state_->reader.path(); }

std::uint64_t TokenFile::size() const { return state_->ids->elements(); }

void TokenFile::read(std::uint64_t begin, std::span<int> out) const {
  if (begin > size() || out.size() > size() - begin) {
    throw Error(ExitCode::kInternal, "{}: tokens {} to {} wanted, the file has {}",
                printable(state_->reader.path()), begin, begin + out.size(), size());
  }
  if (state_->ids->dtype == Dtype::kU16) {
    state_->read<std::uint16_t>(begin, out);
  } else {
    state_->read<std::uint32_t>(begin, out);
  }
}

const std::vector<FileTokens>& TokenFile::files() const { return state_->files; }

InvalidUtf8 TokenFile::invalid_utf8() const { return state_->header.invalid_utf8; }

void TokenFile::read_line_starts(std::uint64_t first_line, std::span<std::uint64_t> out) const {
  const std::uint64_t lines = state_->line_starts->elements();
  if (first_line > lines || out.size() > lines - first_line) {
    throw Error(ExitCode::kInternal, "{}: lines {} to {} wanted, the file has {}",
                printable(state_->reader.path()), first_line, first_line + out.size(), lines);
  }
  state_->reader.read(*state_->line_starts, first_line * sizeof(std::uint64_t),
                      std::as_writable_bytes(out));
}

const CorpusCounts& TokenFile::counts() const { return state_->header.counts; }
std::uint64_t TokenFile::oov() const { return state_->header.oov; }
std::uint64_t TokenFile::literal_unknowns() const { return state_->header.literal_unknowns; }
int TokenFile::vocabulary() const { return static_cast<int>(state_->header.vocabulary); }
std::uint64_t TokenFile::corpus_hash() const { return state_->header.corpus_hash; }
std::uint64_t TokenFile::tokenizer_hash() const { return state_->header.tokenizer_hash; }
LineRange TokenFile::range() const { return state_->header.range; }

std::vector<std::uint64_t> TokenFile::frequencies() const {
  std::vector<std::uint64_t> counts(static_cast<std::size_t>(vocabulary()));
  std::vector<int> block(kBlockIds);
  for (std::uint64_t begin = 0; begin < size(); begin += kBlockIds) {
    block.resize(static_cast<std::size_t>(std::min<std::uint64_t>(kBlockIds, size() - begin)));
    read(begin, block);
    for (const int id : block) ++counts[static_cast<std::size_t>(id)];
  }
  return counts;
}

void TokenFile::verify() const {
  if (!state_->reader.has_checksums()) {
    throw Error(ExitCode::kBadData, "{}: no checksums (expected those every token file has)",
                printable(state_->reader.path()));
  }
  state_->reader.verify();
}

namespace {

// Keeps the ids in `directory`, without a name, until `write` makes the token file of them.
TokenFile encode_in(const std::string& directory, const Source& source,
                    const std::function<TokenFile(EncodedCorpus&)>& write) {
  EncodedCorpus encoded(source.tokenizer, source.range, directory, source.pool);
  encoded.encode(source.corpus, source.progress);
  const std::uint64_t found = encoded.header().corpus_hash;
  if (source.corpus_hash && *source.corpus_hash != found) {
    throw Error(ExitCode::kBadData,
                "{}: the text changed while it was read (expected checksum {}, found {})",
                corpus_name(source.corpus.files), to_hex(*source.corpus_hash), to_hex(found));
  }
  return write(encoded);
}

TokenFile encode_into_cache(const std::string& directory, const Source& source) {
  make_directories(directory);
  sweep_cache(directory);
  return encode_in(directory, source, [&](EncodedCorpus& encoded) {
    const TokenFileHeader& header = encoded.header();
    const std::string path = cache_path(directory, header.corpus_hash, header.tokenizer_hash,
                                        source.range, header.invalid_utf8);
    encoded.write(formats::SafetensorsWriter(path, to_metadata(header)));
    return TokenFile(path);
  });
}

// In files that have no name, so that nothing is left of a process however it ends.
TokenFile encode_without_trace(const Source& source) {
  const std::string directory = temporary_directory();
  return encode_in(directory, source, [&](EncodedCorpus& encoded) {
    const TemporaryFile file;
    encoded.write(
        formats::SafetensorsWriter(directory, to_metadata(encoded.header()), file.descriptor()));
    return TokenFile(file.path());
  });
}

// Errors of output say what to do about them.
template <class Call>
auto with_hint(std::string_view hint, const Call& call) {
  try {
    return call();
  } catch (const Error& error) {
    if (error.code() != ExitCode::kOutput) throw;
    throw Error(ExitCode::kOutput, "{}; {}", error.what(), hint);
  }
}

}  // namespace

void check_carries_bytes(const Tokenizer& tokenizer, InvalidUtf8 invalid_utf8,
                         std::string_view name) {
  if (invalid_utf8 != InvalidUtf8::kBytes || tokenizer.carries_bytes()) return;
  throw Error(ExitCode::kUsage,
              "{}: the {} tokenizer has no tokens for bytes that are not UTF-8 (expected error or "
              "replace, or another tokenizer; found bytes)",
              name, name_of(tokenizer.type()));
}

TokenFile tokenize(const Corpus& corpus, LineRange range, const Tokenizer& tokenizer,
                   const std::string& cache_dir,
                   const std::function<void(std::uint64_t, std::uint64_t)>& progress, Cache cache,
                   ThreadPool* pool) {
  check_carries_bytes(tokenizer, corpus.invalid_utf8);
  const std::string directory = cache_dir.empty() ? default_cache_dir() : cache_dir;
  Source source = {corpus, range, tokenizer, std::nullopt, progress, pool};
  if (all_regular(corpus.files)) {
    source.corpus_hash = hash_corpus(corpus.files);
    if (auto cached = find_cached(directory, source)) return *cached;
  }
  constexpr std::string_view kHint = "set data.cache_dir to a folder with room to write";
  if (cache == Cache::kKeep) {
    return with_hint(kHint, [&] { return encode_into_cache(directory, source); });
  }
  with_hint(kHint, [&] { check_creatable(directory); });
  return with_hint("a dry run encodes in TMPDIR: set it to a folder with room to write",
                   [&] { return encode_without_trace(source); });
}

std::string default_cache_dir() {
  // The XDG base directory specification has relative paths ignored.
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && cache[0] == '/') return std::string(cache) + "/sluice";
  const char* home = std::getenv("HOME");
  if (home != nullptr && home[0] != '\0') return std::string(home) + "/.cache/sluice";
  throw Error(ExitCode::kOutput,
              "no cache folder (expected HOME or XDG_CACHE_HOME in the environment, found "
              "neither); set data.cache_dir");
}

}  // namespace sluice::text
