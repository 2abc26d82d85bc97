// Stage color: alpha over white, then sRGB bytes to integer CIE Lab (D65).
#pragma once

#include "superpixel/common.h"

namespace superpixel {

// Straight alpha over white, rounded to nearest.
SUPERPIXEL_FN i32 composite_on_white(i32 channel, i32 alpha) {
    return (channel * alpha + 255 * (255 - alpha) + 127) / 255;
}

// X, Y and Z of linear sRGB (0..65535), scaled by 2^14. Each matrix row sums to 2^14, so greys have X = Y =
// Z. The largest sum is 65535 * 16384 < 2^30.
SUPERPIXEL_FN i32 xyz_sum_x(i32 r, i32 g, i32 b) { return 7110 * r + 6164 * g + 3110 * b; }
SUPERPIXEL_FN i32 xyz_sum_y(i32 r, i32 g, i32 b) { return 3484 * r + 11717 * g + 1183 * b; }
SUPERPIXEL_FN i32 xyz_sum_z(i32 r, i32 g, i32 b) { return 291 * r + 1793 * g + 14300 * b; }

// Such a sum, shifted right by this, is an index 0..8191 into the table of Lab's f.
constexpr i32 kXyzShift = 17;

// f(X), f(Y), f(Z) in 1/16384 to Lab: 4 units per CIE L (0..400), 5 units per CIE a and b around 640
// (209..1131, 101..1113).
SUPERPIXEL_FN i32 lab_l(i32 fy) { return (464 * fy - 64 * 16384 + 8192) >> 14; }
SUPERPIXEL_FN i32 lab_a(i32 fx, i32 fy) { return (2500 * (fx - fy) + 640 * 16384 + 8192) >> 14; }
SUPERPIXEL_FN i32 lab_b(i32 fy, i32 fz) { return (1000 * (fy - fz) + 640 * 16384 + 8192) >> 14; }

}  // namespace superpixel
