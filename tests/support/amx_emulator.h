#pragma once

#if defined(__x86_64__) && defined(__linux__)
#define SLUICE_TESTS_EMULATE_AMX 1
#else
#define SLUICE_TESTS_EMULATE_AMX 0
#endif

namespace sluice::testing {

// While one lives, AMX instructions work in all threads: where they are illegal, the signal's
// handler executes each as Intel's manual says, on tiles of the thread. What hardware would fault
// on, and what is no instruction for tiles, goes on to the handler that was there before. A CPU
// that has them (and a system that allows them) runs them itself. Make it inside a test: Catch2 has
// a handler of its own around each.
class AmxEmulator {
 public:
  AmxEmulator();
  ~AmxEmulator();
  AmxEmulator(const AmxEmulator&) = delete;
  AmxEmulator& operator=(const AmxEmulator&) = delete;

  // Not where hardware does it. Releases this thread's tiles.
  bool is_needed() const;
  // Whether this thread has all eight tiles, of 16 lines of 64 bytes; false: none at all. Any other
  // state is an error.
  bool has_tiles() const;
};

}  // namespace sluice::testing
