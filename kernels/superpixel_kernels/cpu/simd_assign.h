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

struct Block {
    i32 x0, y0, columns, rows, cell_x;
};

// Index of a candidate slot in AssignRow::sums, whose rows are cell_y - 1, cell_y, cell_y + 1.
i64 sums_offset(const AssignRow& row, i32 cell_x, i32 slot) {
    constexpr i32 kRowOf[kCandidates] = {0, 0, 0, 1, 1, 1, 2, 2, 2};
    return static_cast<i64>(kRowOf[slot]) * (row.grid.nx - 3) + cell_x + slot - 1;
}

#if defined(SUPERPIXEL_SIMD_AVX2)

__m256i load_pair(const i16* upper, const i16* lower) {
    return _mm256_inserti128_si256(
        _mm256_castsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(upper))),
        _mm_loadu_si128(reinterpret_cast<const __m128i*>(lower)), 1);
}

template <i32 kRows>
struct Rows {
    static constexpr i32 value = kRows;
};

// Of the distance D of a pixel to a centre, S^2 |p|^2 + 16 m2 (x^2 + y^2) is common to all centres: p is the
// pixel's colour less kMiddle, x and y its position in the block. The rest is linear in p and x, so it takes
// two vpmaddwd and two additions. 16 times the rest, plus a bias and the slot, is the key of a centre: one
// unsigned minimum keeps the nearest centre and, among equally near ones, the first. The bias makes all keys
// positive: it is 16 times the greatest common part. Keys are below 2^32, because D < 1.74e8 (slic.h).
constexpr i32 kMiddle[3] = {200, 670, 607};
constexpr i32 kGreatest[3] = {200, 461, 506};  // |p| in each channel

// Three centres of a column, those of the cell rows above, here and below; the fourth lane is unused.
struct KeyColumn {
    __m128i la, b;  // what a pixel's L and A, and its B, are multiplied by, as 16-bit halves
    __m128i x4;     // from the left of the image
    __m128i first;  // the constant part in the first row, for x4 = 0 and the slot in the first column
    __m128i step;   // what each further row adds to it
};

// All arithmetic is modulo 2^32.
KeyColumn keys_of(const AssignRow& row, const Center& above, const Center& here, const Center& below) {
    const i32 area16 = 16 * row.grid.step * row.grid.step;
    const i32 m16 = 16 * row.m2;
    constexpr i32 kLastColumn = kBlock - 1, kLastRow = kMaxRows - 2;
    const i32 bias =
        area16 * (kGreatest[0] * kGreatest[0] + kGreatest[1] * kGreatest[1] + kGreatest[2] * kGreatest[2]) +
        16 * m16 * (kLastColumn * kLastColumn + kLastRow * kLastRow);
    const auto field = [&](i32 Center::* of, i32 middle) {
        return _mm_sub_epi32(_mm_setr_epi32(above.*of, here.*of, below.*of, 0), _mm_set1_epi32(middle));
    };
    const auto squared = [](__m128i v) { return _mm_mullo_epi32(v, v); };
    const __m128i L = field(&Center::L, kMiddle[0]);
    const __m128i A = field(&Center::A, kMiddle[1]);
    const __m128i B = field(&Center::B, kMiddle[2]);
    const __m128i y4 = field(&Center::y4, 4 * row.cell_y * row.grid.step);
    const __m128i norm2 = _mm_add_epi32(_mm_add_epi32(squared(L), squared(A)), squared(B));
    const __m128i first = _mm_add_epi32(_mm_mullo_epi32(norm2, _mm_set1_epi32(area16)),
                                        _mm_mullo_epi32(squared(y4), _mm_set1_epi32(m16)));
    const __m128i slots = _mm_setr_epi32(0, 3, 6, 0);
    const auto times_minus_32 = [](__m128i v) {
        return _mm_slli_epi32(_mm_sub_epi32(_mm_setzero_si128(), v), 5);
    };
    KeyColumn keys;
    keys.la = _mm_blend_epi16(times_minus_32(L), _mm_slli_epi32(times_minus_32(A), 16), 0xaa);
    keys.b = _mm_blend_epi16(times_minus_32(B), _mm_setzero_si128(), 0xaa);
    keys.x4 = field(&Center::x4, 0);
    keys.first = _mm_add_epi32(first, _mm_add_epi32(_mm_set1_epi32(bias), slots));
    keys.step = _mm_mullo_epi32(y4, _mm_set1_epi32(-8 * m16));
    return keys;
}

// The centres around a cell: up to three columns of three.
struct Around {
    const KeyColumn* columns[3];  // null outside the grid
    i32 begin, end;               // which rows are inside the grid
};

// What the pixels of a block are multiplied by, and the constant part of each key in the first row.
struct Factors {
    alignas(16) i32 la[kCandidates + 3], bx[kCandidates + 3], rest[kCandidates + 3], step[kCandidates + 3];
    i32 count = 0;
};

Factors factors_of(const AssignRow& row, const Block& block, const Around& around) {
    Factors out;
    for (i32 column = 0; column < 3; ++column) {
        if (around.columns[column] == nullptr) continue;
        const KeyColumn& keys = *around.columns[column];
        const __m128i x4 = _mm_sub_epi32(keys.x4, _mm_set1_epi32(4 * block.x0));
        const __m128i along_x = _mm_mullo_epi32(_mm_mullo_epi32(x4, x4), _mm_set1_epi32(16 * row.m2));
        const __m128i rest = _mm_add_epi32(_mm_add_epi32(keys.first, along_x), _mm_set1_epi32(column));
        // The upper half is -128 x4.
        const __m128i bx = _mm_or_si128(keys.b, _mm_slli_epi32(_mm_sub_epi32(_mm_setzero_si128(), x4), 23));
        // Lanes outside the grid are overwritten by the next column, or left out of the count.
        const auto store = [&](i32* to, __m128i lanes) {
            if (around.begin == 1) lanes = _mm_srli_si128(lanes, 4);
            _mm_storeu_si128(reinterpret_cast<__m128i*>(to + out.count), lanes);
        };
        store(out.la, keys.la);
        store(out.bx, bx);
        store(out.rest, rest);
        store(out.step, keys.step);
        out.count += around.end - around.begin;
    }
    return out;
}

// `la`, `bx`: of each row, S^2 p in L and A, and S^2 p in B with m2 x.
template <i32 kRows>
void nearest_in_rows(const __m256i* la, const __m256i* bx, const Factors& factors, i32 row, __m256i* best) {
    __m256i least[kRows];
    for (i32 r = 0; r < kRows; ++r) least[r] = _mm256_set1_epi32(-1);
    for (i32 c = 0; c < factors.count; ++c) {
        const __m256i by_la = _mm256_set1_epi32(factors.la[c]);
        const __m256i by_bx = _mm256_set1_epi32(factors.bx[c]);
        const __m256i step = _mm256_set1_epi32(factors.step[c]);
        __m256i rest =
            _mm256_set1_epi32(row == 0 ? factors.rest[c] : factors.rest[c] + row * factors.step[c]);
        // Otherwise compilers keep the pixels in registers and `least` in memory.
        asm("" : "+r"(la), "+r"(bx));
#pragma GCC unroll 8
        for (i32 r = 0; r < kRows; ++r) {
            const __m256i products =
                _mm256_add_epi32(_mm256_madd_epi16(by_la, la[r]), _mm256_madd_epi16(by_bx, bx[r]));
            least[r] = _mm256_min_epu32(least[r], _mm256_add_epi32(products, rest));
            if (r + 1 < kRows) rest = _mm256_add_epi32(rest, step);
        }
    }
    for (i32 r = 0; r < kRows; ++r) best[r] = least[r];
}

// For each pixel a number whose last four bits are the slot of the nearest centre.
void nearest_slots(const AssignRow& row, const Block& block, const Around& around, __m256i* best) {
    const __m128i area = _mm_set1_epi16(static_cast<i16>(row.grid.step * row.grid.step));
    const __m128i x =
        _mm_mullo_epi16(_mm_setr_epi16(0, 1, 2, 3, 4, 5, 6, 7), _mm_set1_epi16(static_cast<i16>(row.m2)));
    __m256i la[kMaxRows], bx[kMaxRows];
    const i64 begin = static_cast<i64>(block.y0) * row.width + block.x0;
    for (i32 r = 0; r < block.rows; ++r) {
        const i64 at = begin + static_cast<i64>(r) * row.width;
        const auto channel = [&](const i16* plane, i32 middle) {
            const __m128i values = _mm_loadu_si128(reinterpret_cast<const __m128i*>(plane + at));
            return _mm_mullo_epi16(_mm_sub_epi16(values, _mm_set1_epi16(static_cast<i16>(middle))), area);
        };
        const __m128i L = channel(row.planes.L, kMiddle[0]);
        const __m128i A = channel(row.planes.A, kMiddle[1]);
        const __m128i B = channel(row.planes.B, kMiddle[2]);
        la[r] = _mm256_set_m128i(_mm_unpackhi_epi16(L, A), _mm_unpacklo_epi16(L, A));
        bx[r] = _mm256_set_m128i(_mm_unpackhi_epi16(B, x), _mm_unpacklo_epi16(B, x));
    }
    const Factors factors = factors_of(row, block, around);
    // Keys stay in registers for up to eight rows.
    i32 r = 0;
    const auto next = [&](auto rows) {
        constexpr i32 kRows = decltype(rows)::value;
        nearest_in_rows<kRows>(la + r, bx + r, factors, r, best + r);
        r += kRows;
    };
    while (r < block.rows) {
        switch (block.rows - r) {
            case 1:
                next(Rows<1>{});
                break;
            case 2:
                next(Rows<2>{});
                break;
            case 3:
                next(Rows<3>{});
                break;
            case 4:
                next(Rows<4>{});
                break;
            case 5:
                next(Rows<5>{});
                break;
            case 6:
                next(Rows<6>{});
                break;
            case 7:
                next(Rows<7>{});
                break;
            default:
                next(Rows<8>{});
                break;
        }
    }
}

void assign_cell(const AssignRow& row, const Block& block, const Around& around) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    __m256i best[kMaxRows];
    nearest_slots(row, block, around, best);

    const __m256i slot_bits = _mm256_set1_epi32(15);
    // Lanes past the block's columns get slot 15, which no candidate has.
    const __m256i outside =
        _mm256_and_si256(_mm256_cmpgt_epi32(lane, _mm256_set1_epi32(block.columns - 1)), slot_bits);
    for (i32 r = 0; r < block.rows; ++r) {
        best[r] = _mm256_or_si256(_mm256_and_si256(best[r], slot_bits), outside);
    }

    if (row.labels != nullptr) {
        const i32 cell = row.cell_y * row.grid.nx + block.cell_x;
        const i32 nx = row.grid.nx;
        const __m256i first_eight = _mm256_add_epi32(
            _mm256_set1_epi32(cell), _mm256_setr_epi32(-nx - 1, -nx, -nx + 1, -1, 0, 1, nx - 1, nx));
        const __m256i ninth = _mm256_set1_epi32(cell + nx + 1);
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
        const __m128i folded =
            _mm_or_si128(_mm256_castsi256_si128(present_bits), _mm256_extracti128_si256(present_bits, 1));
        const u64 two =
            static_cast<u64>(_mm_cvtsi128_si64(_mm_or_si128(folded, _mm_unpackhi_epi64(folded, folded))));
        u32 present = static_cast<u32>(two | two >> 32) & ((1u << kCandidates) - 1);
        const __m256i ones16 = _mm256_set1_epi16(1);
        const __m256i lane16 = _mm256_setr_epi16(0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7);
        // Of the two rows of a pair, in the block; 2 (pairs - p) is subtracted below.
        const i16 upper16 = static_cast<i16>(2 * pairs), lower16 = static_cast<i16>(2 * pairs + 1);
        const __m256i row16 = _mm256_set_m128i(_mm_set1_epi16(lower16), _mm_set1_epi16(upper16));
        const __m128i corner = _mm_setr_epi32(block.x0, 0, block.y0, 0);
        for (; present != 0; present &= present - 1) {
            const i32 slot = __builtin_ctz(present);
            const __m256i wanted = _mm256_set1_epi16(static_cast<i16>(slot));
            // Sums fit 16-bit lanes: at most six rows of 1131. `before`: the sum over p of (pairs - p) times
            // the count in pair p.
            __m256i n = _mm256_setzero_si256(), sum_l = n, sum_a = n, sum_b = n, before = n;
            for (i32 p = 0; p < pairs; ++p) {
                const __m256i mask = _mm256_cmpeq_epi16(slots[p], wanted);
                n = _mm256_sub_epi16(n, mask);
                sum_l = _mm256_add_epi16(sum_l, _mm256_and_si256(L[p], mask));
                sum_a = _mm256_add_epi16(sum_a, _mm256_and_si256(A[p], mask));
                sum_b = _mm256_add_epi16(sum_b, _mm256_and_si256(B[p], mask));
                before = _mm256_add_epi16(before, n);
            }
            const auto pairwise = [&](__m256i v) { return _mm256_madd_epi16(v, ones16); };
            const __m256i in_y =
                _mm256_sub_epi32(_mm256_madd_epi16(n, row16), pairwise(_mm256_add_epi16(before, before)));
            const __m256i nlab = _mm256_hadd_epi32(_mm256_hadd_epi32(pairwise(n), pairwise(sum_l)),
                                                   _mm256_hadd_epi32(pairwise(sum_a), pairwise(sum_b)));
            const __m256i xxyy = _mm256_hadd_epi32(_mm256_madd_epi16(n, lane16), in_y);
            const auto fold = [](__m256i v) {
                return _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
            };
            const __m128i add_nlab = fold(nlab);
            const __m128i from_corner = _mm_hadd_epi32(fold(xxyy), _mm_setzero_si128());
            // Positions from the image's corner are below 2^31, so products with the count are signed.
            const __m128i add_xy = _mm_add_epi64(_mm_cvtepi32_epi64(from_corner),
                                                 _mm_mul_epi32(_mm_shuffle_epi32(add_nlab, 0), corner));
            CenterSums& sums = row.sums[sums_offset(row, block.cell_x, slot)];
            __m128i* const to_nlab = reinterpret_cast<__m128i*>(&sums.n);
            __m128i* const to_xy = reinterpret_cast<__m128i*>(&sums.x);
            _mm_storeu_si128(to_nlab, _mm_add_epi32(_mm_loadu_si128(to_nlab), add_nlab));
            _mm_storeu_si128(to_xy, _mm_add_epi64(_mm_loadu_si128(to_xy), add_xy));
        }
    }
}

// Calls body(cell_x, the centres around that cell) for all cells of the row.
template <class F>
void each_cell(const AssignRow& row, F&& body) {
    const i32 begin = row.cell_y > 0 ? 0 : 1;
    const i32 end = row.cell_y + 1 < row.grid.ny ? 3 : 2;
    KeyColumn ring[4];  // the keys of column x are in ring[x % 4]
    const Center* const here = row.centers + static_cast<i64>(row.cell_y) * row.grid.nx;
    const Center* const above = begin == 0 ? here - row.grid.nx : here;
    const Center* const below = end == 3 ? here + row.grid.nx : here;
    const auto prepare = [&](i32 x) { ring[x % 4] = keys_of(row, above[x], here[x], below[x]); };
    prepare(0);
    for (i32 x = 0; x < row.grid.nx; ++x) {
        const bool is_last = x + 1 == row.grid.nx;
        if (!is_last) prepare(x + 1);
        body(x, Around{{x > 0 ? &ring[(x - 1) % 4] : nullptr, &ring[x % 4],
                        is_last ? nullptr : &ring[(x + 1) % 4]},
                       begin,
                       end});
    }
}

#else

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

template <class F>
void each_cell(const AssignRow& row, F&& body) {
    for (i32 x = 0; x < row.grid.nx; ++x) body(x, candidates_of(row, x));
}

#if defined(__wasm_simd128__)

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

#endif

void assign(const AssignRow& row) {
    Block block;
    block.y0 = row.cell_y * row.grid.step;
    block.rows = (row.cell_y + 1 == row.grid.ny ? row.height : block.y0 + row.grid.step) - block.y0;
    each_cell(row, [&](i32 cell_x, const auto& centers) {
        block.cell_x = cell_x;
        const i32 end = cell_x + 1 == row.grid.nx ? row.width : (cell_x + 1) * row.grid.step;
        for (block.x0 = cell_x * row.grid.step; block.x0 < end; block.x0 += kBlock) {
            block.columns = end - block.x0 < kBlock ? end - block.x0 : kBlock;
            assign_cell(row, block, centers);
        }
    });
}

}  // namespace
}  // namespace superpixel
