// Function qualifiers and integer names, for the C++ engine and the CUDA kernels.
//
// Every function in this folder computes something about one pixel, edge or region; none loops over an image.
// Both engines call these functions, so both give the same bits. Functions have internal linkage: each is
// compiled once per instruction set, and the linker must not merge the copies.
#pragma once

#if defined(__CUDACC__)
#define SUPERPIXEL_FN __host__ __device__ __forceinline__
#else
#define SUPERPIXEL_FN [[maybe_unused]] static inline
#endif

namespace superpixel {

// NVRTC has no <cstdint>.
using i16 = short;
using u16 = unsigned short;
using i32 = int;
using u32 = unsigned int;
using i64 = long long;
using u64 = unsigned long long;

static_assert(sizeof(i16) == 2 && sizeof(i32) == 4 && sizeof(i64) == 8, "fixed widths");

SUPERPIXEL_FN i32 clamp(i32 value, i32 low, i32 high) {
    return value < low ? low : (value > high ? high : value);
}

}  // namespace superpixel
