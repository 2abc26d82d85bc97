// From scores to the leaves that change: the best set of whole nodes, without leaves that are not connected to a source.

import { SCALE } from './scorer.js';

/** @typedef {import('./scene.js').Scene} Scene */
/** @typedef {import('./features.js').Reached} Reached */

/** States of a node. */
const [LEAVE, TAKE, SPLIT] = [0, 1, 2];

/**
 * The sources, and the leaves that change with them. A node is taken whole, left whole, or split into its children. A whole
 * node costs as much as a mean leaf of score 1 gains: few whole nodes win over many scraps. Nodes without a leaf that may
 * change are free.
 *
 * @param {Scene} scene
 * @param {Reached} reached
 * @param {Float64Array} scores of each leaf, whole numbers
 * @param {number} shift added to each score
 * @returns {number[]}
 */
export function choose(scene, { sources, cost }, scores, shift) {
  const { leaves, nodes, samples, children, areas } = scene;
  const price = SCALE * Math.floor(samples / leaves);
  const gain = new Float64Array(nodes); // if the node is taken whole
  const best = new Float64Array(nodes); // the most that it can give
  const fees = new Float64Array(nodes);
  const state = new Uint8Array(nodes);
  for (let v = 0; v < nodes; v++) {
    if (v < leaves) {
      if (cost[v] === Infinity) continue;
      gain[v] = (scores[v] + shift) * areas[v];
      fees[v] = price;
    } else {
      const [a, b] = [children[2 * (v - leaves)], children[2 * (v - leaves) + 1]];
      gain[v] = gain[a] + gain[b];
      fees[v] = fees[a] || fees[b];
      best[v] = best[a] + best[b];
    }
    const whole = Math.max(gain[v], 0) - fees[v];
    if (v >= leaves && whole < best[v]) {
      state[v] = SPLIT;
    } else {
      best[v] = whole;
      state[v] = gain[v] > 0 ? TAKE : LEAVE;
    }
  }
  for (let v = nodes - 1; v >= leaves; v--) {
    if (state[v] === SPLIT) continue;
    state[children[2 * (v - leaves)]] = state[children[2 * (v - leaves) + 1]] = state[v];
  }
  return connected(scene, sources, (leaf) => state[leaf] === TAKE && cost[leaf] < Infinity);
}

/**
 * The same without a scorer: the leaves of an ancestor of the first source. `grow` of 0 or less takes the source alone, 5 the
 * whole view; between them, the area grows geometrically.
 *
 * @param {Scene} scene
 * @param {Reached} reached
 * @param {number} grow
 */
export function chooseNode(scene, { sources, cost }, grow) {
  const { parents, logArea, first, size } = scene;
  let node = sources[0];
  const most = logArea[node] * (1 - Math.min(Math.max(grow, 0), 5) / 5);
  while (parents[node] !== node && logArea[parents[node]] <= most) node = parents[node];
  /** @type {(leaf: number) => boolean} */
  const inside = (leaf) => first[leaf] >= first[node] && first[leaf] < first[node] + size[node];
  return connected(scene, sources, (leaf) => inside(leaf) && cost[leaf] < Infinity);
}

/**
 * @param {Scene} scene
 * @param {number[]} sources
 * @param {(leaf: number) => boolean} taken
 * @returns {number[]} the sources, and the taken leaves that are connected to one
 */
function connected({ leaves, offsets, neighbours }, sources, taken) {
  const seen = new Uint8Array(leaves);
  const found = sources.slice();
  for (const leaf of sources) seen[leaf] = 1;
  for (let i = 0; i < found.length; i++) {
    for (let t = offsets[found[i]]; t < offsets[found[i] + 1]; t++) {
      const leaf = neighbours[t];
      if (seen[leaf]) continue;
      seen[leaf] = 1;
      if (taken(leaf)) found.push(leaf);
    }
  }
  return found;
}
