// Times of the stages.
#include "device.cuh"

using namespace superpixel;

// Writes the time, in nanoseconds of the device's clock, to the pair of words with this index: the lower half
// first. A kernel, because it can be a part of a CUDA graph.
extern "C" __global__ void clock_stamp(u32* stamps, u32 index) {
    const u64 now = device_nanoseconds();
    stamps[2 * index] = static_cast<u32>(now);
    stamps[2 * index + 1] = static_cast<u32>(now >> 32);
}
