#include "sluice/train/metrics.h"

#include <catch2/catch.hpp>
#include <cerrno>
#include <limits>

#include "sluice/base/file.h"
#include "tests/support/temp_dir.h"
#include "tests/support/text_file.h"

namespace sluice::train {
namespace {

using testing::read_text;
using testing::TempDir;
using testing::write_text;

TEST_CASE("Metrics: a row is a line of JSON, keys in order, counts without a point", "[train]") {
  const TempDir folder;
  Metrics metrics(folder / "m.jsonl", 0, 0);
  CHECK(metrics.append({{"step", 10}, {"epoch", 0.25}, {"loss", 1.0 / 3}, {"bad_steps", 0}}));
  CHECK(metrics.append({{"step", 20}, {"loss", std::numeric_limits<double>::quiet_NaN()}}));
  CHECK(metrics.sync());
  CHECK(read_text(folder / "m.jsonl") ==
        "{\"step\":10,\"epoch\":0.25,\"loss\":0.3333333333333333,\"bad_steps\":0}\n"
        "{\"step\":20,\"loss\":null}\n");
}

TEST_CASE("Metrics: what lies beyond the checkpoint is cut when a run goes on", "[train]") {
  const TempDir folder;
  const std::string path = folder / "m.jsonl";
  const std::string kept =
      "{\"step\":5,\"loss\":2}\n{\"step\":5,\"valid_loss\":2}\n"
      "{\"step\":10,\"loss\":1}\n";
  write_text(path, kept +
                       "{\"step\":10,\"valid_loss\":1}\n"  // validated, but not yet saved
                       "{\"step\":15,\"loss\":1}\n"
                       "not JSON\n{\"loss\":3}\n[]\n{\"step\":15,\"lo");  // cut by a kill
  Metrics metrics(path, 10, 5);
  CHECK(read_text(path) == kept);
  CHECK(metrics.append({{"step", 15}}));
  CHECK(read_text(path) == kept + "{\"step\":15}\n");

  write_text(path, kept + "{\"step\":10,\"valid_loss\":1}\n");
  Metrics(path, 10, 10);
  CHECK(read_text(path) == kept + "{\"step\":10,\"valid_loss\":1}\n");
}

TEST_CASE("Metrics: rows by layer, kept and cut with the step that they tell of", "[train]") {
  const TempDir folder;
  const std::string path = folder / "m.jsonl";
  Metrics metrics(path, 0, 0);
  const FlowRow flow = {
      {"output", {{"grad_norm", 0.5}, {"update_ratio", std::numeric_limits<double>::quiet_NaN()}}},
      {"embedding", {{"grad_norm", 1}}}};
  for (const std::int64_t step : {5, 10}) {
    CHECK(metrics.append_flow(step, flow));
    CHECK(metrics.append({{"step", static_cast<double>(step)}, {"valid_loss", 1}}));
  }
  const std::string row =
      ",\"flow\":{\"output\":{\"grad_norm\":0.5,\"update_ratio\":null},\"embedding\":"
      "{\"grad_norm\":1.0}}}\n";
  const std::string valid = ",\"valid_loss\":1.0}\n";
  const std::string first = "{\"step\":5" + row + "{\"step\":5" + valid;
  CHECK(read_text(path) == first + "{\"step\":10" + row + "{\"step\":10" + valid);
  // Training rows go by the checkpoint's step, not by that of the last validation.
  Metrics(path, 10, 5);
  CHECK(read_text(path) == first + "{\"step\":10" + row);
  Metrics(path, 9, 5);
  CHECK(read_text(path) == first);
}

// Writes at most `room` bytes.
class FullDisk : public FileSystem {
 public:
  std::ptrdiff_t write(int fd, const void* data, std::size_t size) override {
    if (room == 0) {
      errno = ENOSPC;
      return -1;
    }
    const std::ptrdiff_t written = FileSystem::write(fd, data, std::min(size, room));
    room -= static_cast<std::size_t>(written);
    return written;
  }
  std::size_t room = 0;
};

TEST_CASE("Metrics: rows that a full disk refuses are written once there is room", "[train]") {
  const TempDir folder;
  FullDisk disk;
  const ScopedFileSystem scope(disk);
  Metrics metrics(folder / "m.jsonl", 0, 0);
  disk.room = 5;  // not even one row
  CHECK_FALSE(metrics.append({{"step", 1}, {"loss", 2}}));
  CHECK_FALSE(metrics.append({{"step", 2}, {"loss", 2}}));
  CHECK_FALSE(metrics.sync());
  CHECK(read_text(folder / "m.jsonl").size() == 5);
  disk.room = 1000;
  CHECK(metrics.append({{"step", 3}}));
  CHECK(read_text(folder / "m.jsonl") ==
        "{\"step\":1,\"loss\":2.0}\n{\"step\":2,\"loss\":2.0}\n{\"step\":3}\n");
}

}  // namespace
}  // namespace sluice::train
