#include "inside.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>

#include "union_find.h"

namespace superpixel {

InsideMerges merges_inside(i64 nodes, const MergeRecord* records, i64 count, i64 early_records,
                           const unsigned char* inside) {
    std::vector<i32> parent(static_cast<size_t>(nodes));
    std::iota(parent.begin(), parent.end(), 0);
    std::vector<i32> least(static_cast<size_t>(nodes), -1);  // of each set, at its root: the smallest inside
    i32 next = 0;
    for (size_t node = 0; node < least.size(); ++node) {
        if (inside[node] != 0) least[node] = next++;
    }
    InsideMerges result;
    for (i64 i = 0; i < count; ++i) {
        const MergeRecord& record = records[i];
        if (record.a < 0 || record.b < 0 || record.a >= nodes || record.b >= nodes)
            throw std::invalid_argument("merges: a merge names a region that does not exist");
        const auto [root, joined] =
            std::minmax({find_root(parent.data(), record.a), find_root(parent.data(), record.b)});
        const auto [a, b] =
            std::minmax({least[static_cast<size_t>(root)], least[static_cast<size_t>(joined)]});
        parent[static_cast<size_t>(joined)] = root;
        least[static_cast<size_t>(root)] = a >= 0 ? a : b;
        if (a < 0 || a == b) continue;
        result.merges.push_back({record.height, record.round, a, b});
        result.early += i < early_records ? 1 : 0;
    }
    return result;
}

}  // namespace superpixel
