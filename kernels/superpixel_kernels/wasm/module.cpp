// The engine and the writer of label maps as a WebAssembly module. frontend/src/engine calls it, and checks
// all arguments. An instance works on one image at a time, with one thread. A C++ exception ends the
// instance.
#include <cstdlib>
#include <memory>
#include <new>
#include <typeinfo>
#include <vector>

#include "../codec/container.h"
#include "../codec/regions.h"
#include "engine.h"
#include "pixels.h"
#include "sha256.h"

#define SUPERPIXEL_EXPORT extern "C" __attribute__((used, visibility("default")))

namespace superpixel {
namespace {

// The steps of an image. JavaScript runs them one by one, so that it can stop and show progress between them.
enum Step : i32 { kStepColor, kStepAssign, kStepComponents, kStepGraph, kStepMerge, kStepDone };

struct Job {
    std::vector<unsigned char> pixels;
    std::vector<unsigned char> edges, importance;
    std::vector<i32> prior;
    Image image{};
    double compactness = 0;
    Guide guide;
    Workspace workspace{1, kSimdPlain, 0};
    i32 step = kStepColor;
    Planes planes{};
    i64 edge_count = 0;
    Segmentation result;
    Buffer<i32> labels;
    // The cut that was chosen: its tree, heights and regions.
    std::vector<i32> into, order;
    std::vector<float> heights;
    std::vector<u32> area, box, centroid;
    std::vector<unsigned char> mean_color;
    codec::Adjacency adjacency;
    std::unique_ptr<codec::ContainerWriter> writer;
};

std::unique_ptr<Job> job;
std::unique_ptr<Sha256> digest;
bool memory_refused = false;

void run_step() {
    Run run(job->workspace, nullptr);
    const Image& image = job->image;
    i32* const labels = job->labels.data();
    switch (job->step) {
        case kStepColor:
            job->planes = smoothed_planes(run, image, nullptr);
            break;
        case kStepAssign:
            assign_pixels(run, image, job->compactness, job->planes, labels, nullptr);
            break;
        case kStepComponents:
            job->result.regions = label_components(run, image, job->guide.hard_prior(), labels);
            break;
        case kStepGraph:
            job->edge_count = build_graph(run, image, job->planes, job->guide, job->result.regions);
            break;
        case kStepMerge: {
            const CostParams params = cost_params(job->compactness, grid_of(image.width, image.height).step);
            merge_stage(run, job->edge_count, params, job->guide.importance != nullptr,
                        job->guide.hard_prior() != nullptr, job->result);
            job->workspace.memory = Scratch();
            break;
        }
        default:
            break;
    }
    ++job->step;
}

template <class T>
T* room(std::vector<T>& values, size_t count) {
    values.resize(count);
    return values.data();
}

size_t pixel_count() { return static_cast<size_t>(job->image.size()); }

}  // namespace
}  // namespace superpixel

using namespace superpixel;

// ---- the image: begin, write the pixels and the maps, then step until it returns kStepDone

// Returns where to write the pixels: (height, width, channels) bytes, channels 1, 3 or 4.
SUPERPIXEL_EXPORT void* begin(i32 width, i32 height, i32 channels, double compactness) {
    job.reset();
    job = std::make_unique<Job>();
    job->image = {nullptr, height, width, channels};
    job->compactness = compactness;
    return room(job->pixels, pixel_count() * static_cast<size_t>(channels));
}

// Each returns where to write a map of the image's size.
SUPERPIXEL_EXPORT void* edges(i32 weight) {
    job->guide.edge_weight = weight;
    job->guide.edges = room(job->edges, pixel_count());
    return job->edges.data();
}
SUPERPIXEL_EXPORT void* prior(i32 weight, i32 hard) {
    job->guide.prior_weight = weight;
    job->guide.hard = hard != 0;
    job->guide.prior = room(job->prior, pixel_count());
    return job->prior.data();
}
SUPERPIXEL_EXPORT void* importance() {
    job->guide.importance = room(job->importance, pixel_count());
    return job->importance.data();
}

// Runs the next step; returns the number of the one after it.
SUPERPIXEL_EXPORT i32 step() {
    if (job->step == kStepColor) {
        const auto channels = static_cast<size_t>(job->image.channels);
        copy_pixels(job->pixels.data(), channels, pixel_count(), job->pixels.data());
        job->image.channels = static_cast<i32>(kept_channels(channels));
        job->image.pixels = job->pixels.data();
        job->labels.need(job->image.size());
    }
    run_step();
    return job->step;
}

SUPERPIXEL_EXPORT i32 base_count() { return job->result.regions; }
SUPERPIXEL_EXPORT i32 prior_components() { return job->result.components; }

// ---- the label map: cut once, then read or write it

// Labels, tree and heights of the cut at `count`, from 1 to the base count. Returns the labels.
SUPERPIXEL_EXPORT void* cut(i32 count) {
    const std::vector<MergeRecord>& merges = job->result.merges;
    const i32 base = job->result.regions;
    const auto first = static_cast<size_t>(base - count);
    i32* const labels = job->labels.data();
    std::vector<i32> lut(static_cast<size_t>(base));
    label_nodes(base, merges.data(), static_cast<i64>(first), lut.data());
    for (size_t i = 0; i < pixel_count(); ++i) labels[i] = lut[static_cast<size_t>(labels[i])];
    const size_t left = merges.size() - first;
    std::vector<i32> a(left), b(left);
    job->heights.resize(left);
    for (size_t i = 0; i < left; ++i) {
        const MergeRecord& merge = merges[first + i];
        a[i] = lut[static_cast<size_t>(merge.a)];
        b[i] = lut[static_cast<size_t>(merge.b)];
        // As in a container.
        job->heights[i] = std::bit_cast<float>(codec::bfloat16_above(merge.height) << 16);
    }
    build_tree(count, a.data(), b.data(), room(job->into, left), room(job->order, left));
    return labels;
}

SUPERPIXEL_EXPORT void* tree_into() { return job->into.data(); }
SUPERPIXEL_EXPORT void* tree_order() { return job->order.data(); }
SUPERPIXEL_EXPORT void* tree_heights() { return job->heights.data(); }

// Measures the regions of the cut. Returns the number of pairs of neighbours.
SUPERPIXEL_EXPORT u32 measure() {
    const size_t count = job->into.size() + 1;
    std::vector<unsigned char> rgb;
    const unsigned char* colors = job->pixels.data();
    if (job->image.channels == 1) {
        rgb.resize(3 * pixel_count());
        for (size_t i = 0; i < rgb.size(); ++i) rgb[i] = colors[i / 3];
        colors = rgb.data();
    }
    const codec::RegionArrays out{room(job->area, count), room(job->box, 4 * count),
                                  room(job->centroid, 2 * count), room(job->mean_color, 3 * count)};
    job->adjacency =
        codec::measure_regions(job->labels.data(), colors, static_cast<size_t>(job->image.height),
                               static_cast<size_t>(job->image.width), static_cast<u32>(count), out);
    return static_cast<u32>(job->adjacency.neighbors.size());
}

SUPERPIXEL_EXPORT void* regions_area() { return job->area.data(); }
SUPERPIXEL_EXPORT void* regions_box() { return job->box.data(); }
SUPERPIXEL_EXPORT void* regions_centroid() { return job->centroid.data(); }
SUPERPIXEL_EXPORT void* regions_mean_color() { return job->mean_color.data(); }
SUPERPIXEL_EXPORT void* regions_offsets() { return job->adjacency.offsets.data(); }
SUPERPIXEL_EXPORT void* regions_neighbors() { return job->adjacency.neighbors.data(); }

// Begins the container of the cut, with its whole tree if `with_tree`, and its regions if they are measured.
SUPERPIXEL_EXPORT void write_map(i32 algorithm_version, i32 with_tree) {
    job->writer = std::make_unique<codec::ContainerWriter>(
        job->labels.data(), static_cast<size_t>(job->image.height), static_cast<size_t>(job->image.width),
        true, static_cast<std::uint16_t>(algorithm_version));
    codec::ContainerWriter& writer = *job->writer;
    if (with_tree != 0) {
        const auto unsigned_of = [](const std::vector<i32>& values) {
            return reinterpret_cast<const std::uint32_t*>(values.data());
        };
        writer.tree(unsigned_of(job->into), unsigned_of(job->order));
        writer.heights(job->heights.data());
    }
    if (!job->area.empty()) {
        writer.regions({job->area.data(), job->box.data(), job->centroid.data(), job->mean_color.data(),
                        job->adjacency.offsets.data(), job->adjacency.neighbors.data()});
    }
}

SUPERPIXEL_EXPORT void write_provenance(const unsigned char* payload, u32 size) {
    job->writer->provenance(payload, size);
}

// Ends the container. Returns its number of bytes; finished_map returns where they are.
SUPERPIXEL_EXPORT u32 finish_map() { return static_cast<u32>(job->writer->finish().size()); }
SUPERPIXEL_EXPORT const void* finished_map() { return job->writer->container().data(); }

SUPERPIXEL_EXPORT void end() { job.reset(); }

// ---- SHA-256: update any number of times, then finish

SUPERPIXEL_EXPORT void* reserve(u32 bytes) { return std::malloc(bytes); }
SUPERPIXEL_EXPORT void release(void* memory) { std::free(memory); }
SUPERPIXEL_EXPORT void sha256_update(const unsigned char* data, u32 size) {
    if (!digest) digest = std::make_unique<Sha256>();
    digest->update(data, size);
}
SUPERPIXEL_EXPORT void sha256_finish(unsigned char* out) {
    if (!digest) digest = std::make_unique<Sha256>();
    digest->finish(out);
    digest.reset();
}

// ---- memory and errors: either ends the instance

SUPERPIXEL_EXPORT i32 out_of_memory() { return memory_refused ? 1 : 0; }

// These replace those of the C++ library: without code that unwinds the stack the module is half as large. An
// exception needs no memory, as there may be none.
extern "C" void* __cxa_allocate_exception(size_t) {
    alignas(16) static unsigned char room[256];
    return room;
}
extern "C" __attribute__((noreturn)) void __cxa_throw(void*, std::type_info* type, void (*)(void*)) {
    memory_refused = *type == typeid(std::bad_alloc);
    __builtin_trap();
}
void* operator new(size_t bytes) {
    void* const memory = std::malloc(bytes > 0 ? bytes : 1);
    if (memory != nullptr) return memory;
    memory_refused = true;
    __builtin_trap();
}
