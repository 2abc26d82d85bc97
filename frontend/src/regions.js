// Calculations on regions: grouping, adjacency, colour.

/**
 * Group values by key. The values of key k are `items[offsets[k] .. offsets[k + 1]]`: ascending, without duplicates.
 *
 * @param {ArrayLike<number>} keys 0..count-1
 * @param {number} count
 * @param {ArrayLike<number>} [values] one per key; if missing, the index of each key
 * @returns {{ offsets: Int32Array, items: Int32Array }}
 */
export function groups(keys, count, values) {
  const starts = new Int32Array(count + 1);
  for (let i = 0; i < keys.length; i++) starts[keys[i] + 1]++;
  for (let key = 0; key < count; key++) starts[key + 1] += starts[key];
  const items = new Int32Array(keys.length);
  const at = starts.slice();
  for (let i = 0; i < keys.length; i++) items[at[keys[i]]++] = values ? values[i] : i;
  if (!values) return { offsets: starts, items };
  const offsets = new Int32Array(count + 1);
  let kept = 0;
  for (let key = 0; key < count; key++) {
    const group = items.subarray(starts[key], starts[key + 1]).sort();
    let previous = -1;
    for (const value of group) {
      if (value !== previous) items[kept++] = value;
      previous = value;
    }
    offsets[key + 1] = kept;
  }
  return { offsets, items: items.subarray(0, kept) };
}

/**
 * @param {import('./map.js').LabelMap} map
 * @returns {Int32Array} pairs of finest regions that share a pixel edge, each at least once
 */
export function pairsOf(map) {
  const { labels, width, height } = map;
  const larger = new Int32Array(map.count).fill(-1); // last pair of each label: most repeat at once
  /** @type {number[]} */
  const pairs = [];
  /** @type {(a: number, b: number) => void} */
  const add = (a, b) => {
    const [low, high] = a < b ? [a, b] : [b, a];
    if (larger[low] === high || high === map.count) return; // the outside is no region
    larger[low] = high;
    pairs.push(low, high);
  };
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      const label = labels[i];
      if (x + 1 < width && labels[i + 1] !== label) add(label, labels[i + 1]);
      if (y + 1 < height && labels[i + width] !== label) add(label, labels[i + width]);
    }
  }
  return Int32Array.from(pairs);
}

/** @param {number} byte sRGB (IEC 61966-2-1), 0 to 255, may be fractional; the result is 0 to 1 */
function linear(byte) {
  const value = byte / 255;
  return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
}

/** @param {number} t argument of the function f in the CIELAB formulas (CIE 15) */
function lightness(t) {
  return t > 216 / 24389 ? Math.cbrt(t) : (t * 24389) / 27 / 116 + 16 / 116;
}

/**
 * @param {Float64Array} sums R, G, B sums of each region
 * @param {Uint32Array} areas in pixels
 * @returns {Float64Array} L*, a*, b* of each region's mean colour, for white point D65
 */
export function toLab(sums, areas) {
  const lab = new Float64Array(sums.length);
  for (let i = 0; i < areas.length; i++) {
    const [r, g, b] = [0, 1, 2].map((channel) => linear(sums[3 * i + channel] / areas[i]));
    const x = lightness((0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505);
    const y = lightness(0.2126 * r + 0.7152 * g + 0.0722 * b);
    const z = lightness((0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089);
    lab.set([116 * y - 16, 500 * (x - y), 200 * (y - z)], 3 * i);
  }
  return lab;
}

/**
 * The CIE 1976 colour difference of two regions.
 *
 * @param {Float64Array} lab L*, a*, b* of each region
 * @param {number} a
 * @param {number} b
 */
export function labDistance(lab, a, b) {
  return Math.hypot(
    lab[3 * a] - lab[3 * b],
    lab[3 * a + 1] - lab[3 * b + 1],
    lab[3 * a + 2] - lab[3 * b + 2],
  );
}

/**
 * @param {import('./map.js').Level} level
 * @param {import('./runs.js').Runs} runs pixels
 * @returns {Map<number, number>} for each region of the level that contains some of the pixels, how many
 */
export function regionsUnder(level, runs) {
  const { lut, map } = level;
  const { labels } = map;
  const counts = new Uint32Array(level.count);
  const found = [];
  for (let i = 0; i < runs.length; i += 2) {
    for (let at = runs[i], end = at + runs[i + 1]; at < end; at++) {
      const region = lut[labels[at]];
      if (counts[region]++ === 0) found.push(region);
    }
  }
  return new Map(found.map((region) => [region, counts[region]]));
}

/**
 * The value that all entries with the same key share.
 *
 * @param {Int32Array} keys
 * @param {Uint16Array} values one per key
 * @param {number} count keys are 0..count-1
 * @param {number} mixed
 * @returns {Uint16Array} count: the shared value, or `mixed` if values differ
 */
export function common(keys, values, count, mixed) {
  const found = new Uint16Array(count);
  const seen = new Uint8Array(count);
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i];
    if (!seen[key]) found[key] = values[i];
    else if (found[key] !== values[i]) found[key] = mixed;
    seen[key] = 1;
  }
  return found;
}
