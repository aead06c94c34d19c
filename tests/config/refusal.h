#pragma once

#include <catch2/catch.hpp>
#include <string>

#include "sluice/base/error.h"

namespace sluice::config {

// Runs what must be refused; the text of its error, which must carry the code and be one line.
template <class Action>
std::string refusal(ExitCode code, const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    const std::string text = error.what();
    CHECK(static_cast<int>(error.code()) == static_cast<int>(code));
    CHECK(text.find('\n') == std::string::npos);
    CHECK(text.size() < 1000);
    return text;
  }
  FAIL("nothing was refused");
  return "";
}

}  // namespace sluice::config
