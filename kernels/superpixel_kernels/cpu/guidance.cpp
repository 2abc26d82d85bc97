// Stage graph: what the maps of guidance say about each base region.
#include "superpixel/guidance.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "engine.h"
#include "row_tasks.h"

namespace superpixel {
namespace {

constexpr i64 kRegionsPerTask = 2048;

// Finds the most frequent label of a region; of equally frequent ones the smallest.
class LabelCounter {
  public:
    void clear() {
        count_ = 0;
        others_.clear();
    }
    void add(i32 label, i32 pixels) {
        if (count_ == 0) {
            pieces_[count_++] = {label, pixels};
            return;
        }
        for (i32 i = 0; i < count_; ++i) {
            if (pieces_[i].label != label) continue;
            pieces_[i].pixels += pixels;
            return;
        }
        if (count_ < kRoom) {
            pieces_[count_++] = {label, pixels};
        } else {
            others_.push_back({label, pixels});
        }
    }
    i32 most_frequent() {
        std::sort(others_.begin(), others_.end(),
                  [](const Piece& p, const Piece& q) { return p.label < q.label; });
        Piece best = pieces_[0];
        for (i32 i = 1; i < count_; ++i) best = better(best, pieces_[i]);
        for (size_t i = 0; i < others_.size();) {
            Piece sum{others_[i].label, 0};
            for (; i < others_.size() && others_[i].label == sum.label; ++i) sum.pixels += others_[i].pixels;
            best = better(best, sum);
        }
        return best.label;
    }

  private:
    struct Piece {
        i32 label, pixels;
    };
    static Piece better(Piece p, Piece q) {
        return q.pixels > p.pixels || (q.pixels == p.pixels && q.label < p.label) ? q : p;
    }

    static constexpr i32 kRoom = 8;
    Piece pieces_[kRoom];  // the first labels of the region, each once
    i32 count_ = 0;
    std::vector<Piece> others_;  // of all further labels, not joined yet
};

// The sum of the bytes of a run; `readable`: how many bytes there are from its first on.
i64 sum_of(const unsigned char* values, i32 count, i64 readable) {
    i64 sum = 0;
    if (std::endian::native == std::endian::little && count <= 16 && readable >= 16) [[likely]] {
        // Without a loop, because the lengths of runs are unpredictable.
        static constexpr unsigned char kInside[32] = {255, 255, 255, 255, 255, 255, 255, 255,
                                                      255, 255, 255, 255, 255, 255, 255, 255};
        constexpr u64 kEven = 0x00ff00ff00ff00ff;
        u64 words[2], inside[2];
        std::memcpy(words, values, sizeof(words));
        std::memcpy(inside, kInside + 16 - count, sizeof(inside));
        const u64 low = words[0] & inside[0];
        const u64 high = words[1] & inside[1];
        const u64 lanes = (low & kEven) + (low >> 8 & kEven) + (high & kEven) + (high >> 8 & kEven);
        return static_cast<i64>((lanes * 0x0001000100010001) >> 48);
    }
    for (i32 i = 0; i < count; ++i) sum += values[i];
    return sum;
}

// Goes through the regions one by one, each from run to run.
class GuideMeasurer {
  public:
    GuideMeasurer(Workspace& workspace, const Image& image, const Guide& guide, i32 regions)
        : guide_(guide),
          width_(image.width),
          height_(image.height),
          regions_(regions),
          words_(bitmap_words(image.width)),
          pool_(workspace.pool),
          first_run_(workspace.memory.row_runs.data()),
          start_(workspace.memory.run_start.data()) {
        Scratch& memory = workspace.memory;
        link_runs(memory.run_region.data(), memory);
        if (guide.soft_prior() != nullptr) find_changes(workspace);
        if (guide.edges != nullptr) levels_ = memory.edge_levels.need(regions);
        if (guide.prior != nullptr) labels_ = memory.prior_labels.need(regions);
        if (guide.importance != nullptr) weights_ = memory.merge.weights[0].need(regions);
    }

    void measure() {
        pool_.each((regions_ + kRegionsPerTask - 1) / kRegionsPerTask, [&](i64 task) {
            const i64 begin = task * kRegionsPerTask;
            measure(static_cast<i32>(begin),
                    static_cast<i32>(std::min<i64>(regions_, begin + kRegionsPerTask)));
        });
    }

  private:
    // Lists the runs of each region in their order. Both arrays have been used up by stage components.
    void link_runs(const i32* region, Scratch& memory) {
        const i64 runs = first_run_[height_];
        first_of_ = memory.merge.root.need(regions_);
        next_ = memory.run_parent.need(runs);
        std::fill_n(first_of_, regions_, -1);
        for (i64 run = runs - 1; run >= 0; --run) {
            next_[run] = first_of_[region[run]];
            first_of_[region[run]] = static_cast<i32>(run);
        }
    }

    void find_changes(Workspace& workspace) {
        changes_ = workspace.memory.prior_changes.need(words_ * height_ + 2);  // may_change reads on
        row_tasks(pool_, height_, [&](i32 begin, i32 end) {
            for (i32 y = begin; y < end; ++y) {
                workspace.simd.run_starts(guide_.prior + static_cast<i64>(y) * width_, width_,
                                          changes_ + y * words_);
            }
        });
    }

    // Whether the prior's label changes between the pixels of a run, or may do so in a run of more than 64.
    bool may_change(i32 y, i32 x, i32 pixels) const {
        const i32 first = x + 1;  // a change at x itself is outside
        const u64* const words = changes_ + y * words_ + first / 64;
        const i32 shift = first % 64;
        const u64 bits = words[0] >> shift | words[1] << 1 << (63 - shift);
        return pixels > 64 || (bits & ((u64{1} << (pixels - 1)) - 1)) != 0;
    }

    void add_labels(LabelCounter& labels, i32 y, i32 x, i32 pixels) const {
        const i32* const prior = guide_.prior + static_cast<i64>(y) * width_ + x;
        i32 begin = 0;
        if (may_change(y, x, pixels)) {
            for (i32 i = 1; i < pixels; ++i) {
                if (prior[i] == prior[begin]) continue;
                labels.add(prior[begin], i - begin);
                begin = i;
            }
        }
        labels.add(prior[begin], pixels - begin);
    }

    void measure(i32 begin, i32 end) {
        const i64 all = static_cast<i64>(width_) * height_;
        LabelCounter labels;
        i32 top = static_cast<i32>(std::upper_bound(first_run_, first_run_ + height_ + 1, first_of_[begin]) -
                                   first_run_ - 1);
        for (i32 region = begin; region < end; ++region) {
            // Regions are in the order of their first runs.
            while (first_of_[region] >= first_run_[top + 1]) ++top;
            i32 y = top;
            i64 n = 0, edges = 0, importance = 0;
            labels.clear();
            for (i32 run = first_of_[region]; run >= 0; run = next_[run]) {
                while (run >= first_run_[y + 1]) ++y;
                const i32 x = start_[run];
                const i32 pixels = (run + 1 < first_run_[y + 1] ? start_[run + 1] : width_) - x;
                const i64 at = static_cast<i64>(y) * width_ + x;
                n += pixels;
                if (levels_ != nullptr) edges += sum_of(guide_.edges + at, pixels, all - at);
                if (weights_ != nullptr) importance += sum_of(guide_.importance + at, pixels, all - at);
                if (changes_ != nullptr) add_labels(labels, y, x, pixels);
            }
            if (levels_ != nullptr) levels_[region] = static_cast<unsigned char>(edge_level(edges, n));
            if (weights_ != nullptr) weights_[region] = importance_weight(n, importance);
            if (changes_ != nullptr) {
                labels_[region] = labels.most_frequent();
            } else if (labels_ != nullptr) {
                labels_[region] = guide_.prior[static_cast<i64>(top) * width_ + start_[first_of_[region]]];
            }
        }
    }

    const Guide& guide_;
    const i32 width_, height_, regions_;
    const i64 words_;  // per row of the bitmap
    ThreadPool& pool_;
    const i64* const first_run_;
    const i32* const start_;
    i32* first_of_ = nullptr;  // of each region: its first run
    i32* next_ = nullptr;      // of each run: the next one of its region, or -1
    u64* changes_ = nullptr;   // bitmap of a soft prior: differs from the pixel before
    unsigned char* levels_ = nullptr;
    i32* labels_ = nullptr;
    double* weights_ = nullptr;
};

}  // namespace

void measure_guide(Workspace& workspace, const Image& image, const Guide& guide, i32 regions) {
    if (guide.edges == nullptr && guide.prior == nullptr && guide.importance == nullptr) return;
    GuideMeasurer(workspace, image, guide, regions).measure();
}

}  // namespace superpixel
