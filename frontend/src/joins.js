/** Finds the merge after which two finest regions belong to the same region. */
export class Joins {
  /** @param {import('./map.js').LabelMap} map */
  constructor(map) {
    const { tree, levels, count } = map;
    const into = tree ? tree.into : levels?.into;
    const rank = tree ? tree.order : levels?.level;
    this.parent = Int32Array.from({ length: count }, (_, i) => i);
    /** The rank of the merge that gave each region its `parent`. It never falls on the way up. */
    this.rank = new Int32Array(count).fill(2 ** 31 - 1);
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
    for (const b of inOrder(rank)) {
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
   * @returns {number} the rank of the merge that joins them; 0 if no merge does
   */
  between(a, b) {
    const { parent, rank } = this;
    let last = 0;
    while (a !== b) {
      if (rank[a] > rank[b]) [a, b] = [b, a];
      if (parent[a] === a) return 0;
      last = rank[a];
      a = parent[a];
    }
    return last;
  }
}

/**
 * @param {Int32Array} rank
 * @returns {Int32Array} indices of `rank`, by ascending rank
 */
function inOrder(rank) {
  const starts = new Int32Array(rank.length + 34);
  for (const value of rank) starts[value + 1]++;
  for (let i = 1; i < starts.length; i++) starts[i] += starts[i - 1];
  const places = new Int32Array(rank.length);
  rank.forEach((value, i) => (places[starts[value]++] = i));
  return places;
}
