// What tests of AMX kernels stand on where there is no AMX. Where there is, this asks the hardware.
#include "tests/support/amx_emulator.h"

#if SLUICE_TESTS_EMULATE_AMX

#include <setjmp.h>
#include <signal.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstring>
#include <limits>
#include <vector>

#include "src/kernels/simd/tiles.h"

// clang assembles them only in functions for such a CPU.
#define AMX __attribute__((target("amx-tile,amx-bf16")))

namespace sluice::testing {
namespace {

// Tiles 0 to 7 of 16 lines of 64 bytes, unless a test changes it.
struct Config {
  std::uint8_t bytes[64] = {1};
  Config() {
    for (int tile = 0; tile < 8; ++tile) set(tile, 16, 64);
  }
  Config& set(int tile, int rows, int row_bytes) {
    bytes[16 + 2 * tile] = static_cast<std::uint8_t>(row_bytes);
    bytes[48 + tile] = static_cast<std::uint8_t>(rows);
    return *this;
  }
  Config& put(int at, int byte) {
    bytes[at] = static_cast<std::uint8_t>(byte);
    return *this;
  }
  AMX void load() const {
    register const std::uint8_t* from asm("r9") = bytes;
    asm volatile("ldtilecfg (%0)" : : "r"(from) : "memory");
  }
};

struct Lines {
  alignas(64) std::uint8_t bytes[64 * 64];
  Lines() {
    for (int i = 0; i < 64 * 64; ++i) bytes[i] = static_cast<std::uint8_t>(i * 7 + i / 64);
  }
  const std::uint8_t* at(int line) const { return bytes + 64 * line; }
};

// Tile 1's lines, of a configuration of whole tiles.
AMX std::vector<std::uint8_t> stored() {
  std::vector<std::uint8_t> out(16 * 64);
  asm volatile("tilestored %%tmm1, (%0,%1)" : : "r"(out.data()), "r"(64L) : "memory");
  return out;
}

AMX void release() { asm volatile("tilerelease" : : : "memory"); }
AMX void clear() { asm volatile("tilezero %tmm1"); }
// What assemblers refuse: tdpbf16ps %tmm2, %tmm2, %tmm1.
void multiply_by_itself() { asm volatile(".byte 0xc4, 0xe2, 0x6a, 0x5c, 0xca"); }
AMX void multiply() { asm volatile("tdpbf16ps %tmm3, %tmm2, %tmm1"); }

#define DEFINE_LOAD(NAME, CODE, BASE, INDEX)                 \
  AMX void NAME(const std::uint8_t* from, long pitch) {      \
    register const std::uint8_t* base asm(BASE) = from;      \
    register long index asm(INDEX) = pitch;                  \
    asm volatile(CODE : : "r"(base), "r"(index) : "memory"); \
  }
DEFINE_LOAD(load_plain, "tileloadd (%0,%1), %%tmm1", "rax", "rcx")
DEFINE_LOAD(load_one_line, "tileloadd (%0), %%tmm1", "rdx", "rcx")
DEFINE_LOAD(load_scaled, "tileloadd (%0,%1,4), %%tmm1", "rbx", "rsi")
DEFINE_LOAD(load_high_index, "tileloadd (%0,%1), %%tmm1", "rdi", "r8")
DEFINE_LOAD(load_near, "tileloadd -64(%0,%1), %%tmm1", "r9", "r10")
DEFINE_LOAD(load_far, "tileloadd 1024(%0,%1,2), %%tmm1", "r11", "r12")
DEFINE_LOAD(load_r12, "tileloadd (%0,%1), %%tmm1", "r12", "r13")
DEFINE_LOAD(load_r13, "tileloadd (%0,%1), %%tmm1", "r13", "r12")
DEFINE_LOAD(load_eighths, "tileloadd 64(%0,%1,8), %%tmm1", "r14", "r15")
DEFINE_LOAD(load_hinted, "tileloaddt1 (%0,%1), %%tmm1", "r15", "rdx")
#undef DEFINE_LOAD

TEST_CASE("AMX: lines are read from where every form of address says", "[kernels]") {
  kernels::simd::find_amx_kernels();
  const AmxEmulator emulator;
  const Lines lines;
  Config().load();
  struct {
    void (*load)(const std::uint8_t* from, long pitch);
    int from;
    long pitch;
    int first, step;  // of the tile
  } const forms[] = {{load_plain, 0, 64, 0, 64},   {load_one_line, 3, 64, 3, 0},
                     {load_scaled, 0, 32, 0, 128}, {load_high_index, 30, -64, 30, -64},
                     {load_near, 5, 64, 4, 64},    {load_far, 1, 32, 17, 64},
                     {load_r12, 2, 64, 2, 64},     {load_r13, 6, 64, 6, 64},
                     {load_eighths, 6, 8, 7, 64},  {load_hinted, 9, 64, 9, 64}};
  for (const auto& form : forms) {
    form.load(lines.at(form.from), form.pitch);
    const std::vector<std::uint8_t> out = stored();
    INFO("form " << &form - forms);
    for (int row = 0; row < 16; ++row) {
      CHECK(std::memcmp(out.data() + 64 * row, lines.at(form.first) + form.step * row, 64) == 0);
    }
  }
}

TEST_CASE("AMX: a configuration clears tiles and says what of them there is", "[kernels]") {
  kernels::simd::find_amx_kernels();
  const AmxEmulator emulator;
  const Lines lines;
  release();
  CHECK_FALSE(emulator.has_tiles());
  const Config whole;
  whole.load();
  CHECK(emulator.has_tiles());
  load_plain(lines.at(0), 64);
  whole.load();
  CHECK(stored() == std::vector<std::uint8_t>(16 * 64, 0));

  Config().set(1, 3, 20).load();
  CHECK_THROWS(emulator.has_tiles());
  load_plain(lines.at(0), 64);
  std::vector<std::uint8_t> expected(16 * 64, 0);
  for (int row = 0; row < 3; ++row) std::memcpy(expected.data() + 64 * row, lines.at(row), 20);
  CHECK(stored() == expected);
}

TEST_CASE("AMX: products flush denormals and add even and odd places apart", "[kernels]") {
  kernels::simd::find_amx_kernels();
  const AmxEmulator emulator;
  // One row of two pairs by one column: 4 numbers.
  Config().set(1, 1, 4).set(2, 1, 8).set(3, 2, 4).load();
  const auto product = [](std::array<std::uint16_t, 4> a, std::array<std::uint16_t, 4> b,
                          float sum) AMX {
    asm volatile(
        "tileloadd (%0,%3), %%tmm1; tileloadd (%1,%3), %%tmm2; tileloadd (%2,%3), %%tmm3;"
        "tdpbf16ps %%tmm3, %%tmm2, %%tmm1; tilestored %%tmm1, (%0,%3)"
        :
        : "r"(&sum), "r"(a.data()), "r"(b.data()), "r"(4L)
        : "memory");
    return sum;
  };
  constexpr std::uint16_t kOne = 0x3F80, kTiny = 0x0040, kLeast = 0x0080, kHalf = 0x3F00,
                          k1024 = 0x4480;
  constexpr float kMin = std::numeric_limits<float>::min();
  CHECK(product({kOne, 0, 0, kHalf}, {kOne, 0, 0, kHalf}, 3) == 4.25F);
  CHECK(product({kTiny, 0, 0, 0}, {k1024, 0, 0, 0}, 0) == 0);
  CHECK(product({kLeast, 0, 0, 0}, {kOne, 0, 0, 0}, 0) == kMin);
  CHECK(product({kLeast, 0, 0, 0}, {kHalf, 0, 0, 0}, 0) == 0);
  CHECK(product({kLeast, 0, kLeast, 0}, {kHalf, 0, kHalf, 0}, 0) == 0);
  CHECK(product({kLeast, 0, 0, 0}, {kOne, 0, 0, 0}, kMin / 2) == kMin);
  // 2^24 + 1 would be rounded to 2^24 each time.
  CHECK(product({0x4B80, kOne, 0, kOne}, {kOne, kOne, kOne, kOne}, 0) == 0x1p24F + 2);
}

sigjmp_buf after_fault;

// Whether it raises a signal, an illegal instruction or an illegal access.
bool faults(void (*run)()) {
  kernels::simd::find_amx_kernels();
  struct sigaction action = {}, illegal, access;
  action.sa_handler = [](int) { siglongjmp(after_fault, 1); };
  sigaction(SIGILL, &action, &illegal);
  sigaction(SIGSEGV, &action, &access);
  volatile bool caught = true;
  {
    const AmxEmulator emulator;
    if (sigsetjmp(after_fault, 1) == 0) {
      run();
      caught = false;
    }
  }
  sigaction(SIGILL, &illegal, nullptr);
  sigaction(SIGSEGV, &access, nullptr);
  return caught;
}

TEST_CASE("AMX: what hardware refuses is refused", "[kernels]") {
  CHECK(faults([] { asm volatile("ud2"); }));
  CHECK_FALSE(faults([] { Config().load(); }));
  // Configurations.
  CHECK(faults([] { Config().put(0, 2).load(); }));
  for (const int reserved : {2, 15, 32, 47, 56, 63}) {
    static int at;
    at = reserved;
    INFO("byte " << reserved);
    CHECK(faults([] { Config().put(at, 1).load(); }));
  }
  CHECK(faults([] { Config().set(7, 17, 64).load(); }));
  CHECK(faults([] { Config().set(7, 16, 65).load(); }));
  CHECK(faults([] { Config().set(7, 0, 64).load(); }));
  CHECK(faults([] { Config().set(7, 16, 0).load(); }));
  // Tiles that are not there, or do not fit each other.
  CHECK_FALSE(faults([] { Config().load(), multiply(); }));
  CHECK(faults([] { release(), multiply(); }));
  CHECK(faults([] { release(), clear(); }));
  for (const int tile : {1, 2, 3}) {
    static int missing;
    missing = tile;
    CHECK(faults([] { Config().set(missing, 0, 0).load(), multiply(); }));
  }
  CHECK(faults([] { Config().set(1, 15, 64).load(), multiply(); }));
  CHECK(faults([] { Config().set(1, 16, 60).load(), multiply(); }));
  CHECK(faults([] { Config().set(2, 16, 60).load(), multiply(); }));
  CHECK(faults([] { Config().load(), multiply_by_itself(); }));
}

}  // namespace
}  // namespace sluice::testing

#endif
