#include "src/cli/sample_printer.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <nlohmann/json.hpp>

namespace sluice::cli {

void SamplePrinter::begin_text(Index number) {
  if (begun_) return;
  begun_ = true;
  if (options_.marked) {
    out_.write(fmt::format("--- prompt {} sample {} ---\n", number / options_.samples + 1,
                           number % options_.samples + 1));
  }
  if (options_.echo) out_.write(prompt_of(number));
}

void SamplePrinter::show_piece(Index number, std::string_view piece) {
  if (options_.json || options_.marked || piece.empty()) return;
  begin_text(number);
  streamed_ = true;
  out_.write(piece);
  out_.flush();
}

void SamplePrinter::show_sample(Index number, const eval::Sample& sample) {
  if (options_.json) {
    out_.write(to_json(number, sample));
  } else {
    begin_text(number);
    if (!streamed_) out_.write(sample.text);
  }
  out_.write("\n");
  out_.flush();
  begun_ = streamed_ = false;
  spdlog::debug("seed {}; {} tokens in {:.2f} s", sample.seed, sample.tokens, sample.seconds);
}

std::string SamplePrinter::to_json(Index number, const eval::Sample& sample) const {
  const std::string& prompt = prompt_of(number);
  nlohmann::ordered_json object = {{"prompt", prompt},
                                   {"text", options_.echo ? prompt + sample.text : sample.text},
                                   {"tokens", sample.tokens},
                                   {"logprob_nats", sample.logprob_nats},
                                   {"finish_reason", name_of(sample.finish)},
                                   {"seed", sample.seed},
                                   {"seconds", sample.seconds}};
  if (!options_.seeded) object["seed"] = nullptr;
  return object.dump();
}

}  // namespace sluice::cli
