#pragma once

#include <memory>
#include <span>
#include <vector>

#include "sluice/base/thread_pool.h"
#include "sluice/eval/evaluation.h"

namespace sluice::eval {

struct DynamicSettings {
  double lr = 0;      // of the mean gradient over a segment
  double decay = 0;   // share of the way back to the trained weights, each segment; [0, 1)
  Index segment = 0;  // tokens between two steps
};

// A model that goes on learning from the text it scores. A segment is scored with the weights that
// the text before it has left, then they take one step on it:
//
//   theta <- theta - lr dL/dtheta,  L: mean nats of the segment;  theta <- theta + decay (theta_g -
//   theta)
//
// theta_g: the trained weights. The context is carried from segment to segment as in any stream, as
// the weights of its time computed it; no gradient goes through it. No dropout. Each score is a
// function of what came before its segment, and of its segment up to it. Source: Krause, Kahembwe,
// Murray and Renals 2018 (arXiv:1709.07432), section 4, with the plain gradient instead of their
// RMS rule, whose statistics of the training text a model file does not have.
class DynamicEvaluator {
 public:
  // adapted: a network of its own with gradients and the state of sgd, without penalties on
  // activations, and with the values of `trained`, which stays as it is. Both, and the pool, must
  // outlive it. `observe`, if any, is shown each segment as scored.
  DynamicEvaluator(model::GatedConvLm& adapted, const model::GatedConvLm& trained, ThreadPool& pool,
                   const DynamicSettings& settings, WindowObserver observe = nullptr);

  // Goes on by the tokens of a stream, however they are cut; nats and hidden are not looked at.
  // Error kDiverged when the steps were too large.
  void add(const ScoredWindow& window);
  // Scores the last, shorter segment.
  void finish();
  // After finish(): sums of nats; the rest as in `plain`.
  Totals result(const Totals& plain) const;

 private:
  void score(model::GatedConvLm::State& state);
  void step();
  void lean_back();

  model::GatedConvLm& adapted_;
  const model::GatedConvLm& trained_;
  ThreadPool& pool_;
  DynamicSettings settings_;
  WindowObserver observe_;
  std::unique_ptr<model::GatedConvLm::State> state_;
  bool continues_ = false;  // state_ holds a segment, whose end the next one goes on from
  std::vector<int> inputs_, targets_;
  std::vector<bool> oov_;
  std::vector<double> nats_;
  Totals totals_;
};

}  // namespace sluice::eval
