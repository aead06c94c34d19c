#pragma once

#include <catch2/catch.hpp>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "sluice/base/error.h"

namespace sluice::testing {

// The Error that `action` throws, if any.
inline std::optional<Error> error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  return std::nullopt;
}

// The Error that `action` throws: one line, with all of `parts`.
template <class Action>
void check_error(ExitCode code, const std::vector<std::string>& parts, Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    const std::string text = error.what();
    CAPTURE(text);
    CHECK(error.code() == code);
    CHECK(text.find('\n') == std::string::npos);
    for (const std::string& part : parts) {
      CAPTURE(part);
      CHECK(text.find(part) != std::string::npos);
    }
    return;
  }
  FAIL_CHECK("no error");
}

}  // namespace sluice::testing
