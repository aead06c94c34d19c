#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace sluice::cli {

// What is told of a file: figures with their names, the same for each row of a table.
struct FileRow {
  std::string file;
  std::vector<std::pair<std::string, std::variant<std::uint64_t, double>>> figures;
};

// For people: the names above, figures to the right, and the file last, where the length of its
// name does no harm.
std::string file_table(const std::vector<FileRow>& rows);

// Json: nlohmann's, which headers do not include.
template <class Json>
Json figures_json(const FileRow& row) {
  Json all = Json::object();
  for (const auto& [name, figure] : row.figures) {
    std::visit([&all, &key = name](auto value) { all[key] = value; }, figure);
  }
  return all;
}

// The rows of files, each with its name.
template <class Json>
Json rows_json(const std::vector<FileRow>& rows) {
  Json all = Json::array();
  for (const FileRow& row : rows) {
    Json one = {{"file", row.file}};
    one.update(figures_json<Json>(row));
    all.push_back(one);
  }
  return all;
}

}  // namespace sluice::cli
