// Edges of the region adjacency graph: lists, and a hash table that joins edges between the same two regions.
#pragma once

#include "device.cuh"
#include "superpixel/graph.h"

namespace superpixel {

constexpr u64 kNoKey = ~0ull;

// Slots of the table for the edges between `regions` regions.
SUPERPIXEL_DEVICE u32 region_slots(u32 regions) { return table_slots(kEdgesPerRegion * regions); }

// a < b: the regions' identities.
SUPERPIXEL_DEVICE u64 edge_key(i32 a, i32 b) { return static_cast<u64>(a) << 32 | static_cast<u32>(b); }
SUPERPIXEL_DEVICE i32 edge_a(u64 key) { return static_cast<i32>(key >> 32); }
SUPERPIXEL_DEVICE i32 edge_b(u64 key) { return static_cast<i32>(key & 0xffffffffu); }

// Parallel arrays: both regions, the number of pixel sides between them, and their summed contrast.
struct Edges {
    u64* key;
    u32* len;
    u64* cs;

    __device__ void put(u32 i, u64 new_key, u32 new_len, u64 new_cs) const {
        key[i] = new_key;
        len[i] = new_len;
        cs[i] = new_cs;
    }
};

// Adds an edge to the table. Open addressing with linear probing (Knuth); unused slots hold kNoKey and zeros.
SUPERPIXEL_DEVICE void add_edge(Edges table, u32 mask, u64 key, u32 len, u64 cs) {
    u32 slot = static_cast<u32>(key * 0x9E3779B97F4A7C15ull >> 32) & mask;
    while (true) {
        u64 found = load(table.key + slot);
        if (found == kNoKey) found = atomicCAS(table.key + slot, kNoKey, key);
        if (found == kNoKey || found == key) break;
        slot = (slot + 1) & mask;
    }
    atomicAdd(table.len + slot, len);
    atomicAdd(table.cs + slot, cs);
}

// Slots that a thread moves at a time; a warp reserves the places for them by one atomic.
constexpr u32 kSlotsAThread = 4;

// Takes the used slots among rank, rank + stride, rank + 2 * stride, ... out of the table: calls
// take(i, key, len, cs) for each, in which i is a number of its own that `count` gives, and clears the slot.
// Slots whose keys are not `wanted` stay. All lanes of a warp must call it, with consecutive ranks.
template <class Wanted, class Take>
SUPERPIXEL_DEVICE void drain_slots(Edges table, u32 slots, u32 rank, u32 stride, u32* count, Wanted&& wanted,
                                   Take&& take) {
    for (u32 first = rank; first < slots; first += kSlotsAThread * stride) {
        u64 keys[kSlotsAThread];
        u32 used = 0;
        for (u32 i = 0; i < kSlotsAThread; ++i) {
            const u32 slot = first + i * stride;
            keys[i] = slot < slots ? table.key[slot] : kNoKey;
            if (keys[i] != kNoKey && !wanted(keys[i])) keys[i] = kNoKey;
            used += keys[i] != kNoKey ? 1 : 0;
        }
        u32 at = reserve(count, used).first();
        for (u32 i = 0; i < kSlotsAThread; ++i) {
            if (keys[i] == kNoKey) continue;
            const u32 slot = first + i * stride;
            take(at++, keys[i], table.len[slot], table.cs[slot]);
            table.put(slot, kNoKey, 0, 0);
        }
    }
}

}  // namespace superpixel
