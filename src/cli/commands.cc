#include "src/cli/commands.h"

#include <array>

namespace sluice::cli {

std::span<const Command> commands() {
  static constexpr std::array kCommands = {
      Command{"config check", "reads a config and says what is wrong with it",
              "sluice config check my.json --set train.max_steps=100", set_up_config_check},
      Command{"config dump", "prints the whole config that a run would use",
              "sluice config dump shakespeare-quick --set optimizer.lr=0.002 > my.json",
              set_up_config_dump},
      Command{"config list", "names the presets", "sluice config list", set_up_config_list},
  };
  return kCommands;
}

}  // namespace sluice::cli
