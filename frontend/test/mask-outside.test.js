import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LabelMap, Selection } from 'superpixel-map';
import { importAnnotation } from 'superpixel-map/imports';
import { SmartSelect } from 'superpixel-map/smart';
import { loadMap, read } from './fixtures.js';

const CLASSES = [
  { name: 'cat', color: '#e6194b' },
  { name: 'dog', color: '#3cb44b' },
];

/** The boxes that tests/frontend/fixtures.py puts inside. @param {number} x @param {number} y */
const isInside = (x, y) =>
  (x >= 20 && x < 60 && y >= 10 && y < 80) || (x >= 70 && x < 140 && y >= 40 && y < 115);

/** @param {import('superpixel-map').LabelMap} map @param {(inside: boolean, i: number) => void} each */
function forPixels(map, each) {
  for (let i = 0; i < map.labels.length; i++) each(isInside(i % map.width, Math.floor(i / map.width)), i);
}

test('there is no region outside the mask', async () => {
  for (const map of [await loadMap('masked'), await loadMap('masked-levels')]) {
    assert.equal(map.outside, true);
    for (const level of [map.finest, map.cut(7)]) {
      forPixels(map, (inside, i) => {
        const region = level.regionAt(i % map.width, Math.floor(i / map.width));
        assert.equal(region >= 0 && region < level.count, inside);
      });
      assert.equal(
        level.areas.reduce((sum, area) => sum + area),
        40 * 70 + 70 * 75,
      );
      assert.deepEqual(
        level.touched(
          [
            [5, 5],
            [12, 5],
          ],
          3,
        ),
        [],
      );
      const all = Array.from({ length: level.count }, (_, i) => [...level.members(i)]).flat();
      assert.deepEqual(
        all.sort((a, b) => a - b),
        Array.from({ length: map.count }, (_, i) => i),
      );
    }
  }
  assert.equal((await loadMap('noise')).outside, false);
});

test('the border of the mask is a line at every level, in all ways to draw it', async () => {
  for (const name of ['masked', 'masked-levels']) {
    const map = await loadMap(name);
    const { width, height } = map;
    for (const count of name === 'masked' ? [1, 2, 40, map.count] : [7, 40, 90]) {
      const view = { x: 0, y: 0, scale: 1, width, height };
      const level = map.cut(count);
      const first = level.boundaries().raster(view);
      const second = level.boundaries().raster(view); // from the outlines of all levels
      assert.deepEqual(first, second);
      assert.equal(first[50 * width + 19], 1, 'left of the first box');
      assert.equal(first[50 * width + 10], 0);
    }
  }
});

test('a selection has no class outside', async () => {
  const map = await loadMap('masked');
  const selection = new Selection(map, CLASSES);
  selection.choose(
    map.cut(7),
    Array.from({ length: 7 }, (_, i) => i),
    1,
  );
  selection.paintRuns([0, map.labels.length], 2);
  const { mask } = selection.annotation();
  forPixels(map, (inside, i) => assert.equal(mask[i], inside ? 2 : 0));
  assert.equal(selection.valueAt(5, 5), 0);
  assert.equal(selection.click(map.cut(7), 5, 5, 1), null);
  assert.deepEqual([...selection.statesOf(map.cut(7))], Array(7).fill(1));
  const rgba = new Uint8ClampedArray(4 * map.labels.length);
  const view = { x: 0, y: 0, scale: 1, width: map.width, height: map.height };
  selection.paint(rgba, view, [
    [255, 0, 0, 255],
    [0, 255, 0, 255],
  ]);
  forPixels(map, (inside, i) => assert.equal(rgba[4 * i + 3], inside ? 255 : 0));
});

test('paint outside that is stored counts as no class', async () => {
  const map = await loadMap('masked');
  const data = new Selection(map, CLASSES).toJSON();
  const restored = Selection.restore(map, { ...data, pixels: [2, map.labels.length] });
  const { mask } = restored.annotation();
  forPixels(map, (inside, i) => assert.equal(mask[i], inside ? 1 : 0));
});

test('work moves to a map with a mask, and annotations are imported inside', async () => {
  const [masked, whole] = await Promise.all([loadMap('masked'), loadMap('levels')]);
  const selection = new Selection(whole, CLASSES);
  selection.choose(
    whole.finest,
    Array.from({ length: 100 }, (_, i) => 2 * i),
    1,
  );
  const before = selection.annotation().mask;
  selection.moveTo(masked);
  const after = selection.annotation().mask;
  forPixels(masked, (inside, i) => assert.equal(after[i], inside ? before[i] : 0));
  for (const level of [undefined, masked.cut(20)]) {
    const other = new Selection(masked, CLASSES);
    const mask = new Uint8Array(masked.labels.length).fill(2);
    importAnnotation(
      other,
      { width: masked.width, height: masked.height, mask, classes: CLASSES },
      { level },
    );
    const found = other.annotation().mask;
    forPixels(masked, (inside, i) => assert.equal(found[i], inside ? 2 : 0));
  }
});

test('smart select stays inside', async () => {
  const map = await loadMap('masked');
  const level = map.cut(50);
  const colors = { data: read('maps/masked.rgba'), width: map.width, height: map.height };
  const selection = new Selection(map, CLASSES);
  for (const weights of [undefined, null]) {
    const smart = new SmartSelect(map, level, { colors, weights });
    for (const wish of [{ grow: 5 }, { positive: false }]) {
      assert.equal(smart.click(5, 5, wish).length, 0);
      assert.equal(smart.regrow(5).length, 0);
      assert.equal(smart.accept(), false);
    }
    assert.equal(smart.stroke([[5, 5]], 4).length, 0);
    assert.equal(selection.smart(smart, 65, 100, 1), null);
    assert.equal(smart.state.clicks, 0);
    // From outside into one of the boxes: nothing of the other one.
    const found = smart.stroke(
      [
        [80, 20],
        [120, 60],
      ],
      2,
      { grow: 5 },
    );
    assert(found.includes(level.regionAt(120, 60)));
    assert(found.every((region) => level.boxes[4 * region] >= 70));
    assert.equal(smart.accept(), true);
    assert.deepEqual(smart.chosen, found);
    assert(smart.click(30, 30, { grow: 5 }).every((region) => level.boxes[4 * region + 2] <= 60));
    // A view without a superpixel.
    const box = { x0: 0, y0: 0, x1: 15, y1: 9 };
    const empty = new SmartSelect(map, level, { box, weights });
    assert.equal(empty.click(5, 5).length, 0);
    assert.equal(empty.touch([0, 7, 49]).length, 0);
    empty.restore(smart.state);
    assert.equal(empty.chosen.length, 0);
  }
});

test('smart select measures an image in a frame outside as the image alone', async () => {
  const map = await loadMap('noise');
  const { width, height, count, connected, algorithmVersion, tree, heights } = map;
  const [left, right, above, below] = [4, 3, 9, 2];
  const [wide, high] = [left + width + right, above + height + below];
  const labels = new Int32Array(wide * high).fill(count);
  const data = new Uint8Array(4 * labels.length).map((_, i) => i * 37);
  const rgba = read('maps/noise.rgba');
  for (let y = 0; y < height; y++) {
    const at = (above + y) * wide + left;
    labels.set(map.labels.subarray(y * width, (y + 1) * width), at);
    data.set(rgba.subarray(4 * y * width, 4 * (y + 1) * width), 4 * at);
  }
  const content = { count, labels, connected, algorithmVersion, tree, heights };
  const none = { levels: null, regions: null, provenance: null };
  const framed = new LabelMap({ ...content, ...none, width: wide, height: high, outside: true });
  const [alone, inside] = [
    new SmartSelect(map, map.cut(60), { colors: { data: rgba, width, height } }),
    new SmartSelect(framed, framed.cut(60), { colors: { data, width: wide, height: high } }),
  ];
  assert.deepEqual({ ...inside._scene }, { ...alone._scene });
  assert.deepEqual(inside.click(left + 20, above + 20), alone.click(20, 20));
});

test('the region for outside must be one of the map', async () => {
  const [masked, photo] = await Promise.all([loadMap('masked'), loadMap('photo')]);
  for (const [map, outsideRegion] of /** @type {const} */ ([
    [photo, -1],
    [photo, photo.count],
    [photo, 1.5],
    [masked, 0],
  ])) {
    assert.throws(() => new SmartSelect(map, map.cut(20), { outsideRegion }), {
      code: 'INVALID_ARGUMENT',
      message: /^outsideRegion: /,
    });
  }
  const smart = new SmartSelect(photo, photo.cut(1), { outsideRegion: photo.finest.regionAt(9, 9) });
  assert.equal(smart.click(9.5, 9.5).length, 0);
});
