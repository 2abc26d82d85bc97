// Data races under CUDA's memory model: two accesses of different threads to the same memory, one of them a
// write, not both atomic, with no synchronisation between them. The check uses happens-before by vector
// clocks, as in FastTrack (Flanagan and Freund, PLDI 2009), so it does not depend on the order in which
// threads run. What orders accesses: __syncthreads within a block; __syncwarp among its lanes; and a fence
// before an atomic or volatile write, together with a fence after the atomic or volatile access by which
// another thread reads it. Shuffles and votes order nothing, as CUDA's documentation says.
#include "race.h"

#include <algorithm>

namespace sim {

// What is known to have happened: an epoch for each thread of each known block.
struct View {
    struct Part {
        u32 block;
        std::shared_ptr<const std::vector<u32>> epochs;
    };
    std::vector<Part> parts;  // by block

    const std::vector<u32>* find(u32 block) const {
        const auto part = std::lower_bound(parts.begin(), parts.end(), block,
                                           [](const Part& p, u32 b) { return p.block < b; });
        return part != parts.end() && part->block == block ? part->epochs.get() : nullptr;
    }
};

namespace race {
namespace {

// The views that an atomic write has published, for its block and for the device.
struct Published {
    ViewRef views[2];
    u32 block = 0;  // the block of views[0]
};

std::unordered_map<uintptr_t, Published> published;

ViewRef merge(const ViewRef& a, const ViewRef& b) {
    if (!a || a == b) return b;
    if (!b) return a;
    auto merged = std::make_shared<View>();
    auto p = a->parts.begin(), q = b->parts.begin();
    while (p != a->parts.end() || q != b->parts.end()) {
        if (q == b->parts.end() || (p != a->parts.end() && p->block < q->block)) {
            merged->parts.push_back(*p++);
        } else if (p == a->parts.end() || q->block < p->block) {
            merged->parts.push_back(*q++);
        } else {
            if (p->epochs == q->epochs) {
                merged->parts.push_back(*p);
            } else {
                auto epochs = std::make_shared<std::vector<u32>>(*p->epochs);
                for (size_t i = 0; i < epochs->size(); ++i)
                    (*epochs)[i] = std::max((*epochs)[i], (*q->epochs)[i]);
                merged->parts.push_back({p->block, std::move(epochs)});
            }
            ++p, ++q;
        }
    }
    return merged;
}

// The view, with the present epochs of these threads of the block.
template <class Threads>
ViewRef with_epochs(const ViewRef& view, u32 block, const Threads& threads) {
    auto extended = std::make_shared<View>(*view);
    for (auto& part : extended->parts) {
        if (part.block != block) continue;
        auto epochs = std::make_shared<std::vector<u32>>(*part.epochs);
        for (const Thread* thread : threads) (*epochs)[thread->index] = thread->knows.epoch;
        part.epochs = std::move(epochs);
    }
    return extended;
}

void set_view(Thread& thread, const ViewRef& view) {
    thread.knows.view = view;
    thread.knows.own_block = view->find(thread.block->linear)->data();
}

void join(const std::vector<Thread*>& threads, u32 block) {
    ViewRef all;
    for (const Thread* thread : threads) all = merge(all, thread->knows.view);
    all = with_epochs(all, block, threads);
    for (Thread* thread : threads) {
        set_view(*thread, all);
        ++thread->knows.epoch;
    }
}

bool before_now(const Entry& entry, const Thread& thread, u32 id) {
    if (entry.epoch == 0 || entry.thread == id) return true;
    if (entry.thread >> 10 == id >> 10) return thread.knows.own_block[entry.thread & 1023] >= entry.epoch;
    const std::vector<u32>* epochs = thread.knows.view->find(entry.thread >> 10);
    return epochs != nullptr && (*epochs)[entry.thread & 1023] >= entry.epoch;
}

// Stores the entry in place of one that it makes redundant; else of one of its own warp; else of a random
// one.
template <size_t N>
void remember(Entry (&entries)[N], const Entry& entry, const Thread& thread, u32 id) {
    size_t place = N;
    for (size_t i = 0; i < N; ++i) {
        if (entries[i].thread == id || entries[i].epoch == 0) place = i;
        if (entries[i].epoch != 0 && entries[i].thread == id && entries[i].writes && !entry.writes) {
            // Keep the write: of a thread's two accesses, it conflicts with more.
            entries[i].epoch = entry.epoch;
            return;
        }
    }
    for (size_t i = 0; i < N && place == N; ++i)
        if (before_now(entries[i], thread, id) && (entry.writes || !entries[i].writes)) place = i;
    for (size_t i = 0; i < N && place == N; ++i)
        if (entries[i].thread >> 5 == id >> 5 && entry.writes >= entries[i].writes) place = i;
    if (place == N) {
        place = scheduling.below(N);
        if (entries[place].writes && !entry.writes) return;
    }
    entries[place] = entry;
}

const char* verb(int how) {
    switch (how) {
        case kRead:
            return "read";
        case kWrite:
            return "write";
        case kAtomic:
            return "volatile read";
        default:
            return "volatile or atomic write";
    }
}

[[noreturn]] void report(const volatile void* address, size_t size, int how, void* pc, const Entry& before,
                         int how_before) {
    fault("race on " + describe(address, size) + ": " + verb(how) + " by " + thread_name(current->id()) +
          at(pc) + ", not ordered after the " + verb(how_before) + " by " + thread_name(before.thread) +
          at(reinterpret_cast<void*>(static_cast<uintptr_t>(before.pc))));
}

Region* find(const volatile void* address) {
    static Region* last = nullptr;
    static u32 last_generation = 0;
    if (last_generation == generation && last != nullptr && last->holds(address)) return last;
    const Block& block = *current->block;
    Region* found = nullptr;
    for (const auto& region : block.shared)
        if (region && region->holds(address)) return region.get();
    if (block.dynamic && block.dynamic->holds(address)) return block.dynamic.get();
    found = find_array(address);
    if (found != nullptr) last = found, last_generation = generation;
    return found;
}

}  // namespace

void begin_launch() {
    published.clear();
    ++generation;
    for (const auto& array : arrays) array->generation = generation;
}

void begin_block(Block& block) {
    auto start = std::make_shared<View>();
    start->parts.push_back({block.linear, std::make_shared<std::vector<u32>>(block.threads.size(), 0)});
    for (Thread& thread : block.threads) {
        thread.knows = {};
        set_view(thread, start);
    }
}

void barrier(Block& block) {
    std::vector<Thread*> threads;
    for (Thread& thread : block.threads) threads.push_back(&thread);
    join(threads, block.linear);
}

void syncwarp(Warp& warp, u32 lanes) {
    std::vector<Thread*> threads;
    for (u32 lane = 0; lane < kWarp; ++lane)
        if (lanes >> lane & 1) threads.push_back(&warp.block->threads[warp.index * kWarp + lane]);
    join(threads, warp.block->linear);
}

void fence(Thread& thread, bool device) {
    Knowledge& knows = thread.knows;
    ViewRef view = knows.view;
    for (int scope = 0; scope <= (device ? 1 : 0); ++scope) {
        for (const ViewRef& acquired : knows.acquired[scope]) view = merge(view, acquired);
        knows.acquired[scope].clear();
    }
    view = with_epochs(view, thread.block->linear, std::vector<Thread*>{&thread});
    set_view(thread, view);
    knows.released[0] = view;
    if (device) knows.released[1] = view;
    ++knows.epoch;
}

// At an atomic or volatile access: publishes what the thread has released, and acquires what others have
// published.
static void publish_and_acquire(Thread& thread, const volatile void* address, int how) {
    Knowledge& knows = thread.knows;
    const auto key = reinterpret_cast<uintptr_t>(address);
    const auto known = published.find(key);
    const bool read_only = (how & kWrite) == 0;
    const bool write_only = !read_only && (how & kModify) == 0;  // it overwrites what was published before
    if (known != published.end() && !write_only) {
        for (int scope = 0; scope < 2; ++scope) {
            const ViewRef& view = known->second.views[scope];
            if (!view || (scope == 0 && known->second.block != thread.block->linear)) continue;
            auto& acquired = knows.acquired[scope];
            if (std::find(acquired.begin(), acquired.end(), view) != acquired.end()) continue;
            acquired.push_back(view);
            if (acquired.size() > 8) {
                ViewRef all;
                for (const ViewRef& one : acquired) all = merge(all, one);
                acquired.assign(1, all);
            }
        }
    }
    if (read_only) return;
    if (!knows.released[0] && known == published.end()) return;
    Published& own = published[key];
    const bool keep = !write_only;
    own.views[1] = keep ? merge(own.views[1], knows.released[1]) : knows.released[1];
    own.views[0] = keep && own.block == thread.block->linear ? merge(own.views[0], knows.released[0])
                                                             : knows.released[0];
    own.block = thread.block->linear;
}

void mark_written(Region& region, size_t offset, size_t bytes) {
    if (!region.cells || bytes == 0) return;
    for (size_t i = offset / region.unit; i <= (offset + bytes - 1) / region.unit; ++i)
        region.cells[i].written = generation;
}

void access(const volatile void* address, size_t size, int how, void* pc) {
    Thread& thread = *current;
    const auto* p = static_cast<const volatile char*>(address);
    if (p >= thread.stack.base && p < thread.stack.base + thread.stack.bytes) return;
    Region* region = find(address);
    if (region == nullptr || p + size > region->begin + region->bytes) {
        if (region == nullptr && is_program(address)) return;
        fault(std::string(how & kWrite ? "write" : "read") + " of " + std::to_string(size) +
              " bytes out of bounds, " + describe(address, size) + ", by " + where(thread) + at(pc));
    }
    if ((size & (size - 1)) == 0 && reinterpret_cast<uintptr_t>(address) % size != 0)
        fault("misaligned access of " + std::to_string(size) + " bytes to " + describe(address, size) +
              " by " + where(thread) + at(pc));
    const bool atomic = (how & kAtomic) != 0, writes = (how & kWrite) != 0;
    const bool read_modify_write = (how & kModify) != 0;
    const u32 id = thread.id();
    Entry now{};
    now.pc = reinterpret_cast<uintptr_t>(pc);
    now.writes = writes;
    now.thread = id;
    now.epoch = thread.knows.epoch;
    const size_t offset = static_cast<size_t>(p - region->begin);
    const size_t first = offset / region->unit, last = (offset + size - 1) / region->unit;
    // The padding of a copied struct may never have been written, so one written unit is enough.
    bool written = writes && !read_modify_write;
    for (size_t i = first; i <= last; ++i) written = written || region->cells[i].written >= region->birth;
    if (!written)
        fault("read of uninitialised memory, " + describe(address, size) + ", by " + where(thread) + at(pc));
    for (size_t i = first; i <= last; ++i) {
        Cell& cell = region->cells[i];
        if (cell.generation != region->generation) {
            const u32 before = cell.written;
            cell = {};
            cell.written = before;
            cell.generation = region->generation;
        }
        if (!before_now(cell.write, thread, id)) report(address, size, how, pc, cell.write, kWrite);
        if (writes)
            for (const Entry& read : cell.reads)
                if (!before_now(read, thread, id)) report(address, size, how, pc, read, kRead);
        if (!atomic)
            for (const Entry& entry : cell.atomics)
                if ((writes || entry.writes) && !before_now(entry, thread, id))
                    report(address, size, how, pc, entry, kAtomic | (entry.writes ? kWrite : 0));
        if (writes && cell.written < region->birth) cell.written = generation;
        if (atomic)
            remember(cell.atomics, now, thread, id);
        else if (writes)
            cell.write = now;
        else
            remember(cell.reads, now, thread, id);
    }
    if (atomic) publish_and_acquire(thread, address, how);
}

}  // namespace race
}  // namespace sim
