// What tools and masks change: the regions that they choose, the pixels that they paint, and the paint that they remove.

import { checkClasses, copyClass } from './annotation.js';
import { check, checkInteger, checkShare } from './errors.js';
import { write } from './history.js';
import { regionsUnder } from './regions.js';
import { append } from './runs.js';

/** @typedef {import('./annotation.js').Class} Class */
/** @typedef {import('./history.js').Step} Step */
/** @typedef {import('./map.js').LabelMap} LabelMap */
/** @typedef {import('./map.js').Level} Level */
/** @typedef {import('./selection.js').Selection} Selection */
/** @typedef {import('./runs.js').Runs} Runs */

/**
 * @param {Uint16Array} pixels `Selection.pixels`
 * @param {LabelMap} map
 * @returns {Uint8Array} map.count: 1 for each finest region that contains paint
 */
function paintedRegions(pixels, { labels, count }) {
  const spots = new Uint8Array(count);
  pixels.forEach((value, i) => value && (spots[labels[i]] = 1));
  return spots;
}

/**
 * Set the value of regions, and remove the paint in them: see `Selection`.
 *
 * @param {Selection} selection
 * @param {Level} level
 * @param {Iterable<number>} regions of the level
 * @param {number} value their class or object
 * @param {Runs} [shape] pixels under the tool, if it has a shape
 * @returns {Step} the changes, which are made
 */
export function chooseRegions(selection, level, regions, value, shape) {
  const { map, pixels, protects } = selection;
  /** @type {number[]} */
  const members = [];
  /** @type {number[]} finest regions of a protected class: only other paint in them changes */
  const kept = [];
  for (const region of regions) {
    for (const member of level.members(region)) {
      (protects?.(selection.regions[member]) ? kept : members).push(member);
    }
  }
  const sorted = Int32Array.from(members).sort();
  /** @type {number[]} */
  let removed = [];
  if (pixels) {
    const spots = (selection._spots ??= paintedRegions(pixels, map));
    const inKept = paintIn(
      pixels,
      map,
      kept.filter((member) => spots[member]),
    );
    removed = write(pixels, unprotected(selection, inKept), 1 + value);
    const covered = coveredPaint(pixels, selection, spots, sorted, value, shape);
    for (const change of write(pixels, unprotected(selection, covered), 0)) removed.push(change);
  }
  /** @type {Runs} */
  const runs = [];
  for (const member of sorted) append(runs, member);
  return { regions: write(selection.regions, runs, value), pixels: removed };
}

/**
 * @param {Uint16Array} pixels `Selection.pixels`
 * @param {LabelMap} map
 * @param {Iterable<number>} members finest regions
 * @returns {Runs} painted pixels in them
 */
function paintIn(pixels, { labels, width, finest }, members) {
  /** @type {Runs} */
  const runs = [];
  for (const member of members) {
    const [x0, y0, x1, y1] = finest.boxes.subarray(4 * member, 4 * member + 4);
    for (let y = y0; y < y1; y++) {
      for (let at = y * width + x0, end = y * width + x1; at < end; at++) {
        if (pixels[at] && labels[at] === member) append(runs, at);
      }
    }
  }
  return runs;
}

/**
 * @param {Selection} selection
 * @param {Runs} runs pixels
 * @returns {Runs} those inside the mask of the map whose class is not protected
 */
export function unprotected({ protects, pixels, regions, map: { labels, count, outside } }, runs) {
  if (!protects && !outside) return runs;
  /** @type {Runs} */
  const free = [];
  for (let i = 0; i < runs.length; i += 2) {
    for (let at = runs[i], end = at + runs[i + 1]; at < end; at++) {
      if (labels[at] < count && !protects?.(pixels?.[at] ? pixels[at] - 1 : regions[labels[at]]))
        append(free, at);
    }
  }
  return free;
}

/**
 * The painted pixels that a region tool removes: see `Selection`.
 *
 * @param {Uint16Array} pixels `Selection.pixels`
 * @param {Selection} selection before the regions get their class
 * @param {Uint8Array} spots 1 for each finest region that may contain paint; 0 is set for those that lose it
 * @param {Int32Array} members finest regions that the tool chooses
 * @param {number} value their class or object
 * @param {Runs} [shape] pixels under the tool, if it has a shape
 * @returns {Runs} pixels
 */
function coveredPaint(pixels, { map, regions, protects }, spots, members, value, shape) {
  const { labels } = map;
  const taken = new Uint8Array(map.count);
  const wiped = members.filter((member) => {
    taken[member] = 1;
    return spots[member] && !(shape && value && regions[member] === value);
  });
  if (!protects) for (const member of wiped) spots[member] = 0;
  const runs = paintIn(pixels, map, wiped);
  for (let i = 0; shape && i < shape.length; i += 2) {
    for (let at = shape[i], end = at + shape[i + 1]; at < end; at++) {
      if (pixels[at] && (!value || taken[labels[at]])) append(runs, at);
    }
  }
  return runs;
}

// ---- masks from elsewhere

/**
 * Choose each region of a level for the class that most of its pixels have, if these are at least a share of its pixels. Class
 * 0 never wins. Of classes with equally many pixels the smallest wins. `snap_mask` in Python gives the same result.
 *
 * @param {Selection} selection
 * @param {Level} level
 * @param {ArrayLike<number | boolean>} mask see `Selection.fromMask`
 * @param {Class[]} classes
 * @param {number} threshold
 * @returns {Step} the changes, which are made
 */
export function chooseByMask(selection, level, mask, classes, threshold) {
  checkShare('threshold', threshold);
  const chosen = snapped(level, readRuns(selection, mask, classes), threshold);
  const steps = chosen.map((regions, value) => chooseRegions(selection, level, regions, value));
  return {
    regions: steps.flatMap(({ regions }) => regions),
    pixels: steps.flatMap(({ pixels }) => pixels),
  };
}

/**
 * @param {Level} level
 * @param {Runs[]} runs pixels by value
 * @param {number} threshold
 * @returns {number[][]} by value: the regions that it wins
 */
export function snapped(level, runs, threshold) {
  const most = new Uint32Array(level.count);
  const best = new Uint32Array(level.count);
  runs.forEach((some, value) => {
    for (const [region, pixels] of regionsUnder(level, some)) {
      if (pixels <= most[region] || pixels / level.areas[region] < threshold) continue;
      most[region] = pixels;
      best[region] = value;
    }
  });
  /** @type {number[][]} */
  const chosen = [];
  best.forEach((value, region) => value && (chosen[value] ??= []).push(region));
  return chosen;
}

/**
 * Paint the pixels that have a class.
 *
 * @param {Selection} selection
 * @param {ArrayLike<number | boolean>} mask see `Selection.fromMask`
 * @param {Class[]} classes
 * @returns {Step} the changes, which are made
 */
export function paintByMask(selection, mask, classes) {
  const runs = readRuns(selection, mask, classes);
  const pixels = (selection.pixels ??= new Uint16Array(mask.length));
  selection._spots = null;
  const changes = runs.flatMap((part, value) => write(pixels, unprotected(selection, part), value + 1));
  return { regions: [], pixels: changes };
}

/**
 * Read a mask, and append classes that the selection does not have.
 *
 * @param {Selection} selection
 * @param {ArrayLike<number | boolean>} mask
 * @param {Class[]} classes of the mask
 * @returns {Runs[]} pixels by class value of the selection
 * @throws {SuperpixelMapError} `INVALID_ARGUMENT`, and nothing was appended
 */
function readRuns({ map, classes: own }, mask, classes) {
  const size = map.labels.length;
  check(mask.length === size, 'INVALID_ARGUMENT', `mask: must be ${size} values, got ${mask.length}`);
  const all = own.slice();
  const values = classes.map((one, i) => {
    const found = classes === own ? i : all.findIndex(({ name }) => name === one?.name);
    return found < 0 ? all.push(one && copyClass(one)) : found + 1;
  });
  checkClasses(all, 'INVALID_ARGUMENT');
  /** @type {Runs[]} */
  const runs = [];
  for (let i = 0; i < size; i++) {
    const value = Number(mask[i]);
    checkInteger('mask', value, 0, values.length);
    if (value) append((runs[values[value - 1]] ??= []), i);
  }
  own.push(...all.slice(own.length));
  return runs;
}
