#include "encoded_corpus.h"

#include <algorithm>
#include <span>

#include "sluice/base/error.h"
#include "words.h"

namespace sluice::text {
namespace {

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

template <class Number>
void append(Spill& spill, const Number& number) {
  spill.append(std::as_bytes(std::span(&number, 1)));
}

}  // namespace

EncodedCorpus::EncodedCorpus(const Tokenizer& tokenizer, LineRange range,
                             const std::string& directory)
    : tokenizer_(tokenizer),
      narrow_(static_cast<std::uint64_t>(tokenizer.size()) <= kNarrowVocabulary),
      ids_(directory),
      line_starts_(directory) {
  header_.tokenizer_hash = tokenizer.hash();
  header_.vocabulary = static_cast<std::uint64_t>(tokenizer.size());
  header_.range = range;
}

void EncodedCorpus::encode(const Corpus& corpus,
                           const std::function<void(std::uint64_t, std::uint64_t)>& progress) {
  const std::uint64_t total = total_bytes(corpus.files);
  CorpusHash hash;
  std::uint64_t done = 0, number = 0;
  scan_corpus(
      corpus,
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
              corpus_name(corpus.files), header_.range.begin, std::min(header_.range.end, number),
              header_.counts.lines);
}

void EncodedCorpus::add(const CorpusLine& line) {
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

void EncodedCorpus::add_id(int id) {
  if (narrow_) {
    append(ids_, static_cast<std::uint16_t>(id));
  } else {
    append(ids_, static_cast<std::uint32_t>(id));
  }
  ++tokens_;
}

void EncodedCorpus::write(formats::SafetensorsWriter&& writer) {
  writer.declare("ids", narrow_ ? formats::Dtype::kU16 : formats::Dtype::kU32, {tokens_});
  writer.declare("line_starts", formats::Dtype::kU64, {header_.counts.lines});
  writer.commit([this](const formats::TensorInfo& tensor, const auto& write) {
    (tensor.name == "ids" ? ids_ : line_starts_).copy_to(write);
  });
}

}  // namespace sluice::text
