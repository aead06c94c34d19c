#include "sluice/base/real.h"

namespace sluice {

const char ScalarLibrary<Real>::tag = 0;
const char the_only_scalar_library = 0;

}  // namespace sluice
