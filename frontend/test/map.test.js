import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { loadMap, MAPS, read, readJSON } from './fixtures.js';

/** @typedef {import('superpixel-map').LabelMap} LabelMap */
/** @typedef {import('superpixel-map').Level} Level */

/** @param {Level} level @param {number} x @param {number} y */
function region(level, x, y) {
  const { map } = level;
  return level.lut[map.labels[y * map.width + x]];
}

for (const name of MAPS) {
  test(`${name}: areas, boxes and neighbours equal those of Python`, async () => {
    const map = await loadMap(name);
    const facts = readJSON(`maps/${name}.json`);
    assert.deepEqual([...map.finest.areas], facts.areas);
    assert.deepEqual([...map.finest.boxes], facts.boxes.flat());
    for (const [count, lists] of Object.entries(facts.neighbors)) {
      const level = map.cut(Number(count));
      const mine = Array.from({ length: level.count }, (_, i) => [...level.neighbours(i)]);
      assert.deepEqual(mine, lists, `count ${count}`);
    }
  });
}

test('regions, members and areas of a level agree', async () => {
  const map = await loadMap('photo');
  const level = map.cut(37);
  const areas = new Uint32Array(37);
  for (const label of map.labels) areas[level.lut[label]]++;
  assert.deepEqual(level.areas, areas);
  const all = Array.from({ length: 37 }, (_, i) => [...level.members(i)]);
  all.forEach((members, i) => members.forEach((member) => assert.equal(level.lut[member], i)));
  assert.equal(all.flat().length, map.count);
  assert.equal(level.area(5), areas[5]);
  assert.equal(level.regionAt(100.9, 200.2), region(level, 100, 200));
  for (const [x, y] of [
    [-0.1, 5],
    [5, -1],
    [512, 5],
    [5, 512],
    [NaN, 5],
  ]) {
    assert.equal(level.regionAt(x, y), -1);
  }
  for (const wrong of [-1, 37, 1.5, NaN]) {
    assert.throws(() => level.area(wrong), { code: 'INVALID_ARGUMENT' });
  }
});

test('a count that the map does not contain throws', async () => {
  const [photo, levels] = await Promise.all([loadMap('photo'), loadMap('levels')]);
  for (const count of [0, -1, photo.count + 1, 2.5, NaN]) {
    assert.throws(() => photo.cut(count), { code: 'NO_SUCH_LEVEL' });
  }
  assert.throws(() => levels.cut(100), { code: 'NO_SUCH_LEVEL', message: /holds 200, 150, 50, 7, got 100/ });
  assert.equal(levels.cut(50).count, 50);
});

/** @param {Level} level @returns {Set<string>} all pixel edges between two regions, pixel by pixel */
function edgesPixelByPixel(level) {
  const { width, height } = level.map;
  const edges = new Set();
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (x > 0 && region(level, x, y) !== region(level, x - 1, y)) edges.add(`${x} ${y} ${x} ${y + 1}`);
      if (y > 0 && region(level, x, y) !== region(level, x, y - 1)) edges.add(`${x} ${y} ${x + 1} ${y}`);
    }
  }
  return edges;
}

/** @param {Int32Array} segments */
function edgesOf(segments) {
  const edges = new Set();
  for (let i = 0; i < segments.length; i += 4) {
    const [x0, y0, x1, y1] = segments.subarray(i, i + 4);
    assert((x0 === x1) !== (y0 === y1), 'straight, and longer than 0');
    for (let x = x0; x < x1; x++) edges.add(`${x} ${y0} ${x + 1} ${y0}`);
    for (let y = y0; y < y1; y++) edges.add(`${x0} ${y} ${x0} ${y + 1}`);
  }
  return edges;
}

for (const name of ['levels', 'noise', 'single', 'line']) {
  test(`${name}: segments cover all edges between regions once, each as long as possible`, async () => {
    const map = await loadMap(name);
    for (const count of new Set([1, 7, 50, map.count])) {
      if (count > map.count || (map.levels && count === 1)) continue;
      const { segments } = map.cut(count).boundaries();
      const expected = edgesPixelByPixel(map.cut(count));
      assert.deepEqual(edgesOf(segments), expected);
      let length = 0;
      const ends = new Set();
      for (let i = 0; i < segments.length; i += 4) {
        const [x0, y0, x1, y1] = segments.subarray(i, i + 4);
        length += x1 - x0 + y1 - y0;
        const way = x0 === x1 ? 'v' : 'h';
        for (const end of [`${way} ${x0} ${y0}`, `${way} ${x1} ${y1}`]) {
          assert(!ends.has(end), `two segments in the same direction meet at ${end}`);
          ends.add(end);
        }
      }
      assert.equal(length, expected.size);
    }
  });
}

test('segments of a box lie between the pixels that it touches', async () => {
  const map = await loadMap('noise');
  const level = map.cut(60);
  const boundaries = level.boundaries();
  const inBox = [...edgesOf(boundaries.segmentsIn(9.5, 4, 30.2, 21.9))].sort();
  const expected = [...edgesPixelByPixel(level)].filter((edge) => {
    const [x0, y0, x1, y1] = edge.split(' ').map(Number);
    return x0 === x1 ? x0 > 9 && x0 < 31 && y0 >= 4 && y1 <= 22 : y0 > 4 && y0 < 22 && x0 >= 9 && x1 <= 31;
  });
  assert.deepEqual(inBox, expected.sort());
  assert.equal(boundaries.segmentsIn(100, 100, 200, 200).length, 0);
  assert.equal(boundaries.segmentsIn(5, 5, 5, 5).length, 0);
});

test('the SVG path draws the segments', async () => {
  const boundaries = (await loadMap('noise')).cut(9).boundaries();
  const drawn = [];
  for (const [, x, y, way, length] of boundaries.toSVGPath().matchAll(/M(\d+) (\d+)([hv])(\d+)/g)) {
    const [x0, y0, by] = [x, y, length].map(Number);
    drawn.push(x0, y0, way === 'h' ? x0 + by : x0, way === 'v' ? y0 + by : y0);
  }
  assert.deepEqual(drawn, [...boundaries.segments]);
});

/** @param {Level} level @param {import('../src/view.js').View} view */
function rasterPixelByPixel(level, view) {
  const { map } = level;
  /** @type {(i: number, j: number) => number} */
  const seen = (i, j) => {
    const x = Math.floor(view.x + (i + 0.5) / view.scale);
    const y = Math.floor(view.y + (j + 0.5) / view.scale);
    return x < 0 || y < 0 || x >= map.width || y >= map.height ? -1 : region(level, x, y);
  };
  return Uint8Array.from({ length: view.width * view.height }, (_, at) => {
    const [i, j] = [at % view.width, Math.floor(at / view.width)];
    const here = seen(i, j);
    return here >= 0 && [seen(i + 1, j), seen(i, j + 1)].some((next) => next >= 0 && next !== here) ? 1 : 0;
  });
}

test('raster marks changes of region in any view, in the first drawing and later ones', async () => {
  for (const name of ['noise', 'levels', 'line', 'single']) {
    const map = await loadMap(name);
    const counts = map.levels ? [200, 150, 7] : [1, 2, 31, map.count - 1, map.count];
    const view = fc.record({
      x: fc.double({ min: -30, max: 60, noNaN: true }),
      y: fc.double({ min: -30, max: 60, noNaN: true }),
      scale: fc.double({ min: 0.2, max: 9, noNaN: true }),
      width: fc.integer({ min: 1, max: 90 }),
      height: fc.integer({ min: 1, max: 70 }),
    });
    const few = fc.array(fc.constantFrom(...counts.filter((count) => count >= 1 && count <= map.count)), {
      minLength: 3,
      maxLength: 4,
    });
    fc.assert(
      fc.property(view, few, (shown, levels) => {
        for (const count of levels) {
          const level = map.cut(count);
          assert.deepEqual(
            level.boundaries().raster(shown),
            rasterPixelByPixel(level, shown),
            `count ${count}`,
          );
        }
      }),
      { numRuns: 120, seed: 6 },
    );
  }
});

test('raster defaults to the whole map, and paint keeps other pixels', async () => {
  const map = await loadMap('noise');
  const view = { x: 0, y: 0, scale: 1, width: map.width, height: map.height };
  const level = map.cut(40);
  const mask = level.boundaries().raster();
  assert.deepEqual(mask, rasterPixelByPixel(level, view));
  const picture = new Uint8ClampedArray(4 * mask.length).fill(9);
  level.boundaries().paint(picture, view, [1, 2, 3, 4]);
  mask.forEach((line, i) => {
    assert.deepEqual([...picture.subarray(4 * i, 4 * i + 4)], line ? [1, 2, 3, 4] : [9, 9, 9, 9]);
  });
  assert.throws(() => level.boundaries().paint(picture, { ...view, width: 3 }, [1]), {
    code: 'INVALID_ARGUMENT',
  });
  assert.throws(() => level.boundaries().raster({ ...view, scale: 0 }), { code: 'INVALID_ARGUMENT' });
});

test('colours measured in the image are close to those in the map', async () => {
  const [carried, measured] = [await loadMap('photo'), await loadMap('photo')];
  measured.measureColors(read('maps/photo.rgba'));
  const [a, b] = [carried.cut(50).labColors, measured.cut(50).labColors];
  a.forEach((value, i) => assert(Math.abs(value - b[i]) < 0.6, `${value} ${b[i]}`));
  assert.throws(() => measured.measureColors(new Uint8Array(4)), { code: 'OTHER_MAP' });
});

test('CIELAB of known colours', async () => {
  const { toLab } = await import('../src/regions.js');
  /** @type {[number[], number[]][]} sRGB and L*, a*, b* (D65) from colour pickers */
  const known = [
    [
      [255, 255, 255],
      [100, 0, 0],
    ],
    [
      [0, 0, 0],
      [0, 0, 0],
    ],
    [
      [255, 0, 0],
      [53.24, 80.09, 67.2],
    ],
    [
      [0, 0, 255],
      [32.3, 79.19, -107.86],
    ],
    [
      [119, 119, 119],
      [50.03, 0, 0],
    ],
    [
      [5, 5, 5],
      [1.37, 0, 0],
    ],
    [
      [0, 0, 5],
      [0.1, 0.7, -1.89],
    ],
  ];
  for (const [color, lab] of known) {
    const mine = toLab(
      Float64Array.from(color, (value) => value * 3),
      Uint32Array.of(3),
    );
    lab.forEach((value, i) => assert(Math.abs(value - mine[i]) < 0.1, `${color}: ${[...mine]}`));
  }
});

test('similar finds regions reached through similar ones', async () => {
  const map = await loadMap('photo');
  const level = map.cut(300);
  const lab = level.labColors;
  for (const threshold of [0, 5, 12, 200]) {
    const found = new Set(level.similar(120, threshold));
    /** @type {(i: number) => boolean} */
    const near = (i) => Math.hypot(...[0, 1, 2].map((c) => lab[3 * i + c] - lab[3 * 120 + c])) <= threshold;
    // Reference: grow over all regions until nothing changes.
    const grown = new Set([120]);
    for (let before = -1; before !== grown.size;) {
      before = grown.size;
      for (let i = 0; i < 300; i++)
        if (near(i) && level.neighbours(i).some((n) => grown.has(n))) grown.add(i);
    }
    assert.deepEqual([...found].sort(), [...grown].sort(), `threshold ${threshold}`);
  }
  assert.equal(level.similar(120, 200).length, 300);
});

test('the fingerprint depends on the labels', async () => {
  const [a, b, c] = await Promise.all([loadMap('photo'), loadMap('photo'), loadMap('noise')]);
  assert.equal(a.fingerprint, b.fingerprint);
  assert.notEqual(a.fingerprint, c.fingerprint);
  assert.match(a.fingerprint, /^[0-9a-f]{8}$/);
  b.labels[1000] ^= 1;
  const changed = new /** @type {any} */ (a.constructor)({ ...b, labels: b.labels });
  assert.notEqual(changed.fingerprint, a.fingerprint);
});
