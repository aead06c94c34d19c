#include "sluice/train/run_directory.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "tests/support/error_check.h"
#include "tests/support/temp_dir.h"
#include "tests/support/text_file.h"

namespace sluice::train {
namespace {

namespace fs = std::filesystem;
using testing::check_error;
using testing::read_text;
using testing::TempDir;
using testing::write_text;
using Names = std::vector<std::string>;

// A directory as a run leaves it.
std::string finished_run(const TempDir& folder, const std::string& name = "run") {
  const std::string path = folder / name;
  const RunDirectory run = RunDirectory::open_new(path, false);
  for (const std::string& file :
       {run.config_path(), run.metrics_path(), run.log_path(), run.best_path(),
        run.checkpoint_path(0), run.checkpoint_path(8)}) {
    write_text(file, "x");
  }
  return path;
}

TEST_CASE("RunDirectory: a new one is created with its parents and locked in our name", "[train]") {
  const TempDir folder;
  const std::string path = folder / "a/b/run";
  const RunDirectory run = RunDirectory::open_new(path, false);
  CHECK(RunDirectory::is_run(path));
  char host[65] = {};
  ::gethostname(host, sizeof host - 1);
  const std::string holder = "pid " + std::to_string(::getpid()) + " on " + host;
  CHECK(read_text(path + "/lock") == holder + "\n");
  check_error(ExitCode::kExists, {path, "another process trains here", holder},
              [&] { RunDirectory::open_existing(path); });
  check_error(ExitCode::kExists, {holder}, [&] { RunDirectory::open_new(path, true); });
  CHECK(RunDirectory::open_to_read(path).path() == path);
}

TEST_CASE("RunDirectory: the lock ends with its holder, and moves with it", "[train]") {
  const TempDir folder;
  const std::string path = folder / "run";
  {
    RunDirectory first = RunDirectory::open_new(path, false);
    const RunDirectory second = std::move(first);
    check_error(ExitCode::kExists, {}, [&] { RunDirectory::open_existing(path); });
  }
  CHECK_NOTHROW(RunDirectory::open_existing(path));
}

TEST_CASE("RunDirectory: a dry run sees a lock without leaving a mark", "[train]") {
  const TempDir folder;
  const std::string path = folder / "run";
  CHECK_NOTHROW(RunDirectory::check_unlocked(path));
  check_error(ExitCode::kNoInput, {path, "not a run"}, [&] { RunDirectory::check_existing(path); });
  std::string before;
  {
    const RunDirectory run = RunDirectory::open_new(path, false);
    before = read_text(path + "/lock");
    check_error(ExitCode::kExists, {path, "another process trains here"},
                [&] { RunDirectory::check_unlocked(path); });
  }
  CHECK_NOTHROW(RunDirectory::check_unlocked(path));
  CHECK_NOTHROW(RunDirectory::check_existing(path));
  CHECK(read_text(path + "/lock") == before);
  CHECK_NOTHROW(RunDirectory::open_existing(path));
}

TEST_CASE("RunDirectory: a used directory is refused with the line that resumes it", "[train]") {
  const TempDir folder;
  const std::string path = finished_run(folder);
  for (const auto& open : {RunDirectory::check_new, +[](const std::string&at, bool overwrite) {
                             RunDirectory::open_new(at, overwrite);
                           }}) {
    check_error(ExitCode::kExists, {path, "not empty", "sluice train --resume --out " + path},
                [&] { open(path, false); });
    CHECK_NOTHROW(open(path, true));
  }
  fs::remove_all(path + "/checkpoints");
  fs::create_directory(path + "/checkpoints");
  check_error(ExitCode::kExists, {},
              [&] { RunDirectory::check_new(path, false); });  // best is left
}

TEST_CASE("RunDirectory: what a run left that never came to a checkpoint is no obstacle",
          "[train]") {
  const TempDir folder;
  const std::string path = folder / "run";
  { RunDirectory::open_new(path, false); }
  CHECK_NOTHROW(RunDirectory::check_new(path, false));
  write_text(path + "/config.json", "{}");
  write_text(path + "/train.log", "");
  write_text(path + "/checkpoints/.step-00000000.safetensors.tmp-1-0", "half");
  CHECK_NOTHROW(RunDirectory::check_new(path, false));
  write_text(path + "/mine.txt", "");
  check_error(ExitCode::kExists, {}, [&] { RunDirectory::check_new(path, false); });
  CHECK_NOTHROW(RunDirectory::check_new(folder / "none", false));
  fs::create_directory(folder / "empty");
  CHECK_NOTHROW(RunDirectory::check_new(folder / "empty", false));
}

TEST_CASE("RunDirectory: what is not a run is never overwritten nor resumed", "[train]") {
  const TempDir folder;
  fs::create_directories(folder / "notes/checkpoints");
  write_text(folder / "notes/config.json", "mine");
  for (const bool overwrite : {false, true}) {
    check_error(ExitCode::kExists, {folder / "notes"},
                [&] { RunDirectory::open_new(folder / "notes", overwrite); });
  }
  check_error(ExitCode::kNoInput, {folder / "notes", "not a run"},
              [&] { RunDirectory::open_existing(folder / "notes"); });
  CHECK(folder.names("notes") == Names{"checkpoints", "config.json"});
  write_text(folder / "file", "mine");
  check_error(ExitCode::kExists, {"not a directory"},
              [&] { RunDirectory::check_new(folder / "file", true); });
  check_error(ExitCode::kNoInput, {}, [&] { RunDirectory::open_existing(folder / "file"); });
  CHECK_FALSE(RunDirectory::is_run(folder / std::string(300, 'x')));
  check_error(ExitCode::kOutput, {},
              [&] { RunDirectory::check_new(folder / std::string(300, 'x'), false); });
}

TEST_CASE("RunDirectory: clear() removes a run's files and nothing else", "[train]") {
  const TempDir folder;
  const std::string path = finished_run(folder);
  const Names foreign = {"notes.txt",
                         "best.safetensors.old",
                         "step-00000001.safetensors",
                         "checkpoints/step-1.safetensors",
                         "checkpoints/step-00000001.safetensors.bak",
                         "checkpoints/step--0000001.safetensors",
                         "checkpoints/mine"};
  for (const std::string& name : foreign) write_text(path + "/" + name, "mine");
  fs::create_directory(path + "/plots");
  RunDirectory run = RunDirectory::open_new(path, true);
  run.clear();
  for (const std::string& name : foreign) CHECK(read_text(path + "/" + name) == "mine");
  CHECK(folder.names("run") == Names{"best.safetensors.old", "checkpoints", "lock", "notes.txt",
                                     "plots", "step-00000001.safetensors"});
  CHECK(folder.names("run/checkpoints").size() == 4);
}

TEST_CASE("RunDirectory: checkpoints come newest first, under names that sort", "[train]") {
  const TempDir folder;
  const RunDirectory run = RunDirectory::open_new(folder / "run", false);
  for (const std::int64_t step : {9, 1200, 100000000, 0}) write_text(run.checkpoint_path(step), "");
  const auto found = run.checkpoints();
  REQUIRE(found.size() == 4);
  CHECK(found[0].step == 100000000);
  CHECK(found[1].step == 1200);
  CHECK(found[1].path == folder / "run/checkpoints/step-00001200.safetensors");
  CHECK(found[3].step == 0);
}

TEST_CASE("RunDirectory: prune keeps the newest up to the step, and does not touch later ones",
          "[train]") {
  const TempDir folder;
  RunDirectory run = RunDirectory::open_new(folder / "run", false);
  for (const std::int64_t step : {0, 10, 20, 30, 90}) write_text(run.checkpoint_path(step), "");
  const auto left = [&] {
    std::vector<std::int64_t> steps;
    for (const auto& checkpoint : run.checkpoints()) steps.push_back(checkpoint.step);
    return steps;
  };
  run.prune(2, 30);
  CHECK(left() == std::vector<std::int64_t>{90, 30, 20});
  run.prune(1, 30);
  CHECK(left() == std::vector<std::int64_t>{90, 30});
  run.prune(1, 90);
  CHECK(left() == std::vector<std::int64_t>{90});
}

TEST_CASE("RunDirectory: opening sweeps half-written files and an old STOP", "[train]") {
  const TempDir folder;
  const std::string path = finished_run(folder);
  for (const bool existing : {true, false}) {
    write_text(path + "/.best.safetensors.tmp-12-0", "half");
    write_text(path + "/checkpoints/.step-00000012.safetensors.tmp-12-3", "half");
    write_text(path + "/STOP", "");
    if (existing) {
      RunDirectory::open_existing(path);
    } else {
      RunDirectory::open_new(path, true);
    }
    CHECK(folder.names("run") == Names{"best.safetensors", "checkpoints", "config.json", "lock",
                                       "metrics.jsonl", "train.log"});
    CHECK(folder.names("run/checkpoints").size() == 2);
  }
}

TEST_CASE("RunDirectory: a file STOP asks for a stop", "[train]") {
  const TempDir folder;
  RunDirectory run = RunDirectory::open_new(folder / "run", false);
  CHECK_FALSE(run.stop_requested());
  write_text(folder / "run/STOP", "");
  CHECK(run.stop_requested());
  run.remove_stop();
  CHECK_FALSE(run.stop_requested());
  CHECK_NOTHROW(run.remove_stop());
}

}  // namespace
}  // namespace sluice::train
