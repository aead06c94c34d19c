#pragma once

#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include "sluice/base/fields.h"
#include "sluice/base/real.h"

namespace sluice {
namespace optim {

enum class OptimizerType { kSgd, kNag, kAdam, kAdamw };
enum class Decay { kMatrices, kAll };
enum class ScheduleType { kConstant, kLinear, kCosine, kInverseSqrt, kSteps, kPlateau };

}  // namespace optim

template <>
inline constexpr auto enum_names<optim::OptimizerType> =
    std::array{std::pair{optim::OptimizerType::kSgd, std::string_view("sgd")},
               std::pair{optim::OptimizerType::kNag, std::string_view("nag")},
               std::pair{optim::OptimizerType::kAdam, std::string_view("adam")},
               std::pair{optim::OptimizerType::kAdamw, std::string_view("adamw")}};
template <>
inline constexpr auto enum_names<optim::Decay> =
    std::array{std::pair{optim::Decay::kMatrices, std::string_view("matrices")},
               std::pair{optim::Decay::kAll, std::string_view("all")}};
template <>
inline constexpr auto enum_names<optim::ScheduleType> =
    std::array{std::pair{optim::ScheduleType::kConstant, std::string_view("constant")},
               std::pair{optim::ScheduleType::kLinear, std::string_view("linear")},
               std::pair{optim::ScheduleType::kCosine, std::string_view("cosine")},
               std::pair{optim::ScheduleType::kInverseSqrt, std::string_view("inverse_sqrt")},
               std::pair{optim::ScheduleType::kSteps, std::string_view("steps")},
               std::pair{optim::ScheduleType::kPlateau, std::string_view("plateau")}};

namespace optim {

// "optimizer" in the config.
struct OptimizerConfig {
  OptimizerType type = OptimizerType::kNag;
  double lr = 1.0;
  double momentum = 0.99;                    // sgd, nag
  std::vector<double> betas = {0.9, 0.999};  // adam, adamw
  double eps = 1e-8;                         // adam, adamw
  double weight_decay = 0.0;                 // decoupled, p <- p (1 - lr wd); adam: g <- g + wd p
  Decay decay = Decay::kMatrices;
  double clip_norm = 0.1;  // 0: off

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    const Range rate{.min = 0, .max = 1, .below_max = true};
    visit("type", self.type, Range{},
          "sgd with momentum, nag: Nesterov's momentum, adam, adamw; all in PyTorch's form");
    visit("lr", self.lr, Range{.min = 0, .max = 1e6, .above_min = true}, "peak learning rate");
    visit("momentum", self.momentum, rate, "sgd, nag: mu");
    visit("betas", self.betas, rate, "adam, adamw: decay of the two moments");
    visit("eps", self.eps, Range{.min = 1e-30, .max = 1}, "adam, adamw: epsilon");
    visit("weight_decay", self.weight_decay, Range{.min = 0, .max = 1e3},
          "decoupled from the gradient; adam: L2, added to it");
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
  double min_lr = 0.0;  // where linear and cosine end; the others never fall below it
  double factor = 0.5;  // steps, plateau: lr is multiplied by it
  Index patience = 3;   // plateau: validations without improvement that it bears
  std::vector<double> milestones = {};  // steps: parts of the run

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    visit("type", self.type, Range{}, "shape after the warm-up");
    visit("warmup", self.warmup, Range{.min = 0, .max = 1, .below_max = true},
          "part of the run over which lr rises linearly");
    visit("min_lr", self.min_lr, Range{.min = 0, .max = 1e6},
          "lr at the end of linear and cosine, the least lr of the others");
    visit("factor", self.factor, Range{.min = 0, .max = 1, .above_min = true, .below_max = true},
          "steps, plateau: what lr is multiplied by");
    visit("patience", self.patience, Range{.min = 0, .max = 1e6},
          "plateau: validations in a row without improvement after which the next lowers lr");
    visit("milestones", self.milestones,
          Range{.min = 0, .max = 1, .above_min = true, .below_max = true},
          "steps: parts of the run after which lr falls");
  }
  bool operator==(const ScheduleConfig&) const = default;
};

}  // namespace optim
}  // namespace sluice
