import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PARTLY } from 'superpixel-map';
import { polygon, stroke } from '../src/shapes.js';
import { blocks, fresh, maps, maskOf, pixelsOf, placeIn } from './selections.js';

/** @typedef {import('./selections.js').Point} Point */

test('a click chooses one region of the level, and class 0 erases', () => {
  const { photo } = maps;
  const selection = fresh(photo);
  const level = photo.cut(80);
  const box = selection.click(level, 200, 300, 2);
  const region = level.regionAt(200, 300);
  const expected = photo.labels.map((label) => (level.lut[label] === region ? 2 : 0));
  assert.deepEqual([...maskOf(selection)], [...expected]);
  const [x0, y0, x1, y1] = level.boxes.subarray(4 * region, 4 * region + 4);
  assert.deepEqual(box, { x0, y0, x1, y1 });
  assert.equal(selection.classAt(200, 300), 2);
  assert.equal(selection.click(level, 200, 300, 2), null);
  assert.equal(selection.click(level, -5, 300, 2), null);
  selection.click(photo.cut(1), 0, 0, 0);
  assert(maskOf(selection).every((value) => value === 0));
});

test('a brush chooses regions that it touches; lasso and rectangle choose by share of area', () => {
  const { photo } = maps;
  const level = photo.cut(400);
  /** @type {Point[]} */
  const points = [
    [100, 100],
    [180, 140],
    [150, 220],
  ];
  const touched = fresh(photo);
  touched.brush(level, points, 7.5, 1);
  const inStroke = pixelsOf(stroke(points, 7.5, 512, 512), 512 * 512);
  const counts = new Map();
  photo.labels.forEach((label, i) => {
    if (inStroke[i]) counts.set(level.lut[label], 1);
  });
  assert.deepEqual(
    new Set([...touched.statesOf(level)].flatMap((s, i) => (s ? [i] : []))),
    new Set(counts.keys()),
  );

  for (const share of [0, 0.5, 1]) {
    const inside = new Map();
    const inPolygon = pixelsOf(polygon(points, 512, 512), 512 * 512);
    photo.labels.forEach((label, i) => {
      const region = level.lut[label];
      if (inPolygon[i]) inside.set(region, (inside.get(region) ?? 0) + 1);
    });
    const expected = [...inside].filter(([region, pixels]) => pixels >= share * level.area(region));
    const lasso = fresh(photo);
    lasso.lasso(level, points, 3, share);
    const states = [...lasso.statesOf(level)].flatMap((s, i) => (s === 3 ? [i] : []));
    assert.deepEqual(
      states,
      expected.map(([region]) => region).sort((a, b) => a - b),
      `share ${share}`,
    );
  }
  const [box, same] = [fresh(photo), fresh(photo)];
  box.rectangle(level, { x0: 300, y0: 400, x1: 120, y1: 90 }, 1);
  same.lasso(
    level,
    [
      [120, 90],
      [300, 90],
      [300, 400],
      [120, 400],
    ],
    1,
  );
  assert.deepEqual(maskOf(box), maskOf(same));
  assert(maskOf(box).some((value) => value === 1));
});

test('flood chooses similar regions', () => {
  const { photo } = maps;
  const level = photo.cut(300);
  const selection = fresh(photo);
  selection.flood(level, 250, 40, 30, 1);
  const chosen = [...selection.statesOf(level)].flatMap((s, i) => (s ? [i] : []));
  assert.deepEqual(
    chosen,
    level.similar(level.regionAt(250, 40), 30).sort((a, b) => a - b),
  );
  assert(chosen.length > 1 && chosen.length < 300);
});

test('another level keeps every pixel, and reports partly chosen regions', () => {
  const { photo } = maps;
  const selection = fresh(photo);
  const fine = photo.cut(500);
  selection.click(fine, 250, 250, 1);
  const before = maskOf(selection);
  for (const count of [photo.count, 500, 60, 2, 1]) {
    const level = photo.cut(count);
    const states = selection.statesOf(level);
    assert.deepEqual(maskOf(selection), before);
    const regions = Array.from({ length: count }, () => new Set());
    photo.labels.forEach((label, i) => regions[level.lut[label]].add(before[i]));
    const expected = regions.map((values) => (values.size > 1 ? PARTLY : [...values][0]));
    assert.deepEqual([...states], expected, `count ${count}`);
  }
  assert.equal(selection.statesOf(photo.cut(1))[0], PARTLY);
});

test('removing a class removes it everywhere, and undo restores it', () => {
  const { noise } = maps;
  const selection = fresh(noise);
  const level = noise.cut(9);
  selection.choose(level, [0, 1], 1);
  selection.choose(level, [2, 3], 2);
  selection.choose(level, [4, 5], 3);
  selection.paintPixels([placeIn(level, 0)], 2, 2);
  selection.paintPixels([placeIn(level, 2)], 2, 3);
  const before = maskOf(selection);
  const names = () => selection.classes.map(({ name }) => name);
  assert.throws(() => selection.removeClass(0), { code: 'INVALID_ARGUMENT' });
  assert.throws(() => selection.removeClass(4), { code: 'INVALID_ARGUMENT' });
  const { width: x1, height: y1 } = noise;
  assert.deepEqual(selection.removeClass(2), { x0: 0, y0: 0, x1, y1 });
  assert.deepEqual(names(), ['cat', 'sky']);
  const after = before.map((value) => [0, 1, 0, 2][value]);
  assert.deepEqual(maskOf(selection), after);
  // Later steps and a new class do not disturb undo.
  selection.classes.push({ name: 'sea', color: '#000000' });
  selection.choose(level, [6], 3);
  const later = maskOf(selection);
  assert.throws(() => selection.choose(level, [6], 4), { code: 'INVALID_ARGUMENT' });
  selection.undo();
  selection.undo();
  assert.deepEqual(names(), ['cat', 'dog', 'sky', 'sea']);
  assert.deepEqual(maskOf(selection), before);
  selection.redo();
  assert.deepEqual(names(), ['cat', 'sky', 'sea']);
  assert.deepEqual(maskOf(selection), after);
  selection.redo();
  assert.deepEqual(maskOf(selection), later);
  const unused = fresh(noise);
  unused.removeClass(1);
  unused.undo();
  assert.equal(unused.classes.length, 3);
});

test('invalid arguments throw, and change nothing', () => {
  const { photo, noise } = maps;
  const selection = fresh(photo);
  const level = photo.cut(5);
  for (const value of [-1, 4, 1.5, NaN]) {
    assert.throws(() => selection.click(level, 5, 5, value), { code: 'INVALID_ARGUMENT' });
    assert.throws(() => selection.paintPixels([[5, 5]], 3, value), { code: 'INVALID_ARGUMENT' });
  }
  assert.throws(() => selection.click(noise.cut(5), 5, 5, 1), { code: 'OTHER_MAP' });
  assert.throws(() => selection.statesOf(noise.cut(5)), { code: 'OTHER_MAP' });
  assert.throws(() => selection.choose(level, [5], 1), { code: 'INVALID_ARGUMENT' });
  assert.throws(() => selection.brush(level, [], 3, 1), { code: 'INVALID_ARGUMENT' });
  assert.throws(() => selection.brush(level, [[NaN, 1]], 3, 1), { code: 'INVALID_ARGUMENT' });
  assert.throws(() => selection.brush(level, [[1, 1]], -1, 1), { code: 'INVALID_ARGUMENT' });
  assert.throws(() => selection.lasso(level, [[1, 1]], 1, 2), { code: 'INVALID_ARGUMENT' });
  assert.throws(() => selection.end(), { code: 'INVALID_ARGUMENT' });
  assert.equal(selection.canUndo, false);
});

test('on another map, whole regions get a class, and the rest becomes paint', () => {
  const { noise } = maps;
  const [four] = blocks;
  const selection = fresh(four);
  selection.choose(four.finest, [0, 1, 2, 40], 2);
  const before = maskOf(selection);
  selection.moveTo(noise);
  assert.deepEqual(maskOf(selection), before);
  const painted = /** @type {Uint16Array} */ (selection.pixels);
  const whole = [...noise.finest.areas].map((_, label) =>
    noise.labels.every((other, i) => other !== label || before[i] === 2),
  );
  whole.forEach((inside, label) => assert.equal(selection.regions[label], inside ? 2 : 0));
  noise.labels.forEach((label, i) => assert.equal(painted[i], before[i] && !whole[label] ? 3 : 0));
  assert.throws(() => selection.moveTo(maps.photo), { code: 'OTHER_MAP' });
});

test('a change of the map and back restores the regions', () => {
  const { noise } = maps;
  const selection = fresh(noise);
  selection.choose(noise.cut(9), [1, 2, 5], 2);
  const { regions } = selection;
  const before = regions.slice();
  selection.moveTo(blocks[0]);
  selection.moveTo(noise);
  assert.deepEqual(selection.regions, before);
  assert(selection.pixels?.every((value) => value === 0));
});

test('paint draws the classes in their colours at any zoom', () => {
  const { noise } = maps;
  const selection = fresh(noise);
  selection.brush(noise.cut(30), [[20, 20]], 8, 1);
  selection.paintPixels([[30, 10]], 3, 3);
  selection.paintPixels([[20, 20]], 2, 0);
  const colors = [
    [1, 2, 3, 128],
    [4, 5, 6, 128],
    [7, 8, 9, 255],
  ];
  for (const view of [
    { x: 0, y: 0, scale: 1, width: 53, height: 37 },
    { x: -3.3, y: 5, scale: 3.7, width: 100, height: 90 },
    { x: 1, y: -8, scale: 0.4, width: 30, height: 30 },
  ]) {
    const picture = new Uint8ClampedArray(4 * view.width * view.height).fill(77);
    selection.paint(picture, view, colors);
    for (let i = 0; i < view.width * view.height; i++) {
      const x = view.x + ((i % view.width) + 0.5) / view.scale;
      const y = view.y + (Math.floor(i / view.width) + 0.5) / view.scale;
      const value = selection.classAt(x, y);
      assert.deepEqual([...picture.subarray(4 * i, 4 * i + 4)], value ? colors[value - 1] : [0, 0, 0, 0]);
    }
  }
});
