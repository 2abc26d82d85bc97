// The engine's Python module. Its callers in this package check shapes, dtypes and sizes.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "claim.h"
#include "engine.h"
#include "pixels.h"
#include "python_arrays.h"
#include "superpixel/graph.h"

using namespace nb::literals;

namespace superpixel {

void add_tiles(nb::module_& m);  // tile_module.cpp

namespace {

constexpr double kLongestPatience = 1e6;  // seconds

std::vector<std::string> instruction_sets() {
    std::vector<std::string> names{kSimdPlain.name};
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) names.emplace_back(kSimdAvx2.name);
#endif
    return names;
}

const Simd& simd_named(const std::string& name) {
    const std::vector<std::string> names = instruction_sets();
    const std::string& wanted = name == "auto" ? names.back() : name;
    for (const std::string& known : names) {
        if (known != wanted) continue;
#if defined(__x86_64__)
        if (known == kSimdAvx2.name) return kSimdAvx2;
#endif
        return kSimdPlain;
    }
    throw std::invalid_argument("this machine has no instruction set '" + name + "'");
}

nb::dict seconds_of(const Run& run) {
    nb::dict seconds;
    for (int stage = 0; stage < kStageCount; ++stage) seconds[kStageNames[stage]] = run.seconds[stage];
    return seconds;
}

nb::object merge_rows(const std::vector<MergeRecord>& merges) {
    return nb::cast(array_of<int32_t>(merges.data(), {merges.size(), 4}));
}

nb::tuple segment_image(const PixelArray& pixels, double compactness, Workspace& workspace,
                        CancelToken* token, int threads, const nb::object& guidance,
                        const nb::object& on_regions) {
    const Claim claim(workspace);
    workspace.pool.use(threads);
    const Image image = image_of(pixels);
    const GuideArrays maps(guidance, pixels);
    Result<int32_t> labels({pixels.shape(0), pixels.shape(1)});
    Run run(workspace, token);
    if (!on_regions.is_none()) {
        run.on_regions = [&on_regions](i32 regions) {
            const nb::gil_scoped_acquire acquire;
            on_regions(regions);
        };
    }
    Segmentation result;
    {
        const nb::gil_scoped_release release;
        result = segment(run, image, maps.guide(), compactness, labels.data(), nullptr);
    }
    return nb::make_tuple(result.regions, labels.release(), merge_rows(result.merges), seconds_of(run),
                          maps.guide().hard ? nb::cast(result.components) : nb::none());
}

nb::object pixel_merges(const PixelArray& pixels, const LabelMap& base, double compactness,
                        Workspace& workspace, CancelToken* token) {
    const Claim claim(workspace);
    workspace.pool.use(0);
    Run run(workspace, token);
    std::vector<MergeRecord> merges;
    {
        const nb::gil_scoped_release release;
        merges = merge_pixels(run, image_of(pixels), compactness, base.data());
    }
    return merge_rows(merges);
}

// Rounds of the merge; with a hard prior, of both its runs.
i32 rounds_of(const Segmentation& result) {
    i32 rounds[2] = {0, 0};
    const i32 first_run = result.components == 0 ? 0 : result.regions - result.components;
    for (i32 i = 0; i < result.regions - 1; ++i) {
        i32& most = rounds[i < first_run ? 0 : 1];
        most = std::max(most, result.merges[static_cast<size_t>(i)].round + 1);
    }
    return rounds[0] + rounds[1];
}

void add_guidance(nb::dict& out, const Trace& trace, const Guide& guide, i32 components) {
    const auto integers = [](const auto& values, auto scale) {
        Result<decltype(scale)> result({values.size()});
        for (size_t i = 0; i < values.size(); ++i)
            result.data()[i] = static_cast<decltype(scale)>(values[i] * scale);
        return result.release();
    };
    if (guide.edges != nullptr) out["edge_levels"] = integers(trace.edge_levels, int32_t{1});
    if (guide.prior != nullptr) out["prior_labels"] = integers(trace.prior_labels, int32_t{1});
    if (guide.importance != nullptr) out["importance"] = integers(trace.weights, int64_t{32});
    if (guide.hard) out["prior_components"] = components;
}

nb::dict trace_image(const PixelArray& pixels, double compactness, Workspace& workspace,
                     const nb::object& guidance) {
    const Claim claim(workspace);
    workspace.pool.use(0);
    const Image image = image_of(pixels);
    const GuideArrays maps(guidance, pixels);
    const size_t height = pixels.shape(0), width = pixels.shape(1);
    Result<int32_t> labels({height, width});
    Run run(workspace, nullptr);
    Trace trace;
    const Segmentation result = segment(run, image, maps.guide(), compactness, labels.data(), &trace);
    nb::dict out;
    out["color"] = array_of<int16_t>(trace.color.data(), {3, height, width});
    out["smooth"] = array_of<int16_t>(trace.smooth.data(), {3, height, width});
    nb::list centers, assign;
    for (const auto& values : trace.centers)
        centers.append(array_of<int32_t>(values.data(), {values.size(), 5}));
    for (const auto& values : trace.assign) assign.append(array_of<int32_t>(values.data(), {height, width}));
    out["centers"] = centers;
    out["assign"] = assign;
    out["base"] = labels.release();
    Result<int64_t> nodes({trace.nodes.size(), 4});
    for (size_t i = 0; i < trace.nodes.size(); ++i) {
        const RegionSums& sums = trace.nodes[i];
        const double values[4] = {sums.n, sums.L, sums.A, sums.B};
        for (size_t k = 0; k < 4; ++k) nodes.data()[4 * i + k] = static_cast<int64_t>(values[k]);
    }
    out["nodes"] = nodes.release();
    Result<int64_t> edges({trace.edges.size(), 4});
    for (size_t i = 0; i < trace.edges.size(); ++i) {
        const Edge& edge = trace.edges[i];
        const int64_t values[4] = {edge.a, edge.b, edge.len, static_cast<int64_t>(edge.cs)};
        std::memcpy(edges.data() + 4 * i, values, sizeof(values));
    }
    out["edges"] = edges.release();
    add_guidance(out, trace, maps.guide(), result.components);
    out["merges"] = merge_rows(result.merges);
    out["rounds"] = rounds_of(result);
    return out;
}

// Fewer pixels are too few to be worth sharing among threads.
constexpr i64 kPixelsPerTask = i64{1} << 18;

// Calls body(first pixel, end) for all pixels, kPixelsPerTask at a time, on all threads of the pool.
template <class F>
void pixel_tasks(ThreadPool& pool, i64 pixels, F&& body) {
    pool.each((pixels + kPixelsPerTask - 1) / kPixelsPerTask,
              [&](i64 task) { body(task * kPixelsPerTask, std::min(pixels, (task + 1) * kPixelsPerTask)); });
}

nb::object private_pixels(const PixelArray& pixels, Workspace& workspace) {
    const Claim claim(workspace);
    const size_t channels = pixels.shape(2), kept = kept_channels(channels);
    Result<uint8_t> result({pixels.shape(0), pixels.shape(1), kept});
    {
        const nb::gil_scoped_release release;
        pixel_tasks(workspace.pool, static_cast<i64>(pixels.shape(0) * pixels.shape(1)),
                    [&](i64 at, i64 end) {
                        const size_t first = static_cast<size_t>(at);
                        copy_pixels(pixels.data() + first * channels, channels, static_cast<size_t>(end - at),
                                    result.data() + first * kept);
                    });
    }
    return nb::cast(result.release());
}

nb::object label_nodes_array(int64_t nodes, const MergeRows& merges, int64_t count) {
    if (nodes < 1 || count < 0 || static_cast<size_t>(count) > merges.shape(0)) {
        throw std::invalid_argument("count: must be from 0 to the number of merges");
    }
    for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
        const int32_t* const row = merges.data() + 4 * i;
        if (row[2] < 0 || row[2] >= nodes || row[3] < 0 || row[3] >= nodes) {
            throw std::invalid_argument("merges: a merge names a region that does not exist");
        }
    }
    Result<int32_t> labels({static_cast<size_t>(nodes)});
    {
        const nb::gil_scoped_release release;
        label_nodes(nodes, reinterpret_cast<const MergeRecord*>(merges.data()), count, labels.data());
    }
    return nb::cast(labels.release());
}

// A map outlives the workspace it was made in, so this starts threads of its own if the map is large.
nb::object lookup(const Labels& table, const LabelMap& index, int threads) {
    static const Simd& simd = simd_named("auto");
    Result<int32_t> result({index.shape(0), index.shape(1)});
    {
        const nb::gil_scoped_release release;
        const i64 pixels = static_cast<i64>(index.size());
        ThreadPool pool(static_cast<int>(std::clamp<i64>(pixels / (2 * kPixelsPerTask), 1, threads)));
        pixel_tasks(pool, pixels, [&](i64 at, i64 end) {
            simd.lookup(table.data(), index.data() + at, end - at, result.data() + at);
        });
    }
    return nb::cast(result.release());
}

nb::tuple tree(const Labels& a, const Labels& b) {
    if (a.size() != b.size()) throw std::invalid_argument("a, b: must have the same length");
    const size_t merges = a.size();
    Result<int32_t> into({merges}), order({merges});
    {
        const nb::gil_scoped_release release;
        build_tree(static_cast<i32>(merges) + 1, a.data(), b.data(), into.data(), order.data());
    }
    return nb::make_tuple(into.release(), order.release());
}

nb::tuple tables() {
    const ColorTables& tables = color_tables();
    return nb::make_tuple(array_of<int32_t>(tables.linear.data(), {tables.linear.size()}),
                          array_of<int32_t>(tables.f.data(), {tables.f.size()}));
}

nb::tuple grid(int32_t width, int32_t height, int32_t step) {
    const Grid made = Image{nullptr, height, width, 1, step}.grid();
    return nb::make_tuple(made.step, made.nx, made.ny);
}

nb::tuple merge_params(double compactness, int32_t step) {
    const CostParams params = cost_params(compactness, step);
    return nb::make_tuple(params.k4, params.cell_area);
}

}  // namespace
}  // namespace superpixel

NB_MODULE(_engine, m) {
    using namespace superpixel;
    m.doc() = "The C++ engine; see superpixel_kernels.segment for the public interface.";
    const nb::object cancelled = nb::module_::import_("superpixel_kernels.errors").attr("Cancelled");
    nb::exception<Cancelled>(m, "Cancelled", cancelled.ptr());

    nb::class_<CancelToken>(m, "CancelToken",
                            "Stops or pauses a running call from another thread: pass it as `cancel`.\n\n"
                            "A call checks it before each step: a stage, or a round of the merge.")
        .def(nb::init<>())
        .def("cancel", &CancelToken::cancel, nb::call_guard<nb::gil_scoped_release>(),
             "Stop calls before their next step. Cannot be undone.")
        .def_prop_ro("cancelled", &CancelToken::cancelled, "Whether cancel() was called.")
        .def(
            "hold",
            [](CancelToken& token, double patience) {
                if (!(patience >= 0 && patience <= kLongestPatience))
                    throw std::invalid_argument("patience: must be from 0 to 1e6 seconds");
                token.hold(CancelToken::Seconds(patience));
            },
            "patience"_a = kLongestPatience, nb::call_guard<nb::gil_scoped_release>(),
            "Pause calls: once this returns, at most one step begins per `patience` seconds, until "
            "release().")
        .def("release", &CancelToken::release, nb::call_guard<nb::gil_scoped_release>(), "End the pause.")
        .def(
            "begin_step",
            [](CancelToken& token) {
                if (token.try_begin_step()) return;
                const nb::gil_scoped_release release;
                token.begin_step();
            },
            "Begin a step of work outside the engine: wait while paused. Raises Cancelled.")
        .def_prop_ro("steps", &CancelToken::steps, "Steps begun so far.")
        .def_prop_ro("waiting", &CancelToken::waiting, "Whether a call is paused now.")
        .def_prop_ro("held_seconds", &CancelToken::held_seconds, "How long calls have been paused in all.");

    nb::class_<Workspace>(
        m, "Workspace",
        "Threads and scratch memory for one call at a time, reused from call to call.\n\n"
        "threads: 0 for all cores this process may use. instruction_set: 'auto', 'plain' or 'avx2'; all\n"
        "give the same bits. kept_bytes: if a call leaves more scratch memory than this, the system may "
        "take\n"
        "it when memory is short; until then it counts as memory of this process.")
        .def(
            "__init__",
            [](Workspace* self, int threads, const std::string& instruction_set, int64_t kept_bytes) {
                if (threads < 0 || threads > 1024)
                    throw std::invalid_argument("threads: must be from 0 to 1024");
                new (self) Workspace(threads, simd_named(instruction_set), kept_bytes);
            },
            "threads"_a = 0, "instruction_set"_a = "auto", "kept_bytes"_a = int64_t{256} << 20)
        .def_prop_ro(
            "threads", [](const Workspace& self) { return self.pool.most(); },
            "The most threads that one call uses.")
        .def_prop_ro(
            "instruction_set", [](const Workspace& self) { return self.simd.name; },
            "The instruction set in use.")
        .def_prop_ro(
            "bytes", [](Workspace& self) { return self.bytes(); },
            "Scratch memory in bytes, including what the system may take.")
        .def(
            "free_memory",
            [](Workspace& self) {
                const Claim claim(self);
                self.memory = Scratch();
            },
            nb::call_guard<nb::gil_scoped_release>(),
            "Free the scratch memory; the threads stay. Not during a call.");

    m.def("available_instruction_sets", &instruction_sets);
    m.def("segment", &segment_image, "pixels"_a, "compactness"_a, "workspace"_a, "cancel"_a.none(),
          "threads"_a = 0, "guidance"_a = nb::none(), "on_regions"_a = nb::none());
    m.def("pixel_merges", &pixel_merges, "pixels"_a, "base"_a, "compactness"_a, "workspace"_a,
          "cancel"_a.none());
    m.def("trace", &trace_image, "pixels"_a, "compactness"_a, "workspace"_a, "guidance"_a = nb::none());
    m.def("copy_pixels", &private_pixels, "pixels"_a, "workspace"_a);
    m.def("label_nodes", &label_nodes_array, "nodes"_a, "merges"_a, "count"_a);
    m.def("lookup", &lookup, "table"_a, "index"_a, "threads"_a);
    m.def("tree", &tree, "a"_a, "b"_a);
    m.def("tables", &tables);
    m.def("grid", &grid, "width"_a, "height"_a, "step"_a = 0);
    m.def("slic_m2", &slic_m2, "compactness"_a);
    m.def("merge_params", &merge_params, "compactness"_a, "step"_a);
    m.def("table_slots", &table_slots, "edges"_a);
    add_tiles(m);
    m.attr("SLIC_ITERATIONS") = kSlicIterations;
    m.attr("EDGES_PER_REGION") = kEdgesPerRegion;
}
