// Arrays and shared variables with guards around them.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "race.h"
#include "sim.h"

namespace sim {
namespace {

// AddressSanitizer has guards of its own around allocations.
#if defined(__SANITIZE_ADDRESS__)
constexpr size_t kGuard = 0;
#else
constexpr size_t kGuard = 256;
#endif
constexpr size_t kAlignment = 256;
constexpr unsigned char kGuardByte = 0xA7;

}  // namespace

std::vector<std::unique_ptr<Region>> arrays;

void Random::fill(char* to, size_t bytes) {
    for (size_t i = 0; i < bytes; i += 4) {
        const u32 word = next();
        std::memcpy(to + i, &word, std::min<size_t>(4, bytes - i));
    }
}

Region::Region(size_t bytes_, size_t unit_, std::string name_)
    : bytes(bytes_), unit(std::min<size_t>(std::max<size_t>(unit_, 1), 4)), name(std::move(name_)) {
    if (posix_memalign(&block_of_memory, kAlignment, bytes + 2 * kGuard) != 0)
        fault("the machine has no memory for " + std::to_string(bytes) + " bytes");
    begin = static_cast<char*>(block_of_memory) + kGuard;
    if (kGuard != 0) {
        std::memset(begin - kGuard, kGuardByte, kGuard);
        std::memset(begin + bytes, kGuardByte, kGuard);
    }
    if (options.races) cells = std::make_unique<Cell[]>(cell_count());
    forget();
}

Region::~Region() { std::free(block_of_memory); }

void Region::fill_with_garbage(Random& random) { random.fill(begin, bytes); }

void Region::forget() { birth = generation = ++sim::generation; }

bool Region::guards_are_whole() const {
    const auto whole = [](const char* from) {
        return std::all_of(from, from + kGuard,
                           [](char byte) { return static_cast<unsigned char>(byte) == kGuardByte; });
    };
    return kGuard == 0 || (whole(begin - kGuard) && whole(begin + bytes));
}

Region* find_array(const volatile void* address) {
    const auto* p = static_cast<const volatile char*>(address);
    const auto after = std::upper_bound(arrays.begin(), arrays.end(), p,
                                        [](const auto* a, const auto& region) { return a < region->begin; });
    if (after == arrays.begin()) return nullptr;
    Region* region = std::prev(after)->get();
    return region->holds(address) ? region : nullptr;
}

Region* nearest_array(const volatile void* address) {
    const auto p = reinterpret_cast<uintptr_t>(address);
    Region* best = nullptr;
    uintptr_t best_distance = 4096;
    for (const auto& region : arrays) {
        const auto begin = reinterpret_cast<uintptr_t>(region->begin);
        const uintptr_t distance = p < begin                   ? begin - p
                                   : p < begin + region->bytes ? 0
                                                               : p - begin - region->bytes;
        if (distance < best_distance) best = region.get(), best_distance = distance;
    }
    return best;
}

}  // namespace sim
