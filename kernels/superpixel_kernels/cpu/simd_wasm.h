// What the loops for WebAssembly's vectors of 128 bits share.
#pragma once

#include <wasm_simd128.h>

namespace superpixel {
namespace {

// Sums of the lanes of each of four vectors.
v128_t sums_of_lanes(v128_t a, v128_t b, v128_t c, v128_t d) {
    const v128_t ab =
        wasm_i32x4_add(wasm_i32x4_shuffle(a, b, 0, 4, 1, 5), wasm_i32x4_shuffle(a, b, 2, 6, 3, 7));
    const v128_t cd =
        wasm_i32x4_add(wasm_i32x4_shuffle(c, d, 0, 4, 1, 5), wasm_i32x4_shuffle(c, d, 2, 6, 3, 7));
    return wasm_i32x4_add(wasm_i64x2_shuffle(ab, cd, 0, 2), wasm_i64x2_shuffle(ab, cd, 1, 3));
}

}  // namespace
}  // namespace superpixel
