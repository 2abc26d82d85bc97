// assign_cell with WebAssembly's vectors of 128 bits: as the version for AVX2, with half a row per register.
// Included by simd_assign.h only.
#pragma once

v128_t load_row(const i16* plane, const AssignRow& row, const Block& block, i32 r) {
    return wasm_v128_load(plane + static_cast<i64>(block.y0 + r) * row.width + block.x0);
}

// For each pixel the least D << 4 | slot, as unsigned numbers. Colours are multiplied by 4 * step before they
// are squared, so that the weight of the colour needs no multiplication for each candidate: a difference fits
// 16 bits, as it is at most 1012 * 32.
void nearest_slots(const AssignRow& row, const Block& block, const Candidates& candidates,
                   v128_t (*best)[2]) {
    const v128_t lane = wasm_i32x4_const(0, 1, 2, 3);
    const v128_t m16 = wasm_i32x4_splat(16 * row.m2);
    const auto shape_distance = [&](i32 first, i32 center) {
        const v128_t position = wasm_i32x4_add(lane, wasm_i32x4_splat(first));
        const v128_t d4 = wasm_i32x4_sub(wasm_i32x4_shl(position, 2), wasm_i32x4_splat(center));
        return wasm_i32x4_mul(m16, wasm_i32x4_mul(d4, d4));
    };
    const i32 scale = 4 * row.grid.step;
    const v128_t scale16 = wasm_i16x8_splat(static_cast<i16>(scale));
    struct Prepared {
        v128_t la, b, along_x[2];
        alignas(16) i32 along_y[kMaxRows];
    };
    Prepared prepared[kCandidates];
    for (i32 c = 0; c < candidates.count; ++c) {
        const Center& center = row.centers[candidates.index[c]];
        Prepared& out = prepared[c];
        out.la = wasm_i16x8_mul(wasm_i32x4_splat(center.L | (center.A << 16)), scale16);
        out.b = wasm_i16x8_mul(wasm_i32x4_splat(center.B), scale16);
        const v128_t slot = wasm_i32x4_splat(candidates.slot[c]);
        out.along_x[0] = wasm_v128_or(shape_distance(block.x0, center.x4), slot);
        out.along_x[1] = wasm_v128_or(shape_distance(block.x0 + 4, center.x4), slot);
        for (i32 r = 0; r < block.rows; r += 4)
            wasm_v128_store(out.along_y + r, shape_distance(block.y0 + r, center.y4));
    }

    const auto key = [](v128_t la, v128_t b, const Prepared& center, v128_t shape) {
        const v128_t d_la = wasm_i16x8_sub(la, center.la);
        const v128_t d_b = wasm_i16x8_sub(b, center.b);
        return wasm_i32x4_add(
            wasm_i32x4_add(wasm_i32x4_dot_i16x8(d_la, d_la), wasm_i32x4_dot_i16x8(d_b, d_b)), shape);
    };
    for (i32 r = 0; r < block.rows; ++r) {
        const v128_t L = wasm_i16x8_mul(load_row(row.planes.L, row, block, r), scale16);
        const v128_t A = wasm_i16x8_mul(load_row(row.planes.A, row, block, r), scale16);
        const v128_t B = wasm_i16x8_mul(load_row(row.planes.B, row, block, r), scale16);
        const v128_t la0 = wasm_i16x8_shuffle(L, A, 0, 8, 1, 9, 2, 10, 3, 11);
        const v128_t la1 = wasm_i16x8_shuffle(L, A, 4, 12, 5, 13, 6, 14, 7, 15);
        const v128_t b0 = wasm_u32x4_extend_low_u16x8(B);
        const v128_t b1 = wasm_u32x4_extend_high_u16x8(B);
        v128_t least0 = wasm_i32x4_const(-1, -1, -1, -1);
        v128_t least1 = least0;
        for (i32 c = 0; c < candidates.count; ++c) {
            const Prepared& center = prepared[c];
            const v128_t y = wasm_v128_load32_splat(center.along_y + r);
            least0 = wasm_u32x4_min(least0, key(la0, b0, center, wasm_i32x4_add(center.along_x[0], y)));
            least1 = wasm_u32x4_min(least1, key(la1, b1, center, wasm_i32x4_add(center.along_x[1], y)));
        }
        best[r][0] = least0;
        best[r][1] = least1;
    }
}

void assign_cell(const AssignRow& row, const Block& block, const Candidates& candidates) {
    v128_t best[kMaxRows][2];
    nearest_slots(row, block, candidates, best);

    // A slot per pixel. Lanes past the block's columns get slot 15, which no candidate has.
    const v128_t slot_bits = wasm_i32x4_const(15, 15, 15, 15);
    const v128_t lane16 = wasm_i16x8_const(0, 1, 2, 3, 4, 5, 6, 7);
    const v128_t outside = wasm_v128_and(
        wasm_i16x8_gt(lane16, wasm_i16x8_splat(static_cast<i16>(block.columns - 1))), wasm_i16x8_splat(15));
    v128_t slots[kMaxRows];
    for (i32 r = 0; r < block.rows; ++r) {
        const v128_t narrow = wasm_i16x8_narrow_i32x4(wasm_v128_and(best[r][0], slot_bits),
                                                      wasm_v128_and(best[r][1], slot_bits));
        slots[r] = wasm_v128_or(narrow, outside);
    }

    if (row.labels != nullptr) {
        i32 index_of[16] = {};
        for (i32 c = 0; c < candidates.count; ++c) index_of[candidates.slot[c]] = candidates.index[c];
        for (i32 r = 0; r < block.rows; ++r) {
            i16 slot[kBlock];
            wasm_v128_store(slot, slots[r]);
            i32* const out = row.labels + static_cast<i64>(block.y0 + r) * row.width + block.x0;
            for (i32 i = 0; i < block.columns; ++i) out[i] = index_of[slot[i]];
        }
    }

    if (row.sums != nullptr) {
        // Bits of the slots that occur: those of slots 0..7 by a table of bytes, that of slot 8 by itself.
        const v128_t bits = wasm_i8x16_const(1, 2, 4, 8, 16, 32, 64, -128, 0, 0, 0, 0, 0, 0, 0, 0);
        v128_t low = wasm_i32x4_const(0, 0, 0, 0), eighth = low;
        for (i32 r = 0; r < block.rows; ++r) {
            low = wasm_v128_or(low, wasm_i8x16_swizzle(bits, wasm_u8x16_narrow_i16x8(slots[r], slots[r])));
            eighth = wasm_v128_or(eighth, wasm_i16x8_eq(slots[r], wasm_i16x8_splat(8)));
        }
        u64 folded = static_cast<u64>(wasm_i64x2_extract_lane(low, 0));
        folded |= folded >> 32;
        folded |= folded >> 16;
        folded |= folded >> 8;
        u32 present = static_cast<u32>(folded & 255) | (wasm_v128_any_true(eighth) ? 256u : 0u);
        for (; present != 0; present &= present - 1) {
            const i32 slot = __builtin_ctz(present);
            const v128_t wanted = wasm_i16x8_splat(static_cast<i16>(slot));
            // Sums fit 16-bit lanes: at most twelve rows of 1131.
            v128_t n = wasm_i32x4_const(0, 0, 0, 0), sum_l = n, sum_a = n, sum_b = n, above = n;
            for (i32 r = 0; r < block.rows; ++r) {
                const v128_t mask = wasm_i16x8_eq(slots[r], wanted);
                above = wasm_i16x8_add(above, n);
                n = wasm_i16x8_sub(n, mask);
                sum_l = wasm_i16x8_add(sum_l, wasm_v128_and(load_row(row.planes.L, row, block, r), mask));
                sum_a = wasm_i16x8_add(sum_a, wasm_v128_and(load_row(row.planes.A, row, block, r), mask));
                sum_b = wasm_i16x8_add(sum_b, wasm_v128_and(load_row(row.planes.B, row, block, r), mask));
            }
            CenterSums& sums = row.sums[sums_offset(row, block.cell_x, slot)];
            const auto widened = [](v128_t v) { return wasm_i32x4_extadd_pairwise_i16x8(v); };
            const v128_t colors = sums_of_lanes(widened(n), widened(sum_l), widened(sum_a), widened(sum_b));
            // `above` counts each pixel once for each row of the block below it.
            const v128_t places = sums_of_lanes(wasm_i32x4_dot_i16x8(n, lane16), widened(above), n, n);
            const i32 count = wasm_i32x4_extract_lane(colors, 0);
            sums.n += count;
            sums.L += wasm_i32x4_extract_lane(colors, 1);
            sums.A += wasm_i32x4_extract_lane(colors, 2);
            sums.B += wasm_i32x4_extract_lane(colors, 3);
            sums.x += static_cast<i64>(count) * block.x0 + wasm_i32x4_extract_lane(places, 0);
            sums.y +=
                static_cast<i64>(count) * (block.y0 + block.rows - 1) - wasm_i32x4_extract_lane(places, 1);
        }
    }
}
