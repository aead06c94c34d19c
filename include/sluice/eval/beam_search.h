#pragma once

#include <functional>
#include <span>

#include "sluice/eval/draft.h"

namespace sluice::eval {

// The most probable continuation that a beam finds: the `width` most probable hypotheses are kept
// from token to token, those that have ended (stop string, </s> in a model of lines, length) among
// them, and advance together. Equal ones rank by their parents' rank, then by word id; a beam of 1
// is greedy.
//
// Hypotheses are compared by the sum of log-probabilities, not by its mean: it is what is reported,
// so the answer has a meaning of its own (the most probable text, exactly, if the beam is wide
// enough), and sums only fall, so that the search may end as soon as the first hypothesis has. The
// price: where texts may end, it leans to short ones. `advanced`, if any, is told after each token
// how many the longest hypothesis has. Errors: check_finite(); kNoResource ahead of a beam whose
// log-probabilities do not fit into memory.
Sample beam_search(const Writer& writer, std::span<const int> prompt, Index width,
                   const std::function<void(Index tokens)>& advanced = nullptr);

}  // namespace sluice::eval
