#include "src/text/byte_tokenizer.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "tests/text/text_files.h"
#include "tests/text/tokenizer_cases.h"

using namespace sluice;
using namespace sluice::text;
using namespace sluice::text::testing;

TEST_CASE("ByteTokenizer: ids are the values of the bytes", "[text]") {
  const auto tokenizer = train(kByte, {});
  CHECK(tokenizer->size() == 256);
  CHECK(tokenizer->end_of_line() == 10);
  CHECK(tokenizer->unknown() == -1);
  CHECK(tokenizer->lossless());
  const Encoding encoding = encoding_of(*tokenizer, "A\xc3\xa9");
  CHECK(encoding.ids == Ids{0x41, 0xc3, 0xa9});
  CHECK(encoding.oov == std::vector<bool>(3));
  CHECK(decoded(*tokenizer, {0x41, 10, 0xff}) == "A\n\xff");
  CHECK(tokenizer->describe(0x41) == "0x41");
  CHECK(tokenizer->describe(10) == "</s>");
}
