// A scratch buffer.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#include "memory.h"
#include "superpixel/common.h"

namespace superpixel {

// Scratch memory that only grows and is never cleared: results must not depend on what it holds.
template <class T>
class Buffer {
  public:
    Buffer() = default;
    ~Buffer() { std::free(data_); }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    Buffer(Buffer&& other) noexcept { swap(other); }
    Buffer& operator=(Buffer&& other) noexcept {
        swap(other);
        return *this;
    }

    // Room for `count` values; the contents are lost.
    T* need(i64 count) {
        if (count > capacity_) {
            std::free(data_);
            data_ = nullptr;
            capacity_ = 0;
            replace(count, 0);
        }
        return data_;
    }
    // The same, and frees what is more than twice as much as needed.
    T* fit(i64 count) {
        if (capacity_ / 2 > count) *this = Buffer();
        return need(count);
    }
    // Room for `count` values, contents kept; grows by at least half, so that appending is cheap.
    T* grow(i64 count) {
        if (count > capacity_)
            replace(count > capacity_ + capacity_ / 2 ? count : capacity_ + capacity_ / 2, capacity_);
        return data_;
    }
    T* data() { return data_; }
    i64 bytes() const { return capacity_ * static_cast<i64>(sizeof(T)); }
    // Lets the system take the memory when it is short of it; the contents are lost. Returns how many bytes.
    i64 free_lazily() { return superpixel::free_lazily(data_, static_cast<size_t>(bytes())) ? bytes() : 0; }

  private:
    void swap(Buffer& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(capacity_, other.capacity_);
    }
    void replace(i64 count, i64 kept) {
        // In WebAssembly the product could overflow.
        if constexpr (sizeof(size_t) < sizeof(i64)) {
            if (count > static_cast<i64>(SIZE_MAX / sizeof(T))) throw std::bad_alloc();
        }
        T* const memory = static_cast<T*>(allocate(static_cast<size_t>(count) * sizeof(T)));
        if (kept > 0) std::memcpy(static_cast<void*>(memory), data_, static_cast<size_t>(kept) * sizeof(T));
        std::free(data_);
        data_ = memory;
        capacity_ = count;
    }
    T* data_ = nullptr;
    i64 capacity_ = 0;
};

}  // namespace superpixel
