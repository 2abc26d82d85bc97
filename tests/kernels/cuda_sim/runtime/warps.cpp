// Warp operations: votes, shuffles, __syncwarp and __activemask.
#include "scheduler.h"

namespace sim {

const char* operation_name(int kind) {
    static const char* const names[] = {"__syncthreads",     "__syncthreads_count", "__syncthreads_or",
                                        "__syncthreads_and", "__syncwarp",          "a vote",
                                        "__shfl_sync",       "__shfl_up_sync",      "__shfl_down_sync",
                                        "__shfl_xor_sync",   "__match_any_sync"};
    static_assert(sizeof(names) / sizeof(names[0]) == CUDA_SIM_OPERATIONS, "a name per operation");
    return names[kind];
}

Thread& lane_of(Warp& warp, u32 lane) { return warp.block->threads[warp.index * kWarp + lane]; }

namespace {

u64 shuffled(Warp& warp, Thread& thread, u32 there) {
    const auto lane = static_cast<int>(thread.lane), width = thread.width;
    const int base = lane & ~(width - 1);
    int source = lane;
    switch (thread.kind) {
        case CUDA_SIM_SHFL:
            source = base + (thread.arg & (width - 1));
            break;
        case CUDA_SIM_SHFL_UP:
            source = lane - thread.arg;
            break;
        case CUDA_SIM_SHFL_DOWN:
            source = lane + thread.arg;
            break;
        default:
            source = lane ^ thread.arg;
            break;
    }
    const bool own = thread.kind == CUDA_SIM_SHFL_UP ? source < base : source >= base + width;
    if (own || source < 0) source = lane;
    if ((there >> source & 1) == 0)
        fault(std::string("shuffle from an inactive lane: ") + where(thread) + " reads lane " +
              std::to_string(source) + ", which " +
              (thread.mask >> source & 1 ? "has left the kernel" : "is not in the mask") +
              at(thread.file, thread.line));
    return lane_of(warp, static_cast<u32>(source)).value;
}

}  // namespace

bool complete_warp_operation(Warp& warp, u32 mask) {
    const u32 there = mask & warp.live;
    const Thread* first = nullptr;
    for (u32 lane = 0; lane < kWarp; ++lane) {
        if ((there >> lane & 1) == 0) continue;
        const Thread& thread = lane_of(warp, lane);
        if (thread.state != State::warp || thread.mask != mask) return false;
        if (first == nullptr) first = &thread;
        if (first->kind != thread.kind)
            fault(std::string("divergent warp: ") + where(*first) + " is at " + operation_name(first->kind) +
                  at(first->file, first->line) + ", lane " + std::to_string(lane) + " of its mask at " +
                  operation_name(thread.kind) + at(thread.file, thread.line));
    }
    if (first == nullptr) return false;
    u32 votes = 0;
    for (u32 lane = 0; lane < kWarp; ++lane)
        if ((there >> lane & 1) && lane_of(warp, lane).value != 0) votes |= 1u << lane;
    for (u32 lane = 0; lane < kWarp; ++lane) {
        if ((there >> lane & 1) == 0) continue;
        Thread& thread = lane_of(warp, lane);
        switch (thread.kind) {
            case CUDA_SIM_SYNCWARP:
                break;
            case CUDA_SIM_BALLOT:
                thread.result = votes;
                break;
            case CUDA_SIM_MATCH_ANY:
                thread.result = 0;
                for (u32 other = 0; other < kWarp; ++other)
                    if ((there >> other & 1) && lane_of(warp, other).value == thread.value)
                        thread.result |= 1u << other;
                break;
            default:
                thread.result = shuffled(warp, thread, there);
                break;
        }
    }
    if (checking && first->kind == CUDA_SIM_SYNCWARP) race::syncwarp(warp, there);
    for (u32 lane = 0; lane < kWarp; ++lane)
        if (there >> lane & 1) make_ready(lane_of(warp, lane));
    ++progress;
    return true;
}

// The lanes at the same __activemask, or a part of them: the hardware decides which lanes run together.
void answer_activemask(Warp& warp) {
    const auto first = static_cast<u32>(__builtin_ctz(warp.asking));
    u32 group = 0;
    for (u32 lane = 0; lane < kWarp; ++lane)
        if ((warp.asking >> lane & 1) && lane_of(warp, lane).line == lane_of(warp, first).line)
            group |= 1u << lane;
    if (scheduling.below(4) == 0) {
        const u32 part = group & scheduling.next();
        if (part != 0) group = part;
    }
    warp.asking &= ~group;
    for (u32 lane = 0; lane < kWarp; ++lane)
        if (group >> lane & 1) {
            Thread& thread = lane_of(warp, lane);
            thread.result = group;
            make_ready(thread);
        }
    ++progress;
}

}  // namespace sim
