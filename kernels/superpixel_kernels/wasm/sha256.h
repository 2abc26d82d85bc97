// SHA-256 (FIPS 180-4). Browsers have it too, but not on pages that are served over plain HTTP.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>

namespace superpixel {

class Sha256 {
  public:
    static constexpr std::size_t kBytes = 32;

    void update(const std::uint8_t* data, std::size_t size) {
        bytes_ += size;
        while (size > 0) {
            const std::size_t part = std::min(size, sizeof block_ - filled_);
            std::memcpy(block_ + filled_, data, part);
            data += part;
            size -= part;
            filled_ += part;
            if (filled_ == sizeof block_) compress();
        }
    }

    // Call it once, as the last function.
    void finish(std::uint8_t* out) {
        const std::uint64_t bits = 8 * bytes_;
        block_[filled_++] = 0x80;
        if (filled_ > sizeof block_ - 8) {
            std::memset(block_ + filled_, 0, sizeof block_ - filled_);
            compress();
        }
        std::memset(block_ + filled_, 0, sizeof block_ - filled_);
        for (std::size_t i = 0; i < 8; ++i)
            block_[sizeof block_ - 1 - i] = static_cast<std::uint8_t>(bits >> (8 * i));
        compress();
        for (std::size_t i = 0; i < kBytes; ++i)
            out[i] = static_cast<std::uint8_t>(state_[i / 4] >> (24 - 8 * (i % 4)));
    }

  private:
    void compress() {
        static constexpr std::uint32_t kRound[64] = {
            0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
            0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
            0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
            0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
            0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
            0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
            0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
            0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
        std::uint32_t w[64];
        for (std::size_t i = 0; i < 16; ++i) {
            const std::uint8_t* const at = block_ + 4 * i;
            w[i] =
                std::uint32_t{at[0]} << 24 | std::uint32_t{at[1]} << 16 | std::uint32_t{at[2]} << 8 | at[3];
        }
        for (std::size_t i = 16; i < 64; ++i) {
            const std::uint32_t s0 = std::rotr(w[i - 15], 7) ^ std::rotr(w[i - 15], 18) ^ (w[i - 15] >> 3);
            const std::uint32_t s1 = std::rotr(w[i - 2], 17) ^ std::rotr(w[i - 2], 19) ^ (w[i - 2] >> 10);
            w[i] = w[i - 16] + s0 + w[i - 7] + s1;
        }
        std::uint32_t s[8];
        std::copy(state_, state_ + 8, s);
        for (std::size_t i = 0; i < 64; ++i) {
            const std::uint32_t e = s[4], a = s[0];
            const std::uint32_t s1 = std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25);
            const std::uint32_t t1 = s[7] + s1 + ((e & s[5]) ^ (~e & s[6])) + kRound[i] + w[i];
            const std::uint32_t s0 = std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22);
            const std::uint32_t t2 = s0 + ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));
            std::copy_backward(s, s + 7, s + 8);
            s[4] += t1;
            s[0] = t1 + t2;
        }
        for (std::size_t i = 0; i < 8; ++i) state_[i] += s[i];
        filled_ = 0;
    }

    std::uint32_t state_[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                               0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    std::uint8_t block_[64] = {};
    std::size_t filled_ = 0;
    std::uint64_t bytes_ = 0;
};

}  // namespace superpixel
