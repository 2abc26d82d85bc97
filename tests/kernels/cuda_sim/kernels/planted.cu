// Kernels with one bug each, and the same kernels without it (`..._mended`). test_nets.py lists which check
// must find which bug.
#include "superpixel/common.h"

// All take the same arguments: `count` values, `count` results, and a word that starts at 0.
#define PLANTED(name)                                                                 \
    extern "C" __global__ void __launch_bounds__(256)                                 \
        planted_##name(const int* in, int* out, int count, unsigned* word) {          \
        name<false>(in, out, count, word);                                            \
    }                                                                                 \
    extern "C" __global__ void __launch_bounds__(256)                                 \
        planted_##name##_mended(const int* in, int* out, int count, unsigned* word) { \
        name<true>(in, out, count, word);                                             \
    }

#define BODY                \
    template <bool kMended> \
    __device__ void
#define ARGUMENTS                                                                           \
    ([[maybe_unused]] const int* in, [[maybe_unused]] int* out, [[maybe_unused]] int count, \
     [[maybe_unused]] unsigned* word)

__device__ int global_index() { return static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); }

// Reverses each block's values.
BODY missing_barrier ARGUMENTS {
    __shared__ int tile[256];
    const int t = static_cast<int>(threadIdx.x), last = static_cast<int>(blockDim.x) - 1;
    tile[t] = 0;
    __syncthreads();
    tile[t] = in[global_index()];
    if (kMended) __syncthreads();
    out[global_index()] = tile[last - t];
}
PLANTED(missing_barrier)

// Writes the tile again while other threads still read it.
BODY missing_second_barrier ARGUMENTS {
    __shared__ int tile[256];
    const int t = static_cast<int>(threadIdx.x), last = static_cast<int>(blockDim.x) - 1;
    int sum = 0;
    for (int round = 0; round < 3; ++round) {
        tile[t] = in[global_index()] + round;
        __syncthreads();
        sum += tile[last - t];
        if (kMended) __syncthreads();
    }
    out[global_index()] = sum;
}
PLANTED(missing_second_barrier)

BODY plain_add ARGUMENTS {
    if (kMended)
        atomicAdd(word, 1u);
    else
        *word += 1;
    out[global_index()] = in[global_index()];
}
PLANTED(plain_add)

// The same, with one thread per block.
BODY plain_add_of_blocks ARGUMENTS {
    if (threadIdx.x == 0) {
        if (kMended)
            atomicAdd(word, 1u);
        else
            *word += 1;
    }
    out[global_index()] = in[global_index()];
}
PLANTED(plain_add_of_blocks)

// One thread reads what a thread of another block writes.
BODY read_beside_a_write ARGUMENTS {
    int seen = 0;
    if (threadIdx.x == 7 && blockIdx.x == 0) {
        if (kMended)
            seen = static_cast<int>(*static_cast<volatile unsigned*>(word));
        else
            seen = static_cast<int>(*word);
    }
    if (threadIdx.x == 7 && blockIdx.x == 1) *static_cast<volatile unsigned*>(word) = 0;
    out[global_index()] = in[global_index()] + seen;
}
PLANTED(read_beside_a_write)

BODY write_beside_a_read ARGUMENTS {
    int seen = 0;
    if (threadIdx.x == 7 && blockIdx.x == 0) seen = static_cast<int>(*static_cast<volatile unsigned*>(word));
    if (threadIdx.x == 7 && blockIdx.x == 1) {
        if (kMended)
            *static_cast<volatile unsigned*>(word) = 0;
        else
            *word = 0;
    }
    out[global_index()] = in[global_index()] + seen;
}
PLANTED(write_beside_a_read)

// One thread reads, another of its block writes, without a barrier in between.
BODY plain_pair ARGUMENTS {
    int seen = 0;
    if (threadIdx.x == 40 && blockIdx.x == 0) seen = static_cast<int>(*word);
    if (kMended) __syncthreads();
    if (threadIdx.x == 3 && blockIdx.x == 0) *word = 0;
    out[global_index()] = in[global_index()] + seen;
}
PLANTED(plain_pair)

BODY static_overrun ARGUMENTS {
    __shared__ int tile[64];
    const int t = static_cast<int>(threadIdx.x);
    if (t < 64) tile[t + (kMended ? 0 : 1)] = in[global_index()];
    __syncthreads();
    out[global_index()] = in[global_index()] + (t > 0 && t < 64 ? tile[t] : 0);
}
PLANTED(static_overrun)

BODY dynamic_overrun ARGUMENTS {
    extern __shared__ int dynamic[];  // blockDim.x words
    const int t = static_cast<int>(threadIdx.x);
    dynamic[t + (kMended ? 0 : 1)] = in[global_index()];
    __syncthreads();
    out[global_index()] = dynamic[t > 0 ? t : 1];
}
PLANTED(dynamic_overrun)

BODY global_overrun ARGUMENTS {
    const int i = global_index();
    out[i + (kMended ? 0 : 1)] = in[i];
}
PLANTED(global_overrun)

BODY global_overread ARGUMENTS {
    const int i = global_index();
    out[i] = in[i] + (in[kMended ? i : i + 1] > 5000 ? 1 : 0);
}
PLANTED(global_overread)

BODY local_overrun ARGUMENTS {
    int local[4] = {1, 2, 3, 4};
    const int i = global_index();
    volatile int* p = local;
    p[in[i] % (kMended ? 4 : 5)] = 7;
    out[i] = local[0];
}
PLANTED(local_overrun)

BODY left_before_the_barrier ARGUMENTS {
    const int i = global_index();
    if (!kMended && threadIdx.x < 32) return;
    __syncthreads();
    out[i] = in[i];
}
PLANTED(left_before_the_barrier)

BODY two_barriers ARGUMENTS {
    const int i = global_index();
    if (kMended || threadIdx.x % 2 == 0) {
        __syncthreads();
    } else {
        __syncthreads();
    }
    out[i] = in[i];
}
PLANTED(two_barriers)

// Blocks wait for each other; nothing guarantees that all are resident.
BODY waits_for_a_block ARGUMENTS {
    if (threadIdx.x == 0) {
        atomicAdd(word, 1u);
        if (!kMended)
            while (*static_cast<volatile unsigned*>(word) < gridDim.x) __nanosleep(20);
    }
    out[global_index()] = in[global_index()];
}
PLANTED(waits_for_a_block)

// A lock that is never released.
BODY lock_kept ARGUMENTS {
    if (threadIdx.x == 0) {
        while (atomicCAS(word, 0u, 1u) != 0u) {
        }
        __threadfence();
        out[0] = in[0];
        __threadfence();
        if (kMended) atomicExch(word, 0u);
    }
    if (global_index() > 0) out[global_index()] = in[global_index()];
}
PLANTED(lock_kept)

enum Flaw { kNone, kNoBarrier, kNoFence };

// Each word is used once: it counts the blocks that have arrived.
template <int kFlaw>
__device__ void grid_barrier(unsigned* word) {
    if (kFlaw == kNoBarrier) return;
    __syncthreads();
    if (threadIdx.x == 0) {
        if (kFlaw != kNoFence) __threadfence();
        atomicAdd(word, 1u);
        while (*static_cast<volatile unsigned*>(word) < gridDim.x) __nanosleep(20);
        if (kFlaw != kNoFence) __threadfence();
    }
    __syncthreads();
}

// Reverses the values of all blocks.
template <int kFlaw>
__device__ void reverse_all(const int* in, int* out, int count, unsigned* word) {
    const int i = global_index();
    out[i] = in[i];
    grid_barrier<kFlaw>(word);
    const int other = out[count - 1 - i];
    grid_barrier<kNone>(word + 1);
    out[i] = other;
}

BODY no_grid_barrier ARGUMENTS { reverse_all<kMended ? kNone : kNoBarrier>(in, out, count, word); }
PLANTED(no_grid_barrier)

BODY no_fence_in_the_grid_barrier ARGUMENTS { reverse_all<kMended ? kNone : kNoFence>(in, out, count, word); }
PLANTED(no_fence_in_the_grid_barrier)

// The maximum of each warp, written by its first lane.
BODY inactive_lane ARGUMENTS {
    const int i = global_index();
    int value = in[i];
    const int lane = static_cast<int>(threadIdx.x) % 32;
    if (kMended || lane < 16) {
        const unsigned mask = kMended ? 0xffffffffu : 0x0000ffffu;
        for (int delta = 16; delta > 0; delta /= 2) value = max(value, __shfl_down_sync(mask, value, delta));
    }
    out[i] = lane == 0 ? value : in[i];
}
PLANTED(inactive_lane)

BODY not_in_its_mask ARGUMENTS {
    const int i = global_index();
    const unsigned mask = kMended ? 0xffffffffu : 0x7fffffffu;
    out[i] = in[i] + __any_sync(mask, 0);
}
PLANTED(not_in_its_mask)

BODY lane_missing_at_the_vote ARGUMENTS {
    const int i = global_index();
    int any = 0;
    if (kMended || threadIdx.x % 32 != 3)
        any = __any_sync(0xffffffffu, 0);
    else
        __syncthreads();
    out[i] = in[i] + any;
}
PLANTED(lane_missing_at_the_vote)

BODY missing_syncwarp ARGUMENTS {
    __shared__ int tile[256];
    const int t = static_cast<int>(threadIdx.x), lane = t % 32;
    tile[t] = 0;
    __syncwarp();
    tile[t] = in[global_index()];
    if (kMended) __syncwarp();
    out[global_index()] = tile[t - lane + 31 - lane];
}
PLANTED(missing_syncwarp)

// A shuffle does not order memory accesses.
BODY shuffle_for_a_barrier ARGUMENTS {
    __shared__ int tile[256];
    const int t = static_cast<int>(threadIdx.x), lane = t % 32;
    tile[t] = in[global_index()];
    const int zero = __shfl_sync(0xffffffffu, 0, 0);
    if (kMended) __syncwarp();
    out[global_index()] = tile[t - lane + 31 - lane] + zero;
}
PLANTED(shuffle_for_a_barrier)

BODY uninitialised_shared ARGUMENTS {
    __shared__ int sum;
    if (kMended && threadIdx.x == 0) sum = 0;
    __syncthreads();
    atomicAdd(&sum, 1);
    __syncthreads();
    out[global_index()] = in[global_index()] + sum - static_cast<int>(blockDim.x);
}
PLANTED(uninitialised_shared)

// Reads memory that only the host could have written.
BODY uninitialised_global ARGUMENTS {
    const int i = global_index();
    out[i] = (kMended ? 0 : out[i]) + in[i];
}
PLANTED(uninitialised_global)

BODY misaligned ARGUMENTS {
    const int i = global_index();
    out[i] = in[i];
    if (i == 2) {
        const char* bytes = reinterpret_cast<const char*>(in) + (kMended ? 8 : 6);
        out[i] = *reinterpret_cast<const int*>(bytes);
    }
}
PLANTED(misaligned)

BODY overflow ARGUMENTS {
    const int i = global_index();
    out[i] = in[i] * (kMended ? 1 : 4000000);
}
PLANTED(overflow)

BODY endless ARGUMENTS {
    const int i = global_index();
    out[i] = in[i];
    if (!kMended)
        while (in[i] >= 0) {
        }
}
PLANTED(endless)
