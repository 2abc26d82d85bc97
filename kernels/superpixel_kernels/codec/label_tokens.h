// Writes the LABL section: a label map as the differences between each row and the row above. Names are those
// of its specification, docs/label-map.md.
#pragma once

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>
#include <vector>

#include "bytes.h"

namespace superpixel::codec {

enum Token : std::uint8_t {
    kEndOfRow = 0,
    kNewLabel = 1,
    kOldLabel = 2,
    kLongFromLeft = 3,   // long form of code 0
    kLongFromRight = 4,  // long form of code 1
    kFirstShort = 16,    // 5..15 are invalid
};

// A short token is kFirstShort + ((k * kShortLengths + length - 1) * 2 + code).
constexpr std::size_t kShortLengths = 8;
constexpr std::size_t kShortRanks = 15;
static_assert(kFirstShort + kShortRanks * kShortLengths * 2 == 256,
              "the short tokens use all remaining bytes");

// Most argument bytes of one span: kOldLabel has three arguments.
constexpr std::size_t kMaxArgumentBytes = 3 * kMaxVarintBytes;

/// One bit per pixel of a row, pixel x at bit x % 64 of word x / 64; bits past the width are 0.
using Word = std::uint64_t;
using RowMask = std::vector<Word>;
constexpr std::size_t kWordBits = 64;

inline std::size_t mask_words(std::size_t width) { return (width + kWordBits - 1) / kWordBits; }

/// Bit i of the result: left[i] != right[i], for 64 pixels. The first loop yields bytes, not bits, because
/// compilers vectorise that on any machine.
inline Word differences(const std::int32_t* left, const std::int32_t* right) {
    std::uint8_t differs[kWordBits];
    for (std::size_t i = 0; i < kWordBits; ++i) differs[i] = left[i] != right[i];
    Word mask = 0;
    for (std::size_t i = 0; i < kWordBits; i += 8) {
        Word bytes;
        std::memcpy(&bytes, differs + i, 8);
        // Gathers the lowest bits of the eight bytes in the highest byte: the bit of byte j, at 8j, is
        // multiplied by 2^(56 - 7j). No two products share a bit, so there are no carries.
        mask |= ((bytes * 0x0102040810204080) >> 56) << i;
    }
    return mask;
}

/// Sets mask bit x to left[x] != right[x], for x < size, and the mask's other bits to 0.
inline void compare(const std::int32_t* left, const std::int32_t* right, std::size_t size, RowMask& mask) {
    std::size_t word = 0;
    for (; (word + 1) * kWordBits <= size; ++word) {
        mask[word] = differences(left + word * kWordBits, right + word * kWordBits);
    }
    if (word == mask.size()) return;
    Word rest = 0;
    for (std::size_t x = word * kWordBits; x < size; ++x) {
        rest |= static_cast<Word>(left[x] != right[x]) << (x % kWordBits);
    }
    mask[word] = rest;
}

/// Sets edges bit x to whether pixels x and x + 1 differ. What the format calls the cut at x is bit x - 1.
inline void find_edges(const std::int32_t* row, std::size_t width, RowMask& edges) {
    compare(row, row + 1, width - 1, edges);
}

/// Number of bits set below position x, for x < 64 * mask.size(). before[w]: bits set in the words before w.
inline std::size_t rank(const RowMask& mask, const std::vector<std::uint32_t>& before, std::size_t x) {
    const Word below = (Word{1} << (x % kWordBits)) - 1;
    return before[x / kWordBits] + static_cast<std::size_t>(std::popcount(mask[x / kWordBits] & below));
}

/// Collects the tokens and arguments of LABL. make_room_for_row() reserves the most that a row can take, so
/// that the writes need no checks.
class TokenWriter {
  public:
    void make_room_for_row(std::size_t width) {
        grow(tokens_, token_bytes_ + width + 1);
        grow(arguments_, argument_bytes_ + width * kMaxArgumentBytes);
    }

    void token(std::size_t value) { tokens_[token_bytes_++] = static_cast<std::uint8_t>(value); }

    void argument(std::size_t value) {
        std::uint8_t* at = arguments_.data() + argument_bytes_;
        argument_bytes_ += static_cast<std::size_t>(write_varint(at, static_cast<std::uint32_t>(value)) - at);
    }

    /// Writes a span whose label is that beside the k-th cut of the row above.
    void copy(std::size_t code, std::size_t k, std::size_t length) {
        if (k < kShortRanks && length <= kShortLengths) {
            token(kFirstShort + (k * kShortLengths + length - 1) * 2 + code);
            return;
        }
        token(kLongFromLeft + code);
        argument(k);
        argument(length - 1);
    }

    /// The payload: number of tokens (u32), tokens, arguments.
    std::size_t size() const { return token_end() + argument_bytes_; }
    std::size_t token_end() const { return sizeof(std::uint32_t) + token_bytes_; }
    void write(std::uint8_t* out) const {
        const auto count = static_cast<std::uint32_t>(token_bytes_);
        std::memcpy(out, &count, sizeof count);
        std::memcpy(out + sizeof count, tokens_.data(), token_bytes_);
        std::memcpy(out + sizeof count + token_bytes_, arguments_.data(), argument_bytes_);
    }

  private:
    static void grow(std::vector<std::uint8_t>& buffer, std::size_t size) {
        if (buffer.size() < size) buffer.resize(std::max(size, 2 * buffer.size()));
    }

    std::vector<std::uint8_t> tokens_, arguments_;
    std::size_t token_bytes_ = 0, argument_bytes_ = 0;
};

/// labels: (height, width) int32, both at least 1. Writes the canonical encoding; returns the number of
/// labels. Throws FormatError unless labels are numbered by first appearance.
inline std::uint32_t encode_labels(const std::int32_t* labels, std::size_t height, std::size_t width,
                                   TokenWriter& out) {
    const std::size_t words = mask_words(width);
    // One extra word, always 0: the loop below looks one word ahead, and rank() may be called at the width.
    RowMask changed(words + 1), edges(words + 1), edges_above(words + 1);
    std::vector<std::uint32_t> edges_before(words + 1);
    std::vector<std::uint32_t> starts(width), lasts(width);
    // The row above row 0: without cuts, and without a label of the map.
    const std::vector<std::int32_t> nothing(width, -1);
    const std::int32_t* above = nothing.data();
    std::uint32_t seen = 0;
    const auto refuse = [&](std::size_t y, std::size_t x) {
        throw FormatError("labels: must be numbered 0, 1, ... by first appearance, row by row; row " +
                          std::to_string(y) + ", column " + std::to_string(x) + " has " +
                          std::to_string(labels[y * width + x]) + " after " + std::to_string(seen) +
                          " labels");
    };
    // In row 0 a label of -1 would count as unchanged, so it is checked here.
    const std::int32_t* const minus_one = std::find(labels, labels + width, -1);
    if (minus_one != labels + width) refuse(0, static_cast<std::size_t>(minus_one - labels));

    for (std::size_t y = 0; y < height; ++y) {
        const std::int32_t* row = labels + y * width;
        out.make_room_for_row(width);
        compare(row, above, width, changed);
        find_edges(row, width, edges);
        for (std::size_t w = 0; w < words; ++w) {
            edges_before[w + 1] = edges_before[w] + static_cast<std::uint32_t>(std::popcount(edges_above[w]));
        }

        // Spans are maximal runs of changed pixels with one label. Lists their first and their last pixels.
        std::size_t spans = 0, ended = 0;
        // Bit 0: the span at the end of the word before goes on in this word, if its first pixel changed.
        Word carry = 0;
        for (std::size_t w = 0; w < words; ++w) {
            const Word goes_on = changed[w] & ~edges[w];  // the span includes the next pixel, if that changed
            const Word next_changed = (changed[w] >> 1) | (changed[w + 1] << (kWordBits - 1));
            for (Word bits = changed[w] & ~((goes_on << 1) | carry); bits != 0; bits &= bits - 1) {
                starts[spans++] = static_cast<std::uint32_t>(w * kWordBits + std::countr_zero(bits));
            }
            for (Word bits = changed[w] & ~(goes_on & next_changed); bits != 0; bits &= bits - 1) {
                lasts[ended++] = static_cast<std::uint32_t>(w * kWordBits + std::countr_zero(bits));
            }
            carry = goes_on >> (kWordBits - 1);
        }

        std::size_t previous_end = 0;
        for (std::size_t i = 0; i < spans; ++i) {
            const std::size_t start = starts[i], end = std::size_t{lasts[i]} + 1;
            const std::int32_t label = row[start];
            if (start > previous_end && above[start - 1] == label) {
                out.copy(0,
                         rank(edges_above, edges_before, start - 1) -
                             rank(edges_above, edges_before, previous_end),
                         end - start);
            } else if (end < width && above[end] == label) {
                out.copy(
                    1,
                    rank(edges_above, edges_before, end - 1) - rank(edges_above, edges_before, previous_end),
                    end - start);
            } else {
                // As unsigned, a negative label is too large as well.
                const auto value = static_cast<std::uint32_t>(label);
                if (value > seen) refuse(y, start);
                out.token(value == seen ? kNewLabel : kOldLabel);
                out.argument(start - previous_end);
                out.argument(end - start - 1);
                if (value == seen) {
                    ++seen;
                } else {
                    out.argument(seen - 1 - value);
                }
            }
            previous_end = end;
        }
        out.token(kEndOfRow);
        edges_above.swap(edges);
        above = row;
    }
    return seen;
}

}  // namespace superpixel::codec
