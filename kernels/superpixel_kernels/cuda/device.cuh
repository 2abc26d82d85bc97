// What the kernels share: counters, packed Lab, tiles, scans, lists, and union-find.
//
// Determinism: threads write the same memory only by integer atomics, whose result does not depend on their
// order, and by appending to lists whose order does not matter. Memory that other threads may change in the
// same phase is accessed through `load` and `store`.
#pragma once

#include "superpixel/common.h"

namespace superpixel {

#define SUPERPIXEL_DEVICE __device__ __forceinline__

constexpr u32 kFullWarp = 0xffffffffu;
constexpr i32 kWarp = 32;
constexpr i32 kTileWidth = 32;  // in every kernel over image tiles: a warp is a part of one row

// Indices into the array of counters (u32). workspace.py has the same names.
enum Counter {
    kRegions,     // base regions (nodes of the merge)
    kEdges,       // edges of even rounds
    kEdgesOther,  // edges of odd rounds
    kRecords,     // merge records
    kRounds,      // rounds done
    kTailRound,   // where merge_tail continues: its first round, the records before it, and its kind
    kTailRecords,
    kTailCollective,
    kArrived,  // arrivals at the grid barrier, of all blocks and of few blocks
    kArrivedFew,
    kOuterEdges,    // with a hard prior map: edges that wait for the second run of the merge
    kFirstRecords,  // records and rounds of the first run
    kFirstRounds,
    kMark,          // is added to the rounds in records: kSecondRun in the second run
    kTied,          // which round had regions with several edges of the least word, see tie_mark
    kPairsLeftOut,  // not 0: the table was too small for the pairs of a region and a prior label
    kCounters,
};

// In the round of a record: it belongs to the second run, so it follows all those of the first.
constexpr u32 kSecondRun = 1u << 30;

// For memory that other threads may change: never torn, never cached in a register; no ordering.
template <class T>
SUPERPIXEL_DEVICE T load(const T* at) {
    return *static_cast<const volatile T*>(at);
}
template <class T>
SUPERPIXEL_DEVICE void store(T* at, T value) {
    *static_cast<volatile T*>(at) = value;
}

SUPERPIXEL_DEVICE i64 thread_rank() { return static_cast<i64>(blockIdx.x) * blockDim.x + threadIdx.x; }
SUPERPIXEL_DEVICE i32 lane() { return static_cast<i32>(threadIdx.x) % kWarp; }

// The device's clock; on GPUs it ticks once per microsecond or faster.
SUPERPIXEL_DEVICE u64 device_nanoseconds() {
#if defined(CUDA_SIM_NANOSECONDS)
    return CUDA_SIM_NANOSECONDS();
#else
    u64 now;
    asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
    return now;
#endif
}

// Packed Lab: L in bits 0-9, A in bits 10-20, B in bits 21-31, so that one load fetches a pixel.
SUPERPIXEL_DEVICE u32 pack_lab(i32 L, i32 A, i32 B) {
    return static_cast<u32>(L) | static_cast<u32>(A) << 10 | static_cast<u32>(B) << 21;
}
SUPERPIXEL_DEVICE i32 lab_L(u32 lab) { return static_cast<i32>(lab & 0x3ffu); }
SUPERPIXEL_DEVICE i32 lab_A(u32 lab) { return static_cast<i32>(lab >> 10 & 0x7ffu); }
SUPERPIXEL_DEVICE i32 lab_B(u32 lab) { return static_cast<i32>(lab >> 21); }

// The pixel of a thread, if each block takes one tile, kTileWidth wide. Launch grids are one-dimensional,
// because an image may have more rows of tiles than a grid's second dimension allows.
struct TilePixel {
    i32 x, y;
    bool inside;
    i64 index;
};
SUPERPIXEL_DEVICE TilePixel tile_pixel(i32 width, i32 height, i32 tile_height, i32 column, i32 row) {
    const u32 tiles_x = static_cast<u32>((width + kTileWidth - 1) / kTileWidth);
    const i32 x = static_cast<i32>(blockIdx.x % tiles_x) * kTileWidth + column;
    const i32 y = static_cast<i32>(blockIdx.x / tiles_x) * tile_height + row;
    return {x, y, x < width && y < height, static_cast<i64>(y) * width + x};
}
SUPERPIXEL_DEVICE TilePixel tile_pixel(i32 width, i32 height, i32 tile_height) {
    return tile_pixel(width, height, tile_height, lane(), static_cast<i32>(threadIdx.x) / kWarp);
}

// Adjacent pixels of a part of a row that belong together, as a thread of its warp sees them.
struct Run {
    i32 start;  // the lane of the first pixel
    bool ends;  // whether this lane has the last one
};
// `starts`: whether this lane's pixel does not belong to the one before. All lanes must call it.
SUPERPIXEL_DEVICE Run run_from(bool starts) {
    const u32 run_starts = __ballot_sync(kFullWarp, starts);
    const u32 up_to_here = 0xffffffffu >> (kWarp - 1 - lane());
    return {kWarp - 1 - __clz(static_cast<i32>(run_starts & up_to_here)),
            lane() == kWarp - 1 || (run_starts >> (lane() + 1) & 1u) != 0};
}
// Returns the sum of `value` over the pixels of the run up to this lane's. All lanes must call it.
template <class T>
SUPERPIXEL_DEVICE T run_sum(Run run, T value) {
    for (i32 step = 1; step < kWarp; step *= 2) {
        const T before = __shfl_up_sync(kFullWarp, value, static_cast<u32>(step));
        if (lane() - step >= run.start) value += before;
    }
    return value;
}

// Returns the sum of `value` over the block's threads before this one; `total` gets the sum over all.
// `scratch`: kWarp + 1 values of shared memory. All threads of the block must call it; blockDim.x is a
// multiple of kWarp.
SUPERPIXEL_DEVICE i32 block_exclusive_sum(i32 value, i32* scratch, i32& total) {
    i32 sum = value;
    for (i32 step = 1; step < kWarp; step *= 2) {
        const i32 before = __shfl_up_sync(kFullWarp, sum, static_cast<u32>(step));
        if (lane() >= step) sum += before;
    }
    const i32 warp = static_cast<i32>(threadIdx.x) / kWarp;
    const i32 warps = static_cast<i32>(blockDim.x) / kWarp;
    __syncthreads();  // an earlier call may still be reading scratch
    if (lane() == kWarp - 1) scratch[warp] = sum;
    __syncthreads();
    if (warp == 0) {
        i32 warp_sum = lane() < warps ? scratch[lane()] : 0;
        for (i32 step = 1; step < kWarp; step *= 2) {
            const i32 before = __shfl_up_sync(kFullWarp, warp_sum, static_cast<u32>(step));
            if (lane() >= step) warp_sum += before;
        }
        __syncwarp();
        scratch[lane() + 1] = warp_sum;
        if (lane() == 0) scratch[0] = 0;
    }
    __syncthreads();
    total = scratch[warps];
    return scratch[warp] + sum - value;
}

// Reserves a place in a list for each thread with `wanted`; one atomic per warp. All lanes must call it.
SUPERPIXEL_DEVICE u32 append(u32* count, bool wanted) {
    const u32 mask = __ballot_sync(kFullWarp, wanted);
    u32 base = 0;
    if (lane() == 0 && mask != 0) base = atomicAdd(count, static_cast<u32>(__popc(mask)));
    base = __shfl_sync(kFullWarp, base, 0);
    return base + static_cast<u32>(__popc(mask & ((1u << lane()) - 1u)));
}

// Adjacent places in a list, one range per lane. The warp's atomic may still be on its way.
struct Places {
    u32 base;    // in the last lane: where the warp's places begin
    u32 before;  // places of the lanes before this one

    // The first place of this lane. All lanes must call it.
    __device__ u32 first() const { return __shfl_sync(kFullWarp, base, kWarp - 1) + before; }
};
// Reserves `wanted` places in a list; one atomic per warp. All lanes must call it.
SUPERPIXEL_DEVICE Places reserve(u32* count, u32 wanted) {
    u32 sum = wanted;
    for (i32 step = 1; step < kWarp; step *= 2) {
        const u32 before = __shfl_up_sync(kFullWarp, sum, static_cast<u32>(step));
        if (lane() >= step) sum += before;
    }
    u32 base = 0;
    if (lane() == kWarp - 1 && sum != 0) base = atomicAdd(count, sum);
    return {base, sum - wanted};
}

// Union-find in which a parent is never larger than its child, so the root of a set is its least member
// (Komura 2015, Playne and Hawick 2018). Threads may call these functions concurrently.
SUPERPIXEL_DEVICE i32 find_root(const i32* parent, i32 node) {
    i32 next = load(parent + node);
    while (next != node) {
        node = next;
        next = load(parent + node);
    }
    return node;
}
// The same, and halves the path.
SUPERPIXEL_DEVICE i32 find_root_halving(i32* parent, i32 node) {
    i32 next = load(parent + node);
    while (next != node) {
        const i32 after = load(parent + next);
        if (after != next) atomicMin(parent + node, after);
        node = next;
        next = after;
    }
    return node;
}
SUPERPIXEL_DEVICE void unite(i32* parent, i32 p, i32 q) {
    while (true) {
        p = find_root_halving(parent, p);
        q = find_root_halving(parent, q);
        if (p == q) return;
        const i32 low = min(p, q);
        const i32 high = max(p, q);
        const i32 before = atomicMin(parent + high, low);
        if (before == high) return;
        // Another thread has given `high` the parent `before`, which belongs to the same set: unite that
        // instead.
        p = before;
        q = low;
    }
}

}  // namespace superpixel
