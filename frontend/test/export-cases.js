// `node export-cases.js FOLDER` writes all exports of each case in tests/frontend/export_cases.json.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Selection } from 'superpixel-map';
import { toCOCO, toGeoJSON, toIndexedPNG, toLabelStudio, toYOLO } from 'superpixel-map/exports';
import { loadMap } from './fixtures.js';

const table = JSON.parse(
  readFileSync(new URL('../../tests/frontend/export_cases.json', import.meta.url), 'utf8'),
);

/** @param {any} formula */
function byFormula({ width, height, classes, seed, of256, cell }) {
  return Uint8Array.from({ length: width * height }, (_, i) => {
    const x = Math.floor((i % width) / cell);
    const y = Math.floor(i / width / cell);
    let hash = Math.imul(x, 73856093) ^ Math.imul(y, 19349663) ^ Math.imul(seed, 83492791);
    hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
    hash = Math.imul(hash ^ (hash >>> 12), 0x297a2d39);
    hash ^= hash >>> 15;
    return (hash & 255) < of256 ? 1 + (((hash >>> 8) & 255) % classes) : 0;
  });
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
    const { width, height } = formula;
    yield [name, { width, height, mask: byFormula(formula), classes }];
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
  write('polygons.json', toCOCO(annotation, { fileName: 'a.jpg', imageId: 7 }));
  write('classes.json', toCOCO(annotation, { split: false }));
  write('rle.json', toCOCO(annotation, { rle: true }));
  write('class-rle.json', toCOCO(annotation, { rle: true, split: false }));
  write('label-studio.json', toLabelStudio(annotation));
  write('geo.json', toGeoJSON(annotation));
  writeFileSync(join(into, 'yolo.txt'), toYOLO(annotation));
  writeFileSync(join(into, 'mask.png'), await toIndexedPNG(annotation));
}
