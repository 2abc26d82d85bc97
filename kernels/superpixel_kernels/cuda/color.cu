// Stage color: sRGB bytes, with any strides, to packed Lab.
#include "device.cuh"
#include "superpixel/color.h"

using namespace superpixel;

// Channel c of pixel (x, y) is at image[y * row_stride + x * column_stride + c * channel_stride]; strides may
// be negative. One channel: gray; three: RGB; four: RGBA with straight alpha.
extern "C" __global__ void color_convert(const unsigned char* image, i64 row_stride, i64 column_stride,
                                         i64 channel_stride, i32 channels, i32 width, i32 height,
                                         const u16* __restrict__ linear, const u16* __restrict__ f,
                                         u32* lab) {
    const i64 index = thread_rank();
    if (index >= static_cast<i64>(width) * height) return;
    // There are fewer than 2^31 pixels, and a 32-bit division takes a quarter of the work of a 64-bit one.
    const u32 y = static_cast<u32>(index) / static_cast<u32>(width);
    const u32 x = static_cast<u32>(index) - y * static_cast<u32>(width);
    const unsigned char* const pixel = image + y * row_stride + x * column_stride;
    i32 r = pixel[0];
    i32 g = channels == 1 ? r : pixel[channel_stride];
    i32 b = channels == 1 ? r : pixel[2 * channel_stride];
    if (channels == 4) {
        const i32 alpha = pixel[3 * channel_stride];
        r = composite_on_white(r, alpha);
        g = composite_on_white(g, alpha);
        b = composite_on_white(b, alpha);
    }
    r = linear[r];
    g = linear[g];
    b = linear[b];
    const i32 fx = f[xyz_sum_x(r, g, b) >> kXyzShift];
    const i32 fy = f[xyz_sum_y(r, g, b) >> kXyzShift];
    const i32 fz = f[xyz_sum_z(r, g, b) >> kXyzShift];
    lab[index] = pack_lab(lab_l(fy), lab_a(fx, fy), lab_b(fy, fz));
}
