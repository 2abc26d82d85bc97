// Runs a launch: one fiber per CUDA thread, resumed in a random order that the seed determines. One lane of a
// warp runs at a time, as independent thread scheduling (since Volta) allows. A thread runs until it waits,
// or until it is preempted at a random memory access.
#include "scheduler.h"

#include <sys/types.h>

#include <algorithm>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace sim {

std::vector<KernelInfo> kernels;
Options options;
Launch launch;
Thread* current = nullptr;
Thread* latest = nullptr;
Random scheduling;
u32 generation = 1;

std::vector<Block*> resident;
u32 started = 0, total = 0;
u64 progress = 0;
int32_t budget = 0;
bool checking = false;
bool in_atomic = false;

namespace {

void* scheduler_stack = nullptr;
#if defined(__SANITIZE_ADDRESS__)
void* scheduler_fake_stack = nullptr;
const void* scheduler_stack_base = nullptr;
size_t scheduler_stack_bytes = 0;
#endif

}  // namespace

// --- switching ---------------------------------------------------------------------------------------------

void leave(Thread& thread, bool for_ever) {
    current = nullptr;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(for_ever ? nullptr : &thread.fake_stack, scheduler_stack_base,
                                   scheduler_stack_bytes);
#else
    static_cast<void>(for_ever);
#endif
    cuda_sim_switch(&thread.stack.pointer, scheduler_stack);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(thread.fake_stack, nullptr, nullptr);
#endif
}

void yield() { leave(*current, false); }

void block_in(State state) {
    Thread& thread = *current;
    thread.state = state;
    thread.warp->ready &= ~(1u << thread.lane);
    leave(thread, false);
}

void make_ready(Thread& thread) {
    thread.state = State::ready;
    thread.warp->ready |= 1u << thread.lane;
    thread.block->ready_warps |= 1u << thread.warp->index;
}

namespace {

void resume(Thread& thread) {
    current = latest = &thread;
    // Short runs in race mode, which finds a race in any order; otherwise longer ones, for speed.
    budget =
        static_cast<int32_t>(1 + scheduling.below(options.races ? 256 : 1u << (4 + scheduling.below(10))));
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&scheduler_fake_stack, thread.stack.base, thread.stack.bytes);
#endif
    cuda_sim_switch(&scheduler_stack, thread.stack.pointer);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(scheduler_fake_stack, nullptr, nullptr);
#endif
}

void leave_kernel() {
    Thread& thread = *current;
    Block& block = *thread.block;
    Warp& warp = *thread.warp;
    const u32 bit = 1u << thread.lane;
    ++progress;
    thread.state = State::done;
    warp.ready &= ~bit;
    warp.live &= ~bit;
    --block.live;
    block.gone = &thread;
    if (block.waiting > 0)
        fault("divergent barrier: " + where(*block.first_waiting) + " waits at the barrier" +
              at(block.first_waiting->file, block.first_waiting->line) + ", but thread " +
              thread_name(thread.id()) + " has left the kernel");
    for (u32 lane = 0; lane < kWarp; ++lane)
        if (warp.live >> lane & 1) {
            const Thread& other = block.threads[warp.index * kWarp + lane];
            if (other.state == State::warp) complete_warp_operation(warp, other.mask);
        }
    leave(thread, true);
    __builtin_unreachable();
}

void enter_kernel() {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack_base, &scheduler_stack_bytes);
#endif
    launch.kernel->invoke(launch.arguments.data());
    leave_kernel();
}

// --- blocks ------------------------------------------------------------------------------------------------

void begin(Block& block, u32 linear) {
    const u32 threads = launch.block.x * launch.block.y;
    block.linear = linear;
    block.idx = {linear % launch.grid.x, linear / launch.grid.x, 0};
    block.live = threads;
    block.waiting = block.count = 0;
    block.gone = nullptr;
    block.threads.resize(threads);
    block.warps.assign((threads + kWarp - 1) / kWarp, Warp{});
    block.ready_warps = 0;
    for (auto& region : block.shared)
        if (region) {
            region->forget();
            region->fill_with_garbage(scheduling);
        }
    if (launch.shared_bytes != 0) {
        if (!block.dynamic)
            block.dynamic = std::make_unique<Region>(launch.shared_bytes, 1, "dynamic shared memory");
        else
            block.dynamic->forget();
        block.dynamic->fill_with_garbage(scheduling);
    }
    for (u32 index = 0; index < threads; ++index) {
        Thread& thread = block.threads[index];
        Warp& warp = block.warps[index / kWarp];
        if (thread.stack.base == nullptr) thread.stack = take_stack();
#if defined(__SANITIZE_ADDRESS__)
        __asan_unpoison_memory_region(thread.stack.base, thread.stack.bytes);
#endif
        thread.stack.prepare(&enter_kernel);
        thread.block = &block;
        thread.warp = &warp;
        thread.index = index;
        thread.lane = index % kWarp;
        thread.idx = {index % launch.block.x, index / launch.block.x, 0};
        thread.fake_stack = nullptr;
        thread.stamp = 0;
        thread.idle = 0;
        thread.pc = nullptr;
        warp.block = &block;
        warp.index = index / kWarp;
        warp.live |= 1u << thread.lane;
        make_ready(thread);
    }
    if (options.races) race::begin_block(block);
    ++progress;
}

void check_guards(const Block& block) {
    for (const auto& region : block.shared)
        if (region && !region->guards_are_whole())
            fault("write out of bounds, beside the shared variable `" + region->name + "`, by block " +
                  std::to_string(block.idx.x) + "," + std::to_string(block.idx.y));
    if (block.dynamic && !block.dynamic->guards_are_whole())
        fault("write out of bounds, beside the dynamic shared memory (" +
              std::to_string(launch.shared_bytes) + " bytes), by block " + std::to_string(block.idx.x) + "," +
              std::to_string(block.idx.y));
}

void run_lanes(Warp& warp) {
    // A random order of the lanes: a random first lane, and a random odd step.
    u32 lane = scheduling.below(kWarp);
    const u32 step = 1 + 2 * scheduling.below(kWarp / 2);
    const u32 now = warp.ready;
    for (u32 i = 0; i < kWarp; ++i, lane = (lane + step) % kWarp)
        if ((now & warp.ready) >> lane & 1) resume(lane_of(warp, lane));
    if (warp.ready == 0) {
        if (warp.asking != 0)
            answer_activemask(warp);
        else
            warp.block->ready_warps &= ~(1u << warp.index);
    }
}

Warp* choose_warp() {
    const auto count = static_cast<u32>(resident.size());
    const u32 first = count > 1 ? scheduling.below(count) : 0;
    for (u32 i = 0; i < count; ++i) {
        Block& block = *resident[(first + i) % count];
        if (block.ready_warps == 0) continue;
        u32 ready = block.ready_warps;
        for (u32 skip = scheduling.below(static_cast<u32>(__builtin_popcount(ready))); skip > 0; --skip)
            ready &= ready - 1;
        return &block.warps[static_cast<u32>(__builtin_ctz(ready))];
    }
    return nullptr;
}

}  // namespace

void run(Launch what) {
    launch = std::move(what);
    total = launch.grid.x * launch.grid.y;
    started = 0;
    progress = 1;
    ++generation;
    if (options.races) race::begin_launch();
    // Only a cooperative launch guarantees that all blocks are resident together.
    u32 places = std::min(options.resident, total);
    if (!launch.cooperative && total > 1)
        places = 1 + scheduling.below(std::min(options.resident, total - 1));
    std::vector<u32> order(total);
    for (u32 i = 0; i < total; ++i) order[i] = i;
    for (u32 i = total; i > 1; --i) std::swap(order[i - 1], order[scheduling.below(i)]);

    std::vector<std::unique_ptr<Block>> blocks;
    for (u32 i = 0; i < places; ++i) {
        blocks.push_back(std::make_unique<Block>());
        begin(*blocks.back(), order[started++]);
        resident.push_back(blocks.back().get());
    }
    checking = options.races;
    while (!resident.empty()) {
        Warp* warp = choose_warp();
        if (warp == nullptr) fault(describe_deadlock());
        run_lanes(*warp);
        Block& block = *warp->block;
        if (block.live != 0) continue;
        check_guards(block);
        if (started < total)
            begin(block, order[started++]);
        else
            resident.erase(std::find(resident.begin(), resident.end(), &block));
    }
    checking = false;
    for (const auto& block : blocks)
        for (Thread& thread : block->threads) give_stack(thread.stack);
    for (size_t i = 0; i < launch.arguments.size(); ++i) {
        const auto* address = reinterpret_cast<const void*>(static_cast<uintptr_t>(launch.arguments[i]));
        if (launch.kernel->types[i].pass != '*') continue;
        const Region* array = nearest_array(address);
        if (array != nullptr && !array->guards_are_whole())
            fault("write out of bounds, beside the array of `" + launch.kernel->parameters[i] + "`");
    }
    launch = {};
    latest = nullptr;
}

}  // namespace sim
