import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Selection } from 'superpixel-map';
import { regionsInBox } from '../page/preview.js';
import { polygon, rectangle } from '../src/shapes.js';
import { fresh, maps, maskOf, path, point } from './selections.js';

/** @typedef {import('superpixel-map').Selection} Sel */

/** What a user does, on a selection. @type {fc.Arbitrary<(selection: Sel) => unknown>} */
const deed = fc
  .record({
    kind: fc.constantFrom('brush', 'lasso', 'click', 'paint', 'polygon', 'mask', 'paintMask'),
    points: path,
    at: point,
    value: fc.integer({ min: 0, max: 3 }),
    radius: fc.constantFrom(0, 3, 9),
    count: fc.constantFrom(5, 40),
  })
  .map(({ kind, points, at, value, radius, count }) => (/** @type {Sel} */ selection) => {
    const level = selection.map.cut(count);
    const mask = () => selection.map.labels.map((label) => (label % 2 ? value : 0));
    if (kind === 'brush') return selection.brush(level, points, radius, value);
    if (kind === 'lasso') return selection.lasso(level, points, value);
    if (kind === 'click') return selection.click(level, ...at, value);
    if (kind === 'polygon')
      return selection.paintRuns(polygon(points, selection.map.width, selection.map.height), value);
    if (kind === 'mask') return selection.fromMask(level, mask());
    if (kind === 'paintMask') return selection.paintMask(mask());
    return selection.paintPixels(points, radius, value);
  });

test('pixels of a protected class stay, and undo restores the rest', () => {
  fc.assert(
    fc.property(
      fc.array(deed, { maxLength: 5 }),
      fc.array(deed, { minLength: 1, maxLength: 4 }),
      fc.integer({ min: 0, max: 3 }),
      (before, after, kept) => {
        const selection = fresh(maps.noise);
        for (const run of before) run(selection);
        selection.protects = (value) => value === kept;
        for (const run of after) {
          const start = maskOf(selection);
          const could = selection.canUndo;
          const box = run(selection);
          const end = maskOf(selection);
          assert(start.every((value, i) => value !== kept || end[i] === kept));
          if (!box) {
            assert.deepEqual(end, start);
            assert.equal(selection.canUndo, could);
            continue;
          }
          selection.undo();
          assert.deepEqual(maskOf(selection), start);
          selection.redo();
          assert.deepEqual(maskOf(selection), end);
        }
      },
    ),
    { numRuns: 60 },
  );
});

test('what is not protected changes as without protection', () => {
  fc.assert(
    fc.property(
      fc.array(deed, { maxLength: 5 }),
      path,
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: 0, max: 3 }),
      (before, points, value, kept) => {
        const [free, bound] = [fresh(maps.noise), fresh(maps.noise)];
        for (const run of before) for (const one of [free, bound]) run(one);
        const start = maskOf(free);
        bound.protects = (one) => one === kept;
        for (const one of [free, bound]) one.paintPixels(points, 4, value);
        assert.deepEqual(
          maskOf(bound),
          maskOf(free).map((one, i) => (start[i] === kept ? kept : one)),
        );
        const level = maps.noise.cut(5);
        for (const one of [free, bound]) one.choose(level, [0, 1, 2, 3, 4], value);
        assert(maskOf(free).every((one) => one === value));
        assert.deepEqual(
          maskOf(bound),
          start.map((one) => (one === kept ? kept : value)),
        );
      },
    ),
    { numRuns: 60 },
  );
});

test('runs of pixels are painted', () => {
  const selection = fresh(maps.noise);
  selection.paintRuns([0, 5], 3);
  assert.deepEqual([...maskOf(selection).subarray(0, 6)], [3, 3, 3, 3, 3, 0]);
  assert.throws(() => selection.paintRuns([0, 5], 4), { code: 'INVALID_ARGUMENT' });
});

test('adding, naming and colouring a class are undo steps', () => {
  const selection = fresh(maps.noise);
  const before = selection.toJSON();
  const { width, height } = maps.noise;
  assert.deepEqual(selection.addClass({ name: 'cup', color: '#101010' }), {
    x0: 0,
    y0: 0,
    x1: width,
    y1: height,
  });
  selection.paintPixels([[5, 5]], 2, 4);
  selection.editClass(4, { name: 'mug' });
  selection.editClass(2, { color: '#202020' });
  const after = selection.toJSON();
  assert.deepEqual(after.classes.slice(1), [
    { name: 'dog', color: '#202020' },
    { name: 'sky', color: '#4363d8' },
    { name: 'mug', color: '#101010' },
  ]);
  selection.removeClass(1);
  const restored = Selection.restore(
    maps.noise,
    JSON.parse(JSON.stringify(selection.toJSON())),
    JSON.parse(JSON.stringify(selection.history())),
  );
  for (const one of [selection, restored]) {
    one.undo();
    assert.deepEqual(one.toJSON(), after);
    for (let i = 0; i < 4; i++) assert(one.undo());
    assert.deepEqual({ ...one.toJSON(), pixels: [] }, before);
    assert(!one.canUndo);
    for (let i = 0; i < 4; i++) assert(one.redo());
    assert.deepEqual(one.toJSON(), after);
  }
  assert.throws(() => selection.editClass(5, {}), { code: 'INVALID_ARGUMENT' });
  selection.begin();
  assert.throws(() => selection.addClass({ name: 'x', color: '#000000' }), { code: 'INVALID_ARGUMENT' });
  selection.cancel();
});

test('a damaged step of a class is rejected', () => {
  const selection = fresh(maps.noise);
  selection.addClass({ name: 'cup', color: '#101010' });
  selection.editClass(1, { name: 'mug' });
  const data = selection.toJSON();
  const damages = [
    (/** @type {any} */ done) => (done[0].added.at = 5),
    (/** @type {any} */ done) => (done[0].added.class = null),
    (/** @type {any} */ done) => (done[1].edited.at = 0),
    (/** @type {any} */ done) => (done[1].edited.from = { name: 1 }),
    (/** @type {any} */ done) => delete done[1].edited.to,
  ];
  for (const damage of damages) {
    const history = structuredClone(selection.history());
    damage(history.done);
    assert.throws(() => Selection.restore(maps.noise, data, history), { code: 'INVALID_SELECTION' });
  }
});

test('the rectangle of the page takes what that of a selection takes', () => {
  const [a, b] = [fresh(maps.photo), fresh(maps.photo)];
  const { width, height } = maps.photo;
  const corner = fc.tuple(fc.double({ min: -9, max: width + 9, noNaN: true }), fc.double({ min: -9, max: height + 9, noNaN: true })); // prettier-ignore
  fc.assert(
    fc.property(corner, corner, fc.constantFrom(7, 300), ([x0, y0], [x1, y1], count) => {
      const level = maps.photo.cut(count);
      const shape = polygon(rectangle(x0, y0, x1, y1), width, height);
      const box = a.choose(level, regionsInBox(level, shape), 1, shape);
      assert.deepEqual(b.rectangle(level, { x0, y0, x1, y1 }, 1), box);
      assert.deepEqual(a.regions, b.regions);
      for (const one of [a, b]) if (box) one.undo();
    }),
    { numRuns: 100 },
  );
});
