#pragma once

#include <cstdint>
#include <string_view>

namespace sluice {

// Bytes of memory that this process may use: the machine's, or its cgroup's limit where that is
// lower.
std::uint64_t usable_memory();

// Error kNoResource when `bytes` for `purpose` are more than usable_memory(): said ahead of the
// kernel's own answer, which is to kill whoever touches the last page. A double, because what is
// asked for may overflow every integer.
void require_memory(double bytes, std::string_view purpose);

// Bytes of memory that this process holds now, and the most that it ever held; 0 where the system
// does not say.
struct ResidentMemory {
  std::uint64_t now = 0, peak = 0;
};
ResidentMemory resident_memory();

// Gives back to the system what was freed and the allocator kept.
void return_free_memory();

}  // namespace sluice
