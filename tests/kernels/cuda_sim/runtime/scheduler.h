// What the files that run a launch share: switching between threads, and waiting.
#pragma once

#include "sim.h"

namespace sim {

extern std::vector<Block*> resident;  // the blocks that run now
extern u32 started, total;            // blocks
extern u64 progress;    // changes whenever something happens that a waiting thread may be waiting for
extern int32_t budget;  // accesses until the running thread is preempted
extern bool checking;   // inside a launch in race mode
extern bool in_atomic;  // inside an atomic: no preemption

// scheduler.cpp. leave() and the functions that call it return when the thread is resumed.
void leave(Thread& thread, bool for_ever);
void yield();
void block_in(State state);
void make_ready(Thread& thread);

// deadlock.cpp
constexpr u32 kIdlePerSleep = 16;
// The running thread has read memory, or slept, and nothing has changed since it did so before. Faults if no
// thread that can run has seen a change for long: then nothing will change any more.
void note_idle(u32 amount, void* pc);
std::string describe_deadlock();

// warps.cpp
Thread& lane_of(Warp& warp, u32 lane);
const char* operation_name(int kind);
// Completes the warp operation if all lanes of the mask that are still in the kernel have reached it.
bool complete_warp_operation(Warp& warp, u32 mask);
// Answers lanes that wait at __activemask, once no lane of the warp can run.
void answer_activemask(Warp& warp);

}  // namespace sim
