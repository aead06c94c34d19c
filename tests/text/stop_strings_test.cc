#include "sluice/text/stop_strings.h"

#include <catch2/catch.hpp>

namespace sluice::text {
namespace {

struct Result {
  std::string text;
  bool stopped;
  bool operator==(const Result&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Result& result) {
  return out << '"' << result.text << "\" " << (result.stopped ? "stopped" : "whole");
}

// The text in pieces of this many bytes.
Result run(const std::vector<std::string>& strings, const std::string& text, std::size_t piece) {
  StopStrings stop(strings);
  std::string out;
  for (std::size_t at = 0; at < text.size(); at += piece) out += stop.add(text.substr(at, piece));
  return {out + stop.finish(), stop.stopped()};
}

TEST_CASE("StopStrings: the text ends before the first one, however it is cut", "[text]") {
  const auto [strings, text, expected] =
      GENERATE(table<std::vector<std::string>, std::string, Result>({
          {{}, "anything", {"anything", false}},
          {{"END"}, "to the END of it END", {"to the ", true}},
          {{"END"}, "to the EN", {"to the EN", false}},
          {{"END"}, "ENENEND", {"ENEN", true}},
          {{"aab"}, "aaaab", {"aa", true}},
          {{"abab"}, "abaabab", {"aba", true}},
          {{"x", "END"}, "THE END", {"THE ", true}},
          {{"\n\n"}, "a\nb\n\nc", {"a\nb", true}},
          {{"END"}, "END", {"", true}},
          {{"é"}, "caf\u00e9", {"caf", true}},
          {{"é"}, "caf\u00e8", {"caf\u00e8", false}},
          // Which is complete first counts, not which begins first ...
          {{"abcd", "bc"}, "abcd", {"a", true}},
          // ... and of two that end together, the longer.
          {{"bc", "abc"}, "xabc", {"x", true}},
      }));
  for (std::size_t piece = 1; piece <= text.size(); ++piece) {
    INFO(text << " in pieces of " << piece);
    CHECK(run(strings, text, piece) == expected);
  }
}

TEST_CASE("StopStrings: only what may be the beginning of one is held back", "[text]") {
  StopStrings stop({"STOP", "TO"});
  CHECK(stop.add("aS") == "a");
  CHECK(stop.add("T") == "");
  CHECK(stop.add("x") == "STx");
  CHECK(stop.add("ST") == "");
  CHECK(!stop.stopped());
  CHECK(stop.add("Oxyz") == "S");
  CHECK(stop.stopped());
  CHECK(stop.add("more") == "");
  CHECK(stop.finish() == "");
}

}  // namespace
}  // namespace sluice::text
