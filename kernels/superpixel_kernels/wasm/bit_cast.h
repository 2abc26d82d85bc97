// Included before every file: the library of Debian's emscripten lacks std::bit_cast.
#pragma once

#if defined(__cplusplus)
#include <bit>

#if !defined(__cpp_lib_bit_cast)
namespace std {

template <class To, class From>
constexpr To bit_cast(const From& from) noexcept {
    return __builtin_bit_cast(To, from);
}

}  // namespace std
#endif
#endif
