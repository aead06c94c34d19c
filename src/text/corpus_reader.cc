#include "corpus_reader.h"

#include <sys/stat.h>

#include <cerrno>

#include "byte_source.h"
#include "sluice/base/error.h"

namespace sluice::text {
namespace {

bool is_regular(const std::string& file, std::uint64_t& bytes) {
  struct stat info {};
  if (file == "-") return false;
  if (::stat(file.c_str(), &info) != 0) throw_unreadable(file, "open", errno);
  if (S_ISDIR(info.st_mode)) throw_unreadable(file, "read", EISDIR);
  bytes += static_cast<std::uint64_t>(info.st_size);
  return S_ISREG(info.st_mode);
}

}  // namespace

void scan_bytes(const std::vector<std::string>& files, const VisitBlock& visit) {
  std::uint64_t before = 0;
  for (std::size_t i = 0; i < files.size(); ++i) {
    ByteSource source(files[i]);
    CorpusBlock block{.file = i, .bytes = {}, .packed = source.packed()};
    do {
      block.bytes = source.next();
      block.read = before + source.read();
      visit(block);
    } while (!block.bytes.empty());
    before += source.read();
  }
}

void scan_corpus(const Corpus& corpus, const VisitBlock& block, const VisitPiece& piece) {
  const std::vector<std::string>& files = corpus.files;
  bool any_text = false;
  const VisitPiece deliver = [&](const CorpusPiece& found) {
    any_text = any_text || !found.text.empty();
    piece(found);
  };
  std::optional<LineCutter> cutter;
  std::size_t current = files.size();
  scan_bytes(files, [&](const CorpusBlock& found) {
    if (found.file != current) {
      current = found.file;
      cutter.emplace(display_name(files[current]), current, found.packed, corpus.invalid_utf8,
                     deliver);
    }
    if (block) block(found);
    cutter->add(found.bytes, found.read);
    if (found.bytes.empty()) cutter->finish();
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
  scan_bytes(files, [&hash](const CorpusBlock& block) { hash.add(block.file, block.bytes); });
  return hash.value();
}

std::string corpus_name(const std::vector<std::string>& files) {
  if (files.empty()) return "corpus";
  if (files.size() == 1) return display_name(files[0]);
  return fmt::format("{} and {} more", display_name(files[0]), files.size() - 1);
}

}  // namespace sluice::text
