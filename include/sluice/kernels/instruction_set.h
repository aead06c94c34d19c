#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "sluice/kernels/backend.h"

namespace sluice::kernels {

// Which kernels run: the plain ones, or those for the vector instructions of a kind of CPU.
enum class InstructionSet : std::uint8_t { kReference, kAvx2, kAvx512, kNeon };
std::string_view name_of(InstructionSet set);

// Those that this build has and this CPU can run, fastest first; kReference is always the last.
std::vector<InstructionSet> supported_instruction_sets();

// The fastest, or the one that the environment variable SLUICE_ISA names (unless it is empty).
// Error kUsage when that is none, or none that can run here.
InstructionSet chosen_instruction_set();

// The pool must outlive the backend. Error kUsage for a set that is not supported. Results have the
// same bits for any number of threads, and on any CPU that has the instruction set (the
// reference's: on CPUs of one kind).
std::unique_ptr<Backend> make_backend(ThreadPool& pool, InstructionSet set,
                                      RowUpdates updates = RowUpdates::kLazy);
std::unique_ptr<Backend> make_backend(ThreadPool& pool);

}  // namespace sluice::kernels
