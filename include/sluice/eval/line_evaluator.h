#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "sluice/eval/evaluator.h"

namespace sluice::eval {

// Each line alone, from </s> and a zero context, exactly and whole, however long it is. Lines are
// gathered in blocks and those of like length go through the model side by side; one that is longer
// than a window is a stream of its own (model/stream.h), scored as it comes.
class LineEvaluator : public Evaluator {
 public:
  LineEvaluator(const model::GatedConvLm& model, const text::Permutation& permutation,
                int end_of_line, Passed passed = nullptr);

 private:
  struct Line {
    std::size_t begin, length;
  };
  void add_token(int model_id, bool oov) override;
  void flush() override;
  // The line that is under way, or its next window.
  void score_long();
  void score_block();
  // Lines side by side, the first of them the longest.
  void score_batch(std::span<const Line> lines);

  const model::GatedConvLm& model_;
  int end_of_line_, previous_;
  // The block: whole lines, then from line_begin_ on the one that is under way.
  std::vector<int> inputs_, targets_;
  std::vector<bool> oov_;
  std::vector<Line> lines_;
  std::size_t line_begin_ = 0;
  std::vector<double> nats_;
  std::optional<model::Stream> long_line_;
  // A batch, and the memory for all of them.
  std::unique_ptr<model::GatedConvLm::State> state_;
  std::vector<int> batch_inputs_, batch_targets_;
};

}  // namespace sluice::eval
