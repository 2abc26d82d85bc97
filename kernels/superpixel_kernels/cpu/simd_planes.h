// Loops over pixels: stages color and smooth, and column sums. Included by simd_impl.h, once per instruction
// set.
#pragma once

#if defined(SUPERPIXEL_SIMD_AVX2)
#include <immintrin.h>
#elif defined(__wasm_simd128__)
#include "simd_wasm.h"
#endif

#include "simd.h"
#include "superpixel/color.h"
#include "superpixel/smooth.h"

namespace superpixel {
namespace {

constexpr i32 kColorBlock = 128;

void color(const ColorTables& tables, const unsigned char* pixels, i32 channels, i64 width, Planes out) {
    const u16* const f = tables.f16.data();
    const auto* const red = tables.xyz[0].data();
    const auto* const green = tables.xyz[1].data();
    const auto* const blue = tables.xyz[2].data();
    i32 fx[kColorBlock], fy[kColorBlock], fz[kColorBlock];
    const i32 to_green = channels == 3 ? 1 : 0;
    const i32 to_blue = channels == 3 ? 2 : 0;
    for (i64 begin = 0; begin < width; begin += kColorBlock) {
        const i32 count = static_cast<i32>(width - begin < kColorBlock ? width - begin : kColorBlock);
        const unsigned char* pixel = pixels + begin * channels;
        for (i32 i = 0; i < count; ++i, pixel += channels) {
            const ColorTables::XyzPart xyz =
                (red[pixel[0]] + green[pixel[to_green]] + blue[pixel[to_blue]]) >> kXyzShift;
            fx[i] = f[xyz[0]];
            fy[i] = f[xyz[1]];
            fz[i] = f[xyz[2]];
        }
        for (i32 i = 0; i < count; ++i) {
            out.L[begin + i] = static_cast<i16>(lab_l(fy[i]));
            out.A[begin + i] = static_cast<i16>(lab_a(fx[i], fy[i]));
            out.B[begin + i] = static_cast<i16>(lab_b(fy[i], fz[i]));
        }
    }
}

void smooth(const i16* above, const i16* here, const i16* below, i32 width, i16* out, i16* scratch) {
    i32 done = 0;
#if defined(__wasm_simd128__)
    for (; done + 8 <= width; done += 8) {
        const v128_t outer = wasm_i16x8_add(wasm_v128_load(above + done), wasm_v128_load(below + done));
        wasm_v128_store(scratch + done,
                        wasm_i16x8_add(outer, wasm_i16x8_shl(wasm_v128_load(here + done), 1)));
    }
#endif
    for (; done < width; ++done) {
        scratch[done] = static_cast<i16>(binomial3(above[done], here[done], below[done]));
    }
    const i32 last = width - 1;
    const auto at = [&](i32 x) {
        const i32 sum = binomial3(scratch[clamp(x - 1, 0, last)], scratch[x], scratch[clamp(x + 1, 0, last)]);
        return static_cast<i16>(binomial_round(sum));
    };
    out[0] = at(0);
    i32 x = 1;
#if defined(SUPERPIXEL_SIMD_AVX2)
    // Sums fit sixteen bits, which the compiler does not know.
    for (; x + 16 <= last; x += 16) {
        const auto load = [&](i32 from) {
            return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(scratch + from));
        };
        const __m256i sum =
            _mm256_add_epi16(_mm256_add_epi16(load(x - 1), load(x + 1)), _mm256_slli_epi16(load(x), 1));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + x),
                            _mm256_srai_epi16(_mm256_add_epi16(sum, _mm256_set1_epi16(8)), 4));
    }
#elif defined(__wasm_simd128__)
    for (; x + 8 <= last; x += 8) {
        const v128_t outer = wasm_i16x8_add(wasm_v128_load(scratch + x - 1), wasm_v128_load(scratch + x + 1));
        const v128_t sum = wasm_i16x8_add(outer, wasm_i16x8_shl(wasm_v128_load(scratch + x), 1));
        wasm_v128_store(out + x, wasm_i16x8_shr(wasm_i16x8_add(sum, wasm_i16x8_splat(8)), 4));
    }
#endif
    for (; x < last; ++x) {
        out[x] = static_cast<i16>(binomial_round(binomial3(scratch[x - 1], scratch[x], scratch[x + 1])));
    }
    out[last] = at(last);
}

void column_sums(const i16* plane, i32 width, i32 rows, i16* out) {
    for (i32 x = 0; x < width; ++x) out[x] = plane[x];
    for (i32 row = 1; row < rows; ++row) {
        const i16* const values = plane + static_cast<i64>(row) * width;
        for (i32 x = 0; x < width; ++x) out[x] = static_cast<i16>(out[x] + values[x]);
    }
}

}  // namespace
}  // namespace superpixel
