#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "sluice/base/thread_pool.h"

// What the machine could do at best, measured: what a product and a pass over weights are held
// against. With all threads of a pool and the widest vector instructions of the CPU, whatever
// SLUICE_ISA says. Each call is one measurement of about `seconds`; clocks and neighbours change
// within a run, so take several and their median.
namespace sluice::kernels {

// Multiply-adds on f32 in registers, each counted as 2: FLOP/s that no f32 product can pass.
double measure_product_peak(ThreadPool& pool, double seconds);

// The same for products of bfloat16 on AMX tiles, with operands from the first cache: tiles are
// read for every product. Only where InstructionSet::kAmx is supported.
double measure_tile_peak(ThreadPool& pool, double seconds);

// Bytes/s of reading this memory over and over, once at least, each thread a part of its own. Where
// the caches hold it, it is their rate that is measured. Not empty.
double measure_read_rate(ThreadPool& pool, std::span<const std::byte> memory, double seconds);

// Vector instructions that these measurements use: "AVX-512", "AVX2", "NEON", ...
std::string_view widest_instructions();

}  // namespace sluice::kernels
