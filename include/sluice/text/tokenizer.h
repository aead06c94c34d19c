#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/text/corpus.h"
#include "sluice/text/text_config.h"

namespace sluice::text {

// Token ids of a line, and for each whether it stands for a form outside the vocabulary. A literal
// <unk> in the text is the unknown token but not out of vocabulary; it is counted apart.
struct Encoding {
  std::vector<int> ids;
  std::vector<bool> oov;
  std::uint64_t literal_unknowns = 0;
  void clear();
};

// Maps lines of UTF-8 text to ids 0..size-1 and back. LF is the token </s> in every tokenizer.
// Immutable after construction; safe to share between threads.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  virtual TokenizerType type() const = 0;
  // How its pieces were found, "unigram", where that is known; else empty.
  virtual std::string_view algorithm() const { return {}; }
  virtual int size() const = 0;
  virtual int end_of_line() const = 0;  // id of </s>
  virtual int unknown() const = 0;      // id of <unk>, -1 when there is none
  // True when decode(encode(x)) == x for every well-formed text in which no form is out of
  // vocabulary. Byte has every form; whoever claims that a char text survived must see oov == 0
  // too. Word loses the whitespace.
  virtual bool lossless() const = 0;
  // Whether encode() takes bytes that are not UTF-8, too.
  virtual bool carries_bytes() const { return false; }
  // Appends the ids of one line, given without its LF; </s> is not appended.
  virtual void encode(std::string_view line, Encoding& out) const = 0;
  // The same of a piece of a line (LinePiece), where some models put a space in front of the line.
  virtual void encode_piece(std::string_view piece, bool /*begins*/, Encoding& out) const {
    encode(piece, out);
  }
  // Appends what `id` adds to the text after `previous` (-1 or </s>: at the start of a line):
  // words bring their separating space, </s> is "\n", <unk> is "<unk>". Bytes: not always whole
  // characters.
  virtual void decode(int id, int previous, std::string& out) const = 0;
  // What a person sees for one id, as printable(): the word, "</s>", "0x41"; of char a space as
  // "U+0020", of SentencePiece one as its sign for it.
  virtual std::string describe(int id) const = 0;
  // Everything needed to restore it, as bytes; the first line names type and version.
  virtual std::string serialise() const = 0;

  // checksum(serialise()).
  std::uint64_t hash() const;
};

// Error kBadData naming `source` when the bytes are not a tokenizer of ours. Those of a
// SentencePiece model are tried in a child process first (text/sentencepiece_library.h).
std::unique_ptr<Tokenizer> restore_tokenizer(std::string_view bytes, const std::string& source);

// From a file: a SentencePiece .model, what serialise() gave, or a Sluice model. Error kNoInput
// when it cannot be read (a directory too, or a pipe), kBadData when it is none of these.
std::unique_ptr<Tokenizer> load_tokenizer(const std::string& path);

// Tells the user, in one line, what was decided on the text; may be empty.
using Note = std::function<void(const std::string&)>;

// What the user calls the settings that check_trainable() complains about.
struct SettingNames {
  std::string_view type = "tokenizer.type", vocab_size = "tokenizer.vocab_size",
                   invalid_utf8 = "data.invalid_utf8";
};
// Error kUsage for what no text could make a tokenizer of: a vocabulary without room, or a type
// without tokens for malformed bytes that are to be handed on. For before a text is read.
void check_trainable(const TokenizerConfig& config, InvalidUtf8 invalid_utf8,
                     const SettingNames& names = {});

// Builds the vocabulary from lines of training text.
class TokenizerTrainer {
 public:
  virtual ~TokenizerTrainer() = default;
  virtual void add_line(std::string_view line) = 0;
  // Ids of char and word: </s>, <unk>, then by descending count, ties by byte order (which is code
  // point order). Error kBadData when nothing but </s> and <unk> is left, or when SentencePiece
  // cannot make as many pieces of the text as vocab_size wants.
  virtual std::unique_ptr<Tokenizer> finish() = 0;
};
// unk_in_text matters to the word tokenizer alone: a literal <unk> is then the unknown word.
// `config.file` is not looked at. Error kUsage as check_trainable().
std::unique_ptr<TokenizerTrainer> make_tokenizer_trainer(const TokenizerConfig& config,
                                                         bool unk_in_text, const Note& note = {});

// Trains on the lines of `range`. Error kNoInput (missing, unreadable, or a stream: the text is
// read again to encode it), kBadData as read_corpus and finish(), naming the corpus.
std::unique_ptr<Tokenizer> train_tokenizer(const Corpus& corpus, LineRange range,
                                           const TokenizerConfig& config, bool unk_in_text,
                                           const Note& note = {});

}  // namespace sluice::text
