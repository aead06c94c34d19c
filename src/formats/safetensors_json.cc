#include <array>
#include <nlohmann/json.hpp>
#include <optional>

#include "safetensors_header.h"
#include "sluice/base/counted_characters.h"

namespace sluice::formats {
namespace {

constexpr std::size_t kMaxMetadataEntries = 2 * kMaxTensors;
constexpr std::size_t kMaxKeptBytes = std::size_t{16} << 20;  // names and metadata together
constexpr std::size_t kMaxTokenBytes = std::size_t{4} << 20;  // the parser holds a token in copies

constexpr std::array kDtypes = {Dtype::kBool, Dtype::kU8,   Dtype::kI8,  Dtype::kU16, Dtype::kI16,
                                Dtype::kF16,  Dtype::kBf16, Dtype::kU32, Dtype::kI32, Dtype::kF32,
                                Dtype::kU64,  Dtype::kI64,  Dtype::kF64};

std::optional<Dtype> dtype_of(std::string_view name) {
  for (const Dtype dtype : kDtypes) {
    if (dtype_name(dtype) == name) return dtype;
  }
  return std::nullopt;
}

std::string known_dtypes() {
  std::string result;
  for (const Dtype dtype : kDtypes)
    result.append(result.empty() ? "" : " ").append(dtype_name(dtype));
  return result;
}

// Takes the parser's events. Any that the format does not foresee is an error at once, so nesting
// never gets deeper than the format's own.
class HeaderEvents {
 public:
  HeaderEvents(const HeaderText& text, const std::size_t& taken) : text_(text), taken_(taken) {}

  bool null() { wrong_value(taken_ - 4, "null"); }
  bool boolean(bool value) { wrong_value(taken_ - (value ? 4 : 5), value ? "true" : "false"); }
  bool number_integer(std::int64_t value) { wrong_value(number_at(), fmt::format("{}", value)); }
  bool number_unsigned(std::uint64_t value);
  bool number_float(double, const std::string& digits) {
    wrong_value(number_at(), digits.size() > 40 ? digits.substr(0, 40) + "..." : digits);
  }
  bool string(std::string& value);
  template <class Bytes>
  bool binary(Bytes&) {
    return false;  // JSON has none
  }
  bool key(std::string& name);
  bool start_object(std::size_t);
  bool end_object();
  bool start_array(std::size_t);
  bool end_array();
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) {
    text_.fail(taken_ == 0 ? 0 : taken_ - 1, "header is not well-formed JSON in UTF-8");
  }

  HeaderJson take() { return std::move(result_); }

 private:
  enum class Level { kStart, kTop, kMetadata, kTensor, kArray };
  enum class Field { kNone, kDtype, kShape, kOffsets };

  TensorInfo& tensor() { return result_.tensors.back().info; }
  std::string tensor_text() const { return "tensor " + quote(result_.tensors.back().info.name); }
  void start_metadata_key(std::string& name);
  void start_tensor(std::string& name);
  void start_field(const std::string& name);
  void finish_tensor();
  void keep(std::size_t bytes);
  std::string subject() const;
  std::string_view expected() const;
  [[noreturn]] void wrong_value(std::size_t at, const std::string& found) const {
    text_.fail(at, "wrong value of {} (expected {}, found {})", subject(), expected(), found);
  }
  std::size_t string_at() const;
  std::size_t number_at() const;

  const HeaderText& text_;
  const std::size_t& taken_;
  HeaderJson result_;
  Level level_ = Level::kStart;
  bool has_metadata_ = false, metadata_next_ = false;
  std::string metadata_key_;
  Field field_ = Field::kNone;
  bool has_dtype_ = false, has_shape_ = false, has_offsets_ = false;
  std::vector<std::uint64_t> offsets_;
  std::size_t kept_bytes_ = 0;
};

// Where the string just read begins: quotes inside it have an odd number of backslashes in front.
std::size_t HeaderEvents::string_at() const {
  std::size_t at = taken_ - 1;
  while (at > 0) {
    if (text_.json[--at] != '"') continue;
    std::size_t backslashes = 0;
    while (backslashes < at && text_.json[at - 1 - backslashes] == '\\') ++backslashes;
    if (backslashes % 2 == 0) break;
  }
  return at;
}

// Where the number just read begins; the parser has taken one character past its end.
std::size_t HeaderEvents::number_at() const {
  const auto in_number = [&](std::size_t at) {
    return std::string_view("+-.0123456789Ee").find(text_.json[at]) != std::string_view::npos;
  };
  std::size_t at = taken_;
  if (at > 0 && !in_number(at - 1)) --at;
  while (at > 0 && in_number(at - 1)) --at;
  return at;
}

std::string HeaderEvents::subject() const {
  if (level_ == Level::kMetadata) return "metadata " + quote(metadata_key_);
  if (level_ == Level::kTop && metadata_next_) return std::string(kMetadataName);
  if (level_ == Level::kStart) return "header";
  const char* field = field_ == Field::kDtype     ? "dtype of "
                      : field_ == Field::kShape   ? "shape of "
                      : field_ == Field::kOffsets ? "data_offsets of "
                                                  : "";
  return field + tensor_text();
}

std::string_view HeaderEvents::expected() const {
  if (level_ == Level::kMetadata) return "a string";
  if (level_ == Level::kArray) return "a non-negative integer";
  if (level_ == Level::kTensor) return field_ == Field::kDtype ? "a string" : "an array";
  return "an object";
}

void HeaderEvents::keep(std::size_t bytes) {
  kept_bytes_ += bytes;
  if (kept_bytes_ > kMaxKeptBytes) {
    text_.fail(taken_ - 1, "too much text in names and metadata (expected at most {} bytes)",
               kMaxKeptBytes);
  }
}

bool HeaderEvents::key(std::string& name) {
  if (level_ == Level::kTensor) {
    start_field(name);
  } else if (level_ == Level::kMetadata) {
    start_metadata_key(name);
  } else if (name == kMetadataName) {
    if (has_metadata_) text_.fail(string_at(), "{} appears twice", kMetadataName);
    has_metadata_ = metadata_next_ = true;
  } else {
    start_tensor(name);
  }
  return true;
}

void HeaderEvents::start_metadata_key(std::string& name) {
  if (result_.metadata.count(name) != 0) {
    text_.fail(string_at(), "metadata {} appears twice", quote(name));
  }
  if (result_.metadata.size() == kMaxMetadataEntries) {
    text_.fail(string_at(), "too many metadata keys (expected at most {})", kMaxMetadataEntries);
  }
  keep(name.size());
  metadata_key_ = std::move(name);
}

void HeaderEvents::start_tensor(std::string& name) {
  const std::size_t at = string_at();
  if (name.empty()) text_.fail(at, "tensor without a name");
  if (name.size() > kMaxNameBytes) {
    text_.fail(at, "name of tensor {} too long (expected at most {} bytes, found {})", quote(name),
               kMaxNameBytes, name.size());
  }
  if (name.find('\0') != std::string::npos) {
    text_.fail(at, "name of tensor {} contains a NUL", quote(name));
  }
  if (result_.tensors.size() == kMaxTensors) {
    text_.fail(at, "too many tensors (expected at most {})", kMaxTensors);
  }
  keep(name.size());
  result_.tensors.push_back({});
  result_.tensors.back().name_at = at;
  tensor().name = std::move(name);
  field_ = Field::kNone;
  has_dtype_ = has_shape_ = has_offsets_ = metadata_next_ = false;
  offsets_.clear();
}

void HeaderEvents::start_field(const std::string& name) {
  const auto begin = [&](Field field, bool& seen) {
    if (seen) text_.fail(string_at(), "{} of {} appears twice", name, tensor_text());
    field_ = field;
    seen = true;
  };
  if (name == "dtype") {
    begin(Field::kDtype, has_dtype_);
  } else if (name == "shape") {
    begin(Field::kShape, has_shape_);
  } else if (name == "data_offsets") {
    begin(Field::kOffsets, has_offsets_);
  } else {
    text_.fail(string_at(), "unknown key {} in {}", quote(name), tensor_text());
  }
}

bool HeaderEvents::string(std::string& value) {
  if (level_ == Level::kMetadata) {
    keep(value.size());
    // Digits written without escapes stand just before the closing quote.
    const bool digits = metadata_key_ == kHeaderChecksumKey && value.size() == kChecksumDigits &&
                        taken_ - string_at() == kChecksumDigits + 2;
    if (digits) result_.header_digits_at = taken_ - 1 - kChecksumDigits;
    result_.metadata.emplace(std::move(metadata_key_), std::move(value));
    return true;
  }
  if (level_ != Level::kTensor || field_ != Field::kDtype) {
    wrong_value(string_at(), quote(value, 40));
  }
  const std::optional<Dtype> dtype = dtype_of(value);
  if (!dtype) {
    text_.fail(string_at(), "unknown dtype of {} (expected one of {}, found {})", tensor_text(),
               known_dtypes(), quote(value, 40));
  }
  tensor().dtype = *dtype;
  return true;
}

bool HeaderEvents::number_unsigned(std::uint64_t value) {
  if (level_ != Level::kArray) wrong_value(number_at(), fmt::format("{}", value));
  constexpr std::uint64_t kMaxNumber = (std::uint64_t{1} << 63) - 1;
  if (value > kMaxNumber) {
    text_.fail(number_at(), "number too large in {} (expected at most {}, found {})", subject(),
               kMaxNumber, value);
  }
  std::vector<std::uint64_t>& list = field_ == Field::kShape ? tensor().shape : offsets_;
  const std::size_t limit = field_ == Field::kShape ? kMaxDimensions : 2;
  if (list.size() == limit) {
    text_.fail(number_at(), "too many numbers in {} (expected at most {})", subject(), limit);
  }
  list.push_back(value);
  return true;
}

bool HeaderEvents::start_object(std::size_t) {
  if (level_ == Level::kStart) {
    level_ = Level::kTop;
  } else if (level_ == Level::kTop) {
    level_ = metadata_next_ ? Level::kMetadata : Level::kTensor;
  } else {
    wrong_value(taken_ - 1, "an object");
  }
  return true;
}

bool HeaderEvents::end_object() {
  if (level_ == Level::kTensor) finish_tensor();
  level_ = Level::kTop;
  field_ = Field::kNone;
  return true;
}

bool HeaderEvents::start_array(std::size_t) {
  if (level_ != Level::kTensor || (field_ != Field::kShape && field_ != Field::kOffsets)) {
    wrong_value(taken_ - 1, "an array");
  }
  level_ = Level::kArray;
  return true;
}

bool HeaderEvents::end_array() {
  level_ = Level::kTensor;
  return true;
}

void HeaderEvents::finish_tensor() {
  const char* missing = !has_dtype_     ? "dtype"
                        : !has_shape_   ? "shape"
                        : !has_offsets_ ? "data_offsets"
                                        : nullptr;
  if (missing != nullptr) {
    text_.fail(result_.tensors.back().name_at, "{} has no {}", tensor_text(), missing);
  }
  if (offsets_.size() != 2) {
    text_.fail(taken_ - 1, "wrong data_offsets of {} (expected 2 numbers, found {})", tensor_text(),
               offsets_.size());
  }
  tensor().shape.shrink_to_fit();
  tensor().begin = offsets_[0];
  tensor().end = offsets_[1];
}

// Refuses strings, numbers and runs of spaces so long that the parser's copies of them would
// matter.
void bound_tokens(const HeaderText& text) {
  std::size_t start = 0;
  bool in_string = false;
  for (std::size_t at = 0; at < text.json.size(); ++at) {
    const char c = text.json[at];
    if (at - start > kMaxTokenBytes) {
      text.fail(start, "text or space too long (expected at most {} bytes)", kMaxTokenBytes);
    }
    if (c == '"') {
      in_string = !in_string;
      start = at;
    } else if (in_string && c == '\\') {
      ++at;
    } else if (!in_string && (c == ',' || c == ':' || c == '}')) {
      start = at;
    }
  }
}

}  // namespace

HeaderJson parse_header_json(const HeaderText& text) {
  if (text.json.empty() || text.json.front() != '{') {
    text.fail(0, "header does not start with {{ (expected a JSON object)");
  }
  const std::size_t end = text.json.find_last_not_of(" \t\r\n") + 1;
  const HeaderText trimmed{text.path, text.json.substr(0, end)};
  // The parser would take a zero byte for the end of its input.
  const std::size_t zero = trimmed.json.find('\0');
  if (zero != std::string_view::npos) text.fail(zero, "zero byte in the header");
  bound_tokens(trimmed);
  std::size_t taken = 0;
  HeaderEvents events(trimmed, taken);
  const char* const data = trimmed.json.data();
  nlohmann::json::sax_parse(CountedCharacters(data, &taken),
                            CountedCharacters(data + trimmed.json.size(), &taken), &events);
  return events.take();
}

}  // namespace sluice::formats
