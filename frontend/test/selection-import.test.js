import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toCOCO } from 'superpixel-map/exports';
import { importAnnotation, readAnnotation } from 'superpixel-map/imports';
import { CLASSES, fresh, maps } from './selections.js';

test('a selection imports files by itself, as pixels or snapped, as one undo step', async () => {
  const map = maps.photo;
  const [width, height] = [map.width, map.height];
  const mask = new Uint8Array(width * height).fill(1, 0, Math.floor((width * height) / 2));
  const file = JSON.stringify(toCOCO({ width, height, mask, classes: CLASSES }));
  const [painted, snapped] = [fresh(map), fresh(map)];
  assert.notEqual(await painted.import(file), null);
  assert.deepEqual(painted.annotation().mask, mask);
  const level = map.cut(Math.min(5, map.count));
  await snapped.import(file, { level, threshold: 0 });
  const other = fresh(map);
  importAnnotation(other, await readAnnotation(file, { width, height, classes: CLASSES }), {
    level,
    threshold: 0,
  });
  assert.deepEqual(snapped.toJSON(), other.toJSON());
  painted.undo();
  assert.deepEqual([painted.canUndo, painted.annotation().mask.some(Boolean)], [false, false]);
  await assert.rejects(painted.import('{}'), { code: 'INVALID_FILE' });
});
