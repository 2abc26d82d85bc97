// A gzip member, compressed by the zlib in third_party.
#pragma once

#include <zlib.h>

#include <new>
#include <vector>

#include "bytes.h"

namespace superpixel::codec {

/// Appends a gzip member to `out`.
class GzipWriter {
  public:
    GzipWriter(std::vector<std::uint8_t>& out, int strategy) : out_(out) {
        constexpr int kLevel = 1, kGzipWindowBits = 31, kMemory = 9;
        if (deflateInit2(&stream_, kLevel, Z_DEFLATED, kGzipWindowBits, kMemory, strategy) != Z_OK)
            throw std::bad_alloc();
    }
    GzipWriter(const GzipWriter&) = delete;
    GzipWriter& operator=(const GzipWriter&) = delete;
    ~GzipWriter() { deflateEnd(&stream_); }

    /// Compresses `size` bytes, fewer than 2^32, and ends the block of Huffman codes.
    void part(const std::uint8_t* data, std::size_t size) {
        stream_.next_in = const_cast<Bytef*>(data);
        stream_.avail_in = static_cast<uInt>(size);
        run(Z_NO_FLUSH);
        run(Z_BLOCK);
    }
    void finish() { run(Z_FINISH); }

  private:
    void run(int flush) {
        do {
            const std::size_t at = out_.size();
            out_.resize(at + kChunk);
            stream_.next_out = out_.data() + at;
            stream_.avail_out = static_cast<uInt>(kChunk);
            deflate(&stream_, flush);
            out_.resize(at + kChunk - stream_.avail_out);
        } while (stream_.avail_out == 0);
    }

    static constexpr std::size_t kChunk = std::size_t{1} << 16;
    std::vector<std::uint8_t>& out_;
    z_stream stream_{};
};

}  // namespace superpixel::codec
