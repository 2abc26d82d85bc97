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
 * @property {{ from: State, to: State }} [maps] a change of the map: all there was, and all there is
 * @property {{ at: number, class: Class }} [removed] a class, and its value until then: those above it count down by one
 */

/**
 * Steps to undo and to redo, the next one last: plain data for JSON.
 *
 * @typedef {object} History
 * @property {Step[]} done
 * @property {Step[]} undone
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
 * level the same pixels stay chosen. Above them lie pixels that were painted or erased by hand, until a tool for regions
 * takes their region: then the region counts. Only where the region has the class already, what was painted in it stays but
 * where the brush, the rectangle or the lasso itself passes: going along an edge again does not undo its correction.
 *
 * Each method that changes something is one step to undo, and returns the box that has changed, or null.
 */
export class Selection {
  /**
   * @param {LabelMap} map
   * @param {Class[]} [classes] may be appended to and renamed at any time; `removeClass` takes one away
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
    /** 1 for each finest region that pixels may be painted in; null: not looked yet. @type {Uint8Array | null} */
    this._spots = null;
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
    return this._choose(level, regions, value);
  }

  /**
   * @param {Level} level
   * @param {Iterable<number>} regions
   * @param {number} value
   * @param {Runs} [shape] where the tool itself passes, if it has a shape
   */
  _choose(level, regions, value, shape) {
    this._check(level, value);
    const members = [];
    for (const region of regions) for (const member of level.members(region)) members.push(member);
    members.sort((a, b) => a - b);
    const lifted = this._lifted(members, value, shape);
    return this._record({
      regions: write(
        this.regions,
        members.flatMap((member) => [member, 1]),
        value,
      ),
      pixels: this.pixels ? write(this.pixels, lifted, 0) : [],
    });
  }

  /**
   * @param {number[]} members finest regions that are about to be chosen
   * @param {number} value
   * @param {Runs} [shape]
   * @returns {Runs} painted pixels that make way for them
   */
  _lifted(members, value, shape) {
    const { pixels, regions, map } = this;
    /** @type {Runs} */
    const runs = [];
    if (!pixels) return runs;
    const { labels, width } = map;
    const { boxes } = map.finest;
    const taken = new Uint8Array(map.count);
    if (!this._spots) {
      const spots = (this._spots = new Uint8Array(map.count));
      pixels.forEach((value, i) => value && (spots[labels[i]] = 1));
    }
    for (const member of members) {
      taken[member] = 1;
      if (!this._spots[member] || (shape && value && regions[member] === value)) continue;
      this._spots[member] = 0;
      const [x0, y0, x1, y1] = boxes.subarray(4 * member, 4 * member + 4);
      for (let y = y0; y < y1; y++) {
        for (let at = y * width + x0, end = y * width + x1; at < end; at++) {
          if (pixels[at] && labels[at] === member) add(runs, at);
        }
      }
    }
    for (let i = 0; shape && i < shape.length; i += 2) {
      for (let at = shape[i], end = at + shape[i + 1]; at < end; at++) {
        if (pixels[at] && (!value || taken[labels[at]])) add(runs, at);
      }
    }
    return runs;
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
    const shape = stroke(points, radius, width, height);
    return this._choose(level, this._touched(level, shape).keys(), value, shape);
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
    const shape = polygon(points, this.map.width, this.map.height);
    const inside = this._touched(level, shape);
    const chosen = [...inside.keys()].filter(
      (region) => (inside.get(region) ?? 0) >= share * level.areas[region],
    );
    return this._choose(level, chosen, value, shape);
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
    const { width, height } = this.map;
    const runs = stroke(points, radius, width, height);
    this.pixels ??= new Uint8Array(width * height);
    this._spots = null;
    return this._record({
      regions: [],
      pixels: write(this.pixels, runs, value === null ? 0 : 1 + value),
    });
  }

  // ---- classes

  /**
   * Take a class away: what was chosen as it no longer is, and the classes behind it count one less.
   *
   * @param {number} value the class
   * @returns {Box | null}
   */
  removeClass(value) {
    this._checkClosed('removeClass');
    checkInteger('class', value, 1, this.classes.length);
    const { regions, pixels } = this;
    /** @type {Step} */
    const step = {
      regions: write(regions, placesOf(regions, value), 0),
      pixels: pixels ? write(pixels, placesOf(pixels, 1 + value), 1) : [],
      removed: { at: value, class: this.classes[value - 1] },
    };
    this._renumber(step, false);
    return this._record(step);
  }

  /**
   * @param {Step} step
   * @param {boolean} back
   */
  _renumber({ removed }, back) {
    if (!removed) return;
    const { at } = removed;
    checkInteger('classes', this.classes.length, 0, MAX_CLASSES - Number(back));
    this.classes.splice(at - 1, back ? 0 : 1, ...(back ? [removed.class] : []));
    const by = back ? 1 : -1;
    const { regions, pixels } = this;
    regions.forEach((value, i) => value >= at && (regions[i] += by));
    pixels?.forEach((value, i) => value > at && (pixels[i] += by));
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
    return common(level.lut, this.regions, level.count);
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
    this._checkClosed('begin');
    this._open = { regions: [], pixels: [] };
  }

  end() {
    const step = this._close('end');
    if (step.regions.length || step.pixels.length) this._keep(step);
  }

  /**
   * Give up all since `begin`, as if it had never been done: it cannot be redone, and what could be still can.
   *
   * @returns {Box | null}
   */
  cancel() {
    const step = this._close('cancel');
    this._apply(step, true);
    return step.regions.length || step.pixels.length ? this._boxOf(step) : null;
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
    this._checkClosed('moveTo');
    const old = this.map;
    check(
      map.width === old.width && map.height === old.height,
      'OTHER_MAP',
      `map: must be of ${old.width} x ${old.height} pixels, got ${map.width} x ${map.height}`,
    );
    const { mask } = this.annotation();
    const regions = common(map.labels, mask, map.count).map((value) => (value === PARTLY ? 0 : value));
    const pixels = mask.map((value, i) => (value === regions[map.labels[i]] ? 0 : 1 + value));
    const to = { map, regions, pixels };
    const from = { map: old, regions: this.regions, pixels: this.pixels };
    this._set(to);
    return this._record({ regions: [], pixels: [], maps: { from, to } });
  }

  // ---- kept and restored

  /**
   * The steps to undo and redo, as plain data: the latest ones, and back to where the map was changed at the furthest.
   *
   * @param {number} [most] numbers that they are made of
   * @returns {History}
   */
  history(most = 1e6) {
    /** @param {Step[]} steps */
    const latest = (steps) => {
      let first = steps.length;
      while (first > 0 && !steps[first - 1].maps) {
        const { regions, pixels } = steps[first - 1];
        most -= regions.length + pixels.length + 4;
        if (most < 0) break;
        first--;
      }
      return steps.slice(first);
    };
    return { done: latest(this._done), undone: latest(this._undone) };
  }

  /** @returns {SerialisedSelection} plain data for JSON; the steps are in `history` */
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
   * @param {History} [history] from `history`, at the same time
   * @returns {Selection}
   */
  static restore(map, data, history) {
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
    if (history) {
      const sizes = { regions: map.count, pixels: map.labels.length };
      selection._done = soundSteps(history.done, sizes);
      selection._undone = soundSteps(history.undone, sizes);
    }
    return selection;
  }

  // ---- within

  /** @param {string} method */
  _checkClosed(method) {
    check(!this._open, 'INVALID_ARGUMENT', `${method}: a step has begun and not ended`);
  }

  /**
   * @param {string} method
   * @returns {Step}
   */
  _close(method) {
    const step = this._open;
    check(step, 'INVALID_ARGUMENT', `${method}: no step has begun`);
    this._open = null;
    return step;
  }

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
    if (!step.regions.length && !step.pixels.length && !step.maps && !step.removed) return null;
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
    this._checkClosed('undo, redo');
    const step = from.pop();
    if (!step) return null;
    to.push(step);
    this._apply(step, back);
    return this._boxOf(step);
  }

  /**
   * @param {Step} step
   * @param {boolean} back
   */
  _apply(step, back) {
    if (step.maps) this._set(back ? step.maps.from : step.maps.to);
    if (back) this._renumber(step, back);
    replay(this.regions, step.regions, back);
    if (this.pixels) replay(this.pixels, step.pixels, back);
    this._spots = null;
    if (!back) this._renumber(step, back);
  }

  /** @param {State} state */
  _set({ map, regions, pixels }) {
    this.map = map;
    this.regions = regions;
    this.pixels = pixels;
    this._spots = null;
  }

  /**
   * @param {Step} step
   * @returns {Box}
   */
  _boxOf(step) {
    const { width, height } = this.map;
    if (step.maps || step.removed) return { x0: 0, y0: 0, x1: width, y1: height };
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
 * @param {Int32Array} keys
 * @param {Uint8Array} values beside them
 * @param {number} count
 * @returns {Uint8Array} for each key the value of all its places, or PARTLY
 */
function common(keys, values, count) {
  const found = new Uint8Array(count);
  const seen = new Uint8Array(count);
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i];
    if (!seen[key]) found[key] = values[i];
    else if (found[key] !== values[i]) found[key] = PARTLY;
    seen[key] = 1;
  }
  return found;
}

/**
 * @param {Uint8Array} values
 * @param {Runs} runs
 * @param {number} value
 * @returns {number[]} what has changed: start, length, before, after of each run
 */
function write(values, runs, value) {
  /** @type {number[]} */
  const changes = [];
  for (let i = 0; i < runs.length; i += 2) {
    for (let at = runs[i], end = at + runs[i + 1]; at < end;) {
      const before = values[at];
      const start = at;
      while (at < end && values[at] === before) at++;
      const last = changes.length - 4;
      if (before === value) continue;
      if (changes[last] + changes[last + 1] === start && changes[last + 2] === before)
        changes[last + 1] += at - start;
      else changes.push(start, at - start, before, value);
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
 * @param {Runs} runs
 * @param {number} at a place to be added at their end
 */
function add(runs, at) {
  const last = runs.length - 2;
  if (runs[last] + runs[last + 1] === at) runs[last + 1]++;
  else runs.push(at, 1);
}

/**
 * @param {Uint8Array} values
 * @param {number} value
 * @returns {Runs} where it stands
 */
function placesOf(values, value) {
  /** @type {Runs} */
  const runs = [];
  values.forEach((one, i) => one === value && add(runs, i));
  return runs;
}

/**
 * @param {Step[]} steps from outside
 * @param {{ regions: number, pixels: number }} sizes
 * @returns {Step[]}
 */
function soundSteps(steps, sizes) {
  /** @type {(changes: number[], size: number) => boolean} */
  const fit = (changes, size) =>
    Array.isArray(changes) &&
    changes.length % 4 === 0 &&
    changes.every((value, i) => value >= 0 && value <= [size, size - changes[i - 1], PARTLY, PARTLY][i % 4]);
  const sound =
    Array.isArray(steps) &&
    steps.every((step) => fit(step?.regions, sizes.regions) && fit(step.pixels, sizes.pixels) && !step.maps);
  check(sound, 'INVALID_SELECTION', 'history: is damaged');
  return steps.slice();
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
