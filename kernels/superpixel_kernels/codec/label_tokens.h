// The LABL section: a label map as the differences between each row and the row above. Names are those of its
// specification, docs/label-map.md.
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
    std::size_t size() const { return sizeof(std::uint32_t) + token_bytes_ + argument_bytes_; }
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
