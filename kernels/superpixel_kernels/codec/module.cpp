// The codec's Python module. Its callers in this package check shapes, dtypes and sizes; this code checks
// bytes from outside.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <vector>

#include "bytes.h"
#include "container.h"
#include "label_reader.h"
#include "label_tokens.h"
#include "masks.h"
#include "outside.h"
#include "regions.h"
#include "tree.h"

namespace nb = nanobind;
using namespace nb::literals;
namespace codec = superpixel::codec;

namespace {

template <typename T, typename... Options>
using Array = nb::ndarray<T, nb::numpy, nb::c_contig, nb::device::cpu, Options...>;
template <typename T>
using Vector = Array<T, nb::ndim<1>>;
template <typename T>
using Matrix = Array<T, nb::ndim<2>>;

const std::uint8_t* data(const nb::bytes& bytes) { return static_cast<const std::uint8_t*>(bytes.data()); }

void expect(bool condition, const char* what) {
    if (!condition) throw nb::value_error(what);
}

template <typename T>
Vector<T> to_array(std::vector<T>&& values) {
    auto owned = std::make_unique<std::vector<T>>(std::move(values));
    const nb::capsule owner(owned.get(), [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
    std::vector<T>* const kept = owned.release();
    return Vector<T>(kept->data(), {kept->size()}, owner);
}

using Merges = Vector<const std::uint32_t>;

/// The writer with the labels already in it.
codec::ContainerWriter container_writer(const Matrix<const std::int32_t>& labels, bool connected,
                                        std::uint16_t algorithm_version) {
    expect(labels.size() > 0, "labels: empty");
    const nb::gil_scoped_release unlocked;
    return codec::ContainerWriter(labels.data(), labels.shape(0), labels.shape(1), connected,
                                  algorithm_version);
}

void expect_merges(const codec::ContainerWriter& writer, std::size_t size) {
    expect(size + 1 == writer.count(), "merges: must be one fewer than the labels");
}

void write_tree(codec::ContainerWriter& writer, const Merges& into, const Merges& order) {
    expect_merges(writer, into.size());
    expect_merges(writer, order.size());
    const nb::gil_scoped_release unlocked;
    writer.tree(into.data(), order.data());
}

void write_levels(codec::ContainerWriter& writer, const std::vector<std::uint32_t>& counts,
                  const Merges& into, const Merges& order) {
    expect_merges(writer, into.size());
    expect_merges(writer, order.size());
    const nb::gil_scoped_release unlocked;
    writer.levels(counts, into.data(), order.data());
}

void write_heights(codec::ContainerWriter& writer, const Vector<const float>& heights) {
    expect_merges(writer, heights.size());
    const nb::gil_scoped_release unlocked;
    writer.heights(heights.data());
}

void write_regions(codec::ContainerWriter& writer, const Vector<const std::uint32_t>& area,
                   const Matrix<const std::uint32_t>& box, const Matrix<const std::uint32_t>& centroid,
                   const Matrix<const std::uint8_t>& mean_color, const Vector<const std::uint32_t>& offsets,
                   const Vector<const std::int32_t>& neighbors) {
    const std::size_t count = writer.count();
    expect(area.size() == count && box.size() == 4 * count && centroid.size() == 2 * count &&
               mean_color.size() == 3 * count && offsets.size() == count + 1 &&
               offsets.data()[count] == neighbors.size(),
           "regions: arrays must have the size of the count");
    const nb::gil_scoped_release unlocked;
    writer.regions(
        {area.data(), box.data(), centroid.data(), mean_color.data(), offsets.data(), neighbors.data()});
}

nb::bytes finish(codec::ContainerWriter& writer) {
    const std::vector<std::uint8_t>& container = writer.finish();
    return nb::bytes(container.data(), container.size());
}

void decode_labels(const nb::bytes& payload, std::uint32_t count, const Matrix<std::int32_t>& labels) {
    expect(labels.size() > 0, "labels: empty");
    const nb::gil_scoped_release unlocked;
    codec::decode_labels(data(payload), payload.size(), count, labels.data(), labels.shape(0),
                         labels.shape(1));
}

void restore_outside(const Matrix<std::int32_t>& labels, std::int32_t outside) {
    const nb::gil_scoped_release unlocked;
    codec::restore_outside(labels.data(), labels.size(), outside);
}

std::uint32_t cut_tree(const Vector<const std::int32_t>& into, const Vector<const std::int32_t>& rank,
                       std::int32_t limit, const Vector<std::int32_t>& lut) {
    expect(into.size() == rank.size() && lut.size() == into.size() + 1, "into, rank, lut: sizes differ");
    const nb::gil_scoped_release unlocked;
    return codec::cut_tree(into.data(), rank.data(), lut.size(), limit, lut.data());
}

nb::bytes encode_varints(const Vector<const std::uint32_t>& values) {
    std::vector<std::uint8_t> out(values.size() * codec::kMaxVarintBytes);
    std::uint8_t* at = out.data();
    for (std::size_t i = 0; i < values.size(); ++i) at = codec::write_varint(at, values.data()[i]);
    return nb::bytes(out.data(), static_cast<std::size_t>(at - out.data()));
}

void decode_varints(const char* section, const nb::bytes& bytes, const Vector<std::uint32_t>& values) {
    codec::VarintReader reader(section, data(bytes), data(bytes) + bytes.size());
    for (std::size_t i = 0; i < values.size(); ++i) values.data()[i] = reader.next();
    reader.expect_end();
}

nb::tuple measure_regions(const Matrix<const std::int32_t>& labels,
                          const Array<const std::uint8_t, nb::shape<-1, -1, 3>>& rgb, std::uint32_t count,
                          const Vector<std::uint32_t>& area, const Matrix<std::uint32_t>& box,
                          const Matrix<std::uint32_t>& centroid, const Matrix<std::uint8_t>& mean_color) {
    expect(rgb.shape(0) == labels.shape(0) && rgb.shape(1) == labels.shape(1),
           "rgb: must have the size of the labels");
    expect(area.size() == count && box.size() == 4 * std::size_t{count} &&
               centroid.size() == 2 * std::size_t{count} && mean_color.size() == 3 * std::size_t{count},
           "regions: arrays must have the size of the count");
    codec::Adjacency adjacency;
    {
        const nb::gil_scoped_release unlocked;
        adjacency = codec::measure_regions(labels.data(), rgb.data(), labels.shape(0), labels.shape(1), count,
                                           {area.data(), box.data(), centroid.data(), mean_color.data()});
    }
    return nb::make_tuple(to_array(std::move(adjacency.offsets)), to_array(std::move(adjacency.neighbors)));
}

void decode_adjacency(const nb::bytes& bytes, const Vector<std::uint32_t>& offsets,
                      const Vector<std::int32_t>& neighbors) {
    expect(offsets.size() > 0, "offsets: empty");
    codec::decode_adjacency(data(bytes), bytes.size(), static_cast<std::uint32_t>(offsets.size() - 1),
                            static_cast<std::uint32_t>(neighbors.size()), offsets.data(), neighbors.data());
}

// Returns the index of the first malformed mask, or -1. Nothing is painted if there is one.
std::int64_t paint_masks(const std::vector<nb::bytes>& masks, const std::vector<bool>& compressed,
                         const Matrix<std::int32_t>& columns) {
    expect(masks.size() == compressed.size(), "masks, compressed: sizes differ");
    std::vector<codec::Rle> runs;
    for (std::size_t i = 0; i < masks.size(); ++i)
        runs.push_back({data(masks[i]), masks[i].size(), compressed[i]});
    const nb::gil_scoped_release unlocked;
    for (std::size_t i = 0; i < runs.size(); ++i) {
        if (!codec::is_sound(runs[i], columns.size())) return static_cast<std::int64_t>(i);
    }
    codec::paint_masks(runs, columns.size(), columns.data());
    return -1;
}

}  // namespace

NB_MODULE(_codec, m) {
    const nb::object invalid_label_map =
        nb::module_::import_("superpixel_kernels.errors").attr("InvalidLabelMap");
    nb::register_exception_translator(
        [](const std::exception_ptr& error, void* type) {
            try {
                std::rethrow_exception(error);
            } catch (const codec::FormatError& format_error) {
                PyErr_SetString(static_cast<PyObject*>(type), format_error.what());
            }
        },
        nb::object(invalid_label_map).release().ptr());  // the translator is never removed

    nb::class_<codec::ContainerWriter>(m, "ContainerWriter")
        .def_prop_ro("count", &codec::ContainerWriter::count)
        .def("tree", &write_tree, "into"_a.noconvert(), "order"_a.noconvert())
        .def("levels", &write_levels, "counts"_a, "into"_a.noconvert(), "order"_a.noconvert())
        .def("heights", &write_heights, "heights"_a.noconvert())
        .def("regions", &write_regions, "area"_a.noconvert(), "box"_a.noconvert(), "centroid"_a.noconvert(),
             "mean_color"_a.noconvert(), "offsets"_a.noconvert(), "neighbors"_a.noconvert())
        .def(
            "provenance",
            [](codec::ContainerWriter& writer, const nb::bytes& payload) {
                writer.provenance(data(payload), payload.size());
            },
            "payload"_a)
        .def("finish", &finish);
    m.def("container_writer", &container_writer, "labels"_a.noconvert(), "connected"_a,
          "algorithm_version"_a);
    m.def("decode_labels", &decode_labels, "payload"_a, "count"_a, "labels"_a.noconvert());
    m.def("restore_outside", &restore_outside, "labels"_a.noconvert(), "outside"_a);
    m.def("cut_tree", &cut_tree, "into"_a.noconvert(), "rank"_a.noconvert(), "limit"_a, "lut"_a.noconvert());
    m.def("encode_varints", &encode_varints, "values"_a.noconvert());
    m.def("decode_varints", &decode_varints, "section"_a, "data"_a, "values"_a.noconvert());
    m.def("measure_regions", &measure_regions, "labels"_a.noconvert(), "rgb"_a.noconvert(), "count"_a,
          "area"_a.noconvert(), "box"_a.noconvert(), "centroid"_a.noconvert(), "mean_color"_a.noconvert());
    m.def("decode_adjacency", &decode_adjacency, "data"_a, "offsets"_a.noconvert(),
          "neighbors"_a.noconvert());
    m.def("paint_masks", &paint_masks, "masks"_a, "compressed"_a, "columns"_a.noconvert());
}
