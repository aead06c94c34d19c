#pragma once

#include <memory>
#include <vector>

#include "sluice/text/contiguous_batcher.h"
#include "sluice/text/tokenizer.h"
#include "tests/text/text_files.h"

namespace sluice::text::testing {

// A corpus whose tokens are all different, so that every target tells its place in the text: word
// number i has tokenizer id i + 2, and one </s> (id 0) ends it.
class DistinctCorpus {
 public:
  explicit DistinctCorpus(int words) {
    std::string text = "0001";
    for (int i = 2; i <= words; ++i) text += fmt::format(" {:04}", i);
    const auto file = folder_.write("text", text + "\n");
    TokenizerConfig config;
    config.type = TokenizerType::kWord;
    const auto tokenizer = train_tokenizer({file}, {}, config, false);
    tokens_ = std::make_unique<TokenFile>(
        tokenize({file}, {}, *tokenizer, folder_.path("cache"), nullptr));
    // Model ids unlike the tokenizer's: reversed.
    std::vector<int> model_ids;
    for (int id = tokenizer->size() - 1; id >= 0; --id) model_ids.push_back(id);
    permutation_ = Permutation(model_ids);
  }

  StreamBatcher batcher(Index time, Index batch, std::uint64_t seed = 1, Index context = 0) const {
    return StreamBatcher(*tokens_, permutation_, 0, time, batch, seed, context);
  }
  ContiguousBatcher contiguous(Index time, Index batch, std::uint64_t seed = 1) const {
    return ContiguousBatcher(*tokens_, permutation_, 0, time, batch, seed);
  }
  std::uint64_t size() const { return tokens_->size(); }
  // Where in the text a token stands; </s> is its last.
  std::uint64_t place_of(int model_id) const {
    const int id = permutation_.to_tokenizer(model_id);
    return id == 0 ? size() - 1 : static_cast<std::uint64_t>(id - 2);
  }
  int end_of_line() const { return permutation_.to_model(0); }

 private:
  ScratchFolder folder_;
  std::unique_ptr<TokenFile> tokens_;
  Permutation permutation_;
};

}  // namespace sluice::text::testing
