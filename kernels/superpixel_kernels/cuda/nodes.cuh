// Nodes of the region adjacency graph.
#pragma once

#include "device.cuh"

namespace superpixel {

// Sums over the pixels of a region, and its height: one 32-byte sector of memory, because kernels access
// nodes in no order.
struct __align__(32) Node {
    u64 sum_L, sum_A, sum_B;
    u32 n;       // number of pixels
    u32 height;  // bits of a non-negative float, which have the order of the floats
};

}  // namespace superpixel
