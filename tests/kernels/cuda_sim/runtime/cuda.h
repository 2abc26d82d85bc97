// Replaces CUDA's own headers; the build includes it before the first line of a .cu file.
//
// Functions that wait, use shared memory or are checked call the worker (interface.h, calls.cpp), whose code
// is not instrumented. Functions defined here are instrumented, unless marked CUDA_SIM_QUIET.
#pragma once

#include <math.h>

#include <cassert>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "interface.h"

// The clock of the simulated device.
#define CUDA_SIM_NANOSECONDS() cuda_sim_nanoseconds()

// Defined after the standard headers, because some of them test for nvcc.
#define __CUDACC__ 1
#define __CUDA_ARCH__ 750
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __align__(n) __attribute__((aligned(n)))

#define CUDA_SIM_QUIET __attribute__((noinline, no_sanitize("thread")))
#define CUDA_SIM_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()
#define CUDA_SIM_PC __builtin_return_address(0)

// --- vector types ------------------------------------------------------------------------------------------

#define CUDA_SIM_VECTORS(T, name, s2, s4)                                     \
    struct __align__(s2) name##2 { T x, y; };                                 \
    struct name##3 { T x, y, z; };                                            \
    struct __align__(s4) name##4 { T x, y, z, w; };                           \
    static inline name##2 make_##name##2(T x, T y) { return {x, y}; }         \
    static inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; } \
    static inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
CUDA_SIM_VECTORS(signed char, char, 2, 4)
CUDA_SIM_VECTORS(unsigned char, uchar, 2, 4)
CUDA_SIM_VECTORS(short, short, 4, 8)
CUDA_SIM_VECTORS(unsigned short, ushort, 4, 8)
CUDA_SIM_VECTORS(int, int, 8, 16)
CUDA_SIM_VECTORS(float, float, 8, 16)
CUDA_SIM_VECTORS(long long, longlong, 16, 16)
CUDA_SIM_VECTORS(unsigned long long, ulonglong, 16, 16)
CUDA_SIM_VECTORS(double, double, 16, 16)
#undef CUDA_SIM_VECTORS

struct __align__(8) uint2 {
    unsigned x, y;
};
using uint3 = cuda_sim_uint3;
struct __align__(16) uint4 {
    unsigned x, y, z, w;
};
static inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
static inline uint3 make_uint3(unsigned x, unsigned y, unsigned z) { return {x, y, z}; }
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
using dim3 = cuda_sim_uint3;

#define threadIdx (cuda_sim_thread_idx())
#define blockIdx (cuda_sim_block_idx())
#define blockDim (cuda_sim_block_dim())
#define gridDim (cuda_sim_grid_dim())
static constexpr int warpSize = 32;

// --- barriers, fences --------------------------------------------------------------------------------------

static inline void __syncthreads(CUDA_SIM_SITE) { cuda_sim_barrier(CUDA_SIM_BARRIER, 0, file, line); }
static inline int __syncthreads_count(int predicate, CUDA_SIM_SITE) {
    return cuda_sim_barrier(CUDA_SIM_BARRIER_COUNT, predicate, file, line);
}
static inline int __syncthreads_or(int predicate, CUDA_SIM_SITE) {
    return cuda_sim_barrier(CUDA_SIM_BARRIER_OR, predicate, file, line);
}
static inline int __syncthreads_and(int predicate, CUDA_SIM_SITE) {
    return cuda_sim_barrier(CUDA_SIM_BARRIER_AND, predicate, file, line);
}
static inline void __threadfence_block() { cuda_sim_fence(0); }
static inline void __threadfence() { cuda_sim_fence(1); }
static inline void __nanosleep(unsigned) { cuda_sim_sleep(); }
[[noreturn]] static inline void __trap(CUDA_SIM_SITE) { cuda_sim_trap(file, line); }

// --- warps -------------------------------------------------------------------------------------------------

static inline void __syncwarp(unsigned mask = 0xffffffffu, CUDA_SIM_SITE) {
    cuda_sim_warp(CUDA_SIM_SYNCWARP, mask, 0, 0, 32, file, line);
}
static inline unsigned __activemask(CUDA_SIM_SITE) { return cuda_sim_activemask(file, line); }
static inline unsigned __ballot_sync(unsigned mask, int predicate, CUDA_SIM_SITE) {
    return static_cast<unsigned>(cuda_sim_warp(CUDA_SIM_BALLOT, mask, predicate != 0, 0, 32, file, line));
}
static inline int __any_sync(unsigned mask, int predicate, CUDA_SIM_SITE) {
    return cuda_sim_warp(CUDA_SIM_BALLOT, mask, predicate != 0, 0, 32, file, line) != 0;
}
static inline int __all_sync(unsigned mask, int predicate, CUDA_SIM_SITE) {
    return cuda_sim_warp(CUDA_SIM_BALLOT, mask, predicate == 0, 0, 32, file, line) == 0;
}

namespace cuda_sim {

template <class T>
inline constexpr bool is_word =
    (std::is_arithmetic_v<T> && !std::is_same_v<T, bool>) && (sizeof(T) == 4 || sizeof(T) == 8);

template <class T>
static inline unsigned long long to_bits(T value) {
    unsigned long long bits = 0;
    __builtin_memcpy(&bits, &value, sizeof(T));
    return bits;
}

template <class T>
static inline T from_bits(unsigned long long bits) {
    T value;
    __builtin_memcpy(&value, &bits, sizeof(T));
    return value;
}

template <class T>
static inline T shuffle(int kind, unsigned mask, T value, int arg, int width, const char* file, int line) {
    static_assert(is_word<T>, "shuffles take 32- and 64-bit integers, float and double");
    return from_bits<T>(cuda_sim_warp(kind, mask, to_bits(value), arg, width, file, line));
}

}  // namespace cuda_sim

template <class T>
static inline T __shfl_sync(unsigned mask, T value, int lane, int width = 32, CUDA_SIM_SITE) {
    return cuda_sim::shuffle(CUDA_SIM_SHFL, mask, value, lane, width, file, line);
}
template <class T>
static inline T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, CUDA_SIM_SITE) {
    return cuda_sim::shuffle(CUDA_SIM_SHFL_UP, mask, value, static_cast<int>(delta), width, file, line);
}
template <class T>
static inline T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, CUDA_SIM_SITE) {
    return cuda_sim::shuffle(CUDA_SIM_SHFL_DOWN, mask, value, static_cast<int>(delta), width, file, line);
}
template <class T>
static inline T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32, CUDA_SIM_SITE) {
    return cuda_sim::shuffle(CUDA_SIM_SHFL_XOR, mask, value, lanes, width, file, line);
}
template <class T>
static inline unsigned __match_any_sync(unsigned mask, T value, CUDA_SIM_SITE) {
    static_assert(cuda_sim::is_word<T>, "matches take 32- and 64-bit integers, float and double");
    return static_cast<unsigned>(
        cuda_sim_warp(CUDA_SIM_MATCH_ANY, mask, cuda_sim::to_bits(value), 0, 32, file, line));
}

// --- atomics: the overloads of CUDA from sm_75 on
// ------------------------------------------------------------

namespace cuda_sim {

// The access is compiled with the kernel, so that AddressSanitizer instruments it.
template <class T, class F>
CUDA_SIM_QUIET T atomic(T* address, F change) {
    cuda_sim_before_atomic(address, sizeof(T), CUDA_SIM_PC);
    const T before = *address;
    const T after = change(before);
    *address = after;
    cuda_sim_after_atomic(before != after);
    return before;
}

}  // namespace cuda_sim

#define CUDA_SIM_ATOMIC(name, T, expression)                                          \
    static inline T name(T* address, T value) {                                       \
        return cuda_sim::atomic(address, [value](T old) -> T { return expression; }); \
    }
#define CUDA_SIM_ATOMICS_OF(T)                               \
    CUDA_SIM_ATOMIC(atomicMin, T, value < old ? value : old) \
    CUDA_SIM_ATOMIC(atomicMax, T, value > old ? value : old) \
    CUDA_SIM_ATOMIC(atomicAnd, T, old& value)                \
    CUDA_SIM_ATOMIC(atomicOr, T, old | value)                \
    CUDA_SIM_ATOMIC(atomicXor, T, old ^ value)
CUDA_SIM_ATOMICS_OF(int)
CUDA_SIM_ATOMICS_OF(unsigned)
CUDA_SIM_ATOMICS_OF(unsigned long long)
CUDA_SIM_ATOMICS_OF(long long)
CUDA_SIM_ATOMIC(atomicAdd, int, static_cast<int>(static_cast<unsigned>(old) + static_cast<unsigned>(value)))
CUDA_SIM_ATOMIC(atomicAdd, unsigned, old + value)
CUDA_SIM_ATOMIC(atomicAdd, unsigned long long, old + value)
CUDA_SIM_ATOMIC(atomicAdd, float, old + value)
CUDA_SIM_ATOMIC(atomicAdd, double, old + value)
CUDA_SIM_ATOMIC(atomicSub, int, static_cast<int>(static_cast<unsigned>(old) - static_cast<unsigned>(value)))
CUDA_SIM_ATOMIC(atomicSub, unsigned, old - value)
CUDA_SIM_ATOMIC(atomicInc, unsigned, old >= value ? 0 : old + 1)
CUDA_SIM_ATOMIC(atomicDec, unsigned, old == 0 || old > value ? value : old - 1)
CUDA_SIM_ATOMIC(atomicExch, int, (static_cast<void>(old), value))
CUDA_SIM_ATOMIC(atomicExch, unsigned, (static_cast<void>(old), value))
CUDA_SIM_ATOMIC(atomicExch, unsigned long long, (static_cast<void>(old), value))
CUDA_SIM_ATOMIC(atomicExch, float, (static_cast<void>(old), value))
#undef CUDA_SIM_ATOMIC
#undef CUDA_SIM_ATOMICS_OF

#define CUDA_SIM_CAS(T)                                                                              \
    static inline T atomicCAS(T* address, T expected, T value) {                                     \
        return cuda_sim::atomic(address, [=](T old) -> T { return old == expected ? value : old; }); \
    }
CUDA_SIM_CAS(int)
CUDA_SIM_CAS(unsigned)
CUDA_SIM_CAS(unsigned long long)
#undef CUDA_SIM_CAS

// --- arithmetic --------------------------------------------------------------------------------------------

template <class T>
static __forceinline__ T __ldg(const T* address) {
    return *address;
}

static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline int __ffsll(long long x) { return __builtin_ffsll(x); }
static inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x)); }
static inline int __clzll(long long x) {
    return x == 0 ? 64 : __builtin_clzll(static_cast<unsigned long long>(x));
}
static inline unsigned __brev(unsigned x) {
    unsigned reversed = 0;
    for (int bit = 0; bit < 32; ++bit) reversed |= (x >> bit & 1u) << (31 - bit);
    return reversed;
}
static inline unsigned __umulhi(unsigned a, unsigned b) {
    return static_cast<unsigned>(static_cast<unsigned long long>(a) * b >> 32);
}
static inline unsigned __float_as_uint(float x) {
    return cuda_sim::from_bits<unsigned>(cuda_sim::to_bits(x));
}
static inline int __float_as_int(float x) { return cuda_sim::from_bits<int>(cuda_sim::to_bits(x)); }
static inline float __uint_as_float(unsigned x) { return cuda_sim::from_bits<float>(x); }
static inline float __int_as_float(int x) { return cuda_sim::from_bits<float>(static_cast<unsigned>(x)); }
static inline long long __double_as_longlong(double x) {
    return cuda_sim::from_bits<long long>(cuda_sim::to_bits(x));
}
static inline double __longlong_as_double(long long x) {
    return cuda_sim::from_bits<double>(static_cast<unsigned long long>(x));
}
static inline double __dadd_rn(double a, double b) { return a + b; }
static inline double __dsub_rn(double a, double b) { return a - b; }
static inline double __dmul_rn(double a, double b) { return a * b; }
static inline double __ddiv_rn(double a, double b) { return a / b; }
static inline double __dsqrt_rn(double a) { return __builtin_sqrt(a); }
static inline float __double2float_rn(double a) { return static_cast<float>(a); }

// CUDA's global overloads. A call with mixed types has the type of C's usual arithmetic conversions.
#define CUDA_SIM_MINMAX(A, B)                                                                 \
    static inline std::common_type_t<A, B> min(A a, B b) {                                    \
        using T = std::common_type_t<A, B>;                                                   \
        return static_cast<T>(b) < static_cast<T>(a) ? static_cast<T>(b) : static_cast<T>(a); \
    }                                                                                         \
    static inline std::common_type_t<A, B> max(A a, B b) {                                    \
        using T = std::common_type_t<A, B>;                                                   \
        return static_cast<T>(a) < static_cast<T>(b) ? static_cast<T>(b) : static_cast<T>(a); \
    }
CUDA_SIM_MINMAX(int, int)
CUDA_SIM_MINMAX(unsigned, unsigned)
CUDA_SIM_MINMAX(int, unsigned)
CUDA_SIM_MINMAX(unsigned, int)
CUDA_SIM_MINMAX(long, long)
CUDA_SIM_MINMAX(unsigned long, unsigned long)
CUDA_SIM_MINMAX(long long, long long)
CUDA_SIM_MINMAX(unsigned long long, unsigned long long)
CUDA_SIM_MINMAX(long long, unsigned long long)
CUDA_SIM_MINMAX(unsigned long long, long long)
CUDA_SIM_MINMAX(float, float)
CUDA_SIM_MINMAX(double, double)
CUDA_SIM_MINMAX(float, double)
CUDA_SIM_MINMAX(double, float)
#undef CUDA_SIM_MINMAX

// --- replacements of __shared__, and the registration of kernels
// ----------------------------------------------

namespace cuda_sim {

// The number of a shared variable, set while the file is loaded. A static variable in the function would not
// do: threads may be preempted between its test and its initialisation, and would get two numbers.
template <class Variable>
inline const int slot_of = cuda_sim_new_slot();

// Variable: a distinct type per variable and instantiation.
template <class T, class Variable>
static inline T& shared_variable(const char* name) {
    using Element = std::remove_cv_t<std::remove_all_extents_t<T>>;
    static_assert(std::is_trivially_default_constructible_v<Element>, "__shared__ takes no constructors");
    constexpr std::size_t unit = std::is_arithmetic_v<Element> ? sizeof(Element) : alignof(Element);
    return *static_cast<T*>(const_cast<void*>(
        static_cast<const volatile void*>(cuda_sim_shared(slot_of<Variable>, sizeof(T), unit, name))));
}

template <class T>
static inline T* dynamic_shared() {
    return static_cast<T*>(cuda_sim_dynamic_shared());
}

template <class T>
constexpr char scalar_kind() {
    if (std::is_same_v<T, bool>) return 'b';
    if (std::is_floating_point_v<T>) return 'f';
    if (std::is_integral_v<T>) return std::is_signed_v<T> ? 'i' : 'u';
    return 's';
}

// A parameter's type: whether it is a pointer; the kind and size of it, or of its target.
template <class P>
constexpr cuda_sim_parameter parameter() {
    if constexpr (std::is_pointer_v<P>) {
        using Target = std::remove_cv_t<std::remove_pointer_t<P>>;
        if constexpr (std::is_void_v<Target>)
            return {'*', 'v', 1};
        else
            return {'*', scalar_kind<Target>(), sizeof(Target)};
    } else {
        static_assert(std::is_arithmetic_v<P>, "kernels take pointers and numbers");
        return {'=', scalar_kind<P>(), sizeof(P)};
    }
}

template <class T>
CUDA_SIM_QUIET T argument(const unsigned long long* slot) {
    T value;
    __builtin_memcpy(&value, slot, sizeof(T));
    return value;
}

template <auto kernel, class F>
struct Kernel;

template <auto kernel, class... P>
struct Kernel<kernel, void (*)(P...)> {
    template <std::size_t... I>
    static void call(const unsigned long long* slots, std::index_sequence<I...>) {
        kernel(argument<P>(slots + I)...);
    }
    static void invoke(const unsigned long long* slots) {
        call(slots, std::make_index_sequence<sizeof...(P)>());
    }
    static int add(const char* name, const char* parameters, unsigned max_threads, unsigned = 0) {
        static const cuda_sim_parameter types[sizeof...(P) + 1] = {parameter<P>()..., {0, 0, 0}};
        cuda_sim_add_kernel(name, parameters, types, static_cast<int>(sizeof...(P)), max_threads, &invoke);
        return 0;
    }
};

}  // namespace cuda_sim
