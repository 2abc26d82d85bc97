// Stage cut: a count of superpixels out of the records. Numbering is that of stage components, over nodes
// instead of pixels.
#include "device.cuh"

using namespace superpixel;

extern "C" __global__ void cut_begin(i32 nodes, i32* parent) {
    const i64 i = thread_rank();
    if (i < nodes) parent[i] = static_cast<i32>(i);
}

// The first `merges` records, in any order: only what is connected counts.
extern "C" __global__ void cut_unite(i32 merges, const int4* __restrict__ records, i32* parent) {
    const i64 i = thread_rank();
    if (i < merges) unite(parent, records[i].z, records[i].w);
}

// Labels of the nodes to labels of the pixels.
extern "C" __global__ void cut_pixels(i32 pixels, const i32* __restrict__ node_of_pixel,
                                      const i32* __restrict__ parent, const i32* __restrict__ number,
                                      i32* labels) {
    const i64 i = thread_rank();
    if (i < pixels) labels[i] = number[parent[node_of_pixel[i]]];
}
