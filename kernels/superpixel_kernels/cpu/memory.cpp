#include "memory.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif
#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include <cstdlib>
#include <new>

namespace superpixel {

#if defined(__linux__)

namespace {

constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kLarge = 2 * kHugePage;

// Large blocks consist of whole huge pages, so that madvise on one block affects no other memory.
size_t whole_pages(size_t bytes) { return (bytes + kHugePage - 1) / kHugePage * kHugePage; }

}  // namespace

void* allocate(size_t bytes) {
    void* memory = nullptr;
    if (bytes < kLarge) {
        memory = std::malloc(bytes > 0 ? bytes : 1);
    } else {
        memory = std::aligned_alloc(kHugePage, whole_pages(bytes));
        // The result is ignored: the memory works with small pages too.
        if (memory != nullptr) static_cast<void>(madvise(memory, whole_pages(bytes), MADV_HUGEPAGE));
    }
    if (memory == nullptr) throw std::bad_alloc();
    return memory;
}

void trim_heap() {
#if defined(__GLIBC__)
    malloc_trim(0);
#endif
}

bool free_lazily(void* memory, size_t bytes) {
    return bytes >= kLarge && madvise(memory, whole_pages(bytes), MADV_FREE) == 0;
}

#else

void* allocate(size_t bytes) {
    void* const memory = std::malloc(bytes > 0 ? bytes : 1);
    if (memory == nullptr) throw std::bad_alloc();
    return memory;
}

bool free_lazily(void*, size_t) { return false; }

#endif

}  // namespace superpixel
