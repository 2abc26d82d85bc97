// Shared by the C++ engine and the CUDA kernels: function qualifiers and integer names.
//
// Every function in this folder is arithmetic on a pixel, an edge or a region; none loops over an image. Both
// engines call them, so that they cannot disagree. Internal linkage matters on the CPU: the same function is
// compiled for several instruction sets, and the linker must never fold those copies into one.
#pragma once

#if defined(__CUDACC__)
#define SUPERPIXEL_FN __host__ __device__ __forceinline__
#else
#define SUPERPIXEL_FN [[maybe_unused]] static inline
#endif

namespace superpixel {

// Spelled out instead of <cstdint>, which NVRTC does not have.
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
