// A mask: the merges between the regions inside it.
#pragma once

#include <vector>

#include "workspace.h"

namespace superpixel {

struct InsideMerges {
    std::vector<MergeRecord> merges;
    i64 early = 0;  // how many of them come from the first `early_records` records
};

// The records that join two sets of regions, both with regions inside the mask, in the same order. The
// regions inside get new numbers in the same order, and a record names the smallest of each set. `inside`: of
// each node, 0 for outside. Throws std::invalid_argument if a record names a node that does not exist.
InsideMerges merges_inside(i64 nodes, const MergeRecord* records, i64 count, i64 early_records,
                           const unsigned char* inside);

}  // namespace superpixel
