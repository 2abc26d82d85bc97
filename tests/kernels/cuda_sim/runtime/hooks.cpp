// The calls that the compiler inserts before memory accesses (-fsanitize=thread) and at branches: points of
// preemption, and the checks of the race mode.
#include "scheduler.h"

using namespace sim;

#define PC __builtin_return_address(0)

static inline void plain(const volatile void* address, size_t size, int how, void* pc) {
    if (current == nullptr || in_atomic) return;  // no thread runs: a file is being loaded
    if (--budget <= 0) yield();
    if (checking) race::access(address, size, how, pc);
}

static inline void volatile_access(const volatile void* address, size_t size, int how, void* pc) {
    if (current == nullptr) return;
    if (how == kRead)
        note_idle(1, pc);
    else
        ++progress;
    if (scheduling.below(4) == 0) yield();
    if (checking) race::access(address, size, how | kAtomic, pc);
}

extern "C" {

#define HOOKS(size)                                                                             \
    void __tsan_read##size(void* a) { plain(a, size, kRead, PC); }                              \
    void __tsan_write##size(void* a) { plain(a, size, kWrite, PC); }                            \
    void __tsan_unaligned_read##size(void* a) { plain(a, size, kRead, PC); }                    \
    void __tsan_unaligned_write##size(void* a) { plain(a, size, kWrite, PC); }                  \
    void __tsan_volatile_read##size(void* a) { volatile_access(a, size, kRead, PC); }           \
    void __tsan_volatile_write##size(void* a) { volatile_access(a, size, kWrite, PC); }         \
    void __tsan_unaligned_volatile_read##size(void* a) { volatile_access(a, size, kRead, PC); } \
    void __tsan_unaligned_volatile_write##size(void* a) { volatile_access(a, size, kWrite, PC); }
HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)
void __tsan_read_range(void* a, size_t size) { plain(a, size, kRead, PC); }
void __tsan_write_range(void* a, size_t size) { plain(a, size, kWrite, PC); }
void __tsan_init() {}

// With AddressSanitizer the compiler inserts none of the calls above, but this one at each branch.
void __sanitizer_cov_trace_pc() {
    if (current == nullptr || in_atomic) return;
    current->pc = PC;
    if (--budget <= 0) yield();
}
}
