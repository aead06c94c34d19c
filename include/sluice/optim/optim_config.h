#pragma once

#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include "sluice/base/fields.h"
#include "sluice/base/real.h"

namespace sluice {
namespace optim {

enum class OptimizerType { kNag, kAdamw };
enum class Decay { kMatrices, kAll };
enum class ScheduleType { kConstant, kCosine };

}  // namespace optim

template <>
inline constexpr auto enum_names<optim::OptimizerType> =
    std::array{std::pair{optim::OptimizerType::kNag, std::string_view("nag")},
               std::pair{optim::OptimizerType::kAdamw, std::string_view("adamw")}};
template <>
inline constexpr auto enum_names<optim::Decay> =
    std::array{std::pair{optim::Decay::kMatrices, std::string_view("matrices")},
               std::pair{optim::Decay::kAll, std::string_view("all")}};
template <>
inline constexpr auto enum_names<optim::ScheduleType> =
    std::array{std::pair{optim::ScheduleType::kConstant, std::string_view("constant")},
               std::pair{optim::ScheduleType::kCosine, std::string_view("cosine")}};

namespace optim {

// "optimizer" in the config.
struct OptimizerConfig {
  OptimizerType type = OptimizerType::kNag;
  double lr = 1.0;
  double momentum = 0.99;                    // nag
  std::vector<double> betas = {0.9, 0.999};  // adamw
  double eps = 1e-8;                         // adamw
  double weight_decay = 0.0;                 // decoupled: p <- p (1 - lr wd)
  Decay decay = Decay::kMatrices;
  double clip_norm = 0.1;  // 0: off

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    const Range rate{.min = 0, .max = 1, .below_max = true};
    visit("type", self.type, Range{}, "nag: Nesterov's momentum in PyTorch's form");
    visit("lr", self.lr, Range{.min = 0, .max = 1e6, .above_min = true}, "peak learning rate");
    visit("momentum", self.momentum, rate, "nag: mu");
    visit("betas", self.betas, rate, "adamw: decay of the two moments");
    visit("eps", self.eps, Range{.min = 1e-30, .max = 1}, "adamw: epsilon");
    visit("weight_decay", self.weight_decay, Range{.min = 0, .max = 1e3}, "decoupled decay");
    visit("decay", self.decay, Range{},
          "what decays: matrices (under weight norm their gains), or all parameters");
    visit("clip_norm", self.clip_norm, Range{.min = 0, .max = 1e12},
          "largest global L2 norm of the gradient per token; 0: no clipping");
  }
  bool operator==(const OptimizerConfig&) const = default;
};

// "schedule" in the config: the learning rate as a function of progress in [0, 1].
struct ScheduleConfig {
  ScheduleType type = ScheduleType::kConstant;
  double warmup = 0.0;  // part of the run over which lr rises linearly from 0
  double min_lr = 0.0;  // where cosine ends

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    visit("type", self.type, Range{}, "shape after the warm-up");
    visit("warmup", self.warmup, Range{.min = 0, .max = 1, .below_max = true},
          "part of the run over which lr rises linearly");
    visit("min_lr", self.min_lr, Range{.min = 0, .max = 1e6}, "cosine: lr at the end");
  }
  bool operator==(const ScheduleConfig&) const = default;
};

}  // namespace optim
}  // namespace sluice
