import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decode, Selection, SuperpixelMapError } from 'superpixel-map';
import { fromBase64, readJSON } from './fixtures.js';
import { fresh, maps } from './selections.js';

/** Bytes of arrays that `run` needs while it runs: memory freed by then does not count. */
async function arrayBytes(/** @type {() => unknown} */ run) {
  const before = process.memoryUsage().arrayBuffers;
  await run();
  return process.memoryUsage().arrayBuffers - before;
}

test('reads and rejects the same selections as Python, with the same masks', async () => {
  const { map: spx, cases } = readJSON('selections.json');
  const map = await decode(fromBase64(spx));
  const tally = { read: 0, rejected: 0 };
  for (const { text, mask } of cases) {
    let found = null;
    try {
      found = [...Selection.restore(map, JSON.parse(text)).annotation().mask];
      tally.read++;
    } catch (error) {
      assert(error instanceof SuperpixelMapError, `${text}: ${error}`);
      assert(['INVALID_SELECTION', 'OTHER_MAP'].includes(error.code), error.code);
      tally.rejected++;
    }
    assert.deepEqual(found, mask, text);
  }
  assert(tally.read > 200 && tally.rejected > 2000, JSON.stringify(tally));
});

test('runs that are no honest numbers are rejected', async () => {
  const { photo } = maps;
  const size = photo.labels.length;
  const kept = JSON.parse(JSON.stringify(fresh(photo)));
  const forged = [
    [0, 2 ** 53, 0, size],
    [0, 2 ** 53 - 1, 0, -(2 ** 53) + 1 + size],
    [0, 2 ** 63 - 1, 0, 2 ** 63 - 1, 0, size + 2],
    [0, size + 1, 0, -1],
    [0, size - 0.5, 0, 0.5],
    [0, NaN, 0, size],
    [NaN, size],
    [0, Infinity],
    [0, String(size)],
    [false, size],
    [0, [size]],
    [0, size, 0],
    [0, BigInt(size)],
    new Array(2),
    { length: 2, 0: 0, 1: size },
    new Uint32Array([0, size]),
    Array(2 * size + 2).fill(1),
    Array(4_000_000).fill(1),
    null,
    undefined,
  ];
  for (const pixels of forged) {
    const restore = () => Selection.restore(photo, /** @type {any} */ ({ ...kept, pixels }));
    const bytes = await arrayBytes(() =>
      assert.throws(restore, { code: 'INVALID_SELECTION', message: /^pixels: / }),
    );
    assert(bytes <= 2 * (photo.count + size), `${bytes} bytes`);
  }
});

test('the error says what would be valid', () => {
  const { noise } = maps;
  const kept = JSON.parse(JSON.stringify(fresh(noise)));
  /** @type {(change: object, message: RegExp) => void} */
  const rejected = (change, message) =>
    assert.throws(() => Selection.restore(noise, { ...kept, ...change }), {
      code: 'INVALID_SELECTION',
      message,
    });
  const { count } = noise;
  rejected(
    { regions: [0, 1, 9, 1] },
    new RegExp(`^regions: run 1 must have a value from 0 to 3 and a length from 1 to ${count - 1}$`),
  );
  rejected({ regions: [0, 1] }, new RegExp(`^regions: hold 1 values, must be ${count}$`));
  rejected({ classes: [{ name: 'x' }] }, /^classes: must be at most 254, each with a name and a color$/);
  const nested = JSON.parse('['.repeat(50_000) + ']'.repeat(50_000));
  rejected({ classes: [{ name: nested, color: '#000000' }] }, /^classes: /);
});

test('a history whose steps are no honest numbers is rejected', () => {
  const { noise } = maps;
  const { count } = noise;
  const kept = JSON.parse(JSON.stringify(fresh(noise)));
  const removed = { at: 1, class: { name: 'x', color: '#000000' } };
  /** @type {(step: object) => object} */
  const whole = (step) => ({ regions: [], pixels: [], ...step });
  const wrong = [
    { regions: ['1', '2', 0, 1] },
    { regions: [null, 1, 0, 1] },
    { regions: [true, 1, 0, 1] },
    { regions: [[1], 1, 0, 1] },
    { regions: [0.5, 1, 0, 1] },
    { regions: [NaN, 1, 0, 1] },
    { regions: [1, count, 0, 1] },
    { regions: [2 ** 53, -(2 ** 53) + 1, 0, 1] },
    { regions: [0, 2 ** 53, 0, 1] },
    { regions: [0, 1, 0, 4] }, // three classes
    { pixels: [0, 1, 5, 0] },
    { removed: {} },
    { removed: { ...removed, at: 0 } },
    { removed: { ...removed, at: '1' } },
    { removed: { ...removed, at: 5 } },
    { removed: true },
  ];
  for (const one of wrong) {
    for (const history of [
      { done: [whole(one)], undone: [] },
      { done: [], undone: [whole(one)] },
    ]) {
      assert.throws(
        () => Selection.restore(noise, kept, /** @type {any} */ (history)),
        { code: 'INVALID_SELECTION', message: 'history: is damaged' },
        JSON.stringify(history),
      );
    }
  }
  // Undo puts a class back, so steps before it may have one class more; redo takes one away.
  const most = { regions: [0, 1, 0, 4], pixels: [] };
  const restore = (/** @type {any} */ history) => Selection.restore(noise, kept, history);
  restore({ done: [most, whole({ removed })], undone: [] });
  assert.throws(() => restore({ done: [whole({ removed }), most], undone: [] }));
  const three = { regions: [0, 1, 0, 3], pixels: [] };
  restore({ done: [], undone: [whole({ removed }), three] });
  assert.throws(() => restore({ done: [], undone: [three, whole({ removed })] }));
  assert.throws(() => restore({ done: [whole({ removed: { ...removed, class: null } })], undone: [] }));
});

/** A change of a stored history: which list, step, part and place in it, and what stands there afterwards. */
const damage = fc.record({
  list: fc.constantFrom('done', 'undone'),
  step: fc.nat(20),
  part: fc.constantFrom('regions', 'pixels', 'removed'),
  at: fc.nat(40),
  to: fc.oneof(
    fc.integer({ min: -1, max: 5 }),
    fc.integer({ min: 0, max: 3000 }),
    fc.constantFrom(0.5, NaN, null, '1', 2 ** 31, 2 ** 32, 2 ** 53, 255, 256, undefined),
  ),
});

test('a damaged history is rejected, or every undo and redo of it gives a sound selection', () => {
  const { noise } = maps;
  const selection = fresh(noise);
  const level = noise.cut(50);
  for (let i = 0; i < 8; i++) selection.choose(level, [i], 1 + (i % 3));
  for (let i = 0; i < 4; i++) selection.paintPixels([[5 * i, 7]], 4, i % 4);
  selection.removeClass(2);
  selection.paintPixels([[30, 20]], 6, 2);
  for (let i = 0; i < 3; i++) selection.undo();
  const kept = JSON.stringify(selection);
  const stored = JSON.stringify(selection.history());
  const tally = { restored: 0, rejected: 0 };
  fc.assert(
    fc.property(fc.array(damage, { minLength: 1, maxLength: 2 }), (damages) => {
      const history = JSON.parse(stored);
      for (const { list, step, part, at, to } of damages) {
        const steps = history[list];
        const one = steps[step % steps.length];
        if (part === 'removed')
          one.removed = [to, { at: to, class: { name: 'x', color: '#000000' } }][at % 2];
        else if (!Array.isArray(one[part])) continue;
        else if (to === undefined) one[part].splice(at, 1 + (at % 5));
        else if (one[part].length) one[part][at % one[part].length] = to;
        else one[part] = to;
      }
      let restored;
      try {
        restored = Selection.restore(noise, JSON.parse(kept), history);
      } catch (error) {
        assert(error instanceof SuperpixelMapError && error.code === 'INVALID_SELECTION', `${error}`);
        tally.rejected++;
        return;
      }
      tally.restored++;
      const sound = () => {
        const { mask, classes } = restored.annotation();
        assert(mask.every((value) => value <= classes.length));
        Selection.restore(noise, JSON.parse(JSON.stringify(restored)));
      };
      for (; restored.canUndo; restored.undo()) sound();
      for (; restored.canRedo; restored.redo()) sound();
      sound();
    }),
    { numRuns: 500, seed: 1 },
  );
  assert(tally.restored > 20 && tally.rejected > 100, JSON.stringify(tally));
});
