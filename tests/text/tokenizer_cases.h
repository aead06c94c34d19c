#pragma once

#include <algorithm>
#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/text/tokenizer.h"

// What the tests of the tokenizers ask of each of them.
namespace sluice::text::testing {

using Ids = std::vector<int>;

inline std::unique_ptr<Tokenizer> train(TokenizerConfig config,
                                        const std::vector<std::string>& lines,
                                        bool unk_in_text = false) {
  const auto trainer = make_tokenizer_trainer(config, unk_in_text);
  for (const std::string& line : lines) trainer->add_line(line);
  return trainer->finish();
}

inline Encoding encoding_of(const Tokenizer& tokenizer, std::string_view line) {
  Encoding encoding;
  tokenizer.encode(line, encoding);
  REQUIRE(encoding.ids.size() == encoding.oov.size());
  return encoding;
}

inline std::string decoded(const Tokenizer& tokenizer, const Ids& ids) {
  std::string text;
  int previous = -1;
  for (const int id : ids) {
    tokenizer.decode(id, previous, text);
    previous = id;
  }
  return text;
}

// The text encoded line by line, </s> after each, and decoded again.
inline std::string round_trip(const Tokenizer& tokenizer, const std::string& text) {
  Ids ids;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const Ids line = encoding_of(tokenizer, std::string_view(text).substr(begin, end - begin)).ids;
    ids.insert(ids.end(), line.begin(), line.end());
    if (end < text.size()) ids.push_back(tokenizer.end_of_line());
    begin = end + 1;
  }
  return decoded(tokenizer, ids);
}

inline std::vector<std::string> vocabulary(const Tokenizer& tokenizer) {
  std::vector<std::string> names;
  for (int id = 0; id < tokenizer.size(); ++id) names.push_back(tokenizer.describe(id));
  return names;
}

inline TokenizerConfig config_of(TokenizerType type) {
  TokenizerConfig config;
  config.type = type;
  return config;
}

inline const TokenizerConfig kByte = config_of(TokenizerType::kByte);
inline const TokenizerConfig kChar = config_of(TokenizerType::kChar);
inline const TokenizerConfig kWord = config_of(TokenizerType::kWord);

}  // namespace sluice::text::testing
