#include "sentencepiece_trainer.h"

#include <fmt/format.h>
#include <sentencepiece_trainer.h>

#include <algorithm>
#include <bit>
#include <exception>
#include <map>
#include <unordered_map>
#include <utility>

#include "sentencepiece_tokenizer.h"
#include "sentencepiece_words.h"
#include "sluice/base/error.h"
#include "sluice/base/printable.h"
#include "sluice/text/utf8.h"
#include "word_sample.h"

namespace sluice::text {
namespace {

using Arguments = std::unordered_map<std::string, std::string>;

constexpr Index kMetaPieces = 258;  // bytes, <unk>, </s>
constexpr Index kMostAuto = 16000;
constexpr std::size_t kMaxPieceChars = 16, kJoinedBytes = 512;

// Kilobytes of text that a vocabulary is for, from small to large.
constexpr std::pair<std::uint64_t, Index> kAutoSizes[] = {
    {20, 500}, {250, 1000}, {600, 2000}, {3000, 4000}, {20000, 8000}, {~0ULL, kMostAuto}};

// The distinct characters of the words but the space, most frequent first.
std::vector<std::pair<char32_t, std::uint64_t>> count_characters(const WordSample& sample) {
  std::map<char32_t, std::uint64_t> counts;
  sample.for_each([&counts](std::string_view word, std::uint64_t count) {
    for (std::size_t i = 0; i < word.size();) {
      const std::size_t length = utf8_length(word.substr(i, 4));
      counts[decode_utf8(word.substr(i, length))] += count;
      i += length;
    }
  });
  counts.erase(U' ');
  std::vector<std::pair<char32_t, std::uint64_t>> sorted(counts.begin(), counts.end());
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  return sorted;
}

// The words as the library's "tsv" sentences: TEXT, tab, count.
//
// Its unigram trainer takes as candidates the substrings that go on in two ways, the longest and
// most frequent among sentences whose counts it does not look at. A word alone in its sentence goes
// on in one way, to the end, and is there once. So of a repeated word the logarithm of its count
// stands in sentences with others, joined by their spaces, where the library cuts them again, or by
// </s>, which it takes for a boundary.
class WordSentences final : public sentencepiece::SentenceIterator {
 public:
  explicit WordSentences(bool candidates) : candidates_(candidates) {
    sentences_.emplace_back(" \t1");  // a space is a piece even where the text has none
  }
  void add(std::string_view word, std::uint64_t count) {
    const std::size_t text = word.find_first_not_of(' ');
    if (candidates_ && count > 1 && text != std::string_view::npos &&
        count_code_points(word) <= kMaxPieceChars) {
      const std::uint64_t copies = static_cast<std::uint64_t>(std::bit_width(count)) - 1;
      for (std::uint64_t i = 0; i < copies; ++i) {
        join(word, text > 0 ? "" : "</s>", text > 0 ? spaced_ : bare_);
      }
      count -= copies;
    }
    push(word, count);
  }
  void finish() {
    flush(spaced_);
    flush(bare_);
  }

  bool done() const override { return at_ == sentences_.size(); }
  void Next() override { ++at_; }
  const std::string& value() const override { return sentences_[at_]; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  void push(std::string_view text, std::uint64_t count) {
    sentences_.push_back(fmt::format("{}\t{}", text, count));
  }
  void join(std::string_view word, std::string_view between, std::string& joined) {
    if (!joined.empty()) joined += between;
    joined += word;
    if (joined.size() > kJoinedBytes) flush(joined);
  }
  void flush(std::string& joined) {
    if (!joined.empty()) push(joined + "</s>", 1);  // the last word too goes on in two ways
    joined.clear();
  }

  bool candidates_;
  std::vector<std::string> sentences_;
  std::string spaced_, bare_;
  std::size_t at_ = 0;
};

class SentencePieceWordTrainer final : public TokenizerTrainer {
 public:
  SentencePieceWordTrainer(const TokenizerConfig& config, const Note& note)
      : config_(config), note_(note) {}

  void add_line(std::string_view line) override { sample_.add_line(line); }

  std::unique_ptr<Tokenizer> finish() override {
    if (sample_.rate() < 1) {
      note(fmt::format("tokenizer: trained on a sample of {:.3g} % of the lines (seed 1)",
                       100 * sample_.rate()));
    }
    const auto characters = count_characters(sample_);
    const Index size = choose_size(characters.size());
    const std::vector<char32_t> kept = choose_characters(characters, size);
    WordSentences sentences(config_.algorithm == Algorithm::kUnigram);
    add_words(kept, sentences);
    sample_ = WordSample();
    auto tokenizer = make_sentencepiece_tokenizer(train(arguments(size, kept), sentences),
                                                  "SentencePiece", true);
    if (!config_.vocab_size) {
      note(
          fmt::format("vocab_size: {} pieces (auto, for {:.2g} MB); tokenizer.vocab_size sets "
                      "another",
                      tokenizer->size(), static_cast<double>(text_bytes_) / 1e6));
    }
    return tokenizer;
  }

 private:
  void note(const std::string& text) const {
    if (note_) note_(text);
  }
  bool only_characters() const { return config_.algorithm == Algorithm::kChar; }

  // The pieces to train, single characters among them.
  Index choose_size(std::size_t characters) {
    text_bytes_ = sample_.text_bytes();
    if (config_.vocab_size) return *config_.vocab_size;
    const Index least = kMetaPieces + static_cast<Index>(characters) + 1;
    if (only_characters()) return std::min(least, 2 * kMostAuto);
    Index size = 0;
    for (const auto& [kilobytes, pieces] : kAutoSizes) {
      size = pieces;
      if (text_bytes_ <= 1000 * kilobytes) break;
    }
    // Many characters need a larger vocabulary; but a small text has not enough of each piece.
    const Index wanted = (least + static_cast<Index>(characters) + 999) / 1000 * 1000;
    return std::max(size, std::min({wanted, 4 * size, kMostAuto}));
  }

  // Those that get a piece, beside the space.
  std::vector<char32_t> choose_characters(
      const std::vector<std::pair<char32_t, std::uint64_t>>& characters, Index size) const {
    const Index room = size - kMetaPieces - 1;
    const auto limit = static_cast<std::size_t>(only_characters() ? room : room / 2);
    std::vector<char32_t> kept;
    std::uint64_t all = 0, rare = 0;
    for (std::size_t i = 0; i < characters.size(); ++i) {
      all += characters[i].second;
      if (i < limit) kept.push_back(characters[i].first);
      if (i >= limit) rare += characters[i].second;
    }
    if (rare > 0) {
      note(
          fmt::format("tokenizer: the {} rarest of {} characters, {:.2g} % of the text, are "
                      "written as bytes",
                      characters.size() - limit, characters.size(),
                      100 * static_cast<double>(rare) / static_cast<double>(all)));
    }
    std::sort(kept.begin(), kept.end());
    return kept;
  }

  // Characters without a piece part the words.
  void add_words(const std::vector<char32_t>& kept, WordSentences& sentences) const {
    sample_.for_each([&](std::string_view word, std::uint64_t count) {
      std::size_t begin = 0;
      const auto add = [&](std::size_t end) {
        if (end > begin) sentences.add(word.substr(begin, end - begin), count);
      };
      for (std::size_t i = 0; i < word.size();) {
        const std::size_t length = utf8_length(word.substr(i, 4));
        const char32_t c = decode_utf8(word.substr(i, length));
        if (c != U' ' && !std::binary_search(kept.begin(), kept.end(), c)) {
          add(i);
          begin = i + length;
        }
        i += length;
      }
      add(word.size());
    });
    sentences.finish();
  }

  Arguments arguments(Index size, const std::vector<char32_t>& kept) const {
    std::string required(kSpaceMark);
    for (const char32_t c : kept) append_utf8(c, required);
    return {{"model_type", std::string(name_of(config_.algorithm))},
            {"vocab_size", std::to_string(size)},
            {"hard_vocab_limit", config_.vocab_size ? "true" : "false"},
            {"character_coverage", "1.0"},
            {"required_chars", required},
            {"seed_sentencepiece_size", std::to_string(std::max<Index>(10 * size, 20000))},
            {"input_format", "tsv"},
            {"max_sentence_length", "1000000"},
            {"normalization_rule_name", "identity"},
            {"add_dummy_prefix", "false"},
            {"remove_extra_whitespaces", "false"},
            {"byte_fallback", "true"},
            {"allow_whitespace_only_pieces", "true"},
            {"unk_id", "0"},
            {"eos_id", "1"},
            {"bos_id", "-1"},
            {"pad_id", "-1"},
            {"num_threads", "4"},  // sums are added by thread: another number, other bits
            {"minloglevel", "3"}};
  }

  std::string train(const Arguments& with, WordSentences& sentences) const {
    std::string model, complaint;
    sentencepiece::SetRandomGeneratorSeed(1);
    try {
      const auto status = sentencepiece::SentencePieceTrainer::Train(with, &sentences, &model);
      if (!status.ok()) complaint = status.ToString();
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const std::exception& error) {
      complaint = error.what();
    }
    if (complaint.empty()) return model;
    const std::size_t advice = complaint.find("Please set it to a value");
    if (config_.vocab_size && advice != std::string::npos) {
      throw Error(ExitCode::kBadData, "tokenizer.vocab_size {} is too high for this text. {}",
                  *config_.vocab_size, printable(complaint.substr(advice)));
    }
    throw Error(ExitCode::kBadData, "SentencePiece cannot train on this text: {}",
                printable(complaint));
  }

  TokenizerConfig config_;
  Note note_;
  WordSample sample_;
  std::uint64_t text_bytes_ = 0;
};

}  // namespace

std::unique_ptr<TokenizerTrainer> make_sentencepiece_trainer(const TokenizerConfig& config,
                                                             const Note& note) {
  return std::make_unique<SentencePieceWordTrainer>(config, note);
}

}  // namespace sluice::text
