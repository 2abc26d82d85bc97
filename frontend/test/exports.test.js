import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toCOCO, toIndexedPNG, toLabelStudio, toPanopticJSON, toYOLO } from 'superpixel-map/exports';

const classes = [
  { name: 'x', color: '#000000' },
  { name: 'y', color: '#ffffff' },
];

test('run lengths take one pass over the picture, for any number of objects', () => {
  // With a pass per object this would not end.
  const [number, height] = [12_000, 150_000];
  const instances = new Uint16Array(2 * height);
  for (let y = 0; y < 3 * number; y++) {
    instances[2 * y] = 1 + Math.floor(y / 3);
    instances[2 * (height - 1 - y) + 1] = 1 + Math.floor(y / 3); // each object has two pieces, far apart
  }
  const mask = Uint8Array.from(instances, (one) => Math.min(one, 1));
  const objects = Array(number).fill({ class: 1, name: '' });
  const annotation = { width: 2, height, mask, classes, instances, objects };
  const { annotations } = toCOCO(annotation, { rle: true });
  assert.equal(annotations.length, number);
  assert(annotations.every(({ area, iscrowd }) => area === 6 && iscrowd === 0));
  const { segments_info: segments } = toPanopticJSON(annotation).annotations[0];
  assert.equal(segments.length, number);
});

test('an object of several pieces is one annotation, one line and one result', () => {
  const instances = Uint16Array.of(1, 0, 1, 2, 0, 0, 0, 2, 1, 1, 0, 2);
  const mask = Uint8Array.of(1, 1, 1, 2, 0, 1, 0, 2, 1, 1, 0, 2);
  const objects = [
    { class: 1, name: 'Tom' },
    { class: 2, name: '' },
    { class: 2, name: 'none' },
  ];
  const annotation = { width: 4, height: 3, mask, classes, instances, objects };
  const coco = toCOCO(annotation);
  assert.deepEqual(
    coco.annotations.map((one) => [
      one.category_id,
      one.area,
      /** @type {number[][]} */ (one.segmentation).length,
      one.attributes?.name,
    ]),
    [
      [1, 4, 3, 'Tom'],
      [2, 3, 1, undefined],
      [1, 2, 1, undefined],
    ],
  );
  assert.deepEqual(Object.keys(coco), ['info', 'licenses', 'images', 'categories', 'annotations']);
  assert.deepEqual(
    toYOLO(annotation)
      .split('\n')
      .map((line) => line.split(' ')[0]),
    ['0', '1', '0', ''],
  );
  assert.deepEqual(
    toLabelStudio(annotation).map((/** @type {any} */ one) => [one.id, one.meta?.text]),
    [
      ['object-1', ['Tom']],
      ['object-2', undefined],
      ['class-1', undefined],
    ],
  );
  const ids = [{ ...classes[0], id: 9 }, { ...classes[1], id: 4 }]; // prettier-ignore
  assert.deepEqual(
    toCOCO({ ...annotation, classes: ids }).categories.map(({ id }) => id),
    [9, 4],
  );
  const some = [{ ...classes[0], id: 9 }, classes[1]];
  assert.deepEqual(
    toCOCO({ ...annotation, classes: some }).categories.map(({ id }) => id),
    [1, 2],
  );
});

test('a colour that is not #rrggbb is refused', async () => {
  const annotation = { width: 1, height: 1, mask: Uint8Array.of(1), classes: [{ name: 'x', color: 'red' }] };
  await assert.rejects(toIndexedPNG(annotation), { code: 'INVALID_ARGUMENT' });
});
