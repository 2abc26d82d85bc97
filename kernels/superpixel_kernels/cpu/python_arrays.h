// NumPy arrays to and from the engine. Included by the files of the Python module only.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <vector>

#include "engine.h"

namespace nb = nanobind;

namespace superpixel {
namespace {

using PixelArray = nb::ndarray<const uint8_t, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
using LabelMap = nb::ndarray<const int32_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Labels = nb::ndarray<const int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using MergeRows = nb::ndarray<const int32_t, nb::shape<-1, 4>, nb::c_contig, nb::device::cpu>;

struct Free {
    void operator()(void* memory) const { std::free(memory); }
};

// A new, uninitialised NumPy array. May be created and written without the GIL; release() needs it.
template <class T>
class Result {
  public:
    explicit Result(std::vector<size_t> shape) : shape_(std::move(shape)) {
        size_t bytes = sizeof(T);
        for (const size_t side : shape_) bytes *= side;
        // Without huge pages: results are allocated per call, and in a virtual machine whose host takes freed
        // pages back, each new huge page costs milliseconds.
        memory_.reset(std::malloc(bytes > 0 ? bytes : 1));
        if (!memory_) throw std::bad_alloc();
    }
    T* data() { return static_cast<T*>(memory_.get()); }
    nb::ndarray<nb::numpy, T> release() {
        void* const memory = memory_.get();
        const nb::capsule owner(memory, [](void* p) noexcept { std::free(p); });
        memory_.release();
        return nb::ndarray<nb::numpy, T>(memory, shape_.size(), shape_.data(), owner);
    }

  private:
    std::vector<size_t> shape_;
    std::unique_ptr<void, Free> memory_;
};

template <class T, class From>
nb::ndarray<nb::numpy, T> array_of(const From* values, std::vector<size_t> shape) {
    static_assert(sizeof(From) % sizeof(T) == 0);
    size_t count = 1;
    for (const size_t side : shape) count *= side;
    Result<T> result(std::move(shape));
    if (count > 0) std::memcpy(result.data(), values, count * sizeof(T));
    return result.release();
}

Image image_of(const PixelArray& pixels) {
    return {pixels.data(), static_cast<i32>(pixels.shape(0)), static_cast<i32>(pixels.shape(1)),
            static_cast<i32>(pixels.shape(2))};
}

// The maps of a superpixel_kernels.FittedGuidance, or no maps for None. Needs the GIL to be made and to be
// freed.
class GuideArrays {
  public:
    GuideArrays(const nb::object& guidance, const PixelArray& pixels) {
        if (guidance.is_none()) return;
        guide_.edges = map_of<uint8_t>(guidance, "edges", pixels);
        guide_.prior = map_of<int32_t>(guidance, "prior", pixels);
        guide_.importance = map_of<uint8_t>(guidance, "importance", pixels);
        guide_.edge_weight = nb::cast<i32>(guidance.attr("edge_weight"));
        guide_.prior_weight = nb::cast<i32>(guidance.attr("prior_weight"));
        guide_.hard = nb::cast<bool>(guidance.attr("is_hard"));
    }
    const Guide& guide() const { return guide_; }

  private:
    template <class T>
    const T* map_of(const nb::object& guidance, const char* name, const PixelArray& pixels) {
        const nb::object value = guidance.attr(name);
        if (value.is_none()) return nullptr;
        const auto map = nb::cast<nb::ndarray<const T, nb::ndim<2>, nb::c_contig, nb::device::cpu>>(value);
        if (map.shape(0) != pixels.shape(0) || map.shape(1) != pixels.shape(1))
            throw std::invalid_argument("guidance: a map has another size than the image");
        kept_.push_back(value);
        return map.data();
    }

    Guide guide_;
    std::vector<nb::object> kept_;
};

}  // namespace
}  // namespace superpixel
