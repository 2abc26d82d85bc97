// Stage merge: the edge that a region chooses, and the new number of a region, as one integer each.
#pragma once

#include <bit>

#include "simd.h"

namespace superpixel {

// A choice is the bits of an edge's cost, and below them the region at the other end, so the lesser choice is
// the cheaper edge. kNoChoice stands for no edge; its other end is region 0.
constexpr u64 kNoChoice = u64{0xffffffff} << 32;

inline u64 choice_of(u32 cost, i32 other) { return static_cast<u64>(cost) << 32 | static_cast<u32>(other); }
inline i32 other_of(u64 choice) { return static_cast<i32>(static_cast<u32>(choice)); }
inline float cost_of(u64 choice) { return std::bit_cast<float>(static_cast<u32>(choice >> 32)); }
inline bool is_edge(u64 choice) { return choice < kNoChoice; }

// Set in the new number of a region that a merge has changed. Stage relabel copies it to the cost of edges.
constexpr u32 kChanged = 0x80000000u;
static_assert(kChanged == Edge::kStale);

inline i32 without_sign(i32 id) { return static_cast<i32>(static_cast<u32>(id) & ~kChanged); }
inline i32 with_sign(i32 id, bool sign) {
    return static_cast<i32>(static_cast<u32>(id) | static_cast<u32>(sign) << 31);
}

}  // namespace superpixel
