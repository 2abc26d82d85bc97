// The functions of interface.h, which compiled kernels call.
#include <chrono>
#include <cstring>

#include "scheduler.h"

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
              operation_name(kind) + at(file, line));
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
    note_idle(kIdlePerSleep, __builtin_return_address(0));
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
        note_idle(1, current->pc);
}

unsigned long long cuda_sim_nanoseconds() {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return static_cast<unsigned long long>(std::chrono::nanoseconds(now).count());
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
}
