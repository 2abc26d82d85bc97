// Stage smooth: the 3x3 binomial filter over a tile in shared memory.
#include "device.cuh"
#include "superpixel/smooth.h"

using namespace superpixel;

constexpr i32 kTileHeight = 8;
constexpr i32 kHaloWidth = kTileWidth + 2;
constexpr i32 kHalo = kHaloWidth * (kTileHeight + 2);

extern "C" __global__ void __launch_bounds__(kTileWidth* kTileHeight)
    smooth_filter(const u32* __restrict__ lab, i32 width, i32 height, u32* smooth) {
    __shared__ u32 tile[kHalo];
    const TilePixel at = tile_pixel(width, height, kTileHeight);
    const i32 x0 = at.x - lane() - 1;
    const i32 y0 = at.y - static_cast<i32>(threadIdx.x) / kWarp - 1;
    for (i32 i = static_cast<i32>(threadIdx.x); i < kHalo; i += static_cast<i32>(blockDim.x)) {
        const i32 x = clamp(x0 + i % kHaloWidth, 0, width - 1);
        const i32 y = clamp(y0 + i / kHaloWidth, 0, height - 1);
        tile[i] = lab[static_cast<i64>(y) * width + x];
    }
    __syncthreads();
    if (!at.inside) return;
    const u32* const corner = tile + (at.y - y0 - 1) * kHaloWidth + (at.x - x0 - 1);
    i32 L[3], A[3], B[3];
    for (i32 row = 0; row < 3; ++row) {
        const u32* const p = corner + row * kHaloWidth;
        L[row] = binomial3(lab_L(p[0]), lab_L(p[1]), lab_L(p[2]));
        A[row] = binomial3(lab_A(p[0]), lab_A(p[1]), lab_A(p[2]));
        B[row] = binomial3(lab_B(p[0]), lab_B(p[1]), lab_B(p[2]));
    }
    smooth[at.index] =
        pack_lab(binomial_round(binomial3(L[0], L[1], L[2])), binomial_round(binomial3(A[0], A[1], A[2])),
                 binomial_round(binomial3(B[0], B[1], B[2])));
}
