#pragma once

#include "sim.h"

namespace sim {

// One access of one thread, at one of its epochs.
struct Entry {
    u64 pc : 48;
    u64 writes : 1;
    u32 thread;
    u32 epoch;
};

struct Cell {
    u32 generation = 0;  // accesses of another are of the past
    u32 written = 0;     // the generation that wrote it first
    Entry write{};       // the last plain one; epoch 0: none
    Entry reads[3]{};    // plain, of different warps where there were several
    Entry atomics[2]{};  // volatile ones also
};

}  // namespace sim
