// Compiled with -mavx2. Of the standard library it includes only intrinsics and C functions: a machine
// without AVX2 must never run an inline function that was compiled here.
#define SUPERPIXEL_SIMD_NAME "avx2"
#define SUPERPIXEL_SIMD_TABLE kSimdAvx2
#define SUPERPIXEL_SIMD_AVX2 1
#include "simd_impl.h"
