// The fake libcuda.so.1, which also contains the runtime. It has a trampoline per function: FUNCTION(name) or
// UNSUPPORTED(name), in functions.inc, which build.py writes. runtime.py answers.
#include <driver_types.h>

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

#define FUNCTION(name)                                                                                  \
    Function fake_##name = nullptr;                                                                     \
    long name(long a, long b, long c, long d, long e, long f, long g, long h, long i, long j, long k,   \
              long l) {                                                                                 \
        if (fake_closed != 0) return 0;                                                                 \
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
