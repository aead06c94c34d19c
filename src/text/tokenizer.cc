#include "sluice/text/tokenizer.h"

#include <algorithm>
#include <span>

#include "byte_tokenizer.h"
#include "char_tokenizer.h"
#include "corpus_reader.h"
#include "sluice/base/error.h"
#include "sluice/base/file.h"
#include "sluice/formats/safetensors.h"
#include "vocabulary.h"
#include "word_tokenizer.h"

namespace sluice::text {

void Encoding::clear() {
  ids.clear();
  oov.clear();
  literal_unknowns = 0;
}

std::uint64_t Tokenizer::hash() const { return checksum(serialise()); }

std::unique_ptr<Tokenizer> restore_tokenizer(std::string_view bytes, const std::string& source) {
  StoredLines lines(bytes, source);
  const std::string_view first = lines.next("'sluice tokenizer TYPE 1'");
  if (first == "sluice tokenizer byte 1") return restore_byte_tokenizer(lines);
  if (first == "sluice tokenizer char 1") return restore_char_tokenizer(lines);
  if (first == "sluice tokenizer word 1") return restore_word_tokenizer(lines);
  lines.fail("'sluice tokenizer TYPE 1', TYPE byte, char or word", "another first line");
}

std::unique_ptr<Tokenizer> load_tokenizer(const std::string& path) {
  constexpr std::uint64_t kMaxStored = std::uint64_t{4} << 30;
  constexpr std::string_view kStored = "sluice tokenizer ";
  const InputFile file(path);
  std::string start(std::min<std::size_t>(kStored.size(), file.size()), '\0');
  file.read_at(0, std::as_writable_bytes(std::span(start)));
  if (start == kStored) return restore_tokenizer(read_whole_file(path, kMaxStored), path);
  const formats::SafetensorsReader model(path);
  const std::vector<std::byte> bytes = model.read_all(model.get("sluice.tokenizer"));
  return restore_tokenizer({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path);
}

std::unique_ptr<TokenizerTrainer> make_tokenizer_trainer(const TokenizerConfig& config,
                                                         bool unk_in_text) {
  switch (config.type) {
    case TokenizerType::kByte:
      return make_byte_trainer();
    case TokenizerType::kChar:
      return make_char_trainer(config);
    case TokenizerType::kWord:
      return make_word_trainer(config, unk_in_text);
    case TokenizerType::kSentencePiece:
      break;
  }
  throw Error(ExitCode::kInternal, "tokenizer type {} is not known", static_cast<int>(config.type));
}

std::unique_ptr<Tokenizer> train_tokenizer(const Corpus& corpus, LineRange range,
                                           const TokenizerConfig& config, bool unk_in_text) {
  require_regular(corpus.files);
  const auto trainer = make_tokenizer_trainer(config, unk_in_text);
  std::uint64_t number = 0;
  read_corpus(corpus, [&](const LinePiece& piece) {
    if (range.contains(number)) trainer->add_line(piece.text);
    number += piece.ends ? 1 : 0;
  });
  try {
    return trainer->finish();
  } catch (const Error& error) {
    throw Error(error.code(), "{}: {}", corpus_name(corpus.files), error.what());
  }
}

}  // namespace sluice::text
