// Every primitive that kernels may use, with results that NumPy can compute.
#include "superpixel/common.h"

namespace {

__device__ int global_index() { return static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); }

struct Pair {
    unsigned long long key;
    int value;
};

}  // namespace

// 8 values per thread.
template <class T>
__device__ void shuffles(const T* in, T* out) {
    const int i = global_index();
    const unsigned all = 0xffffffffu;
    const T value = in[i];
    const int lane = i % 32;
    T* mine = out + i * 8;
    mine[0] = __shfl_sync(all, value, 5);
    mine[1] = __shfl_sync(all, value, lane + 1, 8);
    mine[2] = __shfl_up_sync(all, value, 3);
    mine[3] = __shfl_up_sync(all, value, 3, 16);
    mine[4] = __shfl_down_sync(all, value, 2);
    mine[5] = __shfl_down_sync(all, value, 2, 4);
    mine[6] = __shfl_xor_sync(all, value, 9);
    // Each half of the warp separately.
    mine[7] = lane < 16 ? __shfl_xor_sync(0x0000ffffu, value, 15) : __shfl_sync(0xffff0000u, value, 31);
}
extern "C" __global__ void primitives_shuffle_i32(const int* in, int* out) { shuffles(in, out); }
extern "C" __global__ void primitives_shuffle_u64(const unsigned long long* in, unsigned long long* out) {
    shuffles(in, out);
}
extern "C" __global__ void primitives_shuffle_f32(const float* in, float* out) { shuffles(in, out); }
extern "C" __global__ void primitives_shuffle_f64(const double* in, double* out) { shuffles(in, out); }

extern "C" __global__ void primitives_votes(const unsigned* in, unsigned* out) {
    const int i = global_index();
    const unsigned all = 0xffffffffu, value = in[i];
    unsigned* mine = out + i * 8;
    mine[0] = __ballot_sync(all, value % 3 == 0);
    mine[1] = static_cast<unsigned>(__any_sync(all, value == 7));
    mine[2] = static_cast<unsigned>(__all_sync(all, value < 1000));
    mine[3] = __match_any_sync(all, value % 5);
    mine[4] = static_cast<unsigned>(__syncthreads_count(value % 2 == 0));
    mine[5] = static_cast<unsigned>(__syncthreads_or(value == 7));
    mine[6] = static_cast<unsigned>(__syncthreads_and(value < 1000));
    const bool odd = value % 2 == 1;
    const unsigned odds = __ballot_sync(all, odd);
    mine[7] = odd ? __ballot_sync(odds, value % 3 == 0) : 0;
}

// Of the lanes that happen to run together, one adds for all.
extern "C" __global__ void primitives_aggregate(unsigned* total, unsigned* places) {
    const unsigned together = __activemask();
    const int leader = __ffs(static_cast<int>(together)) - 1, lane = static_cast<int>(threadIdx.x) % 32;
    unsigned first = 0;
    if (lane == leader) first = atomicAdd(total, static_cast<unsigned>(__popc(together)));
    first = __shfl_sync(together, first, leader);
    atomicAdd(&places[first + static_cast<unsigned>(__popc(together & ((1u << lane) - 1u)))], 1u);
}

template <class T>
__device__ void atomics(const T* in, T* out) {
    const T value = in[global_index()];
    atomicAdd(&out[0], value);
    atomicMin(&out[1], value);
    atomicMax(&out[2], value);
    atomicAnd(&out[3], value);
    atomicOr(&out[4], value);
    __shared__ T sum;
    if (threadIdx.x == 0) sum = 0;
    __syncthreads();
    atomicAdd(&sum, value);
    __syncthreads();
    if (threadIdx.x == 0) atomicAdd(&out[5], sum);
    T seen = atomicCAS(&out[6], T(0), value);
    while (seen < value) {
        const T before = atomicCAS(&out[6], seen, value);
        if (before == seen) break;
        seen = before;
    }
}
extern "C" __global__ void primitives_atomics_i32(const int* in, int* out) {
    atomics(in, out);
    atomicSub(&out[7], in[global_index()]);
}
extern "C" __global__ void primitives_atomics_u32(const unsigned* in, unsigned* out) {
    atomics(in, out);
    atomicSub(&out[7], in[global_index()]);
}
extern "C" __global__ void primitives_atomics_u64(const unsigned long long* in, unsigned long long* out) {
    atomics(in, out);
}

extern "C" __global__ void primitives_exchange(const int* in, int* slot, int* taken) {
    // Each value is written once and read once.
    taken[global_index()] = atomicExch(slot, in[global_index()]);
}

extern "C" __global__ void primitives_bits(const unsigned long long* in, int* out) {
    const int i = global_index();
    const unsigned long long value = in[i];
    const unsigned low = static_cast<unsigned>(value);
    int* mine = out + i * 8;
    mine[0] = __popc(low);
    mine[1] = __popcll(value);
    mine[2] = __ffs(static_cast<int>(low));
    mine[3] = __ffsll(static_cast<long long>(value));
    mine[4] = __clz(static_cast<int>(low));
    mine[5] = __clzll(static_cast<long long>(value));
    mine[6] = __float_as_int(__uint_as_float(low & 0x7f7fffffu));
    mine[7] = static_cast<int>(__float_as_uint(__int_as_float(1078530011)) + 0 * min(3, max(1, 2)));
}

// Arithmetic as in the cost function: no contraction.
extern "C" __global__ void primitives_doubles(const double* in, double* out, float* rounded) {
    const int i = global_index();
    const double a = in[3 * i], b = in[3 * i + 1], c = in[3 * i + 2];
    out[i] = (a * b + c) / sqrt(a * a + b * b);
    rounded[i] = static_cast<float>(out[i]);
}

// A two-dimensional tile of pixels with a border; structs in shared memory; a scalar of each kind.
extern "C" __global__ void __launch_bounds__(64)
    primitives_tile(const uchar4* __restrict__ in, short4* __restrict__ out, int width, unsigned height,
                    long long add, double scale) {
    __shared__ uchar4 tile[10][10];
    __shared__ Pair pairs[2], best;
    __shared__ unsigned long long words[64];
    const int x0 = static_cast<int>(blockIdx.x * 8) - 1, y0 = static_cast<int>(blockIdx.y * 8) - 1;
    const int h = static_cast<int>(height);
    for (int i = static_cast<int>(threadIdx.y * 8 + threadIdx.x); i < 100; i += 64) {
        const int x = superpixel::clamp(x0 + i % 10, 0, width - 1),
                  y = superpixel::clamp(y0 + i / 10, 0, h - 1);
        tile[i / 10][i % 10] = __ldg(&in[y * width + x]);
    }
    if (threadIdx.x < 2 && threadIdx.y == 0)
        pairs[threadIdx.x] = {threadIdx.x, static_cast<int>(threadIdx.x) + 1};
    words[threadIdx.y * 8 + threadIdx.x] = 1ull << 40;
    __syncthreads();
    if (threadIdx.x == 0 && threadIdx.y == 0) best = pairs[1];
    __syncthreads();
    const int x = x0 + 1 + static_cast<int>(threadIdx.x), y = y0 + 1 + static_cast<int>(threadIdx.y);
    if (x >= width || y >= h) return;
    short4 sum = make_short4(0, 0, 0, 0);
    for (unsigned dy = 0; dy < 3; ++dy)
        for (unsigned dx = 0; dx < 3; ++dx) {
            const uchar4 pixel = tile[threadIdx.y + dy][threadIdx.x + dx];
            sum.x = static_cast<short>(sum.x + pixel.x);
            sum.y = static_cast<short>(sum.y + pixel.y);
            sum.z = static_cast<short>(sum.z + pixel.z);
            sum.w = static_cast<short>(sum.w + pixel.w);
        }
    sum.w = static_cast<short>(sum.w + static_cast<int>(words[63] >> 40) + best.value +
                               static_cast<int>(add * scale));
    out[y * width + x] = sum;
}
