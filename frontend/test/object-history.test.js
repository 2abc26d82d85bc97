import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Selection, SuperpixelMapError } from 'superpixel-map';
import { blocks, fresh, maps, path } from './selections.js';

/** @typedef {import('./selections.js').Point} Point */

/** Everything that a person sees of a selection. @param {Selection} selection */
const shown = (selection) => selection.annotation();

/** A random change of objects. */
const action = fc.record({
  kind: fc.constantFrom(
    'add',
    'add',
    'brush',
    'brush',
    'pixels',
    'remove',
    'join',
    'split',
    'class',
    'name',
    'removeClass',
    'mergeClass',
    'map',
    'group',
    'cancel',
  ),
  at: path,
  radius: fc.double({ min: 0, max: 15, noNaN: true }),
  value: fc.nat(20),
  other: fc.nat(20),
});

/** @param {Selection} selection @param {any} todo */
function act(selection, { kind, at, radius, value, other }) {
  const { map, classes, objects } = selection;
  const points = /** @type {Point[]} */ (at);
  const level = map.tree ? map.cut(20) : map.finest;
  /** A class or an object. @param {number} number */
  const any = (number) => {
    const one = number % (1 + classes.length + selection.objects.length);
    return one > classes.length ? 255 + one - classes.length : one;
  };
  /** @param {number} number */
  const object = (number) => 256 + (number % objects.length);
  if (classes.length && kind === 'add') selection.addObject(1 + (value % classes.length), `${other}`);
  if (kind === 'brush') selection.brush(level, points, radius, any(value));
  if (kind === 'pixels') selection.paintPixels(points, radius, any(value));
  if (kind === 'removeClass' && classes.length) selection.removeClass(1 + (value % classes.length));
  if (kind === 'mergeClass' && classes.length > 1) {
    const gone = value % classes.length;
    const into = (gone + 1 + (other % (classes.length - 1))) % classes.length;
    selection.removeClass(1 + gone, 1 + into);
  }
  if (kind === 'map') selection.moveTo([maps.noise, ...blocks][value % 3]);
  if (kind === 'group' || kind === 'cancel') {
    selection.begin();
    selection.brush(level, points, radius, any(value));
    if (classes.length) selection.paintPixels(points, radius, selection.addObject(1));
    selection.brush(level, points.slice(-1), radius, any(other));
    selection[kind === 'cancel' ? 'cancel' : 'end']();
  }
  if (!objects.length) return;
  if (kind === 'remove') selection.removeObject(object(value));
  if (kind === 'join') selection.joinObjects([object(value), object(other)]);
  if (kind === 'split') selection.splitObject(object(value));
  if (kind === 'class') selection.changeObject(object(value), { class: 1 + (other % classes.length) });
  if (kind === 'name') selection.changeObject(object(value), { name: `${other}` });
}

test('random changes of objects can be undone, redone, stored and restored', () => {
  fc.assert(
    fc.property(fc.array(action, { minLength: 1, maxLength: 14 }), (actions) => {
      const selection = fresh(maps.noise);
      const states = [shown(selection)];
      for (const todo of actions) {
        const before = shown(selection);
        act(selection, todo);
        if (todo.kind === 'map') assert.deepEqual(shown(selection), before, 'a new map keeps every pixel');
        const steps = /** @type {any} */ (selection)._history.done.length;
        if (steps > states.length - 1) states.push(shown(selection));
        else assert.deepEqual(shown(selection), states.at(-1), 'no step, no change');
      }
      const areas = selection.objectAreas();
      const { instances } = shown(selection);
      areas.forEach((area, i) => assert.equal(area, instances?.filter((one) => one === i + 1).length));

      const kept = JSON.parse(JSON.stringify(selection));
      const history = JSON.parse(JSON.stringify(selection.history()));
      const restored = Selection.restore(selection.map, kept, history);
      assert.deepEqual(shown(restored), shown(selection));
      assert.deepEqual(JSON.parse(JSON.stringify(restored)), kept);
      let state = states.length - 1;
      while (restored.canUndo) {
        restored.undo();
        assert.deepEqual(shown(restored), states[--state], `restored, undo to ${state}`);
      }
      while (restored.canRedo) restored.redo();
      assert.deepEqual(shown(restored), shown(selection));
      assert.deepEqual(restored.history(), history);

      for (let i = states.length - 2; i >= 0; i--) {
        selection.undo();
        assert.deepEqual(shown(selection), states[i], `undo to ${i}`);
      }
      for (let i = 1; i < states.length; i++) {
        selection.redo();
        assert.deepEqual(shown(selection), states[i], `redo to ${i}`);
      }
    }),
    { numRuns: 60, seed: 5 },
  );
});

/** A change of a stored history. */
const damage = fc.record({
  list: fc.constantFrom('done', 'undone'),
  step: fc.nat(20),
  part: fc.constantFrom('regions', 'pixels', 'objects', 'removed'),
  at: fc.nat(40),
  key: fc.constantFrom('at', 'from', 'to', 'class', 'drop', 'swap'),
  to: fc.oneof(
    fc.integer({ min: -1, max: 5 }),
    fc.integer({ min: 254, max: 262 }),
    fc.constantFrom(0.5, null, '1', 2 ** 31, undefined, 65_535, 65_536),
  ),
});

/** @param {any} history @param {any} change */
function spoil(history, { list, step, part, at, key, to }) {
  const steps = history[list];
  const one = steps[step % steps.length];
  if (part === 'removed') {
    one.removed = { at: to, class: { name: 'x', color: '#000000' } };
  } else if (part !== 'objects') {
    if (one[part].length) one[part][at % one[part].length] = to;
  } else if (!one.objects) {
    one.objects = [{ at: to, from: null, to: { class: 1 + (at % 3), name: '' } }];
  } else {
    const change = one.objects[at % one.objects.length];
    const entry = change.from ?? change.to;
    if (key === 'drop') one.objects.splice(at % one.objects.length, 1);
    else if (key === 'swap') [change.from, change.to] = [change.to, change.from];
    else if (key === 'class') entry.class = to;
    else change[key] = to;
  }
}

test('a damaged history of objects is rejected, or every undo and redo of it gives a sound selection', () => {
  const { noise } = maps;
  const selection = fresh(noise);
  const level = noise.cut(50);
  for (let i = 0; i < 6; i++) {
    selection.choose(level, [3 * i, 3 * i + 1, 40 - i], selection.addObject(1 + (i % 3)));
    selection.paintPixels([[7 * i, 7]], 4, 256 + (i % 3));
  }
  selection.joinObjects([257, 260]);
  selection.splitObject(257);
  selection.changeObject(258, { class: 1 });
  selection.removeClass(2);
  selection.removeObject(256);
  selection.paintPixels([[30, 20]], 6, 257);
  for (let i = 0; i < 4; i++) selection.undo();
  const kept = JSON.stringify(selection);
  const stored = JSON.stringify(selection.history());
  const tally = { restored: 0, rejected: 0 };
  fc.assert(
    fc.property(fc.array(damage, { minLength: 1, maxLength: 2 }), (damages) => {
      const history = JSON.parse(stored);
      let restored;
      try {
        for (const one of damages) spoil(history, one);
        restored = Selection.restore(noise, JSON.parse(kept), history);
      } catch (error) {
        if (error instanceof TypeError && !String(error.stack).includes('/src/')) return; // spoil itself
        assert(error instanceof SuperpixelMapError && error.code === 'INVALID_SELECTION', `${error}`);
        tally.rejected++;
        return;
      }
      tally.restored++;
      const sound = () => {
        const { mask, instances, classes, objects } = restored.annotation();
        assert(mask.every((value) => value <= classes.length));
        assert(!instances || instances.every((one) => one <= (objects ?? []).length));
        Selection.restore(noise, JSON.parse(JSON.stringify(restored)));
      };
      for (; restored.canUndo; restored.undo()) sound();
      for (; restored.canRedo; restored.redo()) sound();
      sound();
    }),
    { numRuns: 200, seed: 1 },
  );
  assert(tally.restored > 20 && tally.rejected > 50, JSON.stringify(tally));
});
