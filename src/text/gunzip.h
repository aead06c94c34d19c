#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace sluice::text {

// Unpacks a gzip stream (RFC 1952) of any number of members, as gzip(1) does: one after the other,
// zeros behind the last ignored. Memory does not depend on the stream.
class Gunzip {
 public:
  // `packed` gives the next bytes of the file, none at its end; `name` is what errors call it.
  Gunzip(std::string name, std::function<std::string_view()> packed);
  ~Gunzip();
  Gunzip(const Gunzip&) = delete;
  Gunzip& operator=(const Gunzip&) = delete;

  // The next unpacked bytes, none at the end. Error kBadData with the offset in the packed file:
  // corrupt, or cut short.
  std::string_view next();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sluice::text
