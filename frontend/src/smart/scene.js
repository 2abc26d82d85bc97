import { check } from '../errors.js';
import { CURVE, ln, squares } from './arithmetic.js';
import { outsideOf, sample } from './samples.js';
import { shortest } from './shortest.js';

/** @typedef {import('../map.js').Level} Level */
/** @typedef {import('../boxes.js').Box} Box */
/** @typedef {import('./samples.js').Picture} Picture */
/** @typedef {import('./samples.js').Sampled} Sampled */

/**
 * What is measured once: the regions in view, their colours, their borders and their tree. The regions of the level with a
 * pixel in view are leaves 0..leaves-1; merges are nodes leaves..2 * leaves-2. Arrays have an entry per node unless
 * stated otherwise.
 */
export class Scene {
  /**
   * @param {Level} level
   * @param {Picture} [colors]
   * @param {Box} [box]
   * @param {number} [outside] from `outsideOf`
   */
  constructor(level, colors, box, outside = outsideOf(level.map)) {
    const sampled = sample(level, outside, colors, box);
    const { labels } = sampled;
    /** The leaf of each region of the level; -1: out of view. */
    this.leafOf = new Int32Array(level.count).fill(-1);
    for (const label of labels) if (label >= 0) this.leafOf[label] = 0;
    /** Number of pixels inside the mask that were looked at. */
    this.samples = sampled.inside;
    let leaves = 0;
    for (let i = 0; i < level.count; i++) if (this.leafOf[i] === 0) this.leafOf[i] = leaves++;
    this.leaves = leaves;
    /** The region of each leaf. */
    this.regions = new Int32Array(leaves);
    this.leafOf.forEach((leaf, region) => leaf >= 0 && (this.regions[leaf] = region));
    const merges = Math.max(leaves - 1, 0);
    const nodes = (this.nodes = leaves + merges);
    this.parents = Int32Array.from({ length: nodes }, (_, i) => i);
    /** 2 per merge. */
    this.children = new Int32Array(2 * merges);
    /** The leaves of a node are `order[first .. first + size]`. */
    this.first = new Int32Array(nodes);
    this.size = new Int32Array(nodes).fill(1);
    this.order = new Int32Array(leaves);
    /** ln of the merge height; of a leaf: that of the first merge. */
    this.logHeight = new Float64Array(nodes);
    this._link(level);
    this._layOut();

    /** Samples. */
    this.areas = new Float64Array(nodes);
    /** Centroids of the leaves, in samples from the first column and row that are not wholly outside. */
    this.x = new Float64Array(leaves);
    this.y = new Float64Array(leaves);
    /** Whether a leaf touches the frame of the view, or pixels outside. */
    this.framed = new Uint8Array(leaves);
    /** 3 per node: 116 f(Y), a* and b* of the mean colour. */
    this.colors = new Float64Array(3 * nodes);
    /** ln(0.5 + standard deviation of the lightness). */
    this.texture = new Float64Array(nodes);
    /** ln of the share of all samples. */
    this.logArea = new Float64Array(nodes);
    /** Share of a node's samples that lie in leaves at the frame. */
    this.framedShare = new Float64Array(nodes);
    for (let i = 0; i < labels.length; i++) if (labels[i] >= 0) labels[i] = this.leafOf[labels[i]];
    this._measure(sampled);

    /** The neighbours of leaf i are `neighbours[offsets[i] .. offsets[i + 1]]`, ascending. */
    this.offsets = new Int32Array(leaves + 1);
    this.neighbours = new Int32Array(0);
    /** Like `neighbours`: length of the border in samples, and cost of a step over it. */
    this.lengths = new Int32Array(0);
    this.weights = new Float64Array(0);
    this._borders(sampled, Boolean(colors));

    /** ln(0.05 + cost of the way from the frame). */
    this.fromFrame = new Float64Array(leaves);
    const frame = [];
    for (let i = 0; i < leaves; i++) if (this.framed[i]) frame.push(i);
    const { cost } = shortest(this, frame, new Uint8Array(leaves).fill(1));
    for (let i = 0; i < leaves; i++) this.fromFrame[i] = ln(0.05 + Math.min(cost[i], 1e6));
    /** The smallest node above the leaf with more than 0.2 % of the samples, or the root. */
    this.large = new Int32Array(leaves);
    for (let i = 0; i < leaves; i++) this.large[i] = this._largeAbove(i);
    /** Coarse and fine class of each leaf's colour: a cube of CIELAB. */
    this.bins = [this._bins(20), this._bins(10)];
  }

  /**
   * The sum over the leaves of each node; exact for whole numbers.
   *
   * @param {ArrayLike<number>} ofLeaves
   * @param {Float64Array} [out]
   */
  sums(ofLeaves, out = new Float64Array(this.nodes)) {
    const { leaves, children } = this;
    for (let i = 0; i < leaves; i++) out[i] = ofLeaves[i];
    for (let r = 0; r < leaves - 1; r++) out[leaves + r] = out[children[2 * r]] + out[children[2 * r + 1]];
    return out;
  }

  /**
   * @param {Uint8Array} marked 1 for some leaves
   * @returns {Float64Array} how many samples of each node are in them
   */
  areasOf(marked) {
    return this.sums(this.areas.subarray(0, this.leaves).map((area, i) => area * marked[i]));
  }

  /**
   * Merges between leaves. A merge with one side out of view is none.
   *
   * @param {Level} level
   */
  _link({ map, count, lut, limit }) {
    const { tree, heights } = map;
    check(tree && heights, 'INVALID_ARGUMENT', 'map: must contain its hierarchy (include_hierarchy)');
    const { leaves, children, parents, logHeight } = this;
    const at = new Int32Array(map.count);
    tree.order.forEach((rank, b) => (at[rank] = b));
    const smaller = Int32Array.from({ length: count }, (_, i) => i); // union-find
    const nodeOf = this.leafOf.slice();
    let next = leaves;
    for (let rank = limit; rank < map.count - 1; rank++) {
      const region = lut[at[rank] + 1];
      let target = lut[tree.into[at[rank]]];
      while (smaller[target] !== target) {
        smaller[target] = smaller[smaller[target]];
        target = smaller[target];
      }
      smaller[region] = target;
      const [a, b] = [nodeOf[target], nodeOf[region]];
      if (a < 0 || b < 0) {
        nodeOf[target] = Math.max(a, b);
        continue;
      }
      children[2 * (next - leaves)] = a;
      children[2 * (next - leaves) + 1] = b;
      parents[a] = parents[b] = nodeOf[target] = next;
      logHeight[next++] = heights[rank];
    }
    const least = leaves > 1 ? logHeight[leaves] + 1e-6 : 1;
    for (let v = 0; v < logHeight.length; v++) logHeight[v] = ln(Math.max(logHeight[v], least));
  }

  _layOut() {
    const { leaves, nodes, children, first, size, order } = this;
    for (let r = 0; r < leaves - 1; r++) size[leaves + r] = size[children[2 * r]] + size[children[2 * r + 1]];
    for (let v = nodes - 1; v >= leaves; v--) {
      const [a, b] = [children[2 * (v - leaves)], children[2 * (v - leaves) + 1]];
      first[a] = first[v];
      first[b] = first[v] + size[a];
    }
    for (let i = 0; i < leaves; i++) order[first[i]] = i;
  }

  /** @param {Sampled} sampled with the leaf of each sample */
  _measure({ labels, columns, curve, left, above, firstColumn, firstRow }) {
    const { leaves, nodes, samples, areas, x, y, framed, colors, texture } = this;
    /** Sums of f(X), f(Y), f(Z) and f(Y) squared. */
    const facts = [0, 1, 2, 3].map(() => new Float64Array(nodes));
    const rows = labels.length / columns;
    for (let row = 0, i = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++, i++) {
        const leaf = labels[i];
        if (leaf < 0) continue;
        areas[leaf]++;
        x[leaf] += column - firstColumn;
        y[leaf] += row - firstRow;
        facts[0][leaf] += curve[3 * i];
        facts[1][leaf] += curve[3 * i + 1];
        facts[2][leaf] += curve[3 * i + 2];
        facts[3][leaf] += curve[3 * i + 1] * curve[3 * i + 1];
        if (!left[i] || !left[i + 1] || !above[i] || !above[i + columns]) framed[leaf] = 1;
      }
    }
    for (let i = 0; i < leaves; i++) {
      x[i] /= areas[i];
      y[i] /= areas[i];
    }
    this.sums(areas, areas);
    for (const fact of facts) this.sums(fact, fact);
    const inFrame = this.areasOf(framed);
    for (let v = 0; v < nodes; v++) {
      const area = areas[v];
      const [fx, fy, fz] = [facts[0][v] / area, facts[1][v] / area, facts[2][v] / area];
      colors[3 * v] = (116 * fy) / CURVE;
      colors[3 * v + 1] = (500 * (fx - fy)) / CURVE;
      colors[3 * v + 2] = (200 * (fy - fz)) / CURVE;
      const variance = Math.max(facts[3][v] / area - fy * fy, 0);
      texture[v] = ln(0.5 + (116 * Math.sqrt(variance)) / CURVE);
      this.logArea[v] = ln(area / samples);
      this.framedShare[v] = inFrame[v] / area;
    }
  }

  /**
   * The step over a border is the difference of the mean colours, and half the mean difference between the samples one beyond
   * each side of it.
   *
   * @param {Sampled} sampled with the leaf of each sample
   * @param {boolean} colored whether the samples have colours of their own
   */
  _borders({ labels, columns, curve, left, above }, colored) {
    const { leaves, offsets, colors } = this;
    const newest = new Int32Array(leaves).fill(-1); // of the borders of each leaf with larger ones, a linked list
    /** @type {number[][]} */
    const [low, high, older, length, contrast] = [[], [], [], [], []];
    /** @type {(here: number, there: number, before: number, after: number) => void} */
    const add = (here, there, before, after) => {
      const [a, b] = here < there ? [here, there] : [there, here];
      let edge = newest[a];
      while (edge >= 0 && high[edge] !== b) edge = older[edge];
      if (edge < 0) {
        edge = low.length;
        low.push(a);
        high.push(b);
        older.push(newest[a]);
        length.push(0);
        contrast.push(0);
        newest[a] = edge;
        offsets[a + 1]++;
        offsets[b + 1]++;
      }
      length[edge]++;
      if (!colored) return;
      const [i, k] = [3 * before, 3 * after];
      const fx = curve[i] - curve[k];
      const fy = curve[i + 1] - curve[k + 1];
      const fz = curve[i + 2] - curve[k + 2];
      const [light, red, blue] = [116 * fy, 500 * (fx - fy), 200 * (fy - fz)];
      contrast[edge] += Math.floor(Math.sqrt(light * light + red * red + blue * blue) / 256 + 0.5);
    };
    for (let i = 0; i < labels.length; i++) {
      const leaf = labels[i];
      const next = i + 1;
      const lower = i + columns;
      if (left[next] && labels[next] !== leaf) {
        add(leaf, labels[next], left[i] ? i - 1 : i, left[next + 1] ? next + 1 : next);
      }
      if (above[lower] && labels[lower] !== leaf) {
        add(
          leaf,
          labels[lower],
          above[i] ? i - columns : i,
          above[lower + columns] ? lower + columns : lower,
        );
      }
    }
    for (let i = 0; i < leaves; i++) offsets[i + 1] += offsets[i];
    const edges = Int32Array.from({ length: low.length }, (_, i) => i);
    edges.sort((i, k) => low[i] - low[k] || high[i] - high[k]);
    const total = 2 * edges.length;
    const at = offsets.slice();
    this.neighbours = new Int32Array(total);
    this.lengths = new Int32Array(total);
    this.weights = new Float64Array(total);
    // Smaller neighbours come first: edges are sorted by their lower, then by their higher end.
    for (const second of [true, false]) {
      for (const edge of edges) {
        const [a, b] = second ? [high[edge], low[edge]] : [low[edge], high[edge]];
        const step = Math.sqrt(squares(colors, a, colors, b));
        const whole = colored ? step + contrast[edge] / length[edge] / 32 : step + 0.5 * step;
        this.neighbours[at[a]] = b;
        this.lengths[at[a]] = length[edge];
        this.weights[at[a]++] = (whole * whole + 10) / 100;
      }
    }
  }

  /** @param {number} leaf */
  _largeAbove(leaf) {
    const { areas, parents, samples } = this;
    let node = leaf;
    while (areas[node] <= 0.002 * samples && parents[node] !== node) node = parents[node];
    return node;
  }

  /**
   * @param {number} width of the cubes
   * @returns {Int32Array} the number of each leaf's cube, below `leaves`
   */
  _bins(width) {
    const { colors, leaves } = this;
    /** @type {Map<number, number>} */
    const numbers = new Map();
    return Int32Array.from({ length: leaves }, (_, i) => {
      const [light, red, blue] = [0, 1, 2].map((k) => Math.floor((colors[3 * i + k] + 160) / width));
      const cube = (light * 64 + red) * 64 + blue;
      if (!numbers.has(cube)) numbers.set(cube, numbers.size);
      return /** @type {number} */ (numbers.get(cube));
    });
  }
}
