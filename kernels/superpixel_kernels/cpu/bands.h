// Sharing rows among tasks.
#pragma once

#include "superpixel/common.h"

namespace superpixel {

// `rows` rows (of pixels, or of cells) in `count` bands of nearly equal height; count <= rows.
struct Bands {
    i32 rows, count;

    i32 begin(i64 band) const { return static_cast<i32>(static_cast<i64>(rows) * band / count); }
    i32 end(i64 band) const { return begin(band + 1); }
};

}  // namespace superpixel
