import assert from 'node:assert/strict';
import { test } from 'node:test';
import { blocks, fresh, maps, maskOf, placeIn } from './selections.js';

/** @typedef {import('superpixel-map').Level} Level */
/** @typedef {import('superpixel-map').Selection} Selection */
/** @typedef {import('./selections.js').Point} Point */

test('painted pixels lie above the regions and do not change them', () => {
  const { noise } = maps;
  const selection = fresh(noise);
  const level = noise.cut(5);
  selection.choose(level, [0, 1, 2, 3, 4], 1);
  const box = selection.paintPixels([[10.5, 10.5]], 3, 2);
  assert.deepEqual(box, { x0: 7, y0: 7, x1: 14, y1: 14 });
  assert.equal(selection.classAt(10, 10), 2);
  selection.paintPixels([[30.5, 10.5]], 3, 0);
  assert.equal(selection.classAt(30, 10), 0);
  assert.deepEqual([...selection.statesOf(level)], [1, 1, 1, 1, 1]);
  selection.paintPixels(
    [
      [10, 10],
      [30, 10],
    ],
    9,
    null,
  );
  assert(maskOf(selection).every((value) => value === 1));
});

/**
 * Each region tool, so that it chooses one whole region.
 *
 * @type {Record<string, (selection: Selection, level: Level, region: number, value: number) => any>}
 */
const tools = {
  choose: (selection, level, region, value) => selection.choose(level, [region], value),
  click: (selection, level, region, value) => selection.click(level, ...placeIn(level, region), value),
  flood: (selection, level, region, value) => selection.flood(level, ...placeIn(level, region), 0, value),
  brush: (selection, level, region, value) => selection.brush(level, [centreIn(level, region)], 0, value),
  rectangle: (selection, level, region, value) => {
    const [x0, y0, x1, y1] = level.boxes.subarray(4 * region, 4 * region + 4);
    return selection.rectangle(level, { x0, y0, x1, y1 }, value);
  },
  lasso: (selection, level, region, value) => {
    const [x0, y0, x1, y1] = level.boxes.subarray(4 * region, 4 * region + 4);
    /** @type {Point[]} */
    const points = [
      [x0, y0],
      [x1, y0],
      [x1, y1],
      [x0, y1],
    ];
    return selection.lasso(level, points, value);
  },
};

/** @param {Level} level @param {number} region @returns {Point} centre of its first pixel */
function centreIn(level, region) {
  const [x, y] = placeIn(level, region);
  return [x + 0.5, y + 0.5];
}

for (const [name, tool] of Object.entries(tools)) {
  test(`${name}: choosing a region removes the paint in it`, () => {
    const { noise } = maps;
    const level = noise.cut(9);
    for (const region of [0, 4, 8]) {
      const inRegion = noise.labels.map((label) => Number(level.lut[label] === region));
      /** @param {number} value */
      const painted = (value) => {
        const selection = fresh(noise);
        selection.brush(level, [[26, 18]], 60, 2);
        selection.paintPixels([[26, 18]], 60, value);
        return selection;
      };
      // With another class and with the eraser: paint inside the region disappears, and paint elsewhere stays.
      for (const [before, value] of [
        [1, 3],
        [0, 3],
        [1, 0],
      ]) {
        const selection = painted(before);
        const there = maskOf(selection);
        const box = tool(selection, level, region, value);
        const isBox = name === 'rectangle' || name === 'lasso'; // may choose other regions, too
        maskOf(selection).forEach((now, i) => {
          if (inRegion[i]) assert.equal(now, value, `${i}`);
          else if (!isBox) assert.equal(now, there[i], `${i}`);
          if (now !== there[i]) assert(box.x0 <= i % 53 && i % 53 < box.x1);
        });
        const after = maskOf(selection);
        selection.undo();
        assert.deepEqual(maskOf(selection), there);
        selection.redo();
        assert.deepEqual(maskOf(selection), after);
      }
    }
  });
}

test('an eraser removes paint from regions that have no class', () => {
  const { photo } = maps;
  const level = photo.cut(9);
  const selection = fresh(photo);
  selection.paintPixels([[200, 200]], 10, 1);
  selection.rectangle(level, { x0: 150, y0: 150, x1: 250, y1: 250 }, 0);
  assert(
    maskOf(selection).every((value) => value === 0),
    'no region of that level lies in the rectangle by half',
  );
});

test('paint stays in regions that a tool does not choose', () => {
  const { photo } = maps;
  const level = photo.cut(9);
  const selection = fresh(photo);
  selection.paintPixels([[200, 200]], 10, 1);
  const before = maskOf(selection);
  assert.equal(selection.rectangle(level, { x0: 150, y0: 150, x1: 250, y1: 250 }, 2), null);
  assert.deepEqual(maskOf(selection), before);
});

test('paint is removed again after it was painted again', () => {
  const { noise } = maps;
  const selection = fresh(noise);
  const level = noise.cut(1);
  for (const value of [1, 2, 1]) {
    selection.paintPixels([[20, 20]], 5, value);
    selection.click(level, 5, 5, 0);
    assert(maskOf(selection).every((one) => one === 0));
    selection.undo();
    assert.equal(selection.classAt(20, 20), value);
    selection.click(level, 5, 5, 0);
    assert(maskOf(selection).every((one) => one === 0));
  }
});

test('paint is removed on another map, too', () => {
  const { noise } = maps;
  const selection = fresh(noise);
  selection.paintPixels([[20, 20]], 5, 1);
  selection.click(noise.finest, 50, 2, 0);
  selection.moveTo(blocks[0]);
  selection.choose(blocks[0].finest, Array(blocks[0].count).keys(), 0);
  assert(maskOf(selection).every((one) => one === 0));
  selection.undo();
  selection.undo();
  selection.click(noise.cut(1), 5, 5, 2);
  assert(maskOf(selection).every((one) => one === 2));
});

test('a brush beside a correction keeps it, a brush over it removes it', () => {
  const { photo } = maps;
  const level = photo.cut(60);
  const selection = fresh(photo);
  selection.click(level, 200, 200, 1);
  const [x0, y0, x1, y1] = level.boxes.subarray(
    4 * level.regionAt(200, 200),
    4 * level.regionAt(200, 200) + 4,
  );
  assert(x1 - x0 > 20 && y1 - y0 > 20);
  selection.paintPixels([[200, 200]], 4, 0);
  const corrected = maskOf(selection);
  const far = photo.labels.findIndex((label, i) => {
    const [x, y] = [i % 512, Math.floor(i / 512)];
    return level.lut[label] === level.regionAt(200, 200) && Math.hypot(x - 200, y - 200) > 12;
  });
  const beside = /** @type {Point} */ ([(far % 512) + 0.5, Math.floor(far / 512) + 0.5]);
  assert.equal(selection.brush(level, [beside], 0, 1), null);
  assert.deepEqual(maskOf(selection), corrected);
  selection.brush(level, [[200, 200]], 6, 1);
  assert.equal(selection.classAt(200, 200), 1);
});
