#include "tables.h"

#include <cmath>

namespace superpixel {
namespace {

ColorTables make_tables() {
    ColorTables tables{};
    for (i32 c = 0; c < 256; ++c) {
        const double v = c / 255.0;
        const double g = v <= 0.04045 ? v / 12.92 : std::pow((v + 0.055) / 1.055, 2.4);
        tables.linear[static_cast<size_t>(c)] = static_cast<i32>(std::floor(65535.0 * g + 0.5));
    }
    for (i32 t = 0; t < 8192; ++t) {
        const double v = t / 8191.0;
        const double f = v > 216.0 / 24389.0 ? std::cbrt(v) : (24389.0 / 27.0 * v + 16.0) / 116.0;
        tables.f[static_cast<size_t>(t)] = static_cast<i32>(std::floor(16384.0 * f + 0.5));
        tables.f16[static_cast<size_t>(t)] = static_cast<u16>(tables.f[static_cast<size_t>(t)]);
    }
    // The matrix of xyz_x, xyz_y and xyz_z, column by column.
    constexpr i32 kMatrix[3][3] = {{7110, 3484, 291}, {6164, 11717, 1793}, {3110, 1183, 14300}};
    for (size_t channel = 0; channel < 3; ++channel) {
        for (size_t c = 0; c < 256; ++c) {
            const i32 light = tables.linear[c];
            const i32* column = kMatrix[channel];
            tables.xyz[channel][c] =
                ColorTables::XyzPart{column[0] * light, column[1] * light, column[2] * light, 0};
        }
    }
    return tables;
}

}  // namespace

const ColorTables& color_tables() {
    static const ColorTables tables = make_tables();
    return tables;
}

}  // namespace superpixel
