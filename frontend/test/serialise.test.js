import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Selection } from 'superpixel-map';
import { CLASSES, fresh, maps } from './selections.js';

test('a selection is restored on its own map only, and not if damaged', () => {
  const { photo, noise } = maps;
  const selection = fresh(photo);
  selection.click(photo.cut(20), 100, 100, 1);
  selection.paintPixels([[100, 100]], 5, 2);
  const kept = JSON.parse(JSON.stringify(selection));
  assert(JSON.stringify(kept).length < 60_000);
  assert.throws(() => Selection.restore(noise, kept), { code: 'OTHER_MAP' });
  const labels = photo.labels.slice();
  labels[labels.length - 1] ^= 1;
  const alike = new /** @type {any} */ (photo.constructor)({ ...photo, labels });
  assert.throws(() => Selection.restore(alike, kept), { code: 'OTHER_MAP' });
  const damages = [
    null,
    {},
    { ...kept, version: 3 },
    { ...kept, version: '2' },
    { ...kept, objects: undefined },
    { ...kept, objects: [{ class: 0, name: '' }] },
    { ...kept, objects: [{ class: 4, name: '' }] },
    { ...kept, objects: [{ class: 1 }] },
    { ...kept, objects: Array(65_001).fill({ class: 1, name: '' }) },
    { ...kept, parameters: [] },
    { ...kept, parameters: { compactness: [] } },
    { ...kept, parameters: { 1: 1 } },
    { ...kept, parameters: { text: 'x'.repeat(101) } },
    { ...kept, regions: [256, photo.count] },
    { ...kept, regions: undefined },
    { ...kept, regions: [...kept.regions, 0, 1] },
    { ...kept, regions: kept.regions.slice(2) },
    { ...kept, regions: [4, photo.count] },
    { ...kept, regions: [0, -1, 0, photo.count + 1] },
    { ...kept, regions: [0, 0.5, 0, photo.count - 0.5] },
    { ...kept, pixels: [5, 512 * 512] },
    { ...kept, pixels: [0, 1e18] },
    { ...kept, classes: Array(255).fill(CLASSES[0]) },
  ];
  for (const damaged of damages) {
    assert.throws(
      () => Selection.restore(photo, /** @type {any} */ (damaged)),
      { code: 'INVALID_SELECTION' },
      JSON.stringify(damaged)?.slice(0, 80),
    );
  }
});
