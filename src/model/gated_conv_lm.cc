#include "sluice/model/gated_conv_lm.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "parts.h"
#include "sluice/base/error.h"
#include "sluice/base/random.h"

namespace sluice::model {

using kernels::Into;
using kernels::Junction;
using nn::ParameterScope;
using Gradient = nn::Workspace::Gradient;

namespace {

// Calls visit(begin, end) for each sequence: its last P rows among the numbers of all tokens.
template <class Visit>
void each_end(const kernels::RowMap& map, Index channels, const Visit& visit) {
  assert(map.time >= map.context);
  for (Index sequence = 1; sequence <= map.sequences; ++sequence) {
    const Index end = sequence * map.time;
    visit(static_cast<std::size_t>((end - map.context) * channels),
          static_cast<std::size_t>(end * channels));
  }
}

}  // namespace

nn::SoftmaxShape softmax_shape(const ModelConfig& config, Index vocabulary) {
  check_output(config, vocabulary);
  const OutputConfig& output = config.output;
  nn::SoftmaxShape shape;
  shape.width = output_width(config);
  shape.words = vocabulary;
  if (output.type == OutputType::kAdaptive) {
    if (!output.cutoffs) {
      throw Error(ExitCode::kUsage,
                  "model.output.cutoffs: not known without a text (expected a list of word counts, "
                  "found \"auto\"); give one, e.g. --set model.output.cutoffs=[2000,10000], or [] "
                  "for a whole softmax");
    }
    shape.cutoffs = *output.cutoffs;
    shape.tail_div = output.tail_div;
  }
  if (shape.cutoffs.empty()) {
    shape.bias = output.bias;
    // The two-layer form is weight-normed throughout (fairseq's fc2 and fc3).
    shape.weight_norm = config.norm == Norm::kWeight && output.projection && !output.tied;
  }
  return shape;
}

GatedConvLm::GatedConvLm(const ModelConfig& config, Index vocabulary, kernels::Backend& backend,
                         kernels::ArraySet arrays)
    : config_(config),
      store_(backend),
      embedding_(make_embedding(config, vocabulary, store_)),
      input_projection_(make_input_projection(config, store_)),
      blocks_(make_blocks(config, store_)),
      output_norm_(make_output_norm(config, store_)),
      output_projection_(make_output_projection(config, store_)),
      output_(ParameterScope(store_, "output"), softmax_shape(config, vocabulary),
              config.output.tied ? &embedding_ : nullptr) {
  if (arrays.size() > 0) store_.allocate(arrays);
}

void GatedConvLm::initialise(std::uint64_t seed) {
  const DropoutConfig& dropout = config_.dropout;
  const auto linear = [](double rate, Index in) {
    return std::sqrt((1 - rate) / static_cast<double>(in));
  };
  embedding_.initialise(seed, 0.1);
  if (input_projection_ != nullptr) {
    input_projection_->initialise(seed, linear(dropout.embedding, config_.embedding_dim));
  }
  for (nn::ResidualBlock& block : blocks_) block.initialise(seed, dropout.layer);
  if (output_norm_ != nullptr) output_norm_->initialise();
  if (output_projection_ != nullptr) {
    output_projection_->initialise(seed, linear(0, last_width(config_)));
  }
  output_.initialise(seed, dropout.output);
}

void GatedConvLm::drop_weights(std::uint64_t seed, std::uint64_t step) {
  const double rate = config_.dropout.weight;
  if (rate == 0) return;
  const std::uint64_t key = derive_key(derive_key(seed, "weight drop"), step);
  for (nn::ResidualBlock& block : blocks_) block.drop_weights(key, rate);
}

double GatedConvLm::weight_drop_bytes() const {
  Index numbers = 0;
  for (const nn::ResidualBlock& block : blocks_) numbers += block.stored_weights();
  return config_.dropout.weight == 0 ? 0 : static_cast<double>(numbers) * sizeof(Real);
}

void GatedConvLm::narrow(kernels::WeightFormat format) {
  for (const auto& weights : store_.weights()) {
    const bool looked_up = weights.get() == &embedding_.weights() && !config_.output.tied;
    if (!looked_up) backend().narrow(*weights, format);
  }
}

GatedConvLm::State::State(const GatedConvLm& model, Index sequences, Index time, bool training)
    : model_(&model),
      workspace_(model.backend(),
                 {.sequences = sequences, .time = time, .context = context_rows(model.config_)},
                 training),
      boundaries_(model.blocks_.size() + 1),
      caches_(model.blocks_.size()),
      nats_(static_cast<std::size_t>(sequences * time)) {
  std::size_t turn = 0;
  const Index width = model.config_.embedding_dim;
  first().dz = workspace_.gradient(width, Gradient::kProduct, turn++);
  if (model.input_projection_ != nullptr) {
    embedding_.dropped = workspace_.operand(width);
    boundaries_.front().producer = &model.input_projection_->weights();
    boundaries_.front().dz =
        workspace_.gradient(first_width(model.config_), Gradient::kProduct, turn++);
  }
  for (std::size_t i = 0; i < model.blocks_.size(); ++i) {
    model.blocks_[i].wire(workspace_, boundaries_[i], boundaries_[i + 1], caches_[i], turn, i);
  }
  if (model.output_norm_ != nullptr) {
    boundaries_.back().stream = workspace_.stream(last_width(model.config_));
    model.output_norm_->wire(workspace_, normed_, turn++);
  }
  output_ = &last();
  if (model.output_projection_ != nullptr) {
    output_->dropped = workspace_.operand(last_width(model.config_));
    projected_.producer = &model.output_projection_->weights();
    projected_.dz = workspace_.gradient(output_width(model.config_), Gradient::kProduct, turn++);
    output_ = &projected_;
  }
  // Not the array that the last block's residual gradient is about to be written to.
  model.output_.wire(workspace_, *output_, softmax_, model.blocks_.size());
  if (training) wire_penalty();
  clear_context();
}

void GatedConvLm::State::wire_penalty() {
  const kernels::ActivationPenalty penalty = activation_penalty(model_->config_);
  if (!penalty.any()) return;
  const Index width = output_width(model_->config_);
  if (output_->ddropped == nullptr) {
    output_->ddropped = workspace_.gradient(width, Gradient::kStream, model_->blocks_.size());
  }
  if (penalty.change == 0 || model_->config_.dropout.output == 0) return;
  // Read by no product: it is no part of what a stream carries.
  output_->plain = workspace_.stream(width);
  output_->dy = workspace_.gradient(width, Gradient::kPenalty, 0);
}

std::unique_ptr<GatedConvLm::State> GatedConvLm::state(Index sequences, Index time,
                                                       bool training) const {
  return std::unique_ptr<State>(new State(*this, sequences, time, training));
}

void GatedConvLm::State::reshape(Index sequences, Index time) {
  const kernels::RowMap map = {
      .sequences = sequences, .time = time, .context = workspace_.map().context};
  if (map == workspace_.map()) return clear_context();
  workspace_.reshape(map);
  softmax_.selection.source = map;
  nats_.resize(static_cast<std::size_t>(map.tokens()));
}

Junction& GatedConvLm::State::first() {
  return model_->input_projection_ != nullptr ? embedding_ : boundaries_.front();
}

std::span<const int> GatedConvLm::State::embedded(std::span<const int> inputs) {
  const double rate = model_->config_.dropout.word;
  if (!drops_words_) return inputs;
  embedded_.assign(inputs.begin(), inputs.end());
  for (int& word : embedded_) {
    if (kernels::drops_word(word_key_, rate, word)) word = kernels::kDroppedWord;
  }
  return embedded_;
}

void GatedConvLm::State::set_dropout(std::uint64_t seed, std::uint64_t step,
                                     std::uint64_t first_sequence) {
  const std::uint64_t key = derive_key(derive_key(seed, "dropout"), step);
  std::uint64_t place = 0;
  const auto set = [&](kernels::Dropout& dropout, double rate, bool locked) {
    dropout = {.key = derive_key(key, place++),
               .rate = rate,
               .first_sequence = first_sequence,
               .locked = locked};
  };
  const DropoutConfig& rates = model_->config_.dropout;
  set(first().self, rates.embedding, rates.embedding_locked);
  for (std::size_t i = 0; i < caches_.size(); ++i) {
    set(model_->blocks_[i].entrance(boundaries_[i], caches_[i]).next, rates.layer,
        rates.layer_locked);
    for (Junction& inner : caches_[i].inner) set(inner.next, rates.layer, rates.layer_locked);
  }
  set(output_->next, rates.output, rates.output_locked);
  for (nn::AdaptiveSoftmax::TailCache& tail : softmax_.tails) {
    set(tail.hidden.next, rates.tail, false);
  }
  drops_words_ = rates.word > 0;
  word_key_ = derive_key(key, "word");
  first().scale = static_cast<Real>(1 / (1 - rates.word));
}

void GatedConvLm::State::carry_context(const State& from, std::span<const Index> sources) {
  const auto& source = from.workspace_.operands();
  const auto& target = workspace_.operands();
  assert(source.size() == target.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    workspace_.backend().carry_context(*source[i], *target[i], sources);
  }
}

void GatedConvLm::State::clear_context() {
  for (kernels::Activations* operand : workspace_.operands()) {
    workspace_.backend().clear_context(*operand);
  }
}

std::vector<Index> GatedConvLm::State::context_widths() const {
  std::vector<Index> widths;
  for (const kernels::Activations* operand : workspace_.operands()) {
    widths.push_back(operand->channels());
  }
  return widths;
}

double GatedConvLm::State::context_bytes() const {
  double numbers = 0;
  for (const Index width : context_widths()) {
    numbers += static_cast<double>(map().sequences * map().context * width);
  }
  return numbers * sizeof(Real);
}

std::vector<Real> GatedConvLm::State::store_context(std::size_t operand) const {
  const kernels::Activations& from = *workspace_.operands()[operand];
  std::vector<Real> rows(static_cast<std::size_t>(map().tokens() * from.channels()));
  workspace_.backend().store(from, rows);
  std::vector<Real> last;
  each_end(map(), from.channels(), [&](std::size_t begin, std::size_t end) {
    last.insert(last.end(), rows.data() + begin, rows.data() + end);
  });
  return last;
}

GatedConvLm::State::Context GatedConvLm::State::store_context() const {
  Context context;
  for (std::size_t i = 0; i < workspace_.operands().size(); ++i) {
    context.push_back(store_context(i));
  }
  return context;
}

void GatedConvLm::State::load_context(const Context& context) {
  const auto& operands = workspace_.operands();
  if (context.size() != operands.size()) {
    throw Error(ExitCode::kInternal, "context: expected {} arrays, found {}", operands.size(),
                context.size());
  }
  for (std::size_t i = 0; i < operands.size(); ++i) {
    const Index channels = operands[i]->channels();
    const Index expected = map().sequences * map().context * channels;
    const auto found = static_cast<Index>(context[i].size());
    if (expected != found) {
      throw Error(ExitCode::kInternal, "context {}: expected {} numbers, found {}", i, expected,
                  found);
    }
    std::vector<Real> rows(static_cast<std::size_t>(map().tokens() * channels));
    auto from = context[i].begin();
    each_end(map(), channels, [&](std::size_t begin, std::size_t end) {
      std::copy_n(from, end - begin, rows.data() + begin);
      from += static_cast<std::ptrdiff_t>(end - begin);
    });
    workspace_.backend().load(*operands[i], rows);
  }
}

void GatedConvLm::forward_hidden(std::span<const int> inputs, State& state) const {
  if (static_cast<Index>(inputs.size()) != state.map().tokens()) {
    throw Error(ExitCode::kInternal, "batch: expected {} inputs, found {}", state.map().tokens(),
                inputs.size());
  }
  const auto bad = std::find_if(inputs.begin(), inputs.end(),
                                [&](int id) { return id < 0 || id >= vocabulary(); });
  if (bad != inputs.end()) {
    throw Error(ExitCode::kInternal, "batch: input {} (expected 0 to {})", *bad, vocabulary() - 1);
  }
  backend().embed(embedding_.weights(), state.embedded(inputs), state.first());
  if (input_projection_ != nullptr) {
    backend().conv_forward(*state.embedding_.dropped, input_projection_->weights(),
                           state.boundaries_.front());
  }
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    blocks_[i].forward(state.boundaries_[i], state.boundaries_[i + 1], state.caches_[i]);
  }
  if (output_norm_ != nullptr) output_norm_->forward(state.boundaries_.back(), state.normed_);
  if (output_projection_ != nullptr) {
    backend().conv_forward(*state.last().dropped, output_projection_->weights(), state.projected_);
  }
}

Loss GatedConvLm::forward_output(std::span<const int> targets, State& state) const {
  if (static_cast<Index>(targets.size()) != state.map().tokens()) {
    throw Error(ExitCode::kInternal, "batch: {} inputs, {} targets", state.map().tokens(),
                targets.size());
  }
  const auto beyond = std::find_if(targets.begin(), targets.end(),
                                   [&](int id) { return id < -1 || id >= vocabulary(); });
  if (beyond != targets.end()) {
    throw Error(ExitCode::kInternal, "batch: target {} (expected -1 to {})", *beyond,
                vocabulary() - 1);
  }
  output_.forward(*state.output_, targets, state.nats_, state.softmax_);
  Loss loss;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    loss.nats += state.nats_[i];
    loss.targets += targets[i] >= 0;
  }
  return loss;
}

Loss GatedConvLm::forward(std::span<const int> inputs, std::span<const int> targets,
                          State& state) const {
  forward_hidden(inputs, state);
  return forward_output(targets, state);
}

void GatedConvLm::backward(std::span<const int> inputs, State& state,
                           const BackwardObserver& observe) {
  if (const auto penalty = activation_penalty(config_); penalty.any()) {
    backend().penalise(*state.output_, state.softmax_.targets, penalty);
  }
  output_.backward(*state.output_, state.softmax_);
  if (output_projection_ != nullptr) {
    backend().conv_backward_weights(*state.last().dropped, *state.projected_.dz,
                                    output_projection_->weights());
    backend().conv_backward_data(*state.projected_.dz, output_projection_->weights(), state.last(),
                                 Into::kClose);
  }
  if (output_norm_ != nullptr) output_norm_->backward(state.normed_, state.boundaries_.back());
  for (std::size_t i = blocks_.size(); i-- > 0;) {
    nn::ResidualBlock::Observer layers;
    if (observe != nullptr) {
      layers = [&](std::size_t layer, const Junction& out) { observe(i, layer, out); };
    }
    blocks_[i].backward(state.boundaries_[i + 1], state.boundaries_[i], state.caches_[i], layers);
  }
  if (input_projection_ != nullptr) {
    const Junction& projected = state.boundaries_.front();
    backend().conv_backward_weights(*state.embedding_.dropped, *projected.dz,
                                    input_projection_->weights());
    backend().conv_backward_data(*projected.dz, input_projection_->weights(), state.embedding_,
                                 Into::kClose);
  }
  backend().embed_backward(*state.first().dz, state.embedded(inputs), embedding_.weights());
}

void GatedConvLm::log_probabilities(State& state, std::span<const Index> tokens,
                                    std::span<Real> out) const {
  output_.log_probabilities(*state.output_, tokens, out, state.softmax_);
}

void GatedConvLm::head_log_probabilities(State& state, std::span<const Index> tokens,
                                         std::span<Real> out) const {
  output_.head_log_probabilities(*state.output_, tokens, out);
}

void GatedConvLm::tail_log_probabilities(State& state, Index tail, std::span<const Index> tokens,
                                         std::span<Real> out) const {
  output_.tail_log_probabilities(*state.output_, tail, tokens, out, state.softmax_);
}

}  // namespace sluice::model
