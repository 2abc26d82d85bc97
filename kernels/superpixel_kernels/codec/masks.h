// Masks in COCO's run-length encoding, painted over one another into one label map.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <vector>

namespace superpixel::codec {

/// One mask: COCO's compressed string, or little-endian u32 lengths. Runs go down the columns.
struct Rle {
    const std::uint8_t* data;
    std::size_t size;
    bool compressed;
};

/// Reads the lengths of a mask's runs.
class RunReader {
  public:
    explicit RunReader(const Rle& mask) : mask_(mask) {}

    /// Reads the next length; false if there is none. Sets `malformed` for bytes that are no lengths.
    bool next(std::uint64_t& length) {
        if (malformed || at_ == mask_.size) return false;
        return mask_.compressed ? next_compressed(length) : next_plain(length);
    }

    bool malformed = false;

  private:
    static constexpr int kMostGroups = 7;  // 35 bits: a difference of two lengths below 2^32, and its sign

    bool next_plain(std::uint64_t& length) {
        std::uint32_t value = 0;
        if (mask_.size - at_ < sizeof value) return fail();
        std::memcpy(&value, mask_.data + at_, sizeof value);
        at_ += sizeof value;
        length = value;
        return true;
    }

    // Groups of five bits, lowest first, as characters from '0'; bit 5 means that more follow. The last
    // group's bit 4 is the sign. From the fourth length on, the value is the difference to the length two
    // before.
    bool next_compressed(std::uint64_t& length) {
        std::int64_t value = 0;
        for (int group = 0;; ++group) {
            if (group == kMostGroups || at_ == mask_.size) return fail();
            const unsigned code = static_cast<unsigned>(mask_.data[at_++]) - '0';
            if (code > 63) return fail();
            value |= static_cast<std::int64_t>(code & 31U) << (5 * group);
            if ((code & 32U) != 0) continue;
            if ((code & 16U) != 0) value -= std::int64_t{1} << (5 * (group + 1));
            break;
        }
        if (count_ > 2) value += before_[count_ & 1];
        if (value < 0 || value > std::int64_t{UINT32_MAX}) return fail();
        before_[count_ & 1] = value;
        ++count_;
        length = static_cast<std::uint64_t>(value);
        return true;
    }

    bool fail() {
        malformed = true;
        return false;
    }

    Rle mask_;
    std::size_t at_ = 0;
    std::size_t count_ = 0;
    std::int64_t before_[2] = {0, 0};
};

/// Whether the mask's runs are well-formed and add up to `pixels`.
inline bool is_sound(const Rle& mask, std::uint64_t pixels) {
    RunReader runs(mask);
    std::uint64_t total = 0;
    std::uint64_t length = 0;
    while (runs.next(length)) {
        if (length > pixels - total) return false;
        total += length;
    }
    return !runs.malformed && total == pixels;
}

/// The pixels that have no label yet, 64 per word, with the next word that has any.
class FreePixels {
  public:
    explicit FreePixels(std::uint64_t pixels)
        : free_((pixels + 63) / 64, ~std::uint64_t{0}), next_(free_.size() + 1) {
        std::iota(next_.begin(), next_.end(), std::uint32_t{0});
    }

    /// Gives `label` to the pixels of [start, start + length) that are free; length is at least 1.
    void take(std::uint64_t start, std::uint64_t length, std::int32_t label, std::int32_t* labels) {
        const std::uint64_t end = start + length - 1;
        const std::uint64_t last = end / 64;
        for (std::uint64_t word = at_or_after(start / 64); word <= last; word = at_or_after(word + 1)) {
            std::uint64_t covered = ~std::uint64_t{0};
            if (word == start / 64) covered &= ~std::uint64_t{0} << (start % 64);
            if (word == last) covered &= ~std::uint64_t{0} >> (63 - end % 64);
            for (std::uint64_t fresh = free_[word] & covered; fresh != 0; fresh &= fresh - 1)
                labels[64 * word + static_cast<unsigned>(std::countr_zero(fresh))] = label;
            free_[word] &= ~covered;
            if (free_[word] == 0) next_[word] = static_cast<std::uint32_t>(word + 1);
        }
    }

  private:
    /// The first word from `word` on with a free pixel; the number of words if there is none.
    std::uint64_t at_or_after(std::uint64_t word) {
        while (next_[word] != word) {
            next_[word] = next_[next_[word]];
            word = next_[word];
        }
        return word;
    }

    std::vector<std::uint64_t> free_;
    std::vector<std::uint32_t> next_;
};

/// Writes i + 1 to the pixels of mask i; a later mask covers earlier ones. `labels` has `pixels` zeros,
/// column by column. All masks are sound. Takes time in the runs and the pixels, however the masks overlap.
inline void paint_masks(const std::vector<Rle>& masks, std::uint64_t pixels, std::int32_t* labels) {
    FreePixels free(pixels);
    for (std::size_t i = masks.size(); i-- > 0;) {
        RunReader runs(masks[i]);
        std::uint64_t start = 0;
        std::uint64_t length = 0;
        for (bool foreground = false; runs.next(length); foreground = !foreground, start += length) {
            if (foreground && length > 0) free.take(start, length, static_cast<std::int32_t>(i + 1), labels);
        }
    }
}

}  // namespace superpixel::codec
