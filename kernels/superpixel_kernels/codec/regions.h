// The measurements of the regn section: area, bounding box, centroid, mean colour and neighbours of every
// region.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "bytes.h"

namespace superpixel::codec {

/// The measurements, one row per region; n: number of regions.
struct RegionArrays {
    std::uint32_t* area;       // (n,) pixels
    std::uint32_t* box;        // (n, 4) x0, y0, x1, y1; ends exclusive
    std::uint32_t* centroid;   // (n, 2) x, y in 1/16 pixel; pixel x is at coordinate x
    std::uint8_t* mean_color;  // (n, 3) R, G, B
};

/// scale * sum / n, rounded to nearest, halves up: (2 * scale * sum + n) / (2 * n). Written such that nothing
/// overflows if the result fits.
inline std::uint64_t rounded_mean(std::uint64_t scale, std::uint64_t sum, std::uint64_t n) {
    return scale * (sum / n) + (2 * scale * (sum % n) + n) / (2 * n);
}

/// Sums over regions, from runs of pixels.
class RegionSums {
  public:
    explicit RegionSums(std::size_t count) : sums_(count) {}

    /// Adds the run [start, end) of row y; rgb: that row, (width, 3) uint8.
    void add(std::uint32_t label, std::uint32_t y, std::uint32_t start, std::uint32_t end,
             const std::uint8_t* rgb) {
        Sums& sums = sums_[label];
        const std::uint64_t length = end - start;
        if (sums.area == 0) sums.y0 = y;
        sums.area += length;
        sums.x0 = std::min(sums.x0, start);
        sums.x1 = std::max(sums.x1, end);
        sums.y1 = y + 1;
        sums.x += length * (std::uint64_t{start} + end - 1) / 2;
        sums.y += length * y;
        std::uint64_t red = 0, green = 0, blue = 0;
        for (std::size_t x = start; x < end; ++x) {
            red += rgb[3 * x];
            green += rgb[3 * x + 1];
            blue += rgb[3 * x + 2];
        }
        sums.red += red;
        sums.green += green;
        sums.blue += blue;
    }

    void write(const RegionArrays& out) const {
        for (std::size_t i = 0; i < sums_.size(); ++i) {
            const Sums& sums = sums_[i];
            if (sums.area == 0) throw FormatError("labels: label " + std::to_string(i) + " has no pixel");
            const auto mean = [&](std::uint64_t scale, std::uint64_t sum) {
                return rounded_mean(scale, sum, sums.area);
            };
            out.area[i] = static_cast<std::uint32_t>(sums.area);
            const std::uint32_t box[] = {sums.x0, sums.y0, sums.x1, sums.y1};
            std::copy(std::begin(box), std::end(box), out.box + 4 * i);
            out.centroid[2 * i] = static_cast<std::uint32_t>(mean(16, sums.x));
            out.centroid[2 * i + 1] = static_cast<std::uint32_t>(mean(16, sums.y));
            out.mean_color[3 * i] = static_cast<std::uint8_t>(mean(1, sums.red));
            out.mean_color[3 * i + 1] = static_cast<std::uint8_t>(mean(1, sums.green));
            out.mean_color[3 * i + 2] = static_cast<std::uint8_t>(mean(1, sums.blue));
        }
    }

  private:
    struct Sums {
        std::uint64_t area = 0, x = 0, y = 0, red = 0, green = 0, blue = 0;
        std::uint32_t x0 = UINT32_MAX, y0 = 0, x1 = 0, y1 = 0;
    };
    std::vector<Sums> sums_;
};

/// The neighbours of each label that are larger than it: those of label a are neighbors[offsets[a]] up to
/// neighbors[offsets[a + 1]], exclusive, ascending.
struct Adjacency {
    std::vector<std::uint32_t> offsets;
    std::vector<std::int32_t> neighbors;
};

/// Collects pairs of adjacent labels, in any order and with repetitions.
class PairCollector {
  public:
    explicit PairCollector(std::size_t count) : count_(count) {}

    void add(std::int32_t a, std::int32_t b) {
        pairs_.push_back({static_cast<std::uint32_t>(std::min(a, b)), std::max(a, b)});
    }

    Adjacency finish() const {
        // A bucket per smaller label; then each bucket, which is short, is sorted and made unique in place.
        std::vector<std::size_t> ends(count_ + 1);
        for (const Pair& pair : pairs_) ++ends[pair.small + 1];
        for (std::size_t a = 0; a < count_; ++a) ends[a + 1] += ends[a];
        std::vector<std::int32_t> neighbors(pairs_.size());
        for (const Pair& pair : pairs_) neighbors[ends[pair.small]++] = pair.large;

        Adjacency result;
        result.offsets.reserve(count_ + 1);
        result.offsets.push_back(0);
        auto begin = neighbors.begin();
        auto kept = begin;
        for (std::size_t a = 0; a < count_; ++a) {
            const auto end = neighbors.begin() + static_cast<std::ptrdiff_t>(ends[a]);
            std::sort(begin, end);
            kept = std::unique_copy(begin, end, kept);
            begin = end;
            // Below 2^32: at most two pairs per pixel.
            result.offsets.push_back(static_cast<std::uint32_t>(kept - neighbors.begin()));
        }
        neighbors.erase(kept, neighbors.end());
        result.neighbors = std::move(neighbors);
        return result;
    }

  private:
    struct Pair {
        std::uint32_t small;
        std::int32_t large;
    };
    std::size_t count_;
    std::vector<Pair> pairs_;
};

/// The end, at most `limit`, of the run of equal labels that begins at `start`.
inline std::size_t run_end(const std::int32_t* row, std::size_t start, std::size_t limit) {
    std::size_t end = start + 1;
    while (end < limit && row[end] == row[start]) ++end;
    return end;
}

/// labels: (height, width) int32, each of 0..count-1 must occur; rgb: (height, width, 3) uint8. At most 2^28
/// pixels, so that a centroid in 1/16 pixel fits 32 bits. Throws FormatError.
inline Adjacency measure_regions(const std::int32_t* labels, const std::uint8_t* rgb, std::size_t height,
                                 std::size_t width, std::uint32_t count, const RegionArrays& out) {
    RegionSums sums(count);
    PairCollector pairs(count);
    for (std::size_t y = 0; y < height; ++y) {
        const std::int32_t* row = labels + y * width;
        const std::int32_t* above = y > 0 ? row - width : nullptr;
        const std::uint8_t* row_rgb = rgb + 3 * y * width;
        for (std::size_t start = 0; start < width;) {
            const std::int32_t label = row[start];
            const auto index = static_cast<std::uint32_t>(label);
            if (index >= count) {
                throw FormatError("labels: " + std::to_string(label) + " is not below the count of " +
                                  std::to_string(count));
            }
            const std::size_t end = run_end(row, start, width);
            sums.add(index, static_cast<std::uint32_t>(y), static_cast<std::uint32_t>(start),
                     static_cast<std::uint32_t>(end), row_rgb);
            // Skips a pair that the row above has in the same two columns, and counts each run of the row
            // above once.
            if (start > 0 &&
                !(above != nullptr && above[start] == label && above[start - 1] == row[start - 1])) {
                pairs.add(label, row[start - 1]);
            }
            for (std::size_t x = start; above != nullptr && x < end; x = run_end(above, x, end)) {
                if (above[x] != label) pairs.add(label, above[x]);
            }
            start = end;
        }
    }
    sums.write(out);
    return pairs.finish();
}

/// bytes: the section after its fixed fields. These are varints: for each label a the number of its
/// neighbours b > a, then each b - a, ascending. Writes offsets (count + 1,) and neighbors (pairs,). Throws
/// FormatError.
inline void decode_adjacency(const std::uint8_t* bytes, std::size_t size, std::uint32_t count,
                             std::uint32_t pairs, std::uint32_t* offsets, std::int32_t* neighbors) {
    VarintReader reader("regn", bytes, bytes + size);
    std::uint32_t used = 0;
    offsets[0] = 0;
    for (std::uint32_t a = 0; a < count; ++a) {
        const auto refuse = [a](const char* what) {
            throw FormatError("regn: neighbours of label " + std::to_string(a) + ": " + what);
        };
        const std::uint32_t degree = reader.next();
        if (degree > pairs - used) refuse("more pairs than the section says");
        std::uint32_t previous = 0;
        for (std::uint32_t i = 0; i < degree; ++i) {
            const std::uint32_t difference = reader.next();
            if (difference <= previous) refuse("not larger than the label, or not ascending");
            if (difference >= count - a) refuse("a label that the map does not have");
            neighbors[used++] = static_cast<std::int32_t>(a + difference);
            previous = difference;
        }
        offsets[a + 1] = used;
    }
    if (used != pairs) throw FormatError("regn: fewer pairs of neighbours than the section says");
    reader.expect_end();
}

}  // namespace superpixel::codec
