// The interface between a compiled .cu file and the worker that runs it.
#pragma once

#include <cstddef>

struct cuda_sim_uint3 {
    unsigned x, y, z;
};

struct cuda_sim_parameter {
    char pass;    // '*': a pointer, '=': a value
    char kind;    // of the value or the pointer's target: i, u, f, b; s: a struct, v: void
    size_t size;  // of the value or the pointer's target, bytes
};

enum {
    CUDA_SIM_BARRIER,
    CUDA_SIM_BARRIER_COUNT,
    CUDA_SIM_BARRIER_OR,
    CUDA_SIM_BARRIER_AND,
    CUDA_SIM_SYNCWARP,
    CUDA_SIM_BALLOT,
    CUDA_SIM_SHFL,
    CUDA_SIM_SHFL_UP,
    CUDA_SIM_SHFL_DOWN,
    CUDA_SIM_SHFL_XOR,
    CUDA_SIM_MATCH_ANY,
    CUDA_SIM_OPERATIONS,
};

extern "C" {
// Constant within a thread, and a stack frame never moves to another thread, so the compiler may cache them.
cuda_sim_uint3 cuda_sim_thread_idx() __attribute__((const));
cuda_sim_uint3 cuda_sim_block_idx() __attribute__((const));
cuda_sim_uint3 cuda_sim_block_dim() __attribute__((const));
cuda_sim_uint3 cuda_sim_grid_dim() __attribute__((const));

int cuda_sim_barrier(int kind, int predicate, const char* file, int line);
unsigned long long cuda_sim_warp(int kind, unsigned mask, unsigned long long value, int arg, int width,
                                 const char* file, int line);
unsigned cuda_sim_activemask(const char* file, int line);
void cuda_sim_fence(int device_scope);
unsigned long long cuda_sim_nanoseconds();
void cuda_sim_sleep();
[[noreturn]] void cuda_sim_trap(const char* file, int line);

void cuda_sim_before_atomic(const volatile void* address, size_t size, void* pc);
void cuda_sim_after_atomic(int changed);

int cuda_sim_new_slot();
void* cuda_sim_shared(int slot, size_t size, size_t unit, const char* name);
void* cuda_sim_dynamic_shared();
void cuda_sim_add_kernel(const char* name, const char* parameters, const cuda_sim_parameter* types, int count,
                         unsigned max_threads, void (*invoke)(const unsigned long long*));
}
