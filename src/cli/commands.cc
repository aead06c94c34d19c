#include "src/cli/commands.h"

#include <array>

namespace sluice::cli {

std::span<const Command> commands() {
  static constexpr std::array kCommands = {
      Command{"train", "text in, a trained model out",
              "sluice train shakespeare-quick --out runs/shakespeare", set_up_train},
      Command{"eval", "perplexity of a model on text, exactly",
              "sluice eval runs/shakespeare data/shakespeare/valid.txt", set_up_eval},
      Command{"generate", "text that a model writes",
              "sluice generate runs/shakespeare --prompt ROMEO: -n 300", set_up_generate},
      Command{"average", "one model from the mean of the weights of several",
              "sluice average runs/shakespeare --out average.safetensors", set_up_average},
      Command{"info", "what a model, run, token file or config holds",
              "sluice info --config gcnn-14", set_up_info},
      Command{"data build", "encodes the text of a run, and tells what each file gave",
              "sluice data build shakespeare-quick", set_up_data_build},
      Command{"data info", "what texts hold: bytes, characters, lines, words",
              "sluice data info data/shakespeare/*.txt", set_up_data_info},
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
