import { Boundaries, outline } from './boundaries.js';
import { groups, labDistance, pairsOf, toLab } from './regions.js';
import { check, checkInteger } from './errors.js';
import { Joins } from './joins.js';

/** A label map: which region each pixel lies in, and the merges from those regions down to one. */
export class LabelMap {
  /** @param {import('./container.js').MapData} data */
  constructor(data) {
    /** @readonly */
    this.width = data.width;
    /** @readonly */
    this.height = data.height;
    /** Regions of the finest level. @readonly */
    this.count = data.count;
    /** The region of each pixel, row by row: 0..count-1, numbered by first appearance. @readonly */
    this.labels = data.labels;
    /** The writer's word that every region is 4-connected. @readonly */
    this.connected = data.connected;
    /** @readonly */
    this.algorithmVersion = data.algorithmVersion;
    /** All merges, or null. @readonly */
    this.tree = data.tree;
    /** Chosen coarser levels, or null. @readonly */
    this.levels = data.levels;
    /** Heights of the merges in their order, or null. @readonly */
    this.heights = data.heights;
    /** The writer's measurements of the finest regions, or null. @readonly */
    this.regions = data.regions;
    /** @type {Level | undefined} */
    this._finest = undefined;
    /** @type {string | undefined} */
    this._fingerprint = undefined;
    /** @type {Joins | undefined} */
    this._joins = undefined;
    /** @type {{ key: string, strengths: Uint16Array | Uint32Array | null } | undefined} */
    this._outlined = undefined;
    /** @type {Float64Array | null} sums of R, G, B over each finest region */
    this._colorSums = null;
  }

  /**
   * The level with `count` regions: with the whole hierarchy any count from 1 to the map's own, else the map's own and
   * those that it stores (`map.levels`).
   *
   * @param {number} count
   * @returns {Level}
   */
  cut(count) {
    if (count === this.count) return this.finest;
    const { tree, levels } = this;
    if (tree) {
      const inRange = Number.isInteger(count) && count >= 1 && count < this.count;
      check(inRange, 'NO_SUCH_LEVEL', `count: must be an integer from 1 to ${this.count}, got ${count}`);
      return this._level(count, tree.into, tree.order, this.count - count);
    }
    const stored = levels ? levels.counts : [];
    const index = stored.indexOf(count);
    const held = [this.count, ...stored].join(', ');
    check(levels && index >= 0, 'NO_SUCH_LEVEL', `count: this map holds ${held}, got ${count}`);
    return this._level(count, levels.into, levels.level, index + 1);
  }

  /**
   * @param {number} count
   * @param {Int32Array} into
   * @param {Int32Array} rank
   * @param {number} limit
   */
  _level(count, into, rank, limit) {
    const lut = new Int32Array(this.count);
    let next = 1;
    for (let b = 1; b < lut.length; b++) lut[b] = rank[b - 1] < limit ? lut[into[b - 1]] : next++;
    return new Level(this, count, lut, limit);
  }

  /** The level of all regions. @returns {Level} */
  get finest() {
    const all = () => Int32Array.from({ length: this.count }, (_, i) => i);
    this._finest ??= new Level(this, this.count, all(), 0);
    return this._finest;
  }

  /** @returns {Joins} */
  get joins() {
    this._joins ??= new Joins(this);
    return this._joins;
  }

  /**
   * The outlines of all levels in a view, once it is drawn again: then it is the level that changes, by the slider. They
   * cost a few drawings to make, which would be wasted on a view that is only passed through.
   *
   * @param {import('./boundaries.js').View} view
   * @returns {Uint16Array | Uint32Array | null}
   */
  _outline(view) {
    const key = [view.x, view.y, view.scale, view.width, view.height].join();
    if (this._outlined?.key !== key) this._outlined = { key, strengths: null };
    else this._outlined.strengths ??= outline(this, view);
    return this._outlined.strengths;
  }

  /** The same for maps with the same labels, whatever file they came in: eight hexadecimal digits. @returns {string} */
  get fingerprint() {
    if (this._fingerprint === undefined) {
      const { labels } = this;
      let sum = 0;
      for (let i = 0; i < labels.length; i++) {
        sum = (sum + Math.imul(labels[i] + 1, Math.imul(i, 0x9e3779b1) | 1)) | 0;
      }
      this._fingerprint = (sum >>> 0).toString(16).padStart(8, '0');
    }
    return this._fingerprint;
  }

  /**
   * Take the regions' colours from the image, for maps that carry none (and exactly, for those that do).
   *
   * @param {ArrayLike<number>} rgba as ImageData has it: four bytes a pixel; the fourth is not looked at
   */
  measureColors(rgba) {
    const { labels, count } = this;
    check(
      rgba.length === 4 * labels.length,
      'OTHER_MAP',
      `image: ${rgba.length} bytes, ${this.width} x ${this.height} pixels take ${4 * labels.length}`,
    );
    const sums = new Float64Array(3 * count);
    for (let i = 0; i < labels.length; i++) {
      const at = 3 * labels[i];
      sums[at] += rgba[4 * i];
      sums[at + 1] += rgba[4 * i + 1];
      sums[at + 2] += rgba[4 * i + 2];
    }
    this._colorSums = sums;
  }

  /** @returns {Float64Array} */
  get colorSums() {
    if (this._colorSums) return this._colorSums;
    check(
      this.regions,
      'NO_COLORS',
      'the map carries no colours: ask for regions, or call map.measureColors(rgba)',
    );
    const { meanColor } = this.regions;
    const { areas } = this.finest;
    this._colorSums = Float64Array.from(meanColor, (value, i) => value * areas[Math.floor(i / 3)]);
    return this._colorSums;
  }
}

/** One size of superpixels. Its regions are 0..count-1, numbered by first appearance. */
export class Level {
  /**
   * @param {LabelMap} map
   * @param {number} count
   * @param {Int32Array} lut
   * @param {number} limit
   */
  constructor(map, count, lut, limit) {
    /** @readonly */
    this.map = map;
    /** @readonly */
    this.count = count;
    /** For each finest region the region of this level that it lies in. @readonly */
    this.lut = lut;
    /** Merges of a rank below it are done. @readonly */
    this.limit = limit;
    /** @type {Record<string, any>} what has been asked for, made once */
    this._made = {};
  }

  /**
   * @template T
   * @param {string} name
   * @param {() => T} make
   * @returns {T}
   */
  _once(name, make) {
    return (this._made[name] ??= make());
  }

  /**
   * @param {number} x pixels from the left edge, whole or not
   * @param {number} y pixels from the top edge
   * @returns {number} the region there; -1 outside the map
   */
  regionAt(x, y) {
    const { width, height, labels } = this.map;
    if (!(x >= 0 && y >= 0 && x < width && y < height)) return -1;
    return this.lut[labels[Math.floor(y) * width + Math.floor(x)]];
  }

  /**
   * @param {number} region
   * @returns {Int32Array} the finest regions that it is made of, ascending
   */
  members(region) {
    this._checkRegion(region);
    const { offsets, items } = this._once('members', () => groups(this.lut, this.count));
    return items.subarray(offsets[region], offsets[region + 1]);
  }

  /**
   * @param {number} region
   * @returns {number} its area, in pixels
   */
  area(region) {
    this._checkRegion(region);
    return this.areas[region];
  }

  /** Areas of all regions, in pixels. @returns {Uint32Array} */
  get areas() {
    return this._once('areas', () => {
      const { map, lut } = this;
      const areas = new Uint32Array(this.count);
      if (map.count === this.count) for (const label of map.labels) areas[label]++;
      else map.finest.areas.forEach((area, label) => (areas[lut[label]] += area));
      return areas;
    });
  }

  /** x0, y0, x1, y1 of each region, x1 and y1 one past it. @returns {Int32Array} */
  get boxes() {
    return this._once('boxes', () => {
      const { map, lut, count } = this;
      const boxes = new Int32Array(4 * count);
      for (let i = 0; i < count; i++) boxes.set([map.width, map.height, 0, 0], 4 * i);
      /** @type {(region: number, x0: number, y0: number, x1: number, y1: number) => void} */
      const grow = (region, x0, y0, x1, y1) => {
        const at = 4 * region;
        if (x0 < boxes[at]) boxes[at] = x0;
        if (y0 < boxes[at + 1]) boxes[at + 1] = y0;
        if (x1 > boxes[at + 2]) boxes[at + 2] = x1;
        if (y1 > boxes[at + 3]) boxes[at + 3] = y1;
      };
      if (count < map.count) {
        const fine = map.finest.boxes;
        lut.forEach((region, i) =>
          grow(region, fine[4 * i], fine[4 * i + 1], fine[4 * i + 2], fine[4 * i + 3]),
        );
        return boxes;
      }
      for (let y = 0, i = 0; y < map.height; y++) {
        for (let x = 0; x < map.width; x++, i++) grow(map.labels[i], x, y, x + 1, y + 1);
      }
      return boxes;
    });
  }

  /**
   * @param {number} region
   * @returns {Int32Array} the regions that share a pixel's edge with it, ascending
   */
  neighbours(region) {
    this._checkRegion(region);
    const { offsets, items } = this._once('neighbours', () => {
      const finest = this.map.finest._once('pairs', () => pairsOf(this.map));
      return groups(...this._symmetric(finest));
    });
    return items.subarray(offsets[region], offsets[region + 1]);
  }

  /**
   * @param {Int32Array} pairs of touching finest regions
   * @returns {[Int32Array, number, Int32Array]} both directions, as `groups` takes them
   */
  _symmetric(pairs) {
    const keys = [];
    const values = [];
    for (let i = 0; i < pairs.length; i += 2) {
      const a = this.lut[pairs[i]];
      const b = this.lut[pairs[i + 1]];
      if (a === b) continue;
      keys.push(a, b);
      values.push(b, a);
    }
    return [Int32Array.from(keys), this.count, Int32Array.from(values)];
  }

  /** Mean colour of each region in CIELAB, three values each. @returns {Float64Array} */
  get labColors() {
    return this._once('labColors', () => {
      const sums = new Float64Array(3 * this.count);
      this.map.colorSums.forEach((sum, i) => {
        sums[3 * this.lut[Math.floor(i / 3)] + (i % 3)] += sum;
      });
      return toLab(sums, this.areas);
    });
  }

  /**
   * The region and those that can be reached from it through neighbours of its colour.
   *
   * @param {number} region
   * @param {number} threshold largest distance to its own mean colour in CIELAB (CIE 1976): 2 is just visible, 100 is
   *   black to white
   * @returns {number[]}
   */
  similar(region, threshold) {
    this._checkRegion(region);
    const colors = this.labColors;
    const found = [region];
    const seen = new Set(found);
    for (let i = 0; i < found.length; i++) {
      for (const next of this.neighbours(found[i])) {
        if (seen.has(next) || labDistance(colors, region, next) > threshold) continue;
        seen.add(next);
        found.push(next);
      }
    }
    return found;
  }

  /** The lines between the regions. */
  boundaries() {
    return this._once('boundaries', () => new Boundaries(this));
  }

  /** @param {number} region */
  _checkRegion(region) {
    checkInteger('region', region, 0, this.count - 1);
  }
}
