// The form of pixels that the engine takes.
#pragma once

#include <cstddef>
#include <cstring>

#include "superpixel/color.h"

namespace superpixel {

// Channels that the engine keeps of an image with this many: RGBA is composited on white.
constexpr size_t kept_channels(size_t channels) { return channels == 4 ? 3 : channels; }

// Copies `count` pixels, each of `channels` bytes. `to` may be `from`.
inline void copy_pixels(const unsigned char* from, size_t channels, size_t count, unsigned char* to) {
    if (channels != 4) {
        std::memmove(to, from, count * channels);
        return;
    }
    for (size_t i = 0; i < count; ++i, from += 4, to += 3) {
        const unsigned char alpha = from[3];
        for (int c = 0; c < 3; ++c) to[c] = static_cast<unsigned char>(composite_on_white(from[c], alpha));
    }
}

}  // namespace superpixel
