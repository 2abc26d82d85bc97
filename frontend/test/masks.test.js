import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MAX_CLASSES } from 'superpixel-map';
import { fromBase64, loadMap, readJSON } from './fixtures.js';
import { CLASSES, fresh, maps, maskOf } from './selections.js';

/** @typedef {import('superpixel-map').Level} Level */

test('a mask is snapped to the same superpixels as by Python', async () => {
  /** @type {Map<string, import('superpixel-map').LabelMap>} */
  const loaded = new Map();
  const cases = readJSON('masks.json');
  let ties = 0;
  for (const { map: name, count, threshold, mask, snapped } of cases) {
    const map = loaded.get(name) ?? (await loadMap(name));
    loaded.set(name, map);
    const selection = fresh(map);
    const level = map.cut(count);
    selection.fromMask(level, fromBase64(mask), undefined, { threshold });
    const wanted = fromBase64(snapped);
    assert.deepEqual(maskOf(selection), wanted, `${name} ${count} ${threshold}`);
    if (threshold === 0.5) selection.undo();
    if (threshold === 0.5) selection.fromMask(level, fromBase64(mask));
    assert.deepEqual(maskOf(selection), wanted, 'the threshold is 0.5 if none is given');
    ties += Number(byLoops(level, fromBase64(mask), threshold).tied);
  }
  assert(cases.length >= 40 && ties > 5, `${ties} cases of ${cases.length} with ties`);
});

/**
 * Every superpixel by the definition.
 *
 * @param {Level} level
 * @param {ArrayLike<number | boolean>} mask
 * @param {number} threshold
 */
function byLoops({ map, lut, count }, mask, threshold) {
  const pixels = Array.from({ length: count }, () => [0, 0, 0, 0]);
  const areas = Array(count).fill(0);
  map.labels.forEach((label, i) => {
    if (lut[label] === count) return; // outside
    pixels[lut[label]][Number(mask[i])]++;
    areas[lut[label]]++;
  });
  let tied = false;
  const values = pixels.map(([, ...classes], region) => {
    const most = Math.max(...classes);
    if (most && classes.indexOf(most) !== classes.lastIndexOf(most)) tied = true;
    return most && most / areas[region] >= threshold ? 1 + classes.indexOf(most) : 0;
  });
  return { tied, mask: map.labels.map((label) => values[lut[label]]) };
}

test('any mask is snapped by the rule, as one step that leaves the other superpixels alone', () => {
  const { noise } = maps;
  const size = noise.labels.length;
  const share = fc.oneof(fc.constantFrom(0, 0.25, 0.5, 1), fc.double({ min: 0, max: 1, noNaN: true }));
  const masks = fc.array(fc.nat(3), { minLength: 1, maxLength: 40 });
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: noise.count }),
      masks,
      fc.nat(20),
      share,
      (count, some, step, threshold) => {
        const level = noise.cut(count);
        const mask = Array.from({ length: size }, (_, i) => some[Math.floor(i / (1 + step)) % some.length]);
        const selection = fresh(noise);
        selection.brush(noise.cut(9), [[20, 20]], 9, 3);
        selection.paintPixels([[30, 10]], 6, 2);
        const before = maskOf(selection);
        const box = selection.fromMask(level, mask, CLASSES, { threshold });
        const wanted = byLoops(level, mask, threshold).mask;
        const after = maskOf(selection);
        after.forEach((value, i) => assert.equal(value, wanted[i] || before[i]));
        after.forEach((value, i) => {
          if (value === before[i]) return;
          const [x, y] = [i % noise.width, Math.floor(i / noise.width)];
          assert(box && box.x0 <= x && x < box.x1 && box.y0 <= y && y < box.y1);
        });
        if (box) selection.undo();
        assert.deepEqual(maskOf(selection), before);
        selection.redo();
        if (box) assert.deepEqual(maskOf(selection), after);
      },
    ),
    { numRuns: 60 },
  );
});

test('a mask is painted pixel by pixel, and undo takes it back', () => {
  const { noise } = maps;
  const selection = fresh(noise);
  selection.paintPixels([[3, 3]], 2, 1);
  selection.choose(noise.cut(9), [1, 2, 5], 2);
  const before = maskOf(selection);
  const mask = before.map((_, i) => (i * i) % 4);
  const box = selection.paintMask(mask);
  assert.deepEqual(box, { x0: 0, y0: 0, x1: noise.width, y1: noise.height });
  const after = maskOf(selection);
  after.forEach((value, i) => assert.equal(value, mask[i] || before[i]));
  assert.equal(selection.paintMask(mask), null, 'nothing changes');
  selection.undo();
  assert.deepEqual(maskOf(selection), before);
  selection.redo();
  assert.deepEqual(maskOf(selection), after);
  // A tool afterwards removes the paint, as any other.
  selection.choose(noise.cut(9), [0], 1);
  selection.paintMask(mask);
  selection.choose(noise.cut(1), [0], 0);
  assert(maskOf(selection).every((value) => value === 0));
});

test('booleans and all kinds of numbers are accepted', () => {
  const { noise } = maps;
  const level = noise.cut(20);
  const given = Array.from(noise.labels, (label) => label % 3 === 0);
  const wanted = byLoops(level, given, 0.5).mask;
  const kinds = [Uint8Array, Uint8ClampedArray, Int16Array, Uint32Array, Float32Array, Float64Array];
  const masks = [given, given.map(Number), ...kinds.map((Kind) => Kind.from(given.map(Number)))];
  for (const mask of masks) {
    const [snapped, painted] = [fresh(noise), fresh(noise)];
    snapped.fromMask(level, mask);
    assert.deepEqual([...maskOf(snapped)], [...wanted]);
    painted.paintMask(mask);
    assert.deepEqual([...maskOf(painted)], given.map(Number));
  }
});

test('classes of the mask are found by name, and missing ones are appended', () => {
  const { noise } = maps;
  const selection = fresh(noise);
  const mask = noise.labels.map((_, i) => i % 4);
  const classes = [{ name: 'sea', color: '#112233' }, { ...CLASSES[2], color: '#000000' }, CLASSES[0]];
  selection.paintMask(mask, classes);
  assert.deepEqual(
    selection.classes.map(({ name }) => name),
    ['cat', 'dog', 'sky', 'sea'],
  );
  assert.equal(selection.classes[2].color, CLASSES[2].color, 'a class keeps its colour');
  assert.notEqual(selection.classes[3], classes[0], 'a copy');
  assert.deepEqual(
    [...maskOf(selection)],
    [...mask].map((value) => [0, 4, 3, 1][value]),
  );
  // Two classes of the same name count as one; the selection's own classes differ by their place.
  const twice = fresh(noise);
  const half = noise.labels.map((_, i) => 1 + (i % 2));
  twice.fromMask(noise.cut(3), half, [CLASSES[1], CLASSES[1]], { threshold: 1 });
  assert(maskOf(twice).every((value) => value === 2));
  twice.classes.forEach((one) => (one.name = 'same'));
  twice.paintMask(half);
  assert.deepEqual(maskOf(twice), new Uint8Array(half));
});

test('a mask that does not fit throws, names the field and changes nothing', () => {
  const { noise, photo } = maps;
  const level = noise.cut(5);
  const size = noise.labels.length;
  const whole = new Uint8Array(size).fill(1);
  const many = Array.from({ length: MAX_CLASSES }, (_, i) => ({ name: `${i}`, color: '#000000' }));
  /** @param {any} value */
  const last = (value) => Array.from({ length: size }, (_, i) => (i === size - 1 ? value : 1));
  /** @type {[RegExp, any, any?, any?][]} */
  const wrong = [
    [/^mask: must be 1961 values, got 1960$/, whole.subarray(1)],
    [/^mask: must be an integer from 0 to 3, got 4$/, last(4)],
    [/^mask: must be an integer from 0 to 3, got -1$/, last(-1)],
    [/^mask: .* got 0.5$/, last(0.5)],
    [/^mask: .* got NaN$/, last(undefined)],
    [/^mask: must be an integer from 0 to 1, got 2$/, last(2), [CLASSES[0]]],
    [/^classes: must be at most 254, each with a name and a color$/, whole, many],
    [/^classes: /, whole, [{ name: 'x' }]],
    [/^classes: /, whole, [null]],
  ];
  for (const [message, mask, classes] of wrong) {
    const selection = fresh(noise);
    const error = { code: 'INVALID_ARGUMENT', message };
    assert.throws(() => selection.fromMask(level, mask, classes), error);
    assert.throws(() => selection.paintMask(mask, classes), error);
    assert.equal(selection.classes.length, 3);
    assert.equal(selection.canUndo, false);
    assert(maskOf(selection).every((value) => value === 0));
  }
  const selection = fresh(noise);
  for (const threshold of [-0.1, 1.1, NaN, 'half']) {
    assert.throws(() => selection.fromMask(level, whole, undefined, /** @type {any} */ ({ threshold })), {
      code: 'INVALID_ARGUMENT',
      message: `threshold: must be from 0 to 1, got ${threshold}`,
    });
  }
  assert.throws(() => selection.fromMask(photo.cut(5), whole), { code: 'OTHER_MAP' });
});
