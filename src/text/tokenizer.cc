#include "sluice/text/tokenizer.h"

#include "byte_tokenizer.h"
#include "char_tokenizer.h"
#include "corpus_reader.h"
#include "sentencepiece_model.h"
#include "sentencepiece_tokenizer.h"
#include "sentencepiece_trainer.h"
#include "sluice/base/error.h"
#include "sluice/base/file.h"
#include "sluice/base/printable.h"
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
  if (first == "sluice tokenizer sentencepiece 1") {
    return restore_sentencepiece_tokenizer(lines, source);
  }
  lines.fail("'sluice tokenizer TYPE 1', TYPE byte, char, word or sentencepiece",
             "another first line");
}

namespace {

constexpr std::string_view kStored = "sluice tokenizer ", kTensor = "sluice.tokenizer";
constexpr std::uint64_t kMaxStored = std::uint64_t{4} << 30;

std::unique_ptr<Tokenizer> load_from_model(const std::string& path) {
  const formats::SafetensorsReader file(path);
  const formats::TensorInfo* stored = file.find(kTensor);
  if (stored == nullptr || stored->dtype != formats::Dtype::kU8) {
    throw Error(ExitCode::kBadData, "{}: no tokenizer in it (expected a tensor {})",
                printable(path), kTensor);
  }
  const std::vector<std::byte> bytes = file.read_all(*stored);
  return restore_tokenizer({reinterpret_cast<const char*>(bytes.data()), bytes.size()},
                           path + ": tokenizer");
}

}  // namespace

std::unique_ptr<Tokenizer> load_tokenizer(const std::string& path) {
  const std::string start = read_start(InputFile(path), kStored.size());
  if (start == kStored) return restore_tokenizer(read_whole_file(path, kMaxStored), path);
  if (formats::is_safetensors(start)) return load_from_model(path);
  return make_sentencepiece_tokenizer(read_whole_file(path, kMaxModelBytes), path, false);
}

void check_trainable(const TokenizerConfig& config, InvalidUtf8 invalid_utf8,
                     const SettingNames& names) {
  const bool pieces = config.type == TokenizerType::kSentencePiece;
  const Index least = pieces ? 300 : kFirstForm + 1;
  if (config.type != TokenizerType::kByte && config.vocab_size && *config.vocab_size < least) {
    throw Error(ExitCode::kUsage,
                "{}: no room beside {}</s> and <unk> (expected {} or more, found {})",
                names.vocab_size, pieces ? "256 bytes, " : "", least, *config.vocab_size);
  }
  const bool carries_bytes = pieces || config.type == TokenizerType::kByte;
  if (invalid_utf8 != InvalidUtf8::kBytes || carries_bytes) return;
  throw Error(ExitCode::kUsage,
              "{}: {} {} has no tokens for bytes that are not UTF-8 (expected error or replace, or "
              "{} byte or sentencepiece; found bytes)",
              names.invalid_utf8, names.type, name_of(config.type), names.type);
}

std::unique_ptr<TokenizerTrainer> make_tokenizer_trainer(const TokenizerConfig& config,
                                                         bool unk_in_text, const Note& note) {
  check_trainable(config, InvalidUtf8::kError);
  switch (config.type) {
    case TokenizerType::kByte:
      return make_byte_trainer();
    case TokenizerType::kChar:
      return make_char_trainer(config);
    case TokenizerType::kWord:
      return make_word_trainer(config, unk_in_text);
    case TokenizerType::kSentencePiece:
      return make_sentencepiece_trainer(config, note);
  }
  throw Error(ExitCode::kInternal, "tokenizer type {} is not known", static_cast<int>(config.type));
}

std::unique_ptr<Tokenizer> train_tokenizer(const Corpus& corpus, LineRange range,
                                           const TokenizerConfig& config, bool unk_in_text,
                                           const Note& note) {
  require_regular(corpus.files);
  const auto trainer = make_tokenizer_trainer(config, unk_in_text, note);
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
