// Memory for scratch.
#pragma once

#include <cstddef>

namespace superpixel {

// At least `bytes` bytes, not initialised, to be freed with std::free. Large blocks ask the system for huge
// pages: with small ones, making them anew took a quarter of a call on 33 megapixels.
// Throws std::bad_alloc.
void* allocate(size_t bytes);

// Lets the system take the pages of a block of `allocate(bytes)` when it is short of memory; until it does,
// using them again costs nothing. What the block holds is lost, now or later. Returns false, and does
// nothing, where the system has no such thing or the block is too small to be worth it.
bool lend(void* memory, size_t bytes);

}  // namespace superpixel
