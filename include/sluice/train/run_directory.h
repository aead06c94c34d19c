#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sluice/base/real.h"

namespace sluice::train {

// A run on disk: config.json, metrics.jsonl, train.log, checkpoints/step-00001200.safetensors,
// best.safetensors, lock. One process trains in it at a time: it holds an flock on `lock`, which
// the kernel releases however the process ends, and which names its pid and host.
class RunDirectory {
 public:
  struct Checkpoint {
    std::string path;
    std::int64_t step;
  };

  // What open_new would refuse, without touching anything: Error kExists when `path` holds anything
  // (with overwrite: anything but a run), the text ending in the command that resumes it. What is
  // left of a run that never came to its first checkpoint counts as nothing.
  static void check_new(const std::string& path, bool overwrite);
  // The same for open_existing, and whether a run that is there is locked: for a dry run.
  static void check_existing(const std::string& path);
  static void check_unlocked(const std::string& path);
  // Creates and locks; sweeps what a killed process left half-written, and a STOP meant for it.
  // Error kExists, kOutput.
  static RunDirectory open_new(const std::string& path, bool overwrite);
  // Locks a run that is there. Error kNoInput when it is not one, kExists when it is locked.
  static RunDirectory open_existing(const std::string& path);
  // Without a lock: for eval and info.
  static RunDirectory open_to_read(const std::string& path);
  static bool is_run(const std::string& path);

  ~RunDirectory();
  RunDirectory(RunDirectory&& other) noexcept;
  RunDirectory& operator=(RunDirectory&&) = delete;

  const std::string& path() const { return path_; }
  std::string config_path() const { return path_ + "/config.json"; }
  std::string metrics_path() const { return path_ + "/metrics.jsonl"; }
  std::string log_path() const { return path_ + "/train.log"; }
  std::string best_path() const { return path_ + "/best.safetensors"; }
  std::string checkpoint_path(std::int64_t step) const;
  std::vector<Checkpoint> checkpoints() const;  // newest first

  // Removes the files of the run before, and only those that Sluice wrote.
  void clear();
  // Removes all but the newest `keep_last` of the checkpoints up to `step`, the one just written.
  // Later ones, from which a resume could not go on, neither count nor go.
  void prune(Index keep_last, std::int64_t step);
  // Somebody asked this run to stop by creating the file STOP in it.
  bool stop_requested() const;
  void remove_stop();

 private:
  explicit RunDirectory(std::string path) : path_(std::move(path)) {}
  void lock();
  void sweep_temporary_files() const;

  std::string path_;
  int lock_ = -1;
};

}  // namespace sluice::train
