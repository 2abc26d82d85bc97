// Stage merge: the live regions, the edges between them, and the phases of one round.
#pragma once

#include "workspace.h"

namespace superpixel {

// The arrays of regions have slots for live and for absorbed regions. If too few slots are live, the live
// regions move to the first slots, so arrays shrink. Slots always have the order of the regions' identities.
// Regions are shared out among ranges, one per thread: range t owns slots [begin, end) and the edges whose
// smaller region it owns.
//
// All ranges do a phase at the same time; finish(phase) comes after each, when all are done. A phase writes
// what its own range owns, and reads only what no other range writes in it.
class MergePhases {
  public:
    // In this order. `begin` comes before the first round, and kChoose already chooses for the next one.
    enum Phase { kChooseCrossing, kUnite, kRenumber, kRelabel, kChoose };

    // Regions and edges as stage graph leaves them. `weighted`: with an importance map.
    MergePhases(Workspace& workspace, i64 nodes, i64 edge_count, CostParams params, bool weighted);

    // Begins rounds from 0 with other edges between the regions that are left, whose heights are 0 again.
    void restart(i64 edge_count);

    // After the last round: frees the edges' memory, if the workspace keeps none.
    void end_rounds();

    // Shares out the edges (sorted by a), and so the regions, among `count` ranges.
    void split(i32 count, Edge* edges);
    MergeRange& range(i32 index) { return scratch_.ranges[static_cast<size_t>(index)]; }
    i32 ranges() const { return count_; }
    i64 edges_left() const { return edges_left_; }
    i32 round() const { return round_; }
    bool collective() const { return collective_round(round_, merges_, live_before_); }

    void begin(MergeRange& part);
    // kChooseCrossing: considers the edges of other ranges whose larger region is in this one.
    void choose_crossing(const MergeRange& part);
    // kUnite, in a reciprocal round: the edges that both ends chose merge. Each range reads the choices of
    // all regions, and writes only about its own.
    void unite_reciprocal(MergeRange& part);
    // kUnite, in a collective round: the edges that at least one end chose merge. One thread, all ranges.
    void unite_collective();
    // kRenumber, only if renumbers(): moves the live regions to the first slots, and notes for every region
    // its new slot.
    void renumber(i32 rank);
    bool renumbers() const { return renumbers_; }
    // kRelabel: gives the edges their new ends. Drops those inside a region; puts those whose smaller end is
    // in another range into the outbox.
    void relabel(MergeRange& part);
    // kChoose: takes the edges sent to the range, sorts all by their smaller end, joins those with equal
    // ends, and finds the least edge of each region.
    void contract_and_choose(i32 rank);
    // What follows from a phase of all ranges. Returns the phase after it.
    Phase finish(Phase phase);

  private:
    void choose(MergeRange& part);
    void contract(i32 rank);
    // Of two choices of a region, the one whose edge comes first.
    u64 lesser(i32 region, u64 p, u64 q) const;
    // Whether the edge to region p comes before that to q, if they have the same cost.
    bool comes_before(i32 region, i32 p, i32 q) const;
    MergeRecord record_of(u64 best, i32 a, i32 b) const;
    // Adds region b to region a.
    void absorb(i32 a, i32 b, float height);
    void close_gaps();

    const Simd& simd_;
    MergeScratch& scratch_;
    const bool frugal_;          // frees memory as soon as it can
    Buffer<Edge>* spent_edges_;  // to be freed after the first round, or null
    const CostParams params_;
    i32 count_ = 0;  // ranges
    i64 slots_, live_, live_before_ = 0, merges_ = 0, edges_left_;
    i32 round_ = 0;
    bool renumbers_ = false;
    int side_ = 0;  // which of each two arrays below is in use
    RegionSums* sums_[2];
    RegionMean* means_;
    i32* identity_[2];
    float* height_[2];
    double* weights_[2] = {nullptr, nullptr};
    u64* best_;
    unsigned char* is_live_;
    i32* root_;    // of each region: the one that it is part of after this round; sign: it has changed
    i32* rank_;    // of a live region, among those of its range
    i32* new_id_;  // of each region: the new slot of its root; sign: as in root_
};

}  // namespace superpixel
