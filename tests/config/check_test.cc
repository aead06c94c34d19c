#include "sluice/config/check.h"

#include <catch2/catch.hpp>
#include <string>

#include "sluice/config/config.h"
#include "tests/config/refusal.h"

namespace sluice::config {
namespace {

Config with_limit() {
  Config config;
  config.train.max_steps = 10;
  return config;
}

std::string refused(const Config& config) {
  return refusal(ExitCode::kUsage, [&] { check_config(config); });
}

TEST_CASE("check_config: one limit of three is needed, any will do", "[config]") {
  CHECK(refused(Config{}).find("train.max_epochs, train.max_steps, train.max_time") !=
        std::string::npos);
  CHECK_NOTHROW(check_config(with_limit()));
  Config config;
  config.train.max_epochs = 1;
  CHECK_NOTHROW(check_config(config));
  config.train.max_epochs.reset();
  config.train.max_time = Seconds{1};
  CHECK_NOTHROW(check_config(config));
}

TEST_CASE("check_config: a tokenizer that no text could make", "[config]") {
  Config config = with_limit();
  config.tokenizer.vocab_size = 299;
  CHECK(refused(config).starts_with("tokenizer.vocab_size: no room beside 256 bytes, </s>"));
  config.tokenizer.type = text::TokenizerType::kWord;
  CHECK_NOTHROW(check_config(config));
  config.data.invalid_utf8 = text::InvalidUtf8::kBytes;
  CHECK(refused(config).starts_with("data.invalid_utf8: tokenizer.type word has no tokens"));
  config.tokenizer.file = "some.model";  // is asked itself
  CHECK_NOTHROW(check_config(config));
}

TEST_CASE("check_config: context is of streams, and read or carried", "[config]") {
  Config config = with_limit();
  config.data.context_tokens = 7;
  CHECK_NOTHROW(check_config(config));
  config.data.carry_context = true;
  CHECK(refused(config).starts_with("data.context_tokens: windows that carry their context read"));
  config.data.context_tokens = 0;
  CHECK_NOTHROW(check_config(config));
  config.model.blocks = {{.layers = {{.kernel = 5, .channels = 8, .dilation = 3}}}};
  config.data.tokens_per_sample = 12;
  CHECK_NOTHROW(check_config(config));
  config.data.tokens_per_sample = 11;
  CHECK(refused(config).starts_with("data.tokens_per_sample: shorter than what a layer looks"));
  config.data.tokens_per_sample = 12;
  config.data.mode = text::Mode::kLines;
  CHECK(refused(config).starts_with("data.carry_context: lines stand for themselves (expected"));
  config.data.carry_context = false;
  CHECK_NOTHROW(check_config(config));
  config.data.context_tokens = 7;
  CHECK(refused(config).starts_with("data.context_tokens: lines stand for themselves (expected 0"));
}

TEST_CASE("check_config: betas are two", "[config]") {
  Config config = with_limit();
  config.optimizer.betas = {0.9};
  CHECK(refused(config).starts_with("optimizer.betas: wrong length (expected 2 numbers, found 1)"));
  config.optimizer.betas = {0.9, 0.9, 0.9};
  refused(config);
}

TEST_CASE("check_config: validation text is other text than training text", "[config]") {
  Config config = with_limit();
  config.data.train = {"a.txt", "b/c.txt"};
  config.data.valid = {"d.txt"};
  CHECK_NOTHROW(check_config(config));
  config.data.valid = {"d.txt", "./b/../b/c.txt"};
  CHECK(refused(config).starts_with("data.valid.1: the same file as data.train.1"));
}

TEST_CASE("check_config: an empty path is refused", "[config]") {
  Config config = with_limit();
  config.data.train = {"a", ""};
  CHECK(refused(config).starts_with("data.train.1: empty"));
  config = with_limit();
  config.data.cache_dir = "";
  CHECK(refused(config).starts_with("data.cache_dir: empty"));
}

TEST_CASE("check_config: the schedule ends below its start", "[config]") {
  Config config = with_limit();
  config.schedule.min_lr = config.optimizer.lr;
  CHECK_NOTHROW(check_config(config));
  config.schedule.min_lr = 1.5;
  CHECK(refused(config).starts_with("schedule.min_lr: above optimizer.lr"));
}

TEST_CASE("check_config: inverse_sqrt needs a warm-up", "[config]") {
  Config config = with_limit();
  config.schedule.type = optim::ScheduleType::kInverseSqrt;
  CHECK(refused(config).starts_with("schedule.warmup: inverse_sqrt falls"));
  config.schedule.warmup = 0.01;
  CHECK_NOTHROW(check_config(config));
}

TEST_CASE("check_config: steps needs milestones, rising and after the warm-up", "[config]") {
  Config config = with_limit();
  config.schedule.type = optim::ScheduleType::kSteps;
  CHECK(refused(config).starts_with("schedule.milestones: empty"));
  config.schedule.milestones = {0.2, 0.5};
  CHECK_NOTHROW(check_config(config));
  config.schedule.milestones = {0.2, 0.5, 0.5};
  CHECK(refused(config).starts_with(
      "schedule.milestones.2: not above the one before (expected above 0.5, found 0.5)"));
  config.schedule.milestones = {0.2, 0.5};
  config.schedule.warmup = 0.2;
  CHECK(refused(config).starts_with(
      "schedule.milestones.0: not above the warm-up (expected above 0.2, found 0.2)"));
  config.schedule.type = optim::ScheduleType::kConstant;  // which does not look at them
  CHECK_NOTHROW(check_config(config));
}

TEST_CASE("check_config: absurd sizes are refused before anything is allocated", "[config]") {
  Config config = with_limit();
  config.model.blocks = {{.layers = {{.kernel = 1024, .channels = 1 << 20}}, .repeat = 1000}};
  CHECK(refused(config).starts_with("model.blocks: too many parameters"));
  config.model.blocks.assign(100, {.layers = {{.kernel = 1, .channels = 1}}, .repeat = 10000});
  CHECK(refused(config).starts_with("model.blocks: too many layers"));
  config.model.blocks.assign(1, {.layers = {{.kernel = 5, .channels = 4096}}, .repeat = 100});
  CHECK_NOTHROW(check_config(config));
}

}  // namespace
}  // namespace sluice::config
