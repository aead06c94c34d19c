#include "word_sample.h"

#include <algorithm>
#include <bit>
#include <iterator>
#include <numeric>

#include "sentencepiece_words.h"
#include "sluice/base/file.h"
#include "sluice/base/random.h"
#include "sluice/text/utf8.h"

namespace sluice::text {
namespace {

constexpr std::uint64_t kSeed = 1;
constexpr std::size_t kUnitBytes = std::size_t{64} << 10, kMaxWordChars = 256;

// Characters of two scripts never share a piece, so a word is cut between them. Common: digits,
// punctuation and signs. Unknown: not in the table below, and never cut from its neighbours.
enum class Script {
  kUnknown,
  kSpace,
  kLeftOut,
  kCommon,
  kLatin,
  kGreek,
  kCyrillic,
  kHebrew,
  kArabic,
  kDevanagari,
  kThai,
  kHangul,
  kHan
};

struct ScriptRange {
  char32_t first, last;
  Script script;
};

// Of Unicode's Scripts.txt what is frequent and without exceptions. Kana counts as Han, as it does
// for SentencePiece.
constexpr ScriptRange kScripts[] = {
    {0x1, 0x40, Script::kCommon},      {0x41, 0x5a, Script::kLatin},
    {0x5b, 0x60, Script::kCommon},     {0x61, 0x7a, Script::kLatin},
    {0x7b, 0xa9, Script::kCommon},     {0xab, 0xb9, Script::kCommon},
    {0xbb, 0xbf, Script::kCommon},     {0xc0, 0xd6, Script::kLatin},
    {0xd8, 0xf6, Script::kLatin},      {0xf8, 0x2b8, Script::kLatin},
    {0x391, 0x3a1, Script::kGreek},    {0x3a3, 0x3e1, Script::kGreek},
    {0x400, 0x481, Script::kCyrillic}, {0x48a, 0x52f, Script::kCyrillic},
    {0x5d0, 0x5ea, Script::kHebrew},   {0x620, 0x63f, Script::kArabic},
    {0x641, 0x64a, Script::kArabic},   {0x904, 0x939, Script::kDevanagari},
    {0xe01, 0xe3a, Script::kThai},     {0x2010, 0x2027, Script::kCommon},
    {0x2030, 0x205e, Script::kCommon}, {0x3000, 0x3004, Script::kCommon},
    {0x3008, 0x3020, Script::kCommon}, {0x3041, 0x3096, Script::kHan},
    {0x30a1, 0x30fa, Script::kHan},    {0x30fc, 0x30fc, Script::kHan},
    {0x3400, 0x4db5, Script::kHan},    {0x4e00, 0x9fa5, Script::kHan},
    {0xac00, 0xd7a3, Script::kHangul}, {0xff01, 0xff20, Script::kCommon}};

Script script_of(char32_t c) {
  if (c == U' ') return Script::kSpace;
  const bool whitespace = c >= U'\t' && c <= U'\r';
  if (whitespace || c == U'\0' || c == 0x2581 || c == 0x2585) return Script::kLeftOut;
  const auto* range = std::partition_point(std::begin(kScripts), std::end(kScripts),
                                           [c](const ScriptRange& of) { return of.last < c; });
  const bool found = range != std::end(kScripts) && range->first <= c;
  return found ? range->script : Script::kUnknown;
}

bool apart(Script left, Script right) {
  return left != right && left != Script::kSpace && left != Script::kUnknown &&
         right != Script::kUnknown;
}

}  // namespace

void WordSample::add_line(std::string_view line) {
  text_bytes_ += line.size() + 1;
  do {
    std::size_t size = 0;
    while (size < line.size() && size < kUnitBytes) {
      const std::string_view rest = line.substr(size);
      size += whole_characters(rest, word_length(rest.substr(0, kUnitBytes)));
    }
    add_unit(line.substr(0, size));
    line.remove_prefix(size);
  } while (!line.empty());
}

void WordSample::add_unit(std::string_view text) {
  const std::size_t level = std::min<std::size_t>(
      static_cast<std::size_t>(std::countl_zero(derive_key(kSeed, units_++))), kLevels - 1);
  if (level < halvings_) return;
  sampled_bytes_[level] += text.size();
  std::size_t begin = 0, chars = 0;
  Script before = Script::kUnknown;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = utf8_length(text.substr(i, 4));
    const Script is =
        length == 0 ? Script::kLeftOut : script_of(decode_utf8(text.substr(i, length)));
    const bool out = is == Script::kLeftOut;
    const bool new_word = is == Script::kSpace && before != Script::kSpace;
    if (out || new_word || chars == kMaxWordChars || apart(before, is)) {
      add_word(text.substr(begin, i - begin), chars, level);
      begin = i;
      chars = 0;
    }
    i += std::max<std::size_t>(length, 1);
    chars += out ? 0 : 1;
    if (out) begin = i;
    before = out ? Script::kUnknown : is;
  }
  add_word(text.substr(begin), chars, level);
  const auto sampled = std::accumulate(sampled_bytes_.begin(), sampled_bytes_.end(), 0ULL);
  if (sampled > limits_.text_bytes || word_chars_ > limits_.word_chars) lower_rate();
}

void WordSample::add_word(std::string_view word, std::size_t chars, std::size_t level) {
  if (word.empty()) return;
  if (2 * (words_.size() + 1) > index_.size()) {
    rebuild_index(std::max<std::size_t>(1024, 2 * index_.size()));
  }
  const std::uint64_t hash = checksum(word);
  std::size_t slot = hash % index_.size();
  for (; index_[slot] != 0; slot = (slot + 1) % index_.size()) {
    Word& known = words_[index_[slot] - 1];
    if (known.hash != hash || text_of(known) != word) continue;
    ++known.counts[level];
    return;
  }
  Word added;
  added.hash = hash;
  added.begin = static_cast<std::uint32_t>(texts_.size());
  added.bytes = static_cast<std::uint32_t>(word.size());
  added.chars = static_cast<std::uint32_t>(chars);
  added.counts[level] = 1;
  texts_ += word;
  words_.push_back(added);
  word_chars_ += chars;
  index_[slot] = static_cast<std::uint32_t>(words_.size());
}

void WordSample::lower_rate() {
  if (halvings_ + 1 == kLevels) return;
  const std::size_t dropped = halvings_++;
  sampled_bytes_[dropped] = 0;
  std::vector<Word> kept;
  std::string texts;
  word_chars_ = 0;
  for (Word& word : words_) {
    word.counts[dropped] = 0;
    if (std::accumulate(word.counts.begin(), word.counts.end(), 0ULL) == 0) continue;
    const std::string_view text = text_of(word);
    word.begin = static_cast<std::uint32_t>(texts.size());
    texts += text;
    word_chars_ += word.chars;
    kept.push_back(word);
  }
  words_ = std::move(kept);
  texts_ = std::move(texts);
  rebuild_index(index_.size());
}

void WordSample::rebuild_index(std::size_t slots) {
  index_.assign(slots, 0);
  for (std::size_t i = 0; i < words_.size(); ++i) {
    std::size_t slot = words_[i].hash % slots;
    while (index_[slot] != 0) slot = (slot + 1) % slots;
    index_[slot] = static_cast<std::uint32_t>(i + 1);
  }
}

void WordSample::for_each(
    const std::function<void(std::string_view word, std::uint64_t count)>& visit) const {
  for (const Word& word : words_) {
    visit(text_of(word), std::accumulate(word.counts.begin(), word.counts.end(), 0ULL));
  }
}

}  // namespace sluice::text
