import { check, checkShare } from './errors.js';
import { write } from './history.js';
import { ObjectList } from './objects.js';
import { drawClasses } from './overlay.js';
import { chooseByMask, chooseRegions, paintByMask, unprotected } from './paint.js';
import { common, regionsUnder } from './regions.js';
import { deserialise, serialise } from './serialise.js';
import { polygon, rectangle, stroke } from './shapes.js';

/** @typedef {import('./map.js').LabelMap} LabelMap */
/** @typedef {import('./map.js').Level} Level */
/** @typedef {import('./shapes.js').Point} Point */
/** @typedef {import('./runs.js').Runs} Runs */
/** @typedef {import('./annotation.js').Class} Class */
/** @typedef {import('./boxes.js').Box} Box */
/** @typedef {import('./history.js').History} History */
/** @typedef {import('./serialise.js').SerialisedSelection} SerialisedSelection */

/**
 * What `Selection.moveTo` makes on the other map.
 *
 * @typedef {object} Moved
 * @property {Uint16Array} regions as `Selection.regions`
 * @property {Uint16Array | null} pixels as `Selection.pixels`
 * @property {Uint8Array} [spots] map.count: 1 for each finest region that contains paint
 */

/** In `Selection.statesOf`: only a part of the region is chosen, or its parts have several values. */
export const PARTLY = 255;

/**
 * The classes and objects that a person gave to regions and pixels of a map.
 *
 * A value is a class or an object. A class is 1, 2, ...: 1 + its index in `classes`. An object, one of the things of a class,
 * is 256, 257, ...: 256 + its index in `objects`. Value 0 is no class: tools erase with it.
 *
 * A region tool takes a level, and sets the value of all finest regions in the regions that it chooses. So the choice is
 * the same at any other level. Painted pixels lie above the regions. A region tool removes the paint in the regions that
 * it chooses. If a region already has the value, the brush, the rectangle and the lasso remove only the paint under their
 * own shape: brushing along an edge again keeps its correction. With value 0 they remove all paint under their shape.
 *
 * Each method that changes something is one undo step, and returns the box that changed, or null if nothing changed.
 *
 * Methods throw a `SuperpixelMapError`: `INVALID_ARGUMENT` if an argument is out of range, `OTHER_MAP` if a level belongs
 * to another map.
 */
export class Selection extends ObjectList {
  // ---- regions

  /**
   * Choose regions by number.
   *
   * @param {Level} level
   * @param {Iterable<number>} regions of the level
   * @param {number} value the class or object
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
   * @param {number} value the class or object
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
   * @param {number} value the class or object
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
   * @param {number} value the class or object
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
   * @param {number} value the class or object
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
   * @param {number} value the class or object
   * @returns {Box | null}
   * @throws {SuperpixelMapError} `NO_COLORS`: the map has no colours
   */
  flood(level, x, y, threshold, value) {
    const region = level.regionAt(x, y);
    return this.choose(level, region < 0 ? [] : level.similar(region, threshold), value);
  }

  /**
   * Click with a smart select, and accept what it finds.
   *
   * @param {import('./smart/index.js').SmartSelect} smart
   * @param {number} x map pixels, may be fractional
   * @param {number} y map pixels, may be fractional
   * @param {number} value the class; 0 takes away
   * @param {object} [options]
   * @param {number} [options.grow] as in `SmartSelect.click`
   * @returns {Box | null}
   */
  smart(smart, x, y, value, { grow } = {}) {
    const box = this.choose(smart.level, smart.click(x, y, { positive: value > 0, grow }), value);
    smart.accept();
    return box;
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

  /**
   * Read an annotation from files of other tools, and put it into the selection as one undo step: `readAnnotation`,
   * `scaleAnnotation` and `importAnnotation` of `superpixel-map/imports`, which is loaded when it is used.
   *
   * @param {import('./imports/index.js').File | import('./imports/index.js').File[]} files one file, or all that belong together
   * @param {import('./imports/index.js').Options & { level?: Level, threshold?: number }} [options]
   * @returns {Promise<Box | null>} rejects with the errors of `readAnnotation` and `importAnnotation`
   */
  async import(files, { level, threshold, ...options } = {}) {
    const from = await import('./imports/index.js');
    const { width, height } = this.map;
    const read = await from.readAnnotation(files, { width, height, classes: this.classes, ...options });
    return from.importAnnotation(this, from.scaleAnnotation(read, width, height), { level, threshold });
  }

  // ---- pixels

  /**
   * Paint single pixels, above the regions: those that a circle covers while it moves along a path.
   *
   * @param {readonly Point[]} points of the path, at least one
   * @param {number} radius pixels, 0 or more
   * @param {number | null} value the class or object; 0: no class, whatever the region has; null: remove the paint, so that the
   *   region shows again
   * @returns {Box | null}
   */
  paintPixels(points, radius, value) {
    const { width, height } = this.map;
    return this.paintRuns(stroke(points, radius, width, height), value);
  }

  /**
   * Paint pixels, above the regions.
   *
   * @param {Runs} runs start (y * width + x) and length of each run
   * @param {number | null} value as in `paintPixels`
   * @returns {Box | null}
   */
  paintRuns(runs, value) {
    if (value !== null) this._checkValue(value);
    const free = unprotected(this, runs);
    this.pixels ??= new Uint16Array(this.map.labels.length);
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

  // ---- reading

  /**
   * The value of each region of a level, from its finest regions. Painted pixels do not count.
   *
   * @param {Level} level
   * @returns {Uint16Array} level.count: 0 for no class, a class or an object if the whole region has it, else `PARTLY`
   */
  statesOf(level) {
    this._check(level, 0);
    return common(level.lut, this.regions, level.count, PARTLY);
  }

  /**
   * Draw the classes of a view into a picture. Pixels without a class become transparent.
   *
   * @param {Uint8ClampedArray | Uint8Array} rgba the picture, as in ImageData: 4 * view.width * view.height bytes
   * @param {import('./view.js').View} view
   * @param {ArrayLike<number>[]} colors R, G, B, A bytes of class 1, 2, ...
   * @param {object} [options]
   * @param {boolean} [options.shades] true: each object has a lighter or darker shade of its class's colour
   */
  paint(rgba, view, colors, { shades = false } = {}) {
    drawClasses(this, rgba, view, colors, shades);
  }

  /**
   * Switch to another map of the same image, for example one of another compactness. Every pixel keeps its class
   * and object. A region of the new map gets a value if all of its pixels have it; all other pixels with a value become
   * painted pixels.
   *
   * @param {LabelMap} map
   * @param {Moved} [ready] the result, if it was worked out before, for example in slices
   * @returns {Box | null}
   * @throws {SuperpixelMapError} `OTHER_MAP`: its width or height differs
   */
  moveTo(map, ready) {
    this._history.checkClosed('moveTo');
    const old = this.map;
    check(
      map.width === old.width && map.height === old.height,
      'OTHER_MAP',
      `map: must be of ${old.width} x ${old.height} pixels, got ${map.width} x ${map.height}`,
    );
    const { regions, pixels, spots = null } = ready ?? this._on(map);
    const to = { map, regions, pixels };
    const from = { map: old, regions: this.regions, pixels: this.pixels };
    this._set(to);
    this._spots = spots;
    return this._record({ regions: [], pixels: [], maps: { from, to } });
  }

  /** @param {LabelMap} map @returns {Moved} */
  _on({ labels, count }) {
    const values = this._values();
    const regions = common(labels, values, count, 0);
    // The outside is no region, and loses its values.
    return {
      regions,
      pixels: values.map((value, i) => (value === (regions[labels[i]] ?? value) ? 0 : 1 + value)),
    };
  }

  // ---- plain data

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
    const parts = deserialise(map, data); // first: damaged data costs little memory
    const selection = Object.assign(new Selection(map), parts);
    if (history) {
      selection._history.restore(history, map, selection.classes.length, selection.objects.length);
    }
    return selection;
  }

  // ---- internal

  /**
   * @param {Level} level
   * @param {number} value a class or an object
   */
  _check(level, value) {
    this._checkValue(value);
    check(level.map === this.map, 'OTHER_MAP', 'level: belongs to another map than the selection');
  }
}
