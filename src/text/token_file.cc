#include "sluice/text/token_file.h"

#include <algorithm>
#include <array>
#include <bit>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"
#include "sluice/formats/safetensors.h"
#include "token_format.h"

namespace sluice::text {
namespace {

static_assert(std::endian::native == std::endian::little, "token files are little-endian");

using formats::Dtype;
using formats::TensorInfo;

constexpr std::size_t kBlockIds = 8192;

const TensorInfo& get_list(const formats::SafetensorsReader& reader, std::string_view name,
                           Dtype dtype) {
  const TensorInfo& tensor = reader.get(name);
  if (tensor.dtype != dtype || tensor.shape.size() != 1) {
    throw Error(ExitCode::kBadData,
                "{}: tensor '{}': wrong type (expected a list of {}, found {} with {} dimensions)",
                printable(reader.path()), name, dtype_name(dtype), dtype_name(tensor.dtype),
                tensor.shape.size());
  }
  return tensor;
}

}  // namespace

struct TokenFile::State {
  explicit State(const std::string& path)
      : reader(path), header(parse_token_file_header(reader.metadata(), path)) {
    ids = &get_list(reader, "ids",
                    header.vocabulary <= kNarrowVocabulary ? Dtype::kU16 : Dtype::kU32);
    const std::uint64_t starts = get_list(reader, "line_starts", Dtype::kU64).elements();
    if (starts != header.counts.lines || starts == 0) {
      throw Error(ExitCode::kBadData, "{}: wrong number of line starts (expected {}, found {})",
                  printable(path), header.counts.lines, starts);
    }
    if (ids->elements() < starts || header.oov > ids->elements() ||
        header.literal_unknowns > ids->elements()) {
      throw Error(ExitCode::kBadData,
                  "{}: too few ids (expected one for each of {} lines, {} unknown forms and {} "
                  "literal <unk>, found {})",
                  printable(path), starts, header.oov, header.literal_unknowns, ids->elements());
    }
  }

  template <class Id>
  void read(std::uint64_t begin, std::span<int> out) const {
    std::array<Id, kBlockIds> block;
    while (!out.empty()) {
      const std::span<Id> ids_read(block.data(), std::min(out.size(), kBlockIds));
      reader.read(*ids, begin * sizeof(Id), std::as_writable_bytes(ids_read));
      for (std::size_t i = 0; i < ids_read.size(); ++i) {
        if (ids_read[i] >= header.vocabulary) {
          throw Error(ExitCode::kBadData,
                      "{}: token {}: id outside the vocabulary (expected below {}, found {})",
                      printable(reader.path()), begin + i, header.vocabulary, ids_read[i]);
        }
        out[i] = static_cast<int>(ids_read[i]);
      }
      begin += ids_read.size();
      out = out.subspan(ids_read.size());
    }
  }

  formats::SafetensorsReader reader;
  TokenFileHeader header;
  const TensorInfo* ids = nullptr;  // belongs to the reader
};

TokenFile::TokenFile(const std::string& path) : state_(std::make_shared<const State>(path)) {}

std::uint64_t TokenFile::size() const { return state_->ids->elements(); }

void TokenFile::read(std::uint64_t begin, std::span<int> out) const {
  if (begin > size() || out.size() > size() - begin) {
    throw Error(ExitCode::kInternal, "{}: tokens {} to {} wanted, the file has {}",
                printable(state_->reader.path()), begin, begin + out.size(), size());
  }
  if (state_->ids->dtype == Dtype::kU16) {
    state_->read<std::uint16_t>(begin, out);
  } else {
    state_->read<std::uint32_t>(begin, out);
  }
}

const CorpusCounts& TokenFile::counts() const { return state_->header.counts; }
std::uint64_t TokenFile::oov() const { return state_->header.oov; }
std::uint64_t TokenFile::literal_unknowns() const { return state_->header.literal_unknowns; }
int TokenFile::vocabulary() const { return static_cast<int>(state_->header.vocabulary); }
std::uint64_t TokenFile::corpus_hash() const { return state_->header.corpus_hash; }
std::uint64_t TokenFile::tokenizer_hash() const { return state_->header.tokenizer_hash; }
LineRange TokenFile::range() const { return state_->header.range; }

std::vector<std::uint64_t> TokenFile::frequencies() const {
  std::vector<std::uint64_t> counts(static_cast<std::size_t>(vocabulary()));
  std::vector<int> block(kBlockIds);
  for (std::uint64_t begin = 0; begin < size(); begin += kBlockIds) {
    block.resize(static_cast<std::size_t>(std::min<std::uint64_t>(kBlockIds, size() - begin)));
    read(begin, block);
    for (const int id : block) ++counts[static_cast<std::size_t>(id)];
  }
  return counts;
}

void TokenFile::verify() const {
  if (!state_->reader.has_checksums()) {
    throw Error(ExitCode::kBadData, "{}: no checksums (expected those every token file has)",
                printable(state_->reader.path()));
  }
  state_->reader.verify();
}

}  // namespace sluice::text
