#include "char_tokenizer.h"

#include <fmt/format.h>

#include <utility>

#include "sluice/base/printable.h"
#include "sluice/text/utf8.h"

namespace sluice::text {
namespace {

constexpr char32_t kCodePoints = 0x110000;

bool is_surrogate(char32_t c) { return c >= 0xd800 && c < 0xe000; }

class CharTokenizer final : public Tokenizer {
 public:
  // Distinct code points other than LF and surrogates.
  explicit CharTokenizer(std::vector<char32_t> characters) : characters_(std::move(characters)) {
    char32_t largest = 0;
    for (const char32_t c : characters_) largest = std::max(largest, c);
    ids_.assign(largest + 1, kUnknown);
    for (std::size_t i = 0; i < characters_.size(); ++i) {
      ids_[characters_[i]] = kFirstForm + static_cast<int>(i);
    }
  }

  TokenizerType type() const override { return TokenizerType::kChar; }
  int size() const override { return kFirstForm + static_cast<int>(characters_.size()); }
  int end_of_line() const override { return kEndOfLine; }
  int unknown() const override { return kUnknown; }
  bool lossless() const override { return true; }

  void encode(std::string_view line, Encoding& out) const override {
    for (std::size_t i = 0; i < line.size();) {
      const std::size_t length = utf8_length(line.substr(i));
      const char32_t c = decode_utf8(line.substr(i, length));
      const int id = c < ids_.size() ? ids_[c] : kUnknown;
      out.ids.push_back(id);
      out.oov.push_back(id == kUnknown);
      i += length;
    }
  }

  void decode(int id, int, std::string& out) const override {
    if (id == kEndOfLine) {
      out += '\n';
    } else if (id == kUnknown) {
      out += kUnknownName;
    } else {
      append_utf8(character(id), out);
    }
  }

  std::string describe(int id) const override {
    if (id == kEndOfLine) return std::string(kEndOfLineName);
    std::string text;
    decode(id, -1, text);
    return text == " " ? "U+0020" : printable(text);
  }

  std::string serialise() const override {
    std::string out = fmt::format("sluice tokenizer char 1\nentries {}\n", characters_.size());
    for (const char32_t c : characters_) out += fmt::format("{:X}\n", static_cast<unsigned>(c));
    return out;
  }

 private:
  char32_t character(int id) const {
    return characters_[static_cast<std::size_t>(id - kFirstForm)];
  }

  std::vector<char32_t> characters_;
  std::vector<int> ids_;  // by code point, up to the largest known
};

class CharTrainer final : public TokenizerTrainer {
 public:
  explicit CharTrainer(const TokenizerConfig& config) : config_(config) {}

  void add_line(std::string_view line) override {
    for (std::size_t i = 0; i < line.size();) {
      const std::size_t length = utf8_length(line.substr(i));
      ++counts_[decode_utf8(line.substr(i, length))];
      i += length;
    }
  }

  std::unique_ptr<Tokenizer> finish() override {
    std::vector<std::pair<char32_t, std::uint64_t>> counted;
    for (char32_t c = 0; c < kCodePoints; ++c) {
      if (counts_[c] > 0) counted.emplace_back(c, counts_[c]);
    }
    return std::make_unique<CharTokenizer>(select_forms(std::move(counted), config_, "characters"));
  }

 private:
  TokenizerConfig config_;
  std::vector<std::uint64_t> counts_ = std::vector<std::uint64_t>(kCodePoints);
};

// Upper-case hexadecimal without leading zeros, as serialise() writes it; kCodePoints otherwise.
char32_t parse_code_point(std::string_view digits) {
  if (digits.empty() || digits.size() > 6 || (digits[0] == '0' && digits.size() > 1)) {
    return kCodePoints;
  }
  char32_t value = 0;
  for (const char digit : digits) {
    const std::size_t nibble = std::string_view("0123456789ABCDEF").find(digit);
    if (nibble == std::string_view::npos) return kCodePoints;
    value = value * 16 + static_cast<char32_t>(nibble);
  }
  return value;
}

}  // namespace

std::unique_ptr<TokenizerTrainer> make_char_trainer(const TokenizerConfig& config) {
  return std::make_unique<CharTrainer>(config);
}

std::unique_ptr<Tokenizer> restore_char_tokenizer(StoredLines& lines) {
  const std::uint64_t entries = lines.next_number("entries");
  std::vector<char32_t> characters;
  std::vector<bool> seen(kCodePoints);
  for (std::uint64_t i = 0; i < entries; ++i) {
    const std::string_view digits = lines.next("a code point in hexadecimal");
    const char32_t c = parse_code_point(digits);
    if (c >= kCodePoints || is_surrogate(c) || c == '\n') {
      lines.fail("not a code point of text, in upper-case hexadecimal");
    }
    if (seen[c]) lines.fail("the code point stands twice");
    seen[c] = true;
    characters.push_back(c);
  }
  lines.expect_end();
  return std::make_unique<CharTokenizer>(std::move(characters));
}

}  // namespace sluice::text
