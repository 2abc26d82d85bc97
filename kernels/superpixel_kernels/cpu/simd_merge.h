// The loop of stage merge: costs of edges. Included by simd_impl.h, once per instruction set.
#pragma once

#include <string.h>

#if defined(SUPERPIXEL_SIMD_AVX2)
#include <immintrin.h>
#endif

#include "simd.h"

namespace superpixel {
namespace {

#if defined(SUPERPIXEL_SIMD_AVX2)

// Four edges at a time: each register holds one field of all four.
constexpr i32 kCostLanes = 4;
struct Reals {
    __m256d v;

    Reals(__m256d values) : v(values) {}
    Reals(double value) : v(_mm256_set1_pd(value)) {}
    friend Reals operator+(Reals a, Reals b) { return _mm256_add_pd(a.v, b.v); }
    friend Reals operator-(Reals a, Reals b) { return _mm256_sub_pd(a.v, b.v); }
    friend Reals operator*(Reals a, Reals b) { return _mm256_mul_pd(a.v, b.v); }
    friend Reals operator/(Reals a, Reals b) { return _mm256_div_pd(a.v, b.v); }
    friend Reals square_root(Reals x) { return _mm256_sqrt_pd(x.v); }
    friend Reals smaller_of(Reals a, Reals b) { return _mm256_min_pd(a.v, b.v); }
};

MeanOf<Reals> load_means(const RegionMean& r0, const RegionMean& r1, const RegionMean& r2,
                         const RegionMean& r3) {
    const __m256d v0 = _mm256_loadu_pd(&r0.L), v1 = _mm256_loadu_pd(&r1.L);
    const __m256d v2 = _mm256_loadu_pd(&r2.L), v3 = _mm256_loadu_pd(&r3.L);
    const __m256d la_even = _mm256_unpacklo_pd(v0, v1), la_odd = _mm256_unpackhi_pd(v0, v1);
    const __m256d bn_even = _mm256_unpacklo_pd(v2, v3), bn_odd = _mm256_unpackhi_pd(v2, v3);
    return {_mm256_permute2f128_pd(la_even, bn_even, 0x20), _mm256_permute2f128_pd(la_odd, bn_odd, 0x20),
            _mm256_permute2f128_pd(la_even, bn_even, 0x31), _mm256_permute2f128_pd(la_odd, bn_odd, 0x31)};
}

template <bool kWeighted, bool kByProduct>
void costs_of(Edge* const (&edges)[kCostLanes], const RegionMean* regions,
              [[maybe_unused]] const double* weights, CostParams params) {
    Edge &e0 = *edges[0], &e1 = *edges[1], &e2 = *edges[2], &e3 = *edges[3];
    const MeanOf<Reals> a = load_means(regions[e0.a], regions[e1.a], regions[e2.a], regions[e3.a]);
    const MeanOf<Reals> b = load_means(regions[e0.b], regions[e1.b], regions[e2.b], regions[e3.b]);
    const Reals len = _mm256_cvtepi32_pd(_mm_setr_epi32(e0.len, e1.len, e2.len, e3.len));
    const Reals cs = _mm256_setr_pd(e0.cs, e1.cs, e2.cs, e3.cs);
    const auto of_ends = [&]() -> Reals {
        if constexpr (!kWeighted) return half_harmonic_mean(a.n, b.n);
        const Reals at_a = _mm256_setr_pd(weights[e0.a], weights[e1.a], weights[e2.a], weights[e3.a]);
        const Reals at_b = _mm256_setr_pd(weights[e0.b], weights[e1.b], weights[e2.b], weights[e3.b]);
        return half_harmonic_mean(at_a, at_b);
    };
    const Reals cost = cost_product<kByProduct>(a, b, of_ends(), len, cs, params);
    const __m128i bits = _mm_castps_si128(_mm256_cvtpd_ps(cost.v));
    e0.cost = static_cast<u32>(_mm_extract_epi32(bits, 0));
    e1.cost = static_cast<u32>(_mm_extract_epi32(bits, 1));
    e2.cost = static_cast<u32>(_mm_extract_epi32(bits, 2));
    e3.cost = static_cast<u32>(_mm_extract_epi32(bits, 3));
}

#else

constexpr i32 kCostLanes = 1;

template <bool kWeighted, bool kByProduct>
void costs_of(Edge* const (&edges)[kCostLanes], const RegionMean* regions,
              [[maybe_unused]] const double* weights, CostParams params) {
    Edge& edge = *edges[0];
    const RegionMean& a = regions[edge.a];
    const RegionMean& b = regions[edge.b];
    double hm;
    if constexpr (kWeighted) {
        hm = half_harmonic_mean(weights[edge.a], weights[edge.b]);
    } else {
        hm = half_harmonic_mean(a.n, b.n);
    }
    const double len = edge.len;
    const float cost = static_cast<float>(cost_product<kByProduct>(a, b, hm, len, edge.cs, params));
    memcpy(&edge.cost, &cost, sizeof(cost));
}

#endif

template <bool kWeighted, bool kByProduct>
void each_cost(Edge* edges, const i32* which, i64 count, const RegionMean* regions, const double* weights,
               CostParams params) {
    for (i64 i = 0; i < count; i += kCostLanes) {
        Edge* lanes[kCostLanes];
        // The last lanes may repeat the last edge.
        for (i64 lane = 0; lane < kCostLanes; ++lane)
            lanes[lane] = edges + which[i + lane < count ? i + lane : count - 1];
        costs_of<kWeighted, kByProduct>(lanes, regions, weights, params);
    }
}

void edge_costs(Edge* edges, const i32* which, i64 count, const RegionMean* regions, CostParams params) {
    if (is_power_of_two(params.cell_area)) {
        each_cost<false, true>(edges, which, count, regions, nullptr, params);
    } else {
        each_cost<false, false>(edges, which, count, regions, nullptr, params);
    }
}

void weighted_edge_costs(Edge* edges, const i32* which, i64 count, const RegionMean* regions,
                         const double* weights, CostParams params) {
    each_cost<true, false>(edges, which, count, regions, weights, params);
}

}  // namespace
}  // namespace superpixel
