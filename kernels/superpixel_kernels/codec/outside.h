// Pixels that belong to no superpixel: label -1 in arrays, one more label in LABL (docs/label-map.md, MASK).
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "bytes.h"

namespace superpixel::codec {

constexpr std::int32_t kOutside = -1;

/// Numbers the outside among the labels, by its first pixel. `labels` has pixels outside.
struct NumberedOutside {
    std::vector<std::int32_t> labels;
    std::uint32_t outside = 0;

    /// Throws FormatError if no pixel is inside.
    NumberedOutside(const std::int32_t* from, std::size_t size) : labels(from, from + size) {
        const auto first = std::find(labels.begin(), labels.end(), kOutside);
        if (first == labels.begin() && std::all_of(first, labels.end(), is_outside))
            throw FormatError("labels: no pixel belongs to a superpixel");
        const std::int32_t before = first == labels.begin() ? -1 : *std::max_element(labels.begin(), first);
        const std::int32_t own = std::min(before, std::numeric_limits<std::int32_t>::max() - 1) + 1;
        for (std::int32_t& label : labels) {
            if (is_outside(label)) {
                label = own;
            } else if (label >= own && label < std::numeric_limits<std::int32_t>::max()) {
                ++label;
            }
        }
        outside = static_cast<std::uint32_t>(own);
    }

    static bool is_outside(std::int32_t label) { return label == kOutside; }
};

/// Undoes the numbering.
inline void restore_outside(std::int32_t* labels, std::size_t size, std::int32_t outside) {
    for (std::size_t i = 0; i < size; ++i) {
        if (labels[i] == outside) {
            labels[i] = kOutside;
        } else if (labels[i] > outside) {
            --labels[i];
        }
    }
}

}  // namespace superpixel::codec
