// What the kernels share: counters, atomics without an order, scans, union-find, and barriers.
//
// Determinism: threads meet only in integer atomics and minima, whose result does not depend on their order,
// and in appending to lists that nobody reads in order. Memory that other threads may change in the same
// phase is read and written through `load` and `store`.
#pragma once

#include "superpixel/common.h"

namespace superpixel {

#define SUPERPIXEL_DEVICE __device__ __forceinline__

constexpr u32 kFullWarp = 0xffffffffu;
constexpr i32 kWarp = 32;
constexpr i32 kTileWidth = 32;  // of every kernel over image tiles: a warp is a piece of one row

// What only the device knows while an image is on its way: an array of u32. workspace.py names them alike.
enum Counter {
    kRegions,  // base regions (nodes of the merge)
    kEdges,    // edges of the first round, and of every second one after it; the other half:
    kEdgesOther,
    kRecords,    // merge records
    kRounds,     // rounds made
    kTailRound,  // where the tail of the merge goes on: its round, and what it must know of those before
    kTailRecords,
    kTailMerges,
    kTailLive,
    kArrived,  // arrivals at the grid barrier
    kCounters,
};

// A value that other threads may be changing: no ordering, but never torn and never cached in a register.
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

// L, A and B of a pixel in 9, 11 and 11 bits: all planes in one load.
SUPERPIXEL_DEVICE u32 pack_lab(i32 L, i32 A, i32 B) {
    return static_cast<u32>(L) | static_cast<u32>(A) << 10 | static_cast<u32>(B) << 21;
}
SUPERPIXEL_DEVICE i32 lab_L(u32 lab) { return static_cast<i32>(lab & 0x3ffu); }
SUPERPIXEL_DEVICE i32 lab_A(u32 lab) { return static_cast<i32>(lab >> 10 & 0x7ffu); }
SUPERPIXEL_DEVICE i32 lab_B(u32 lab) { return static_cast<i32>(lab >> 21); }

// The tile of a block in a grid of tiles kTileWidth wide, and the pixel of a thread in it. Grids are
// one-dimensional: an image may be higher than a second dimension can be.
struct TilePixel {
    i32 x, y;
    bool inside;
    i64 index;
};
SUPERPIXEL_DEVICE TilePixel tile_pixel(i32 width, i32 height, i32 tile_height) {
    const u32 tiles_x = static_cast<u32>((width + kTileWidth - 1) / kTileWidth);
    const i32 x = static_cast<i32>(blockIdx.x % tiles_x) * kTileWidth + lane();
    const i32 y =
        static_cast<i32>(blockIdx.x / tiles_x) * tile_height + static_cast<i32>(threadIdx.x) / kWarp;
    return {x, y, x < width && y < height, static_cast<i64>(y) * width + x};
}

// Sum of `value` over the block's threads before this one; `total` gets the sum over all. `scratch` is
// shared, kWarp + 1 long. All threads of the block take part; blockDim.x is a multiple of kWarp.
SUPERPIXEL_DEVICE i32 block_exclusive_sum(i32 value, i32* scratch, i32& total) {
    i32 sum = value;
    for (i32 step = 1; step < kWarp; step *= 2) {
        const i32 before = __shfl_up_sync(kFullWarp, sum, static_cast<u32>(step));
        if (lane() >= step) sum += before;
    }
    const i32 warp = static_cast<i32>(threadIdx.x) / kWarp;
    const i32 warps = static_cast<i32>(blockDim.x) / kWarp;
    __syncthreads();  // scratch may be in use from a call before
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

// A place of its own in a list for every thread with `wanted`; one atomic a warp. All lanes take part.
SUPERPIXEL_DEVICE u32 append(u32* count, bool wanted) {
    const u32 mask = __ballot_sync(kFullWarp, wanted);
    u32 base = 0;
    if (lane() == 0 && mask != 0) base = atomicAdd(count, static_cast<u32>(__popc(mask)));
    base = __shfl_sync(kFullWarp, base, 0);
    return base + static_cast<u32>(__popc(mask & ((1u << lane()) - 1u)));
}

// Likewise for `wanted` places side by side.
SUPERPIXEL_DEVICE u32 append_several(u32* count, u32 wanted) {
    u32 sum = wanted;
    for (i32 step = 1; step < kWarp; step *= 2) {
        const u32 before = __shfl_up_sync(kFullWarp, sum, static_cast<u32>(step));
        if (lane() >= step) sum += before;
    }
    u32 base = 0;
    if (lane() == kWarp - 1 && sum != 0) base = atomicAdd(count, sum);
    base = __shfl_sync(kFullWarp, base, kWarp - 1);
    return base + sum - wanted;
}

// Union-find in which parents are never larger than their children, so a set's root is its least member
// (Komura 2015, Playne and Hawick 2018). Safe among concurrent calls.
SUPERPIXEL_DEVICE i32 find_root(const i32* parent, i32 node) {
    i32 next = load(parent + node);
    while (next != node) {
        node = next;
        next = load(parent + node);
    }
    return node;
}
// The same, shortening the path it walks.
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
        // Another thread hooked it first: what it hooked it to belongs to this set too.
        p = before;
        q = low;
    }
}

}  // namespace superpixel
