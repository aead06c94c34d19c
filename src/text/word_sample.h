#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::text {

// The distinct words of a text and how often each occurs, in bounded memory: of a text that is too
// large, those of a sample of its lines. A line is in the sample of rate 2^-k when a hash of its
// number has k leading zeros, so each halving of the rate drops lines that are in and lets none in
// that was out, and a text is read once. Lines of more than 64 KB count as several.
//
// A word here is a run of spaces (maybe none) and what follows up to the next space, cut further
// where no piece of SentencePiece's may reach across, which is between two scripts, letters and
// punctuation for one; and after 256 characters. Left out are characters that
// SentencePiece cannot train on: tab, NUL, U+2581, U+2585, and bytes that are not UTF-8; and other
// ASCII whitespace, before which a line may be cut (LinePiece).
class WordSample {
 public:
  struct Limits {
    std::uint64_t text_bytes = std::uint64_t{32} << 20;  // of the lines in the sample
    std::uint64_t word_chars = std::uint64_t{2} << 20;   // of the distinct words
  };
  explicit WordSample(Limits limits) : limits_(limits) {}
  WordSample() : WordSample(Limits()) {}

  void add_line(std::string_view line);

  std::uint64_t text_bytes() const { return text_bytes_; }  // of all lines, their LF included
  double rate() const { return 1.0 / static_cast<double>(std::uint64_t{1} << halvings_); }
  // In the order in which they came up; of the rate at the end.
  void for_each(const std::function<void(std::string_view word, std::uint64_t count)>& visit) const;

 private:
  static constexpr std::size_t kLevels = 16;
  struct Word {
    std::uint64_t hash = 0;
    std::uint32_t begin = 0, bytes = 0, chars = 0;
    std::array<std::uint32_t, kLevels> counts = {};  // by the rate at which their lines drop out
  };

  void add_unit(std::string_view text);
  void add_word(std::string_view word, std::size_t chars, std::size_t level);
  void lower_rate();
  void rebuild_index(std::size_t slots);
  std::string_view text_of(const Word& word) const {
    return std::string_view(texts_).substr(word.begin, word.bytes);
  }

  Limits limits_;
  std::uint64_t text_bytes_ = 0, units_ = 0, word_chars_ = 0;
  std::size_t halvings_ = 0;
  std::array<std::uint64_t, kLevels> sampled_bytes_ = {};
  std::string texts_;
  std::vector<Word> words_;
  std::vector<std::uint32_t> index_;  // open addressing: 1 + number of a word, 0: free
};

}  // namespace sluice::text
