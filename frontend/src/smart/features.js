// What the scorer knows about each leaf at a click. docs/smart-select.md lists the features.

import { ln, squares } from './arithmetic.js';
import { shortest } from './shortest.js';

/** @typedef {import('./scene.js').Scene} Scene */

export const FEATURES = 48;

/** One object while it is selected. */
export class Work {
  /** @param {number} leaves */
  constructor(leaves) {
    /** 1 for each leaf that belongs to the object. */
    this.chosen = new Uint8Array(leaves);
    /** The leaves of earlier clicks; whether each one added. @type {Map<number, boolean>} */
    this.marks = new Map();
    this.clicks = 0;
  }
}

/**
 * What a click may change.
 *
 * @typedef {object} Reached
 * @property {number[]} sources the clicked leaves; the first is where the click or stroke began
 * @property {boolean} positive whether the click adds
 * @property {Float64Array} cost of the way from the sources; infinity if a leaf may not change
 * @property {Float64Array} most the largest step of that way
 */

/**
 * Find what a click may change: leaves of the other state, without a mark, that are connected to the sources.
 *
 * @param {Scene} scene
 * @param {Work} work
 * @param {number[]} sources
 * @param {boolean} positive
 * @returns {Reached}
 */
export function reach(scene, work, sources, positive) {
  const allowed = work.chosen.map((chosen) => (chosen === Number(positive) ? 0 : 1));
  for (const leaf of work.marks.keys()) allowed[leaf] = 0;
  for (const leaf of sources) allowed[leaf] = 1;
  return { sources, positive, ...shortest(scene, sources, allowed) };
}

/**
 * @param {Scene} scene
 * @param {Work} work
 * @param {Reached} reached
 * @returns {Float64Array} `FEATURES` of each leaf that may change; other leaves have no sensible ones
 */
export function features(scene, work, reached) {
  const { leaves, samples: n, areas, colors, texture, x, y, offsets, neighbours, lengths, weights } = scene;
  const { cost, most, positive } = reached;
  const c = reached.sources[0];
  const wanted = work.chosen.map((chosen) => (chosen === Number(positive) ? 1 : 0));
  const have = scene.areasOf(wanted);
  /** @type {number[]} */
  const against = [];
  /** @type {number[]} */
  const own = [];
  for (const [leaf, added] of work.marks) if (leaf !== c) (added === positive ? own : against).push(leaf);

  const out = new Float64Array(FEATURES * leaves);
  climb(scene, c, have, against, out);
  const total = have[have.length - 1];
  const small = ancestor(scene, c, 0.001 * n);
  const middle = ancestor(scene, c, 0.005 * n);
  const underMark = belowMarks(scene, against);
  const shares = scene.bins.map((bins) => sharesOfBins(scene, bins, wanted, total));
  const mean = meanColor(scene, wanted, 1, middle);
  const other = meanColor(scene, wanted, 0, middle);
  const fromAgainst = against.length ? shortest(scene, against, new Uint8Array(leaves).fill(1)).cost : null;
  const side = Math.sqrt(n);
  /** @type {(i: number, k: number) => number} */
  const away = (i, k) => {
    const dx = x[i] - x[k];
    const dy = y[i] - y[k];
    return dx * dx + dy * dy;
  };
  /** @type {(i: number, o: number, marks: number[], row: number, place: number) => void} */
  const nearest = (i, o, marks, row, place) => {
    let color = Infinity;
    let distance = Infinity;
    for (const mark of marks) {
      color = Math.min(color, squares(colors, i, colors, mark));
      distance = Math.min(distance, away(i, mark));
    }
    out[o + row] = marks.length ? Math.sqrt(color) / 10 : 5;
    out[o + place] = marks.length ? ln(0.01 + Math.sqrt(distance / n)) : 0.5;
  };
  let border = n;
  for (let i = 0; i < leaves; i++) if (cost[i] === Infinity) border = Math.min(border, away(i, c));
  const logTotal = ln(0.001 + total / n);
  const logBorder = ln(0.01 + Math.sqrt(border / n));

  for (let i = 0, o = 0; i < leaves; i++, o += FEATURES) {
    if (cost[i] === Infinity) continue;
    const large = scene.large[i];
    out[o + 12] = ln(0.05 + cost[i]);
    out[o + 13] = ln(0.05 + most[i]);
    out[o + 14] = Math.sqrt(squares(colors, i, colors, c)) / 10;
    out[o + 15] = Math.sqrt(squares(colors, i, colors, small)) / 10;
    out[o + 16] = Math.sqrt(squares(colors, i, colors, middle)) / 10;
    out[o + 17] = ln(0.01 + Math.sqrt(away(i, c) / n));
    out[o + 18] = underMark ? underMark[i] : 2;
    nearest(i, o, against, 19, 20);
    nearest(i, o, own, 21, 42);
    let whole = 0;
    let shared = 0;
    let least = 4;
    for (let t = offsets[i]; t < offsets[i + 1]; t++) {
      whole += lengths[t];
      if (!wanted[neighbours[t]]) continue;
      shared += lengths[t];
      least = Math.min(least, weights[t]);
    }
    out[o + 22] = whole ? shared / whole : 0;
    out[o + 23] = have[large] / areas[large];
    out[o + 24] = positive ? 1 : 0;
    out[o + 25] = Math.min(work.clicks + 1, 6) / 3;
    out[o + 26] = logTotal;
    out[o + 27] = scene.framed[i];
    out[o + 28] = logBorder;
    out[o + 29] = work.clicks ? 0 : 1;
    out[o + 30] = Math.abs(texture[i] - texture[middle]);
    out[o + 31] = texture[i];
    out[o + 32] = shares[0][scene.bins[0][i]];
    out[o + 33] = shares[1][scene.bins[1][i]];
    out[o + 34] = Math.sqrt(squares(colors, large, colors, middle)) / 10;
    out[o + 35] = Math.sqrt(squares(colors, i, mean, 0)) / 10;
    out[o + 36] = ln(0.05 + least);
    out[o + 37] = (y[i] - y[c]) / side;
    out[o + 38] = Math.abs(x[i] - x[c]) / side;
    out[o + 39] = y[i] / side;
    out[o + 40] = scene.fromFrame[i];
    out[o + 41] = fromAgainst ? ln(0.05 + Math.min(fromAgainst[i], 1e6)) : 3;
    out[o + 43] = Math.sqrt(squares(colors, i, other, 0)) / 10;
  }
  return out;
}

/**
 * Features 0 to 11 and 44 to 47: facts about the merge at which each leaf joins the clicked one.
 *
 * @param {Scene} scene
 * @param {number} c the clicked leaf
 * @param {Float64Array} have wanted samples of each node
 * @param {number[]} against
 * @param {Float64Array} out
 */
function climb(scene, c, have, against, out) {
  const { leaves, nodes, parents, children, first, size, order, samples, areas, colors, texture } = scene;
  const { logArea, logHeight, framedShare } = scene;
  const top = logHeight[nodes - 1];
  const marked = new Uint8Array(leaves);
  for (const leaf of against) marked[leaf] = 1;
  const marks = scene.sums(marked);
  out[c * FEATURES] = logArea[c];
  out[c * FEATURES + 1] = logHeight[c] - top;
  let largest = 0;
  let strongest = 0;
  for (let v = c; parents[v] !== v; v = parents[v]) {
    const p = parents[v];
    const [a, b] = [children[2 * (p - leaves)], children[2 * (p - leaves) + 1]];
    const s = a === v ? b : a;
    const jump = logHeight[p] - logHeight[v];
    if (areas[v] > 0.0005 * samples) largest = Math.max(largest, jump);
    const contrast = Math.sqrt(squares(colors, v, colors, s));
    strongest = Math.max(strongest, contrast);
    for (let t = first[s]; t < first[s] + size[s]; t++) {
      const o = order[t] * FEATURES;
      out[o] = logArea[p];
      out[o + 1] = logHeight[p] - top;
      out[o + 2] = largest;
      out[o + 3] = jump;
      out[o + 4] = contrast / 10;
      out[o + 5] = strongest / 10;
      out[o + 6] = logArea[s];
      out[o + 7] = logArea[v];
      out[o + 8] = have[p] / areas[p];
      out[o + 9] = marks[s] ? 1 : 0;
      out[o + 10] = marks[v] ? 1 : 0;
      out[o + 11] = logHeight[v] - top;
      out[o + 44] = logHeight[s] - top;
      out[o + 45] = framedShare[s];
      out[o + 46] = framedShare[p];
      out[o + 47] = Math.abs(texture[v] - texture[s]);
    }
  }
}

/**
 * @param {Scene} scene
 * @param {number} node
 * @param {number} least samples
 * @returns {number} the smallest node from here up with at least `least` samples, or the root
 */
function ancestor({ areas, parents }, node, least) {
  while (areas[node] < least && parents[node] !== node) node = parents[node];
  return node;
}

/**
 * @param {Scene} scene
 * @param {number[]} marks
 * @returns {Float64Array | null} ln of the area share of the smallest node above each leaf with one of the marks
 */
function belowMarks({ leaves, nodes, parents, logArea }, marks) {
  if (!marks.length) return null;
  const holds = new Uint8Array(nodes);
  for (let node of marks) {
    while (!holds[node]) {
      holds[node] = 1;
      node = parents[node];
    }
  }
  const found = new Float64Array(nodes);
  for (let v = nodes - 1; v >= 0; v--) found[v] = holds[v] ? logArea[v] : found[parents[v]];
  return found.subarray(0, leaves);
}

/**
 * The wanted share of the leaves of the same class of colour, drawn towards that of all leaves.
 *
 * @param {Scene} scene
 * @param {Int32Array} bins the class of each leaf
 * @param {Uint8Array} wanted
 * @param {number} total wanted samples
 * @returns {Float64Array} by class
 */
function sharesOfBins({ leaves, areas, samples }, bins, wanted, total) {
  const whole = new Float64Array(bins.length);
  const part = new Float64Array(bins.length);
  for (let i = 0; i < leaves; i++) {
    whole[bins[i]] += areas[i];
    if (wanted[i]) part[bins[i]] += areas[i];
  }
  const prior = 0.002 * samples;
  const ratio = total / samples;
  return part.map((area, bin) => (area + prior * ratio) / (whole[bin] + prior));
}

/**
 * The mean colour of some leaves, from colours that are rounded so that the order of adding is free.
 *
 * @param {Scene} scene
 * @param {Uint8Array} wanted
 * @param {number} which of the states in `wanted`
 * @param {number} node whose colour it is if there are none
 * @returns {Float64Array}
 */
function meanColor({ leaves, areas, colors }, wanted, which, node) {
  const sums = new Float64Array(3);
  let area = 0;
  for (let i = 0; i < leaves; i++) {
    if (wanted[i] !== which) continue;
    area += areas[i];
    for (let k = 0; k < 3; k++) sums[k] += Math.floor(colors[3 * i + k] * 64 + 0.5) * areas[i];
  }
  return area ? sums.map((sum) => sum / area / 64) : colors.slice(3 * node, 3 * node + 3);
}
