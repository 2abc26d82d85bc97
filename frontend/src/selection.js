import { packed, pixelsOf, sample } from './boundaries.js';
import { check, checkInteger } from './errors.js';
import { checkPoints, polygon, rectangle, stroke } from './shapes.js';

/** @typedef {import('./map.js').LabelMap} LabelMap */
/** @typedef {import('./map.js').Level} Level */
/** @typedef {import('./shapes.js').Point} Point */
/** @typedef {import('./shapes.js').Runs} Runs */

/**
 * A class: what regions and pixels are chosen as.
 *
 * @typedef {object} Class
 * @property {string} name
 * @property {string} color `#rrggbb`
 */

/**
 * A box of the map that a change lies in, x1 and y1 one past it: what has to be drawn again.
 *
 * @typedef {object} Box
 * @property {number} x0
 * @property {number} y0
 * @property {number} x1
 * @property {number} y1
 */

/**
 * What exports are made of: a class for each pixel.
 *
 * @typedef {object} Annotation
 * @property {number} width pixels
 * @property {number} height pixels
 * @property {Uint8Array} mask height * width: 0 for nothing, else 1 + the place of the class in `classes`
 * @property {Class[]} classes
 */

/**
 * One thing that was done: runs of places, each with the value before and after.
 *
 * @typedef {object} Step
 * @property {number[]} regions start, length, before, after of each run
 * @property {number[]} pixels
 * @property {{ from: State, to: State } | null} maps a change of the map: all there was, and all there is
 */

/**
 * @typedef {object} State
 * @property {LabelMap} map
 * @property {Uint8Array} regions
 * @property {Uint8Array | null} pixels
 */

/** What a labeller chose is 1 to 254; 0 takes it away. */
export const MAX_CLASSES = 254;

/** In `Selection.statesOf`: chosen in parts, or as several classes. */
export const PARTLY = 255;

const FORMAT = 'superpixel-selection';

/**
 * What has been chosen on a map, as classes 1, 2, ... of `classes`; class 0 erases.
 *
 * Tools for regions take a level and choose all of its finest regions that a region of the level is made of: at any other
 * level the same pixels stay chosen. Above them lie pixels that were painted or erased by hand. Each method that changes
 * something is one step to undo, and returns the box that has changed, or null.
 */
export class Selection {
  /**
   * @param {LabelMap} map
   * @param {Class[]} [classes] may be appended to and renamed at any time; places must stay
   */
  constructor(map, classes = []) {
    this.classes = classes;
    /** @type {LabelMap} */
    this.map = map;
    /** Class of each finest region. @type {Uint8Array} */
    this.regions = new Uint8Array(map.count);
    /**
     * By pixel: 0 where the region counts, else 1 + the class that was painted there; null while there are none.
     *
     * @type {Uint8Array | null}
     */
    this.pixels = null;
    /** @type {Step[]} */
    this._done = [];
    /** @type {Step[]} */
    this._undone = [];
    /** @type {Step | null} */
    this._open = null;
  }

  // ---- regions

  /**
   * @param {Level} level
   * @param {Iterable<number>} regions of the level
   * @param {number} value the class
   * @returns {Box | null}
   */
  choose(level, regions, value) {
    this._check(level, value);
    const members = [];
    for (const region of regions) for (const member of level.members(region)) members.push(member);
    members.sort((a, b) => a - b);
    /** @type {Runs} */
    const runs = [];
    for (const member of members) {
      const end = runs.length;
      if (end && runs[end - 2] + runs[end - 1] === member) runs[end - 1]++;
      else if (!end || runs[end - 2] + runs[end - 1] < member) runs.push(member, 1);
    }
    return this._record({ regions: write(this.regions, runs, value), pixels: [], maps: null });
  }

  /**
   * The region at a point.
   *
   * @param {Level} level
   * @param {number} x
   * @param {number} y
   * @param {number} value
   */
  click(level, x, y, value) {
    const region = level.regionAt(x, y);
    return this.choose(level, region < 0 ? [] : [region], value);
  }

  /**
   * All regions that a circle touches on its way along a path.
   *
   * @param {Level} level
   * @param {readonly Point[]} points
   * @param {number} radius pixels
   * @param {number} value
   */
  brush(level, points, radius, value) {
    const { width, height } = this.map;
    return this.choose(level, this._touched(level, stroke(points, radius, width, height)).keys(), value);
  }

  /**
   * The regions that lie inside a rectangle by at least a share of their area.
   *
   * @param {Level} level
   * @param {Box} box in any order of its sides
   * @param {number} value
   * @param {number} [share] 0 to 1; 0: all that it touches
   */
  rectangle(level, { x0, y0, x1, y1 }, value, share = 0.5) {
    return this.lasso(level, rectangle(x0, y0, x1, y1), value, share);
  }

  /**
   * The regions that lie inside a polygon by at least a share of their area.
   *
   * @param {Level} level
   * @param {readonly Point[]} points the last one is joined to the first
   * @param {number} value
   * @param {number} [share] 0 to 1; 0: all that it touches
   */
  lasso(level, points, value, share = 0.5) {
    check(share >= 0 && share <= 1, 'INVALID_ARGUMENT', `share: must be from 0 to 1, got ${share}`);
    const inside = this._touched(level, polygon(points, this.map.width, this.map.height));
    const chosen = [...inside].filter(([region, pixels]) => pixels >= share * level.areas[region]);
    return this.choose(
      level,
      chosen.map(([region]) => region),
      value,
    );
  }

  /**
   * The region at a point and those around it that look alike (`Level.similar`).
   *
   * @param {Level} level
   * @param {number} x
   * @param {number} y
   * @param {number} threshold largest distance of mean colours in CIELAB
   * @param {number} value
   */
  flood(level, x, y, threshold, value) {
    const region = level.regionAt(x, y);
    return this.choose(level, region < 0 ? [] : level.similar(region, threshold), value);
  }

  // ---- pixels

  /**
   * Paint single pixels, above the regions: a circle swept along a path.
   *
   * @param {readonly Point[]} points
   * @param {number} radius pixels
   * @param {number | null} value the class; 0: nothing is chosen there, whatever the region is; null: take back what was
   *   painted, so that the region counts again
   */
  paintPixels(points, radius, value) {
    if (value !== null) this._checkClass(value);
    checkPoints(points);
    const { width, height, labels } = this.map;
    this.pixels ??= new Uint8Array(labels.length);
    const runs = stroke(points, radius, width, height);
    return this._record({
      regions: [],
      pixels: write(this.pixels, runs, value === null ? 0 : 1 + value),
      maps: null,
    });
  }

  // ---- what is chosen

  /**
   * For each region of a level: 0 for not chosen, a class for wholly chosen, `PARTLY` for anything else. Pixels painted by
   * hand do not count.
   *
   * @param {Level} level
   * @returns {Uint8Array}
   */
  statesOf(level) {
    this._check(level, 0);
    const states = new Uint8Array(level.count);
    const seen = new Uint8Array(level.count);
    for (let i = 0; i < this.regions.length; i++) {
      const region = level.lut[i];
      if (!seen[region]) states[region] = this.regions[i];
      else if (states[region] !== this.regions[i]) states[region] = PARTLY;
      seen[region] = 1;
    }
    return states;
  }

  /**
   * @param {number} x
   * @param {number} y
   * @returns {number} the class of the pixel there; 0: nothing, or outside the map
   */
  classAt(x, y) {
    const { width, height, labels } = this.map;
    if (!(x >= 0 && y >= 0 && x < width && y < height)) return 0;
    const pixel = Math.floor(y) * width + Math.floor(x);
    return this.pixels?.[pixel] ? this.pixels[pixel] - 1 : this.regions[labels[pixel]];
  }

  /** @returns {Annotation} */
  annotation() {
    const { map, regions, pixels } = this;
    const { labels } = map;
    const mask = new Uint8Array(labels.length);
    for (let i = 0; i < mask.length; i++) mask[i] = pixels?.[i] ? pixels[i] - 1 : regions[labels[i]];
    return { width: map.width, height: map.height, mask, classes: this.classes.map((one) => ({ ...one })) };
  }

  /**
   * Draw what is chosen into a picture; other pixels of it become transparent.
   *
   * @param {Uint8ClampedArray | Uint8Array} rgba the picture, as ImageData has it
   * @param {import('./boundaries.js').View} view
   * @param {ArrayLike<number>[]} colors R, G, B, A: bytes, of class 1, 2, ...
   */
  paint(rgba, view, colors) {
    const out = pixelsOf(rgba, view);
    const palette = new Uint32Array(MAX_CLASSES + 1);
    colors.forEach((color, i) => (palette[i + 1] = packed(color)));
    const { map, pixels } = this;
    const { labels } = map;
    const ofRegion = new Uint32Array(map.count);
    for (let i = 0; i < ofRegion.length; i++) ofRegion[i] = palette[this.regions[i]];
    const columns = sample(view.x, view.scale, view.width, map.width);
    const rows = sample(view.y, view.scale, view.height, map.height);
    for (let j = 0; j < view.height; j++) {
      const at = j * view.width;
      if (rows[j] < 0) {
        out.fill(0, at, at + view.width);
      } else if (j > 0 && rows[j] === rows[j - 1]) {
        out.copyWithin(at, at - view.width, at);
      } else {
        const top = rows[j] * map.width;
        for (let i = 0; i < view.width; i++) {
          const pixel = top + columns[i];
          if (columns[i] < 0) out[at + i] = 0;
          else if (pixels !== null && pixels[pixel] !== 0) out[at + i] = palette[pixels[pixel] - 1];
          else out[at + i] = ofRegion[labels[pixel]];
        }
      }
    }
  }

  // ---- steps

  get canUndo() {
    return this._done.length > 0;
  }

  get canRedo() {
    return this._undone.length > 0;
  }

  /** Until `end`, all changes are one step: a stroke while it is drawn. */
  begin() {
    check(!this._open, 'INVALID_ARGUMENT', 'begin: a step has begun already');
    this._open = { regions: [], pixels: [], maps: null };
  }

  end() {
    const step = this._open;
    check(step, 'INVALID_ARGUMENT', 'end: no step has begun');
    this._open = null;
    if (step.regions.length || step.pixels.length) this._keep(step);
  }

  /** @returns {Box | null} what has changed */
  undo() {
    return this._replay(this._done, this._undone, true);
  }

  /** @returns {Box | null} what has changed */
  redo() {
    return this._replay(this._undone, this._done, false);
  }

  /**
   * Go on with another map of the same image: of another compactness, count or version. Every pixel keeps its class: a
   * region of the new map is chosen where all of its pixels were, elsewhere they are kept as painted pixels.
   *
   * @param {LabelMap} map of the same width and height
   * @returns {Box | null}
   */
  moveTo(map) {
    check(!this._open, 'INVALID_ARGUMENT', 'moveTo: a step has begun and not ended');
    const old = this.map;
    check(
      map.width === old.width && map.height === old.height,
      'OTHER_MAP',
      `map: must be of ${old.width} x ${old.height} pixels, got ${map.width} x ${map.height}`,
    );
    const size = map.labels.length;
    const MIXED = 255;
    const regions = new Uint8Array(map.count);
    const seen = new Uint8Array(map.count);
    for (let i = 0; i < size; i++) {
      const label = map.labels[i];
      const value = this.regions[old.labels[i]];
      if (!seen[label]) regions[label] = value;
      else if (regions[label] !== value) regions[label] = MIXED;
      seen[label] = 1;
    }
    regions.forEach((value, i) => {
      if (value === MIXED) regions[i] = 0;
    });
    const pixels = this.pixels ? this.pixels.slice() : new Uint8Array(size);
    for (let i = 0; i < size; i++) {
      const value = this.regions[old.labels[i]];
      if (!pixels[i] && value !== regions[map.labels[i]]) pixels[i] = 1 + value;
    }
    const to = { map, regions, pixels };
    const from = { map: old, regions: this.regions, pixels: this.pixels };
    this._set(to);
    return this._record({ regions: [], pixels: [], maps: { from, to } });
  }

  // ---- kept and restored

  /** @returns {SerialisedSelection} plain data for JSON; without the steps done */
  toJSON() {
    const { map } = this;
    return {
      format: FORMAT,
      version: 1,
      width: map.width,
      height: map.height,
      count: map.count,
      map: map.fingerprint,
      classes: this.classes.map(({ name, color }) => ({ name, color })),
      regions: runLengths(this.regions),
      pixels: this.pixels ? runLengths(this.pixels) : [],
    };
  }

  /**
   * @param {LabelMap} map the map that it was made on, or one with the same labels
   * @param {SerialisedSelection} data from `toJSON`
   * @returns {Selection}
   */
  static restore(map, data) {
    const sound = data?.format === FORMAT && data.version === 1 && Array.isArray(data.classes);
    check(sound, 'INVALID_SELECTION', `selection: must be a ${FORMAT} of version 1`);
    const same = data.width === map.width && data.height === map.height && data.count === map.count;
    check(same && data.map === map.fingerprint, 'OTHER_MAP', 'selection: was made on another map');
    const classes = data.classes.map((one) => ({ name: String(one?.name), color: String(one?.color) }));
    check(classes.length <= MAX_CLASSES, 'INVALID_SELECTION', `classes: at most ${MAX_CLASSES}`);
    const selection = new Selection(map, classes);
    fill('regions', data.regions, selection.regions, classes.length);
    if (data.pixels?.length) {
      selection.pixels = new Uint8Array(map.labels.length);
      fill('pixels', data.pixels, selection.pixels, classes.length + 1);
    }
    return selection;
  }

  // ---- within

  /** @param {number} value */
  _checkClass(value) {
    checkInteger('class', value, 0, Math.min(this.classes.length, MAX_CLASSES));
  }

  /**
   * @param {Level} level
   * @param {number} value
   */
  _check(level, value) {
    this._checkClass(value);
    check(level.map === this.map, 'OTHER_MAP', 'level: belongs to another map than the selection');
  }

  /**
   * @param {Level} level
   * @param {Runs} runs
   * @returns {Map<number, number>} the level's regions that the runs meet, and in how many pixels
   */
  _touched(level, runs) {
    const { labels } = this.map;
    const { lut } = level;
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
   * @param {Step} step that has been done
   * @returns {Box | null}
   */
  _record(step) {
    if (!step.regions.length && !step.pixels.length && !step.maps) return null;
    if (this._open) {
      for (const run of step.regions) this._open.regions.push(run);
      for (const run of step.pixels) this._open.pixels.push(run);
    } else {
      this._keep(step);
    }
    return this._boxOf(step);
  }

  /** @param {Step} step */
  _keep(step) {
    this._done.push(step);
    this._undone = [];
  }

  /**
   * @param {Step[]} from
   * @param {Step[]} to
   * @param {boolean} back
   */
  _replay(from, to, back) {
    check(!this._open, 'INVALID_ARGUMENT', 'undo, redo: a step has begun and not ended');
    const step = from.pop();
    if (!step) return null;
    to.push(step);
    if (step.maps) this._set(back ? step.maps.from : step.maps.to);
    replay(this.regions, step.regions, back);
    if (this.pixels) replay(this.pixels, step.pixels, back);
    return this._boxOf(step);
  }

  /** @param {State} state */
  _set({ map, regions, pixels }) {
    this.map = map;
    this.regions = regions;
    this.pixels = pixels;
  }

  /**
   * @param {Step} step
   * @returns {Box}
   */
  _boxOf(step) {
    const { width, height } = this.map;
    if (step.maps) return { x0: 0, y0: 0, x1: width, y1: height };
    const box = { x0: width, y0: height, x1: 0, y1: 0 };
    /** @type {(x0: number, y0: number, x1: number, y1: number) => void} */
    const grow = (x0, y0, x1, y1) => {
      box.x0 = Math.min(box.x0, x0);
      box.y0 = Math.min(box.y0, y0);
      box.x1 = Math.max(box.x1, x1);
      box.y1 = Math.max(box.y1, y1);
    };
    const { regions, pixels } = step;
    const boxes = regions.length ? this.map.finest.boxes : [];
    for (let i = 0; i < regions.length; i += 4) {
      for (let at = 4 * regions[i], end = at + 4 * regions[i + 1]; at < end; at += 4) {
        grow(boxes[at], boxes[at + 1], boxes[at + 2], boxes[at + 3]);
      }
    }
    for (let i = 0; i < pixels.length; i += 4) {
      const [y, x] = [Math.floor(pixels[i] / width), pixels[i] % width];
      grow(x, y, x + pixels[i + 1], y + 1);
    }
    return box;
  }
}

/**
 * @typedef {object} SerialisedSelection
 * @property {string} format
 * @property {number} version
 * @property {number} width
 * @property {number} height
 * @property {number} count
 * @property {string} map the map's fingerprint
 * @property {Class[]} classes
 * @property {number[]} regions value, length of each run of `Selection.regions`
 * @property {number[]} pixels the same of `Selection.pixels`; empty: there are none
 */

/**
 * @param {Uint8Array} values
 * @param {Runs} runs
 * @param {number} value
 * @returns {number[]} what has changed: start, length, before, after of each run
 */
function write(values, runs, value) {
  const changes = [];
  for (let i = 0; i < runs.length; i += 2) {
    for (let at = runs[i], end = at + runs[i + 1]; at < end;) {
      const before = values[at];
      const start = at;
      while (at < end && values[at] === before) at++;
      if (before !== value) changes.push(start, at - start, before, value);
    }
    values.fill(value, runs[i], runs[i] + runs[i + 1]);
  }
  return changes;
}

/**
 * @param {Uint8Array} values
 * @param {number[]} changes
 * @param {boolean} back
 */
function replay(values, changes, back) {
  for (let i = 0; i < changes.length; i += 4) {
    const at = back ? changes.length - 4 - i : i; // a step may have changed a place twice
    values.fill(changes[at + (back ? 2 : 3)], changes[at], changes[at] + changes[at + 1]);
  }
}

/**
 * @param {Uint8Array} values
 * @returns {number[]} value, length of each run
 */
function runLengths(values) {
  const runs = [];
  for (let at = 0; at < values.length;) {
    const start = at;
    while (at < values.length && values[at] === values[start]) at++;
    runs.push(values[start], at - start);
  }
  return runs;
}

/**
 * @param {string} name
 * @param {unknown} runs
 * @param {Uint8Array} values
 * @param {number} most
 */
function fill(name, runs, values, most) {
  check(Array.isArray(runs), 'INVALID_SELECTION', `${name}: must be runs of values`);
  let at = 0;
  for (let i = 0; i < runs.length; i += 2) {
    const [value, length] = [runs[i], runs[i + 1]];
    const sound =
      Number.isInteger(value) && value >= 0 && value <= most && Number.isInteger(length) && length > 0;
    check(sound && at + length <= values.length, 'INVALID_SELECTION', `${name}: run ${i / 2} is not one`);
    values.fill(value, at, at + length);
    at += length;
  }
  check(at === values.length, 'INVALID_SELECTION', `${name}: ${at} values, must be ${values.length}`);
}
