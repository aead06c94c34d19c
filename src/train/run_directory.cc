#include "sluice/train/run_directory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <utility>

#include "sluice/base/error.h"
#include "sluice/base/file.h"
#include "sluice/base/printable.h"

namespace sluice::train {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "step-", kSuffix = ".safetensors";

// Names that a run consists of, beside checkpoints/ and temporary files.
constexpr std::string_view kFiles[] = {"config.json",      "metrics.jsonl", "train.log",
                                       "best.safetensors", "lock",          "STOP"};

bool is_ours(const std::string& name) {
  return std::find(std::begin(kFiles), std::end(kFiles), name) != std::end(kFiles) ||
         is_temporary_name(name);
}

std::string checkpoint_name(std::int64_t step) {
  return fmt::format("{}{:08}{}", kPrefix, step, kSuffix);
}

// Step of "step-00001200.safetensors", spelt as we do; else -1.
std::int64_t step_of(const std::string& name) {
  if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) return -1;
  const char* begin = name.data() + kPrefix.size();
  const char* end = name.data() + name.size() - kSuffix.size();
  std::int64_t step = -1;
  const auto [stop, error] = std::from_chars(begin, end, step);
  const bool number = error == std::errc() && stop == end && step >= 0;
  return number && checkpoint_name(step) == name ? step : -1;
}

std::vector<fs::path> entries(const fs::path& directory) {
  std::error_code error;
  std::vector<fs::path> all;
  for (auto at = fs::directory_iterator(directory, error); !error && at != fs::directory_iterator();
       at.increment(error)) {
    all.push_back(at->path());
  }
  return all;
}

void remove_file(const fs::path& path) {
  FileSystem& files = FileSystem::current();
  if (files.unlink(path.c_str()) == 0 || errno == ENOENT) return;
  throw Error(ExitCode::kOutput, "{}: cannot be removed: {}", path.string(), std::strerror(errno));
}

// What a lock says about who holds it.
std::string holder_of(int lock) {
  char text[200] = {};
  const ssize_t length = ::pread(lock, text, sizeof text - 1, 0);
  std::string name(text, static_cast<std::size_t>(std::max<ssize_t>(length, 0)));
  name.erase(std::min(name.find('\n'), name.size()));
  return name.empty() ? "unknown" : printable(name);
}

Error is_locked(const std::string& path, const std::string& holder) {
  return Error(ExitCode::kExists, "{}: another process trains here ({})", path, holder);
}

}  // namespace

bool RunDirectory::is_run(const std::string& path) {
  std::error_code error;  // whatever cannot be looked at is none
  return fs::is_directory(fs::path(path) / "checkpoints", error) &&
         fs::exists(fs::path(path) / "lock", error);
}

void RunDirectory::check_new(const std::string& path, bool overwrite) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::none) {
    throw Error(ExitCode::kOutput, "{}: {}", path, error.message());
  }
  if (!fs::exists(status)) return;
  if (!fs::is_directory(status)) {
    throw Error(ExitCode::kExists, "{}: exists and is not a directory", path);
  }
  const auto found = entries(path);
  // A run that was killed before its first checkpoint has nothing to resume and nothing to lose.
  const bool began = is_run(path);
  const bool used = std::any_of(found.begin(), found.end(), [&](const fs::path& entry) {
    const std::string name = entry.filename().string();
    if (name == "checkpoints") {
      const auto saved = entries(entry);
      return !std::all_of(saved.begin(), saved.end(), [](const fs::path& file) {
        return is_temporary_name(file.filename().string());
      });
    }
    return !(began && is_ours(name) && name != "best.safetensors");
  });
  if (!used || (overwrite && is_run(path))) return;
  if (overwrite) {
    throw Error(ExitCode::kExists, "{}: holds files that are not a run's; nothing was touched",
                path);
  }
  throw Error(ExitCode::kExists,
              "{}: exists and is not empty; --overwrite replaces a run; to go on with it: sluice "
              "train --resume --out {}",
              path, path);
}

RunDirectory RunDirectory::open_new(const std::string& path, bool overwrite) {
  check_new(path, overwrite);
  make_directories(path + "/checkpoints");
  RunDirectory run(path);
  run.lock();
  check_new(path, overwrite);  // another process may have come and gone
  run.sweep_temporary_files();
  run.remove_stop();
  return run;
}

void RunDirectory::check_existing(const std::string& path) {
  if (is_run(path)) return;
  throw Error(ExitCode::kNoInput, "{}: not a run (expected a directory with checkpoints)", path);
}

void RunDirectory::check_unlocked(const std::string& path) {
  // Reading is enough to try a lock; it ends with the descriptor.
  const int lock = ::open((path + "/lock").c_str(), O_RDONLY | O_CLOEXEC);
  if (lock < 0) return;
  const bool busy = ::flock(lock, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  const std::string holder = busy ? holder_of(lock) : "";
  ::close(lock);
  if (busy) throw is_locked(path, holder);
}

RunDirectory RunDirectory::open_existing(const std::string& path) {
  check_existing(path);
  RunDirectory run(path);
  run.lock();
  run.sweep_temporary_files();
  run.remove_stop();
  return run;
}

RunDirectory RunDirectory::open_to_read(const std::string& path) { return RunDirectory(path); }

RunDirectory::RunDirectory(RunDirectory&& other) noexcept
    : path_(std::move(other.path_)), lock_(std::exchange(other.lock_, -1)) {}

RunDirectory::~RunDirectory() {
  if (lock_ >= 0) ::close(lock_);
}

void RunDirectory::lock() {
  const std::string file = path_ + "/lock";
  lock_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock_ < 0) {
    throw Error(ExitCode::kOutput, "{}: {}", file, std::strerror(errno));
  }
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) throw Error(ExitCode::kOutput, "{}: {}", file, std::strerror(errno));
    throw is_locked(path_, holder_of(lock_));
  }
  char host[65] = {};
  ::gethostname(host, sizeof host - 1);
  const std::string text = fmt::format("pid {} on {}\n", ::getpid(), host);
  // Information only: a lock that cannot say whose it is still locks.
  if (::ftruncate(lock_, 0) == 0) {
    [[maybe_unused]] const ssize_t written = ::pwrite(lock_, text.data(), text.size(), 0);
  }
}

void RunDirectory::sweep_temporary_files() const {
  for (const std::string& directory : {path_, path_ + "/checkpoints"}) {
    for (const fs::path& entry : entries(directory)) {
      if (is_temporary_name(entry.filename().string())) remove_file(entry);
    }
  }
}

std::string RunDirectory::checkpoint_path(std::int64_t step) const {
  return fmt::format("{}/checkpoints/{}", path_, checkpoint_name(step));
}

std::vector<RunDirectory::Checkpoint> RunDirectory::checkpoints() const {
  std::vector<Checkpoint> found;
  for (const fs::path& entry : entries(path_ + "/checkpoints")) {
    const std::int64_t step = step_of(entry.filename().string());
    if (step >= 0) found.push_back({entry.string(), step});
  }
  std::sort(found.begin(), found.end(),
            [](const Checkpoint& a, const Checkpoint& b) { return a.step > b.step; });
  return found;
}

void RunDirectory::clear() {
  for (const Checkpoint& checkpoint : checkpoints()) remove_file(checkpoint.path);
  for (const fs::path& entry : entries(path_)) {
    const std::string name = entry.filename().string();
    if (name != "lock" && is_ours(name)) remove_file(entry);
  }
}

void RunDirectory::prune(Index keep_last, std::int64_t step) {
  Index kept = 0;
  for (const Checkpoint& checkpoint : checkpoints()) {
    if (checkpoint.step <= step && ++kept > keep_last) remove_file(checkpoint.path);
  }
}

bool RunDirectory::stop_requested() const {
  std::error_code error;
  return fs::exists(path_ + "/STOP", error);
}

void RunDirectory::remove_stop() { remove_file(path_ + "/STOP"); }

}  // namespace sluice::train
