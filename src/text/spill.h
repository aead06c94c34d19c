#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace sluice::text {

// A file without a name that holds what may not fit in memory: first appended to, then copied out.
// Its space is freed however the process ends. Error kOutput from every function.
class Spill {
 public:
  explicit Spill(const std::string& directory);
  ~Spill();
  Spill(const Spill&) = delete;
  Spill& operator=(const Spill&) = delete;

  void append(std::span<const std::byte> data);
  std::uint64_t size() const { return flushed_ + buffer_.size(); }
  // All of it, from the start, in pieces.
  void copy_to(const std::function<void(std::span<const std::byte>)>& write);

 private:
  void flush();
  [[noreturn]] void fail(const char* operation, int error) const;

  std::string directory_;
  int fd_ = -1;
  std::vector<std::byte> buffer_;
  std::uint64_t flushed_ = 0;
};

}  // namespace sluice::text
