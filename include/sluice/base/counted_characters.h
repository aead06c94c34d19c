#pragma once

#include <cstddef>
#include <iterator>

namespace sluice {

// Characters for a parser that takes iterators, counting how many it has taken: its events carry no
// position, and an error without one helps nobody. `taken` is shared by all copies.
class CountedCharacters {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  CountedCharacters(const char* at, std::size_t* taken) : at_(at), taken_(taken) {}
  reference operator*() const { return *at_; }
  CountedCharacters& operator++() {
    ++at_;
    ++*taken_;
    return *this;
  }
  CountedCharacters operator++(int) {
    CountedCharacters before = *this;
    ++*this;
    return before;
  }
  bool operator==(const CountedCharacters& other) const { return at_ == other.at_; }
  bool operator!=(const CountedCharacters& other) const { return at_ != other.at_; }

 private:
  const char* at_;
  std::size_t* taken_;
};

}  // namespace sluice
