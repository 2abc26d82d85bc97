import { Heap } from '../heap.js';

/**
 * The cheapest way from the sources to each allowed leaf: its cost, and its largest step; else infinity. Of equally cheap
 * leaves, the one with the smaller number is visited first (Dijkstra 1959).
 *
 * @param {{ leaves: number, offsets: Int32Array, neighbours: Int32Array, weights: Float64Array }} graph
 * @param {number[]} sources
 * @param {Uint8Array} allowed
 * @returns {{ cost: Float64Array, most: Float64Array }}
 */
export function shortest({ leaves, offsets, neighbours, weights }, sources, allowed) {
  const cost = new Float64Array(leaves).fill(Infinity);
  const most = new Float64Array(leaves).fill(Infinity);
  const heap = new Heap();
  for (const leaf of sources) {
    cost[leaf] = most[leaf] = 0;
    heap.push(0, leaf);
  }
  while (heap.size) {
    const leaf = heap.pop();
    const soFar = heap.key;
    if (soFar > cost[leaf]) continue;
    for (let t = offsets[leaf]; t < offsets[leaf + 1]; t++) {
      const next = neighbours[t];
      const total = soFar + weights[t];
      if (total < cost[next] && allowed[next]) {
        cost[next] = total;
        most[next] = Math.max(most[leaf], weights[t]);
        heap.push(total, next);
      }
    }
  }
  return { cost, most };
}
