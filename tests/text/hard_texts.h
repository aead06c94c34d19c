#pragma once

#include <random>
#include <string>
#include <vector>

#include "sluice/text/utf8.h"

// Texts that tokenizers stumble over.
namespace sluice::text::testing {

// Well-formed UTF-8.
inline std::vector<std::string> hard_texts() {
  return {"\r\n",
          "a\rb",
          std::string("a\0b\n\0", 5),
          std::string(1, '\0'),
          "\t",
          "a\tb\t\tc",
          "\v\f",
          "\xc2\x85",
          "\xe2\x80\xa8",
          "\xc2\xa0",
          "a\xc2\xa0 b",
          "\xe2\x80\x8b",
          "e\xcc\x81",
          "\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x92\xbb",
          "\xe2\x80\x8f\xd7\x90",
          "\xef\xbf\xbd",
          "\xe2\x96\x81",
          "the \xe2\x96\x81the\xe2\x96\x81 \xe2\x96\x81",
          "\xe2\x96\x85",
          "the\xe2\x96\x85the",
          "\xf4\x8f\xbf\xbf",
          "\xee\x80\x80",
          "\xef\xbc\xa1\xef\xac\x81\xe2\x91\xa0",
          "a  b",
          " a",
          "a ",
          " ",
          "    if (x) {\n        y;\n    }  \n",
          "no end",
          "x",
          "<s>",
          "</s>",
          "<unk>",
          "<0x41>",
          "a<s>b </s>  <unk><0x0A>\n</s>",
          "\n",
          "\n\n",
          "\xef\xbb\xbf"
          "a\xef\xbb\xbf",
          std::string(200000, 'a'),
          std::string(10000, '\n')};
}

inline std::vector<std::string> malformed_texts() {
  return {
      "\xff", "a\xff", "\xc0\x80", "a \xed\xa0\x80 b", "cut \xf0\x9f\x98", "\x80\xe2\x96\x81\xbf"};
}

// Characters of all four lengths, line ends and spaces.
inline std::vector<std::string> random_texts(int count) {
  std::vector<std::string> texts;
  std::mt19937 random(7);
  for (int i = 0; i < count; ++i) {
    std::string text;
    for (auto length = random() % 50; length > 0; --length) {
      const char32_t below[] = {0x80, 0x800, 0xd800, 0x110000, 12, 0x21};
      const char32_t c = static_cast<char32_t>(random()) % below[random() % 6];
      append_utf8(c >= 0xd800 && c < 0xe000 ? U'\n' : c, text);
    }
    texts.push_back(text);
  }
  return texts;
}

}  // namespace sluice::text::testing
