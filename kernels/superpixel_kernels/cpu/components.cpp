// Stage components.
#include <algorithm>
#include <bit>
#include <numeric>

#include "bands.h"
#include "engine.h"
#include "row_tasks.h"
#include "union_find.h"

namespace superpixel {
namespace {

// Each run of equal labels in a row joins the set of a run above that it touches, or begins a set. Sets are
// numbered in raster order of their first pixel. Union-find joins sets that meet later; the smaller root
// wins, so the order of roots is the order of regions.
class Components {
  public:
    Components(Workspace& workspace, const Image& image, const i32* hard_prior, i32* labels)
        : workspace_(workspace),
          labels_(labels),
          hard_prior_(hard_prior),
          width_(image.width),
          height_(image.height),
          words_(bitmap_words(image.width)),
          bands_{height_, std::min<i32>(height_, workspace.pool.size())} {}

    i32 number() {
        find_borders();
        begin_sets();
        unite_seams();
        const i32 regions = number_roots();
        write_regions();
        return regions;
    }

  private:
    i32* row(i32 y) { return labels_ + static_cast<i64>(y) * width_; }
    i32 first_run(i32 y) const { return static_cast<i32>(first_[y]); }

    void find_borders() {
        first_ = workspace_.memory.row_runs.need(height_ + 1);
        starts_ = workspace_.memory.row_starts.need(words_ * height_);
        seams_ = workspace_.memory.row_seams.need(words_ * height_);
        row_tasks(workspace_.pool, height_, [&](i32 begin, i32 end) {
            for (i32 y = begin; y < end; ++y) {
                first_[y + 1] = workspace_.simd.run_starts(row(y), width_, starts_ + y * words_);
                if (y > 0) workspace_.simd.differ(row(y), row(y - 1), width_, seams_ + y * words_);
            }
            if (hard_prior_ != nullptr) add_prior_borders(begin, end);
        });
        first_[0] = 0;
        std::partial_sum(first_, first_ + height_ + 1, first_);
    }

    // With a hard prior, runs also end where its labels change.
    void add_prior_borders(i32 begin, i32 end) {
        std::vector<u64> words(static_cast<size_t>(words_));
        for (i32 y = begin; y < end; ++y) {
            const i32* const prior = hard_prior_ + static_cast<i64>(y) * width_;
            workspace_.simd.run_starts(prior, width_, words.data());
            i64 runs = 0;
            for (i64 i = 0; i < words_; ++i) {
                u64& starts = starts_[y * words_ + i];
                starts |= words[static_cast<size_t>(i)];
                runs += std::popcount(starts);
            }
            first_[y + 1] = runs;
            if (y == 0) continue;
            workspace_.simd.differ(prior, prior - width_, width_, words.data());
            for (i64 i = 0; i < words_; ++i) seams_[y * words_ + i] |= words[static_cast<size_t>(i)];
        }
    }

    // A band's sets are numbered from its first run on: there are at most as many sets as runs.
    void begin_sets() {
        const i64 runs = first_[height_];
        start_ = workspace_.memory.run_start.need(runs);
        parent_ = workspace_.memory.run_parent.need(runs);
        region_ = workspace_.memory.run_region.need(runs);
        contacts_ = workspace_.memory.contacts.need(static_cast<i64>(width_) * bands_.count);
        sets_end_.assign(static_cast<size_t>(bands_.count), 0);
        workspace_.pool.each(bands_.count, [&](i64 band) {
            Contact* const contacts = contacts_ + band * width_;
            i32 next = first_run(bands_.begin(band));
            for (i32 y = bands_.begin(band); y < bands_.end(band); ++y) {
                workspace_.simd.bit_positions(starts_ + y * words_, words_, start_ + first_[y]);
                next = join_row(y, y > bands_.begin(band) ? list_contacts(y, contacts) : 0, contacts, next);
            }
            sets_end_[static_cast<size_t>(band)] = next;
        });
    }

    i32 list_contacts(i32 y, Contact* contacts) const {
        return workspace_.simd.contacts(starts_ + y * words_, starts_ + (y - 1) * words_, seams_ + y * words_,
                                        width_, first_run(y), first_run(y - 1), contacts);
    }

    // Gives each run of row y a set; new sets are numbered from `next` on. Returns the number after the last.
    i32 join_row(i32 y, i32 count, const Contact* contacts, i32 next) {
        const i32 first_set = next;
        std::fill(region_ + first_[y], region_ + first_[y + 1], -1);
        for (i32 i = 0; i < count; ++i) region_[contacts[i].below] = region_[contacts[i].above];
        for (i64 run = first_[y]; run < first_[y + 1]; ++run) {
            // No branch: whether a run begins a set is unpredictable.
            const i32 set = region_[run];
            const i32 is_new = set >> 31;
            region_[run] = (next & is_new) | (set & ~is_new);
            next -= is_new;
        }
        std::iota(parent_ + first_set, parent_ + next, first_set);
        for (i32 i = 0; i < count; ++i) unite(contacts[i]);
        return next;
    }

    void unite(Contact contact) {
        const i32 p = region_[contact.below];
        const i32 q = region_[contact.above];
        if (p == q) [[likely]]
            return;
        const i32 a = find_root(parent_, p);
        const i32 b = find_root(parent_, q);
        parent_[std::max(a, b)] = std::min(a, b);
    }

    void unite_seams() {
        for (i32 band = 1; band < bands_.count; ++band) {
            const i32 count = list_contacts(bands_.begin(band), contacts_);
            for (i32 i = 0; i < count; ++i) unite(contacts_[i]);
        }
    }

    // Replaces each set's parent by the number of its region.
    i32 number_roots() {
        i32 regions = 0;
        for (i32 band = 0; band < bands_.count; ++band) {
            const i32 end = sets_end_[static_cast<size_t>(band)];
            for (i32 set = first_run(bands_.begin(band)); set < end; ++set) {
                // A parent is smaller than its children, so it has its number already.
                parent_[set] = parent_[set] == set ? regions++ : parent_[parent_[set]];
            }
        }
        return regions;
    }

    void write_regions() {
        row_tasks(workspace_.pool, height_, [&](i32 begin, i32 end) {
            for (i32 y = begin; y < end; ++y) {
                for (i64 run = first_[y]; run < first_[y + 1]; ++run) region_[run] = parent_[region_[run]];
                workspace_.simd.fill_runs(start_ + first_[y], region_ + first_[y],
                                          first_run(y + 1) - first_run(y), width_, row(y));
            }
        });
    }

    Workspace& workspace_;
    i32* const labels_;
    const i32* const hard_prior_;
    const i32 width_, height_;
    const i64 words_;  // per row of the bitmaps
    const Bands bands_;
    i64* first_ = nullptr;  // the first run of each row
    u64* starts_ = nullptr;
    u64* seams_ = nullptr;
    i32* start_ = nullptr;   // of each run: its first pixel in the row
    i32* region_ = nullptr;  // of each run: its set, and in the end its region
    i32* parent_ = nullptr;  // of each set
    Contact* contacts_ = nullptr;
    std::vector<i32> sets_end_;  // of each band
};

}  // namespace

i32 label_components(Run& run, const Image& image, const i32* hard_prior, i32* labels) {
    i32 regions = 0;
    run.stage(kComponents, [&] { regions = Components(run.workspace, image, hard_prior, labels).number(); });
    return regions;
}

}  // namespace superpixel
