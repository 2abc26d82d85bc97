// Reads GeoJSON and YOLO's segmentation labels.

import { FIRST_OBJECT } from '../annotation.js';
import { Canvas, Classes } from './canvas.js';
import { checkSize, fail, isRecord, list, shown } from './checks.js';
import { hexOf } from './colors.js';
import { checkPoints, evenOdd, filledWithOutline } from './polygons.js';

/** @typedef {import('../annotation.js').Annotation} Annotation */
/** @typedef {import('./index.js').Wanted} Wanted */

/**
 * @param {any} content untrusted
 * @param {Wanted} wanted
 * @returns {Annotation}
 */
export function readGeoJSON(content, { width, height, classes, unnamed, objects }) {
  checkSize('image', width, height);
  const canvas = new Canvas(Number(width), Number(height));
  const made = new Classes(classes);
  const features = content.type === 'Feature' ? [content] : list('features', content.features);
  features.forEach((one, i) => {
    const place = `features[${i}]`;
    const geometry = isRecord(one) ? one.geometry : null;
    const { type, coordinates } = isRecord(geometry) ? geometry : {};
    if (type !== 'Polygon' && type !== 'MultiPolygon') {
      fail(`${place}.geometry.type`, `must be Polygon or MultiPolygon, got ${shown(type)}`);
    }
    const properties = isRecord(one.properties) ? one.properties : {};
    const inside = isRecord(properties.classification) ? properties.classification : {};
    const given = inside.name ?? properties.class;
    const name = typeof given === 'string' ? given : undefined;
    const color = hexOf(inside.color) ?? properties.color;
    const value = made.add(name, name ?? unnamed.name, name === undefined ? unnamed : { color });
    const label = typeof properties.name === 'string' ? properties.name : '';
    // This package's own features have the class or object as a number.
    const isStuff = Number.isInteger(one.id) && one.id < FIRST_OBJECT && 'area' in properties;
    canvas.begin(value, objects && !isStuff, label);
    const polygons = list(`${place}.geometry.coordinates`, type === 'Polygon' ? [coordinates] : coordinates);
    polygons.forEach((rings, p) => {
      const at = `${place}.geometry.coordinates${type === 'Polygon' ? '' : `[${p}]`}`;
      const flat = list(at, rings).map((ring, r) => {
        const points = list(`${at}[${r}]`, ring).flatMap((point) =>
          Array.isArray(point) ? [point[0], point[1]] : [NaN, NaN],
        );
        return checkPoints(`${at}[${r}]`, points);
      });
      canvas.rows(evenOdd(flat, canvas.width, canvas.height));
    });
  });
  return canvas.annotation(made.all);
}

/** @param {string} text @returns {boolean} whether the first line is one of YOLO's segmentation labels */
export const isYOLO = (text) =>
  /^\d+( +[0-9.eE+-]+){6,}\s*(\n|$)/.test(text.slice(0, 1 << 20)) || !text.trim();

/**
 * @param {string} text
 * @param {Wanted} wanted class 0 of the file is the first of `classes`
 * @returns {Annotation}
 */
export function readYOLO(text, { width, height, classes, objects }) {
  checkSize('image', width, height);
  const canvas = new Canvas(Number(width), Number(height));
  const made = new Classes(classes);
  const named = (/** @type {number} */ i) => made.add(i, classes[i]?.name ?? `Class ${i + 1}`, classes[i]);
  classes.forEach((_, i) => named(i));
  text.split('\n').forEach((line, i) => {
    if (!line.trim()) return;
    const [index, ...shares] = line.trim().split(/ +/).map(Number);
    const place = `line ${i + 1}`;
    if (!(Number.isInteger(index) && index >= 0 && index < 254)) {
      fail(place, `must begin with a class from 0 to 253, got ${shown(line.slice(0, 20))}`);
    }
    for (let next = made.all.length; next < index; next++) named(next);
    const points = checkPoints(place, shares).map((share, at) => {
      if (!(share >= 0 && share <= 1)) fail(place, `must be shares from 0 to 1, got ${share}`);
      return Math.trunc(Math.fround(Math.fround(share) * (at % 2 ? canvas.height : canvas.width)));
    });
    canvas.begin(named(index), objects);
    canvas.rows(filledWithOutline(points, canvas.width, canvas.height));
  });
  return canvas.annotation(made.all);
}
