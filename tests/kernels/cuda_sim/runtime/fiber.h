// A stack for each CUDA thread, and the switch between two stacks.
#pragma once

#include <cstddef>

namespace sim {

// Saves the state of this stack at `*save`, and continues on the stack saved at `load`.
extern "C" void cuda_sim_switch(void** save, void* load);

struct Stack {
    char* base = nullptr;  // lowest address; access to the page below it faults
    size_t bytes = 0;
    void* pointer = nullptr;  // the saved stack pointer

    // Prepares the stack so that a switch to it calls `entry`, which must never return.
    void prepare(void (*entry)());
};

// A launch takes one stack per resident thread. Returned stacks are used again.
Stack take_stack();
void give_stack(Stack stack);

}  // namespace sim
