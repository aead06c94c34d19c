#pragma once

#include <chrono>
#include <string>

namespace sluice::train {

// "1h02m", "4m05s", "12s".
std::string format_duration(double seconds);
// "12.3k", "1.2M".
std::string format_count(double count);

// What a person sees while a run goes on. On a terminal one line that is redrawn; elsewhere nothing
// but the log's own lines. Log lines go through line(), which keeps them apart from the bar.
class ProgressBar {
 public:
  // enabled: standard error is a terminal and nobody asked for quiet.
  explicit ProgressBar(bool enabled) : enabled_(enabled) {}
  ~ProgressBar() { clear(); }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  bool enabled() const { return enabled_; }
  // Redraws at most ten times a second; fraction in [0, 1].
  void show(double fraction, const std::string& text);
  void clear() noexcept;

 private:
  bool enabled_;
  bool shown_ = false;
  std::chrono::steady_clock::time_point last_{};
};

}  // namespace sluice::train
