#include "sluice/train/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string_view>

namespace sluice::train {
namespace {

std::size_t terminal_width() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

bool put(std::string_view text) noexcept {
  return std::fwrite(text.data(), 1, text.size(), stderr) == text.size() &&
         std::fflush(stderr) == 0;
}

}  // namespace

std::string format_duration(double seconds) {
  const long total = static_cast<long>(std::clamp(seconds, 0.0, 1e15) + 0.5);
  if (total >= 3600) return fmt::format("{}h{:02}m", total / 3600, total / 60 % 60);
  if (total >= 60) return fmt::format("{}m{:02}s", total / 60, total % 60);
  return fmt::format("{}s", total);
}

std::string format_count(double count) {
  if (count >= 999.5e6) return fmt::format("{:.1f}G", count / 1e9);
  if (count >= 999.5e3) return fmt::format("{:.1f}M", count / 1e6);
  if (count >= 999.5) return fmt::format("{:.1f}k", count / 1e3);
  return fmt::format("{:.0f}", count);
}

void ProgressBar::show(double fraction, const std::string& text) {
  const auto now = std::chrono::steady_clock::now();
  if (!enabled_ || now - last_ < std::chrono::milliseconds(100)) return;
  last_ = now;
  constexpr std::size_t kCells = 20;
  const auto full = static_cast<std::size_t>(std::clamp(fraction, 0.0, 1.0) * kCells);
  std::string line = fmt::format("[{}{}] {:3.0f}% {}", std::string(full, '#'),
                                 std::string(kCells - full, '.'), 100 * fraction, text);
  line.resize(std::min(line.size(), terminal_width() - 1));
  shown_ = put("\r" + line + "\033[K");
  // A terminal that has gone must not take the run with it.
  enabled_ = shown_;
}

void ProgressBar::clear() noexcept {
  if (!shown_) return;
  shown_ = false;
  put("\r\033[K");
}

}  // namespace sluice::train
