#include "source_dir.h"

namespace sluice::testing {

std::string source_dir() { return SLUICE_SOURCE_DIR; }

}  // namespace sluice::testing
