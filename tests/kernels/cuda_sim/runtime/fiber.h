// A stack of its own for each CUDA thread, and the switch between two of them.
#pragma once

#include <cstddef>

namespace sim {

// Saves this stack's state at `*save`, goes on with the one at `load`. `value` reaches a new stack's entry.
extern "C" void cuda_sim_switch(void** save, void* load);

struct Stack {
    char* base = nullptr;  // lowest address; a page below it faults
    size_t bytes = 0;
    void* pointer = nullptr;  // where it was left

    // Leaves the stack such that a switch to it calls `entry`, which never returns.
    void prepare(void (*entry)());
};

// Kept and used again: a launch takes as many as it has resident threads.
Stack take_stack();
void give_stack(Stack stack);

}  // namespace sim
