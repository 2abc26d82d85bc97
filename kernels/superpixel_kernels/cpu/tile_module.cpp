// The part of the engine's Python module that serves runs by tiles.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <optional>

#include "claim.h"
#include "inside.h"
#include "python_arrays.h"
#include "region_graph.h"
#include "tile.h"

using namespace nb::literals;

namespace superpixel {
namespace {

using Ints = nb::ndarray<const int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Longs = nb::ndarray<const int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Fours = nb::ndarray<const int32_t, nb::shape<-1, 4>, nb::c_contig, nb::device::cpu>;
using Threes = nb::ndarray<const int32_t, nb::shape<-1, 3>, nb::c_contig, nb::device::cpu>;

template <class T>
nb::object array_from(const std::vector<T>& values, size_t columns = 1) {
    using Value = std::conditional_t<sizeof(T) == 8, int64_t, int32_t>;
    if (columns == 1) return nb::cast(array_of<Value>(values.data(), {values.size()}));
    return nb::cast(array_of<Value>(values.data(), {values.size() / columns, columns}));
}

nb::tuple tile(const PixelArray& crop, double compactness, int step, const std::vector<int>& window,
               const std::vector<int64_t>& origin, int64_t image_width, Workspace& workspace,
               CancelToken* token, const nb::object& guidance) {
    const Claim claim(workspace);
    workspace.pool.use(0);
    Image image = image_of(crop);
    image.step = step;
    const TilePlace place{image_width,  origin.at(0), origin.at(1), window.at(0),
                          window.at(1), window.at(2), window.at(3)};
    if (step < 1 || place.y0 < 0 || place.y0 >= place.y1 || place.y1 > image.height || place.x0 < 0 ||
        place.x0 >= place.x1 || place.x1 > image.width) {
        throw std::invalid_argument("window: must be inside the crop");
    }
    const GuideArrays maps(guidance, crop);
    Result<int32_t> labels(
        {static_cast<size_t>(place.y1 - place.y0), static_cast<size_t>(place.x1 - place.x0)});
    Run run(workspace, token);
    TileGraph graph;
    {
        const nb::gil_scoped_release release;
        graph = measure_tile(run, image, maps.guide(), compactness, place, labels.data());
    }
    return nb::make_tuple(labels.release(), array_from(graph.first), array_from(graph.owned),
                          array_from(graph.sums, 4), array_from(graph.degrees), array_from(graph.edges, 3),
                          maps.guide().importance == nullptr ? nb::none() : array_from(graph.importance),
                          maps.guide().hard_prior() == nullptr ? nb::none() : array_from(graph.prior));
}

TileArrays arrays_of(const Ints& ids, const Ints& owned, const Fours& sums, const Ints& degrees,
                     const Threes& edges, const std::optional<Ints>& importance,
                     const std::optional<Ints>& prior) {
    const size_t count = owned.size();
    if (sums.shape(0) != count || degrees.size() != count || (importance && importance->size() != count) ||
        (prior && prior->size() != count)) {
        throw std::invalid_argument("the arrays of a tile differ in length");
    }
    return {ids.data(),
            static_cast<i64>(ids.size()),
            owned.data(),
            static_cast<i64>(count),
            sums.data(),
            degrees.data(),
            edges.data(),
            static_cast<i64>(edges.shape(0)),
            importance ? importance->data() : nullptr,
            prior ? prior->data() : nullptr};
}

nb::tuple merge_graph(RegionGraph& graph, double compactness, int step, Workspace& workspace,
                      CancelToken* token) {
    const Claim claim(workspace);
    workspace.pool.use(0);
    Run run(workspace, token);
    Segmentation result;
    {
        const nb::gil_scoped_release release;
        result = graph.merge(run, cost_params(compactness, step));
        workspace.memory = Scratch();
    }
    const nb::object components = result.components > 0 ? nb::cast(result.components) : nb::none();
    auto* const records = new std::vector<MergeRecord>(std::move(result.merges));
    const nb::capsule owner(records,
                            [](void* p) noexcept { delete static_cast<std::vector<MergeRecord>*>(p); });
    const size_t shape[2] = {records->size(), 4};
    return nb::make_tuple(nb::ndarray<nb::numpy, int32_t>(records->data(), 2, shape, owner), components);
}

nb::object ranks(const Longs& sorted, const Longs& queries) {
    Result<int32_t> result({queries.size()});
    bool found;
    {
        const nb::gil_scoped_release release;
        found = find_ranks(reinterpret_cast<const i64*>(sorted.data()), static_cast<i64>(sorted.size()),
                           reinterpret_cast<const i64*>(queries.data()), static_cast<i64>(queries.size()),
                           result.data());
    }
    if (!found) throw std::invalid_argument("queries: not all are there");
    return nb::cast(result.release());
}

nb::tuple inside_merges(const MergeRows& merges,
                        const nb::ndarray<const bool, nb::ndim<1>, nb::c_contig, nb::device::cpu>& inside,
                        int64_t early) {
    InsideMerges result;
    {
        const nb::gil_scoped_release release;
        result = merges_inside(
            static_cast<i64>(inside.size()), reinterpret_cast<const MergeRecord*>(merges.data()),
            static_cast<i64>(merges.shape(0)), early, reinterpret_cast<const unsigned char*>(inside.data()));
    }
    return nb::make_tuple(array_of<int32_t>(result.merges.data(), {result.merges.size(), 4}), result.early);
}

}  // namespace

void add_tiles(nb::module_& m) {
    m.def("tile", &tile, "crop"_a, "compactness"_a, "step"_a, "window"_a, "origin"_a, "image_width"_a,
          "workspace"_a, "cancel"_a.none(), "guidance"_a = nb::none());
    m.def("merges_inside", &inside_merges, "merges"_a, "inside"_a, "early"_a);
    m.def("ranks", &ranks, "ascending"_a, "queries"_a);
    nb::class_<RegionGraph>(m, "RegionGraph",
                            "The region graph of a whole image, put together from its tiles.")
        .def(nb::init<i64, bool, bool>(), "regions"_a, "weighted"_a, "hard"_a)
        .def(
            "count",
            [](RegionGraph& self, const Ints& ids, const Ints& owned, const Fours& sums, const Ints& degrees,
               const Threes& edges, const std::optional<Ints>& importance, const std::optional<Ints>& prior) {
                self.count(arrays_of(ids, owned, sums, degrees, edges, importance, prior));
            },
            "ids"_a, "owned"_a, "sums"_a, "degrees"_a, "edges"_a, "importance"_a.none(), "prior"_a.none())
        .def("seal", &RegionGraph::seal)
        .def(
            "add",
            [](RegionGraph& self, const Ints& ids, const Ints& owned, const Fours& sums, const Ints& degrees,
               const Threes& edges, const std::optional<Ints>& importance, const std::optional<Ints>& prior) {
                const TileArrays arrays = arrays_of(ids, owned, sums, degrees, edges, importance, prior);
                const nb::gil_scoped_release release;
                self.add(arrays);
            },
            "ids"_a, "owned"_a, "sums"_a, "degrees"_a, "edges"_a, "importance"_a.none(), "prior"_a.none())
        .def("merge", &merge_graph, "compactness"_a, "step"_a, "workspace"_a, "cancel"_a.none());
    m.attr("TILE_MARGIN") = kTileMargin;
}

}  // namespace superpixel
