#include "sluice/text/stop_strings.h"

#include <algorithm>
#include <utility>

namespace sluice::text {

std::string StopStrings::add(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size() && !stopped_; ++i) {
    held_ += text[i];
    std::size_t stop = 0;
    for (const std::string& string : strings_) {
      if (held_.ends_with(string)) stop = std::max(stop, string.size());
    }
    stopped_ = stop > 0;
    // What goes out: all but the stop string, or but the longest beginning of one.
    std::size_t out_size = stopped_ ? held_.size() - stop : 0;
    const auto may_begin_at = [&](std::size_t at) {
      return std::any_of(strings_.begin(), strings_.end(), [&](const std::string& string) {
        return string.starts_with(std::string_view(held_).substr(at));
      });
    };
    while (!stopped_ && out_size < held_.size() && !may_begin_at(out_size)) ++out_size;
    out.append(held_, 0, out_size);
    held_.erase(0, out_size);
  }
  return out;
}

std::string StopStrings::finish() { return stopped_ ? "" : std::exchange(held_, ""); }

}  // namespace sluice::text
