import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Selection } from 'superpixel-map';
import { blocks, fresh, maps, maskOf, path } from './selections.js';

/** @typedef {import('./selections.js').Point} Point */

test('all changes between begin and end are one step', () => {
  const { photo } = maps;
  const selection = fresh(photo);
  const level = photo.cut(300);
  selection.click(level, 10, 10, 2);
  const before = maskOf(selection);
  selection.begin();
  assert.throws(() => selection.undo(), { code: 'INVALID_ARGUMENT' });
  for (let x = 100; x < 200; x += 10) {
    selection.brush(
      level,
      [
        [x, 100],
        [x + 10, 100],
      ],
      12,
      x % 20 ? 1 : 3,
    );
  }
  selection.paintPixels([[150, 100]], 4, 2);
  selection.end();
  const after = maskOf(selection);
  selection.undo();
  assert.deepEqual(maskOf(selection), before);
  selection.redo();
  assert.deepEqual(maskOf(selection), after);
  selection.begin();
  selection.end();
  selection.undo();
  assert.deepEqual(maskOf(selection), before, 'an empty step is none');
});

test('cancel takes back a step, and keeps the redo list', () => {
  const { noise } = maps;
  const selection = fresh(noise);
  const level = noise.cut(9);
  selection.choose(level, [1], 1);
  selection.choose(level, [2], 1);
  const two = maskOf(selection);
  selection.undo();
  const one = maskOf(selection);
  selection.begin();
  selection.brush(level, [[20, 20]], 9, 2);
  selection.paintPixels([[30, 20]], 9, 3);
  const box = selection.cancel();
  assert(box && box.x1 > box.x0);
  assert.deepEqual(maskOf(selection), one);
  assert.throws(() => selection.cancel(), { code: 'INVALID_ARGUMENT' });
  selection.redo();
  assert.deepEqual(maskOf(selection), two, 'what could be redone still can');
  assert.equal(selection.canRedo, false);
  selection.begin();
  assert.equal(selection.cancel(), null);
});

/** A random change. */
const action = fc.record({
  kind: fc.constantFrom(
    'click',
    'brush',
    'lasso',
    'flood',
    'pixels',
    'lift',
    'map',
    'group',
    'cancel',
    'remove',
  ),
  count: fc.constantFrom(1, 3, 20, 90),
  at: path,
  radius: fc.double({ min: 0, max: 15, noNaN: true }),
  value: fc.integer({ min: 0, max: 3 }),
});

/** @param {Selection} selection @param {any} todo */
function act(selection, { kind, count, at, radius, value: wanted }) {
  const value = Math.min(wanted, selection.classes.length);
  const { map } = selection;
  const level = map.tree ? map.cut(Math.min(count, map.count)) : map.finest;
  const points = /** @type {Point[]} */ (at);
  if (kind === 'click') selection.click(level, points[0][0], points[0][1], value);
  if (kind === 'brush') selection.brush(level, points, radius, value);
  if (kind === 'lasso') selection.lasso(level, points, value);
  if (kind === 'flood') selection.flood(level, points[0][0], points[0][1], radius, value);
  if (kind === 'pixels') selection.paintPixels(points, radius, value);
  if (kind === 'lift') selection.paintPixels(points, radius, null);
  if (kind === 'map') {
    const before = maskOf(selection);
    selection.moveTo([maps.noise, ...blocks][count % 3]);
    assert.deepEqual(maskOf(selection), before, 'a new map keeps every pixel');
  }
  if (kind === 'remove' && value) selection.removeClass(value);
  if (kind !== 'group' && kind !== 'cancel') return;
  selection.begin();
  selection.brush(level, points, radius, value);
  const other = selection.classes.length - value;
  selection.paintPixels(points.slice(0, 1), radius, other);
  selection.brush(level, points.slice(-1), radius, other);
  selection[kind === 'cancel' ? 'cancel' : 'end']();
}

test('random changes can be undone, redone, stored and restored', () => {
  fc.assert(
    fc.property(fc.array(action, { minLength: 1, maxLength: 12 }), (actions) => {
      const selection = fresh(maps.noise);
      const states = [maskOf(selection)];
      const marks = [0];
      for (const todo of actions) {
        act(selection, todo);
        if (/** @type {any} */ (selection)._history.done.length > /** @type {number} */ (marks.at(-1))) {
          states.push(maskOf(selection));
          marks.push(/** @type {any} */ (selection)._history.done.length);
        } else {
          assert.deepEqual(maskOf(selection), states.at(-1), 'no step, no change');
        }
        const kept = JSON.parse(JSON.stringify(selection));
        const history = JSON.parse(JSON.stringify(selection.history()));
        const restored = Selection.restore(selection.map, kept, history);
        assert.deepEqual(restored.annotation(), selection.annotation());
        assert.deepEqual(restored.regions, selection.regions);
        assert.deepEqual(JSON.parse(JSON.stringify(restored)), kept);
        // Undo back to the last change of the map, and redo all.
        let state = states.length - 1;
        while (restored.canUndo) {
          restored.undo();
          assert.deepEqual(maskOf(restored), states[--state], `restored, undo to ${state}`);
        }
        assert(state === 0 || actions.some(({ kind }) => kind === 'map'));
        while (restored.canRedo) restored.redo();
        assert.deepEqual(restored.annotation(), selection.annotation());
        assert.deepEqual(restored.history(), history);
      }
      for (let i = states.length - 2; i >= 0; i--) {
        selection.undo();
        assert.deepEqual(maskOf(selection), states[i], `undo to ${i}`);
      }
      assert.equal(selection.canUndo, false);
      assert.equal(selection.undo(), null);
      for (let i = 1; i < states.length; i++) {
        selection.redo();
        assert.deepEqual(maskOf(selection), states[i], `redo to ${i}`);
      }
      assert.equal(selection.canRedo, false);
    }),
    { numRuns: 150, seed: 3 },
  );
});

test('the returned box contains all changes', () => {
  fc.assert(
    fc.property(fc.array(action, { minLength: 1, maxLength: 6 }), (actions) => {
      const selection = fresh(maps.noise);
      const { width } = maps.noise;
      for (const todo of [...actions, null]) {
        const before = maskOf(selection);
        let box;
        if (todo?.kind === 'brush')
          box = selection.brush(maps.noise.cut(20), /** @type {any} */ (todo.at), todo.radius, todo.value);
        else if (todo) box = selection.paintPixels(/** @type {any} */ (todo.at), todo.radius, todo.value);
        else box = selection.undo();
        maskOf(selection).forEach((value, i) => {
          if (value === before[i]) return;
          const [x, y] = [i % width, Math.floor(i / width)];
          assert(box && x >= box.x0 && x < box.x1 && y >= box.y0 && y < box.y1, `${x} ${y}`);
        });
      }
    }),
    { numRuns: 100, seed: 4 },
  );
});

test('the returned box contains paint over whole rows', () => {
  const { noise } = maps;
  const selection = fresh(noise);
  const { width: x1, height: y1 } = noise;
  assert.deepEqual(selection.paintPixels([[26, 18]], 100, 1), { x0: 0, y0: 0, x1, y1 });
  assert.deepEqual(selection.paintPixels([[26, 2]], 100, null), { x0: 0, y0: 0, x1, y1 });
  const box = { x0: 0, y0: 5, x1, y1: 9 };
  assert.deepEqual(selection.paintPixels([[0, 7], [x1, 7]], 2, 2), box); // prettier-ignore
  assert.deepEqual(selection.undo(), box);
});

test('a new step clears the redo list', () => {
  const { noise } = maps;
  const selection = fresh(noise);
  const level = noise.cut(9);
  selection.choose(level, [1], 1);
  selection.choose(level, [2], 1);
  selection.undo();
  assert.equal(selection.canRedo, true);
  selection.choose(level, [3], 2);
  const after = maskOf(selection);
  assert.equal(selection.canRedo, false);
  assert.equal(selection.redo(), null);
  assert.deepEqual(maskOf(selection), after);
});

test('undo has no limit', () => {
  const { noise } = maps;
  const selection = fresh(noise);
  const level = noise.cut(50);
  for (let i = 0; i < 5000; i++) selection.choose(level, [i % 50], 1 + (Math.floor(i / 50) % 3));
  let steps = 0;
  while (selection.canUndo) {
    selection.undo();
    steps++;
  }
  assert.equal(steps, 5000);
  assert(maskOf(selection).every((value) => value === 0));
});

test('the stored history is limited, and rejected if damaged', () => {
  const { photo, noise } = maps;
  const selection = fresh(noise);
  const level = noise.cut(50);
  for (let i = 0; i < 40; i++) selection.choose(level, [i % 50], 1);
  for (let i = 0; i < 10; i++) selection.undo();
  const kept = JSON.parse(JSON.stringify(selection));
  const all = selection.history();
  assert.deepEqual([all.done.length, all.undone.length], [30, 10]);
  const some = selection.history(200);
  assert(some.done.length > 0 && some.done.length < 30);
  assert.deepEqual(some.done, all.done.slice(-some.done.length), 'the latest ones');
  const restored = Selection.restore(noise, kept, some);
  restored.undo();
  selection.undo();
  assert.deepEqual(maskOf(restored), maskOf(selection));
  const step = { regions: [0, 1, 0, 1], pixels: [] };
  const damages = [
    {},
    { done: [], undone: [{}] },
    { done: [null], undone: [] },
    { done: [{ ...step, regions: [noise.count, 1, 0, 1] }], undone: [] },
    { done: [{ ...step, regions: [1, noise.count, 0, 1] }], undone: [] },
    { done: [{ ...step, regions: [0, 1, 0, 256] }], undone: [] },
    { done: [{ ...step, regions: [0, 1, 0] }], undone: [] },
    { done: [{ ...step, pixels: [-1, 1, 0, 1] }], undone: [] },
    { done: [{ ...step, maps: {} }], undone: [] },
  ];
  for (const damaged of damages) {
    const restore = () => Selection.restore(noise, kept, /** @type {any} */ (damaged));
    assert.throws(restore, { code: 'INVALID_SELECTION' }, JSON.stringify(damaged));
  }
  assert.throws(() => Selection.restore(photo, kept, all), { code: 'OTHER_MAP' });
});
