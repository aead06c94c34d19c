#pragma once

#include <cstddef>

// The one place where the scalar type of the network is chosen. The library is compiled twice: in
// float for the product, in double for gradient checks (the "twin"). The two must never meet in one
// program: every file that sees Real refers to the tag of its own library, so a float object under
// a double test is an undefined reference and both libraries in one program are a double
// definition.
#ifndef SLUICE_REAL
#define SLUICE_REAL float
#endif

namespace sluice {

using Real = SLUICE_REAL;
using Index = std::ptrdiff_t;

template <class T>
struct ScalarLibrary;
template <>
struct ScalarLibrary<float> {
  static const char tag;
};
template <>
struct ScalarLibrary<double> {
  static const char tag;
};

// Defined by real.cc in both libraries: linking both is an error.
extern const char the_only_scalar_library;

namespace {
[[gnu::used]] const char* const scalar_library_of_this_file = &ScalarLibrary<Real>::tag;
}  // namespace

}  // namespace sluice
