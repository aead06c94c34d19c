#include "sluice/formats/safetensors.h"

#include <algorithm>
#include <array>
#include <tuple>
#include <utility>

#include "safetensors_header.h"

namespace sluice::formats {
namespace {

constexpr std::size_t kBlockBytes = std::size_t{1} << 20;

[[noreturn]] void fail_declaration(const std::string& path, const std::string& name,
                                   std::string_view what) {
  throw Error(ExitCode::kInternal, "{}: tensor {}: {}", printable(path), quote(name), what);
}

std::array<std::byte, kHeaderLengthBytes> little_endian(std::uint64_t value) {
  std::array<std::byte, kHeaderLengthBytes> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::byte>(value >> (8 * i) & 0xff);
  }
  return bytes;
}

std::uint64_t read_little_endian(std::span<const std::byte, kHeaderLengthBytes> bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;)
    value = value << 8 | std::to_integer<unsigned>(bytes[i]);
  return value;
}

std::string read_header(const InputFile& file) {
  std::array<std::byte, kHeaderLengthBytes> length_bytes{};
  const auto fail = [&](std::uint64_t offset, std::string_view what, std::uint64_t expected,
                        std::uint64_t found) {
    throw Error(ExitCode::kBadData, "{}: offset {}: {} (expected at most {}, found {})",
                printable(file.path()), offset, what, expected, found);
  };
  if (file.size() < kHeaderLengthBytes) {
    throw Error(ExitCode::kBadData,
                "{}: offset {}: too short for a safetensors file (expected at least {} bytes, "
                "found {})",
                printable(file.path()), file.size(), kHeaderLengthBytes, file.size());
  }
  file.read_at(0, length_bytes);
  const std::uint64_t length = read_little_endian(length_bytes);
  const std::uint64_t rest = file.size() - kHeaderLengthBytes;
  if (length > kMaxHeaderBytes) fail(0, "header too long", kMaxHeaderBytes, length);
  if (length > rest) fail(0, "header runs past the end of the file", rest, length);
  std::string json(length, '\0');
  file.read_at(kHeaderLengthBytes, std::as_writable_bytes(std::span(json)));
  return json;
}

}  // namespace

bool is_safetensors(std::string_view start) {
  if (start.size() <= kHeaderLengthBytes || start[kHeaderLengthBytes] != '{') return false;
  const std::span length(start.data(), kHeaderLengthBytes);
  return read_little_endian(std::as_bytes(length).first<kHeaderLengthBytes>()) >> 40 == 0;
}

std::size_t dtype_size(Dtype dtype) {
  switch (dtype) {
    case Dtype::kU8:
    case Dtype::kI8:
    case Dtype::kBool:
      return 1;
    case Dtype::kU16:
    case Dtype::kI16:
    case Dtype::kF16:
    case Dtype::kBf16:
      return 2;
    case Dtype::kU32:
    case Dtype::kI32:
    case Dtype::kF32:
      return 4;
    case Dtype::kU64:
    case Dtype::kI64:
    case Dtype::kF64:
      return 8;
  }
  return 0;
}

std::string_view dtype_name(Dtype dtype) {
  switch (dtype) {
    case Dtype::kU8:
      return "U8";
    case Dtype::kU16:
      return "U16";
    case Dtype::kU32:
      return "U32";
    case Dtype::kI64:
      return "I64";
    case Dtype::kF32:
      return "F32";
    case Dtype::kF64:
      return "F64";
    case Dtype::kBf16:
      return "BF16";
    case Dtype::kF16:
      return "F16";
    case Dtype::kI8:
      return "I8";
    case Dtype::kI16:
      return "I16";
    case Dtype::kI32:
      return "I32";
    case Dtype::kU64:
      return "U64";
    case Dtype::kBool:
      return "BOOL";
  }
  return "";
}

std::uint64_t TensorInfo::elements() const { return (end - begin) / dtype_size(dtype); }

struct SafetensorsWriter::State {
  std::string path;
  Metadata metadata;
  int descriptor = -1;  // of a file without a name
  std::vector<TensorInfo> tensors;

  void lay_out();
  std::string write_tensor(AtomicFile& file, const TensorInfo& tensor,
                           const std::function<void(const TensorInfo&, const Write&)>& produce);
};

SafetensorsWriter::SafetensorsWriter(std::string path, Metadata metadata)
    : state_(std::make_unique<State>()) {
  state_->path = std::move(path);
  state_->metadata = std::move(metadata);
}

SafetensorsWriter::SafetensorsWriter(std::string path, Metadata metadata, int descriptor)
    : SafetensorsWriter(std::move(path), std::move(metadata)) {
  state_->descriptor = descriptor;
}

SafetensorsWriter::~SafetensorsWriter() = default;

void SafetensorsWriter::declare(std::string name, Dtype dtype, std::vector<std::uint64_t> shape) {
  const bool bad_name = name.empty() || name.size() > kMaxNameBytes || name == kMetadataName ||
                        name.find('\0') != std::string::npos;
  if (bad_name) fail_declaration(state_->path, name, "not a tensor name");
  if (shape.size() > kMaxDimensions) fail_declaration(state_->path, name, "too many dimensions");
  if (state_->tensors.size() == kMaxTensors) {
    fail_declaration(state_->path, name, "too many tensors");
  }
  TensorInfo info{std::move(name), dtype, std::move(shape), 0, 0};
  if (!tensor_bytes(info, info.end)) fail_declaration(state_->path, info.name, "size overflows");
  state_->tensors.push_back(std::move(info));
}

// The reference order: descending alignment, then name; every tensor is then aligned to its dtype.
void SafetensorsWriter::State::lay_out() {
  std::sort(tensors.begin(), tensors.end(), [](const TensorInfo& a, const TensorInfo& b) {
    const std::size_t a_size = dtype_size(a.dtype);
    const std::size_t b_size = dtype_size(b.dtype);
    return std::tie(b_size, a.name) < std::tie(a_size, b.name);
  });
  std::uint64_t position = 0;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    TensorInfo& tensor = tensors[i];
    const std::uint64_t bytes = tensor.end - tensor.begin;
    tensor.begin = position;
    if (__builtin_add_overflow(position, bytes, &tensor.end)) {
      fail_declaration(path, tensor.name, "size overflows");
    }
    position = tensor.end;
  }
  std::vector<std::string_view> names;
  for (const TensorInfo& tensor : tensors) names.push_back(tensor.name);
  std::sort(names.begin(), names.end());
  const auto twin = std::adjacent_find(names.begin(), names.end());
  if (twin != names.end()) fail_declaration(path, std::string(*twin), "declared twice");
}

// Returns the checksum's digits.
std::string SafetensorsWriter::State::write_tensor(
    AtomicFile& file, const TensorInfo& tensor,
    const std::function<void(const TensorInfo&, const Write&)>& produce) {
  Checksum sum;
  const std::uint64_t expected = tensor.end - tensor.begin;
  std::uint64_t produced = 0;
  const auto check = [&](bool ok) {
    if (ok) return;
    fail_declaration(
        path, tensor.name,
        fmt::format("wrong number of bytes produced (expected {}, found {})", expected, produced));
  };
  produce(tensor, [&](std::span<const std::byte> bytes) {
    produced += bytes.size();
    check(produced <= expected);
    sum.add(bytes);
    file.write(bytes);
  });
  check(produced == expected);
  return to_hex(sum.value());
}

void SafetensorsWriter::commit(
    const std::function<void(const TensorInfo&, const Write& write)>& produce) {
  State& s = *state_;
  s.lay_out();
  std::vector<std::size_t> digits_at;
  std::string json = build_header(s.metadata, s.tensors, digits_at);
  if (json.size() > kMaxHeaderBytes) {
    throw Error(ExitCode::kInternal, "{}: header too long (expected at most {} bytes, found {})",
                printable(s.path), kMaxHeaderBytes, json.size());
  }
  AtomicFile file = s.descriptor < 0 ? AtomicFile(s.path) : AtomicFile(s.path, s.descriptor);
  file.write(little_endian(json.size()));
  file.write(json);
  for (std::size_t i = 0; i < s.tensors.size(); ++i) {
    json.replace(digits_at[i], kChecksumDigits, s.write_tensor(file, s.tensors[i], produce));
  }
  json.replace(digits_at.back(), kChecksumDigits, header_checksum(json, digits_at.back()));
  // The digits have a fixed width, so the header now fits where its draft stood.
  file.write_at(kHeaderLengthBytes, std::as_bytes(std::span(json)));
  file.commit();
}

SafetensorsReader::SafetensorsReader(std::string path) : file_(std::move(path)) {
  const std::string json = read_header(file_);
  data_start_ = kHeaderLengthBytes + json.size();
  Header header = parse_header({file_.path(), json}, file_.size() - data_start_);
  metadata_ = std::move(header.metadata);
  tensors_ = std::move(header.tensors);
}

const TensorInfo* SafetensorsReader::find(std::string_view name) const {
  const auto at = std::find_if(tensors_.begin(), tensors_.end(),
                               [&](const TensorInfo& tensor) { return tensor.name == name; });
  return at == tensors_.end() ? nullptr : &*at;
}

const TensorInfo& SafetensorsReader::get(std::string_view name) const {
  const TensorInfo* tensor = find(name);
  if (tensor == nullptr) {
    throw Error(ExitCode::kBadData, "{}: no tensor {} in the file", printable(path()), quote(name));
  }
  return *tensor;
}

void SafetensorsReader::read(const TensorInfo& tensor, std::uint64_t offset,
                             std::span<std::byte> out) const {
  const std::uint64_t bytes = tensor.end - tensor.begin;
  if (offset > bytes || out.size() > bytes - offset) {
    throw Error(ExitCode::kInternal, "{}: read outside tensor {}", printable(path()),
                quote(tensor.name));
  }
  file_.read_at(data_start_ + tensor.begin + offset, out);
}

bool SafetensorsReader::has_checksums() const {
  // The constructor has seen to it that there are all or none.
  return metadata_.count(std::string(kHeaderChecksumKey)) != 0;
}

void SafetensorsReader::check_data(const TensorInfo& tensor, std::uint64_t found) const {
  const auto expected = metadata_.find(std::string(kDataChecksumPrefix) + tensor.name);
  if (expected == metadata_.end() || expected->second == to_hex(found)) return;
  throw Error(ExitCode::kBadData,
              "{}: offset {}: wrong checksum of tensor {} (expected {}, found {}); the file is "
              "damaged",
              printable(path()), data_start_ + tensor.begin, quote(tensor.name),
              quote(expected->second, kChecksumDigits), to_hex(found));
}

std::vector<std::byte> SafetensorsReader::read_all(const TensorInfo& tensor) const {
  std::vector<std::byte> bytes(tensor.end - tensor.begin);
  read(tensor, 0, bytes);
  check_data(tensor, checksum(bytes));
  return bytes;
}

void SafetensorsReader::verify() const {
  if (!has_checksums()) {
    throw Error(ExitCode::kBadData, "{}: carries no checksums (expected metadata {})",
                printable(path()), kHeaderChecksumKey);
  }
  std::vector<std::byte> block(kBlockBytes);
  for (const TensorInfo& tensor : tensors_) {
    Checksum sum;
    const std::uint64_t bytes = tensor.end - tensor.begin;
    for (std::uint64_t at = 0; at < bytes; at += block.size()) {
      const auto piece = std::span(block).first(std::min<std::uint64_t>(block.size(), bytes - at));
      read(tensor, at, piece);
      sum.add(piece);
    }
    check_data(tensor, sum.value());
  }
}

}  // namespace sluice::formats
