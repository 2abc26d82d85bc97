// The loop of stage assign: each pixel takes the nearest of nine centres. Included by simd_impl.h, once per
// instruction set.
#pragma once

#if defined(SUPERPIXEL_SIMD_AVX2)
#include <immintrin.h>
#elif defined(__wasm_simd128__)
#include "simd_wasm.h"
#endif

#include "simd.h"

namespace superpixel {
namespace {

// A block: at most eight columns of a cell, over all its rows. A cell has at most 8 + (8 - 1) / 2 = 11 rows.
constexpr i32 kBlock = 8;
constexpr i32 kMaxRows = 12;

// The candidate centres of one cell. `slot` is the position in the 3x3 scan; it decides between equal
// distances.
struct Candidates {
    i32 count;
    i32 slot[kCandidates];
    i32 index[kCandidates];
};

Candidates candidates_of(const AssignRow& row, i32 cell_x) {
    Candidates result{};
    for (i32 slot = 0; slot < kCandidates; ++slot) {
        const i32 y = row.cell_y + slot / 3 - 1;
        const i32 x = cell_x + slot % 3 - 1;
        if (x < 0 || x >= row.grid.nx || y < 0 || y >= row.grid.ny) continue;
        result.slot[result.count] = slot;
        result.index[result.count] = y * row.grid.nx + x;
        ++result.count;
    }
    return result;
}

struct Block {
    i32 x0, y0, columns, rows, cell_x;
};

// Index of a candidate slot in AssignRow::sums, whose rows are cell_y - 1, cell_y, cell_y + 1.
i64 sums_offset(const AssignRow& row, i32 cell_x, i32 slot) {
    return static_cast<i64>(slot / 3) * row.grid.nx + cell_x + slot % 3 - 1;
}

#if defined(SUPERPIXEL_SIMD_AVX2)

i32 sum_lanes(__m256i v) {
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1));
    return _mm_cvtsi128_si32(s);
}

__m256i load_pair(const i16* upper, const i16* lower) {
    return _mm256_inserti128_si256(
        _mm256_castsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(upper))),
        _mm_loadu_si128(reinterpret_cast<const __m128i*>(lower)), 1);
}

// For each pixel the least D << 4 | slot: one unsigned minimum keeps the nearest centre and, among equally
// near ones, the first. It fits 32 bits because D < 2^28.
template <bool kPowerOfTwo>
void nearest_slots(const AssignRow& row, const Block& block, const Candidates& candidates, __m256i* best) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i m16 = _mm256_set1_epi32(16 * row.m2);
    const auto shape_distance = [&](i32 first, i32 center) {
        const __m256i position = _mm256_add_epi32(lane, _mm256_set1_epi32(first));
        const __m256i d4 = _mm256_sub_epi32(_mm256_slli_epi32(position, 2), _mm256_set1_epi32(center));
        return _mm256_mullo_epi32(m16, _mm256_mullo_epi32(d4, d4));
    };
    struct Prepared {
        __m256i la, b, along_x;
        alignas(32) i32 along_y[16];
    };
    Prepared prepared[kCandidates];
    for (i32 c = 0; c < candidates.count; ++c) {
        const Center& center = row.centers[candidates.index[c]];
        Prepared& out = prepared[c];
        out.la = _mm256_set1_epi32(center.L | (center.A << 16));
        out.b = _mm256_set1_epi32(center.B);
        out.along_x =
            _mm256_or_si256(shape_distance(block.x0, center.x4), _mm256_set1_epi32(candidates.slot[c]));
        __m256i* const along_y = reinterpret_cast<__m256i*>(out.along_y);
        _mm256_store_si256(along_y, shape_distance(block.y0, center.y4));
        if (block.rows > 8) _mm256_store_si256(along_y + 1, shape_distance(block.y0 + 8, center.y4));
    }

    const i32 area16 = 16 * row.grid.step * row.grid.step;
    const __m128i area_shift = _mm_cvtsi32_si128(__builtin_ctz(static_cast<u32>(area16)));
    const __m256i area = _mm256_set1_epi32(area16);
    const auto key = [&](__m256i la, __m256i b, const Prepared& center, i32 r) {
        const __m256i d_la = _mm256_sub_epi16(la, center.la);
        const __m256i d_b = _mm256_sub_epi16(b, center.b);
        const __m256i color2 = _mm256_add_epi32(_mm256_madd_epi16(d_la, d_la), _mm256_madd_epi16(d_b, d_b));
        const __m256i weighted =
            kPowerOfTwo ? _mm256_sll_epi32(color2, area_shift) : _mm256_mullo_epi32(color2, area);
        const __m256i shape = _mm256_add_epi32(center.along_x, _mm256_set1_epi32(center.along_y[r]));
        return _mm256_add_epi32(weighted, shape);
    };
    const auto load = [&](i32 r, __m256i& la, __m256i& b) {
        const i64 at = static_cast<i64>(block.y0 + r) * row.width + block.x0;
        const __m128i L = _mm_loadu_si128(reinterpret_cast<const __m128i*>(row.planes.L + at));
        const __m128i A = _mm_loadu_si128(reinterpret_cast<const __m128i*>(row.planes.A + at));
        la = _mm256_set_m128i(_mm_unpackhi_epi16(L, A), _mm_unpacklo_epi16(L, A));
        b = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(row.planes.B + at)));
    };
    // Two rows at a time use all registers; an odd last row is computed twice.
    for (i32 r = 0; r < block.rows; r += 2) {
        const i32 lower = r + 1 < block.rows ? r + 1 : r;
        __m256i la0, b0, la1, b1;
        load(r, la0, b0);
        load(lower, la1, b1);
        __m256i least0 = _mm256_set1_epi32(-1);
        __m256i least1 = least0;
        for (i32 c = 0; c < candidates.count; ++c) {
            least0 = _mm256_min_epu32(least0, key(la0, b0, prepared[c], r));
            least1 = _mm256_min_epu32(least1, key(la1, b1, prepared[c], lower));
        }
        best[r] = least0;
        best[lower] = least1;
    }
}

void assign_cell(const AssignRow& row, const Block& block, const Candidates& candidates) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    __m256i best[kMaxRows];
    if ((row.grid.step & (row.grid.step - 1)) == 0) {
        nearest_slots<true>(row, block, candidates, best);
    } else {
        nearest_slots<false>(row, block, candidates, best);
    }

    const __m256i slot_bits = _mm256_set1_epi32(15);
    // Lanes past the block's columns get slot 15, which no candidate has.
    const __m256i outside =
        _mm256_and_si256(_mm256_cmpgt_epi32(lane, _mm256_set1_epi32(block.columns - 1)), slot_bits);
    for (i32 r = 0; r < block.rows; ++r) {
        best[r] = _mm256_or_si256(_mm256_and_si256(best[r], slot_bits), outside);
    }

    if (row.labels != nullptr) {
        i32 index_of[kCandidates] = {};
        for (i32 c = 0; c < candidates.count; ++c) index_of[candidates.slot[c]] = candidates.index[c];
        const __m256i first_eight = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(index_of));
        const __m256i ninth = _mm256_set1_epi32(index_of[8]);
        const __m256i eight = _mm256_set1_epi32(8);
        const __m256i inside = _mm256_cmpgt_epi32(_mm256_set1_epi32(block.columns), lane);
        for (i32 r = 0; r < block.rows; ++r) {
            const __m256i label = _mm256_blendv_epi8(_mm256_permutevar8x32_epi32(first_eight, best[r]), ninth,
                                                     _mm256_cmpeq_epi32(best[r], eight));
            i32* const out = row.labels + static_cast<i64>(block.y0 + r) * row.width + block.x0;
            _mm256_maskstore_epi32(out, inside, label);
        }
    }

    if (row.sums != nullptr) {
        // Two rows per register, as 16-bit lanes. An odd last row is paired with a row of slot 15.
        const i32 pairs = (block.rows + 1) / 2;
        __m256i slots[kMaxRows / 2], L[kMaxRows / 2], A[kMaxRows / 2], B[kMaxRows / 2];
        const __m256i one = _mm256_set1_epi32(1);
        __m256i present_bits = _mm256_setzero_si256();
        for (i32 r = 0; r < block.rows; ++r) {
            present_bits = _mm256_or_si256(present_bits, _mm256_sllv_epi32(one, best[r]));
        }
        for (i32 p = 0; p < pairs; ++p) {
            const i32 upper = 2 * p;
            const i32 lower = upper + 1 < block.rows ? upper + 1 : upper;
            const i64 at = static_cast<i64>(block.y0 + upper) * row.width + block.x0;
            const i64 at_lower = static_cast<i64>(block.y0 + lower) * row.width + block.x0;
            const __m256i lower_slots = lower != upper ? best[lower] : slot_bits;
            const __m256i packed = _mm256_packs_epi32(best[upper], lower_slots);
            slots[p] = _mm256_permute4x64_epi64(packed, 0xd8);
            L[p] = load_pair(row.planes.L + at, row.planes.L + at_lower);
            A[p] = load_pair(row.planes.A + at, row.planes.A + at_lower);
            B[p] = load_pair(row.planes.B + at, row.planes.B + at_lower);
        }
        alignas(32) u32 present_lanes[8];
        _mm256_store_si256(reinterpret_cast<__m256i*>(present_lanes), present_bits);
        u32 present = 0;
        for (const u32 bits : present_lanes) present |= bits;
        present &= (1u << kCandidates) - 1;
        const __m256i ones16 = _mm256_set1_epi16(1);
        const __m256i lane16 = _mm256_setr_epi16(0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7);
        const __m256i lower_row16 = _mm256_setr_epi16(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
        for (; present != 0; present &= present - 1) {
            const i32 slot = __builtin_ctz(present);
            const __m256i wanted = _mm256_set1_epi16(static_cast<i16>(slot));
            // Sums fit 16-bit lanes: at most six rows of 1131.
            __m256i n = _mm256_setzero_si256(), sum_l = n, sum_a = n, sum_b = n, twice_pair = n;
            for (i32 p = 0; p < pairs; ++p) {
                const __m256i mask = _mm256_cmpeq_epi16(slots[p], wanted);
                n = _mm256_sub_epi16(n, mask);
                sum_l = _mm256_add_epi16(sum_l, _mm256_and_si256(L[p], mask));
                sum_a = _mm256_add_epi16(sum_a, _mm256_and_si256(A[p], mask));
                sum_b = _mm256_add_epi16(sum_b, _mm256_and_si256(B[p], mask));
                twice_pair = _mm256_add_epi16(
                    twice_pair, _mm256_and_si256(_mm256_set1_epi16(static_cast<i16>(2 * p)), mask));
            }
            CenterSums& sums = row.sums[sums_offset(row, block.cell_x, slot)];
            const i32 count = sum_lanes(_mm256_madd_epi16(n, ones16));
            const __m256i in_rows =
                _mm256_add_epi32(_mm256_madd_epi16(twice_pair, ones16), _mm256_madd_epi16(n, lower_row16));
            sums.n += count;
            sums.L += sum_lanes(_mm256_madd_epi16(sum_l, ones16));
            sums.A += sum_lanes(_mm256_madd_epi16(sum_a, ones16));
            sums.B += sum_lanes(_mm256_madd_epi16(sum_b, ones16));
            sums.x += static_cast<i64>(count) * block.x0 + sum_lanes(_mm256_madd_epi16(n, lane16));
            sums.y += static_cast<i64>(count) * block.y0 + sum_lanes(in_rows);
        }
    }
}

#elif defined(__wasm_simd128__)

#include "simd_assign_wasm.h"

#else

void assign_cell(const AssignRow& row, const Block& block, const Candidates& candidates) {
    for (i32 r = 0; r < block.rows; ++r) {
        const i32 y = block.y0 + r;
        const i64 at = static_cast<i64>(y) * row.width + block.x0;
        i32 least[kBlock], nearest[kBlock];
        for (i32 i = 0; i < kBlock; ++i) {
            least[i] = 0x7fffffff;
            nearest[i] = 0;
        }
        for (i32 c = 0; c < candidates.count; ++c) {
            const Center center = row.centers[candidates.index[c]];
            const i32 along_y = slic_shape_distance(row.m2, 4 * y - center.y4);
            for (i32 i = 0; i < kBlock; ++i) {
                const i32 color2 =
                    slic_color_distance(row.grid.step, row.planes.L[at + i] - center.L,
                                        row.planes.A[at + i] - center.A, row.planes.B[at + i] - center.B);
                const i32 distance =
                    color2 + slic_shape_distance(row.m2, 4 * (block.x0 + i) - center.x4) + along_y;
                const bool nearer = distance < least[i];
                least[i] = nearer ? distance : least[i];
                nearest[i] = nearer ? c : nearest[i];
            }
        }
        if (row.labels != nullptr) {
            for (i32 i = 0; i < block.columns; ++i) row.labels[at + i] = candidates.index[nearest[i]];
        }
        if (row.sums != nullptr) {
            for (i32 i = 0; i < block.columns; ++i) {
                CenterSums& sums = row.sums[sums_offset(row, block.cell_x, candidates.slot[nearest[i]])];
                sums.n += 1;
                sums.L += row.planes.L[at + i];
                sums.A += row.planes.A[at + i];
                sums.B += row.planes.B[at + i];
                sums.x += block.x0 + i;
                sums.y += y;
            }
        }
    }
}

#endif

void assign(const AssignRow& row) {
    Block block;
    block.y0 = row.cell_y * row.grid.step;
    block.rows = (row.cell_y + 1 == row.grid.ny ? row.height : block.y0 + row.grid.step) - block.y0;
    for (block.cell_x = 0; block.cell_x < row.grid.nx; ++block.cell_x) {
        const Candidates candidates = candidates_of(row, block.cell_x);
        const i32 end = block.cell_x + 1 == row.grid.nx ? row.width : (block.cell_x + 1) * row.grid.step;
        for (block.x0 = block.cell_x * row.grid.step; block.x0 < end; block.x0 += kBlock) {
            block.columns = end - block.x0 < kBlock ? end - block.x0 : kBlock;
            assign_cell(row, block, candidates);
        }
    }
}

}  // namespace
}  // namespace superpixel
