// `node export-cases.js FOLDER` writes all exports of each case in tests/frontend/export_cases.json.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Selection } from 'superpixel-map';
import * as exports from 'superpixel-map/exports';
import { loadMap } from './fixtures.js';

const table = JSON.parse(
  readFileSync(new URL('../../tests/frontend/export_cases.json', import.meta.url), 'utf8'),
);

/** @param {any} formula @returns {Uint32Array} a number per pixel */
function hashes({ width, height, seed, cell }) {
  return Uint32Array.from({ length: width * height }, (_, i) => {
    const x = Math.floor((i % width) / cell);
    const y = Math.floor(i / width / cell);
    let hash = Math.imul(x, 73856093) ^ Math.imul(y, 19349663) ^ Math.imul(seed, 83492791);
    hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
    hash = Math.imul(hash ^ (hash >>> 12), 0x297a2d39);
    return hash ^ (hash >>> 15);
  });
}

/** @param {any} formula @returns {import('../src/annotation.js').Annotation} */
function byFormula(formula) {
  const { width, height, classes: used, of256, objects: each, ids } = formula;
  const all = hashes(formula);
  const mask = Uint8Array.from(all, (hash) => ((hash & 255) < of256 ? 1 + (((hash >>> 8) & 255) % used) : 0));
  const classes = table.classes.map((/** @type {any} */ one, /** @type {number} */ i) =>
    ids ? { ...one, id: ids[i] } : one,
  );
  if (!each) return { width, height, mask, classes };
  // Each class has `each` objects. A quarter of its cells has none.
  const instances = Uint16Array.from(mask, (value, i) => {
    const number = all[i] >>> 16;
    return value && number % 4 ? value + used * (number % each) : 0;
  });
  const objects = Array.from({ length: used * each }, (_, i) => ({
    class: 1 + (i % used),
    name: i % 3 ? '' : `no. ${i}`,
  }));
  return { width, height, mask, classes, instances, objects };
}

/** @returns {AsyncGenerator<[string, import('../src/annotation.js').Annotation]>} */
async function* annotations() {
  const { classes } = table;
  for (const { name, rows } of table.masks) {
    const text = rows.join('').replaceAll('.', '0');
    const mask = Uint8Array.from(text, Number);
    yield [name, { width: rows[0].length, height: rows.length, mask, classes }];
  }
  for (const { name, ...formula } of table.formulas) {
    yield [name, byFormula(formula)];
  }
  for (const { name, map: file, count, every } of table.regions) {
    const map = await loadMap(file);
    const level = map.cut(count || map.count);
    const selection = new Selection(map, classes);
    const all = [...Array(level.count).keys()];
    for (let value = 1; value <= classes.length; value++) {
      selection.choose(
        level,
        all.filter((region) => region % every === value - 1),
        value,
      );
    }
    yield [name, selection.annotation()];
  }
}

const folder = process.argv[2];
let number = 0;
for await (const [name, annotation] of annotations()) {
  const into = join(folder, String(number++));
  mkdirSync(into, { recursive: true });
  /** @type {(file: string, content: unknown) => void} */
  const write = (file, content) => writeFileSync(join(into, file), JSON.stringify(content));
  write('name.json', name);
  write('polygons.json', exports.toCOCO(annotation, { fileName: 'a.jpg', imageId: 7 }));
  write('classes.json', exports.toCOCO(annotation, { split: false }));
  write('rle.json', exports.toCOCO(annotation, { rle: true }));
  write('class-rle.json', exports.toCOCO(annotation, { rle: true, split: false }));
  write('label-studio.json', exports.toLabelStudio(annotation));
  write('geo.json', exports.toGeoJSON(annotation));
  write('panoptic.json', exports.toPanopticJSON(annotation, { maskName: 'panoptic.png' }));
  write('legend.json', exports.toInstanceLegend(annotation));
  writeFileSync(join(into, 'yolo.txt'), exports.toYOLO(annotation));
  writeFileSync(join(into, 'exact.svg'), exports.toSVG(annotation));
  await exports.loadSimplify();
  writeFileSync(join(into, 'smooth.svg'), exports.toSVG(annotation, { simplify: 1 }));
  write('smooth-polygons.json', exports.toCOCO(annotation, { simplify: 1 }));
  write('smooth-classes.json', exports.toCOCO(annotation, { split: false, simplify: 0.6 }));
  write('smooth-geo.json', exports.toGeoJSON(annotation, { simplify: 1 }));
  writeFileSync(join(into, 'smooth-yolo.txt'), exports.toYOLO(annotation, { simplify: 1 }));
  writeFileSync(join(into, 'mask.png'), await exports.toIndexedPNG(annotation));
  writeFileSync(join(into, 'panoptic.png'), await exports.toPanopticPNG(annotation));
  writeFileSync(join(into, 'instances.png'), await exports.toInstancePNG(annotation));
}
