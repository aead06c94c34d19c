#include "sluice/config/config.h"

#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "sluice/base/file.h"
#include "tests/config/refusal.h"
#include "tests/support/source_dir.h"
#include "tests/support/temp_dir.h"

namespace sluice::config {
namespace {

namespace fs = std::filesystem;

std::string refused(const std::string& json) {
  return refusal(ExitCode::kUsage, [&] { parse_config(json, "c.json"); });
}

std::string set_refused(const std::string& assignment) {
  Config config;
  const std::string text = refusal(ExitCode::kUsage, [&] { set_config_key(config, assignment); });
  CHECK(config == Config{});  // a refused assignment changes nothing
  return text;
}

Config set(const std::string& assignment) {
  Config config;
  set_config_key(config, assignment);
  return config;
}

// Returns the path.
std::string write(const std::string& path, const std::string& text) {
  write_file_atomically(path, text);
  return path;
}

TEST_CASE("parse_config: absent keys keep their defaults, present ones are read", "[config]") {
  CHECK(parse_config("{}", "c") == Config{});
  const Config config = parse_config(
      R"({"data": {"train": "one.txt"}, "optimizer": {"lr": 2, "betas": [0.8, 0.99]},
          "model": {"blocks": [{"layers": [{"channels": 7}, {}]}], "gate": "glu"},
          "train": {"max_time": "90m", "max_steps": 4}})",
      "c");
  CHECK(config.data.train == std::vector<std::string>{"one.txt"});
  CHECK(config.optimizer.lr == 2.0);
  CHECK(config.optimizer.betas == std::vector<double>{0.8, 0.99});
  REQUIRE(config.model.blocks.size() == 1);
  REQUIRE(config.model.blocks[0].layers.size() == 2);
  CHECK(config.model.blocks[0].layers[0].channels == 7);
  CHECK(config.model.blocks[0].layers[0].kernel == 4);
  CHECK(config.model.blocks[0].repeat == 1);
  CHECK(config.train.max_time == Seconds{5400});
  CHECK(config.train.max_steps == 4);
}

TEST_CASE("parse_config: an unknown key names its line, its path and the nearest key", "[config]") {
  CHECK(refused("{\n\"model\": {\n\"droput\": {}}}") ==
        "c.json: line 3: model.droput: unknown key (expected one of embedding_dim, "
        "input_projection, blocks, gate, norm, residual_scale, dropout, activation_l2, "
        "activation_change_l2, output, found \"droput\"); did you mean \"dropout\"?");
  CHECK(refused(R"({"Model": {}})").ends_with("did you mean \"model\"?"));
  CHECK(refused(R"({"seed": 1})").ends_with("did you mean \"train.seed\"?"));
  CHECK(refused(R"({"model": {"blocks": [{"layers": [{"kernal": 3}]}]}})")
            .starts_with("c.json: line 1: model.blocks.0.layers.0.kernal: unknown key"));
  CHECK(refused(R"({"optimizer": {"type": "adamww"}})").ends_with("did you mean \"adamw\"?"));
}

// The list of inputs 5.2 that the text of a config decides; files are in the next test, and ranks
// and outputs are checked where they are known.
TEST_CASE("parse_config: hostile texts are refused with the key path", "[config]") {
  struct Case {
    const char *json, *said;
  };
  const std::vector<Case> cases = {
      {"", "empty"},
      {"\xef\xbb\xbf{}", "byte order mark"},
      {R"({"train": {"seed": 1},})", "a comma before it is not allowed"},
      {R"({"optimizer": {"lr": NaN}})", "optimizer.lr: not JSON"},
      {R"({"optimizer": {"lr": 1e400}})", "optimizer.lr: number too large"},
      {R"({"train": {"seed": 1e3}})", "train.seed: wrong type"},
      {R"({"train": {"seed": 2.9}})", "train.seed: wrong type (expected an integer from 0"},
      {R"({"data": {"batch_size": -1}})", "data.batch_size: out of range"},
      {R"({"data": {"batch_size": 0}})",
       "data.batch_size: out of range (expected an integer from 1 to 1048576, found 0)"},
      {R"({"data": {"batch_size": 2147483648}})", "found 2147483648"},
      {R"({"data": {"batch_size": 9223372036854775808}})", "out of range"},
      {R"({"data": {"batch_size": 4294967297}})", "out of range"},
      {R"({"data": {"batch_size": true}})", "data.batch_size: wrong type"},
      {R"({"optimizer": {"lr": "0.1"}})", "found \"0.1\""},
      {R"({"optimizer": {"lr": null}})", "optimizer.lr: wrong type"},
      {R"({"train": {"seed": 1, "seed": 1}})", "train.seed: duplicate key"},
      {R"({"train": {"sede": 1}})", "train.sede: unknown key"},
      {R"({"train": {"Seed": 1}})", "did you mean \"seed\""},
      {R"({"train": {"seed": 1}} true)", "expected end of input"},
      {R"({"model": {"blocks": []}})",
       "model.blocks: out of range (expected an array of 1 or more objects, found an empty array)"},
      {R"({"model": {"blocks": [{"layers": []}]}})", "model.blocks.0.layers: out of range"},
      {R"({"optimizer": {"lr": -0.5}})", "optimizer.lr: out of range (expected a number above 0"},
      {R"({"model": {"dropout": {"layer": 1.0}}})",
       "model.dropout.layer: out of range (expected a number of at least 0 and below 1, found "
       "1.0)"},
      {"{\"data\": {\"train\": \"a\xff\"}}", "data.train: not JSON"},
      {R"({"data": {"cache_dir": "a\u0000b"}})", "data.cache_dir: a string must not contain NUL"},
      {R"({"tokenizer": {"vocab_size": 1}})",
       "tokenizer.vocab_size: out of range (expected an integer from 2 to 268435456, or \"auto\""},
      {R"({"optimizer": {"betas": [0.9, 1]}})", "optimizer.betas.1: out of range"},
      {R"({"train": {"max_steps": "auto"}})", "train.max_steps: wrong type"},
      {R"({"train": {"precision": "bf61"}})",
       "train.precision: unknown name (expected one of f32, bf16, bf16x3, or \"auto\", found "
       "\"bf61\"); did you mean \"bf16\"?"},
      {R"({"train": {"precision": 16}})", "train.precision: wrong type"},
      {R"({"train": {"max_time": "1d"}})", "train.max_time: wrong type"},
      {"null", "expected an object, found null"},
      {"[]", "expected an object, found an empty array"},
  };
  for (const Case& c : cases) {
    const std::string text = refused(c.json);
    INFO(c.json << "\n" << text);
    CHECK(text.find(c.said) != std::string::npos);
  }
  CHECK_NOTHROW(parse_config("// comments\n{/* are */} // fine\n", "c"));
}

TEST_CASE("load_config: files that cannot be read are kNoInput, and never hang", "[config]") {
  const testing::TempDir directory;
  const auto unreadable = [](const std::string& path) {
    const std::string text = refusal(ExitCode::kNoInput, [&] { load_config(path); });
    CHECK(text.starts_with(path + ": "));
  };
  unreadable(directory / "missing.json");
  fs::create_directory(directory / "folder.json");
  unreadable(directory / "folder.json");
  REQUIRE(mkfifo((directory / "fifo.json").c_str(), 0600) == 0);
  unreadable(directory / "fifo.json");
  if (geteuid() != 0) {  // root may read everything
    const std::string path = write(directory / "secret.json", "{}");
    fs::permissions(path, fs::perms::none);
    unreadable(path);
  }
}

TEST_CASE("load_config: a file is read by its path, and 2 MB are too much", "[config]") {
  const testing::TempDir directory;
  CHECK(load_config(write(directory / "a.json", R"({"train": {"seed": 5}})")).train.seed == 5);
  const std::string big = write(directory / "big.json", "{" + std::string(2 << 20, ' ') + "}");
  refusal(ExitCode::kUsage, [&] { load_config(big); });
}

TEST_CASE("load_config: presets are found by name, misspelt ones by likeness", "[config]") {
  CHECK(load_config("shakespeare-quick").tokenizer.type == text::TokenizerType::kChar);
  const std::string text = refusal(ExitCode::kUsage, [] { load_config("shakespear-quick"); });
  CHECK(text.starts_with("unknown preset (expected one of "));
  CHECK(text.ends_with("did you mean \"shakespeare-quick\"?"));
  CHECK(load_config("bench/small").tokenizer.vocab_size == 10000);
  const std::string folder = refusal(ExitCode::kNoInput, [] { load_config("bench/smal"); });
  CHECK(folder.starts_with("bench/smal: "));
  CHECK(folder.ends_with("did you mean \"bench/small\"?"));
  const std::string part = refusal(ExitCode::kUsage, [] { load_config("small"); });
  CHECK(part.ends_with("did you mean \"bench/small\"?"));
  const std::string other = refusal(ExitCode::kUsage, [] { load_config("zzzzz"); });
  CHECK(other.ends_with("found \"zzzzz\")"));
  refusal(ExitCode::kNoInput, [] { load_config("./bench/small"); });
}

TEST_CASE("presets: every config of configs/ is compiled in, byte for byte, and sound",
          "[config]") {
  const std::string configs = testing::source_dir() + "/configs";
  std::size_t files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(configs)) {
    if (entry.path().extension() != ".json") continue;
    // Experiments (scripts/sweep.py), which are no configs.
    if (entry.path().string().starts_with(configs + "/sweeps/")) continue;
    ++files;
    INFO(entry.path());
    std::ifstream in(entry.path());
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    const std::string name = fs::relative(entry.path(), configs).replace_extension().string();
    bool found = false;
    for (const Preset& preset : presets()) {
      if (preset.name != name) continue;
      found = true;
      CHECK(preset.text == text);
      CHECK_FALSE(preset_summary(preset).empty());
      CHECK(text.starts_with("// " + preset_summary(preset) + "\n"));
    }
    CHECK(found);
    const Config config = load_config(entry.path());
    CHECK(load_config(name) == config);
    CHECK_NOTHROW(check_config(config));
    CHECK(parse_config(to_json(config), name) == config);
  }
  CHECK(presets().size() == files);
  CHECK(preset_summary({"x", "{}"}).empty());
}

TEST_CASE("set_config_key: reaches every kind of key", "[config]") {
  CHECK(set("train.seed=7").train.seed == 7);
  CHECK(set("tokenizer.type=word").tokenizer.type == text::TokenizerType::kWord);
  CHECK(set("tokenizer.type=\"word\"").tokenizer.type == text::TokenizerType::kWord);
  CHECK(set("model.blocks.0.repeat=4").model.blocks[0].repeat == 4);
  CHECK(set("model.blocks.0.layers.0.kernel=3").model.blocks[0].layers[0].kernel == 3);
  CHECK(set("optimizer.betas.1=0.95").optimizer.betas == std::vector<double>{0.9, 0.95});
  CHECK(set("optimizer.betas=[0.5, 0.6]").optimizer.betas == std::vector<double>{0.5, 0.6});
  CHECK(set("train.max_time=2h").train.max_time == Seconds{7200});
  CHECK(set("train.max_time=0.5").train.max_time == Seconds{0.5});
  CHECK(set("tokenizer.vocab_size=auto").tokenizer.vocab_size == std::nullopt);
  CHECK(set("train.precision=bf16").train.precision == kernels::Precision::kBf16);
  CHECK(set("train.precision=bf16x3").train.precision == kernels::Precision::kBf16x3);
  CHECK(set("train.precision=auto").train.precision == std::nullopt);
  CHECK(set("data.train=a/b c.txt").data.train == std::vector<std::string>{"a/b c.txt"});
  CHECK(set("data.train=[\"a\", \"b\"]").data.train == std::vector<std::string>{"a", "b"});
  CHECK(set("data.cache_dir=x=y").data.cache_dir == "x=y");
  CHECK(set("data.cache_dir=").data.cache_dir == "");
  CHECK(set("data.cache_dir=//host/x").data.cache_dir == "//host/x");
}

TEST_CASE("set_config_key: an object changes only the keys that it names", "[config]") {
  const Config config = set(R"(model.dropout={"layer": 0.5})");
  CHECK(config.model.dropout.layer == 0.5);
  CHECK(config.model.dropout.embedding == model::DropoutConfig{}.embedding);
  CHECK(differing_keys(config, Config{}) == std::vector<std::string>{"model.dropout.layer"});
}

TEST_CASE("set_config_key: mistakes name the path and change nothing", "[config]") {
  CHECK(set_refused("model.blokcs.0.repeat=4").ends_with("did you mean \"blocks\"?"));
  CHECK(set_refused("model.blocks.1.repeat=4")
            .starts_with("--set: model.blocks.1: index out of range (expected an integer from 0 to "
                         "0, found \"1\")"));
  CHECK(set_refused("model.blocks.-1.repeat=4").find("index out of range") != std::string::npos);
  CHECK(set_refused("data.train.0=x").find("the list is empty") != std::string::npos);
  CHECK(set_refused("model.blocks.0.repeat=0")
            .starts_with("--set: model.blocks.0.repeat: out of range"));
  CHECK(set_refused("train.seed=1.5").starts_with("--set: train.seed: wrong type"));
  CHECK(set_refused("train.seed=").find("found \"\"") != std::string::npos);
  CHECK(set_refused("train.seed=0x10").find("found \"0x10\"") != std::string::npos);
  CHECK(set_refused("train.seed.x=1").find("no keys of its own") != std::string::npos);
  CHECK(set_refused("train.=1").find("unknown key") != std::string::npos);
  CHECK(set_refused(".train=1").find("unknown key") != std::string::npos);
  CHECK(set_refused("train.seed.=1").find("no keys of its own") != std::string::npos);
  CHECK(set_refused("train.seed").find("expected KEY=VALUE") != std::string::npos);
  CHECK(set_refused("=1").find("expected KEY=VALUE") != std::string::npos);
  CHECK(set_refused("").find("expected KEY=VALUE") != std::string::npos);
  CHECK(set_refused("data.train=[\"a\",]").starts_with("--set: data.train.1: not JSON"));
  CHECK(set_refused("data.cache_dir=a\xff").find("not UTF-8") != std::string::npos);
  CHECK(set_refused(R"(model={"dropout": {"x": 1}})").starts_with("--set: model.dropout.x: "));
  set_refused("train.seed=" + std::string(2 << 20, '7'));
  std::string long_key(1 << 20, 'a');
  long_key += "=1";
  set_refused(long_key);
}

TEST_CASE("differing_keys: names leaves, and whole lists of another length", "[config]") {
  Config a, b;
  CHECK(differing_keys(a, b).empty());
  b.train.max_steps = 3;
  b.model.blocks[0].layers[0].channels = 1;
  b.data.train = {"x"};
  CHECK(differing_keys(a, b) == std::vector<std::string>{"data.train",
                                                         "model.blocks.0.layers.0.channels",
                                                         "train.max_steps"});
  b = a;
  b.model.blocks.push_back({});
  CHECK(differing_keys(a, b) == std::vector<std::string>{"model.blocks"});
}

TEST_CASE("to_json: numbers and times are written as people write them", "[config]") {
  Config config;
  config.optimizer.lr = 0.1;
  config.train.max_time = Seconds{5400};
  const std::string json = to_json(config);
  CHECK(json.find("\"lr\": 0.1,") != std::string::npos);
  CHECK(json.find("\"max_time\": \"90m\"") != std::string::npos);
  CHECK(json.find("\"vocab_size\": \"auto\"") != std::string::npos);
  CHECK(json.find("\"betas\": [0.9, 0.999],") != std::string::npos);
  config.data.train = {"a\xff"};
  CHECK(refusal(ExitCode::kUsage, [&] { to_json(config); }).find("not UTF-8") != std::string::npos);
}

TEST_CASE("value_of_key: the JSON of a key on one line, cut when it is long", "[config]") {
  Config config;
  CHECK(value_of_key(config, "model.gate") == "\"glu\"");
  CHECK(value_of_key(config, "optimizer.betas") == "[0.9, 0.999]");
  CHECK(value_of_key(config, "model.output.cutoffs") == "\"auto\"");
  CHECK(value_of_key(config, "train.precision") == "\"auto\"");
  config.train.precision = kernels::Precision::kF32;
  CHECK(value_of_key(config, "train.precision") == "\"f32\"");
  CHECK(value_of_key(config, "model.blocks.0.layers.0.kernel") == "4");
  config.model.blocks.resize(3);
  const std::string blocks = value_of_key(config, "model.blocks");
  CHECK(blocks.starts_with("[ { \"layers\": [ {\"kernel\": 4, "));
  CHECK(blocks.size() < 90);
  CHECK(blocks.ends_with("..."));
}

}  // namespace
}  // namespace sluice::config
