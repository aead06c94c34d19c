#include "src/cli/text_arguments.h"

#include <filesystem>

#include "sluice/text/corpus.h"
#include "src/cli/enum_option.h"

namespace sluice::cli {

void add_invalid_utf8(CLI::App& command, std::optional<std::string>& value,
                      const std::string& fallback) {
  add_option(command, "--invalid-utf8", value, enum_choices<text::InvalidUtf8>(),
             "what becomes of bytes that are not UTF-8; default: " + fallback);
}

void add_text_arguments(CLI::App& command, TextArguments& arguments) {
  add_list(command, "--train", arguments.train, "FILE",
           "training text, instead of data.train; .gz and patterns like 'books/*.txt' too");
  add_list(command, "--valid", arguments.valid, "FILE", "validation text, instead of data.valid");
  add_invalid_utf8(command, arguments.invalid_utf8, "data.invalid_utf8");
}

void apply_text_arguments(const TextArguments& arguments, text::DataConfig& data) {
  if (!arguments.train.empty()) data.train = arguments.train;
  if (!arguments.valid.empty()) data.valid = arguments.valid;
  data.invalid_utf8 = parse_invalid_utf8(arguments.invalid_utf8).value_or(data.invalid_utf8);
  for (std::vector<std::string>* files : {&data.train, &data.valid}) {
    *files = text::expand_files(*files);
    for (std::string& file : *files) file = absolute_path(file);
  }
  if (data.cache_dir) data.cache_dir = absolute_path(*data.cache_dir);
}

std::optional<text::InvalidUtf8> parse_invalid_utf8(const std::optional<std::string>& value) {
  if (!value) return std::nullopt;
  return parse_enum<text::InvalidUtf8>("--invalid-utf8", *value);
}

std::string absolute_path(const std::string& path) {
  if (path.empty() || path == "-") return path;
  return std::filesystem::absolute(path).lexically_normal().string();
}

}  // namespace sluice::cli
