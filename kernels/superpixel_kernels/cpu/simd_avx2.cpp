// Compiled with -mavx2. Includes nothing of the standard library that is not a plain intrinsic or a C
// function: an inline function compiled here must never be the copy that a machine without AVX2 runs.
#define SUPERPIXEL_SIMD_NAME "avx2"
#define SUPERPIXEL_SIMD_TABLE kSimdAvx2
#define SUPERPIXEL_SIMD_AVX2 1
#include "simd_impl.h"
