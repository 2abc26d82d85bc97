// Work on the rows of an image, on all threads.
#pragma once

#include <algorithm>

#include "superpixel/common.h"
#include "thread_pool.h"

namespace superpixel {

constexpr i32 kRowsPerTask = 32;

// Calls body(first row, end row) for all rows, kRowsPerTask at a time, on all threads.
template <class F>
void row_tasks(ThreadPool& pool, i32 height, F&& body) {
    const i64 tasks = (height + kRowsPerTask - 1) / kRowsPerTask;
    pool.each(tasks, [&](i64 task) {
        const i32 begin = static_cast<i32>(task) * kRowsPerTask;
        body(begin, std::min(height, begin + kRowsPerTask));
    });
}

}  // namespace superpixel
