// Writes the container SPXL: header and sections (docs/label-map.md). Python and WebAssembly both use it,
// with zlib linked in, so the same arguments give the same bytes everywhere. The callers check their
// arguments.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "bytes.h"
#include "gzip.h"
#include "label_tokens.h"
#include "outside.h"
#include "regions.h"

namespace superpixel::codec {

constexpr std::uint8_t kFormatVersion = 1;
constexpr std::uint8_t kFlagConnected = 1;

/// Bytes per label in a map of `count` labels: the number of byte planes of its tree's fields.
inline std::size_t plane_count(std::uint32_t count) {
    return (static_cast<std::size_t>(std::bit_width(count - 1)) + 7) / 8;
}

/// The bits of a height, not negative, rounded up to bfloat16. These 16 bits are the upper half of a float.
inline std::uint32_t bfloat16_above(float height) {
    std::uint32_t bits = 0;
    const float value = height + 0.0f;  // turns -0 into 0
    std::memcpy(&bits, &value, sizeof bits);
    return (bits + 0xFFFF) >> 16;
}

/// The measurements that `measure_regions` makes, to be written; n: number of regions.
struct MeasuredRegions {
    const std::uint32_t* area;
    const std::uint32_t* box;
    const std::uint32_t* centroid;
    const std::uint8_t* mean_color;
    const std::uint32_t* offsets;   // (n + 1,)
    const std::int32_t* neighbors;  // (pairs,)
};

/// One container. The constructor writes header, LABL and, if there are pixels outside, MASK; call the other
/// functions in the order of their declaration, each at most once.
class ContainerWriter {
  public:
    /// labels: (height, width), both at least 1; kOutside for pixels that belong to no superpixel. Throws
    /// FormatError unless the others are numbered by first appearance, and there is one.
    ContainerWriter(const std::int32_t* labels, std::size_t height, std::size_t width, bool connected,
                    std::uint16_t algorithm_version) {
        const std::size_t size = height * width;
        if (std::find(labels, labels + size, kOutside) == labels + size) {
            head(labels, height, width, connected, algorithm_version, false);
            return;
        }
        const NumberedOutside numbered(labels, size);
        head(numbered.labels.data(), height, width, connected, algorithm_version, true);
        std::vector<std::uint8_t> payload;
        append(payload, numbered.outside);
        section("MASK", [&](Section& mask) { mask.part(payload); });
    }

    /// Number of superpixels.
    std::uint32_t count() const { return count_; }

    /// The whole tree; into, order: (count - 1,).
    void tree(const std::uint32_t* into, const std::uint32_t* order) {
        section("TREE", [&](Section& tree) {
            tree.planes(into, merges(), 1, plane_count(count_));
            tree.planes(order, merges(), 1, plane_count(count_));
        });
    }

    /// The levels of these counts, which fall, instead of the whole tree.
    void levels(const std::vector<std::uint32_t>& counts, const std::uint32_t* into,
                const std::uint32_t* order) {
        std::vector<std::uint8_t> head{static_cast<std::uint8_t>(counts.size())};
        std::vector<std::uint32_t> done;  // level j does the first done[j] merges
        for (const std::uint32_t each : counts) {
            append(head, each);
            done.push_back(count_ - each);
        }
        std::vector<std::uint8_t> first(merges());  // the first level that does the label's merge
        for (std::size_t i = 0; i < first.size(); ++i) {
            const auto level = std::upper_bound(done.begin(), done.end(), order[i]) - done.begin();
            first[i] = static_cast<std::uint8_t>(level);
        }
        section("LVLS", [&](Section& levels) {
            levels.part(head);
            levels.planes(into, merges(), 1, plane_count(count_));
            levels.part(first);
        });
    }

    /// heights: (count - 1,), in the order of the merges, from 0 to the largest bfloat16.
    void heights(const float* heights) {
        std::vector<std::uint8_t> payload(merges() * kMaxVarintBytes);
        std::uint8_t* at = payload.data();
        std::int32_t before = 0;
        for (std::size_t i = 0; i < merges(); ++i) {
            const auto here = static_cast<std::int32_t>(bfloat16_above(heights[i]));
            const std::int32_t difference = here - before;
            const std::int32_t sign = difference < 0 ? -1 : 0;
            at = write_varint(at, static_cast<std::uint32_t>((difference * 2) ^ sign));
            before = here;
        }
        payload.resize(static_cast<std::size_t>(at - payload.data()));
        section("hght", [&](Section& hght) { hght.part(payload); });
    }

    void regions(const MeasuredRegions& regions) {
        const std::uint32_t pairs = regions.offsets[count_];
        section("regn", [&](Section& regn) {
            regn.planes(regions.area, count_, 1, 4);
            for (std::size_t field = 0; field < 4; ++field) regn.planes(regions.box + field, count_, 4, 4);
            for (std::size_t field = 0; field < 2; ++field)
                regn.planes(regions.centroid + field, count_, 2, 4);
            std::vector<std::uint8_t> payload(count_);
            for (std::size_t channel = 0; channel < 3; ++channel) {
                for (std::size_t i = 0; i < count_; ++i) payload[i] = regions.mean_color[3 * i + channel];
                regn.part(payload);
            }
            payload.clear();
            append(payload, pairs);
            regn.part(payload);
            payload.resize((std::size_t{count_} + pairs) * kMaxVarintBytes);
            std::uint8_t* at = payload.data();
            for (std::uint32_t a = 0; a < count_; ++a) {
                const std::uint32_t begin = regions.offsets[a], end = regions.offsets[a + 1];
                at = write_varint(at, end - begin);
                for (std::uint32_t i = begin; i < end; ++i)
                    at = write_varint(at, static_cast<std::uint32_t>(regions.neighbors[i]) - a);
            }
            payload.resize(static_cast<std::size_t>(at - payload.data()));
            regn.part(payload);
        });
    }

    /// The payload of `prov`, as it is.
    void provenance(const std::uint8_t* payload, std::size_t size) {
        section("prov", [&](Section& prov) { prov.part(payload, size); });
    }

    /// What is written so far.
    const std::vector<std::uint8_t>& container() const { return out_; }

    /// Ends the container, and returns it.
    const std::vector<std::uint8_t>& finish() {
        bytes("END\0\0\0\0\0\0\0\0\0", 12);
        return out_;
    }

  private:
    std::size_t merges() const { return count_ - std::size_t{1}; }

    /// Header and LABL; `outside`: one of the labels is no superpixel.
    void head(const std::int32_t* labels, std::size_t height, std::size_t width, bool connected,
              std::uint16_t algorithm_version, bool outside) {
        TokenWriter tokens;
        count_ = encode_labels(labels, height, width, tokens) - (outside ? 1 : 0);
        bytes("SPXL", 4);
        const std::uint8_t kind[] = {kFormatVersion, connected ? kFlagConnected : std::uint8_t{0}};
        bytes(kind, sizeof kind);
        number(algorithm_version);
        number(static_cast<std::uint32_t>(width));
        number(static_cast<std::uint32_t>(height));
        number(count_);
        std::vector<std::uint8_t> payload(tokens.size());
        tokens.write(payload.data());
        // Huffman codes only: half the time of a search for repeats, and 10 % smaller, as tokens hardly
        // repeat.
        section(
            "LABL",
            [&](Section& labl) {
                labl.part(payload.data(), tokens.token_end());
                labl.part(payload.data() + tokens.token_end(), payload.size() - tokens.token_end());
            },
            Z_HUFFMAN_ONLY);
    }

    /// The payload of a section, in parts. Each part gets Huffman codes of its own, because a new block where
    /// the statistics change saves 1 to 15 %.
    class Section {
      public:
        Section(std::vector<std::uint8_t>& out, int strategy) : gzip_(out, strategy) {}
        void part(const std::uint8_t* data, std::size_t size) {
            raw_bytes_ += size;
            gzip_.part(data, size);
        }
        void part(const std::vector<std::uint8_t>& data) { part(data.data(), data.size()); }
        /// All lowest bytes of `size` values, `stride` apart, then all second bytes, and so on: a part each.
        void planes(const std::uint32_t* values, std::size_t size, std::size_t stride, std::size_t planes) {
            std::vector<std::uint8_t> plane(size);
            for (std::size_t byte = 0; byte < planes; ++byte) {
                for (std::size_t i = 0; i < size; ++i)
                    plane[i] = static_cast<std::uint8_t>(values[i * stride] >> (8 * byte));
                part(plane);
            }
        }
        /// Returns the number of raw bytes.
        std::size_t finish() {
            gzip_.finish();
            return raw_bytes_;
        }

      private:
        GzipWriter gzip_;
        std::size_t raw_bytes_ = 0;
    };

    /// write(section) writes the parts.
    template <typename F>
    void section(const char* kind, F&& write, int strategy = Z_DEFAULT_STRATEGY) {
        bytes(kind, 4);
        const std::size_t sizes_at = out_.size();
        out_.resize(sizes_at + 8);
        Section section(out_, strategy);
        write(section);
        const std::size_t raw = section.finish();
        const std::uint32_t sizes[] = {static_cast<std::uint32_t>(out_.size() - sizes_at - 8),
                                       static_cast<std::uint32_t>(raw)};
        std::memcpy(out_.data() + sizes_at, sizes, sizeof sizes);
    }

    void bytes(const void* data, std::size_t size) {
        const auto* const from = static_cast<const std::uint8_t*>(data);
        out_.insert(out_.end(), from, from + size);
    }
    template <typename T>
    void number(T value) {
        bytes(&value, sizeof value);
    }
    static void append(std::vector<std::uint8_t>& to, std::uint32_t value) {
        const std::size_t at = to.size();
        to.resize(at + sizeof value);
        std::memcpy(to.data() + at, &value, sizeof value);
    }

    std::vector<std::uint8_t> out_;
    std::uint32_t count_ = 0;
};

}  // namespace superpixel::codec
