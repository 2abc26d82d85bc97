// Stage graph: the contrast of a side between two pixels.
#pragma once

#include "superpixel/common.h"

namespace superpixel {

// Contrast is measured between the pixels one further out on both sides, so that a blurred edge counts in
// full. At most 400 + 922 + 1012 = 2334.
SUPERPIXEL_FN i32 contrast(i32 dL, i32 dA, i32 dB) {
    return (dL < 0 ? -dL : dL) + (dA < 0 ? -dA : dA) + (dB < 0 ? -dB : dB);
}

}  // namespace superpixel
