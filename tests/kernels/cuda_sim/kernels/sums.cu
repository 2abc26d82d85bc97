// Correct kernels, whose results depend on every primitive that they use.
#include "superpixel/common.h"

namespace {

template <int kThreads>
__device__ __forceinline__ int block_sum(int value) {
    __shared__ int partial[kThreads / 32];
    for (int delta = 16; delta > 0; delta /= 2) value += __shfl_down_sync(0xffffffffu, value, delta);
    if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = value;
    __syncthreads();
    value = threadIdx.x < kThreads / 32 ? partial[threadIdx.x] : 0;
    if (threadIdx.x < 32)
        for (int delta = 16; delta > 0; delta /= 2) value += __shfl_down_sync(0xffffffffu, value, delta);
    __syncthreads();
    return value;
}

// A barrier over all blocks of a cooperative launch. `barrier`: a count that starts at 0.
__device__ void grid_barrier(unsigned* barrier) {
    __syncthreads();
    if (threadIdx.x == 0) {
        __threadfence();
        const unsigned turn = atomicAdd(barrier, 1u) / gridDim.x;
        while (*static_cast<volatile unsigned*>(barrier) / gridDim.x == turn) __nanosleep(32);
        __threadfence();
    }
    __syncthreads();
}

}  // namespace

extern "C" __global__ void __launch_bounds__(256)
    sums_reduce(const int* __restrict__ values, int count, int* total) {
    const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    const int sum = block_sum<256>(i < count ? values[i] : 0);
    if (threadIdx.x == 0) atomicAdd(total, sum);
}

// Rounds of a[i] = a[i - 1] + a[i + 1] (cyclic), from one half of `cells` to the other and back.
extern "C" __global__ void __launch_bounds__(64)
    sums_rounds(unsigned* cells, int count, int rounds, unsigned* barrier) {
    const int threads = static_cast<int>(gridDim.x * blockDim.x);
    for (int round = 0; round < rounds; ++round) {
        const unsigned* from = cells + (round % 2) * count;
        unsigned* to = cells + (1 - round % 2) * count;
        for (int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); i < count; i += threads)
            to[i] = from[(i + count - 1) % count] + from[(i + 1) % count];
        grid_barrier(barrier);
    }
}

extern "C" __global__ void sums_transpose(const short4* from, short4* to, int width, int height) {
    extern __shared__ short4 tile[];
    const int x = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    const int y = static_cast<int>(blockIdx.y * blockDim.y + threadIdx.y);
    if (x < width && y < height) tile[threadIdx.y * blockDim.x + threadIdx.x] = from[y * width + x];
    __syncthreads();
    const int tx = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.y);
    const int ty = static_cast<int>(blockIdx.y * blockDim.y + threadIdx.x);
    if (tx < width && ty < height) to[tx * height + ty] = tile[threadIdx.x * blockDim.x + threadIdx.y];
}
