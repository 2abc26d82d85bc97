// Stages color and smooth.
#include <algorithm>

#include "engine.h"
#include "row_tasks.h"

namespace superpixel {
namespace {

Planes planes_of(Buffer<i16>& buffer, i64 pixels) {
    const i64 plane = pixels + kPlanePadding;
    i16* const data = buffer.need(3 * plane);
    // Loops may read the padding; the value does not matter, but must not overflow the arithmetic.
    for (i64 end = plane; end <= 3 * plane; end += plane)
        std::fill(data + end - kPlanePadding, data + end, i16{0});
    return {data, data + plane, data + 2 * plane};
}

std::vector<i16> copy_of(Planes planes, i64 pixels) {
    std::vector<i16> copy(static_cast<size_t>(3 * pixels));
    std::copy_n(planes.L, pixels, copy.begin());
    std::copy_n(planes.A, pixels, copy.begin() + pixels);
    std::copy_n(planes.B, pixels, copy.begin() + 2 * pixels);
    return copy;
}

}  // namespace

Planes smoothed_planes(Run& run, const Image& image, Trace* trace) {
    Workspace& workspace = run.workspace;
    const i64 pixels = image.size();
    const Planes lab = planes_of(workspace.memory.color_planes, pixels);
    const Planes smooth = planes_of(workspace.memory.smooth_planes, pixels);
    const ColorTables& tables = color_tables();
    run.stage(kColor, [&] {
        row_tasks(workspace.pool, image.height, [&](i32 begin, i32 end) {
            const i64 first = static_cast<i64>(begin) * image.width;
            workspace.simd.color(tables, image.pixels + first * image.channels, image.channels,
                                 static_cast<i64>(end - begin) * image.width, offset(lab, first));
        });
    });
    const i64 tasks = (image.height + kRowsPerTask - 1) / kRowsPerTask;
    i16* const scratch = workspace.memory.smooth_scratch.need(tasks * image.width);
    run.stage(kSmooth, [&] {
        row_tasks(workspace.pool, image.height, [&](i32 begin, i32 end) {
            i16* const line = scratch + static_cast<i64>(begin / kRowsPerTask) * image.width;
            const auto smooth_plane = [&](const i16* from, i16* to) {
                for (i32 y = begin; y < end; ++y) {
                    const auto row = [&](i32 at) {
                        return from + static_cast<i64>(clamp(at, 0, image.height - 1)) * image.width;
                    };
                    workspace.simd.smooth(row(y - 1), row(y), row(y + 1), image.width,
                                          to + static_cast<i64>(y) * image.width, line);
                }
            };
            smooth_plane(lab.L, smooth.L);
            smooth_plane(lab.A, smooth.A);
            smooth_plane(lab.B, smooth.B);
        });
    });
    if (trace != nullptr) {
        trace->color = copy_of(lab, pixels);
        trace->smooth = copy_of(smooth, pixels);
    }
    return smooth;
}

}  // namespace superpixel
