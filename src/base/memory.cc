#include "sluice/base/memory.h"

#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <algorithm>
#include <cstdio>

#include "sluice/base/error.h"

namespace sluice {

std::uint64_t usable_memory() {
  const std::uint64_t machine = static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) *
                                static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  // cgroup v2: bytes, or "max".
  unsigned long long limit = machine;
  if (std::FILE* file = std::fopen("/sys/fs/cgroup/memory.max", "re")) {
    if (std::fscanf(file, "%llu", &limit) != 1) limit = machine;
    std::fclose(file);
  }
  return std::min<std::uint64_t>(machine, limit);
}

void require_memory(double bytes, std::string_view purpose) {
  const double most = static_cast<double>(usable_memory());
  if (bytes <= most) return;
  throw Error(ExitCode::kNoResource,
              "out of memory: {:.1f} GB wanted for {} (expected at most {:.1f} GB)", bytes / 1e9,
              purpose, most / 1e9);
}

ResidentMemory resident_memory() {
  ResidentMemory memory;
  std::FILE* file = std::fopen("/proc/self/status", "re");
  if (file == nullptr) return memory;
  char line[256];
  while (std::fgets(line, sizeof line, file) != nullptr) {
    unsigned long long kilobytes = 0;
    if (std::sscanf(line, "VmRSS: %llu kB", &kilobytes) == 1) memory.now = 1024 * kilobytes;
    if (std::sscanf(line, "VmHWM: %llu kB", &kilobytes) == 1) memory.peak = 1024 * kilobytes;
  }
  std::fclose(file);
  return memory;
}

void return_free_memory() {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

}  // namespace sluice
