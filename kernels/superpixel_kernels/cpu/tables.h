// The integer tables of stage color.
#pragma once

#include <array>

#include "superpixel/common.h"

namespace superpixel {

struct ColorTables {
    std::array<i32, 256> linear;  // sRGB byte -> linear light, 0..65535
    std::array<i32, 8192> f;      // X, Y or Z (0..8191) -> Lab's f, in 1/16384
    // The same tables in the layout that the C++ engine reads. `xyz` holds the contribution of each channel
    // to X, Y and Z, so a pixel takes three loads and two additions instead of nine products; f16 takes half
    // the cache of f.
    using XyzPart = i32 __attribute__((vector_size(16)));  // x, y, z, unused
    std::array<std::array<XyzPart, 256>, 3> xyz;           // [channel][byte]
    std::array<u16, 8192> f16;
};

// Built on first use. No entry is near a rounding tie, so any double library gives the same integers.
const ColorTables& color_tables();

}  // namespace superpixel
