#include "tests/support/amx_emulator.h"

#if SLUICE_TESTS_EMULATE_AMX

#include <signal.h>
#include <ucontext.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <stdexcept>

namespace sluice::testing {
namespace {

constexpr int kTiles = 8, kMostRows = 16, kMostBytes = 64;

struct Tile {
  int rows = 0, bytes = 0;  // configured; 0: not at all
  alignas(64) std::uint8_t data[kMostRows][kMostBytes] = {};
};

struct Tiles {
  bool configured = false;
  std::uint8_t start_row = 0;
  Tile tiles[kTiles];
};

thread_local Tiles thread_tiles;
thread_local volatile sig_atomic_t executed = 0;  // the last instruction
struct sigaction previous_action;
int emulators = 0;

// Signed zero in place of a denormal: DAZ and FTZ.
[[gnu::always_inline]] inline float flush(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  return std::bit_cast<float>((bits & 0x7F800000) == 0 ? bits & 0x80000000 : bits);
}

[[gnu::always_inline]] inline float widen(const std::uint8_t* pair, int parity) {
  std::uint32_t bits;
  std::memcpy(&bits, pair, sizeof(bits));
  return flush(std::bit_cast<float>(parity == 0 ? bits << 16 : bits & 0xFFFF0000));
}

// Intel SDM, TDPBF16PS: sums of numbers at even and at odd places. Columns beyond those that b has
// are zeros.
[[gnu::always_inline]] inline void multiply_rows(Tile& sums, const Tile& a, const Tile& b) {
  float factors[2][16][16];
  for (int parity = 0; parity < 2; ++parity) {
    for (int k = 0; k < b.rows; ++k) {
      for (int n = 0; n < 16; ++n) factors[parity][k][n] = widen(b.data[k] + 4 * n, parity);
    }
  }
  for (int row = 0; row < sums.rows; ++row) {
    float parts[2][16] = {};
    for (int parity = 0; parity < 2; ++parity) {
      for (int k = 0; k < b.rows; ++k) {
        const float x = widen(a.data[row] + 4 * k, parity);
        for (int n = 0; n < 16; ++n) {
          parts[parity][n] = flush(std::fma(x, factors[parity][k][n], parts[parity][n]));
        }
      }
    }
    float line[16];
    std::memcpy(line, sums.data[row], sizeof(line));
    for (int n = 0; n < 16; ++n) line[n] = flush(flush(line[n]) + flush(parts[0][n] + parts[1][n]));
    std::memcpy(sums.data[row], line, static_cast<std::size_t>(sums.bytes));
  }
}

// Without an instruction for it, each fused multiply-add is a slow call.
[[gnu::target("avx2,fma")]] void multiply_fused(Tile& sums, const Tile& a, const Tile& b) {
  multiply_rows(sums, a, b);
}
void multiply_called(Tile& sums, const Tile& a, const Tile& b) { multiply_rows(sums, a, b); }

// Numbers of registers in instructions, in their order there.
constexpr int kRegisters[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                REG_R12, REG_R13, REG_R14, REG_R15};

// An instruction with a prefix of three bytes, VEX.128.0F38.W0, as all those for tiles are.
struct Instruction {
  int prefix = 0;  // none, 66, F3, F2
  int opcode = 0;
  int mod = 0, reg = 0, rm = 0;  // with the prefix's bits
  int second = 0;                // VEX.vvvv
  bool has_sib = false;
  std::uint64_t base = 0, index = 0;  // of memory: base with displacement, scaled index
  std::uint64_t next = 0;             // address of the instruction after it
};

// Intel SDM, volume 2, 2.1.5 and 2.3.5.
bool decode(const greg_t* registers, Instruction& in) {
  const auto start = static_cast<std::uint64_t>(registers[REG_RIP]);
  const auto* at = reinterpret_cast<const std::uint8_t*>(start);
  const auto value = [&](int number) {
    return static_cast<std::uint64_t>(registers[kRegisters[number]]);
  };
  if (at[0] != 0xC4 || (at[1] & 0x1F) != 2 || (at[2] & 0x84) != 0) return false;
  const int r = at[1] & 0x80 ? 0 : 8, x = at[1] & 0x40 ? 0 : 8, b = at[1] & 0x20 ? 0 : 8;
  in.second = (at[2] >> 3 & 0xF) ^ 0xF;
  in.prefix = at[2] & 3;
  in.opcode = at[3];
  in.mod = at[4] >> 6;
  in.reg = (at[4] >> 3 & 7) + r;
  in.rm = (at[4] & 7) + b;
  at += 5;
  if (in.mod == 3) {
    in.next = reinterpret_cast<std::uint64_t>(at);
    return true;
  }
  int base = in.rm;
  in.has_sib = (in.rm & 7) == 4;
  if (in.has_sib) {
    const int index = (*at >> 3 & 7) + x;
    if (index != 4) in.index = value(index) << (*at >> 6);
    base = (*at++ & 7) + b;
  }
  const bool no_base = in.mod == 0 && (base & 7) == 5;
  std::int64_t displacement = 0;
  if (in.mod == 1) {
    displacement = static_cast<std::int8_t>(*at++);
  } else if (in.mod == 2 || no_base) {
    std::int32_t wide;
    std::memcpy(&wide, at, sizeof(wide));
    displacement = wide;
    at += 4;
  }
  in.next = reinterpret_cast<std::uint64_t>(at);
  if (!no_base) {
    in.base = value(base);
  } else if (!in.has_sib) {
    in.base = in.next;
  }
  in.base += static_cast<std::uint64_t>(displacement);
  return true;
}

std::uint8_t* memory(std::uint64_t address) { return reinterpret_cast<std::uint8_t*>(address); }

// False: a fault, as of all below. Intel SDM, LDTILECFG.
bool configure(const std::uint8_t* from) {
  std::uint8_t bytes[64];
  std::memcpy(bytes, from, sizeof(bytes));
  Tiles made;
  if (bytes[0] > 1) return false;
  if (bytes[0] == 1) {
    const auto zero = [&](int first, int end) {
      return std::all_of(bytes + first, bytes + end, [](auto byte) { return byte == 0; });
    };
    if (!zero(2, 16) || !zero(16 + 2 * kTiles, 48) || !zero(48 + kTiles, 64)) return false;
    made.configured = true;
    made.start_row = bytes[1];
    for (int n = 0; n < kTiles; ++n) {
      Tile& tile = made.tiles[n];
      tile.bytes = bytes[16 + 2 * n] + 256 * bytes[17 + 2 * n];
      tile.rows = bytes[48 + n];
      if (tile.bytes > kMostBytes || tile.rows > kMostRows) return false;
      if ((tile.bytes == 0) != (tile.rows == 0)) return false;
    }
  }
  thread_tiles = made;
  return true;
}

void store_configuration(std::uint8_t* to) {
  std::uint8_t bytes[64] = {};
  if (thread_tiles.configured) {
    bytes[0] = 1;
    bytes[1] = thread_tiles.start_row;
    for (int n = 0; n < kTiles; ++n) {
      bytes[16 + 2 * n] = static_cast<std::uint8_t>(thread_tiles.tiles[n].bytes);
      bytes[48 + n] = static_cast<std::uint8_t>(thread_tiles.tiles[n].rows);
    }
  }
  std::memcpy(to, bytes, sizeof(bytes));
}

// Null: a fault.
Tile* find_tile(int number) {
  if (!thread_tiles.configured || number >= kTiles) return nullptr;
  Tile* tile = &thread_tiles.tiles[number];
  return tile->rows > 0 ? tile : nullptr;
}

bool load_or_store(const Instruction& in, bool stores) {
  Tile* tile = find_tile(in.reg);
  if (tile == nullptr || !in.has_sib || thread_tiles.start_row >= tile->rows) return false;
  for (int row = thread_tiles.start_row; row < tile->rows; ++row) {
    std::uint8_t* line = memory(in.base + static_cast<std::uint64_t>(row) * in.index);
    const auto bytes = static_cast<std::size_t>(tile->bytes);
    stores ? std::memcpy(line, tile->data[row], bytes) : std::memcpy(tile->data[row], line, bytes);
  }
  thread_tiles.start_row = 0;
  return true;
}

bool multiply(const Instruction& in) {
  Tile *sums = find_tile(in.reg), *a = find_tile(in.rm), *b = find_tile(in.second);
  if (sums == nullptr || a == nullptr || b == nullptr) return false;
  if (sums == a || sums == b || a == b || thread_tiles.start_row != 0) return false;
  if (sums->bytes % 4 != 0 || a->bytes % 4 != 0 || b->bytes % 4 != 0) return false;
  if (sums->rows != a->rows || sums->bytes != b->bytes || a->bytes / 4 != b->rows) return false;
  static const bool has_fused = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  has_fused ? multiply_fused(*sums, *a, *b) : multiply_called(*sums, *a, *b);
  return true;
}

bool execute(const Instruction& in) {
  constexpr int kNone = 0, k66 = 1, kF3 = 2, kF2 = 3;
  const bool of_registers = in.mod == 3;
  if (in.opcode == 0x5C) return in.prefix == kF3 && of_registers && multiply(in);
  if (in.second != 0) return false;
  if (in.opcode == 0x4B && !of_registers && in.prefix != kNone) {
    return load_or_store(in, in.prefix == kF3);
  }
  if (in.opcode != 0x49) return false;
  if (of_registers && in.prefix == kF2 && in.rm == 0) {
    Tile* tile = find_tile(in.reg);
    if (tile == nullptr) return false;
    std::memset(tile->data, 0, sizeof(tile->data));
    return true;
  }
  if (in.reg != 0) return false;
  if (of_registers) {
    if (in.prefix != kNone || in.rm != 0) return false;
    thread_tiles = Tiles();
    return true;
  }
  if (in.prefix == kNone) return configure(memory(in.base + in.index));
  if (in.prefix != k66) return false;
  store_configuration(memory(in.base + in.index));
  return true;
}

void on_illegal_instruction(int, siginfo_t*, void* context) {
  greg_t* registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  bool any = false;
  // Signals take long: those that follow at once are executed as well.
  for (Instruction in; decode(registers, in) && execute(in); in = Instruction()) {
    registers[REG_RIP] = static_cast<greg_t>(in.next);
    any = true;
  }
  executed = any ? 1 : 0;
  // The instruction runs again and is that handler's.
  if (!any) sigaction(SIGILL, &previous_action, nullptr);
}

// clang assembles them only in functions for such a CPU.
[[gnu::target("amx-tile")]] void release() { asm volatile("tilerelease" : : : "memory"); }
[[gnu::target("amx-tile")]] void read_configuration(std::uint8_t (&to)[64]) {
  asm volatile("sttilecfg %0" : "=m"(to) : : "memory");
}

}  // namespace

AmxEmulator::AmxEmulator() {
  if (emulators++ > 0) return;
  struct sigaction action = {};
  action.sa_sigaction = on_illegal_instruction;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGILL, &action, &previous_action);
}

AmxEmulator::~AmxEmulator() {
  if (--emulators == 0) sigaction(SIGILL, &previous_action, nullptr);
}

bool AmxEmulator::is_needed() const {
  executed = 0;
  release();
  return executed == 1;
}

bool AmxEmulator::has_tiles() const {
  std::uint8_t bytes[64];
  read_configuration(bytes);
  std::uint8_t all[64] = {1};
  for (int n = 0; n < kTiles; ++n) {
    all[16 + 2 * n] = kMostBytes;
    all[48 + n] = kMostRows;
  }
  if (std::equal(bytes, bytes + 64, all)) return true;
  if (std::all_of(bytes, bytes + 64, [](auto byte) { return byte == 0; })) return false;
  throw std::logic_error("tiles are configured otherwise");
}

}  // namespace sluice::testing

#endif
