#include "sluice/config/verify.h"

#include <catch2/catch.hpp>
#include <cstring>
#include <limits>

#include "sluice/config/open_model.h"
#include "tests/support/error_check.h"
#include "tests/support/tiny_run.h"

namespace sluice::config {
namespace {

using formats::SafetensorsReader;
using formats::SafetensorsWriter;
using formats::TensorInfo;
using testing::check_error;
using testing::read_text;
using testing::TinyRun;
using testing::write_text;

struct Fixture {
  Fixture() {
    run.prepare();
    const auto model = run.new_model();
    train::save_checkpoint(checkpoint, run.info, {}, *model);
    train::save_model(best, run.info, {}, *model);
  }

  struct Tensor {
    TensorInfo info;
    std::vector<std::byte> bytes;
  };
  // A copy of `path` with right checksums, whose tensors `change` may alter.
  std::string rewrite(const std::string& path,
                      const std::function<void(std::vector<Tensor>&)>& change) {
    const SafetensorsReader reader(path);
    std::vector<Tensor> tensors;
    for (const TensorInfo& info : reader.tensors())
      tensors.push_back({info, reader.read_all(info)});
    change(tensors);
    const std::string copy = run.folder / "copy";
    SafetensorsWriter writer(copy, reader.metadata());
    for (const Tensor& tensor : tensors) {
      writer.declare(tensor.info.name, tensor.info.dtype, tensor.info.shape);
    }
    writer.commit([&](const TensorInfo& info, const SafetensorsWriter::Write& write) {
      for (const Tensor& tensor : tensors) {
        if (tensor.info.name == info.name) write(tensor.bytes);
      }
    });
    return copy;
  }
  static Tensor& get(std::vector<Tensor>& tensors, std::string_view name) {
    for (Tensor& tensor : tensors) {
      if (tensor.info.name == name) return tensor;
    }
    throw std::runtime_error("no such tensor");
  }
  void refuses(const std::string& path, const std::vector<std::string>& words,
               const std::function<void(std::vector<Tensor>&)>& change) {
    check_error(ExitCode::kBadData, words, [&] { verify_file(rewrite(path, change)); });
  }

  TinyRun run;
  std::string checkpoint = run.folder / "checkpoint", best = run.folder / "best";
};

TEST_CASE("verify_file: what is whole, with its kind and size", "[config]") {
  Fixture it;
  CHECK(verify_file(it.best).kind == FileKind::kModel);
  CHECK(verify_file(it.best).bytes == read_text(it.best).size());
  CHECK(verify_file(it.checkpoint).kind == FileKind::kCheckpoint);
  for (const std::string& name : it.run.folder.names("cache")) {
    CHECK(verify_file(it.run.folder / ("cache/" + name)).kind == FileKind::kTokens);
  }
  const std::string tokenizer = it.run.folder.write("tokenizer", it.run.info.tokenizer);
  CHECK(verify_file(tokenizer).kind == FileKind::kTokenizer);
  CHECK(verify_file(it.run.folder.write("config", it.run.info.config)).kind == FileKind::kConfig);
  CHECK(verify_file(it.rewrite(it.checkpoint, [](auto&) {})).kind == FileKind::kCheckpoint);
}

TEST_CASE("verify_file: a flipped bit anywhere is found", "[config]") {
  Fixture it;
  const std::string bytes = read_text(it.best);
  for (std::size_t at = 0; at < bytes.size(); at += 97) {
    std::string damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ 4);
    const std::string path = it.run.folder.write("damaged", damaged);
    CAPTURE(at);
    check_error(ExitCode::kBadData, {"damaged"}, [&] { verify_file(path); });
  }
}

TEST_CASE("verify_file: weights that do not fit the config, checksums or not", "[config]") {
  Fixture it;
  const std::string bias = "blocks.1.layers.0.conv.bias";
  it.refuses(it.best, {bias}, [&](auto& tensors) {
    std::erase_if(tensors, [&](const auto& tensor) { return tensor.info.name == bias; });
  });
  it.refuses(it.best, {bias, "expected F32 [10], found F32 [10, 1]"}, [&](auto& tensors) {
    it.get(tensors, bias).info.shape = {10, 1};
  });
  it.refuses(it.best, {bias, "found I32 [10]"},
             [&](auto& tensors) { it.get(tensors, bias).info.dtype = formats::Dtype::kI32; });
  it.refuses(it.best, {"extra", "no part of the network"}, [&](auto& tensors) {
    tensors.push_back(it.get(tensors, bias));
    tensors.back().info.name = "extra";
  });
  const std::string state = "optimizer.0." + bias;
  it.refuses(it.checkpoint, {state, "[10, 1]"}, [&](auto& tensors) {
    it.get(tensors, state).info.shape = {10, 1};
  });
  it.refuses(it.checkpoint, {"optimizer.0.nothing"},
             [&](auto& tensors) { it.get(tensors, state).info.name = "optimizer.0.nothing"; });
  it.refuses(it.checkpoint, {state}, [&](auto& tensors) {
    std::erase_if(tensors, [&](const auto& tensor) { return tensor.info.name == state; });
  });
  for (const float bad :
       {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    it.refuses(it.checkpoint, {state, "element 7 is not finite"}, [&](auto& tensors) {
      std::memcpy(it.get(tensors, state).bytes.data() + 7 * sizeof bad, &bad, sizeof bad);
    });
  }
}

TEST_CASE("verify_file: the context of a run that carries it, and no other", "[config]") {
  Fixture it;
  it.run.config.data.carry_context = true;
  it.run.prepare();
  const auto model = it.run.new_model();
  const auto memory = model->state(2, 8, true);
  train::TrainState state;
  state.step = 3;
  train::save_checkpoint(it.checkpoint, it.run.info, state, *model, memory.get());
  CHECK(verify_file(it.checkpoint).kind == FileKind::kCheckpoint);
  const auto erase = [](auto& tensors) {
    std::erase_if(tensors, [](const auto& t) { return t.info.name.starts_with("context."); });
  };
  it.refuses(it.checkpoint, {"context to go on from (expected some, found 0 tensors)"}, erase);
  it.refuses(it.checkpoint, {"context.0", "expected [2, 1, 4], found [1, 2, 4]"},
             [&](auto& tensors) {
               it.get(tensors, "context.0").info.shape = {1, 2, 4};
             });
  // A skipped step leaves none, nor does a run without.
  state.bad_in_a_row = 1;
  train::save_checkpoint(it.checkpoint, it.run.info, state, *model);
  CHECK(verify_file(it.checkpoint).kind == FileKind::kCheckpoint);
  state.bad_in_a_row = 0;
  it.run.config.data.carry_context = false;
  it.run.prepare();
  train::save_checkpoint(it.checkpoint, it.run.info, state, *model, memory.get());
  check_error(ExitCode::kBadData, {"expected none, found"}, [&] { verify_file(it.checkpoint); });
}

TEST_CASE("verify_file: contexts of more operands than have one digit", "[config]") {
  Fixture it;
  it.run.config.data.carry_context = true;
  it.run.config.model.blocks = {{.layers = {{.kernel = 2, .channels = 5}}, .repeat = 11},
                                {.layers = {{.kernel = 2, .channels = 6}}, .repeat = 1}};
  it.run.prepare();
  const auto model = it.run.new_model();
  const auto memory = model->state(2, 8, true);
  train::TrainState state;
  state.step = 3;
  train::save_checkpoint(it.checkpoint, it.run.info, state, *model, memory.get());
  CHECK(verify_file(it.checkpoint).kind == FileKind::kCheckpoint);
}

TEST_CASE("verify_file: ids and line starts of a token file that are out of range", "[config]") {
  Fixture it;
  const std::string tokens = it.run.folder / ("cache/" + it.run.folder.names("cache").at(0));
  it.refuses(tokens, {"token 5: id outside the vocabulary"}, [&](auto& tensors) {
    std::memset(it.get(tensors, "ids").bytes.data() + 10, 0xff, 2);
  });
  it.refuses(tokens, {"line 2: wrong start"}, [&](auto& tensors) {
    std::memset(it.get(tensors, "line_starts").bytes.data() + 8, 0, 8);
  });
}

TEST_CASE("verify_file: what cannot be verified is refused and named", "[config]") {
  const testing::TempDir folder;
  const auto refuses = [&](const std::string& content, const std::vector<std::string>& words) {
    const std::string path = folder.write("file", content);
    check_error(ExitCode::kBadData, words, [&] { verify_file(path); });
  };
  refuses("text\n", {"nothing to verify", "found text"});
  refuses("", {"an empty file"});
  refuses("sluice tokenizer word 1\n", {"offset"});
  refuses("{\"modle\": {}}", {"modle", "did you mean"});
  refuses("{}", {"train: no limit"});
  check_error(ExitCode::kNoInput, {"missing"}, [&] { verify_file(folder / "missing"); });
}

TEST_CASE("files_to_verify: of a run its config, checkpoints from the oldest on, and the best",
          "[config]") {
  Fixture it;
  train::RunDirectory directory = train::RunDirectory::open_new(it.run.folder / "run", false);
  const auto model = it.run.new_model();
  for (const int step : {0, 5, 10}) {
    train::save_checkpoint(directory.checkpoint_path(step), it.run.info, {}, *model);
  }
  using Files = std::vector<std::string>;
  const Files checkpoints = {directory.checkpoint_path(0), directory.checkpoint_path(5),
                             directory.checkpoint_path(10)};
  CHECK(files_to_verify(directory.path()) == checkpoints);
  write_text(directory.config_path(), it.run.info.config);
  train::save_model(directory.best_path(), it.run.info, {}, *model);
  CHECK(files_to_verify(directory.path()) == Files{directory.config_path(), checkpoints[0],
                                                   checkpoints[1], checkpoints[2],
                                                   directory.best_path()});
  CHECK(files_to_verify("file") == Files{"file"});
  check_error(ExitCode::kNoInput, {"not a run"}, [&] { files_to_verify(it.run.folder.path()); });
}

}  // namespace
}  // namespace sluice::config
