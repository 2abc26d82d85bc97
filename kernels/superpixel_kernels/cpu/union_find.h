// Union-find over an array of parents; a root is its own parent.
#pragma once

#include "superpixel/common.h"

namespace superpixel {

// Halves the path on the way. For one thread at a time.
inline i32 find_root(i32* parent, i32 node) {
    while (parent[node] != node) node = parent[node] = parent[parent[node]];
    return node;
}

}  // namespace superpixel
