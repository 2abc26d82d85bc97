// Stage merge: the cost of an edge of the region adjacency graph, and the total order of edges.
#pragma once

#if !defined(__CUDACC_RTC__)
#include <cmath>
#endif

#include "superpixel/common.h"

namespace superpixel {

// From this round on, all rounds are collective. This bounds their number by 96 + log2(regions).
constexpr i32 kCollectiveFrom = 96;
// A round is collective if the round before merged less than 1/64 of the live regions.
constexpr i32 kCollectiveShare = 64;

// What the cost needs of a region: mean Lab, and the number of pixels.
struct RegionMean {
    double L, A, B, n;
};

SUPERPIXEL_FN RegionMean region_mean(double n, double sum_L, double sum_A, double sum_B) {
    return {sum_L / n, sum_A / n, sum_B / n, n};
}

// What the cost needs beside regions and edge.
struct CostParams {
    double k4;         // weight of the shape factor
    double cell_area;  // regions below half of this are specks, which join a neighbour early
};

// `step`: the grid step; 1 on the pixel level, where no pixel is a speck.
SUPERPIXEL_FN CostParams cost_params(double compactness, i32 step) {
    return {0.4 * compactness, static_cast<double>(step * step)};
}

SUPERPIXEL_FN double half_harmonic_mean(double a, double b) { return (a * b) / (a + b); }

// Cost of merging two regions that share `len` pixel sides of summed contrast `cs`. IEEE 754 double in this
// order, no fused multiply-add, so that every engine rounds alike. The product of
//   col    squared colour difference: of the means, plus half the mean contrast along the border; plus a
//          floor of four Lab units squared
//   size   favours even areas (Ward 1963, to the power 1.25)
//   shape  small if the common border is long
//   t * t  below 1 for specks
// `hm`: half_harmonic_mean of the regions' n; with an importance map, of their importance_weight
// (guidance.h).
SUPERPIXEL_FN float edge_cost_at_size(RegionMean a, RegionMean b, double hm, double len, double cs,
                                      CostParams params) {
    const double d0 = a.L - b.L;
    const double d1 = a.A - b.A;
    const double d2 = a.B - b.B;
    const double dd = (d0 * d0 + d1 * d1) + d2 * d2;
    const double s = ::sqrt(dd) + 0.5 * (cs / len);
    const double col = s * s + 256.0;
    const double q = ::sqrt(hm);
    const double size = hm * ::sqrt(q);
    const double shape = 1.0 + (params.k4 * q) / len;
    const double smaller = a.n < b.n ? a.n : b.n;
    const double share = (2.0 * smaller) / params.cell_area;
    const double t = share < 1.0 ? share : 1.0;
    return static_cast<float>(((col * size) * shape) * (t * t));
}

SUPERPIXEL_FN float edge_cost(RegionMean a, RegionMean b, double len, double cs, CostParams params) {
    return edge_cost_at_size(a, b, half_harmonic_mean(a.n, b.n), len, cs, params);
}

SUPERPIXEL_FN u32 hash_mix(u32 x) {
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    x ^= x >> 16;
    return x;
}

// Breaks ties between edges of equal cost without favouring a direction. a and b: the regions' identities.
SUPERPIXEL_FN u32 edge_hash(u32 a, u32 b) { return hash_mix((a * 0x9E3779B1u) ^ hash_mix(b)); }

// Cost and hash as one integer: positive floats have the order of their bit patterns. Edges with equal words
// are ordered by (a, b).
SUPERPIXEL_FN u64 edge_word(u32 cost_bits, u32 hash) { return (static_cast<u64>(cost_bits) << 32) | hash; }

// `merges_before`: edges merged in the round before; `live_before`: live regions before that round.
SUPERPIXEL_FN bool collective_round(i32 round, i64 merges_before, i64 live_before) {
    return round > 0 && (kCollectiveShare * merges_before < live_before || round >= kCollectiveFrom);
}

}  // namespace superpixel
