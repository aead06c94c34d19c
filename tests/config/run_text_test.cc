#include "sluice/config/run_text.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "tests/support/error_check.h"
#include "tests/support/temp_dir.h"
#include "tests/support/text_file.h"

namespace sluice::config {
namespace {

using testing::check_error;
using testing::TempDir;
using testing::write_text;

struct Fixture {
  Fixture() {
    data.train = {write_text(folder / "train.txt", "abab\nabc\nab\nba\n")};
    data.cache_dir = folder / "cache";
    tokenizer.type = text::TokenizerType::kChar;
  }
  RunText prepare(std::optional<Vocabulary> known = std::nullopt) {
    notes.clear();
    return prepare_text(
        data, tokenizer, std::move(known), [&](const std::string& note) { notes.push_back(note); },
        [&](std::uint64_t now, std::uint64_t all) {
          done = {now, all};
        });
  }
  TempDir folder;
  text::DataConfig data;
  text::TokenizerConfig tokenizer;
  std::vector<std::string> notes;
  std::pair<std::uint64_t, std::uint64_t> done;  // bytes encoded, of how many, said last
};

TEST_CASE("RunText: without validation text the last lines are held out, and that is said",
          "[config]") {
  Fixture it;
  it.data.valid_fraction = 0.25;
  const RunText text = it.prepare();
  CHECK(text.train.counts().lines == 3);
  CHECK(text.train.size() == 12);
  CHECK(text.valid.counts().lines == 1);
  CHECK(text.valid.size() == 3);
  CHECK(it.done == std::pair<std::uint64_t, std::uint64_t>(15, 15));
  REQUIRE_FALSE(it.notes.empty());
  CHECK(it.notes[0].find("25 % of the lines (1 of 4)") != std::string::npos);
}

TEST_CASE("unigram_loss: add-one frequencies of the training text, on the validation text",
          "[config]") {
  Fixture it;
  it.tokenizer.type = text::TokenizerType::kChar;
  it.data.valid = {write_text(it.folder / "valid.txt", "abx\n")};
  // Seen: a 5, b 5, </s> 4, c 1, <unk> 0. Wanted: a, b, <unk>, </s>.
  const double expected = -(2 * std::log(6 / 20.0) + std::log(1 / 20.0) + std::log(5 / 20.0)) / 4;
  CHECK(unigram_loss(it.prepare()) == Approx(expected).epsilon(1e-12));
}

TEST_CASE("RunText: the vocabulary is that of the training lines, by frequency", "[config]") {
  Fixture it;
  it.data.valid = {write_text(it.folder / "valid.txt", "abx\n")};
  const RunText text = it.prepare();
  CHECK(text.train.counts().lines == 4);
  CHECK(text.tokenizer->size() == 5);  // </s> <unk> a b c
  CHECK(text.valid.oov() == 1);
  // b 5, a 5, </s> 4, c 1, <unk> 0.
  text::Encoding line;
  text.tokenizer->encode("abc", line);
  CHECK(text.permutation.to_model(line.ids[0]) < 2);
  CHECK(text.permutation.to_model(line.ids[1]) < 2);
  CHECK(text.permutation.to_model(text.tokenizer->end_of_line()) == 2);
  CHECK(text.permutation.to_model(line.ids[2]) == 3);
  CHECK(text.permutation.to_model(text.tokenizer->unknown()) == 4);
}

TEST_CASE("RunText: a form of the held-out lines alone is out of vocabulary", "[config]") {
  Fixture it;
  it.data.train = {write_text(it.folder / "t", "ab\nab\nab\nxb\n")};
  it.data.valid_fraction = 0.25;
  const RunText text = it.prepare();
  CHECK(text.tokenizer->size() == 4);
  CHECK(text.valid.oov() == 1);
}

TEST_CASE("RunText: a model's tokenizer and permutation are taken as they are", "[config]") {
  Fixture it;
  it.data.valid = {write_text(it.folder / "valid.txt", "ab\n")};
  RunText first = it.prepare();
  const std::uint64_t hash = first.tokenizer->hash();
  it.data.train = {write_text(it.folder / "other.txt", "xyz ab\nab\n")};
  const std::vector<int> order = {4, 3, 2, 1, 0};
  REQUIRE(first.permutation.model_ids() != order);
  const RunText second =
      it.prepare(Vocabulary{std::move(first.tokenizer), text::Permutation(order)});
  CHECK(second.permutation.model_ids() == order);
  CHECK(second.tokenizer->hash() == hash);
  CHECK(second.train.oov() == 4);
}

TEST_CASE("RunText: a tokenizer from a file is not trained, and the permutation is counted",
          "[config]") {
  Fixture it;
  it.data.valid = {write_text(it.folder / "valid.txt", "ab\n")};
  const RunText first = it.prepare();
  it.tokenizer.file = write_text(it.folder / "tokenizer", first.tokenizer->serialise());
  it.data.train = {write_text(it.folder / "other.txt", "xyz cc\nccc\n")};
  const RunText second = it.prepare();
  CHECK(second.tokenizer->hash() == first.tokenizer->hash());
  CHECK(second.train.oov() == 4);
  CHECK(second.permutation.model_ids() != first.permutation.model_ids());
  it.tokenizer.file = it.folder / "missing";
  check_error(ExitCode::kNoInput, {"missing"}, [&] { it.prepare(); });
}

TEST_CASE("RunText: what SentencePiece chose is told", "[config]") {
  Fixture it;
  it.tokenizer.type = text::TokenizerType::kSentencePiece;
  it.prepare();
  REQUIRE(it.notes.size() == 2);
  CHECK(it.notes[1].starts_with("vocab_size: "));
}

TEST_CASE("RunText: what is missing or unreadable is said", "[config]") {
  Fixture it;
  it.data.train.clear();
  check_error(ExitCode::kUsage, {"data.train", "--train"}, [&] { it.prepare(); });
  it.data.train = {it.folder / "missing"};
  check_error(ExitCode::kNoInput, {"missing"}, [&] { it.prepare(); });
  it.data.train = {write_text(it.folder / "one", "a single line\n")};
  check_error(ExitCode::kBadData, {"too few lines"}, [&] { it.prepare(); });
  it.data.valid = {it.folder / "gone"};
  check_error(ExitCode::kNoInput, {"gone"}, [&] { it.prepare(); });
}

}  // namespace
}  // namespace sluice::config
