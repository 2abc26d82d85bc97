// Stage graph: the contrast across a pixel side, and bounds on the number of edges.
#pragma once

#include "superpixel/common.h"

namespace superpixel {

// Contrast across the side between two adjacent pixels. The arguments are the differences between the pixels
// one step further out on each side, so that a blurred edge counts in full. At most 400 + 922 + 1012 = 2334.
SUPERPIXEL_FN i32 contrast(i32 dL, i32 dA, i32 dB) {
    return (dL < 0 ? -dL : dL) + (dA < 0 ? -dA : dA) + (dB < 0 ? -dB : dB);
}

// Region adjacency is planar: R >= 3 regions have at most 3 R - 6 edges.
constexpr i32 kEdgesPerRegion = 3;

// Slots of a hash table for at most `edges` distinct edges: a power of two, at least half of them empty.
SUPERPIXEL_FN u32 table_slots(u32 edges) {
    u32 slots = 64;
    while (slots < 2 * edges) slots *= 2;
    return slots;
}

}  // namespace superpixel
