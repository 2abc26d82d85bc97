// Loops over rows for the stages components, graph and cut. Included by simd_impl.h, once per instruction
// set.
#pragma once

#if defined(SUPERPIXEL_SIMD_AVX2)
#include <immintrin.h>
#endif

#include "simd.h"
#include "superpixel/graph.h"

namespace superpixel {
namespace {

i32 run_starts(const i32* row, i32 width, i32* starts) {
    i32 count = 0;
    starts[count++] = 0;
    i32 x = 1;
#if defined(SUPERPIXEL_SIMD_AVX2)
    for (; x + 32 <= width; x += 32) {
        u32 differs = 0;
        for (i32 part = 0; part < 4; ++part) {
            const __m256i here = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row + x + 8 * part));
            const __m256i before =
                _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row + x + 8 * part - 1));
            const i32 equal = _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(here, before)));
            differs |= static_cast<u32>(equal ^ 0xff) << (8 * part);
        }
        for (; differs != 0; differs &= differs - 1) starts[count++] = x + __builtin_ctz(differs);
    }
#endif
    for (; x < width; ++x) {
        starts[count] = x;
        count += row[x] != row[x - 1] ? 1 : 0;
    }
    return count;
}

void run_sums(Planes row, const i32* starts, i32 runs, i32 width, i32 (*out)[4]) {
    for (i32 run = 0; run < runs; ++run) {
        const i32 end = run + 1 < runs ? starts[run + 1] : width;
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
            const __m256i la = _mm256_hadd_epi32(sum_of(row.L), sum_of(row.A));
            const __m256i bn = _mm256_hadd_epi32(sum_of(row.B), _mm256_madd_epi16(ones, weight));
            const __m256i all = _mm256_hadd_epi32(la, bn);
            total = _mm_add_epi32(
                total, _mm_add_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1)));
        }
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out[run]), total);
#else
        i32 L = 0, A = 0, B = 0;
        for (i32 x = starts[run]; x < end; ++x) {
            L += row.L[x];
            A += row.A[x];
            B += row.B[x];
        }
        out[run][0] = L;
        out[run][1] = A;
        out[run][2] = B;
        out[run][3] = end - starts[run];
#endif
    }
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
#endif
        for (; x < end; ++x) row[x] = values[run];
    }
}

void contrast_row(Planes p, Planes q, i32 count, i16* out) {
    for (i32 i = 0; i < count; ++i) {
        out[i] = static_cast<i16>(contrast(p.L[i] - q.L[i], p.A[i] - q.A[i], p.B[i] - q.B[i]));
    }
}

void lookup(const i32* table, const i32* index, i64 count, i32* out) {
    for (i64 i = 0; i < count; ++i) out[i] = table[index[i]];
}

}  // namespace
}  // namespace superpixel
