#include "fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

// Saves what a call must preserve: the callee-saved registers and the stack pointer. Floating-point modes
// never change.
#if defined(__x86_64__)
asm(R"(
.text
.globl cuda_sim_switch
.type cuda_sim_switch, @function
cuda_sim_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size cuda_sim_switch, .-cuda_sim_switch
)");
#elif defined(__aarch64__)
asm(R"(
.text
.globl cuda_sim_switch
.type cuda_sim_switch, %function
cuda_sim_switch:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
.size cuda_sim_switch, .-cuda_sim_switch
)");
#else
#error "no context switch for this processor"
#endif

namespace sim {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr size_t kStackBytes = 256 << 10;
#else
constexpr size_t kStackBytes = 64 << 10;
#endif

std::vector<Stack> spare;

}  // namespace

void Stack::prepare(void (*entry)()) {
    auto* top = reinterpret_cast<uintptr_t*>(base + bytes);
#if defined(__x86_64__)
    // As after a call: the stack pointer is 8 past a multiple of 16 when `entry` begins.
    top[-1] = 0;
    top[-2] = reinterpret_cast<uintptr_t>(entry);
    for (int i = 3; i <= 8; ++i) top[-i] = 0;
    pointer = top - 8;
#else
    for (int i = 1; i <= 20; ++i) top[-i] = 0;
    top[-20 + 11] = reinterpret_cast<uintptr_t>(entry);  // x30
    pointer = top - 20;
#endif
}

Stack take_stack() {
    if (!spare.empty()) {
        Stack stack = spare.back();
        spare.pop_back();
        return stack;
    }
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    void* memory = mmap(nullptr, kStackBytes + page, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, page, PROT_NONE) != 0) {
        std::perror("stacks for the threads");
        std::exit(1);
    }
    return {static_cast<char*>(memory) + page, kStackBytes, nullptr};
}

void give_stack(Stack stack) { spare.push_back(stack); }

}  // namespace sim
