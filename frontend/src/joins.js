import { groups } from './regions.js';

/** Finds the merge after which two finest regions belong to the same region. */
export class Joins {
  /** @param {import('./map.js').LabelMap} map */
  constructor(map) {
    const { tree, levels, count } = map;
    const into = tree ? tree.into : levels?.into;
    const rank = tree ? tree.order : levels?.level;
    // The last one is the outside, which no merge joins.
    this.parent = Int32Array.from({ length: count + 1 }, (_, i) => i);
    /** The rank of the merge that gave each region its `parent`. It never falls on the way up. */
    this.rank = new Int32Array(count + 1).fill(2 ** 31 - 1);
    if (!into || !rank) return;
    // Union by size: no way up is longer than log2(count), even for malicious maps.
    const size = new Uint32Array(count).fill(1);
    const roots = this.parent.slice();
    /** @type {(i: number) => number} */
    const root = (i) => {
      while (roots[i] !== i) {
        roots[i] = roots[roots[i]];
        i = roots[i];
      }
      return i;
    };
    // Ranks are below count with a tree, and at most 32 with levels.
    for (const b of groups(rank, count + 32).items) {
      let small = root(b + 1);
      let large = root(into[b]);
      if (size[small] > size[large]) [small, large] = [large, small];
      size[large] += size[small];
      roots[small] = large;
      this.parent[small] = large;
      this.rank[small] = rank[b];
    }
  }

  /**
   * @param {number} a a finest region
   * @param {number} b another one
   * @returns {number} the rank of the merge that joins them; 2^31 - 2 if no merge does: then 1 more is above all ranks, also in
   *   16 bits
   */
  between(a, b) {
    const { parent, rank } = this;
    let last = 0;
    while (a !== b) {
      if (rank[a] > rank[b]) [a, b] = [b, a];
      if (parent[a] === a) return rank[a] - 1;
      last = rank[a];
      a = parent[a];
    }
    return last;
  }
}
