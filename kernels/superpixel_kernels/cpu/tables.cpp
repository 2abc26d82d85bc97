#include "tables.h"

#include <cmath>

#include "superpixel/color.h"

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
    for (size_t c = 0; c < 256; ++c) {
        const i32 light = tables.linear[c];
        const auto part = [](i32 r, i32 g, i32 b) {
            return ColorTables::XyzPart{xyz_sum_x(r, g, b), xyz_sum_y(r, g, b), xyz_sum_z(r, g, b), 0};
        };
        tables.xyz[0][c] = part(light, 0, 0);
        tables.xyz[1][c] = part(0, light, 0);
        tables.xyz[2][c] = part(0, 0, light);
    }
    return tables;
}

}  // namespace

const ColorTables& color_tables() {
    static const ColorTables tables = make_tables();
    return tables;
}

}  // namespace superpixel
