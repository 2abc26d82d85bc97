import { check } from '../errors.js';
import { choose, chooseNode } from './choice.js';
import { features, reach, Work } from './features.js';
import { outsideOf } from './samples.js';
import { Scene } from './scene.js';
import { SCALE, Scorer } from './scorer.js';
import defaultWeights from './weights.json' with { type: 'json' };

/** @typedef {import('../map.js').LabelMap} LabelMap */
/** @typedef {import('../map.js').Level} Level */
/** @typedef {import('../shapes.js').Point} Point */
/** @typedef {import('../boxes.js').Box} Box */
/** @typedef {import('./samples.js').Picture} Picture */
/** @typedef {import('./scorer.js').Weights} Weights */

/** The score of a clicked region. */
const SOURCE_SCORE = 12;

const MAX_GROW = 5;

/**
 * @typedef {object} Wish
 * @property {boolean} [positive] whether to add to the object (default); else to take away from it
 * @property {number} [grow] -5 to 5: more or less than the click would take (default 0)
 */

/**
 * An object with its clicks, for `restore`. It does not depend on the level.
 *
 * @typedef {object} SmartState
 * @property {Uint8Array} object map.count: 1 for each finest region that belongs to it
 * @property {Map<number, boolean>} marks a finest region of each clicked region; whether the click added
 * @property {number} clicks
 */

/**
 * Selects an object of an image click by click, from the tree and the colours of its superpixels.
 *
 * A click finds the regions that would change. `accept` takes them into the object, and remembers the click: later ones
 * respect it. A positive click only adds to the object, a negative one only takes away.
 *
 * Methods throw a `SuperpixelMapError` with `INVALID_ARGUMENT` if an argument is out of range.
 */
export class SmartSelect {
  /**
   * @param {LabelMap} map with its hierarchy
   * @param {Level} level that clicks work on. About 3,000 regions in view suit: a click takes a time that grows with them
   * @param {object} [options]
   * @param {Picture} [options.colors] the image in the box: ImageData as large as the box, or smaller. Default: the colours of
   *   the map's regions
   * @param {Box} [options.box] the part of the map that is in view, in whole pixels; other regions do not exist. Default:
   *   everything
   * @param {number} [options.outsideRegion] a finest region that stands for pixels of no superpixel, as in a window of a store. Pixels
   *   outside a mask need no option
   * @param {Weights | null} [options.weights] of the scorer, from a file that `superpixel train-smart` wrote. Default: those of
   *   this package. Null: a click takes one region, and `grow` takes larger ones
   * @throws {SuperpixelMapError} `OTHER_MAP`: the level belongs to another map; `NO_COLORS`: no colours are given, and the
   *   map contains none; `INVALID_ARGUMENT`: the map has no hierarchy, or an option is wrong
   */
  constructor(map, level, { colors, box, outsideRegion, weights = defaultWeights } = {}) {
    check(level.map === map, 'OTHER_MAP', 'level: belongs to another map');
    /** @readonly */
    this.level = level;
    this._outside = outsideOf(map, outsideRegion);
    this._scene = new Scene(level, colors, box, this._outside);
    this._scorer = weights ? new Scorer(weights) : null;
    this._work = new Work(this._scene.leaves);
    /** @type {SmartState} also of regions out of view */
    this._state = { object: new Uint8Array(map.count), marks: new Map(), clicks: 0 };
    /** @type {{ reached: import('./features.js').Reached, scores: Float64Array, flips: Int32Array, label?: number } | null} */
    this._pending = null;
  }

  /**
   * Find what a click would change. Nothing changes before `accept`.
   *
   * @param {number} x map pixels, may be fractional
   * @param {number} y map pixels, may be fractional
   * @param {Wish} [wish]
   * @returns {Int32Array} regions of the level, ascending; none outside the map or the mask
   */
  click(x, y, wish) {
    const { map, lut } = this.level;
    const label = map.finest.regionAt(x, y);
    const found = this.touch(label < 0 || label === this._outside ? [] : [lut[label]], wish);
    if (this._pending) this._pending.label = label;
    return found;
  }

  /**
   * Find what a stroke would change: the same from all regions that a circle touches while it moves along a path.
   *
   * @param {readonly Point[]} points of the path, at least one
   * @param {number} radius pixels, 0 or more
   * @param {Wish} [wish]
   * @returns {Int32Array} as from `click`
   */
  stroke(points, radius, wish) {
    const { level } = this;
    const touched = level.touched(points, radius);
    const begin = points.map(([x, y]) => level.regionAt(x, y)).find((region) => region >= 0);
    return this.touch(begin === undefined ? touched : [begin, ...touched], wish);
  }

  /**
   * Find what a stroke over these regions would change.
   *
   * @param {Iterable<number>} regions of the level; the first is where the stroke began
   * @param {Wish} [wish]
   * @returns {Int32Array} as from `click`
   */
  touch(regions, { positive = true, grow = 0 } = {}) {
    checkGrow(grow);
    const { _scene: scene, _scorer: scorer, _work: work } = this;
    /** @type {Set<number>} */
    const leaves = new Set();
    for (const region of regions) {
      const leaf = scene.leafOf[region];
      check(leaf !== undefined, 'INVALID_ARGUMENT', `regions: the level has no region ${region}`);
      if (leaf >= 0) leaves.add(leaf);
    }
    this._pending = null;
    if (!leaves.size) return new Int32Array(0);
    const reached = reach(scene, work, [...leaves], positive);
    const scores = new Float64Array(scene.leaves);
    if (scorer) {
      const known = features(scene, work, reached);
      const each = known.length / scene.leaves;
      for (let i = 0; i < scene.leaves; i++) {
        if (reached.cost[i] < Infinity) scores[i] = scorer.score(known, i * each);
      }
      for (const leaf of leaves) scores[leaf] = SOURCE_SCORE * SCALE;
    }
    this._pending = { reached, scores, flips: new Int32Array(0) };
    return this.regrow(grow);
  }

  /**
   * Grow or shrink the last click: as `click` at the same point, but much quicker.
   *
   * @param {number} grow -5 to 5
   * @returns {Int32Array} as from `click`
   */
  regrow(grow) {
    checkGrow(grow);
    const { _pending: pending, _scene: scene } = this;
    if (!pending) return new Int32Array(0);
    const { reached, scores } = pending;
    const taken = this._scorer
      ? choose(scene, reached, scores, Math.floor(grow * SCALE + 0.5))
      : chooseNode(scene, reached, grow);
    const other = Number(reached.positive);
    pending.flips = Int32Array.from(taken.filter((leaf) => this._work.chosen[leaf] !== other)).sort();
    return this._named(pending.flips);
  }

  /**
   * Take the last click into the object, its mark included.
   *
   * @returns {boolean} false: there is none, or it was outside
   */
  accept() {
    const { _pending: pending, _state: state, _work: work } = this;
    if (!pending) return false;
    const { sources, positive } = pending.reached;
    for (const region of this._named(pending.flips)) {
      for (const label of this.level.members(region)) state.object[label] = Number(positive);
    }
    for (const region of this._named(sources)) {
      const [first] = this.level.members(region);
      const label = pending.label ?? first; // of a click, the finest region under the pointer
      state.marks.delete(label);
      state.marks.set(label, positive);
    }
    state.clicks++;
    for (const leaf of pending.flips) work.chosen[leaf] = Number(positive);
    for (const leaf of sources) {
      work.marks.delete(leaf);
      work.marks.set(leaf, positive);
    }
    work.clicks++;
    this._pending = null;
    return true;
  }

  /** Begin another object: nothing is chosen, and there are no marks. */
  reset() {
    this.restore({ object: new Uint8Array(this.level.map.count), marks: new Map(), clicks: 0 });
  }

  /** A copy of the object and its clicks. @returns {SmartState} */
  get state() {
    const { object, marks, clicks } = this._state;
    return { object: object.slice(), marks: new Map(marks), clicks };
  }

  /**
   * Continue with an object, also with one from another level or another view of the same map. A region belongs to it if more
   * than half of its pixels do.
   *
   * @param {SmartState} state
   * @throws {SuperpixelMapError} `OTHER_MAP`: it belongs to another map
   */
  restore({ object, marks, clicks }) {
    const { map, lut, areas } = this.level;
    check(
      object.length === map.count,
      'OTHER_MAP',
      `state: must have ${map.count} regions, got ${object.length}`,
    );
    const { leafOf, regions, leaves } = this._scene;
    const inside = new Float64Array(leaves);
    object.forEach((yes, label) => {
      if (yes && leafOf[lut[label]] >= 0) inside[leafOf[lut[label]]] += map.finest.areas[label];
    });
    this._state = { object: object.slice(), marks: new Map(marks), clicks };
    this._work = new Work(leaves);
    this._work.clicks = clicks;
    for (let i = 0; i < leaves; i++) this._work.chosen[i] = Number(2 * inside[i] > areas[regions[i]]);
    for (const [label, positive] of marks) {
      const leaf = leafOf[lut[label]];
      if (leaf >= 0) this._work.marks.set(leaf, positive);
    }
    this._pending = null;
  }

  /** The regions that belong to the object, ascending. @returns {Int32Array} */
  get chosen() {
    const { chosen } = this._work;
    return this._named(this._scene.regions.map((_, leaf) => leaf).filter((leaf) => chosen[leaf]));
  }

  /** @param {ArrayLike<number>} leaves */
  _named(leaves) {
    return Int32Array.from(leaves, (leaf) => this._scene.regions[leaf]);
  }
}

/** @param {number} grow */
function checkGrow(grow) {
  check(Math.abs(grow) <= MAX_GROW, 'INVALID_ARGUMENT', `grow: must be from -5 to 5, got ${grow}`);
}
