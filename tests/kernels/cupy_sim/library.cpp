// The fake libcuda.so.1, which also contains the runtime. It has a trampoline per function: FUNCTION(name) or
// UNSUPPORTED(name), in functions.inc, which build.py writes. runtime.py answers.
#include <driver_types.h>
#include <time.h>

#include <cstddef>
#include <cstring>

namespace {

constexpr long kNotFound = 500;
constexpr long kUnsupported = 801;

// More arguments than any function has. All are integers or pointers, which these calling conventions pass
// alike.
using Function = long (*)(long, long, long, long, long, long, long, long, long, long, long, long);

}  // namespace

extern "C" {

// Not 0 when Python ends: later calls, of destructors, do nothing.
int fake_closed = 0;

// For host_time.py. If it is not negative, the GPU computes nothing: the calls of an image return at once
// without asking Python, and a wait for an event takes this many microseconds.
long fake_idle = -1;
// What a download of this many bytes gives meanwhile: counters of an earlier image.
const void* fake_kept = nullptr;
long fake_kept_bytes = 0;

static bool does_nothing(const char* name, long a, long c, long d) {
    if (fake_idle < 0) return false;
    const auto is = [name](const char* other) { return std::strcmp(name, other) == 0; };
    if (is("cudaGetDevice")) {
        *reinterpret_cast<int*>(a) = 0;
    } else if (is("cudaMemcpyAsync")) {
        const bool is_kept = d == cudaMemcpyDeviceToHost && c == fake_kept_bytes;
        if (is_kept) std::memcpy(reinterpret_cast<void*>(a), fake_kept, static_cast<size_t>(c));
    } else if (is("cudaEventSynchronize")) {
        const timespec wait = {0, 1000 * fake_idle};
        if (fake_idle > 0) nanosleep(&wait, nullptr);
    } else {
        return is("cudaSetDevice") || is("cudaEventRecord") || is("cudaGraphLaunch") ||
               is("cuLaunchKernel") || is("cuLaunchCooperativeKernel");
    }
    return true;
}

#define FUNCTION(name)                                                                                  \
    Function fake_##name = nullptr;                                                                     \
    long name(long a, long b, long c, long d, long e, long f, long g, long h, long i, long j, long k,   \
              long l) {                                                                                 \
        if (fake_closed != 0 || does_nothing(#name, a, c, d)) return 0;                                 \
        return fake_##name == nullptr ? kUnsupported : fake_##name(a, b, c, d, e, f, g, h, i, j, k, l); \
    }
#define UNSUPPORTED(name) \
    long name() { return fake_closed != 0 ? 0 : kUnsupported; }

#include "functions.inc"

int cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
    std::memset(properties, 0, sizeof *properties);
    std::strcpy(properties->name, "CUDA simulated on the CPU");
    size_t memory = 0;
    const long status =
        fake_properties(device, reinterpret_cast<long>(&memory), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    properties->totalGlobalMem = memory;
    return static_cast<int>(status);
}

// NVRTC asks for these, from threads of its own too.
int cuGetExportTable(const void** table, const void*) {
    *table = nullptr;
    return kNotFound;
}
int cuGetProcAddress_v2(const char*, void** function, int, unsigned long long, void*) {
    *function = nullptr;
    return kNotFound;
}
int cuInit(unsigned) { return 0; }
}
