// Stage cut: labels and trees from merge records.
#include <algorithm>
#include <numeric>
#include <stdexcept>

#include "engine.h"
#include "union_find.h"

namespace superpixel {
namespace {

// Union-find in which the smallest member is the root.
class Sets {
  public:
    explicit Sets(i64 nodes) : parent_(static_cast<size_t>(nodes)) {
        std::iota(parent_.begin(), parent_.end(), 0);
    }
    i32 find(i32 node) { return find_root(parent_.data(), node); }
    // Returns the smaller and the larger root.
    std::pair<i32, i32> unite(i32 p, i32 q) {
        const std::pair<i32, i32> roots = std::minmax({find(p), find(q)});
        parent_[static_cast<size_t>(roots.second)] = roots.first;
        return roots;
    }

  private:
    std::vector<i32> parent_;
};

}  // namespace

i32 label_nodes(i64 nodes, const MergeRecord* records, i64 merges, i32* labels) {
    Sets sets(nodes);
    for (i64 i = 0; i < merges; ++i) sets.unite(records[i].a, records[i].b);
    i32 next = 0;
    for (i32 node = 0; node < nodes; ++node) {
        // A root is the smallest of its set, so it has got its label before its other nodes.
        const i32 root = sets.find(node);
        labels[node] = root == node ? next++ : labels[root];
    }
    return next;
}

// Every label gets a position such that each component, at any time, is an interval of positions, and the
// component that b joins is the interval just before b's own. Labels then enter a maximum tree in ascending
// order, so the largest label below b in that interval is a range maximum over the labels that have entered.
void build_tree(i32 count, const i32* a, const i32* b, i32* into, i32* order) {
    if (count == 1) return;
    const size_t labels = static_cast<size_t>(count);
    Sets sets(count);
    std::vector<i32> next_of(labels, -1), last_of(labels), size_of(labels, 1), joined_size(labels, 0);
    std::iota(last_of.begin(), last_of.end(), 0);
    for (i32 rank = 0; rank < count - 1; ++rank) {
        if (a[rank] < 0 || a[rank] >= count || b[rank] < 0 || b[rank] >= count) {
            throw std::invalid_argument("a merge names a label outside the map");
        }
        const auto [low, high] = sets.unite(a[rank], b[rank]);
        if (low == high) throw std::invalid_argument("a merge joins a component to itself");
        const size_t l = static_cast<size_t>(low), h = static_cast<size_t>(high);
        order[high - 1] = rank;
        joined_size[h] = size_of[l];
        // The component of `high` follows that of `low`.
        next_of[static_cast<size_t>(last_of[l])] = high;
        last_of[l] = last_of[h];
        size_of[l] += size_of[h];
    }
    std::vector<i32> position(labels);
    i32 place = 0;
    for (i32 label = 0; label >= 0; label = next_of[static_cast<size_t>(label)]) {
        position[static_cast<size_t>(label)] = place++;
    }
    // Maximum tree over positions; -1: no label has entered.
    std::vector<i32> maximum(2 * labels, -1);
    const auto enter = [&](i32 label) {
        for (size_t at = static_cast<size_t>(position[static_cast<size_t>(label)]) + labels; at > 0;
             at /= 2) {
            maximum[at] = label;  // labels ascend, so the newest is the largest
        }
    };
    enter(0);
    for (i32 label = 1; label < count; ++label) {
        const size_t own = static_cast<size_t>(label);
        // The component of b begins at position[b]; the one it joins ends there.
        size_t end = static_cast<size_t>(position[own]) + labels;
        size_t begin = end - static_cast<size_t>(joined_size[own]);
        i32 largest = -1;
        for (; begin < end; begin /= 2, end /= 2) {
            if (begin % 2 == 1) largest = std::max(largest, maximum[begin++]);
            if (end % 2 == 1) largest = std::max(largest, maximum[--end]);
        }
        into[label - 1] = largest;
        enter(label);
    }
}

}  // namespace superpixel
