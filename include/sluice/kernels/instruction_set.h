#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "sluice/kernels/backend.h"

namespace sluice::kernels {

// Which kernels run: the plain ones, or those for the vector instructions of a kind of CPU. kAmx:
// tiles for products of bfloat16, all else, products of floats too, with the kernels of kAvx512.
enum class InstructionSet : std::uint8_t { kReference, kAvx2, kAvx512, kNeon, kAmx };
std::string_view name_of(InstructionSet set);

// Those that this build has and this CPU can run, fastest first; kReference is always the last.
std::vector<InstructionSet> supported_instruction_sets();

// The fastest, or the one that the environment variable SLUICE_ISA names (unless it is empty).
// Error kUsage when that is none, or none that can run here.
InstructionSet chosen_instruction_set();

// The fastest for training: bf16 on tiles, else f32.
Precision automatic_precision(InstructionSet set);
Precision automatic_precision();  // of the chosen set
// Whether the set has instructions for products in it. Those of bfloat16 can be computed without,
// to the same bits and slower than f32.
bool is_native(InstructionSet set, Precision precision);
// Error kUsage where the set cannot compute in it at all: the plain kernels know f32 alone.
void check_precision(InstructionSet set, Precision precision);

// The pool must outlive the backend. Error kUsage for a set that is not supported, and as
// check_precision(). Results have the same bits for any number of threads, and on any CPU that has
// the instruction set (the reference's: on CPUs of one kind).
std::unique_ptr<Backend> make_backend(ThreadPool& pool, InstructionSet set, Precision precision,
                                      RowUpdates updates = RowUpdates::kLazy);
// In f32.
std::unique_ptr<Backend> make_backend(ThreadPool& pool, InstructionSet set,
                                      RowUpdates updates = RowUpdates::kLazy);
// Of the chosen set.
std::unique_ptr<Backend> make_backend(ThreadPool& pool, Precision precision = Precision::kF32);

}  // namespace sluice::kernels
