// Edges of the region adjacency graph on the device: lists, and the hash table that joins equal pairs.
#pragma once

#include "device.cuh"

namespace superpixel {

constexpr u64 kNoKey = ~0ull;

// a < b: regions by their smallest base index.
SUPERPIXEL_DEVICE u64 edge_key(i32 a, i32 b) { return static_cast<u64>(a) << 32 | static_cast<u32>(b); }
SUPERPIXEL_DEVICE i32 edge_a(u64 key) { return static_cast<i32>(key >> 32); }
SUPERPIXEL_DEVICE i32 edge_b(u64 key) { return static_cast<i32>(key & 0xffffffffu); }

// Parallel arrays: the pair, the pixel sides between its regions, and their summed contrast.
struct Edges {
    u64* key;
    u32* len;
    u64* cs;
};

// Slots of the table in use for so many distinct edges at most: a power of two, half empty at least.
SUPERPIXEL_DEVICE u32 table_slots(u32 edges) {
    u32 slots = 64;
    while (slots < 2 * edges) slots *= 2;
    return slots;
}

// Open addressing, linear probing (Knuth). Unused slots hold kNoKey and zeros.
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

// Moves this thread's slot, if used, to the end of the list. All lanes of a warp take part.
SUPERPIXEL_DEVICE void drain_slot(Edges table, u32 slot, bool inside, Edges list, u32* count) {
    const u64 key = inside ? table.key[slot] : kNoKey;
    const u32 at = append(count, key != kNoKey);
    if (key == kNoKey) return;
    list.key[at] = key;
    list.len[at] = table.len[slot];
    list.cs[at] = table.cs[slot];
    table.key[slot] = kNoKey;
    table.len[slot] = 0;
    table.cs[slot] = 0;
}

}  // namespace superpixel
