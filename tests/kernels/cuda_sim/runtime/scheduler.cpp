// Runs a launch: a fiber for each CUDA thread, resumed in a random order that the seed decides. One lane of a
// warp runs at a time, as independent thread scheduling (since Volta) allows; a thread runs until it waits,
// or until it is preempted at a random access to memory.
#include <sys/types.h>

#include <algorithm>
#include <cstring>

#include "sim.h"

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

namespace {

constexpr u32 kIdleLimit = 100'000;
constexpr u32 kSleepIsWorth = 16;  // of kIdleLimit

void* scheduler_stack = nullptr;
#if defined(__SANITIZE_ADDRESS__)
void* scheduler_fake_stack = nullptr;
const void* scheduler_stack_base = nullptr;
size_t scheduler_stack_bytes = 0;
#endif

std::vector<Block*> resident;
u32 started = 0, total = 0;
u64 progress = 0;        // changes whenever something happened that a waiting thread may have waited for
int32_t budget = 0;      // accesses until the running thread is preempted
bool checking = false;   // the race mode, inside a launch
bool in_atomic = false;  // between the two calls around an atomic's own accesses: no preemption there

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

void resume(Thread& thread) {
    current = latest = &thread;
    // Mostly short runs in race mode, where any order shows a race; long ones else, for speed.
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

void make_ready(Thread& thread) {
    thread.state = State::ready;
    thread.warp->ready |= 1u << thread.lane;
    thread.block->ready_warps |= 1u << thread.warp->index;
}

bool complete_warp_operation(Warp& warp, u32 mask);

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

// --- deadlocks ---------------------------------------------------------------------------------------------

std::string standstill() {
    std::string text = "deadlock: no thread can go on";
    for (Block* block : resident) {
        // Threads of one state and place, as one entry.
        struct Group {
            std::string place;
            u32 count = 0;
            u32 first = 0;
        };
        std::vector<Group> groups;
        for (const Thread& thread : block->threads) {
            std::string place;
            switch (thread.state) {
                case State::barrier:
                    place = "at a barrier" + at(thread.file, thread.line);
                    break;
                case State::warp:
                case State::activemask:
                    place = "at a warp operation" + at(thread.file, thread.line);
                    break;
                case State::ready:
                    place = "spinning" + at(thread.pc);
                    break;
                case State::done:
                    continue;
            }
            const auto same = std::find_if(groups.begin(), groups.end(),
                                           [&](const Group& group) { return group.place == place; });
            if (same == groups.end())
                groups.push_back({place, 1, thread.index});
            else
                ++same->count;
        }
        text += "\n  block " + std::to_string(block->idx.x) + "," + std::to_string(block->idx.y) + ":";
        for (const Group& group : groups)
            text += " " + std::to_string(group.count) + (group.count == 1 ? " thread " : " threads ") +
                    "(first: " + std::to_string(group.first) + ") " + group.place + ";";
    }
    if (started < total)
        text += "\n  " + std::to_string(total - started) + " of " + std::to_string(total) +
                " blocks have not begun: no place is free" +
                (launch.cooperative ? "" : " (only a cooperative launch holds all blocks at the same time)");
    return text;
}

// A look at memory in vain. When all that could run have looked in vain for long, nothing will ever change.
void look_in_vain(u32 worth, void* pc) {
    Thread& thread = *current;
    thread.pc = pc;
    if (thread.stamp != progress) {
        thread.stamp = progress;
        thread.idle = 0;
    }
    const u32 before = thread.idle;
    thread.idle += worth;
    if (thread.idle < kIdleLimit || before / 4096 == thread.idle / 4096) return;
    for (const Block* block : resident)
        for (const Thread& other : block->threads)
            if (other.state == State::ready && (other.stamp != progress || other.idle < kIdleLimit / 4))
                return;
    fault(standstill());
}

// --- warps -------------------------------------------------------------------------------------------------

const char* operation(int kind) {
    static const char* const names[] = {"__syncthreads",     "__syncthreads_count", "__syncthreads_or",
                                        "__syncthreads_and", "__syncwarp",          "a vote",
                                        "__shfl_sync",       "__shfl_up_sync",      "__shfl_down_sync",
                                        "__shfl_xor_sync",   "__match_any_sync"};
    static_assert(sizeof(names) / sizeof(names[0]) == CUDA_SIM_OPERATIONS, "a name for each");
    return names[kind];
}

Thread& lane_of(Warp& warp, u32 lane) { return warp.block->threads[warp.index * kWarp + lane]; }

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

// If all lanes of the mask that are still in the kernel have come.
bool complete_warp_operation(Warp& warp, u32 mask) {
    const u32 there = mask & warp.live;
    const Thread* first = nullptr;
    for (u32 lane = 0; lane < kWarp; ++lane) {
        if ((there >> lane & 1) == 0) continue;
        const Thread& thread = lane_of(warp, lane);
        if (thread.state != State::warp || thread.mask != mask) return false;
        if (first == nullptr) first = &thread;
        if (first->kind != thread.kind)
            fault(std::string("divergent warp: ") + where(*first) + " is at " + operation(first->kind) +
                  at(first->file, first->line) + ", lane " + std::to_string(lane) + " of its mask at " +
                  operation(thread.kind) + at(thread.file, thread.line));
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

// All lanes that can have come to __activemask. Which of them run together is the hardware's choice.
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
    // The lanes in a random order: a random first, a random odd step.
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
    // Without a cooperative launch nothing promises that all blocks are ever there together.
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
        if (warp == nullptr) fault(standstill());
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

// --- what kernels call -------------------------------------------------------------------------------------

using namespace sim;

extern "C" {

cuda_sim_uint3 cuda_sim_thread_idx() { return current->idx; }
cuda_sim_uint3 cuda_sim_block_idx() { return current->block->idx; }
cuda_sim_uint3 cuda_sim_block_dim() { return launch.block; }
cuda_sim_uint3 cuda_sim_grid_dim() { return launch.grid; }

int cuda_sim_barrier(int kind, int predicate, const char* file, int line) {
    Thread& thread = *current;
    Block& block = *thread.block;
    thread.file = file;
    thread.line = line;
    if (block.gone != nullptr)
        fault("divergent barrier: " + where(thread) + " comes to the barrier" + at(file, line) +
              ", but thread " + thread_name(block.gone->id()) + " has left the kernel");
    if (block.waiting == 0) {
        block.first_waiting = &thread;
        block.count = 0;
    } else if (block.first_waiting->line != line || std::strcmp(block.first_waiting->file, file) != 0) {
        fault("divergent barrier: " + where(*block.first_waiting) + " waits at the barrier" +
              at(block.first_waiting->file, block.first_waiting->line) + ", thread " +
              thread_name(thread.id()) + " at the one" + at(file, line));
    }
    block.count += predicate != 0;
    if (++block.waiting < block.threads.size()) {
        block_in(State::barrier);
        return block.result;
    }
    const auto all = static_cast<u32>(block.threads.size());
    switch (kind) {
        case CUDA_SIM_BARRIER_COUNT:
            block.result = static_cast<int>(block.count);
            break;
        case CUDA_SIM_BARRIER_OR:
            block.result = block.count != 0;
            break;
        case CUDA_SIM_BARRIER_AND:
            block.result = block.count == all;
            break;
        default:
            block.result = 0;
            break;
    }
    block.waiting = 0;
    ++progress;
    if (checking) race::barrier(block);
    const int result = block.result;
    for (Thread& other : block.threads) make_ready(other);
    yield();
    return result;
}

unsigned long long cuda_sim_warp(int kind, unsigned mask, unsigned long long value, int arg, int width,
                                 const char* file, int line) {
    Thread& thread = *current;
    thread.file = file;
    thread.line = line;
    if ((mask >> thread.lane & 1) == 0)
        fault(std::string("divergent warp: ") + where(thread) + " is not in its own mask at " +
              operation(kind) + at(file, line));
    if (width < 1 || width > 32 || (width & (width - 1)) != 0)
        fault("width " + std::to_string(width) + " of a shuffle is no power of two up to 32" +
              at(file, line));
    thread.kind = kind;
    thread.mask = mask;
    thread.value = value;
    thread.arg = arg;
    thread.width = width;
    thread.state = State::warp;
    thread.warp->ready &= ~(1u << thread.lane);
    if (!complete_warp_operation(*thread.warp, mask)) leave(thread, false);
    return thread.result;
}

unsigned cuda_sim_activemask(const char* file, int line) {
    Thread& thread = *current;
    thread.file = file;
    thread.line = line;
    thread.warp->asking |= 1u << thread.lane;
    block_in(State::activemask);
    return static_cast<unsigned>(thread.result);
}

void cuda_sim_fence(int device_scope) {
    if (checking) race::fence(*current, device_scope != 0);
}

void cuda_sim_sleep() {
    look_in_vain(kSleepIsWorth, __builtin_return_address(0));
    yield();
}

void cuda_sim_trap(const char* file, int line) { fault("__trap() by " + where(*current) + at(file, line)); }

void cuda_sim_before_atomic(const volatile void* address, size_t size, void* pc) {
    if (scheduling.below(options.races ? 2 : 8) == 0) yield();
    current->pc = pc;
    if (checking)
        race::access(address, size, kAtomic | kWrite | kModify, pc);
    else if (reinterpret_cast<uintptr_t>(address) % size != 0)
        fault("misaligned atomic on " + describe(address, size) + " by " + where(*current) + at(pc));
    in_atomic = true;
}

void cuda_sim_after_atomic(int changed) {
    in_atomic = false;
    if (changed)
        ++progress;
    else
        look_in_vain(1, current->pc);
}

int cuda_sim_new_slot() {
    static int slots = 0;
    return slots++;
}

void* cuda_sim_shared(int slot, size_t size, size_t unit, const char* name) {
    auto& shared = current->block->shared;
    const auto place = static_cast<size_t>(slot);
    if (shared.size() <= place) shared.resize(place + 1);
    if (!shared[place]) {
        shared[place] = std::make_unique<Region>(size, unit, name);
        shared[place]->fill_with_garbage(scheduling);
    }
    return shared[place]->begin;
}

void* cuda_sim_dynamic_shared() {
    if (!current->block->dynamic) fault("extern __shared__ in a launch with shared_bytes = 0");
    return current->block->dynamic->begin;
}

void cuda_sim_add_kernel(const char* name, const char* parameters, const cuda_sim_parameter* types, int count,
                         unsigned max_threads, void (*invoke)(const unsigned long long*)) {
    KernelInfo info;
    info.name = name;
    info.types.assign(types, types + count);
    info.max_threads = max_threads;
    info.invoke = invoke;
    for (const char* p = parameters; *p != '\0';) {
        const char* end = std::strchr(p, ' ');
        if (end == nullptr) end = p + std::strlen(p);
        info.parameters.emplace_back(p, end);
        p = *end == ' ' ? end + 1 : end;
    }
    kernels.push_back(std::move(info));
}

// --- what the compiler puts before accesses
// ------------------------------------------------------------------

#define PC __builtin_return_address(0)

static inline void plain(const volatile void* address, size_t size, int how, void* pc) {
    if (current == nullptr || in_atomic) return;  // no thread: a file is being loaded
    if (--budget <= 0) yield();
    if (checking) race::access(address, size, how, pc);
}

static inline void volatile_access(const volatile void* address, size_t size, int how, void* pc) {
    if (current == nullptr) return;
    if (how == kRead)
        look_in_vain(1, pc);
    else
        ++progress;
    if (scheduling.below(4) == 0) yield();
    if (checking) race::access(address, size, how | kAtomic, pc);
}

#define HOOKS(size)                                                                             \
    void __tsan_read##size(void* a) { plain(a, size, kRead, PC); }                              \
    void __tsan_write##size(void* a) { plain(a, size, kWrite, PC); }                            \
    void __tsan_unaligned_read##size(void* a) { plain(a, size, kRead, PC); }                    \
    void __tsan_unaligned_write##size(void* a) { plain(a, size, kWrite, PC); }                  \
    void __tsan_volatile_read##size(void* a) { volatile_access(a, size, kRead, PC); }           \
    void __tsan_volatile_write##size(void* a) { volatile_access(a, size, kWrite, PC); }         \
    void __tsan_unaligned_volatile_read##size(void* a) { volatile_access(a, size, kRead, PC); } \
    void __tsan_unaligned_volatile_write##size(void* a) { volatile_access(a, size, kWrite, PC); }
HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)
void __tsan_read_range(void* a, size_t size) { plain(a, size, kRead, PC); }
void __tsan_write_range(void* a, size_t size) { plain(a, size, kWrite, PC); }
void __tsan_init() {}

// In a build with AddressSanitizer there are no such calls, but one at each branch.
void __sanitizer_cov_trace_pc() {
    if (current == nullptr || in_atomic) return;
    current->pc = PC;
    if (--budget <= 0) yield();
}
}
