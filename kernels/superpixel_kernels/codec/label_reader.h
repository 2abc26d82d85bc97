// Reads the LABL section, which label_tokens.h writes.
#pragma once

#include "label_tokens.h"

namespace superpixel::codec {

// Sums of two u32 fit a size_t: the reader adds starts and lengths before it compares them.
static_assert(sizeof(std::size_t) >= 8, "the reader of label maps needs 64-bit sizes");

constexpr std::size_t kNowhere = SIZE_MAX;

/// Position of the (k+1)-th bit set at or after `from`, or kNowhere. The calls for one row go from left to
/// right, so together they visit each bit and word about once, for any k.
inline std::size_t find_bit(const RowMask& mask, std::size_t from, std::uint32_t k) {
    std::size_t word = from / kWordBits;
    if (word >= mask.size()) return kNowhere;
    Word bits = mask[word] & (~Word{0} << (from % kWordBits));
    for (;; --k, bits &= bits - 1) {
        while (bits == 0) {
            if (++word == mask.size()) return kNowhere;
            bits = mask[word];
        }
        if (k == 0) return word * kWordBits + static_cast<std::size_t>(std::countr_zero(bits));
    }
}

/// payload: the decompressed section. Writes labels (height, width) int32. Throws FormatError.
inline void decode_labels(const std::uint8_t* payload, std::size_t size, std::uint32_t count,
                          std::int32_t* labels, std::size_t height, std::size_t width) {
    std::uint32_t token_bytes = 0;
    if (size < sizeof token_bytes) throw FormatError("LABL: ends inside its number of tokens");
    std::memcpy(&token_bytes, payload, sizeof token_bytes);
    payload += sizeof token_bytes;
    size -= sizeof token_bytes;
    if (token_bytes > size) throw FormatError("LABL: ends inside its tokens");
    const std::uint8_t* token = payload;
    const std::uint8_t* const tokens_end = payload + token_bytes;
    VarintReader arguments("LABL", tokens_end, payload + size);

    RowMask edges_above(mask_words(width));
    const std::int32_t* above = nullptr;  // not read in row 0, which has no cuts above
    std::uint32_t seen = 0;

    for (std::size_t y = 0; y < height; ++y) {
        std::int32_t* row = labels + y * width;
        const auto refuse = [y](const std::string& what) {
            throw FormatError("LABL: row " + std::to_string(y) + ": " + what);
        };
        if (above != nullptr) std::memcpy(row, above, width * sizeof *row);
        std::size_t previous_end = 0;
        for (;;) {
            if (token == tokens_end) refuse("the tokens end inside it");
            const std::uint8_t value = *token++;
            if (value == kEndOfRow) break;

            std::size_t start = 0, length = 0;  // 64-bit: sums of two u32
            std::int32_t label = 0;
            if (value == kNewLabel || value == kOldLabel) {
                start = previous_end + arguments.next();
                length = std::size_t{arguments.next()} + 1;
                if (y == 0 && start != previous_end) refuse("a gap, where no row above fills it");
                if (value == kNewLabel) {
                    if (seen == count)
                        refuse("more labels than the header's count of " + std::to_string(count));
                    label = static_cast<std::int32_t>(seen++);
                } else {
                    const std::uint32_t back = arguments.next();
                    if (back >= seen) refuse("a span of a label not seen yet");
                    label = static_cast<std::int32_t>(seen - 1 - back);
                }
            } else {
                std::uint32_t k = 0;
                bool from_right = false;
                if (value >= kFirstShort) {
                    const std::uint32_t code = value - kFirstShort;
                    from_right = code % 2 == 1;
                    length = code / 2 % kShortLengths + 1;
                    k = code / (2 * kShortLengths);
                } else if (value == kLongFromLeft || value == kLongFromRight) {
                    from_right = value == kLongFromRight;
                    k = arguments.next();
                    length = std::size_t{arguments.next()} + 1;
                } else {
                    refuse("unknown token " + std::to_string(value));
                }
                // Bit x is the cut at x + 1; only cuts right of previous_end count.
                const std::size_t edge = find_bit(edges_above, previous_end, k);
                if (edge == kNowhere) refuse("a cut that the row above does not have");
                const std::size_t cut = edge + 1;
                if (from_right) {
                    if (cut - previous_end < length)
                        refuse("a span starts before the end of the previous one");
                    start = cut - length;
                    label = above[cut];
                } else {
                    start = cut;
                    label = above[cut - 1];
                }
            }
            if (start + length > width) refuse("a span ends right of the map");
            std::fill_n(row + start, length, label);
            previous_end = start + length;
        }
        if (y == 0 && previous_end != width) refuse("not covered to its end");
        find_edges(row, width, edges_above);
        above = row;
    }
    if (token != tokens_end) {
        throw FormatError("LABL: " + std::to_string(tokens_end - token) +
                          " tokens are left over after the last row");
    }
    arguments.expect_end();
    if (seen != count) {
        throw FormatError("LABL: holds " + std::to_string(seen) + " labels, but the header's count is " +
                          std::to_string(count));
    }
}

}  // namespace superpixel::codec
