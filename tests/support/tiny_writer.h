#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sluice/eval/draft.h"
#include "sluice/kernels/instruction_set.h"
#include "sluice/text/prompt.h"
#include "tests/support/tiny_model.h"

namespace sluice::testing {

// An untrained character model and what writes with it; `letters` is its alphabet.
struct TinyWriter {
  explicit TinyWriter(const std::string& letters, int threads = 2,
                      text::TokenizerType type = text::TokenizerType::kChar)
      : pool(threads), tokenizer(train_tokenizer(letters, type)) {
    model::ModelConfig config = full_config();
    network = std::make_unique<model::GatedConvLm>(config, tokenizer->size(), *backend,
                                                   kernels::ArraySet{kernels::Array::kValue});
    network->initialise(3);
    stir_parameters(network->parameters(), 4);
    // Not the identity: who forgets to translate ids is seen.
    std::vector<int> ids;
    for (int id = 0; id < tokenizer->size(); ++id) ids.push_back((id + 2) % tokenizer->size());
    permutation = text::Permutation(ids);
    writer = {.model = network.get(),
              .tokenizer = tokenizer.get(),
              .permutation = &permutation,
              .source = "model",
              .max_tokens = 40};
  }
  std::vector<int> ids(const std::string& prompt) const {
    return text::encode_prompt(prompt, *tokenizer, "prompt").ids;
  }
  // From here on every word is as probable as its bias says, whatever came before.
  void forget_weights() {
    for (nn::Parameter& parameter : network->parameters().parameters()) {
      const std::vector<Real> zeros(static_cast<std::size_t>(parameter.elements()));
      network->parameters().write(parameter, kernels::Array::kValue, zeros);
    }
    network->parameters().refresh();
  }
  // Of one character, or "\n" for </s>.
  void set_bias(const std::string& text, Real bias) {
    const int id = text == "\n" ? tokenizer->end_of_line() : ids(text).at(0);
    set_element(network->parameters(), "output.bias",
                static_cast<std::size_t>(permutation.to_model(id)), bias);
  }

  ThreadPool pool;
  std::unique_ptr<kernels::Backend> backend = kernels::make_backend(pool);
  std::unique_ptr<text::Tokenizer> tokenizer;
  std::unique_ptr<model::GatedConvLm> network;
  text::Permutation permutation;
  eval::Writer writer;

 private:
  static std::unique_ptr<text::Tokenizer> train_tokenizer(const std::string& letters,
                                                          text::TokenizerType type) {
    text::TokenizerConfig config;
    config.type = type;
    const auto trainer = text::make_tokenizer_trainer(config, false);
    trainer->add_line(letters);
    return trainer->finish();
  }
};

}  // namespace sluice::testing
