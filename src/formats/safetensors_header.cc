#include "safetensors_header.h"

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <tuple>

namespace sluice::formats {
namespace {

void check_range(const HeaderText& text, const HeaderJson::Tensor& tensor,
                 std::uint64_t data_bytes) {
  const TensorInfo& info = tensor.info;
  const std::string name = quote(info.name);
  if (info.end < info.begin) {
    text.fail(tensor.name_at, "data_offsets of tensor {} reversed (found {}, {})", name, info.begin,
              info.end);
  }
  if (info.end > data_bytes) {
    text.fail(tensor.name_at,
              "tensor {} ends past the end of the file (expected at most {} bytes of data, found "
              "{})",
              name, data_bytes, info.end);
  }
  std::uint64_t bytes = 0;
  if (!tensor_bytes(info, bytes)) {
    text.fail(tensor.name_at, "size of tensor {} overflows (found shape {})", name,
              fmt::join(info.shape, " x "));
  }
  if (bytes != info.end - info.begin) {
    text.fail(tensor.name_at, "size of tensor {} is not that of its shape (expected {}, found {})",
              name, bytes, info.end - info.begin);
  }
}

void check_names(const HeaderText& text, const std::vector<HeaderJson::Tensor>& tensors) {
  std::vector<const HeaderJson::Tensor*> sorted;
  sorted.reserve(tensors.size());
  for (const HeaderJson::Tensor& tensor : tensors) sorted.push_back(&tensor);
  std::sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) {
    return std::tie(a->info.name, a->name_at) < std::tie(b->info.name, b->name_at);
  });
  for (std::size_t i = 1; i < sorted.size(); ++i) {
    if (sorted[i]->info.name == sorted[i - 1]->info.name) {
      text.fail(sorted[i]->name_at, "tensor {} appears twice", quote(sorted[i]->info.name));
    }
  }
}

// Every byte of data belongs to exactly one tensor.
void check_coverage(const HeaderText& text, const std::vector<HeaderJson::Tensor>& tensors,
                    std::uint64_t data_bytes) {
  std::uint64_t covered = 0;
  for (const HeaderJson::Tensor& tensor : tensors) {
    if (tensor.info.begin != covered) {
      text.fail(tensor.name_at, "{} tensor {} (expected it to begin at {} of the data, found {})",
                tensor.info.begin > covered ? "gap before" : "overlap at", quote(tensor.info.name),
                covered, tensor.info.begin);
    }
    covered = tensor.info.end;
  }
  if (covered != data_bytes) {
    text.fail(text.json.size() + covered,
              "bytes after the last tensor (expected the end of the file, found {} more bytes)",
              data_bytes - covered);
  }
}

// A file carries all of our checksums or none: one lost key must not switch the check off.
void check_checksums(const HeaderText& text, const HeaderJson& header) {
  std::size_t found = 0;
  for (auto at = header.metadata.lower_bound(std::string(kChecksumPrefix));
       at != header.metadata.end() && at->first.starts_with(kChecksumPrefix); ++at) {
    ++found;
  }
  if (found == 0) return;
  constexpr std::string_view kHint = "; the file is damaged, or another program rewrote it";
  for (const HeaderJson::Tensor& tensor : header.tensors) {
    const auto at = header.metadata.find(std::string(kDataChecksumPrefix) + tensor.info.name);
    if (at == header.metadata.end()) {
      text.fail(tensor.name_at, "tensor {} has no checksum{}", quote(tensor.info.name), kHint);
    }
  }
  const auto own = header.metadata.find(std::string(kHeaderChecksumKey));
  if (own == header.metadata.end() || header.header_digits_at == 0) {
    text.fail(0, "header has no checksum of {} digits{}", kChecksumDigits, kHint);
  }
  if (found != header.tensors.size() + 1) {
    text.fail(0, "checksums of tensors that are not there (expected {} in all, found {}){}",
              header.tensors.size() + 1, found, kHint);
  }
  const std::string actual = header_checksum(text.json, header.header_digits_at);
  if (own->second != actual) {
    text.fail(header.header_digits_at, "wrong checksum of the header (expected {}, found {}){}",
              quote(own->second), actual, kHint);
  }
}

std::string json_string(std::string_view text) {
  try {
    return nlohmann::json(text).dump();
  } catch (const nlohmann::json::exception&) {
    throw Error(ExitCode::kInternal, "{} in a safetensors header is not UTF-8", quote(text));
  }
}

std::string json_tensor(const TensorInfo& tensor) {
  return fmt::format(R"({}:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})",
                     json_string(tensor.name), dtype_name(tensor.dtype),
                     fmt::join(tensor.shape, ","), tensor.begin, tensor.end);
}

}  // namespace

bool tensor_bytes(const TensorInfo& tensor, std::uint64_t& bytes) {
  bytes = dtype_size(tensor.dtype);
  for (const std::uint64_t size : tensor.shape) {
    if (__builtin_mul_overflow(bytes, size, &bytes)) return false;
  }
  return true;
}

Header parse_header(const HeaderText& text, std::uint64_t data_bytes) {
  HeaderJson json = parse_header_json(text);
  for (const HeaderJson::Tensor& tensor : json.tensors) check_range(text, tensor, data_bytes);
  check_names(text, json.tensors);
  std::sort(json.tensors.begin(), json.tensors.end(), [](const auto& a, const auto& b) {
    return std::tie(a.info.begin, a.info.end, a.info.name) <
           std::tie(b.info.begin, b.info.end, b.info.name);
  });
  check_coverage(text, json.tensors, data_bytes);
  check_checksums(text, json);
  Header header;
  header.metadata = std::move(json.metadata);
  header.tensors.reserve(json.tensors.size());
  for (HeaderJson::Tensor& tensor : json.tensors) header.tensors.push_back(std::move(tensor.info));
  return header;
}

std::string header_checksum(std::string_view json, std::size_t digits_at) {
  std::array<std::byte, kHeaderLengthBytes> length{};
  for (std::size_t i = 0; i < length.size(); ++i) {
    length[i] = static_cast<std::byte>(json.size() >> (8 * i) & 0xff);
  }
  Checksum sum;
  sum.add(length);
  sum.add(json.substr(0, digits_at));
  sum.add(std::string(kChecksumDigits, '0'));
  sum.add(json.substr(digits_at + kChecksumDigits));
  return to_hex(sum.value());
}

std::string build_header(const Metadata& metadata, const std::vector<TensorInfo>& tensors,
                         std::vector<std::size_t>& digits_at) {
  // Keys sorted by their bytes, so that equal content gives equal files.
  Metadata all;
  for (const auto& [key, value] : metadata) {
    // Checksums that came along with metadata read from another file are of that file.
    if (!key.starts_with(kChecksumPrefix)) all.emplace(key, value);
  }
  all["format"] = "pt";  // some readers refuse metadata without it
  const std::string zeros(kChecksumDigits, '0');
  for (const TensorInfo& tensor : tensors)
    all[std::string(kDataChecksumPrefix) + tensor.name] = zeros;
  all[std::string(kHeaderChecksumKey)] = zeros;

  std::map<std::string, std::size_t> value_ends;
  std::string json = fmt::format("{{\"{}\":{{", kMetadataName);
  for (const auto& [key, value] : all) {
    json += json_string(key) + ":" + json_string(value);
    if (key.starts_with(kChecksumPrefix)) value_ends[key] = json.size();
    json += ',';
  }
  json.back() = '}';
  for (const TensorInfo& tensor : tensors) json += "," + json_tensor(tensor);
  json += '}';
  json.append((8 - (kHeaderLengthBytes + json.size()) % 8) % 8, ' ');

  digits_at.clear();
  for (const TensorInfo& tensor : tensors) {
    digits_at.push_back(value_ends.at(std::string(kDataChecksumPrefix) + tensor.name));
  }
  digits_at.push_back(value_ends.at(std::string(kHeaderChecksumKey)));
  for (std::size_t& at : digits_at) at -= kChecksumDigits + 1;
  return json;
}

}  // namespace sluice::formats
