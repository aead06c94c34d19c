#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace sluice::text {

// Model ids are ordered by training-set frequency (Grave et al. 2017, section 3: adaptive softmax
// needs it): perm[tokenizer id] = model id, most frequent first, ties by tokenizer id. Applied
// where batches are loaded; every outside interface speaks tokenizer ids.
class Permutation {
 public:
  Permutation() = default;
  // Error kBadData unless `model_ids` is a permutation of 0..n-1.
  explicit Permutation(std::vector<int> model_ids);
  static Permutation by_frequency(std::span<const std::uint64_t> counts);

  int size() const { return static_cast<int>(to_model_.size()); }
  int to_model(int tokenizer_id) const { return to_model_[static_cast<std::size_t>(tokenizer_id)]; }
  int to_tokenizer(int model_id) const { return to_tokenizer_[static_cast<std::size_t>(model_id)]; }
  const std::vector<int>& model_ids() const { return to_model_; }

 private:
  std::vector<int> to_model_, to_tokenizer_;
};

}  // namespace sluice::text
