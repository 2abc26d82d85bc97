// One tile of an image, for runs that never have the whole image in memory.
#pragma once

#include <vector>

#include "engine.h"

namespace superpixel {

// Where a crop lies in the image, and which of its pixels are the tile's. The crop has a margin of
// kTileMargin cells around the tile, and begins at a multiple of the grid step.
struct TilePlace {
    i64 image_width;
    i64 y, x;            // of the crop's first pixel, in the image
    i32 y0, y1, x0, x1;  // the tile's pixels, in the crop
};

// Cells that a crop has around those of its tile. A region belongs to the tile of its first pixel; the tile
// must see it whole, and its neighbours too, to name them by their first pixels. A region spans at most three
// cells, so all of this lies within five cells around the tile. The labels there depend on pixels at most
// five cells further away: the centres of three assignments, and the pixels of two updates between them. One
// cell more has the pixels that stages smooth and graph take from around.
constexpr i32 kTileMargin = 11;

// Regions have local numbers, in the order of their first pixels. A tile names those that have pixels in it,
// and the neighbours of those it owns.
struct TileGraph {
    std::vector<i64> first;       // (local regions): the first pixel, y * image_width + x
    std::vector<i32> owned;       // local numbers of the regions whose first pixel is in the tile
    std::vector<i32> sums;        // (owned, 4): pixels, L, A, B
    std::vector<i32> degrees;     // (owned): how many of the edges begin at the region
    std::vector<i32> edges;       // (edges, 3): the region at the other end, len, cs; grouped by owned region
    std::vector<i32> importance;  // (owned), with an importance map: W
    std::vector<i32> prior;       // (owned), with a hard prior: its label
};

// All stages up to graph, on a crop; `crop.step` is that of the image. Writes the local regions of the tile's
// pixels to `labels` (y1 - y0, x1 - x0).
TileGraph measure_tile(Run& run, const Image& crop, const Guide& guide, double compactness,
                       const TilePlace& place, i32* labels);

}  // namespace superpixel
