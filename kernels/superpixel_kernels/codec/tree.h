// Cuts of a hierarchy, for both TREE and LVLS.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>

namespace superpixel::codec {

/// into, rank: (count - 1,), entry 0 is for label 1. A label whose rank is below `limit` has been merged into
/// the component of its `into`, which is a smaller label. Writes the region of each label to lut (count,);
/// returns the number of regions.
inline std::uint32_t cut_tree(const std::int32_t* into, const std::int32_t* rank, std::size_t count,
                              std::int32_t limit, std::int32_t* lut) {
    std::int32_t next = 0;
    lut[0] = next++;
    for (std::size_t label = 1; label < count; ++label) {
        if (rank[label - 1] >= limit) {
            lut[label] = next++;
            continue;
        }
        const auto target = static_cast<std::uint32_t>(into[label - 1]);
        if (target >= label) throw std::out_of_range("into: not below its own label");
        lut[label] = lut[target];
    }
    return static_cast<std::uint32_t>(next);
}

}  // namespace superpixel::codec
