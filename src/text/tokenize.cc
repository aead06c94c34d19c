#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>
#include <system_error>

#include "corpus_reader.h"
#include "sluice/base/error.h"
#include "sluice/base/file.h"
#include "sluice/formats/safetensors.h"
#include "sluice/text/token_file.h"
#include "sluice/text/utf8.h"
#include "spill.h"
#include "token_format.h"
#include "words.h"

// How a token file comes to be: the text is hashed, and encoded unless a valid file for it is
// there.
namespace sluice::text {
namespace {

using Progress = std::function<void(std::uint64_t, std::uint64_t)>;

constexpr std::size_t kPieceBytes = 64 * 1024;

// Long lines are encoded in pieces, cut where no tokenizer looks across the cut.
std::size_t piece_length(std::string_view rest, TokenizerType type) {
  std::size_t end = std::min(kPieceBytes, rest.size());
  if (type == TokenizerType::kWord) {
    while (end < rest.size() && !is_ascii_space(rest[end])) ++end;
  } else {
    // A continuation byte belongs to the character before it.
    while (end < rest.size() && (static_cast<unsigned char>(rest[end]) & 0xc0) == 0x80) ++end;
  }
  return end;
}

// The encoded corpus before it has its file: ids as they will stand there.
class EncodedCorpus {
 public:
  EncodedCorpus(const Tokenizer& tokenizer, LineRange range, const std::string& directory)
      : tokenizer_(tokenizer),
        narrow_(static_cast<std::uint64_t>(tokenizer.size()) <= kNarrowVocabulary),
        ids_(directory),
        line_starts_(directory) {
    header_.tokenizer_hash = tokenizer.hash();
    header_.vocabulary = static_cast<std::uint64_t>(tokenizer.size());
    header_.range = range;
  }

  // Encodes all lines of the range; Error kBadData when there is nothing to predict in them.
  void encode(const std::vector<std::string>& files, const Progress& progress) {
    const std::uint64_t total = total_bytes(files);
    CorpusHash hash;
    std::uint64_t done = 0, number = 0;
    scan_corpus(
        files,
        [&](std::size_t file, std::string_view bytes) {
          hash.add(file, bytes);
          done += bytes.size();
          if (progress && !bytes.empty()) progress(done, total);
        },
        [&](const CorpusLine& line) {
          if (header_.range.contains(number++)) add(line);
        });
    header_.corpus_hash = hash.value();
    if (tokens_ > header_.counts.lines) return;
    throw Error(ExitCode::kBadData,
                "{}: nothing to predict in lines {} to {} (expected text, found {} empty lines)",
                corpus_name(files), header_.range.begin, std::min(header_.range.end, number),
                header_.counts.lines);
  }

  void write(const std::string& path) {
    formats::SafetensorsWriter writer(path, to_metadata(header_));
    writer.declare("ids", narrow_ ? formats::Dtype::kU16 : formats::Dtype::kU32, {tokens_});
    writer.declare("line_starts", formats::Dtype::kU64, {header_.counts.lines});
    writer.commit([this](const formats::TensorInfo& tensor, const auto& write) {
      (tensor.name == "ids" ? ids_ : line_starts_).copy_to(write);
    });
  }

  const TokenFileHeader& header() const { return header_; }

 private:
  void add(const CorpusLine& line) {
    add_line(line, header_.counts);
    append(line_starts_, tokens_);
    for (std::string_view rest = line.text; !rest.empty();) {
      const std::size_t length = piece_length(rest, tokenizer_.type());
      encoding_.clear();
      tokenizer_.encode(rest.substr(0, length), encoding_);
      for (const int id : encoding_.ids) add_id(id);
      for (const bool oov : encoding_.oov) header_.oov += oov ? 1 : 0;
      header_.literal_unknowns += encoding_.literal_unknowns;
      rest.remove_prefix(length);
    }
    add_id(tokenizer_.end_of_line());
  }

  void add_id(int id) {
    if (narrow_) {
      append(ids_, static_cast<std::uint16_t>(id));
    } else {
      append(ids_, static_cast<std::uint32_t>(id));
    }
    ++tokens_;
  }

  template <class Number>
  static void append(Spill& spill, const Number& number) {
    spill.append(std::as_bytes(std::span(&number, 1)));
  }

  const Tokenizer& tokenizer_;
  const bool narrow_;
  Spill ids_, line_starts_;
  TokenFileHeader header_;
  std::uint64_t tokens_ = 0;
  Encoding encoding_;
};

std::string cache_path(const std::string& directory, std::uint64_t corpus_hash,
                       std::uint64_t tokenizer_hash, LineRange range) {
  const std::string key =
      fmt::format("tokens {}\n{}\n{}\n{} {}\n", kTokenFileVersion, to_hex(corpus_hash),
                  to_hex(tokenizer_hash), range.begin, range.end);
  return fmt::format("{}/tokens-{}.safetensors", directory, to_hex(checksum(key)));
}

// The cached file if it is there, whole, and what its name says.
std::optional<TokenFile> find_cached(const std::string& path, std::uint64_t corpus_hash,
                                     const Tokenizer& tokenizer, LineRange range) {
  try {
    TokenFile file(path);
    file.verify();
    if (file.corpus_hash() == corpus_hash && file.tokenizer_hash() == tokenizer.hash() &&
        file.vocabulary() == tokenizer.size() && file.range() == range) {
      return file;
    }
  } catch (const Error&) {
    // Missing or damaged: a cache that costs nothing but time to write anew.
  }
  return std::nullopt;
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

TokenFile tokenize(const std::vector<std::string>& files, LineRange range,
                   const Tokenizer& tokenizer, const std::string& cache_dir,
                   const Progress& progress) {
  const std::string directory = cache_dir.empty() ? default_cache_dir() : cache_dir;
  std::optional<std::uint64_t> corpus_hash;  // unknown for pipes, which are read once
  if (all_regular(files)) {
    corpus_hash = hash_corpus(files);
    const std::string path = cache_path(directory, *corpus_hash, tokenizer.hash(), range);
    if (auto cached = find_cached(path, *corpus_hash, tokenizer, range)) return *cached;
  }
  try {
    make_directories(directory);
    sweep_cache(directory);
    EncodedCorpus encoded(tokenizer, range, directory);
    encoded.encode(files, progress);
    const TokenFileHeader& header = encoded.header();
    if (corpus_hash && *corpus_hash != header.corpus_hash) {
      throw Error(ExitCode::kBadData,
                  "{}: the text changed while it was read (expected checksum {}, found {})",
                  corpus_name(files), to_hex(*corpus_hash), to_hex(header.corpus_hash));
    }
    const std::string path =
        cache_path(directory, header.corpus_hash, header.tokenizer_hash, range);
    encoded.write(path);
    return TokenFile(path);
  } catch (const Error& error) {
    if (error.code() != ExitCode::kOutput) throw;
    throw Error(ExitCode::kOutput, "{}; set data.cache_dir to a folder with room to write",
                error.what());
  }
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
