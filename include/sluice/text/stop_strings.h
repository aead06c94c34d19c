#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sluice::text {

// Ends a text before the first of several strings, however it comes cut into pieces: what may be
// the beginning of one is held back until it is known. Of strings that overlap, the one that is
// complete first counts, and of two that end together the longer.
class StopStrings {
 public:
  StopStrings() = default;
  explicit StopStrings(std::vector<std::string> strings) : strings_(std::move(strings)) {}

  // The part of the text so far that is now known to come before any stop string. After a stop
  // nothing more.
  std::string add(std::string_view text);
  bool stopped() const { return stopped_; }
  // The text ends here: what was held back.
  std::string finish();

 private:
  std::vector<std::string> strings_;  // none is empty
  std::string held_;                  // the longest end of the text that begins a stop string
  bool stopped_ = false;
};

}  // namespace sluice::text
