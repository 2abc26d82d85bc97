// What the race mode remembers of each unit of memory.
#pragma once

#include "sim.h"

namespace sim {

// An access by a thread, at one of its epochs.
struct Entry {
    u64 pc : 48;
    u64 writes : 1;
    u32 thread;
    u32 epoch;
};

struct Cell {
    u32 generation = 0;  // the launch of the accesses below; older ones no longer matter
    u32 written = 0;     // the generation of the first write
    Entry write{};       // the last plain write; epoch 0: none
    Entry reads[3]{};    // plain reads, of different warps if possible
    Entry atomics[2]{};  // atomic and volatile accesses
};

}  // namespace sim
