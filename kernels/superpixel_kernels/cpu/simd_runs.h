// Loops over runs and labels of rows, for the stages components, graph and cut. Included by simd_impl.h, once
// per instruction set.
#pragma once

#if defined(SUPERPIXEL_SIMD_AVX2)
#include <immintrin.h>
#elif defined(__wasm_simd128__)
#include "simd_wasm.h"
#endif

#include "simd.h"

namespace superpixel {
namespace {

// The bits of pixels [x, x + 64) or of the fewer that are left: p[x] != q[x].
u64 differ_word(const i32* p, const i32* q, i32 x, i32 width) {
    const i32 count = width - x < 64 ? width - x : 64;
    u64 word = 0;
    i32 i = 0;
#if defined(SUPERPIXEL_SIMD_AVX2)
    for (; i + 8 <= count; i += 8) {
        const __m256i equal =
            _mm256_cmpeq_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + x + i)),
                               _mm256_loadu_si256(reinterpret_cast<const __m256i*>(q + x + i)));
        word |= static_cast<u64>(_mm256_movemask_ps(_mm256_castsi256_ps(equal)) ^ 0xff) << i;
    }
#elif defined(__wasm_simd128__)
    for (; i + 16 <= count; i += 16) {
        const auto equal = [&](i32 at) {
            return wasm_i32x4_eq(wasm_v128_load(p + x + i + at), wasm_v128_load(q + x + i + at));
        };
        const v128_t low = wasm_i16x8_narrow_i32x4(equal(0), equal(4));
        const v128_t high = wasm_i16x8_narrow_i32x4(equal(8), equal(12));
        word |= static_cast<u64>(wasm_i8x16_bitmask(wasm_i8x16_narrow_i16x8(low, high)) ^ 0xffffu) << i;
    }
#endif
    for (; i < count; ++i) word |= static_cast<u64>(p[x + i] != q[x + i]) << i;
    return word;
}

void differ(const i32* p, const i32* q, i32 width, u64* out) {
    for (i32 x = 0; x < width; x += 64) *out++ = differ_word(p, q, x, width);
}

i32 run_starts(const i32* row, i32 width, u64* starts) {
    i32 count = 0;
    u64 carry = 1;
    for (i32 x = 0; x < width; x += 64) {
        // Bit i compares pixels x + i and x + i + 1, so it belongs one position further.
        const u64 word = differ_word(row + 1, row, x, width - 1);
        *starts = word << 1 | carry;
        carry = word >> 63;
        count += __builtin_popcountll(*starts++);
    }
    return count;
}

void bit_positions(const u64* bits, i64 words, i32* out) {
    for (i64 word = 0; word < words; ++word) {
        for (u64 left = bits[word]; left != 0; left &= left - 1) {
            *out++ = static_cast<i32>(64 * word) + __builtin_ctzll(left);
        }
    }
}

i32 contacts(const u64* starts, const u64* above, const u64* seams, i32 width, i32 first_below,
             i32 first_above, Contact* out) {
    i32 count = 0;
    u64 carry = 1;
    for (i32 x = 0; x < width; x += 64) {
        const u64 inside = width - x < 64 ? (u64{1} << (width - x)) - 1 : ~u64{0};
        const u64 equal = ~*seams & inside;
        // A contact begins if the pixel before is in another run, or differs from the one above it.
        u64 begins = equal & (*starts | *seams << 1 | carry);
        for (; begins != 0; begins &= begins - 1) {
            // A pixel's run is as many runs on as there are run starts up to the pixel, less one.
            const u64 upto = begins ^ (begins - 1);
            out[count++] = {first_below + __builtin_popcountll(*starts & upto) - 1,
                            first_above + __builtin_popcountll(*above & upto) - 1};
        }
        carry = *seams >> 63;
        first_below += __builtin_popcountll(*starts++);
        first_above += __builtin_popcountll(*above++);
        ++seams;
    }
    return count;
}

i32 run_sums(Planes row, const i32* starts, const i32* regions, i32 runs, i32 width, i32 first_owned,
             RegionSums* sums, ForeignSums* foreign) {
    i32 others = 0;
    for (i32 run = 0; run < runs; ++run) {
        const i32 end = run + 1 < runs ? starts[run + 1] : width;
        const i32 region = regions[run];
#if defined(SUPERPIXEL_SIMD_AVX2)
        // Sixteen pixels at a time, which nearly always is the whole run; lanes past its end are masked.
        const __m256i lane = _mm256_setr_epi16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        const __m256i ones = _mm256_set1_epi16(1);
        __m128i total = _mm_setzero_si128();
        for (i32 x = starts[run]; x < end; x += 16) {
            const i32 left = end - x < 16 ? end - x : 16;
            const __m256i inside = _mm256_cmpgt_epi16(_mm256_set1_epi16(static_cast<i16>(left)), lane);
            const __m256i weight = _mm256_and_si256(ones, inside);
            const auto sum_of = [&](const i16* plane) {
                return _mm256_madd_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(plane + x)),
                                         weight);
            };
            const __m256i n_l = _mm256_hadd_epi32(_mm256_madd_epi16(ones, weight), sum_of(row.L));
            const __m256i a_b = _mm256_hadd_epi32(sum_of(row.A), sum_of(row.B));
            const __m256i all = _mm256_hadd_epi32(n_l, a_b);
            total = _mm_add_epi32(
                total, _mm_add_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1)));
        }
        if (region >= first_owned) [[likely]] {
            double* const to = &sums[region].n;
            _mm256_storeu_pd(to, _mm256_add_pd(_mm256_loadu_pd(to), _mm256_cvtepi32_pd(total)));
        } else {
            ForeignSums& out = foreign[others++];
            out.region = region;
            _mm_storeu_si128(reinterpret_cast<__m128i*>(&out.n), total);
        }
#else
#if defined(__wasm_simd128__)
        // Eight pixels at a time; lanes past the run's end are masked.
        const v128_t lane = wasm_i16x8_const(0, 1, 2, 3, 4, 5, 6, 7);
        const v128_t ones = wasm_i16x8_const(1, 1, 1, 1, 1, 1, 1, 1);
        v128_t total = wasm_i32x4_const(0, 0, 0, 0);
        for (i32 x = starts[run]; x < end; x += 8) {
            const i32 left = end - x < 8 ? end - x : 8;
            const v128_t weight =
                wasm_v128_and(ones, wasm_i16x8_gt(wasm_i16x8_splat(static_cast<i16>(left)), lane));
            const auto sum_of = [&](const i16* plane) {
                return wasm_i32x4_dot_i16x8(wasm_v128_load(plane + x), weight);
            };
            total = wasm_i32x4_add(total, sums_of_lanes(wasm_i32x4_dot_i16x8(ones, weight), sum_of(row.L),
                                                        sum_of(row.A), sum_of(row.B)));
        }
        const i32 L = wasm_i32x4_extract_lane(total, 1);
        const i32 A = wasm_i32x4_extract_lane(total, 2);
        const i32 B = wasm_i32x4_extract_lane(total, 3);
#else
        i32 L = 0, A = 0, B = 0;
        for (i32 x = starts[run]; x < end; ++x) {
            L += row.L[x];
            A += row.A[x];
            B += row.B[x];
        }
#endif
        const i32 n = end - starts[run];
        if (region >= first_owned) {
            sums[region].n += n;
            sums[region].L += L;
            sums[region].A += A;
            sums[region].B += B;
        } else {
            foreign[others++] = {region, n, L, A, B};
        }
#endif
    }
    return others;
}

void fill_runs(const i32* starts, const i32* values, i32 runs, i32 width, i32* row) {
    for (i32 run = 0; run < runs; ++run) {
        const i32 end = run + 1 < runs ? starts[run + 1] : width;
        i32 x = starts[run];
#if defined(SUPERPIXEL_SIMD_AVX2)
        // Eight at a time. Within the row this may write past the run's end; the next run overwrites that.
        for (; x < end && x + 8 <= width; x += 8) {
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(row + x), _mm256_set1_epi32(values[run]));
        }
#elif defined(__wasm_simd128__)
        for (; x < end && x + 4 <= width; x += 4) wasm_v128_store(row + x, wasm_i32x4_splat(values[run]));
#endif
        for (; x < end; ++x) row[x] = values[run];
    }
}

void lookup(const i32* table, const i32* index, i64 count, i32* out) {
    // Unrolled: the short loop took a third longer if it was placed badly in memory.
#pragma GCC unroll 4
    for (i64 i = 0; i < count; ++i) out[i] = table[index[i]];
}

}  // namespace
}  // namespace superpixel
