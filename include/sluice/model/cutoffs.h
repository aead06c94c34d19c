#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sluice/base/real.h"

namespace sluice::model {

// What the choice of cutoffs depends on besides the counts of the words. Not the batch: runs that
// differ in it alone shall have the same network.
struct CutoffShape {
  Index width = 0;     // d: channels that the softmax reads
  Index tail_div = 4;  // tail i has width d_i = floor(d / tail_div^(i+1))
};

// Estimated cost of one training step of an adaptive softmax, in logits of full width:
//
//   C = (c_0 + J) (B + r) + sum_i (k_i + d_i) (p_i B + r)
//
// c_0 + J rows in the head, k_i words in tail i, p_i the share of targets in it (from the training
// counts), d_i for its projection. r = 32: reading, clearing and stepping a row once per batch
// costs as much as 32 tokens that use it; a fixed constant, rounded from times of the reference
// kernels on AVX-512, so that the same text gives the same network on every machine. A tail's
// logits count as much as the head's although they are narrower: else the model would buy speed by
// taking width from frequent words. Source: Grave et al. 2017, section 4.2, where g(k, B) = max(c +
// lambda k0 B0, c + lambda k B) plays the part of r.
double adaptive_cost(const CutoffShape& shape, std::span<const std::uint64_t> counts,
                     std::span<const Index> cutoffs);

// The cutoffs that cost least among round numbers of words, with the number of tails, at most four
// and each at least 8 channels wide, from which one more would save less than a tenth; none: a
// whole softmax. counts: occurrences of each word in the training text, in descending order.
std::vector<Index> choose_cutoffs(const CutoffShape& shape, std::span<const std::uint64_t> counts);

}  // namespace sluice::model
