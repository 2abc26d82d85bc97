// Bodies of the functions in simd.h; included once per instruction set. Most are plain loops that the
// compiler vectorises. Those it cannot vectorise have a version for SUPERPIXEL_SIMD_AVX2.
#include "simd.h"
#include "simd_assign.h"
#include "simd_edges.h"
#include "simd_merge.h"
#include "simd_planes.h"
#include "simd_runs.h"

namespace superpixel {

const Simd SUPERPIXEL_SIMD_TABLE = {
    SUPERPIXEL_SIMD_NAME, color,           smooth,     column_sums,         assign,    run_starts, differ,
    bit_positions,        contacts,        seam_edges, guided_seam_edges,   add_edges, run_sums,   fill_runs,
    contrast_row,         contrast_before, edge_costs, weighted_edge_costs, lookup,
};

}  // namespace superpixel
