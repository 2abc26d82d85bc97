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

// What the cost needs of a region: mean Lab, and the number of pixels. `Real`: double, or a vector of doubles
// that hold the values of several regions.
template <class Real>
struct MeanOf {
    Real L, A, B, n;
};
using RegionMean = MeanOf<double>;

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

template <class Real>
SUPERPIXEL_FN Real half_harmonic_mean(Real a, Real b) {
    return (a * b) / (a + b);
}

SUPERPIXEL_FN double square_root(double x) { return ::sqrt(x); }
SUPERPIXEL_FN double smaller_of(double a, double b) { return a < b ? a : b; }

// Whether products by the reciprocal of params.cell_area have the bits of quotients by cell_area.
SUPERPIXEL_FN bool is_power_of_two(double cell_area) {
    const i32 area = static_cast<i32>(cell_area);
    return (area & (area - 1)) == 0;
}

// Cost of merging two regions that share `len` pixel sides of summed contrast `cs`. IEEE 754 double in this
// order, no fused multiply-add, so that every engine rounds alike. The product of
//   col    squared colour difference: of the means, plus half the mean contrast along the border; plus a
//          floor of four Lab units squared
//   size   favours even areas (Ward 1963, to the power 1.25)
//   shape  small if the common border is long
//   t * t  below 1 for specks
// `hm`: half_harmonic_mean of the regions' n; with an importance map, of their importance_weight
// (guidance.h). `kByProduct`: if is_power_of_two, because products take less time than quotients.
template <bool kByProduct, class Real>
SUPERPIXEL_FN Real cost_product(MeanOf<Real> a, MeanOf<Real> b, Real hm, Real len, Real cs,
                                CostParams params) {
    const Real d0 = a.L - b.L;
    const Real d1 = a.A - b.A;
    const Real d2 = a.B - b.B;
    const Real dd = (d0 * d0 + d1 * d1) + d2 * d2;
    const Real s = square_root(dd) + 0.5 * (cs / len);
    const Real col = s * s + 256.0;
    const Real q = square_root(hm);
    const Real size = hm * square_root(q);
    const Real shape = 1.0 + (params.k4 * q) / len;
    const Real twice = 2.0 * smaller_of(a.n, b.n);
    const Real share = kByProduct ? twice * (1.0 / params.cell_area) : twice / params.cell_area;
    const Real t = smaller_of(share, static_cast<Real>(1.0));
    return ((col * size) * shape) * (t * t);
}

SUPERPIXEL_FN float edge_cost_at_size(RegionMean a, RegionMean b, double hm, double len, double cs,
                                      CostParams params) {
    return static_cast<float>(cost_product<false>(a, b, hm, len, cs, params));
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
