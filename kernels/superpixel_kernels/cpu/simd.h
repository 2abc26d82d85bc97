// The loops that profit from wide registers, compiled once per instruction set and chosen at run time.
//
// Each entry works on a row or a block of one stage; stages, threads and memory are elsewhere (base.cpp,
// graph.cpp, merge.cpp). All versions give the same bits.
#pragma once

#include "superpixel/common.h"
#include "superpixel/merge.h"
#include "superpixel/slic.h"
#include "tables.h"

namespace superpixel {

// Elements that may be read past the end of a plane (never used, and never written).
constexpr i64 kPlanePadding = 64;

// Three planes of equal size: Lab, each (height, width) int16.
struct Planes {
    i16* L;
    i16* A;
    i16* B;
};

// Sums over the pixels of one centre. Quarter-pixel positions are summed as whole pixels and scaled at the
// end.
struct CenterSums {
    i32 n, L, A, B;
    i64 x, y;
};

// One row of grid cells for stage assign.
struct AssignRow {
    Planes planes;
    i32 width, height;
    i32 step, m2;
    i32 nx, ny;
    i32 cell_y;
    const Center* centers;  // (ny, nx)
    CenterSums* sums;       // null, or of the cell rows cell_y-1, cell_y, cell_y+1 (each nx): added to
    i32* labels;            // null, or (height, width): centre index of each pixel
};

// An edge of the region adjacency graph, a < b.
struct Edge {
    i32 a, b;
    i32 len;    // pixel sides between the regions
    double cs;  // sum of contrast over those sides; an integer below 2^53, so additions are exact
};

struct Simd {
    const char* name;
    // (width) pixels of `channels` (1 or 3) interleaved bytes -> Lab.
    void (*color)(const ColorTables& tables, const unsigned char* pixels, i32 channels, i64 width,
                  Planes out);
    // One row of one plane; `scratch` holds width values.
    void (*smooth)(const i16* above, const i16* here, const i16* below, i32 width, i16* out, i16* scratch);
    // Column sums of `rows` rows of one plane.
    void (*column_sums)(const i16* plane, i32 width, i32 rows, i32* out);
    void (*assign)(const AssignRow& row);
    // Positions x where row[x] != row[x-1], and 0; returns how many. `starts` holds width values.
    i32 (*run_starts)(const i32* row, i32 width, i32* starts);
    // Sums over each run of one row: out[run] = {L, A, B, pixels}. A run ends where the next starts, the last
    // with the row.
    void (*run_sums)(Planes row, const i32* starts, i32 runs, i32 width, i32 (*out)[4]);
    // row[x] = values[run] for the pixels of each run.
    void (*fill_runs)(const i32* starts, const i32* values, i32 runs, i32 width, i32* row);
    // out[i] = contrast between pixel i of p and pixel i of q.
    void (*contrast)(Planes p, Planes q, i32 count, i16* out);
    // Cost and hash of each edge as one integer; `identity` names the regions, as the hash wants them.
    void (*edge_words)(const Edge* edges, i32 count, const RegionMean* regions, const i32* identity,
                       CostParams params, u64* out);
    // out[i] = table[index[i]]
    void (*lookup)(const i32* table, const i32* index, i64 count, i32* out);
};

// Most edges one call of edge_words takes.
constexpr i32 kCostBlock = 128;

extern const Simd kSimdPlain;
#if defined(__x86_64__)
extern const Simd kSimdAvx2;
#endif

}  // namespace superpixel
