// Loops of stage graph that find edges. Included by simd_impl.h, once per instruction set.
#pragma once

#if defined(SUPERPIXEL_SIMD_AVX2)
#include <immintrin.h>
#elif defined(__wasm_simd128__)
#include "simd_wasm.h"
#endif

#include "simd.h"
#include "superpixel/graph.h"
#include "superpixel/guidance.h"

namespace superpixel {
namespace {

void contrast_row(Planes p, Planes q, i32 count, i16* out) {
    for (i32 i = 0; i < count; ++i) {
        out[i] = static_cast<i16>(contrast(p.L[i] - q.L[i], p.A[i] - q.A[i], p.B[i] - q.B[i]));
    }
}

void contrast_before(Planes p, Planes q, i32 count, u16* out) {
#if defined(SUPERPIXEL_SIMD_AVX2)
    // Sixteen at a time: past the end of the row too, where the planes are padded.
    __m256i before = _mm256_setzero_si256();
    const __m256i last_of_lane = _mm256_set1_epi16(0x0f0e);
    for (i32 i = 0; i <= count; i += 16) {
        const auto difference = [&](const i16* a, const i16* b) {
            return _mm256_abs_epi16(
                _mm256_sub_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(a + i)),
                                 _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b + i))));
        };
        const __m256i here = _mm256_add_epi16(_mm256_add_epi16(difference(p.L, q.L), difference(p.A, q.A)),
                                              difference(p.B, q.B));
        // Sums within each half, then the lower half's total to the upper one.
        __m256i sum = _mm256_add_epi16(here, _mm256_slli_si256(here, 2));
        sum = _mm256_add_epi16(sum, _mm256_slli_si256(sum, 4));
        sum = _mm256_add_epi16(sum, _mm256_slli_si256(sum, 8));
        const __m256i totals = _mm256_shuffle_epi8(sum, last_of_lane);
        sum = _mm256_add_epi16(sum, _mm256_permute2x128_si256(totals, totals, 0x08));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i),
                            _mm256_add_epi16(before, _mm256_sub_epi16(sum, here)));
        const __m256i total = _mm256_shuffle_epi8(sum, last_of_lane);
        before = _mm256_add_epi16(before, _mm256_permute2x128_si256(total, total, 0x11));
    }
#elif defined(__wasm_simd128__)
    // Eight at a time, past the end of the row too.
    const v128_t zero = wasm_i32x4_const(0, 0, 0, 0);
    v128_t before = zero;
    for (i32 i = 0; i <= count; i += 8) {
        const auto difference = [&](const i16* a, const i16* b) {
            return wasm_i16x8_abs(wasm_i16x8_sub(wasm_v128_load(a + i), wasm_v128_load(b + i)));
        };
        const v128_t here =
            wasm_i16x8_add(wasm_i16x8_add(difference(p.L, q.L), difference(p.A, q.A)), difference(p.B, q.B));
        v128_t sum = wasm_i16x8_add(here, wasm_i16x8_shuffle(zero, here, 0, 8, 9, 10, 11, 12, 13, 14));
        sum = wasm_i16x8_add(sum, wasm_i16x8_shuffle(zero, sum, 0, 1, 8, 9, 10, 11, 12, 13));
        sum = wasm_i16x8_add(sum, wasm_i16x8_shuffle(zero, sum, 0, 1, 2, 3, 8, 9, 10, 11));
        wasm_v128_store(out + i, wasm_i16x8_add(before, wasm_i16x8_sub(sum, here)));
        before = wasm_i16x8_add(before, wasm_i16x8_shuffle(sum, sum, 7, 7, 7, 7, 7, 7, 7, 7));
    }
#else
    u32 sum = 0;
    for (i32 i = 0; i < count; ++i) {
        out[i] = static_cast<u16>(sum);
        sum += static_cast<u32>(contrast(p.L[i] - q.L[i], p.A[i] - q.A[i], p.B[i] - q.B[i]));
    }
    out[count] = static_cast<u16>(sum);
#endif
}

FoundEdge found_edge(i32 p, i32 q, i32 len, i32 cs) { return {p < q ? p : q, p < q ? q : p, len, cs}; }

// The sum of edge_excess over `count` sides of a row, which lie between the same two regions.
i32 excess_of(const unsigned char* strength, i32 count, i32 level) {
    i32 sum = 0;
#if defined(SUPERPIXEL_SIMD_AVX2)
    const __m128i lane = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m128i levels = _mm_set1_epi8(static_cast<char>(level));
    for (; count > 0; count -= 16, strength += 16) {
        const __m128i inside =
            _mm_cmpgt_epi8(_mm_set1_epi8(static_cast<char>(count < 16 ? count : 16)), lane);
        const __m128i excess =
            _mm_subs_epu8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(strength)), levels);
        const __m128i sums = _mm_sad_epu8(_mm_and_si128(excess, inside), _mm_setzero_si128());
        sum += _mm_cvtsi128_si32(sums) + _mm_extract_epi16(sums, 4);
    }
#else
    for (i32 i = 0; i < count; ++i) sum += edge_excess(strength[i], 0, level, 0);
#endif
    return sum;
}

template <bool kGuided>
i32 find_seam_edges(const u64* starts, const u64* above, const u64* seams, i32 width, const i32* regions,
                    const i32* regions_above, const u16* before, SeamGuide guide, FoundEdge* out) {
    FoundEdge* next = out;  // begins
    FoundEdge* unended = out;
    // A piece lies in one run of each row. Regions are at most 27 pixels wide, so its contrast is below 2^16.
    const auto end_at = [&](i32 x) {
        [[maybe_unused]] const i32 begin = unended->len;
        unended->len = x - unended->len;
        unended->cs = static_cast<u16>(before[x] - unended->cs);
        if constexpr (kGuided) {
            const i32 a = guide.levels[unended->a];
            const i32 b = guide.levels[unended->b];
            unended->cs += guide.weight * excess_of(guide.strength + begin, unended->len, a > b ? a : b);
        }
        ++unended;
    };
    u64 carry = 0;
    for (i32 x = 0; x < width; x += 64) {
        const u64 differs = *seams++;
        const u64 differed = differs << 1 | carry;  // one pixel earlier
        const u64 borders = *starts | *above;
        for (u64 bits = differs & (borders | ~differed); bits != 0; bits &= bits - 1) {
            const u64 upto = bits ^ (bits - 1);
            const i32 at = x + __builtin_ctzll(bits);
            const i32 p = regions_above[__builtin_popcountll(*above & upto) - 1];
            const i32 q = regions[__builtin_popcountll(*starts & upto) - 1];
            *next++ = found_edge(p, q, at, before[at]);
        }
        for (u64 bits = differed & (borders | ~differs); bits != 0; bits &= bits - 1) {
            if (x + __builtin_ctzll(bits) < width) end_at(x + __builtin_ctzll(bits));
        }
        carry = differs >> 63;
        regions_above += __builtin_popcountll(*above++);
        regions += __builtin_popcountll(*starts++);
    }
    if (unended < next) end_at(width);
    return static_cast<i32>(next - out);
}

i32 seam_edges(const u64* starts, const u64* above, const u64* seams, i32 width, const i32* regions,
               const i32* regions_above, const u16* before, FoundEdge* out) {
    return find_seam_edges<false>(starts, above, seams, width, regions, regions_above, before, {}, out);
}

i32 guided_seam_edges(const u64* starts, const u64* above, const u64* seams, i32 width, const i32* regions,
                      const i32* regions_above, const u16* before, SeamGuide guide, FoundEdge* out) {
    return find_seam_edges<true>(starts, above, seams, width, regions, regions_above, before, guide, out);
}

// Bit k: edge k of the line is one to region b.
u32 edges_to(const EdgeLine& line, i32 b) {
#if defined(SUPERPIXEL_SIMD_AVX2)
    // The eighth is `count`, and masked.
    const __m256i equal =
        _mm256_cmpeq_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(&line)), _mm256_set1_epi32(b));
    return static_cast<u32>(_mm256_movemask_ps(_mm256_castsi256_ps(equal))) & 127;
#else
    u32 found = 0;
    for (i32 k = 0; k < EdgeLine::kRoom; ++k) found |= static_cast<u32>(line.b[k] == b) << k;
    return found;
#endif
}

void add_to_edge(EdgeLine& line, i32 at, const FoundEdge& edge) {
    // Unsigned, because what is ignored may overflow.
    line.cs[at] = static_cast<i32>(static_cast<u32>(line.cs[at]) + static_cast<u32>(edge.cs));
    line.len[at] = static_cast<u16>(line.len[at] + edge.len);
}

i32 add_edges(EdgeLine* lines, FoundEdge* edges, i32 count, i32 first_owned) {
    // Whether a line has the edge already is unpredictable, so those without are listed without a branch.
    // They are added to the place after the last one in their lines, which is never read.
    EdgeLine ignored{};
    i32 missing = 0;
    for (i32 i = 0; i < count; ++i) {
        const FoundEdge edge = edges[i];
        const bool foreign = edge.a < first_owned;
        EdgeLine& line = foreign ? ignored : lines[edge.a];
        const u32 found = foreign ? 0 : edges_to(line, edge.b);
        add_to_edge(line, __builtin_ctz(found | 1u << EdgeLine::kRoom), edge);
        edges[missing] = edge;
        missing += static_cast<i32>(found == 0);
    }
    i32 left = 0;
    for (i32 i = 0; i < missing; ++i) {
        const FoundEdge edge = edges[i];
        if (edge.a < first_owned) [[unlikely]] {
            edges[left++] = edge;
            continue;
        }
        EdgeLine& line = lines[edge.a];
        const u32 found = edges_to(line, edge.b);
        i32 at = __builtin_ctz(found | 1u << EdgeLine::kRoom);
        if (found == 0) [[likely]] {
            if (line.count == EdgeLine::kRoom) [[unlikely]] {
                edges[left++] = edge;
                continue;
            }
            at = line.count++;
            line.b[at] = edge.b;
            line.cs[at] = 0;
            line.len[at] = 0;
        }
        add_to_edge(line, at, edge);
    }
    return left;
}

}  // namespace
}  // namespace superpixel
