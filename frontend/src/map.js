import { Boundaries, outline } from './boundaries.js';
import { grow } from './boxes.js';
import { groups, labDistance, pairsOf, regionsUnder, toLab } from './regions.js';
import { stroke } from './shapes.js';
import { check, checkInteger, isIntegerIn } from './errors.js';
import { Joins } from './joins.js';

/** A label map: the region of each pixel, and the merges from these regions down to one. */
export class LabelMap {
  /** @type {Level | undefined} */
  _finest;
  /** @type {string | undefined} */
  _fingerprint;
  /** @type {Joins | undefined} */
  _joins;
  /** @type {{ key: string, strengths: Uint16Array | Uint32Array | null } | undefined} */
  _outlined;
  /** Sums of R, G, B over each finest region. @type {Float64Array | undefined} */
  _colorSums;

  /** @param {import('./container.js').MapData} data */
  constructor(data) {
    /** @readonly */
    this.width = data.width;
    /** @readonly */
    this.height = data.height;
    /** Number of finest regions. @readonly */
    this.count = data.count;
    /**
     * height * width: the finest region of each pixel, 0..count-1, numbered by first appearance; `count` at pixels outside a
     * mask, which belong to no region. @readonly
     */
    this.labels = data.labels;
    /** Whether there are pixels outside a mask. @readonly */
    this.outside = data.outside ?? false;
    /** The writer says that every region is 4-connected. @readonly */
    this.connected = data.connected;
    /** Version of the algorithm that made the map. @readonly */
    this.algorithmVersion = data.algorithmVersion;
    /** All merges, or null. @readonly */
    this.tree = data.tree;
    /** Stored coarser levels, or null. @readonly */
    this.levels = data.levels;
    /** count - 1: merge heights in merge order, or null. @readonly */
    this.heights = data.heights;
    /** The writer's measurements of the finest regions, or null. @readonly */
    this.regions = data.regions;
    /** What the map was made from, as the writer says, or null. @readonly */
    this.provenance = data.provenance;
  }

  /**
   * The level with `count` regions.
   *
   * @param {number} count with the whole hierarchy (`tree`) 1 to `map.count`, else `map.count` or one of `levels.counts`
   * @returns {Level}
   * @throws {SuperpixelMapError} `NO_SUCH_LEVEL`
   */
  cut(count) {
    if (count === this.count) return this.finest;
    const { tree, levels } = this;
    if (tree) {
      check(
        isIntegerIn(count, 1, this.count),
        'NO_SUCH_LEVEL',
        `count: must be an integer from 1 to ${this.count}, got ${count}`,
      );
      return this._level(count, tree.into, tree.order, this.count - count);
    }
    const stored = levels ? levels.counts : [];
    const index = stored.indexOf(count);
    const counts = [this.count, ...stored].join(', ');
    check(levels && index >= 0, 'NO_SUCH_LEVEL', `count: this map holds ${counts}, got ${count}`);
    return this._level(count, levels.into, levels.level, index + 1);
  }

  /**
   * @param {number} count
   * @param {ArrayLike<number>} into
   * @param {ArrayLike<number>} rank when each merge happens
   * @param {number} limit apply merges of a rank below it
   */
  _level(count, into, rank, limit) {
    const lut = new Int32Array(this.count + +this.outside);
    let next = 1;
    lut[this.count] = count; // for the outside; without it, this is behind the end of `lut` and changes nothing
    for (let b = 1; b < this.count; b++) lut[b] = rank[b - 1] < limit ? lut[into[b - 1]] : next++;
    return new Level(this, count, lut, limit);
  }

  /** The level of the finest regions. @returns {Level} */
  get finest() {
    return (this._finest ??= this._level(this.count, [], [], 0));
  }

  /** @returns {Joins} */
  get joins() {
    return (this._joins ??= new Joins(this));
  }

  /**
   * The outlines of all levels in a view, from the second drawing of the same view on. They take as long as a few drawings,
   * which would be wasted on a view that is shown once.
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

  /** Eight hexadecimal digits, the same for all maps with the same labels. @returns {string} */
  get fingerprint() {
    if (this._fingerprint === undefined) {
      const { labels, count } = this;
      let sum = 0;
      for (let i = 0; i < labels.length; i++) {
        // Pixels outside count as label -1.
        sum = (sum + Math.imul((labels[i] + 1) % (count + 1), Math.imul(i, 0x9e3779b1) | 1)) | 0;
      }
      this._fingerprint = (sum >>> 0).toString(16).padStart(8, '0');
    }
    return this._fingerprint;
  }

  /**
   * Measure the mean colours of the regions in the image. They replace the rounded colours of a map that contains some.
   *
   * @param {ArrayLike<number>} rgba 4 * width * height bytes, as in ImageData; A is ignored
   * @throws {SuperpixelMapError} `OTHER_MAP`: the image has another size
   */
  measureColors(rgba) {
    const { labels, count } = this;
    check(
      rgba.length === 4 * labels.length,
      'OTHER_MAP',
      `image: must be ${4 * labels.length} bytes, got ${rgba.length}`,
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

  /**
   * Sums of R, G, B over each finest region.
   *
   * @returns {Float64Array} 3 * count
   * @throws {SuperpixelMapError} `NO_COLORS`
   */
  get colorSums() {
    if (this._colorSums) return this._colorSums;
    check(this.regions, 'NO_COLORS', 'the map contains no colours: request regions, or call measureColors');
    const { meanColor } = this.regions;
    const { areas } = this.finest;
    this._colorSums = Float64Array.from(meanColor, (value, i) => value * areas[Math.floor(i / 3)]);
    return this._colorSums;
  }
}

/**
 * One level of a map. Its regions are 0..count-1, numbered by first appearance.
 *
 * Methods that take a region throw a `SuperpixelMapError` with `INVALID_ARGUMENT` if the level does not have it.
 */
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
    /**
     * map.count: the region of this level that contains each finest region. A map with pixels outside has one entry more:
     * `count`, at `map.count`. @readonly
     */
    this.lut = lut;
    /** This level applies the merges of a rank below it. @readonly */
    this.limit = limit;
    /** @type {Record<string, any>} results that are computed once */
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
   * @param {number} x pixels from the left edge, may be fractional
   * @param {number} y pixels from the top edge, may be fractional
   * @returns {number} the region there; -1 outside the map or the mask
   */
  regionAt(x, y) {
    const { width, height, labels } = this.map;
    if (!(x >= 0 && y >= 0 && x < width && y < height)) return -1;
    const region = this.lut[labels[Math.floor(y) * width + Math.floor(x)]];
    return region < this.count ? region : -1;
  }

  /**
   * @param {number} region
   * @returns {Int32Array} its finest regions, ascending
   */
  members(region) {
    this._checkRegion(region);
    const { offsets, items } = this._once('members', () => groups(this.lut, this.count));
    return items.subarray(offsets[region], offsets[region + 1]);
  }

  /**
   * @param {number} region
   * @returns {number} its area in pixels
   */
  area(region) {
    this._checkRegion(region);
    return this.areas[region];
  }

  /** The area of each region in pixels. @returns {Uint32Array} count */
  get areas() {
    return this._once('areas', () => {
      const { map, lut } = this;
      const areas = new Uint32Array(this.count);
      if (map.count === this.count) for (const label of map.labels) areas[label]++;
      else map.finest.areas.forEach((area, label) => (areas[lut[label]] += area));
      return areas;
    });
  }

  /** The bounding box of each region: x0, y0, x1, y1; x1 and y1 are exclusive. @returns {Int32Array} 4 * count */
  get boxes() {
    return this._once('boxes', () => {
      const { map, lut, count } = this;
      const boxes = new Int32Array(4 * count);
      for (let i = 0; i < count; i++) boxes.set([map.width, map.height, 0, 0], 4 * i);
      if (count < map.count) {
        const fine = map.finest.boxes;
        lut.forEach((region, i) =>
          grow(boxes, 4 * region, fine[4 * i], fine[4 * i + 1], fine[4 * i + 2], fine[4 * i + 3]),
        );
        return boxes;
      }
      for (let y = 0, i = 0; y < map.height; y++) {
        for (let x = 0; x < map.width; x++, i++) grow(boxes, 4 * map.labels[i], x, y, x + 1, y + 1);
      }
      return boxes;
    });
  }

  /**
   * @param {number} region
   * @returns {Int32Array} the regions that share a pixel edge with it, ascending
   */
  neighbours(region) {
    this._checkRegion(region);
    const { offsets, items } = this._once('neighbours', () => {
      const { map, lut, count } = this;
      const pairs = map.finest._once('pairs', () => pairsOf(map));
      /** @type {number[]} pairs of this level's regions, in both directions */
      const keys = [];
      /** @type {number[]} */
      const values = [];
      for (let i = 0; i < pairs.length; i += 2) {
        const [a, b] = [lut[pairs[i]], lut[pairs[i + 1]]];
        if (a === b) continue;
        keys.push(a, b);
        values.push(b, a);
      }
      return groups(keys, count, values);
    });
    return items.subarray(offsets[region], offsets[region + 1]);
  }

  /**
   * The mean colour of each region in CIELAB: L*, a*, b*.
   *
   * @returns {Float64Array} 3 * count
   * @throws {SuperpixelMapError} `NO_COLORS`: the map contains no colours, and `measureColors` was not called
   */
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
   * A region, and those reached from it through neighbours of a similar colour.
   *
   * @param {number} region
   * @param {number} threshold largest distance to the region's mean colour in CIELAB (CIE 1976): 2 is just visible, 100 is
   *   black to white
   * @returns {number[]} regions of this level
   * @throws {SuperpixelMapError} `NO_COLORS`: the map contains no colours, and `measureColors` was not called
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

  /**
   * The regions that a circle touches while it moves along a path.
   *
   * @param {readonly import('./shapes.js').Point[]} points of the path, at least one
   * @param {number} radius pixels, 0 or more
   * @returns {number[]} regions of this level, ascending
   */
  touched(points, radius) {
    const { width, height } = this.map;
    return [...regionsUnder(this, stroke(points, radius, width, height)).keys()].sort((a, b) => a - b);
  }

  /** The lines between the regions. @returns {Boundaries} */
  boundaries() {
    return this._once('boundaries', () => new Boundaries(this));
  }

  /** @param {number} region */
  _checkRegion(region) {
    checkInteger('region', region, 0, this.count - 1);
  }
}
