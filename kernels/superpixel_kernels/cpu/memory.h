// Allocation of scratch memory.
#pragma once

#include <cstddef>

namespace superpixel {

// At least `bytes` bytes, not initialised; free them with std::free. Large blocks ask the system for huge
// pages: creating small pages took a quarter of a call on 33 megapixels. Throws std::bad_alloc.
void* allocate(size_t bytes);

// Lets the system take back the pages of a block from `allocate(bytes)` when memory is short (MADV_FREE). The
// contents are lost; using the block again is free until the system has taken its pages. Returns false, and
// does nothing, if the system lacks MADV_FREE or the block is small.
bool free_lazily(void* memory, size_t bytes);

// Gives freed memory of the heap back to the system, if the C library can.
void trim_heap();

}  // namespace superpixel
