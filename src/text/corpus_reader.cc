#include "corpus_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"
#include "sluice/text/utf8.h"

namespace sluice::text {
namespace {

constexpr std::size_t kBlockBytes = 256 * 1024;
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

std::string display_name(const std::string& file) {
  return file == "-" ? "standard input" : printable(file);
}

[[noreturn]] void throw_unreadable(const std::string& file, const char* operation, int error) {
  throw Error(ExitCode::kNoInput, "{}: cannot {} (expected text, found: {})", display_name(file),
              operation, std::strerror(error));
}

// A file or standard input, read once from the start. Corpora may be pipes, which the InputFile of
// the file layer refuses.
class ByteSource {
 public:
  explicit ByteSource(const std::string& file) : file_(file) {
    if (file != "-") {
      fd_ = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
      if (fd_ < 0) throw_unreadable(file, "open", errno);
    }
    struct stat info {};
    if (::fstat(fd_, &info) != 0) fail_open(errno);
    if (S_ISDIR(info.st_mode)) fail_open(EISDIR);
  }
  ~ByteSource() { close(); }
  ByteSource(const ByteSource&) = delete;
  ByteSource& operator=(const ByteSource&) = delete;

  // Next bytes; none at the end.
  std::string_view next() {
    for (;;) {
      const ssize_t count = ::read(fd_, buffer_.data(), buffer_.size());
      if (count >= 0) return {buffer_.data(), static_cast<std::size_t>(count)};
      if (errno != EINTR) throw_unreadable(file_, "read", errno);
    }
  }

 private:
  [[noreturn]] void fail_open(int error) {
    close();
    throw_unreadable(file_, "read", error);
  }
  void close() {
    if (file_ != "-" && fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

  const std::string& file_;
  int fd_ = STDIN_FILENO;
  std::vector<char> buffer_ = std::vector<char>(kBlockBytes);
};

struct Signature {
  std::string_view bytes, what, command;
};
// None of these is valid UTF-8, so they need to be looked for only in lines that are not.
constexpr std::array<Signature, 5> kSignatures = {{
    {"\xff\xfe", "UTF-16 text", "iconv -f UTF-16 -t UTF-8"},
    {"\xfe\xff", "UTF-16 text", "iconv -f UTF-16 -t UTF-8"},
    {"\x1f\x8b", "a gzip file", "gzip -dc"},
    {"\xfd"
     "7zXZ",
     "an xz file", "xz -dc"},
    {"\x28\xb5\x2f\xfd", "a zstd file", "zstd -dc"},
}};

[[noreturn]] void throw_invalid(const std::string& file, std::uint64_t line_start,
                                std::string_view line, std::size_t invalid) {
  if (line_start == 0) {
    for (const Signature& signature : kSignatures) {
      if (!line.starts_with(signature.bytes)) continue;
      throw Error(ExitCode::kBadData,
                  "{}: offset 0: not plain text (expected UTF-8, found {}); convert it with: {}",
                  display_name(file), signature.what, signature.command);
    }
  }
  throw Error(ExitCode::kBadData,
              "{}: offset {}: invalid text (expected UTF-8, found byte 0x{:02x}); if it is in "
              "another encoding, convert it, for example with: iconv -f LATIN1 -t UTF-8",
              display_name(file), line_start + invalid, static_cast<unsigned char>(line[invalid]));
}

// Cuts the bytes of one file into lines.
class LineCutter {
 public:
  LineCutter(const std::string& file, const VisitLine& visit) : file_(file), visit_(visit) {}

  void add(std::string_view bytes) {
    while (!bytes.empty()) {
      const std::size_t end = bytes.find('\n');
      if (end == std::string_view::npos) {
        pending_ += bytes;
        return;
      }
      if (pending_.empty()) {
        deliver(bytes.substr(0, end), true);
      } else {
        pending_ += bytes.substr(0, end);
        deliver(pending_, true);
        pending_.clear();
      }
      bytes.remove_prefix(end + 1);
    }
  }

  void finish() {
    if (!pending_.empty()) deliver(pending_, false);
  }

 private:
  void deliver(std::string_view raw, bool terminated) {
    const auto invalid = find_invalid_utf8(raw);
    if (invalid) throw_invalid(file_, offset_, raw, *invalid);
    CorpusLine line{raw, offset_ == 0 && raw.starts_with(kByteOrderMark), terminated};
    if (line.byte_order_mark) line.text.remove_prefix(kByteOrderMark.size());
    offset_ += raw.size() + (terminated ? 1 : 0);
    visit_(line);
  }

  const std::string& file_;
  const VisitLine& visit_;
  std::string pending_;
  std::uint64_t offset_ = 0;  // in the file, of the line that comes next
};

bool is_regular(const std::string& file, std::uint64_t& bytes) {
  struct stat info {};
  if (file == "-") return false;
  if (::stat(file.c_str(), &info) != 0) throw_unreadable(file, "open", errno);
  if (S_ISDIR(info.st_mode)) throw_unreadable(file, "read", EISDIR);
  bytes += static_cast<std::uint64_t>(info.st_size);
  return S_ISREG(info.st_mode);
}

}  // namespace

void add_line(const CorpusLine& line, CorpusCounts& counts) {
  const std::size_t line_end = line.terminated ? 1 : 0;
  counts.bytes += line.text.size() + line_end + (line.byte_order_mark ? kByteOrderMark.size() : 0);
  counts.chars += count_code_points(line.text) + line_end + (line.byte_order_mark ? 1 : 0);
  counts.words += count_words(line.text);
  ++counts.lines;
}

void scan_bytes(const std::vector<std::string>& files, const VisitBytes& visit) {
  for (std::size_t i = 0; i < files.size(); ++i) {
    ByteSource source(files[i]);
    std::string_view bytes;
    do {
      bytes = source.next();
      visit(i, bytes);
    } while (!bytes.empty());
  }
}

void scan_corpus(const Corpus& corpus, const VisitBytes& bytes, const VisitLine& line) {
  const std::vector<std::string>& files = corpus.files;
  bool any_text = false;
  const VisitLine deliver = [&](const CorpusLine& found) {
    any_text = any_text || !found.text.empty();
    line(found);
  };
  std::optional<LineCutter> cutter;
  std::size_t current = files.size();
  scan_bytes(files, [&](std::size_t file, std::string_view block) {
    if (file != current) {
      current = file;
      cutter.emplace(files[file], deliver);
    }
    if (bytes) bytes(file, block);
    cutter->add(block);
    if (block.empty()) cutter->finish();
  });
  if (!any_text) {
    throw Error(ExitCode::kBadData, "{}: empty corpus (expected text, found {})",
                corpus_name(files), files.empty() ? "no file" : "nothing but line ends");
  }
}

bool all_regular(const std::vector<std::string>& files) {
  std::uint64_t bytes = 0;
  bool regular = true;
  for (const std::string& file : files) regular = is_regular(file, bytes) && regular;
  return regular;
}

void require_regular(const std::vector<std::string>& files) {
  std::uint64_t bytes = 0;
  for (const std::string& file : files) {
    if (is_regular(file, bytes)) continue;
    throw Error(ExitCode::kNoInput,
                "{}: a stream can be read only once (expected a regular file); save the text to a "
                "file first",
                display_name(file));
  }
}

std::uint64_t total_bytes(const std::vector<std::string>& files) {
  std::uint64_t bytes = 0;
  for (const std::string& file : files) {
    if (!is_regular(file, bytes)) return 0;
  }
  return bytes;
}

void CorpusHash::add(std::size_t file, std::string_view bytes) {
  if (current_ && file != file_) end_file();
  if (!current_) current_.emplace();
  file_ = file;
  current_->add(bytes);
}

void CorpusHash::end_file() {
  files_.push_back(current_->value());
  current_.reset();
}

std::uint64_t CorpusHash::value() {
  if (current_) end_file();
  if (files_.size() == 1) return files_[0];
  Checksum all;
  for (const std::uint64_t hash : files_) all.add(to_hex(hash) + "\n");
  return all.value();
}

std::uint64_t hash_corpus(const std::vector<std::string>& files) {
  CorpusHash hash;
  scan_bytes(files, [&hash](std::size_t file, std::string_view bytes) { hash.add(file, bytes); });
  return hash.value();
}

std::string corpus_name(const std::vector<std::string>& files) {
  if (files.empty()) return "corpus";
  if (files.size() == 1) return display_name(files[0]);
  return fmt::format("{} and {} more", display_name(files[0]), files.size() - 1);
}

}  // namespace sluice::text
