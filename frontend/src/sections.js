// Parses the payloads of a container's sections (docs/label-map.md). Parsers throw `MALFORMED`.

import { check, SuperpixelMapError } from './errors.js';

/**
 * All merges. Entry b - 1 belongs to label b.
 *
 * @typedef {object} Tree
 * @property {Int32Array} into count - 1: smallest label of the component that absorbs b's component; below b
 * @property {Int32Array} order count - 1: rank of that merge, 0..count-2
 */

/**
 * Stored coarser levels. Entry b - 1 belongs to label b.
 *
 * @typedef {object} Levels
 * @property {number[]} counts regions of each level, strictly falling
 * @property {Int32Array} into as in `Tree`
 * @property {Int32Array} level count - 1: first level in which b is not the smallest label of its component
 */

/**
 * The writer's measurements of each label.
 *
 * @typedef {object} Regions
 * @property {Uint32Array} area count, in pixels
 * @property {Uint32Array} box 4 * count: x0, y0, x1, y1; x1 and y1 are exclusive
 * @property {Uint32Array} centroid 2 * count: x, y in 1/16 pixel
 * @property {Uint8Array} meanColor 3 * count: R, G, B
 * @property {Uint32Array} neighborOffsets count + 1: index of each label's first entry in `neighbors`
 * @property {Int32Array} neighbors each label's neighbours that are larger than it, ascending
 */

/**
 * @param {number} count
 * @returns {number} bytes per label
 */
export function planeCount(count) {
  return Math.ceil((32 - Math.clz32(count - 1)) / 8);
}

/**
 * Join byte planes: first the low bytes of all values, then the next bytes, ...
 *
 * @param {Uint8Array} bytes
 * @param {number} start
 * @param {number} size number of values
 * @param {number} planes bytes per value
 * @returns {Uint32Array}
 */
export function fromPlanes(bytes, start, size, planes) {
  const values = new Uint32Array(size);
  for (let plane = 0; plane < planes; plane++) {
    const at = start + plane * size;
    for (let i = 0; i < size; i++) values[i] |= bytes[at + i] << (8 * plane);
  }
  return values;
}

/** Reads variable-length integers in order. */
class Varints {
  /**
   * @param {string} name
   * @param {Uint8Array} bytes
   * @param {number} at
   */
  constructor(name, bytes, at) {
    this.name = name;
    this.bytes = bytes;
    this.at = at;
  }

  /** @returns {number} */
  next() {
    const { bytes } = this;
    const first = bytes[this.at];
    if (first < 128) {
      this.at++;
      return first;
    }
    let value = 0;
    for (let i = 0; i < 5; i++) {
      check(this.at < bytes.length, 'MALFORMED', `${this.name}: ends inside its integers`);
      const byte = bytes[this.at++];
      value += (byte & 127) * 2 ** (7 * i);
      if (byte >= 128) continue;
      if (value < 2 ** 32) return value;
      break;
    }
    throw new SuperpixelMapError('MALFORMED', `${this.name}: integer too large`);
  }

  /** Check that no bytes are left. */
  end() {
    const left = this.bytes.length - this.at;
    check(left === 0, 'MALFORMED', `${this.name}: ${left} bytes left over`);
  }
}

/**
 * @param {Uint8Array} bytes
 * @param {number} width
 * @param {number} height
 * @param {number} count
 * @returns {Int32Array}
 */
export function parseLabels(bytes, width, height, count) {
  const tokens = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  check(tokens <= bytes.length - 4, 'MALFORMED', 'LABL: tokens are missing');
  const tokensEnd = 4 + tokens;
  const varints = new Varints('LABL', bytes, tokensEnd);
  const labels = new Int32Array(width * height);
  // The cuts of the row above: each x > 0 whose label differs from that of x - 1.
  const cuts = new Int32Array(width);
  let cutCount = 0;
  let token = 4;
  let seen = 0;

  for (let y = 0; y < height; y++) {
    const row = y * width;
    const above = row - width;
    /** @type {(what: string) => never} */
    const fail = (what) => {
      throw new SuperpixelMapError('MALFORMED', `LABL: row ${y}: ${what}`);
    };
    if (y > 0) labels.copyWithin(row, above, row);
    let end = 0;
    let nextCut = 0; // index of the first cut right of `end`
    let changed = false;
    for (;;) {
      if (token === tokensEnd) fail('tokens are missing');
      const value = bytes[token++];
      if (value === 0) break;
      changed = true;
      let start, length, label;
      if (value <= 2) {
        start = end + varints.next();
        length = varints.next() + 1;
        if (y === 0 && start !== end) fail('gap in the first row');
        if (value === 1) {
          if (seen === count) fail(`over ${count} labels`);
          label = seen++;
        } else {
          label = seen - 1 - varints.next();
          if (label < 0) fail('span of a new label');
        }
      } else {
        let k, fromRight;
        if (value >= 16) {
          const code = value - 16;
          fromRight = code & 1;
          length = ((code >> 1) & 7) + 1;
          k = code >> 4;
        } else {
          if (value > 4) fail(`unknown token ${value}`);
          fromRight = value === 4;
          k = varints.next();
          length = varints.next() + 1;
        }
        while (nextCut < cutCount && cuts[nextCut] <= end) nextCut++;
        if (nextCut + k >= cutCount) fail('no such cut');
        const cut = cuts[nextCut + k];
        if (fromRight) {
          start = cut - length;
          if (start < end) fail('spans overlap');
          label = labels[above + cut];
        } else {
          start = cut;
          label = labels[above + cut - 1];
        }
      }
      if (start + length > width) fail('span ends outside');
      end = start + length;
      for (let i = row + start, stop = row + end; i < stop; i++) labels[i] = label;
    }
    if (y === 0 && end !== width) fail('is not covered');
    if (!changed) continue;
    cutCount = 0;
    let previous = labels[row];
    for (let x = 1; x < width; x++) {
      const label = labels[row + x];
      if (label !== previous) {
        cuts[cutCount++] = x;
        previous = label;
      }
    }
  }
  check(token === tokensEnd, 'MALFORMED', 'LABL: tokens left over');
  varints.end();
  check(seen === count, 'MALFORMED', `LABL: holds ${seen} labels, must be ${count}`);
  return labels;
}

/**
 * @param {string} name
 * @param {Uint8Array} bytes
 * @param {number} start
 * @param {number} count
 * @returns {Int32Array}
 */
function parseInto(name, bytes, start, count) {
  const into = fromPlanes(bytes, start, count - 1, planeCount(count));
  for (let i = 0; i < into.length; i++) {
    check(into[i] <= i, 'MALFORMED', `${name}: into: must be below label ${i + 1}, got ${into[i]}`);
  }
  return new Int32Array(into.buffer);
}

/**
 * @param {Uint8Array} bytes
 * @param {number} count
 * @returns {Tree}
 */
export function parseTree(bytes, count) {
  const into = parseInto('TREE', bytes, 0, count);
  const order = fromPlanes(bytes, bytes.length / 2, count - 1, planeCount(count));
  const seen = new Uint8Array(count);
  for (const rank of order) {
    const fresh = rank < count - 1 && seen[rank] === 0;
    check(fresh, 'MALFORMED', `TREE: order must hold each of 0..${count - 2} once`);
    seen[rank] = 1;
  }
  return { into, order: new Int32Array(order.buffer) };
}

/**
 * @param {Uint8Array} bytes
 * @param {number} count
 * @returns {Levels}
 */
export function parseLevels(bytes, count) {
  const number = bytes[0];
  check(number >= 1 && number <= 32, 'MALFORMED', `LVLS: must hold 1 to 32 levels, got ${number}`);
  const fields = 1 + 4 * number;
  const expected = fields + (planeCount(count) + 1) * (count - 1);
  check(bytes.length === expected, 'MALFORMED', `LVLS: must be ${expected} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const counts = Array.from({ length: number }, (_, i) => view.getUint32(1 + 4 * i, true));
  const falling = counts.every((value, i) => value >= 1 && value < (i ? counts[i - 1] : count));
  check(falling, 'MALFORMED', `LVLS: counts must fall from below ${count}`);
  const into = parseInto('LVLS', bytes, fields, count);
  const level = Int32Array.from(bytes.subarray(expected - (count - 1)));
  /** @type {(valid: boolean) => void} */
  const must = (valid) => check(valid, 'MALFORMED', `LVLS: the levels must have ${counts} regions`);
  const merged = new Uint32Array(number + 1);
  for (const value of level) {
    must(value <= number);
    merged[value]++;
  }
  let left = count;
  counts.forEach((value, i) => {
    left -= merged[i];
    must(left === value);
  });
  return { counts, into, level };
}

/**
 * @param {Uint8Array} bytes
 * @param {number} count
 * @returns {Float32Array}
 */
export function parseHeights(bytes, count) {
  const varints = new Varints('hght', bytes, 0);
  const bits = new Uint32Array(count - 1);
  let value = 0;
  for (let i = 0; i < bits.length; i++) {
    const zigzag = varints.next();
    value += zigzag % 2 ? -(zigzag + 1) / 2 : zigzag / 2;
    check(value >= 0 && value <= 0xffff, 'MALFORMED', 'hght: values must be 0..65535');
    bits[i] = value << 16;
  }
  varints.end();
  return new Float32Array(bits.buffer);
}

/**
 * @param {Uint8Array} bytes
 * @param {number} count
 * @returns {Regions}
 */
export function parseRegions(bytes, count) {
  /** @type {(first: number, fields: number, size: number) => Uint32Array} */
  const interleaved = (first, fields, size) => {
    const values = new Uint32Array(count * fields);
    for (let field = 0; field < fields; field++) {
      const column = fromPlanes(bytes, first + field * size * count, count, size);
      for (let i = 0; i < count; i++) values[i * fields + field] = column[i];
    }
    return values;
  };
  const fixed = 31 * count;
  const pairs = new DataView(bytes.buffer, bytes.byteOffset).getUint32(fixed, true);
  const varints = new Varints('regn', bytes, fixed + 4);
  /** @type {(valid: boolean) => void} */
  const must = (valid) => check(valid, 'MALFORMED', `regn: must hold ${pairs} ascending pairs`);
  // Each pair takes at least a byte, so this bounds the array below by the bytes read.
  must(count + pairs <= bytes.length - varints.at);
  const neighborOffsets = new Uint32Array(count + 1);
  const neighbors = new Int32Array(pairs);
  let at = 0;
  for (let a = 0; a < count; a++) {
    const larger = varints.next();
    must(larger <= pairs - at);
    let previous = a;
    for (let i = 0; i < larger; i++) {
      const b = a + varints.next();
      must(b > previous && b < count);
      neighbors[at++] = b;
      previous = b;
    }
    neighborOffsets[a + 1] = at;
  }
  must(at === pairs);
  varints.end();
  return {
    area: interleaved(0, 1, 4),
    box: interleaved(4 * count, 4, 4),
    centroid: interleaved(20 * count, 2, 4),
    meanColor: Uint8Array.from(interleaved(28 * count, 3, 1)),
    neighborOffsets,
    neighbors,
  };
}
