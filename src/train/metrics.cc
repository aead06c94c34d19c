#include "sluice/train/metrics.h"

#include <fcntl.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "sluice/base/error.h"
#include "sluice/base/file.h"

namespace sluice::train {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint64_t kMaxBytes = std::uint64_t{1} << 32;

// Whether a row of an earlier process belongs before the checkpoint.
bool keep(const std::string& line, std::int64_t step, std::int64_t validated_step) {
  const auto row = nlohmann::json::parse(line, nullptr, false);
  if (!row.is_object() || !row.contains("step") || !row["step"].is_number_integer()) return false;
  return row["step"] <= (row.contains("valid_loss") ? validated_step : step);
}

Json to_object(const MetricsRow& row) {
  Json json = Json::object();
  for (const auto& [key, value] : row) {
    const bool whole = std::nearbyint(value) == value && std::abs(value) < 1e15;
    const std::string_view name = key;
    if (whole && (name == "step" || name == "bad_steps" || name == "valid_tokens")) {
      json[key] = static_cast<std::int64_t>(value);
    } else if (std::isfinite(value)) {
      json[key] = value;
    } else {
      json[key] = nullptr;
    }
  }
  return json;
}

}  // namespace

Metrics::Metrics(std::string path, std::int64_t step, std::int64_t validated_step)
    : path_(std::move(path)) {
  if (!std::filesystem::exists(path_)) return;
  const std::string before = read_whole_file(path_, kMaxBytes);
  std::string kept;
  for (std::size_t begin = 0; begin < before.size();) {
    const std::size_t end = std::min(before.find('\n', begin), before.size());
    const std::string line = before.substr(begin, end - begin);
    if (keep(line, step, validated_step)) kept += line + "\n";
    begin = end + 1;
  }
  if (kept != before) write_file_atomically(path_, kept);
}

bool Metrics::append(const MetricsRow& row) {
  pending_ += to_object(row).dump() + "\n";
  return flush();
}

bool Metrics::append_flow(std::int64_t step, const FlowRow& flow) {
  Json layers = Json::object();
  for (const auto& [layer, row] : flow) layers[layer] = to_object(row);
  pending_ += Json({{"step", step}, {"flow", layers}}).dump() + "\n";
  return flush();
}

bool Metrics::flush() {
  FileSystem& files = FileSystem::current();
  const int fd = files.open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) return false;
  while (!pending_.empty()) {
    const auto written = files.write(fd, pending_.data(), pending_.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) break;
    pending_.erase(0, static_cast<std::size_t>(written));
  }
  return files.close(fd) == 0 && pending_.empty();
}

bool Metrics::sync() {
  if (!pending_.empty() && !flush()) return false;
  FileSystem& files = FileSystem::current();
  const int fd = files.open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) return false;
  const bool synced = files.fsync(fd) == 0;
  return files.close(fd) == 0 && synced;
}

}  // namespace sluice::train
