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

// The means of four regions, transposed: each register holds one field of all four.
struct FourMeans {
    __m256d L, A, B, n;
};

FourMeans load_means(const RegionMean& r0, const RegionMean& r1, const RegionMean& r2, const RegionMean& r3) {
    const __m256d v0 = _mm256_loadu_pd(&r0.L), v1 = _mm256_loadu_pd(&r1.L);
    const __m256d v2 = _mm256_loadu_pd(&r2.L), v3 = _mm256_loadu_pd(&r3.L);
    const __m256d la_even = _mm256_unpacklo_pd(v0, v1), la_odd = _mm256_unpackhi_pd(v0, v1);
    const __m256d bn_even = _mm256_unpacklo_pd(v2, v3), bn_odd = _mm256_unpackhi_pd(v2, v3);
    return {_mm256_permute2f128_pd(la_even, bn_even, 0x20), _mm256_permute2f128_pd(la_odd, bn_odd, 0x20),
            _mm256_permute2f128_pd(la_even, bn_even, 0x31), _mm256_permute2f128_pd(la_odd, bn_odd, 0x31)};
}

#endif

template <bool kWeighted>
void words_of_edges(const Edge* edges, i32 count, const RegionMean* regions,
                    [[maybe_unused]] const double* weights, const i32* identity, CostParams params,
                    u64* out) {
    // The operands are gathered first, so that the compiler can vectorise the arithmetic.
    double len[kCostBlock], cs[kCostBlock];
    double a_l[kCostBlock], a_a[kCostBlock], a_b[kCostBlock], a_n[kCostBlock];
    double b_l[kCostBlock], b_a[kCostBlock], b_b[kCostBlock], b_n[kCostBlock];
    u32 a_id[kCostBlock], b_id[kCostBlock], hash[kCostBlock];
    float cost[kCostBlock];
    i32 gathered = 0;
#if defined(SUPERPIXEL_SIMD_AVX2)
    for (; gathered + 4 <= count; gathered += 4) {
        const Edge* const e = edges + gathered;
        const FourMeans a = load_means(regions[e[0].a], regions[e[1].a], regions[e[2].a], regions[e[3].a]);
        const FourMeans b = load_means(regions[e[0].b], regions[e[1].b], regions[e[2].b], regions[e[3].b]);
        _mm256_storeu_pd(a_l + gathered, a.L);
        _mm256_storeu_pd(a_a + gathered, a.A);
        _mm256_storeu_pd(a_b + gathered, a.B);
        _mm256_storeu_pd(a_n + gathered, a.n);
        _mm256_storeu_pd(b_l + gathered, b.L);
        _mm256_storeu_pd(b_a + gathered, b.A);
        _mm256_storeu_pd(b_b + gathered, b.B);
        _mm256_storeu_pd(b_n + gathered, b.n);
    }
#endif
    for (i32 i = gathered; i < count; ++i) {
        const RegionMean& a = regions[edges[i].a];
        const RegionMean& b = regions[edges[i].b];
        a_l[i] = a.L;
        a_a[i] = a.A;
        a_b[i] = a.B;
        a_n[i] = a.n;
        b_l[i] = b.L;
        b_a[i] = b.A;
        b_b[i] = b.B;
        b_n[i] = b.n;
    }
    for (i32 i = 0; i < count; ++i) {
        len[i] = edges[i].len;
        cs[i] = edges[i].cs;
        a_id[i] = static_cast<u32>(identity[edges[i].a]);
        b_id[i] = static_cast<u32>(identity[edges[i].b]);
    }
    if constexpr (kWeighted) {
        double a_w[kCostBlock], b_w[kCostBlock];
        for (i32 i = 0; i < count; ++i) {
            a_w[i] = weights[edges[i].a];
            b_w[i] = weights[edges[i].b];
        }
        for (i32 i = 0; i < count; ++i) {
            cost[i] = edge_cost_at_size({a_l[i], a_a[i], a_b[i], a_n[i]}, {b_l[i], b_a[i], b_b[i], b_n[i]},
                                        half_harmonic_mean(a_w[i], b_w[i]), len[i], cs[i], params);
        }
    } else {
        for (i32 i = 0; i < count; ++i) {
            cost[i] = edge_cost({a_l[i], a_a[i], a_b[i], a_n[i]}, {b_l[i], b_a[i], b_b[i], b_n[i]}, len[i],
                                cs[i], params);
        }
    }
    for (i32 i = 0; i < count; ++i) hash[i] = edge_hash(a_id[i], b_id[i]);
    for (i32 i = 0; i < count; ++i) {
        u32 bits;
        memcpy(&bits, cost + i, sizeof(bits));
        out[i] = edge_word(bits, hash[i]);
    }
}

void edge_words(const Edge* edges, i32 count, const RegionMean* regions, const i32* identity,
                CostParams params, u64* out) {
    words_of_edges<false>(edges, count, regions, nullptr, identity, params, out);
}

void weighted_edge_words(const Edge* edges, i32 count, const RegionMean* regions, const double* weights,
                         const i32* identity, CostParams params, u64* out) {
    words_of_edges<true>(edges, count, regions, weights, identity, params, out);
}

}  // namespace
}  // namespace superpixel
