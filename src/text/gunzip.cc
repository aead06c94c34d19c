#include "gunzip.h"

#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>
#include <vector>

#include "sluice/base/error.h"

namespace sluice::text {
namespace {

constexpr std::size_t kBlockBytes = 256 * 1024;
constexpr int kGzipOnly = 16;  // added to the window bits: no zlib header, checksum verified

}  // namespace

struct Gunzip::State {
  std::string name;
  std::function<std::string_view()> packed;
  z_stream stream{};
  std::vector<char> buffer = std::vector<char>(kBlockBytes);
  std::uint64_t taken = 0;  // bytes of the packed file, those in `stream` included
  bool between_members = false, ended = false;

  [[noreturn]] void fail(std::string_view what, std::string_view found) const {
    throw Error(ExitCode::kBadData, "{}: offset {}: {} (expected a whole gzip file, found: {})",
                name, taken - stream.avail_in, what, found);
  }

  void refill() {
    const std::string_view input = packed();
    if (input.empty() && !between_members) fail("gzip data cut short", "the end of the file");
    ended = input.empty();
    taken += input.size();
    // zlib does not write to its input.
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(input.data()));
    stream.avail_in = static_cast<uInt>(input.size());
  }

  // What tapes and block devices leave behind a file.
  void skip_zeros() {
    while (stream.avail_in > 0 && *stream.next_in == 0) {
      ++stream.next_in;
      --stream.avail_in;
    }
  }

  void unpack() {
    if (between_members) {
      skip_zeros();
      if (stream.avail_in == 0) return;
      inflateReset(&stream);
      between_members = false;
    }
    const int result = inflate(&stream, Z_NO_FLUSH);
    between_members = result == Z_STREAM_END;
    if (result == Z_OK || result == Z_BUF_ERROR || between_members) return;
    if (result == Z_MEM_ERROR) throw std::bad_alloc();
    fail("corrupt gzip data", stream.msg == nullptr ? "bytes that are not" : stream.msg);
  }
};

Gunzip::Gunzip(std::string name, std::function<std::string_view()> packed)
    : state_(std::make_unique<State>()) {
  state_->name = std::move(name);
  state_->packed = std::move(packed);
  if (inflateInit2(&state_->stream, kGzipOnly + MAX_WBITS) != Z_OK) throw std::bad_alloc();
}

Gunzip::~Gunzip() { inflateEnd(&state_->stream); }

std::string_view Gunzip::next() {
  State& state = *state_;
  state.stream.next_out = reinterpret_cast<Bytef*>(state.buffer.data());
  state.stream.avail_out = static_cast<uInt>(state.buffer.size());
  while (!state.ended && state.stream.avail_out > 0) {
    if (state.stream.avail_in == 0) state.refill();
    if (!state.ended) state.unpack();
  }
  return {state.buffer.data(), state.buffer.size() - state.stream.avail_out};
}

}  // namespace sluice::text
