import { MAX_CLASSES } from './annotation.js';
import { check, checkInteger, checkShare } from './errors.js';
import { boxOf, renumber, replay, UndoHistory, write } from './history.js';
import { drawClasses } from './overlay.js';
import { chooseByMask, chooseRegions, paintByMask, unprotected } from './paint.js';
import { common, regionsUnder } from './regions.js';
import { runsOf } from './runs.js';
import { deserialise, serialise } from './serialise.js';
import { polygon, rectangle, stroke } from './shapes.js';

/** @typedef {import('./map.js').LabelMap} LabelMap */
/** @typedef {import('./map.js').Level} Level */
/** @typedef {import('./shapes.js').Point} Point */
/** @typedef {import('./runs.js').Runs} Runs */
/** @typedef {import('./annotation.js').Annotation} Annotation */
/** @typedef {import('./annotation.js').Class} Class */
/** @typedef {import('./boxes.js').Box} Box */
/** @typedef {import('./history.js').History} History */
/** @typedef {import('./history.js').Step} Step */
/** @typedef {import('./serialise.js').SerialisedSelection} SerialisedSelection */

/** In `Selection.statesOf`: only a part of the region is chosen, or its parts have several classes. */
export const PARTLY = 255;

/**
 * The classes that a person gave to regions and pixels of a map.
 *
 * A class value is 1, 2, ...: 1 + its index in `classes`. Value 0 is no class: tools erase with it.
 *
 * A region tool takes a level, and sets the class of all finest regions in the regions that it chooses. So the choice is
 * the same at any other level. Painted pixels lie above the regions. A region tool removes the paint in the regions that
 * it chooses. If a region already has the class, the brush, the rectangle and the lasso remove only the paint under their
 * own shape: brushing along an edge again keeps its correction. With class 0 they remove all paint under their shape.
 *
 * Each method that changes something is one undo step, and returns the box that changed, or null if nothing changed.
 *
 * Methods throw a `SuperpixelMapError`: `INVALID_ARGUMENT` if an argument is out of range, `OTHER_MAP` if a level belongs
 * to another map.
 */
export class Selection {
  /**
   * @param {LabelMap} map
   * @param {Class[]} [classes] the caller may append to it and rename its classes; `addClass` and `editClass` do so as an undo
   *   step, and `removeClass` removes one
   */
  constructor(map, classes = []) {
    this.classes = classes;
    /** @type {LabelMap} */
    this.map = map;
    /** The class value of each finest region. @type {Uint8Array} */
    this.regions = new Uint8Array(map.count);
    /**
     * Per pixel: 0 if it is not painted, else 1 + the painted class value. Null if nothing was painted yet.
     *
     * @type {Uint8Array | null}
     */
    this.pixels = null;
    /**
     * Whether tools and masks must leave pixels of this class (0: no class) as they are. Null: they may change all. Undo,
     * redo and `removeClass` change all pixels in any case.
     *
     * @type {((value: number) => boolean) | null}
     */
    this.protects = null;
    /** 1 for each finest region that may contain paint; null: not computed. @type {Uint8Array | null} */
    this._spots = null;
    this._history = new UndoHistory();
  }

  // ---- regions

  /**
   * Choose regions by number.
   *
   * @param {Level} level
   * @param {Iterable<number>} regions of the level
   * @param {number} value the class
   * @param {Runs} [shape] pixels under a tool that has a shape: see `Selection`
   * @returns {Box | null}
   */
  choose(level, regions, value, shape) {
    this._check(level, value);
    return this._record(chooseRegions(this, level, regions, value, shape));
  }

  /**
   * Choose the region at a point; outside the map, none.
   *
   * @param {Level} level
   * @param {number} x map pixels, may be fractional
   * @param {number} y map pixels, may be fractional
   * @param {number} value the class
   * @returns {Box | null}
   */
  click(level, x, y, value) {
    const region = level.regionAt(x, y);
    return this.choose(level, region < 0 ? [] : [region], value);
  }

  /**
   * Choose all regions that a circle touches while it moves along a path.
   *
   * @param {Level} level
   * @param {readonly Point[]} points of the path, at least one
   * @param {number} radius pixels, 0 or more
   * @param {number} value the class
   * @returns {Box | null}
   */
  brush(level, points, radius, value) {
    const { width, height } = this.map;
    const shape = stroke(points, radius, width, height);
    return this.choose(level, regionsUnder(level, shape).keys(), value, shape);
  }

  /**
   * Choose the regions that lie inside a rectangle by at least `share` of their area.
   *
   * @param {Level} level
   * @param {Box} box its corners, in any order
   * @param {number} value the class
   * @param {number} [share] 0 to 1; 0: all regions that the rectangle touches
   * @returns {Box | null}
   */
  rectangle(level, { x0, y0, x1, y1 }, value, share = 0.5) {
    return this.lasso(level, rectangle(x0, y0, x1, y1), value, share);
  }

  /**
   * Choose the regions that lie inside a polygon by at least `share` of their area.
   *
   * @param {Level} level
   * @param {readonly Point[]} points corners, at least one; the last one is joined to the first
   * @param {number} value the class
   * @param {number} [share] 0 to 1; 0: all regions that the polygon touches
   * @returns {Box | null}
   */
  lasso(level, points, value, share = 0.5) {
    checkShare('share', share);
    const shape = polygon(points, this.map.width, this.map.height);
    const inside = regionsUnder(level, shape);
    const chosen = [...inside.keys()].filter(
      (region) => (inside.get(region) ?? 0) >= share * level.areas[region],
    );
    return this.choose(level, chosen, value, shape);
  }

  /**
   * Choose the region at a point and the similar regions around it (`Level.similar`).
   *
   * @param {Level} level
   * @param {number} x map pixels, may be fractional
   * @param {number} y map pixels, may be fractional
   * @param {number} threshold largest distance of mean colours in CIELAB
   * @param {number} value the class
   * @returns {Box | null}
   * @throws {SuperpixelMapError} `NO_COLORS`: the map has no colours
   */
  flood(level, x, y, threshold, value) {
    const region = level.regionAt(x, y);
    return this.choose(level, region < 0 ? [] : level.similar(region, threshold), value);
  }

  /**
   * Choose regions by a mask from elsewhere. Each region gets the class that most of its pixels have in the mask, if these are
   * at least the share `threshold` of its pixels (of equal classes, the smallest). Other regions stay as they are.
   *
   * @param {Level} level
   * @param {ArrayLike<number | boolean>} mask height * width: 0 or false for no class, else 1 + the index in `classes`
   * @param {Class[]} [classes] of the mask: found by name in the selection's classes, to which missing ones are appended.
   *   Default: the selection's
   * @param {object} [options]
   * @param {number} [options.threshold] 0 to 1; 0: one pixel is enough
   * @returns {Box | null}
   */
  fromMask(level, mask, classes = this.classes, { threshold = 0.5 } = {}) {
    this._check(level, 0);
    return this._record(chooseByMask(this, level, mask, classes, threshold));
  }

  // ---- pixels

  /**
   * Paint single pixels, above the regions: those that a circle covers while it moves along a path.
   *
   * @param {readonly Point[]} points of the path, at least one
   * @param {number} radius pixels, 0 or more
   * @param {number | null} value the class; 0: no class, whatever the region has; null: remove the paint, so that the
   *   region shows again
   * @returns {Box | null}
   */
  paintPixels(points, radius, value) {
    const { width, height } = this.map;
    return this.paintRuns(stroke(points, radius, width, height), value);
  }

  /**
   * Paint the pixels in a polygon, above the regions.
   *
   * @param {readonly Point[]} points corners, at least one; the last one is joined to the first
   * @param {number | null} value as in `paintPixels`
   * @returns {Box | null}
   */
  paintPolygon(points, value) {
    return this.paintRuns(polygon(points, this.map.width, this.map.height), value);
  }

  /**
   * Paint pixels, above the regions.
   *
   * @param {Runs} runs start (y * width + x) and length of each run
   * @param {number | null} value as in `paintPixels`
   * @returns {Box | null}
   */
  paintRuns(runs, value) {
    if (value !== null) this._checkClass(value);
    const free = unprotected(this, runs);
    this.pixels ??= new Uint8Array(this.map.labels.length);
    this._spots = null;
    return this._record({ regions: [], pixels: write(this.pixels, free, value === null ? 0 : 1 + value) });
  }

  /**
   * Paint the pixels that have a class in a mask from elsewhere. The other pixels stay as they are.
   *
   * @param {ArrayLike<number | boolean>} mask as in `fromMask`
   * @param {Class[]} [classes] as in `fromMask`
   * @returns {Box | null}
   */
  paintMask(mask, classes = this.classes) {
    return this._record(paintByMask(this, mask, classes));
  }

  // ---- classes

  /**
   * Append a class.
   *
   * @param {Class} added
   * @returns {Box | null}
   */
  addClass(added) {
    return this._changeClasses('addClass', { added: { at: this.classes.length + 1, class: { ...added } } });
  }

  /**
   * Rename or colour a class.
   *
   * @param {number} value the class, from 1
   * @param {Partial<Class>} changes
   * @returns {Box | null}
   */
  editClass(value, changes) {
    checkInteger('class', value, 1, this.classes.length);
    const from = this.classes[value - 1];
    return this._changeClasses('editClass', { edited: { at: value, from, to: { ...from, ...changes } } });
  }

  /**
   * Remove a class: its regions and pixels get no class, and the values of the classes behind it fall by one.
   *
   * @param {number} value the class, from 1
   * @returns {Box | null}
   */
  removeClass(value) {
    this._history.checkClosed('removeClass');
    checkInteger('class', value, 1, this.classes.length);
    const { regions, pixels } = this;
    /** @type {Step} */
    const step = {
      regions: write(regions, runsOf(regions, value), 0),
      pixels: pixels ? write(pixels, runsOf(pixels, 1 + value), 1) : [],
      removed: { at: value, class: this.classes[value - 1] },
    };
    renumber(this, step, false);
    return this._record(step);
  }

  // ---- reading

  /**
   * The class of each region of a level, from its finest regions. Painted pixels do not count.
   *
   * @param {Level} level
   * @returns {Uint8Array} level.count: 0 for no class, a class value if the whole region has it, else `PARTLY`
   */
  statesOf(level) {
    this._check(level, 0);
    return common(level.lut, this.regions, level.count, PARTLY);
  }

  /**
   * @param {number} x map pixels, may be fractional
   * @param {number} y map pixels, may be fractional
   * @returns {number} the class value of the pixel there; 0: no class, or outside the map
   */
  classAt(x, y) {
    const { width, height, labels } = this.map;
    if (!(x >= 0 && y >= 0 && x < width && y < height)) return 0;
    const pixel = Math.floor(y) * width + Math.floor(x);
    return this.pixels?.[pixel] ? this.pixels[pixel] - 1 : this.regions[labels[pixel]];
  }

  /** @returns {Annotation} a copy, for exports */
  annotation() {
    const { regions, pixels } = this;
    const { width, height, labels } = this.map;
    const mask = new Uint8Array(labels.length);
    for (let i = 0; i < mask.length; i++) mask[i] = pixels?.[i] ? pixels[i] - 1 : regions[labels[i]];
    return { width, height, mask, classes: this.classes.map((one) => ({ ...one })) };
  }

  /**
   * Draw the classes of a view into a picture. Pixels without a class become transparent.
   *
   * @param {Uint8ClampedArray | Uint8Array} rgba the picture, as in ImageData: 4 * view.width * view.height bytes
   * @param {import('./view.js').View} view
   * @param {ArrayLike<number>[]} colors R, G, B, A bytes of class 1, 2, ...
   */
  paint(rgba, view, colors) {
    drawClasses(this, rgba, view, colors);
  }

  // ---- undo steps

  /** The step that `undo` takes back, to compare it with that of another time. @returns {object | undefined} */
  get lastStep() {
    return this._history.done.at(-1);
  }

  get canUndo() {
    return this._history.done.length > 0;
  }

  get canRedo() {
    return this._history.undone.length > 0;
  }

  /** Make all changes until `end` one step, for example those of a stroke. */
  begin() {
    this._history.begin();
  }

  /** End the step that `begin` began. */
  end() {
    this._history.add(this._history.close('end'));
  }

  /**
   * Take back all changes since `begin`. They cannot be redone; steps undone earlier still can.
   *
   * @returns {Box | null}
   */
  cancel() {
    return this._apply(this._history.close('cancel'), true);
  }

  /** @returns {Box | null} */
  undo() {
    return this._replay(true);
  }

  /** @returns {Box | null} */
  redo() {
    return this._replay(false);
  }

  /**
   * Switch to another map of the same image, for example one of another compactness. Every pixel keeps its class. A region
   * of the new map gets a class if all of its pixels have it; all other pixels with a class become painted pixels.
   *
   * @param {LabelMap} map
   * @returns {Box | null}
   * @throws {SuperpixelMapError} `OTHER_MAP`: its width or height differs
   */
  moveTo(map) {
    this._history.checkClosed('moveTo');
    const old = this.map;
    check(
      map.width === old.width && map.height === old.height,
      'OTHER_MAP',
      `map: must be of ${old.width} x ${old.height} pixels, got ${map.width} x ${map.height}`,
    );
    const { mask } = this.annotation();
    const regions = common(map.labels, mask, map.count, 0);
    const pixels = mask.map((value, i) => (value === regions[map.labels[i]] ? 0 : 1 + value));
    const to = { map, regions, pixels };
    const from = { map: old, regions: this.regions, pixels: this.pixels };
    this._set(to);
    return this._record({ regions: [], pixels: [], maps: { from, to } });
  }

  // ---- plain data

  /**
   * The latest undo and redo steps as plain data for JSON. They reach back to the last change of the map at most.
   *
   * @param {number} [most] largest number of numbers in all steps together
   * @returns {History}
   */
  history(most = 1e6) {
    return this._history.latest(most);
  }

  /** @returns {SerialisedSelection} plain data for JSON, without `history` */
  toJSON() {
    return serialise(this);
  }

  /**
   * @param {LabelMap} map the map that the selection was made on, or one with the same labels
   * @param {SerialisedSelection} data from `toJSON`
   * @param {History} [history] from `history`, at the same time
   * @returns {Selection}
   * @throws {SuperpixelMapError} `OTHER_MAP`: `data` belongs to another map; `INVALID_SELECTION`: `data` or `history` is
   *   damaged
   */
  static restore(map, data, history) {
    const selection = Object.assign(new Selection(map), deserialise(map, data));
    if (history) selection._history.restore(history, map, selection.classes.length);
    return selection;
  }

  // ---- internal

  /** @param {number} value the class */
  _checkClass(value) {
    checkInteger('class', value, 0, Math.min(this.classes.length, MAX_CLASSES));
  }

  /**
   * @param {Level} level
   * @param {number} value the class
   */
  _check(level, value) {
    this._checkClass(value);
    check(level.map === this.map, 'OTHER_MAP', 'level: belongs to another map than the selection');
  }

  /**
   * @param {Step} step that was just done
   * @returns {Box | null}
   */
  _record(step) {
    this._history.add(step);
    return boxOf(step, this.map);
  }

  /** @param {boolean} back true: undo; false: redo */
  _replay(back) {
    const step = this._history.take(back);
    return step ? this._apply(step, back) : null;
  }

  /**
   * @param {Step} step
   * @param {boolean} back true: undo; false: redo
   * @returns {Box | null}
   */
  _apply(step, back) {
    if (step.maps) this._set(back ? step.maps.from : step.maps.to);
    if (back) renumber(this, step, back);
    replay(this.regions, step.regions, back);
    if (this.pixels) replay(this.pixels, step.pixels, back);
    this._spots = null;
    if (!back) renumber(this, step, back);
    return boxOf(step, this.map);
  }

  /**
   * @param {string} method the caller's name, for the error text
   * @param {Pick<Step, 'added' | 'edited'>} change
   * @returns {Box | null}
   */
  _changeClasses(method, change) {
    this._history.checkClosed(method);
    const step = { regions: [], pixels: [], ...change };
    renumber(this, step, false);
    return this._record(step);
  }

  /** @param {import('./history.js').State} state */
  _set(state) {
    Object.assign(this, state);
    this._spots = null;
  }
}
