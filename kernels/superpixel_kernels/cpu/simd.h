// Loops that profit from wide registers, compiled once per instruction set; the set is chosen at run time.
//
// Each function works on one row or one block of a stage. All versions give the same bits. Stages, threads
// and memory are elsewhere.
#pragma once

#include "guide.h"
#include "superpixel/common.h"
#include "superpixel/merge.h"
#include "superpixel/slic.h"
#include "tables.h"

namespace superpixel {

// Elements past the end of a plane that may be read. They are never used and never written.
constexpr i64 kPlanePadding = 64;

// Three planes of equal size: Lab, each (height, width) int16.
struct Planes {
    i16* L;
    i16* A;
    i16* B;
};

SUPERPIXEL_FN Planes offset(Planes planes, i64 pixels) {
    return {planes.L + pixels, planes.A + pixels, planes.B + pixels};
}

// Sums over the pixels of one centre. x and y are sums of whole pixels; the update scales them to quarters.
struct CenterSums {
    i32 n, L, A, B;
    i64 x, y;
};
static_assert(sizeof(CenterSums) == 32);

// Sums over a region's pixels, as doubles: integers below 2^53, so additions are exact.
struct RegionSums {
    double n, L, A, B;
};

// What a band of rows adds to a region of another band.
struct ForeignSums {
    i32 region, n, L, A, B;
};

// One row of grid cells for stage assign.
struct AssignRow {
    Planes planes;
    i32 width, height;
    Grid grid;
    i32 m2;
    i32 cell_y;
    const Center* centers;  // (ny, nx)
    CenterSums* sums;       // added to: those of the cell rows cell_y-1, cell_y, cell_y+1 (each nx); or null
    i32* labels;            // written: the centre index of each pixel, (height, width); or null
};

// An edge of the region adjacency graph, a < b.
struct Edge {
    i32 a, b;
    i32 len;    // pixel sides between the regions
    u32 cost;   // stage merge: the bits of its cost, a float that is not negative; or kStale or more
    double cs;  // sum of contrast over those sides; an integer below 2^53, so additions are exact

    static constexpr u32 kStale = 0x80000000u;

    Edge() = default;
    Edge(i32 smaller, i32 larger, i32 sides, double contrast)
        : a(smaller), b(larger), len(sides), cost(kStale), cs(contrast) {}
};
static_assert(sizeof(Edge) == 24);

// Two runs, in adjacent rows.
struct Contact {
    i32 below, above;
};

// Sides between two regions that the scan of a row has found; a < b.
struct FoundEdge {
    i32 a, b, len, cs;
};

// Stage graph: the edges of one region to larger ones. The few that find no room are kept elsewhere.
struct EdgeLine {
    static constexpr i32 kRoom = 7;
    i32 b[kRoom];  // -1 if free
    i32 count;
    i32 cs[kRoom + 1];  // the last ones take what is to be ignored
    u16 len[kRoom + 1];
};
static_assert(sizeof(EdgeLine) == 80);

// Words of a bitmap of one row. Bit x % 64 of word x / 64 is pixel x; bits past the row are 0.
constexpr i64 bitmap_words(i32 width) { return (static_cast<i64>(width) + 63) / 64; }

struct Simd {
    const char* name;
    // `width` pixels of `channels` (1 or 3) interleaved bytes -> Lab.
    void (*color)(const ColorTables& tables, const unsigned char* pixels, i32 channels, i64 width,
                  Planes out);
    // One row of one plane; `scratch` has room for `width` values.
    void (*smooth)(const i16* above, const i16* here, const i16* below, i32 width, i16* out, i16* scratch);
    // Sums of each column over the rows of a cell, of one plane. They are at most 11 * 1131.
    void (*column_sums)(const i16* plane, i32 width, i32 rows, i16* out);
    void (*assign)(const AssignRow& row);
    // Bit x of `starts`: x = 0, or row[x] != row[x-1]. Returns how many bits are set.
    i32 (*run_starts)(const i32* row, i32 width, u64* starts);
    // Bit x of `out`: p[x] != q[x].
    void (*differ)(const i32* p, const i32* q, i32 width, u64* out);
    // Writes the positions of the bits that are set.
    void (*bit_positions)(const u64* bits, i64 words, i32* out);
    // Lists where runs of a row touch runs of the row above with the same label; returns how many (at most
    // `width`). `starts`, `above`: run starts of both rows; `seams`: where the rows differ; `first_below`,
    // `first_above`: the numbers of their first runs.
    i32 (*contacts)(const u64* starts, const u64* above, const u64* seams, i32 width, i32 first_below,
                    i32 first_above, Contact* out);
    // Lists the pieces of the border between a row and the row above it; returns how many (at most `width`).
    // `regions`, `regions_above`: of each run of the two rows. `contrast_before`: as below.
    i32 (*seam_edges)(const u64* starts, const u64* above, const u64* seams, i32 width, const i32* regions,
                      const i32* regions_above, const u16* contrast_before, FoundEdge* out);
    // The same, with what the edge map adds to the contrast. `guide.strength` is padded by 16 bytes.
    i32 (*guided_seam_edges)(const u64* starts, const u64* above, const u64* seams, i32 width,
                             const i32* regions, const i32* regions_above, const u16* contrast_before,
                             SeamGuide guide, FoundEdge* out);
    // Adds edges to the lines of their regions a. Moves those that belong elsewhere to the front: a region
    // before `first_owned`, or no room. Returns how many these are.
    i32 (*add_edges)(EdgeLine* lines, FoundEdge* edges, i32 count, i32 first_owned);
    // Adds the pixels of one row to the sums of their regions; those of regions before `first_owned` are
    // listed instead. Returns how many these are. A run ends where the next one starts, or at `width`.
    i32 (*run_sums)(Planes row, const i32* starts, const i32* regions, i32 runs, i32 width, i32 first_owned,
                    RegionSums* sums, ForeignSums* foreign);
    // row[x] = values[run] for the pixels of each run.
    void (*fill_runs)(const i32* starts, const i32* values, i32 runs, i32 width, i32* row);
    // out[i] = contrast between pixel i of p and pixel i of q.
    void (*contrast)(Planes p, Planes q, i32 count, i16* out);
    // out[i] = the sum of the contrasts of pixels 0..i-1, modulo 2^16; count + 1 values, and room for 16
    // more.
    void (*contrast_before)(Planes p, Planes q, i32 count, u16* out);
    // Writes the costs of the edges `which[0..count-1]`.
    void (*edge_costs)(Edge* edges, const i32* which, i64 count, const RegionMean* regions,
                       CostParams params);
    // The same with an importance map; `weights`: of each region.
    void (*weighted_edge_costs)(Edge* edges, const i32* which, i64 count, const RegionMean* regions,
                                const double* weights, CostParams params);
    // out[i] = table[index[i]]
    void (*lookup)(const i32* table, const i32* index, i64 count, i32* out);
};

extern const Simd kSimdPlain;
#if defined(__x86_64__)
extern const Simd kSimdAvx2;
#endif

}  // namespace superpixel
