#include "src/cli/file_table.h"

#include <fmt/format.h>

#include <algorithm>

#include "sluice/base/printable.h"

namespace sluice::cli {
namespace {

std::string cell(std::uint64_t value) { return std::to_string(value); }
std::string cell(double value) { return fmt::format("{:.3f}", value); }

}  // namespace

std::string file_table(const std::vector<FileRow>& rows) {
  std::vector<std::string> lines(rows.size() + 1);
  for (std::size_t column = 0; column < rows.at(0).figures.size(); ++column) {
    std::vector<std::string> cells = {rows[0].figures[column].first};
    for (const FileRow& row : rows) {
      cells.push_back(
          std::visit([](auto value) { return cell(value); }, row.figures[column].second));
    }
    std::size_t width = 0;
    for (const std::string& text : cells) width = std::max(width, text.size());
    for (std::size_t i = 0; i < lines.size(); ++i) {
      lines[i] += fmt::format("{:>{}}  ", cells[i], width);
    }
  }
  std::string table = lines[0] + "file\n";
  for (std::size_t i = 0; i < rows.size(); ++i) {
    table += lines[i + 1] + printable(rows[i].file) + "\n";
  }
  return table;
}

}  // namespace sluice::cli
