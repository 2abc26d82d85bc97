// What all sections share: varints, and the codec's error.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

namespace superpixel::codec {

// The format is little-endian and its arrays are copied as they lie in memory.
static_assert(std::endian::native == std::endian::little,
              "the label map codec needs a little-endian machine");

/// Malformed bytes, or labels that cannot be encoded. In Python: InvalidLabelMap.
class FormatError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// Most bytes of a value below 2^32, at seven bits per byte.
constexpr std::size_t kMaxVarintBytes = 5;

/// Writes `value` to `out`, which must have room for kMaxVarintBytes; returns the end of what was written.
inline std::uint8_t* write_varint(std::uint8_t* out, std::uint32_t value) {
    while (value >= 0x80) {
        *out++ = static_cast<std::uint8_t>(value | 0x80);
        value >>= 7;
    }
    *out++ = static_cast<std::uint8_t>(value);
    return out;
}

/// Reads varints from [begin, end); throws FormatError instead of reading past the end.
class VarintReader {
  public:
    VarintReader(const char* section, const std::uint8_t* begin, const std::uint8_t* end)
        : section_(section), at_(begin), end_(end) {}

    std::uint32_t next() {
        std::uint64_t value = 0;  // five bytes carry 35 bits
        for (std::size_t i = 0; i < kMaxVarintBytes; ++i) {
            if (at_ == end_)
                throw FormatError(std::string(section_) + ": ends inside its variable-length integers");
            const std::uint8_t byte = *at_++;
            value |= static_cast<std::uint64_t>(byte & 0x7F) << (7 * i);
            if (byte < 0x80) {
                if (value > UINT32_MAX) break;
                return static_cast<std::uint32_t>(value);
            }
        }
        throw FormatError(std::string(section_) +
                          ": a variable-length integer is 2^32 or more, or over 5 bytes");
    }

    void expect_end() const {
        if (at_ != end_) {
            throw FormatError(std::string(section_) + ": " + std::to_string(end_ - at_) +
                              " bytes are left over at its end");
        }
    }

  private:
    const char* section_;
    const std::uint8_t* at_;
    const std::uint8_t* end_;
};

}  // namespace superpixel::codec
