// Threads and scratch memory of one segmentation at a time.
#pragma once

#include <atomic>
#include <vector>

#include "buffer.h"
#include "simd.h"
#include "superpixel/common.h"
#include "thread_pool.h"

namespace superpixel {

struct MergeRecord {
    float height;
    i32 round;
    i32 a, b;
};
static_assert(sizeof(MergeRecord) == 16);

// Stage graph: what the scan of one band of rows has found.
struct EdgeBand {
    std::vector<FoundEdge> crowded;  // edges without room in the line of their region a
    std::vector<FoundEdge> foreign;  // edges whose region a begins in an earlier band
    std::vector<ForeignSums> foreign_sums;
    i32 regions_end = 0;  // the band's regions before this one have sums and lines
    Buffer<i16> contrast;
    Buffer<u16> contrast_before;
    Buffer<unsigned char> strength;  // with an edge map
    Buffer<FoundEdge> found;
    Buffer<ForeignSums> row_foreign_sums;
};

// Stage merge: one thread's share, which is a range of regions and the edges whose smaller region is in it.
struct MergeRange {
    i32 begin = 0, end = 0;
    Edge* edges = nullptr;
    i64 edge_count = 0;
    Buffer<Edge> storage[2];
    int next_storage = 0;
    struct Crossing {
        u32 cost;
        i32 a, b;
    };
    std::vector<Crossing> crossing;         // edges whose larger region is in another range
    std::vector<std::vector<Edge>> outbox;  // [range]: edges that move to that range in this round
    std::vector<Edge> received;             // the edges that other ranges send in this round
    Buffer<i32> stale;                      // the edges whose costs have changed, in their order
    i64 stale_count = 0;
    Buffer<i32> bucket, pairs;
    Buffer<u64> marker;
    std::vector<MergeRecord> records;
    i64 merges = 0;
    i32 roots = 0, new_begin = 0, new_end = 0;
};

struct MergeScratch {
    Buffer<RegionSums> sums[2];
    Buffer<RegionMean> means;
    Buffer<i32> identity[2];
    Buffer<float> height[2];
    Buffer<double> weights[2];  // importance_weight of each region, with an importance map
    Buffer<u64> best;  // of each region: the cost of its least edge, and below it the region at the other end
    Buffer<unsigned char> live;
    Buffer<i32> root, rank, new_id;
    std::vector<MergeRange> ranges;
};

struct Scratch {
    Buffer<i16> color_planes, smooth_planes, smooth_scratch;
    Buffer<Center> centers;
    Buffer<CenterSums> sums;
    Buffer<i16> row_scratch;
    Buffer<i32> run_start, run_parent, run_region;
    Buffer<u64> row_starts, row_seams;  // bitmaps of each row: runs start here; differs from the row above
    Buffer<Contact> contacts;
    Buffer<i64> row_runs;  // the first run of each row, and one entry more for the end
    Buffer<EdgeLine> edge_lines;
    std::vector<EdgeBand> edge_bands;
    Buffer<Edge> edges;
    // With guidance: of each region, what stage graph finds in the maps.
    Buffer<unsigned char> edge_levels;
    Buffer<i32> prior_labels;
    Buffer<u64> prior_changes;   // bitmaps of each row: the label of a soft prior changes here
    Buffer<Edge> carried_edges;  // stage merge with a hard prior: edges that wait for the second run
    Buffer<i32> tile_labels;     // the base regions of a tile and its margin
    MergeScratch merge;
};

class Workspace {
  public:
    Workspace(int threads, const Simd& instructions, i64 kept);

    i64 bytes();
    // If the scratch memory exceeds `kept_bytes`, lets the system take it: one huge image must not keep its
    // memory for good. Large buffers are freed lazily, so that the next huge image need not create them anew;
    // if the small ones alone exceed `kept_bytes`, frees everything.
    void trim();

    ThreadPool pool;
    const Simd& simd;
    const i64 kept_bytes;
    std::atomic<bool> busy{false};
    Scratch memory;
};

}  // namespace superpixel
