#define SUPERPIXEL_SIMD_NAME "plain"
#define SUPERPIXEL_SIMD_TABLE kSimdPlain
#include "simd_impl.h"
