#include "sluice/train/train_state.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "sluice/base/error.h"

namespace sluice::train {
namespace {

// Whether a file without the field is damaged, or older than the field.
enum class Since { kFirst, kLater };

// The one list of fields, for both directions. Counts are integers, the rest doubles, which the
// library writes in the shortest form that reads back to the same bits; infinity has none and is
// left out.
template <class Self, class Visit>
void fields(Self& self, const Visit& visit) {
  visit("step", self.step, Since::kFirst);
  visit("updates", self.updates, Since::kFirst);
  visit("samples", self.samples, Since::kFirst);
  visit("bad_steps", self.bad_steps, Since::kFirst);
  visit("bad_in_a_row", self.bad_in_a_row, Since::kFirst);
  visit("elapsed_seconds", self.elapsed_seconds, Since::kFirst);
  visit("validated_step", self.validated_step, Since::kFirst);
  visit("best_loss", self.best_loss, Since::kFirst);
  visit("best_step", self.best_step, Since::kFirst);
  visit("plateau_best", self.plateau.best, Since::kLater);
  visit("plateau_stale", self.plateau.stale, Since::kLater);
  visit("plateau_waited", self.plateau.waited, Since::kLater);
  visit("lr_scale", self.plateau.lr_scale, Since::kLater);
  visit("baseline_due", self.baseline_due, Since::kLater);
  visit("interval_nats", self.interval_nats, Since::kFirst);
  visit("interval_targets", self.interval_targets, Since::kFirst);
  visit("last_lr", self.last_lr, Since::kFirst);
  visit("last_grad_norm", self.last_grad_norm, Since::kFirst);
}

// Far above what any run reaches, far below what overflows.
bool is_count(const nlohmann::json& value) {
  return value.is_number_unsigned() && value.get<std::uint64_t>() < std::uint64_t{1} << 62;
}

}  // namespace

std::string TrainState::to_json() const {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  fields(*this, [&](const char* name, const auto& value, Since) {
    if (std::isfinite(static_cast<double>(value))) json[name] = value;
  });
  return json.dump();
}

TrainState TrainState::from_json(const std::string& text, const std::string& source) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  const auto bad = [&](const std::string& what) {
    return Error(ExitCode::kBadData, "{}: training state: {}", source, what);
  };
  if (!json.is_object()) throw bad("not a JSON object");
  TrainState state;
  fields(state, [&]<class T>(const char* name, T& value, Since since) {
    const auto found = json.find(name);
    if (found == json.end()) {
      const bool required = since == Since::kFirst && std::isfinite(static_cast<double>(value));
      if (required) throw bad(std::string("no ") + name);
      return;
    }
    const bool fits = std::is_integral_v<T> ? is_count(*found) : found->is_number() && *found >= 0;
    if (!fits) throw bad(std::string("bad ") + name);
    value = found->template get<T>();
  });
  return state;
}

}  // namespace sluice::train
