// The C++ engine: an image in, base regions and merge records out. Stages in the order of docs/algorithm.md.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <stdexcept>
#include <utility>
#include <vector>

#include "memory.h"
#include "simd.h"
#include "superpixel/common.h"
#include "thread_pool.h"

namespace superpixel {

// Scratch memory that only grows, and is never cleared: what an earlier image left in it must not matter.
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

    // Room for `count` values, contents lost.
    T* need(i64 count) {
        if (count > capacity_) {
            std::free(data_);
            data_ = nullptr;
            capacity_ = 0;
            replace(count, 0);
        }
        return data_;
    }
    // Room for `count` values, contents kept; grows by half, so that appending is cheap.
    T* grow(i64 count) {
        if (count > capacity_)
            replace(count > capacity_ + capacity_ / 2 ? count : capacity_ + capacity_ / 2, capacity_);
        return data_;
    }
    T* data() { return data_; }
    T& operator[](i64 i) { return data_[i]; }
    i64 bytes() const { return capacity_ * static_cast<i64>(sizeof(T)); }
    // Lets the system take the memory when it is short of it; contents lost. Returns how many bytes.
    i64 lend() { return superpixel::lend(data_, static_cast<size_t>(bytes())) ? bytes() : 0; }

  private:
    void swap(Buffer& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(capacity_, other.capacity_);
    }
    void replace(i64 count, i64 kept) {
        T* const memory = static_cast<T*>(allocate(static_cast<size_t>(count) * sizeof(T)));
        if (kept > 0) std::memcpy(static_cast<void*>(memory), data_, static_cast<size_t>(kept) * sizeof(T));
        std::free(data_);
        data_ = memory;
        capacity_ = count;
    }
    T* data_ = nullptr;
    i64 capacity_ = 0;
};

struct Cancelled : std::runtime_error {
    Cancelled() : std::runtime_error("cancelled") {}
};

// What other threads do to a running call: stop it for good, or hold it for a while. Either takes effect at
// the call's next boundary, which lies before each stage and each merge round.
class CancelToken {
  public:
    using Seconds = std::chrono::duration<double>;

    void cancel();
    bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }

    // From when this returns no further step is begun, but one every `patience`.
    void hold(Seconds patience);
    void release();

    // The next step begins, now or when nothing holds it any more. Throws Cancelled instead.
    void begin_step();
    // Likewise, but where it is held nothing happens, and the answer is no.
    bool try_begin_step();

    // Steps begun so far; whether a call stands still at a boundary; how long calls have stood still.
    i64 steps();
    bool waiting();
    double held_seconds();

  private:
    std::atomic<bool> cancelled_{false};
    std::mutex mutex_;
    std::condition_variable changed_;
    bool held_ = false;
    Seconds patience_{};
    i64 steps_ = 0;
    int waiting_ = 0;
    Seconds held_for_{};
};

// Sums over a region's pixels, as doubles: integers below 2^53, so additions are exact.
struct RegionSums {
    double n, L, A, B;
};

struct MergeRecord {
    float height;
    i32 round;
    i32 a, b;
};
static_assert(sizeof(MergeRecord) == 16);

// The eight stages' names are the same everywhere; `cut` is timed where it is called.
enum Stage { kColor, kSmooth, kUpdate, kAssign, kComponents, kGraph, kMerge, kStageCount };
constexpr const char* kStageNames[kStageCount] = {"color",      "smooth", "update", "assign",
                                                  "components", "graph",  "merge"};

// Everything between the stages, for tests that compare engines stage by stage.
struct Trace {
    std::vector<i16> color, smooth;            // (3, height, width)
    std::vector<std::vector<Center>> centers;  // per iteration: (ny * nx)
    std::vector<std::vector<i32>> assign;      // per iteration: (height, width)
    std::vector<RegionSums> nodes;             // (regions)
    std::vector<Edge> edges;                   // sorted by (a, b)
};

// A part of the edges found while scanning a band of rows: lists per region, in one array.
struct EdgeNode {
    i32 b, len;
    i64 cs;
    i32 next;
};

struct EdgeBand {
    Buffer<EdgeNode> nodes;
    i64 count = 0;
    struct Foreign {
        i32 a, b, len;
        i64 cs;
    };
    std::vector<Foreign> foreign;  // edges whose region a was numbered by an earlier band
    struct ForeignSums {
        i32 region, n, L, A, B;
    };
    std::vector<ForeignSums> foreign_sums;
    Buffer<i16> contrast;
    Buffer<i32> run_sums;
};

// The least edge of a region: cost and hash, and the region at its other end.
struct Best {
    u64 word;
    i32 other;
};

// One thread's share of the merge: a range of regions, and the edges whose smaller region lies in it.
struct MergeRange {
    i32 begin = 0, end = 0;
    Edge* edges = nullptr;
    i64 edge_count = 0;
    Buffer<Edge> storage[2];
    int next_storage = 0;
    struct Crossing {
        u64 word;
        i32 a, b;
    };
    std::vector<Crossing> crossing;         // edges whose larger region lies in another range
    std::vector<std::vector<Edge>> outbox;  // [range]: edges that moved there in this round
    Buffer<i32> bucket, marker, pairs;
    std::vector<MergeRecord> records;
    i64 merges = 0;
    i32 roots = 0, new_begin = 0, new_end = 0;
};

struct MergeScratch {
    Buffer<RegionSums> sums[2];
    Buffer<RegionMean> means;
    Buffer<i32> identity[2];
    Buffer<float> height[2];
    Buffer<Best> best;
    Buffer<i32> root, rank, new_id;
    std::vector<MergeRange> ranges;
};

struct Scratch {
    Buffer<i16> color_planes, smooth_planes, smooth_scratch;
    Buffer<Center> centers;
    Buffer<CenterSums> sums;
    Buffer<i32> row_scratch;
    Buffer<i32> run_start, run_parent, run_region;
    Buffer<i64> row_runs;  // first run of each row; one more than rows
    Buffer<i32> edge_head;
    std::vector<EdgeBand> edge_bands;
    Buffer<Edge> edges;
    MergeScratch merge;
};

// Threads and scratch memory for one segmentation at a time; reused from call to call.
class Workspace {
  public:
    Workspace(int threads, const Simd& instructions, i64 kept);

    i64 bytes();
    // If more than `kept_bytes` is held, the system may have it: one huge image must not pin its memory for
    // ever. Lent where the system knows that, so that the next huge image need not make it anew; else freed.
    void trim();

    ThreadPool pool;
    const Simd& simd;
    const i64 kept_bytes;
    std::atomic<bool> busy{false};
    Scratch memory;
};

struct Image {
    const unsigned char* pixels;  // (height, width, channels) uint8, channels 1 or 3
    i32 height, width, channels;
};

struct Settings {
    double compactness;
    i32 m2() const { return static_cast<i32>(20.5 + 8.0 * compactness); }
    double k4() const { return 0.4 * compactness; }
};

// One call's context: what to check between stages, and where the time goes.
class Run {
  public:
    Run(Workspace& scratch, CancelToken* token) : workspace(scratch), token_(token) {}
    // Before each stage and each merge round: other threads may stop the call here, or hold it.
    void begin_step() const {
        if (token_ != nullptr) token_->begin_step();
    }
    template <class F>
    void stage(Stage which, F&& body) {
        begin_step();
        const auto start = std::chrono::steady_clock::now();
        body();
        seconds[which] += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    }

    Workspace& workspace;
    double seconds[kStageCount] = {};

  private:
    CancelToken* token_;
};

struct Segmentation {
    i32 regions = 0;
    std::vector<MergeRecord> merges;
};

// Stages color and smooth into workspace.memory.smooth_planes.
Planes smoothed_planes(Run& run, const Image& image, Trace* trace);

// Stages update to components: writes base labels to `labels` (height, width), returns how many. Leaves the
// runs of equal labels in the workspace for build_graph.
i32 base_regions(Run& run, const Image& image, const Settings& settings, Planes planes, i32* labels,
                 Trace* trace);

// Stage graph: region sums into workspace.memory.merge.sums[0], edges sorted by (a, b) into
// workspace.memory.edges; returns how many.
i64 build_graph(Run& run, const Image& image, Planes planes, i32 regions);

// Stage merge over `nodes` regions (sums in workspace.memory.merge.sums[0]) and `edge_count` edges in
// workspace.memory.edges.
std::vector<MergeRecord> merge_regions(Run& run, i64 nodes, i64 edge_count, CostParams params);

// The whole pipeline.
Segmentation segment(Run& run, const Image& image, const Settings& settings, i32* labels, Trace* trace);

// The merges of the pixels inside each base region, for counts above the base.
std::vector<MergeRecord> merge_pixels(Run& run, const Image& image, const Settings& settings,
                                      const i32* labels);

// Labels of `nodes` after the first `merges` records: numbered by the smallest node of each set. Returns how
// many.
i32 label_nodes(i64 nodes, const MergeRecord* records, i64 merges, i32* labels);

// The tree over labels 0..count-1 from count-1 merges of label pairs: for each label b > 0 the largest label
// below b of the component it joins when it stops being the smallest of its own, and the rank of that merge.
// Throws std::invalid_argument where the pairs do not form a tree.
void build_tree(i32 count, const i32* a, const i32* b, i32* into, i32* order);

}  // namespace superpixel
