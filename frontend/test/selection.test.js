import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { PARTLY, Selection } from 'superpixel-map';
import { polygon, stroke } from '../src/shapes.js';
import { loadMap } from './fixtures.js';

/** @typedef {import('superpixel-map').LabelMap} LabelMap */
/** @typedef {[number, number]} Point */

const CLASSES = [
  { name: 'cat', color: '#e6194b' },
  { name: 'dog', color: '#3cb44b' },
  { name: 'sky', color: '#4363d8' },
];
const maps = {
  photo: await loadMap('photo'),
  noise: await loadMap('noise'),
  levels: await loadMap('levels'),
};

/** @param {LabelMap} map */
const fresh = (map) =>
  new Selection(
    map,
    CLASSES.map((one) => ({ ...one })),
  );

/** @param {Selection} selection */
const maskOf = (selection) => selection.annotation().mask;

/** @param {number[]} runs @param {number} size */
function pixelsOf(runs, size) {
  const mask = new Uint8Array(size);
  for (let i = 0; i < runs.length; i += 2) mask.fill(1, runs[i], runs[i] + runs[i + 1]);
  return mask;
}

/** @param {number} px @param {number} py @param {Point} a @param {Point} b */
function distance(px, py, [ax, ay], [bx, by]) {
  const length2 = (bx - ax) ** 2 + (by - ay) ** 2;
  const t = length2 ? Math.min(1, Math.max(0, ((px - ax) * (bx - ax) + (py - ay) * (by - ay)) / length2)) : 0;
  return Math.hypot(px - ax - t * (bx - ax), py - ay - t * (by - ay));
}

const point = fc.tuple(
  fc.double({ min: -20, max: 80, noNaN: true }),
  fc.double({ min: -20, max: 60, noNaN: true }),
);
const path = fc.array(point, { minLength: 1, maxLength: 5 });

test('a stroke holds the pixels whose centres a circle passes over', () => {
  fc.assert(
    fc.property(path, fc.double({ min: 0, max: 25, noNaN: true }), (points, radius) => {
      const [width, height] = [53, 37];
      const mask = pixelsOf(stroke(points, radius, width, height), width * height);
      const r = Math.max(radius, Math.SQRT1_2);
      for (let i = 0; i < mask.length; i++) {
        const [x, y] = [(i % width) + 0.5, Math.floor(i / width) + 0.5];
        const nearest = points.reduce(
          (least, a, k) => Math.min(least, distance(x, y, a, points[Math.min(k + 1, points.length - 1)])),
          Infinity,
        );
        if (Math.abs(nearest - r) > 1e-6) assert.equal(mask[i], nearest < r ? 1 : 0, `${x} ${y}`);
      }
    }),
    { numRuns: 300, seed: 1 },
  );
});

test('a lasso holds the pixels whose centres lie inside by the even-odd rule', () => {
  fc.assert(
    fc.property(path, (points) => {
      const [width, height] = [53, 37];
      const mask = pixelsOf(polygon(points, width, height), width * height);
      for (let i = 0; i < mask.length; i++) {
        const [x, y] = [(i % width) + 0.5, Math.floor(i / width) + 0.5];
        let inside = false;
        let close = false;
        points.forEach((a, k) => {
          const b = points[(k + 1) % points.length];
          if (distance(x, y, a, b) < 1e-6) close = true;
          if (a[1] > y !== b[1] > y && x < a[0] + ((y - a[1]) / (b[1] - a[1])) * (b[0] - a[0]))
            inside = !inside;
        });
        if (!close) assert.equal(mask[i], inside ? 1 : 0, `${x} ${y}`);
      }
    }),
    { numRuns: 300, seed: 2 },
  );
});

test('a click chooses the region of its level, and erasing takes it back', () => {
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

test('a brush chooses what it touches, a lasso what lies in it by half, a rectangle too', () => {
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

test('flood chooses what is similar', () => {
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

test('another level keeps every pixel, and shows what is partly chosen', () => {
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

test('pixels painted by hand lie above the regions and stay apart from them', () => {
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
 * Each tool for regions, used so that it takes all of one region.
 *
 * @type {Record<string, (selection: Selection, level: import('superpixel-map').Level, region: number, value: number) => any>}
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

/** @param {import('superpixel-map').Level} level @param {number} region @returns {Point} its first pixel */
function placeIn(level, region) {
  const at = level.map.labels.findIndex((label) => level.lut[label] === region);
  return [at % level.map.width, Math.floor(at / level.map.width)];
}

/** @param {import('superpixel-map').Level} level @param {number} region @returns {Point} */
function centreIn(level, region) {
  const [x, y] = placeIn(level, region);
  return [x + 0.5, y + 0.5];
}

for (const [name, tool] of Object.entries(tools)) {
  test(`${name}: a region that is taken goes over what was painted in it`, () => {
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
      // Another class, and the eraser: nothing of what was painted is left there, and all of it elsewhere.
      for (const [before, value] of [
        [1, 3],
        [0, 3],
        [1, 0],
      ]) {
        const selection = painted(before);
        const there = maskOf(selection);
        const box = tool(selection, level, region, value);
        const isBox = name === 'rectangle' || name === 'lasso'; // it may take others, too
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

test('an eraser takes painted pixels off regions that are not chosen', () => {
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

test('what is painted in regions that a tool does not take stays', () => {
  const { photo } = maps;
  const level = photo.cut(9);
  const selection = fresh(photo);
  selection.paintPixels([[200, 200]], 10, 1);
  const before = maskOf(selection);
  assert.equal(selection.rectangle(level, { x0: 150, y0: 150, x1: 250, y1: 250 }, 2), null);
  assert.deepEqual(maskOf(selection), before);
});

test('paint is lifted again where it was painted again', () => {
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

test('paint is lifted on another map, too', () => {
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

test('going along a corrected edge again keeps its correction, going over it does not', () => {
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

test('what is given up was never done', () => {
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

test('a class that is removed leaves nothing behind, and comes back with all that was its', () => {
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
  // Work goes on, and a class comes in between: the steps are those of their own time.
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

test('classes and levels that cannot be meant are refused, and change nothing', () => {
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

test('between begin and end all is one step', () => {
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

/** What a labeller may do, at random. */
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

/** @param {LabelMap} map @param {number} step a map of the same size with other regions */
function otherMap(map, step) {
  const { width, height } = map;
  const across = Math.ceil(width / step);
  const labels = Int32Array.from({ length: width * height }, (_, i) => {
    return Math.floor(Math.floor(i / width) / step) * across + Math.floor((i % width) / step);
  });
  const count = across * Math.ceil(height / step);
  const data = { ...map, labels, count, tree: null, levels: null, heights: null, regions: null };
  const other = new /** @type {any} */ (map.constructor)(data);
  other.measureColors(new Uint8Array(4 * labels.length).map((_, i) => (i * 37) & 255));
  return other;
}
const blocks = [4, 9].map((step) => otherMap(maps.noise, step));

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

test('any work is undone step by step and redone, and survives being kept', () => {
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
        // Back to where the map was changed, and forth again.
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

test('a box tells all that has changed', () => {
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

test('new work takes the place of what was undone', () => {
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

test('undo has no bound', () => {
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

test('on a new map, whole regions are regions again, and only the rest is pixels', () => {
  const { noise } = maps;
  const [four] = blocks;
  const selection = fresh(four);
  selection.choose(four.finest, [0, 1, 2, 40], 2);
  const before = maskOf(selection);
  selection.moveTo(noise);
  assert.deepEqual(maskOf(selection), before);
  const painted = /** @type {Uint8Array} */ (selection.pixels);
  const whole = [...noise.finest.areas].map((_, label) =>
    noise.labels.every((other, i) => other !== label || before[i] === 2),
  );
  whole.forEach((inside, label) => assert.equal(selection.regions[label], inside ? 2 : 0));
  noise.labels.forEach((label, i) => assert.equal(painted[i], before[i] && !whole[label] ? 3 : 0));
  assert.throws(() => selection.moveTo(maps.photo), { code: 'OTHER_MAP' });
});

test('a map and back again: what was whole is whole again', () => {
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

test('steps that are kept are bounded, and refused when damaged', () => {
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

test('what was kept is restored on its own map only, and not when damaged', () => {
  const { photo, noise } = maps;
  const selection = fresh(photo);
  selection.click(photo.cut(20), 100, 100, 1);
  selection.paintPixels([[100, 100]], 5, 2);
  const kept = JSON.parse(JSON.stringify(selection));
  assert(JSON.stringify(kept).length < 60_000);
  assert.throws(() => Selection.restore(noise, kept), { code: 'OTHER_MAP' });
  const labels = photo.labels.slice();
  labels[labels.length - 1] ^= 1;
  const alike = new /** @type {any} */ (photo.constructor)({ ...photo, labels });
  assert.throws(() => Selection.restore(alike, kept), { code: 'OTHER_MAP' });
  const damages = [
    null,
    {},
    { ...kept, version: 2 },
    { ...kept, regions: undefined },
    { ...kept, regions: [...kept.regions, 0, 1] },
    { ...kept, regions: kept.regions.slice(2) },
    { ...kept, regions: [4, photo.count] },
    { ...kept, regions: [0, -1, 0, photo.count + 1] },
    { ...kept, regions: [0, 0.5, 0, photo.count - 0.5] },
    { ...kept, pixels: [5, 512 * 512] },
    { ...kept, pixels: [0, 1e18] },
    { ...kept, classes: Array(255).fill(CLASSES[0]) },
  ];
  for (const damaged of damages) {
    assert.throws(
      () => Selection.restore(photo, /** @type {any} */ (damaged)),
      { code: 'INVALID_SELECTION' },
      JSON.stringify(damaged)?.slice(0, 80),
    );
  }
});

test('the chosen is painted in its colours, at any zoom', () => {
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
