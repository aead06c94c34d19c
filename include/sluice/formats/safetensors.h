#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/base/file.h"

// safetensors: u64 little-endian header length | JSON header | tensor bytes. One hardened reader
// and one writer serve models, checkpoints and token files; nothing here knows what a model is.
// Other readers of the format load our files as they are. Beyond the format, our files carry
// XXH3-64 checksums in the metadata, 16 hex digits each: "sluice.xxh3.header" (over the length and
// header bytes with that value's digits as zeros) and "sluice.xxh3.data:NAME" for each tensor.
namespace sluice::formats {

enum class Dtype { kU8, kU16, kU32, kI64, kF32, kF64, kBf16, kF16, kI8, kI16, kI32, kU64, kBool };
std::size_t dtype_size(Dtype dtype);
std::string_view dtype_name(Dtype dtype);  // "F32"

struct TensorInfo {
  std::string name;
  Dtype dtype = Dtype::kF32;
  std::vector<std::uint64_t> shape;
  std::uint64_t begin = 0, end = 0;  // byte range in the data part
  std::uint64_t elements() const;
};

// Whether a file that begins so is meant to be one: its header begins with a brace, behind a length
// below a terabyte, which eight letters of text are not. Errors in it are for the reader.
bool is_safetensors(std::string_view start);

using Metadata = std::map<std::string, std::string>;

// Writes a file whose tensors are declared up front and whose bytes are then produced one tensor at
// a time, so that no second copy of a model is needed. Metadata keys and tensors are written sorted
// (tensors by descending alignment, then name), so equal content gives equal bytes.
//
// The metadata always get "format":"pt", which other readers ask for; checksums in them, from a
// file they were read from, are replaced. Declaring what no reader would take, or producing another
// number of bytes than declared, is Error kInternal; a failing disk is kOutput.
class SafetensorsWriter {
 public:
  SafetensorsWriter(std::string path, Metadata metadata);
  // Into a file without a name (base/file.h): its descriptor, and what errors call it.
  SafetensorsWriter(std::string path, Metadata metadata, int descriptor);
  ~SafetensorsWriter();
  void declare(std::string name, Dtype dtype, std::vector<std::uint64_t> shape);
  // Calls produce(info, write) for each declared tensor in file order; it must pass exactly the
  // tensor's bytes to `write`, in any number of pieces. Then commits the file atomically.
  using Write = std::function<void(std::span<const std::byte>)>;
  void commit(const std::function<void(const TensorInfo&, const Write& write)>& produce);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Opens and validates the whole header before anything else sees it: length within the file and 100
// MB, strict UTF-8 JSON with bounded depth and no duplicate keys, known dtypes, non-negative
// integer shapes and offsets, every product overflow-checked, tensors covering the data part
// exactly (no hole, overlap or tail), metadata a flat map of strings. Violations are Error
// kBadData: "PATH: offset N: ... (expected X, found Y)". Memory is bounded by the header's size.
// Tensor names are free text: print them through quote() only.
//
// A file with any of our checksums must have all of them, and the header's own must match.
class SafetensorsReader {
 public:
  explicit SafetensorsReader(std::string path);

  const std::string& path() const { return file_.path(); }
  const Metadata& metadata() const { return metadata_; }
  const std::vector<TensorInfo>& tensors() const { return tensors_; }  // in file order
  const TensorInfo* find(std::string_view name) const;
  const TensorInfo& get(std::string_view name) const;  // Error kBadData: no such tensor

  // Reads `out.size()` bytes from `offset` inside the tensor; leaving it is Error kInternal. Not
  // verified. Several threads may read at once.
  void read(const TensorInfo& tensor, std::uint64_t offset, std::span<std::byte> out) const;
  // The whole tensor, verified against its checksum where the file has one.
  std::vector<std::byte> read_all(const TensorInfo& tensor) const;
  // True when the file carries our checksums. verify() reads everything and throws kBadData at the
  // first tensor that does not match, naming it and its offset, or when there is nothing to match.
  bool has_checksums() const;
  void verify() const;

 private:
  void check_data(const TensorInfo& tensor, std::uint64_t found) const;

  InputFile file_;
  Metadata metadata_;
  std::vector<TensorInfo> tensors_;
  std::uint64_t data_start_ = 0;
};

}  // namespace sluice::formats
