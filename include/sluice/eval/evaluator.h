#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "sluice/eval/evaluation.h"
#include "sluice/model/stream.h"

namespace sluice::eval {

// Scores tokens exactly as they come, in bounded memory. What comes out does not depend on how they
// arrive.
class Evaluator {
 public:
  // Called after each pass through the model with the tokens that are behind us; false stops the
  // evaluation. May be null.
  using Passed = std::function<bool(std::uint64_t tokens)>;

  virtual ~Evaluator() = default;
  // Tokenizer ids; oov as in text::Encoding, empty: none. False once stopped: nothing is scored any
  // more.
  bool add(std::span<const int> ids, const std::vector<bool>& oov);
  // Scores what is left; false when stopped.
  bool finish();
  // After finish(), what the tokens tell; counts and data_hash are the caller's.
  const Totals& totals() const { return totals_; }

 protected:
  Evaluator(const text::Permutation& permutation, Passed passed)
      : permutation_(permutation), passed_(std::move(passed)) {}

  virtual void add_token(int model_id, bool oov) = 0;
  virtual void flush() = 0;
  // Reports a pass that scored so many.
  void pass(std::uint64_t tokens);
  bool stopped() const { return stopped_; }
  void count(std::span<const double> nats, std::vector<bool>::const_iterator oov) {
    eval::count(totals_, nats, oov);
  }

 private:
  const text::Permutation& permutation_;
  Passed passed_;
  std::uint64_t scored_ = 0;
  bool stopped_ = false;
  Totals totals_;
};

// The whole text as one stream (model/stream.h).
class StreamEvaluator : public Evaluator {
 public:
  StreamEvaluator(const model::GatedConvLm& model, const text::Permutation& permutation,
                  int end_of_line, Passed passed = nullptr, WindowObserver observe = nullptr);

 private:
  void add_token(int model_id, bool oov) override;
  void flush() override;

  model::Stream stream_;
  WindowObserver observe_;
  int previous_;
  std::vector<int> inputs_, targets_;
  std::vector<bool> oov_;
  std::vector<double> nats_;
};

// By mode: StreamEvaluator or LineEvaluator (eval/line_evaluator.h). The model and the permutation
// must outlive it. Lines are not observed.
std::unique_ptr<Evaluator> make_evaluator(text::Mode mode, const model::GatedConvLm& model,
                                          const text::Permutation& permutation, int end_of_line,
                                          Evaluator::Passed passed,
                                          WindowObserver observe = nullptr);

}  // namespace sluice::eval
