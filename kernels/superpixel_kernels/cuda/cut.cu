// Stage cut: labels of a given count of superpixels, from the records. The kernels of stage components number
// the sets of nodes.
#include "device.cuh"

using namespace superpixel;

extern "C" __global__ void cut_begin(i32 nodes, i32* parent) {
    const i64 i = thread_rank();
    if (i < nodes) parent[i] = static_cast<i32>(i);
}

// Applies the first `merges` records. Their order does not matter: only connectivity counts.
extern "C" __global__ void cut_unite(i32 merges, const int4* __restrict__ records, i32* parent) {
    const i64 i = thread_rank();
    if (i < merges) unite(parent, records[i].z, records[i].w);
}

// Gives each pixel the label of its node.
extern "C" __global__ void cut_pixels(i32 pixels, const i32* __restrict__ node_of_pixel,
                                      const i32* __restrict__ parent, const i32* __restrict__ number,
                                      i32* labels) {
    const i64 i = thread_rank();
    if (i < pixels) labels[i] = number[parent[node_of_pixel[i]]];
}
