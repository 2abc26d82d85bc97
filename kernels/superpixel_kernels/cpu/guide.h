// Guidance of one call: maps beside the image (docs/algorithm.md).
#pragma once

#include "superpixel/common.h"

namespace superpixel {

// Each map is (height, width) as the image, or null.
struct Guide {
    const unsigned char* edges = nullptr;
    const i32* prior = nullptr;
    const unsigned char* importance = nullptr;
    i32 edge_weight = 0;
    i32 prior_weight = 0;
    bool hard = false;  // the prior splits the base regions, and superpixels never cross it

    const i32* soft_prior() const { return hard ? nullptr : prior; }
    const i32* hard_prior() const { return hard ? prior : nullptr; }
};

// What the scan of a row of pixel sides needs of the edge map.
struct SeamGuide {
    const unsigned char* strength;  // of each side of the row: the larger of its two pixels
    const unsigned char* levels;    // edge_level of each region
    i32 weight;
};

}  // namespace superpixel
