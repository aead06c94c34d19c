#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"
#include "sluice/formats/safetensors.h"

// The JSON header of a safetensors file; private to src/formats. Limits beyond the format's own
// keep the memory that a hostile header can claim within the file's size plus some 60 MB.
namespace sluice::formats {

constexpr std::uint64_t kHeaderLengthBytes = 8;
constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;  // the format's limit
constexpr std::size_t kMaxTensors = 65'536;
constexpr std::size_t kMaxNameBytes = 65'535;
constexpr std::size_t kMaxDimensions = 32;

constexpr std::string_view kMetadataName = "__metadata__";
constexpr std::string_view kChecksumPrefix = "sluice.xxh3.";
constexpr std::string_view kHeaderChecksumKey = "sluice.xxh3.header";
constexpr std::string_view kDataChecksumPrefix = "sluice.xxh3.data:";
constexpr std::size_t kChecksumDigits = 16;

// The header's text and the file it is from; positions count from the start of the text, messages
// from the start of the file.
struct HeaderText {
  const std::string& path;
  std::string_view json;

  template <class... Arguments>
  [[noreturn]] void fail(std::size_t at, fmt::format_string<Arguments...> format,
                         Arguments&&... arguments) const {
    throw Error(ExitCode::kBadData, "{}: offset {}: {}", printable(path), kHeaderLengthBytes + at,
                fmt::format(format, std::forward<Arguments>(arguments)...));
  }
};

// What the JSON says, types and single fields checked, ranges not yet.
struct HeaderJson {
  struct Tensor {
    TensorInfo info;
    std::size_t name_at = 0;  // position of its name
  };
  Metadata metadata;
  std::vector<Tensor> tensors;       // in the order of the text
  std::size_t header_digits_at = 0;  // position of the header's checksum; 0: none
};
HeaderJson parse_header_json(const HeaderText& text);

struct Header {
  Metadata metadata;
  std::vector<TensorInfo> tensors;  // in file order
};

// Parses and validates all that can be known without the tensors' bytes, the header's own checksum
// included. Error kBadData.
Header parse_header(const HeaderText& text, std::uint64_t data_bytes);

// Bytes of a tensor of that shape, or false when the number overflows.
bool tensor_bytes(const TensorInfo& tensor, std::uint64_t& bytes);

// XXH3-64 over length and text, zeros standing for the digits at `digits_at`.
std::string header_checksum(std::string_view json, std::size_t digits_at);

// The header for these metadata and tensors (in file order, with ranges), padded with spaces so
// that the tensors start at a multiple of 8. All checksums are zeros: `digits_at` says where that
// of each tensor belongs and, last, the header's own. Error kInternal for text not in UTF-8.
std::string build_header(const Metadata& metadata, const std::vector<TensorInfo>& tensors,
                         std::vector<std::size_t>& digits_at);

}  // namespace sluice::formats
