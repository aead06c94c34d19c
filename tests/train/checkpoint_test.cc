#include "sluice/train/checkpoint.h"

#include <catch2/catch.hpp>
#include <cstring>
#include <limits>
#include <map>

#include "tests/support/error_check.h"
#include "tests/support/tiny_model.h"
#include "tests/support/tiny_run.h"

namespace sluice::train {
namespace {

using formats::Dtype;
using kernels::Array;
using testing::check_error;
using testing::read_all;
using testing::TinyRun;

// Tensors of a file, to be changed and written back with checksums that fit.
struct Parts {
  struct Tensor {
    Dtype dtype;
    std::vector<std::uint64_t> shape;
    std::vector<std::byte> bytes;
  };

  explicit Parts(const std::string& path) {
    const formats::SafetensorsReader reader(path);
    metadata = reader.metadata();
    for (const formats::TensorInfo& tensor : reader.tensors()) {
      tensors[tensor.name] = {tensor.dtype, tensor.shape, reader.read_all(tensor)};
    }
  }
  void write(const std::string& path) const {
    formats::SafetensorsWriter writer(path, metadata);
    for (const auto& [name, tensor] : tensors) writer.declare(name, tensor.dtype, tensor.shape);
    writer.commit([&](const formats::TensorInfo& info, const auto& out) {
      out(tensors.at(info.name).bytes);
    });
  }

  formats::Metadata metadata;
  std::map<std::string, Tensor> tensors;
};

TrainState some_state() {
  TrainState state;
  state.step = 7;
  state.samples = 14;
  state.best_loss = 1.0 / 3;
  return state;
}

struct Trained {
  explicit Trained(optim::OptimizerType type) {
    run.config.optimizer.type = type;
    run.prepare();
    model = run.new_model();
    for (const Array array : {Array::kState0, Array::kState1}) {
      if (array == Array::kState1 && !model->parameters().arrays().has(array)) continue;
      std::uint64_t seed = 1;
      for (nn::Parameter& parameter : model->parameters().parameters()) {
        const auto size = static_cast<std::size_t>(parameter.elements());
        model->parameters().write(parameter, array, testing::normal_values(size, ++seed, 1));
      }
    }
    testing::stir_parameters(model->parameters(), 3);
    path = run.folder / "file.safetensors";
  }
  // Loads what `change` makes of a checkpoint into a model for training.
  void load_changed(const std::function<void(Parts&)>& change) {
    save_checkpoint(path, run.info, some_state(), *model);
    Parts parts(path);
    change(parts);
    parts.write(path);
    ModelFile(path).load(*run.new_model(9), true);
  }

  TinyRun run;
  std::unique_ptr<model::GatedConvLm> model;
  std::string path;
};

TEST_CASE("Checkpoint: weights and optimiser states come back bit for bit", "[train]") {
  for (const auto type : {optim::OptimizerType::kNag, optim::OptimizerType::kAdamw}) {
    Trained trained(type);
    save_checkpoint(trained.path, trained.run.info, some_state(), *trained.model);
    const ModelFile file(trained.path);
    CHECK(file.is_checkpoint());
    CHECK(file.state() == some_state());
    CHECK(file.info().config == trained.run.info.config);
    CHECK(file.info().tokenizer == trained.run.info.tokenizer);
    CHECK(file.info().permutation == trained.run.info.permutation);
    CHECK(file.info().data_hash == trained.run.info.data_hash);
    CHECK(file.info().tokenizer_hash == trained.run.info.tokenizer_hash);
    const auto other = trained.run.new_model(9);
    file.load(*other, true);
    for (int array = 0; array < kernels::kArrays; ++array) {
      if (!other->parameters().arrays().has(static_cast<Array>(array))) continue;
      if (static_cast<Array>(array) == Array::kGradient) continue;
      CAPTURE(array);
      CHECK(read_all(other->parameters(), static_cast<Array>(array)) ==
            read_all(trained.model->parameters(), static_cast<Array>(array)));
    }
  }
}

TEST_CASE("Checkpoint: remembers the precision of its run; older files are of f32", "[train]") {
  Trained trained(optim::OptimizerType::kNag);
  for (const auto precision : {kernels::Precision::kF32, kernels::Precision::kBf16x3}) {
    trained.run.info.precision = precision;
    save_model(trained.path, trained.run.info, some_state(), *trained.model);
    CHECK(ModelFile(trained.path).info().precision == precision);
  }
  Parts parts(trained.path);
  CHECK(parts.metadata.at("sluice.format") == "1");
  CHECK(parts.metadata.erase("sluice.precision") == 1);
  parts.write(trained.path);
  CHECK(ModelFile(trained.path).info().precision == kernels::Precision::kF32);
  parts.metadata["sluice.precision"] = "bf12";
  parts.write(trained.path);
  check_error(ExitCode::kBadData, {"sluice.precision", "\"bf12\"", "newer Sluice?"},
              [&] { ModelFile{trained.path}; });
}

TEST_CASE("Checkpoint: a model file holds no states, and equal content gives equal bytes",
          "[train]") {
  Trained trained(optim::OptimizerType::kNag);
  save_model(trained.path, trained.run.info, some_state(), *trained.model);
  const ModelFile file(trained.path);
  CHECK_FALSE(file.is_checkpoint());
  for (const auto& tensor : file.tensors().tensors()) {
    CHECK_FALSE(tensor.name.starts_with("optimizer."));
  }
  const auto other = trained.run.new_model(9);
  file.load(*other, false);
  CHECK(read_all(other->parameters(), Array::kValue) ==
        read_all(trained.model->parameters(), Array::kValue));
  save_model(trained.run.folder / "again", trained.run.info, some_state(), *other);
  CHECK(testing::read_text(trained.run.folder / "again") == testing::read_text(trained.path));
  CHECK(ModelFile(trained.run.folder / "again").hash() == file.hash());
  testing::set_element(other->parameters(), "output.bias", 0, 5);
  save_model(trained.run.folder / "again", trained.run.info, some_state(), *other);
  CHECK(ModelFile(trained.run.folder / "again").hash() != file.hash());
  // Without states it is no start for training.
  check_error(ExitCode::kBadData, {"optimizer.0."}, [&] { file.load(*other, true); });
}

TEST_CASE("Checkpoint: the states do not hinder those who want the weights", "[train]") {
  Trained trained(optim::OptimizerType::kAdamw);
  save_checkpoint(trained.path, trained.run.info, some_state(), *trained.model);
  const auto other = trained.run.new_model(9);
  ModelFile(trained.path).load(*other, false);
  CHECK(read_all(other->parameters(), Array::kValue) ==
        read_all(trained.model->parameters(), Array::kValue));
}

TEST_CASE("Checkpoint: tensors that do not fit the model are refused by name", "[train]") {
  Trained trained(optim::OptimizerType::kNag);
  const auto refuses = [&](const std::vector<std::string>& words,
                           const std::function<void(Parts&)>& change) {
    std::vector<std::string> expected = words;
    expected.push_back(trained.path);
    check_error(ExitCode::kBadData, expected, [&] { trained.load_changed(change); });
  };
  CHECK_NOTHROW(trained.load_changed([](Parts&) {}));
  refuses({"output.bias"}, [](Parts& parts) { parts.tensors.erase("output.bias"); });
  refuses({"optimizer.0.output.bias"},
          [](Parts& parts) { parts.tensors.erase("optimizer.0.output.bias"); });
  refuses({"number of tensors"},
          [](Parts& parts) { parts.tensors["another"] = parts.tensors["output.bias"]; });
  refuses({"number of tensors"}, [](Parts& parts) {
    parts.tensors["optimizer.1.output.bias"] = parts.tensors["output.bias"];
  });
  refuses({"output.bias", "wrong shape"}, [](Parts& parts) {
    parts.tensors["output.bias"].shape.insert(parts.tensors["output.bias"].shape.begin(), 1);
  });
  refuses({"output.bias", "wrong type"},
          [](Parts& parts) { parts.tensors["output.bias"].dtype = Dtype::kI32; });
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    for (const std::string name : {"output.bias", "optimizer.0.embedding.weight"}) {
      refuses({name, "element 2 is not finite"}, [&](Parts& parts) {
        std::memcpy(parts.tensors[name].bytes.data() + 8, &bad, sizeof bad);
      });
    }
  }
}

TEST_CASE("Checkpoint: files that are not ours, or of another time, are refused", "[train]") {
  Trained trained(optim::OptimizerType::kNag);
  const auto refuses = [&](const std::vector<std::string>& words,
                           const std::function<void(Parts&)>& change) {
    check_error(ExitCode::kBadData, words, [&] { trained.load_changed(change); });
  };
  refuses({"format version", "expected 1, found 2"},
          [](Parts& parts) { parts.metadata["sluice.format"] = "2"; });
  refuses({"not a Sluice model"}, [](Parts& parts) { parts.metadata.erase("sluice.format"); });
  refuses({"not a model", "tokens"},
          [](Parts& parts) { parts.metadata["sluice.kind"] = "tokens"; });
  for (const char* key : {"sluice.kind", "sluice.config", "sluice.state", "sluice.data_hash",
                          "sluice.tokenizer_hash"}) {
    refuses({key}, [&](Parts& parts) { parts.metadata.erase(key); });
  }
  refuses({"sluice.data_hash", "16 hex digits"},
          [](Parts& parts) { parts.metadata["sluice.data_hash"] = "12"; });
  refuses({"training state"}, [](Parts& parts) { parts.metadata["sluice.state"] = "{}"; });
  refuses({"sluice.tokenizer"}, [](Parts& parts) { parts.tensors.erase("sluice.tokenizer"); });
  refuses({"sluice.permutation", "wrong shape"}, [](Parts& parts) {
    auto& shape = parts.tensors["sluice.permutation"].shape;
    shape.insert(shape.begin(), 1);
  });
}

TEST_CASE("Checkpoint: a flipped byte anywhere is found", "[train]") {
  Trained trained(optim::OptimizerType::kNag);
  save_checkpoint(trained.path, trained.run.info, some_state(), *trained.model);
  const std::string whole = testing::read_text(trained.path);
  std::size_t undetected = 0, checked = 0;
  for (std::size_t at = 0; at < whole.size(); at += at < 200 ? 1 : 37) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << (at % 8)));
    testing::write_text(trained.path, damaged);
    ++checked;
    try {
      const ModelFile file(trained.path);
      ++undetected;
    } catch (const Error& error) {
      undetected += error.code() != ExitCode::kBadData;
    }
  }
  CHECK(checked > 300);
  CHECK(undetected == 0);
}

TEST_CASE("Checkpoint: context comes back bit for bit, or is refused", "[train]") {
  Trained trained(optim::OptimizerType::kNag);
  const model::GatedConvLm& model = *trained.model;
  const auto memory = model.state(2, 8, true);
  const auto batch = testing::token_batch(2, 8, model.vocabulary(), 5);
  model.forward_hidden(batch.inputs, *memory);
  save_checkpoint(trained.path, trained.run.info, some_state(), model, memory.get());
  const Index rows = model::context_rows(trained.run.config.model);
  const std::vector<Index> widths = memory->context_widths();
  CHECK(ModelFile(trained.path).context(2, rows, widths) == memory->store_context());
  CHECK(is_context_tensor("context.0"));
  CHECK(is_training_tensor("context.0"));
  CHECK_FALSE(is_context_tensor("ema.context.0"));
  // The weights beside it are those of a file without.
  const auto other = trained.run.new_model(9);
  for (const bool states : {true, false}) {
    ModelFile(trained.path).load(*other, states);
    CHECK(read_all(other->parameters(), Array::kValue) ==
          read_all(model.parameters(), Array::kValue));
  }
  const auto refuses = [&](const std::vector<std::string>& words, Index sequences,
                           const std::function<void(Parts&)>& change) {
    Parts parts(trained.path);
    change(parts);
    const std::string path = trained.run.folder / "changed.safetensors";
    parts.write(path);
    check_error(ExitCode::kBadData, words,
                [&] { ModelFile(path).context(sequences, rows, widths); });
  };
  refuses({"context.0", "wrong shape", "expected [3, 1, 4], found [2, 1, 4]"}, 3, [](Parts&) {});
  refuses({"context.1"}, 2, [](Parts& parts) { parts.tensors.erase("context.1"); });
  refuses({"context.0", "element 0 is not finite"}, 2, [](Parts& parts) {
    std::memset(parts.tensors["context.0"].bytes.data(), 0xff, sizeof(Real));
  });
}

TEST_CASE("Checkpoint: what is not finite is not saved, and the older file stays", "[train]") {
  Trained trained(optim::OptimizerType::kNag);
  save_checkpoint(trained.path, trained.run.info, some_state(), *trained.model);
  const std::string before = testing::read_text(trained.path);
  testing::set_element(trained.model->parameters(), "output.bias", 1,
                       std::numeric_limits<Real>::infinity());
  check_error(ExitCode::kDiverged, {trained.path, "output.bias", "element 1 is not finite"}, [&] {
    save_checkpoint(trained.path, trained.run.info, some_state(), *trained.model);
  });
  CHECK(testing::read_text(trained.path) == before);
  CHECK(ModelFile(trained.path).state() == some_state());
}

}  // namespace
}  // namespace sluice::train
