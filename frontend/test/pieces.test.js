import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { absorb } from '../page/pieces.js';
import { findRuns } from '../src/pieces.js';

const picture = fc
  .tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 }))
  .chain(([width, height]) =>
    fc
      .array(fc.integer({ min: 0, max: 2 }), { minLength: width * height, maxLength: width * height })
      .map((list) => ({ width, height, values: Uint16Array.from(list) })),
  );

/**
 * The piece of each pixel, by flooding from pixel to pixel.
 *
 * @param {Uint16Array} values @param {number} width
 */
function flooded(values, width) {
  const ids = new Int32Array(values.length).fill(-1);
  const neighbours = (/** @type {number} */ i) => [
    ...(i % width ? [i - 1] : []),
    ...((i + 1) % width ? [i + 1] : []),
    ...[i - width, i + width].filter((j) => j >= 0 && j < values.length),
  ];
  let number = 0;
  values.forEach((value, first) => {
    if (ids[first] >= 0) return;
    const stack = [first];
    ids[first] = number;
    for (let i = stack.pop(); i !== undefined; i = stack.pop()) {
      for (const j of neighbours(i)) {
        if (ids[j] >= 0 || values[j] !== value) continue;
        ids[j] = number;
        stack.push(j);
      }
    }
    number++;
  });
  return { ids, number, neighbours };
}

test('pieces are those that a flood finds', () => {
  fc.assert(
    fc.property(picture, ({ width, height, values }) => {
      const { pieces, starts, idOf } = findRuns({ mask: values, width, height }, true);
      const { ids, number } = flooded(values, width);
      assert.equal(pieces.length, number);
      const mine = new Int32Array(values.length);
      idOf.forEach((piece, run) => mine.fill(piece - 1, starts[run], starts[run + 1]));
      assert.deepEqual(mine, ids);
      pieces.forEach(({ value, area, box }, id) => {
        const at = [...ids.keys()].filter((i) => ids[i] === id);
        assert.equal(area, at.length);
        assert.equal(value, values[at[0]]);
        const [xs, ys] = [at.map((i) => i % width), at.map((i) => Math.floor(i / width))];
        assert.deepEqual(box, [Math.min(...xs), Math.min(...ys), Math.max(...xs) + 1, Math.max(...ys) + 1]);
      });
    }),
    { numRuns: 300 },
  );
});

test('a small piece gets the value with which it shares most of its border', () => {
  fc.assert(
    fc.property(picture, fc.integer({ min: 1, max: 6 }), ({ width, height, values }, limit) => {
      const found = findRuns({ mask: values, width, height }, true);
      const runs = absorb(found, width, height, ({ value, area }) => value !== 0 && area <= limit, () => true); // prettier-ignore
      const { ids, neighbours } = flooded(values, width);
      const areas = found.pieces.map(({ area }) => area);
      const isSmall = (/** @type {number} */ i) => values[i] !== 0 && areas[ids[i]] <= limit;
      const wanted = values.slice();
      areas.forEach((_, id) => {
        const at = [...ids.keys()].filter((i) => ids[i] === id);
        if (!isSmall(at[0])) return;
        const border = [0, 0, 0];
        for (const i of at)
          for (const j of neighbours(i)) if (ids[j] !== id && !isSmall(j)) border[values[j]]++;
        const most = Math.max(...border);
        if (most) for (const i of at) wanted[i] = border.indexOf(most);
      });
      const after = values.slice();
      for (const [value, list] of runs) {
        for (let i = 0; i < list.length; i += 2) after.fill(value, list[i], list[i] + list[i + 1]);
      }
      assert.deepEqual(after, wanted);
    }),
    { numRuns: 300 },
  );
});
