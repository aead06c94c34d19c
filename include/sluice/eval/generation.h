#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "sluice/eval/draft.h"
#include "sluice/model/sampler.h"

namespace sluice::eval {

// Texts that are written at the same time, at most: what the network's memory depends on, however
// many are asked for. A text that is done waits, as text, for those of lower numbers.
inline constexpr Index kInFlight = 64;

// Continuations to write: `samples` of each of `prompts` prompts. Sample s of prompt p has number
// p * samples + s.
struct GenerationPlan {
  Index prompts = 1, samples = 1;
  // The tokenizer ids of a prompt, asked for once, when its turn comes.
  std::function<std::vector<int>(Index prompt)> prompt;
  model::SamplerOptions sampling;  // its seed is that of number 0; model::sample_seed()
};

// Called after each token with what has become certain of its text, maybe nothing, and with whole
// texts in the order of their numbers.
using ShowPiece = std::function<void(Index number, std::string_view piece)>;
using ShowSample = std::function<void(Index number, const Sample& sample)>;

// Writes them all, up to kInFlight together, with one pass over the weights per token. Each prompt
// is read once, whatever its samples, alone and at the speed of evaluation. A text is a function of
// model, prompt, options and its seed: the same, bit for bit in its log-probability, however many
// threads there are and whatever else is written with it. Errors: check_finite(), and what is
// thrown by the functions given.
void generate(const Writer& writer, const GenerationPlan& plan, const ShowPiece& show_piece,
              const ShowSample& show_sample);

}  // namespace sluice::eval
