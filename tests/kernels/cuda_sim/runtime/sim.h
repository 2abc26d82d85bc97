// The state of the simulated device: its memory, and the running launch.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "fiber.h"
#include "interface.h"

namespace sim {

using u32 = uint32_t;
using u64 = uint64_t;

constexpr u32 kWarp = 32;

class Random {
  public:
    explicit Random(u64 seed = 1) : state_(seed * 0x9E3779B97F4A7C15u | 1) {
        for (int i = 0; i < 4; ++i) next();
    }
    u32 next() {  // xorshift64*
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return static_cast<u32>((state_ * 0x2545F4914F6CDD1Du) >> 32);
    }
    u32 below(u32 bound) { return static_cast<u32>((static_cast<u64>(next()) * bound) >> 32); }
    void fill(char* to, size_t bytes);

  private:
    u64 state_;
};

// --- memory ------------------------------------------------------------------------------------------------

struct Cell;  // race.h

// A device array, or a shared variable of one block, with guards on both sides.
struct Region {
    char* begin = nullptr;
    size_t bytes = 0;
    size_t unit = 1;   // bytes per cell
    std::string name;  // of a shared variable
    u32 birth = 0;     // a unit is initialised if it was written in this generation or later
    u32 generation = 0;
    std::unique_ptr<Cell[]> cells;
    void* block_of_memory = nullptr;

    Region(size_t bytes, size_t unit, std::string name);
    ~Region();
    Region(const Region&) = delete;
    Region& operator=(const Region&) = delete;

    bool holds(const volatile void* address) const {
        const auto* p = static_cast<const volatile char*>(address);
        return p >= begin && p < begin + bytes;
    }
    void fill_with_garbage(Random& random);
    void forget();  // makes the contents uninitialised, for a new block
    bool guards_are_whole() const;
    size_t cell_count() const { return (bytes + unit - 1) / unit; }
};

extern std::vector<std::unique_ptr<Region>> arrays;  // by address
Region* find_array(const volatile void* address);
Region* nearest_array(const volatile void* address);  // the closest array, for messages

// --- race.cpp ----------------------------------------------------------------------------------------------

struct View;
using ViewRef = std::shared_ptr<const View>;

// What a thread knows about the progress of others.
struct Knowledge {
    ViewRef view;
    const u32* own_block = nullptr;  // the view's epochs of the thread's own block
    u32 epoch = 1;
    ViewRef released[2];               // the view at its last fence; block and device scope
    std::vector<ViewRef> acquired[2];  // views read by atomics since its last fence
};

// --- the launch --------------------------------------------------------------------------------------------

struct Block;
struct Warp;

enum class State : uint8_t { ready, barrier, warp, activemask, done };

struct Thread {
    State state = State::done;
    Block* block = nullptr;
    Warp* warp = nullptr;
    u32 lane = 0;
    u32 index = 0;  // in the block
    cuda_sim_uint3 idx{};
    Stack stack;
    void* fake_stack = nullptr;

    // The operation that the thread waits at, and its arguments.
    int kind = 0;
    u32 mask = 0;
    u64 value = 0;
    int arg = 0, width = 32;
    const char* file = nullptr;
    int line = 0;
    u64 result = 0;

    // To detect deadlocks: the `progress` that it has seen, and its idle reads since then.
    u64 stamp = 0;
    u32 idle = 0;
    void* pc = nullptr;

    Knowledge knows;

    u32 id() const;
};

struct Warp {
    Block* block = nullptr;
    u32 index = 0;
    u32 ready = 0;   // lanes
    u32 live = 0;    // lanes
    u32 asking = 0;  // lanes at __activemask
};

struct Block {
    cuda_sim_uint3 idx{};
    u32 linear = 0;
    u32 ready_warps = 0;  // mask
    u32 live = 0;         // threads
    u32 waiting = 0;      // threads at the barrier
    u32 count = 0;        // those among them with a true predicate
    int result = 0;       // of the last barrier
    Thread* first_waiting = nullptr;
    Thread* gone = nullptr;  // a thread that has left the kernel
    std::vector<Thread> threads;
    std::vector<Warp> warps;
    std::vector<std::unique_ptr<Region>> shared;  // by slot
    std::unique_ptr<Region> dynamic;
};

inline u32 Thread::id() const { return block->linear << 10 | index; }

struct KernelInfo {
    std::string name;
    std::vector<std::string> parameters;
    std::vector<cuda_sim_parameter> types;
    u32 max_threads = 0;  // 0: no bound
    void (*invoke)(const unsigned long long*) = nullptr;
};

extern std::vector<KernelInfo> kernels;

struct Options {
    u64 seed = 0;
    bool races = false;
    u32 resident = 3;
    double seconds = 120;  // a longer launch counts as endless
};

struct Launch {
    const KernelInfo* kernel = nullptr;
    cuda_sim_uint3 grid{}, block{};
    u32 shared_bytes = 0;
    bool cooperative = false;
    std::vector<unsigned long long> arguments;
};

extern Options options;
extern Launch launch;
extern Thread* current;  // the running thread; null in the scheduler
extern Thread* latest;   // the thread that ran last
extern Random scheduling;
extern u32 generation;  // grows with each launch and each block

void run(Launch what);

// --- faults ------------------------------------------------------------------------------------------------

// Ends the process: a fault is sticky, as on a GPU. process.py replaces `<pc ...>` in the text by a source
// line.
[[noreturn]] void fault(const std::string& text);
std::string where(const Thread& thread);
std::string thread_name(u32 id);
std::string at(void* pc);
std::string at(const char* file, int line);
std::string describe(const volatile void* address, size_t size);  // "`labels`, element 3"

// --- checks of the race mode -------------------------------------------------------------------------------

// Bits: a volatile load is kAtomic, a volatile store kAtomic | kWrite, an atomic function all three.
enum Access { kRead = 0, kWrite = 1, kAtomic = 2, kModify = 4 };

bool is_program(const volatile void* address);  // constants and variables of the loaded .cu files

namespace race {
void begin_launch();
void begin_block(Block& block);
void barrier(Block& block);
void syncwarp(Warp& warp, u32 lanes);
void fence(Thread& thread, bool device);
void access(const volatile void* address, size_t size, int how, void* pc);
void mark_written(Region& region, size_t offset, size_t bytes);
}  // namespace race

}  // namespace sim
