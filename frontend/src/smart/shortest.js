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
  // A binary heap of (cost, leaf). Each direction of a border is pushed once at most.
  const costs = new Float64Array(neighbours.length + sources.length);
  const items = new Int32Array(costs.length);
  let size = 0;
  /** @type {(key: number, leaf: number) => void} */
  const push = (key, leaf) => {
    let i = size++;
    while (i) {
      const up = (i - 1) >> 1;
      if (costs[up] < key || (costs[up] === key && items[up] < leaf)) break;
      costs[i] = costs[up];
      items[i] = items[up];
      i = up;
    }
    costs[i] = key;
    items[i] = leaf;
  };
  for (const leaf of sources) {
    cost[leaf] = most[leaf] = 0;
    push(0, leaf);
  }
  while (size) {
    const [soFar, leaf] = [costs[0], items[0]];
    const [key, last] = [costs[--size], items[size]];
    let i = 0;
    for (;;) {
      let down = 2 * i + 1;
      if (down >= size) break;
      const right = down + 1;
      if (
        right < size &&
        (costs[right] < costs[down] || (costs[right] === costs[down] && items[right] < items[down]))
      ) {
        down = right;
      }
      if (costs[down] > key || (costs[down] === key && items[down] > last)) break;
      costs[i] = costs[down];
      items[i] = items[down];
      i = down;
    }
    costs[i] = key;
    items[i] = last;
    if (soFar > cost[leaf]) continue;
    for (let t = offsets[leaf]; t < offsets[leaf + 1]; t++) {
      const next = neighbours[t];
      const total = soFar + weights[t];
      if (total < cost[next] && allowed[next]) {
        cost[next] = total;
        most[next] = Math.max(most[leaf], weights[t]);
        push(total, next);
      }
    }
  }
  return { cost, most };
}
