#include "src/cli/options.h"

#include <CLI/CLI.hpp>
#include <catch2/catch.hpp>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "sluice/base/error.h"

namespace sluice::cli {
namespace {

using Strings = std::vector<std::string>;

// One of everything that a command may declare.
struct Everything {
  std::optional<std::string> out, model;
  std::string format = "text";
  std::optional<Index> top_k;
  Index max_tokens = 200;
  double temperature = 0.8, penalty = 0;
  std::optional<Seconds> max_time;
  Strings settings, files;
  bool resume = false, quiet = false, verbose = false;
};

void declare(CLI::App& app, Everything& all) {
  add_option(app, "--out", all.out, "DIR", "where the run is kept");
  add_option(app, "--format", all.format, "NAME", "of the output");
  add_option(app, "--top-k", all.top_k, "K", "the K likeliest tokens", Range{.min = 1, .max = 9});
  add_option(app, "-n,--max-tokens", all.max_tokens, "N", "length", Range{.min = 0, .max = 1e6});
  add_option(app, "--temperature,--temp", all.temperature, "T", "flatness", Range{.min = 0});
  add_option(app, "--unk-penalty", all.penalty, "X", "added for an unknown word");
  add_option(app, "--max-time", all.max_time, "TIME", "limit", Range{.min = 0, .above_min = true});
  add_list(app, "--set", all.settings, "KEY=JSON", "change one key");
  add_flag(app, "--resume", all.resume, "go on");
  add_flag(app, "-q,--quiet", all.quiet, "say less");
  add_flag(app, "-v,--verbose", all.verbose,
           "say more, and let this sentence run on until it cannot possibly fit on one line");
  add_positional(app, "MODEL", all.model, "a model", Presence::kRequired);
  add_positional_list(app, "FILE", all.files, "text", Presence::kOptional);
}

Everything read(const Strings& arguments) {
  CLI::App app("", "sluice eval");
  app.set_help_flag();
  Everything all;
  declare(app, all);
  read_arguments(app, arguments);
  return all;
}

std::string refused(const Strings& arguments) {
  try {
    read(arguments);
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::kUsage);
    return error.what();
  }
  FAIL("nothing was refused");
  return "";
}

TEST_CASE("read_arguments: both forms of a value, aliases and short forms", "[cli]") {
  const Everything all =
      read({"m", "--out", "d", "--top-k=3", "-n5", "--temp", "0", "-qv", "--max-time", "90m"});
  CHECK(all.model == "m");
  CHECK(all.out == "d");
  CHECK(all.top_k == 3);
  CHECK(all.max_tokens == 5);
  CHECK(all.temperature == 0);
  CHECK(all.max_time == Seconds{5400});
  CHECK(all.quiet);
  CHECK(all.verbose);
  CHECK_FALSE(all.resume);
  CHECK(all.format == "text");
  CHECK(read({"m", "-n", "7"}).max_tokens == 7);
  CHECK(read({"m", "-qn", "7"}).max_tokens == 7);
  CHECK(read({"m"}).max_tokens == 200);
  CHECK_FALSE(read({"m"}).out.has_value());
}

TEST_CASE("read_arguments: values arrive as typed, empty, bracketed or with '='", "[cli]") {
  CHECK(read({"m", "--out="}).out == "");
  CHECK(read({"m", "--out", ""}).out == "");
  CHECK(read({"m", "--out="}).files.empty());
  CHECK(read({"m", "--out=[a,b]"}).out == "[a,b]");
  CHECK(read({"m", "--out", "{}"}).out == "{}");
  CHECK(read({"m", "--out=a=b"}).out == "a=b");
  CHECK(read({"m", "--out==="}).out == "==");
  CHECK(read({"m", "--out=--resume"}).out == "--resume");
  CHECK(read({"m", "--out", "-"}).out == "-");
  CHECK(read({"m", "--out", "a\nb"}).out == "a\nb");
  CHECK(read({"m", "--unk-penalty", "-2.5"}).penalty == -2.5);
  CHECK(read({"", "x"}).model == "");
}

TEST_CASE("read_arguments: an option takes one value, lists collect, positionals are last",
          "[cli]") {
  const Everything all =
      read({"--set", "a=1", "m", "f", "--set=b=2", "-", "eval", "--", "--set", "-x"});
  CHECK(all.settings == Strings{"a=1", "b=2"});
  CHECK(all.model == "m");
  CHECK(all.files == Strings{"f", "-", "eval", "--set", "-x"});
  CHECK(read({"m", "--resume", "f"}).files == Strings{"f"});
}

TEST_CASE("read_arguments: what cannot be meant is refused", "[cli]") {
  CHECK(refused({}).find("MODEL is required") != std::string::npos);
  CHECK(refused({"m", "--out"}) == "--out: expected a value, found the end of the command line");
  CHECK(refused({"m", "--out", "--resume"})
            .starts_with("--out: expected a value, found the option \"--resume\""));
  CHECK(refused({"m", "--out", "-q"}).find("found the option \"-q\"") != std::string::npos);
  CHECK(refused({"m", "--out", "--"}).find("found the option \"--\"") != std::string::npos);
  CHECK(refused({"m", "-n"}).starts_with("-n: expected a value"));
  CHECK(refused({"m", "--out", "a", "--out", "b"}) == "--out: given twice (expected once)");
  CHECK(refused({"m", "--out=a", "--out=a"}).find("twice") != std::string::npos);
  CHECK(refused({"m", "--temp=1", "--temperature=1"}).find("twice") != std::string::npos);
  CHECK(refused({"m", "-qq"}).find("twice") != std::string::npos);
  CHECK(refused({"m", "--resume=1"}).starts_with("--resume: takes no value"));
  CHECK(refused({"m", "--resume="}).starts_with("--resume: takes no value"));
  CHECK(refused({"m", "--resmue"}).ends_with("did you mean \"--resume\"?"));
  CHECK(refused({"m", "--max_tokens=3"}).ends_with("did you mean \"--max-tokens\"?"));
  CHECK(refused({"m", "--resu"}).starts_with("unknown option \"--resu\""));
  CHECK(refused({"m", "-z"}).starts_with("unknown option \"-z\""));
  CHECK(refused({"m", "-5"}).starts_with("unknown option \"-5\""));
  CHECK(refused({"m", "--=x"}).starts_with("unknown option"));
}

TEST_CASE("read_arguments: numbers are strict decimals inside their range", "[cli]") {
  CHECK(refused({"m", "--top-k", "x"}) == "--top-k: expected an integer from 1 to 9, found \"x\"");
  for (const char* bad : {"", "0", "10", "1.5", "1e0", "0x1", " 1", "1 ", "+1", "true", "[1]",
                          "99999999999999999999", "-1"}) {
    CHECK(
        refused({"m", std::string("--top-k=") + bad}).starts_with("--top-k: expected an integer"));
  }
  for (const char* bad : {"", "nan", "inf", "-0.1", "1e999", "1,5", "0.5f"}) {
    CHECK(refused({"m", std::string("--temp=") + bad}) ==
          "--temperature: expected a number of at least 0, found \"" + std::string(bad) + "\"");
  }
  CHECK(refused({"m", "--max-time=0s"}).starts_with("--max-time: expected a time like 90s"));
  CHECK(refused({"m", "-n", "2000000"}).starts_with("--max-tokens: expected an integer from 0"));
}

TEST_CASE("command_help: shows everything in 80 columns", "[cli]") {
  CLI::App app("", "sluice eval");
  Everything all;
  app.set_help_flag();
  declare(app, all);
  const std::string help = command_help(app, "does things", "sluice eval m");
  for (const char* part :
       {"sluice eval: does things", "Usage: sluice eval MODEL [FILE]... [options]",
        "-n, --max-tokens N", "--temperature, --temp T", "--set KEY=JSON (repeatable)",
        "(default 200)", "(default 0.8)", "(default text)", "-h, --help",
        "Example:\n  sluice eval m\n"}) {
    INFO(part << "\n" << help);
    CHECK(help.find(part) != std::string::npos);
  }
  std::istringstream lines(help);
  for (std::string line; std::getline(lines, line);) {
    INFO(line);
    CHECK(line.size() <= 80);
    CHECK((line.empty() || line.back() != ' '));
  }
}

}  // namespace
}  // namespace sluice::cli
