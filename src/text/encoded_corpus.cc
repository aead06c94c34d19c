#include "encoded_corpus.h"

#include <algorithm>
#include <cstring>
#include <span>

#include "sluice/base/error.h"

namespace sluice::text {
namespace {

// Enough for a thread to be worth waking, few enough to stay in its cache.
constexpr std::size_t kChunkBytes = 64 * 1024, kChunkPieces = 4096;
constexpr std::size_t kChunks = 64, kMostWaitingBytes = kChunks * kChunkBytes;

template <class Number>
void append_ids(const std::vector<int>& ids, std::vector<std::byte>& out) {
  std::size_t at = out.size();
  out.resize(at + ids.size() * sizeof(Number));
  for (const int id : ids) {
    const auto number = static_cast<Number>(id);
    std::memcpy(out.data() + at, &number, sizeof number);
    at += sizeof number;
  }
}

}  // namespace

EncodedCorpus::EncodedCorpus(const Tokenizer& tokenizer, LineRange range,
                             const std::string& directory, ThreadPool* pool)
    : tokenizer_(tokenizer),
      narrow_(static_cast<std::uint64_t>(tokenizer.size()) <= kNarrowVocabulary),
      pool_(pool),
      ids_(directory),
      line_starts_(directory),
      chunks_(kChunks),
      encodings_(pool == nullptr ? 1 : static_cast<std::size_t>(pool->size())) {
  header_.tokenizer_hash = tokenizer.hash();
  header_.vocabulary = static_cast<std::uint64_t>(tokenizer.size());
  header_.range = range;
}

void EncodedCorpus::encode(const Corpus& corpus,
                           const std::function<void(std::uint64_t, std::uint64_t)>& progress) {
  const std::uint64_t total = total_bytes(corpus.files);
  CorpusHash hash;
  std::uint64_t number = 0;
  files_.resize(corpus.files.size());
  scan_corpus(
      corpus,
      [&](const CorpusBlock& block) {
        hash.add(block.file, block.bytes);
        if (progress && !block.bytes.empty()) progress(block.read, total);
      },
      [&](const CorpusPiece& piece) {
        if (piece.counts.replaced + piece.counts.malformed > 0) {
          header_.invalid_utf8 = corpus.invalid_utf8;
        }
        if (header_.range.contains(number)) add(piece);
        number += piece.ends ? 1 : 0;
      });
  flush();
  header_.corpus_hash = hash.value();
  FileTokens all;
  for (const FileTokens& file : files_) all += file;
  header_.counts = all.counts;
  header_.oov = all.oov;
  header_.literal_unknowns = all.literal_unknowns;
  if (tokens_ > header_.counts.lines) return;
  throw Error(ExitCode::kBadData,
              "{}: nothing to predict in lines {} to {} (expected text, found {} empty lines)",
              corpus_name(corpus.files), header_.range.begin, std::min(header_.range.end, number),
              header_.counts.lines);
}

void EncodedCorpus::add(const CorpusPiece& piece) {
  const auto full = [&piece](const Chunk& chunk) {
    return chunk.file != piece.file || chunk.pieces.size() == kChunkPieces ||
           chunk.text.size() + piece.text.size() > kChunkBytes;
  };
  if (used_ == 0 || full(chunks_[used_ - 1])) {
    if (used_ == kChunks || waiting_bytes_ >= kMostWaitingBytes) flush();
    chunks_[used_++].file = piece.file;
  }
  Chunk& chunk = chunks_[used_ - 1];
  chunk.text += piece.text;
  waiting_bytes_ += piece.text.size();
  chunk.pieces.push_back({chunk.text.size(), piece.begins, piece.ends});
  files_[piece.file].counts += piece.counts;
}

void EncodedCorpus::encode_chunk(Chunk& chunk, Encoding& encoding) const {
  std::size_t begin = 0;
  for (const Chunk::Piece& piece : chunk.pieces) {
    encoding.clear();
    if (piece.begins) chunk.line_starts.push_back(chunk.tokens);
    tokenizer_.encode_piece(std::string_view(chunk.text).substr(begin, piece.end - begin),
                            piece.begins, encoding);
    begin = piece.end;
    if (tokenizer_.unknown() >= 0) {
      chunk.oov +=
          static_cast<std::uint64_t>(std::count(encoding.oov.begin(), encoding.oov.end(), true));
    }
    chunk.literal_unknowns += encoding.literal_unknowns;
    if (piece.ends) encoding.ids.push_back(tokenizer_.end_of_line());
    chunk.tokens += encoding.ids.size();
    if (narrow_) {
      append_ids<std::uint16_t>(encoding.ids, chunk.ids);
    } else {
      append_ids<std::uint32_t>(encoding.ids, chunk.ids);
    }
  }
}

// Encodes the chunks that wait and appends what they become, in their order.
void EncodedCorpus::flush() {
  const auto encode = [this](Index chunk, int thread) {
    encode_chunk(chunks_[static_cast<std::size_t>(chunk)],
                 encodings_[static_cast<std::size_t>(thread)]);
  };
  if (pool_ != nullptr) {
    pool_->run(static_cast<Index>(used_), encode);
  } else {
    for (std::size_t chunk = 0; chunk < used_; ++chunk) encode(static_cast<Index>(chunk), 0);
  }
  for (Chunk& chunk : std::span(chunks_).first(used_)) {
    for (std::uint64_t& start : chunk.line_starts) start += tokens_;
    line_starts_.append(std::as_bytes(std::span(chunk.line_starts)));
    ids_.append(chunk.ids);
    tokens_ += chunk.tokens;
    FileTokens& file = files_[chunk.file];
    file.tokens += chunk.tokens;
    file.oov += chunk.oov;
    file.literal_unknowns += chunk.literal_unknowns;
    chunk.clear();
  }
  used_ = waiting_bytes_ = 0;
}

void EncodedCorpus::Chunk::clear() {
  text.clear();
  pieces.clear();
  ids.clear();
  line_starts.clear();
  tokens = oov = literal_unknowns = 0;
}

void EncodedCorpus::write(formats::SafetensorsWriter&& writer) {
  writer.declare("ids", narrow_ ? formats::Dtype::kU16 : formats::Dtype::kU32, {tokens_});
  writer.declare("line_starts", formats::Dtype::kU64, {header_.counts.lines});
  writer.declare("files", formats::Dtype::kU64, {files_.size(), kFileColumns});
  writer.commit([this](const formats::TensorInfo& tensor, const auto& write) {
    if (tensor.name == "files") {
      const std::vector<std::uint64_t> rows = to_rows(files_);
      write(std::as_bytes(std::span(rows)));
    } else {
      (tensor.name == "ids" ? ids_ : line_starts_).copy_to(write);
    }
  });
}

}  // namespace sluice::text
