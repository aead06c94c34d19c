#include "byte_tokenizer.h"

#include <fmt/format.h>

namespace sluice::text {
namespace {

constexpr int kBytes = 256;

class ByteTokenizer final : public Tokenizer {
 public:
  TokenizerType type() const override { return TokenizerType::kByte; }
  int size() const override { return kBytes; }
  int end_of_line() const override { return '\n'; }
  int unknown() const override { return -1; }
  bool lossless() const override { return true; }
  bool carries_bytes() const override { return true; }

  void encode(std::string_view line, Encoding& out) const override {
    out.ids.reserve(out.ids.size() + line.size());
    for (const char c : line) out.ids.push_back(static_cast<unsigned char>(c));
    out.oov.resize(out.ids.size(), false);
  }

  void decode(int id, int, std::string& out) const override { out += static_cast<char>(id); }

  std::string describe(int id) const override {
    return id == end_of_line() ? std::string(kEndOfLineName) : fmt::format("0x{:02x}", id);
  }

  std::string serialise() const override { return "sluice tokenizer byte 1\n"; }
};

class ByteTrainer final : public TokenizerTrainer {
 public:
  void add_line(std::string_view) override {}
  std::unique_ptr<Tokenizer> finish() override { return std::make_unique<ByteTokenizer>(); }
};

}  // namespace

std::unique_ptr<TokenizerTrainer> make_byte_trainer() { return std::make_unique<ByteTrainer>(); }

std::unique_ptr<Tokenizer> restore_byte_tokenizer(StoredLines& lines) {
  lines.expect_end();
  return std::make_unique<ByteTokenizer>();
}

}  // namespace sluice::text
