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
      Command{"info", "what a model, run, token file, tokenizer or config holds",
              "sluice info --config gcnn-14", set_up_info},
      Command{"data build", "encodes the text of a run, and tells what each file gave",
              "sluice data build shakespeare-quick", set_up_data_build},
      Command{"data info", "what texts hold: bytes, characters, lines, words",
              "sluice data info data/shakespeare/*.txt", set_up_data_info},
      Command{"verify", "whether files of Sluice are whole, by checksums and content",
              "sluice verify runs/shakespeare", set_up_verify},
      Command{"tokenizer train", "makes a tokenizer from text",
              "sluice tokenizer train data/shakespeare/train.txt --out words.tok --type word",
              set_up_tokenizer_train},
      Command{"tokenizer encode", "text to tokens, line by line",
              "sluice tokenizer encode runs/shakespeare data/shakespeare/valid.txt --pieces",
              set_up_tokenizer_encode},
      Command{"tokenizer decode", "token ids back to text, line by line",
              "sluice tokenizer encode words.tok my.txt | sluice tokenizer decode words.tok",
              set_up_tokenizer_decode},
      Command{"tokenizer info", "what a tokenizer is and knows",
              "sluice tokenizer info runs/shakespeare --list", set_up_tokenizer_info},
      Command{"bench", "how fast a network trains, evaluates and writes here",
              "sluice bench bench/small --seconds 20", set_up_bench},
      Command{"config check", "reads a config and says what is wrong with it",
              "sluice config check my.json --set train.max_steps=100", set_up_config_check},
      Command{"config dump", "prints the whole config that a run would use",
              "sluice config dump shakespeare-quick --set optimizer.lr=0.002 > my.json",
              set_up_config_dump},
      Command{"config list", "names the presets", "sluice config list", set_up_config_list},
      Command{"config schema", "the JSON Schema of configs, for editors",
              "sluice config schema > sluice.schema.json", set_up_config_schema},
  };
  return kCommands;
}

}  // namespace sluice::cli
