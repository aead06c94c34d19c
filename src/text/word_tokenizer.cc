#include "word_tokenizer.h"

#include <fmt/format.h>

#include <functional>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "sluice/base/printable.h"
#include "sluice/text/utf8.h"
#include "words.h"

namespace sluice::text {
namespace {

class WordTokenizer final : public Tokenizer {
 public:
  // Distinct words without whitespace.
  WordTokenizer(std::vector<std::string> words, bool unk_in_text)
      : words_(std::move(words)), unk_in_text_(unk_in_text) {
    ids_.reserve(words_.size());
    for (std::size_t i = 0; i < words_.size(); ++i) {
      ids_.emplace(words_[i], kFirstForm + static_cast<int>(i));
    }
  }

  TokenizerType type() const override { return TokenizerType::kWord; }
  int size() const override { return kFirstForm + static_cast<int>(words_.size()); }
  int end_of_line() const override { return kEndOfLine; }
  int unknown() const override { return kUnknown; }
  bool lossless() const override { return false; }

  void encode(std::string_view line, Encoding& out) const override {
    for_each_word(line, [&](std::string_view word) {
      const auto found = ids_.find(word);
      const bool literal = unk_in_text_ && word == kUnknownName;
      out.ids.push_back(found == ids_.end() ? kUnknown : found->second);
      out.oov.push_back(found == ids_.end() && !literal);
      if (literal) ++out.literal_unknowns;
    });
  }

  void decode(int id, int previous, std::string& out) const override {
    if (id == kEndOfLine) {
      out += '\n';
      return;
    }
    if (previous >= 0 && previous != kEndOfLine) out += ' ';
    out += spelling(id);
  }

  std::string describe(int id) const override {
    return id == kEndOfLine ? std::string(kEndOfLineName) : printable(spelling(id));
  }

  std::string serialise() const override {
    std::string out = fmt::format("sluice tokenizer word 1\nunk_in_text {}\nentries {}\n",
                                  unk_in_text_, words_.size());
    for (const std::string& word : words_) {
      out += word;
      out += '\n';
    }
    return out;
  }

 private:
  std::string_view spelling(int id) const {
    return id == kUnknown ? kUnknownName : words_[static_cast<std::size_t>(id - kFirstForm)];
  }

  const std::vector<std::string> words_;
  const bool unk_in_text_;
  std::unordered_map<std::string_view, int> ids_;  // keys point into words_
};

struct WordHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view word) const {
    return std::hash<std::string_view>()(word);
  }
};

class WordTrainer final : public TokenizerTrainer {
 public:
  WordTrainer(const TokenizerConfig& config, bool unk_in_text)
      : config_(config), unk_in_text_(unk_in_text) {}

  void add_line(std::string_view line) override {
    for_each_word(line, [this](std::string_view word) {
      if (unk_in_text_ && word == kUnknownName) return;
      const auto found = counts_.find(word);
      if (found != counts_.end()) {
        ++found->second;
      } else {
        counts_.emplace(word, 1);
      }
    });
  }

  std::unique_ptr<Tokenizer> finish() override {
    std::vector<std::pair<std::string, std::uint64_t>> counted(counts_.begin(), counts_.end());
    return std::make_unique<WordTokenizer>(select_forms(std::move(counted), config_, "words"),
                                           unk_in_text_);
  }

 private:
  TokenizerConfig config_;
  bool unk_in_text_;
  std::unordered_map<std::string, std::uint64_t, WordHash, std::equal_to<>> counts_;
};

void check_word(std::string_view word, bool unk_in_text, const StoredLines& lines) {
  if (word.empty()) lines.fail("an empty word");
  if (find_invalid_utf8(word)) lines.fail("a word that is not UTF-8");
  for (const char c : word) {
    if (is_ascii_space(c)) lines.fail("a word with whitespace in it");
  }
  if (unk_in_text && word == kUnknownName) lines.fail("<unk> as a word beside unk_in_text");
}

}  // namespace

std::unique_ptr<TokenizerTrainer> make_word_trainer(const TokenizerConfig& config,
                                                    bool unk_in_text) {
  return std::make_unique<WordTrainer>(config, unk_in_text);
}

std::unique_ptr<Tokenizer> restore_word_tokenizer(StoredLines& lines) {
  constexpr std::string_view kFlag = "'unk_in_text true' or 'unk_in_text false'";
  const std::string_view flag = lines.next(kFlag);
  const bool unk_in_text = flag == "unk_in_text true";
  if (!unk_in_text && flag != "unk_in_text false") lines.fail(kFlag, "another line");
  const std::uint64_t entries = lines.next_number("entries");
  std::vector<std::string> words;
  std::unordered_set<std::string_view> seen;  // into the stored bytes
  for (std::uint64_t i = 0; i < entries; ++i) {
    const std::string_view word = lines.next("a word");
    check_word(word, unk_in_text, lines);
    if (!seen.insert(word).second) lines.fail("the word stands twice");
    words.emplace_back(word);
  }
  lines.expect_end();
  return std::make_unique<WordTokenizer>(std::move(words), unk_in_text);
}

}  // namespace sluice::text
