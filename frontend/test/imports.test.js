import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { toCOCO, toGeoJSON, toIndexedPNG, toLabelStudio, toYOLO } from 'superpixel-map/exports';
import { colorOf, importAnnotation, readAnnotation, scaleAnnotation } from 'superpixel-map/imports';
import { CLASSES, fresh, maps, maskOf } from './selections.js';

/** @typedef {import('../src/annotation.js').Annotation} Annotation */

/** Small random annotations: cells of 1 to 3 pixels, so that pieces have holes and touch by corners. */
const annotations = fc
  .tuple(
    fc.integer({ min: 1, max: 13 }),
    fc.integer({ min: 1, max: 11 }),
    fc.integer({ min: 1, max: 3 }),
    fc.array(fc.nat(4), { minLength: 1, maxLength: 150 }),
  )
  .map(([width, height, cell, cells]) => {
    const across = Math.ceil(width / cell);
    const mask = Uint8Array.from({ length: width * height }, (_, i) => {
      const at = Math.floor(Math.floor(i / width) / cell) * across + Math.floor((i % width) / cell);
      return Math.min(cells[at % cells.length], 3);
    });
    return { width, height, mask, classes: CLASSES };
  });

/** @param {Annotation} read @param {Annotation} wanted @param {string} what */
function same(read, wanted, what) {
  assert.deepEqual([read.width, read.height], [wanted.width, wanted.height], what);
  const names = (/** @type {Annotation} */ { mask, classes }) =>
    Array.from(mask, (value) => value && classes[value - 1].name);
  assert.deepEqual(names(read), names(wanted), what);
}

test('every export comes back pixel for pixel', async () => {
  await fc.assert(
    fc.asyncProperty(annotations, async (given) => {
      const { width, height, classes } = given;
      const options = { name: 'a.jpg', width, height, classes };
      /** @type {[string, any][]} */
      const files = [
        ['PNG', await toIndexedPNG(given)],
        ['COCO polygons', toCOCO(given, { fileName: 'x/a.jpg' })],
        ['COCO classes', toCOCO(given, { split: false })],
        ['COCO RLE', toCOCO(given, { rle: true })],
        ['COCO class RLE', toCOCO(given, { rle: true, split: false })],
        [
          'Label Studio',
          [{ data: { image: '/data/1/a.jpg' }, annotations: [{ result: toLabelStudio(given) }] }],
        ],
        ['Label Studio results', toLabelStudio(given)],
        ['GeoJSON', toGeoJSON(given)],
        ['YOLO', toYOLO(given)],
      ];
      for (const [what, file] of files) {
        if (what === 'Label Studio results' && !file.length) continue;
        const isData = typeof file === 'string' || file instanceof Uint8Array;
        same(await readAnnotation(isData ? file : JSON.stringify(file), options), given, what);
      }
    }),
    { numRuns: 60 },
  );
});

test('one image of many is found by name, else by size', async () => {
  const [small, large] = [4, 6].map((width) => {
    const mask = new Uint8Array(width * 3).fill(1, 0, width);
    return { width, height: 3, mask, classes: [CLASSES[0]] };
  });
  const a = toCOCO(small, { fileName: 'train/a.jpg', imageId: 3 });
  const b = toCOCO(large, { fileName: 'train/b.jpg', imageId: 9 });
  const both = {
    ...a,
    images: [...a.images, ...b.images],
    annotations: [...a.annotations, ...b.annotations],
  };
  const text = JSON.stringify(both);
  same(await readAnnotation(text, { name: 'b.jpg' }), large, 'by name');
  same(await readAnnotation(text, { name: 'x.jpg', width: 4, height: 3 }), small, 'by size');
  await assert.rejects(readAnnotation(text, { name: 'x.jpg', width: 5, height: 3 }), {
    code: 'INVALID_FILE',
    message: 'images: must list "x.jpg"; it has 2 images, and none of that name',
  });
});

test('an annotation goes into a selection as pixels or snapped, as one step', async () => {
  const { noise } = maps;
  const { width, height } = noise;
  const mask = noise.labels.map((label, i) => (i % width < 20 ? 1 + (label % 2) : 0));
  const classes = [
    { name: 'sea', color: '#112233', id: 40 },
    { name: 'dog', color: '#000000' },
    { name: 'unused', color: '#445566' },
  ];
  const annotation = { width, height, mask: Uint8Array.from(mask), classes };
  const selection = fresh(noise);
  selection.paintPixels([[40, 30]], 5, 1);
  const before = maskOf(selection);
  const box = importAnnotation(selection, annotation);
  assert.deepEqual(box, { x0: 0, y0: 0, x1: 20, y1: height });
  assert.deepEqual(
    selection.classes.map(({ name }) => name),
    ['cat', 'dog', 'sky', 'sea'],
  );
  const wanted = before.map((value, i) => (mask[i] ? [0, 4, 2][mask[i]] : value));
  assert.deepEqual(maskOf(selection), wanted);
  selection.undo();
  assert.deepEqual(maskOf(selection), before);

  const level = noise.cut(12);
  importAnnotation(selection, annotation, { level, threshold: 0.3 });
  const snapped = fresh(noise);
  snapped.paintPixels([[40, 30]], 5, 1);
  snapped.fromMask(
    level,
    wanted.map((value, i) => (mask[i] ? value : 0)),
    [...selection.classes],
    {
      threshold: 0.3,
    },
  );
  assert.deepEqual(maskOf(selection), maskOf(snapped));
  const other = { ...annotation, width: height, height: width };
  assert.throws(() => importAnnotation(selection, other), { code: 'OTHER_MAP' });

  // A class is found by its id before its name.
  const renamed = fresh(noise);
  Object.assign(renamed.classes[2], { id: 40 });
  importAnnotation(renamed, annotation);
  assert.equal(renamed.classes.length, 3);
});

test('a mask of numbers gets the classes of the caller', async () => {
  const twice = [CLASSES[0], { ...CLASSES[0] }];
  const file = await toIndexedPNG({ width: 3, height: 1, mask: Uint8Array.of(2, 1, 3), classes: CLASSES });
  const { classes, mask } = await readAnnotation(file, { classes: twice });
  assert.deepEqual([...mask], [2, 1, 3]);
  assert(classes[0] === twice[0] && classes[1] === twice[1]);
  assert.deepEqual(classes[2], { name: 'Class 3', color: CLASSES[2].color });
});

test('masks without a category get a class, and polygons without holes their pixels', async () => {
  const masks = [
    { segmentation: { size: [2, 3], counts: [0, 1, 5] } },
    { segmentation: [[1, 0, 3, 0, 3, 2, 1, 2]] },
    { segmentation: [[2, 1, 3, 1, 3, 2, 2, 2]], iscrowd: 1 },
  ];
  const found = await readAnnotation(JSON.stringify(masks), { width: 3, height: 2, unnamed: CLASSES[1] });
  assert.deepEqual([...found.mask], [1, 1, 1, 0, 1, 1]);
  assert.deepEqual([...(found.instances ?? [])], [1, 2, 2, 0, 2, 0]);
  assert.deepEqual(found.classes, [CLASSES[1]]);
  assert.deepEqual(found.objects, [
    { class: 1, name: '' },
    { class: 1, name: '' },
  ]);
  const alone = await readAnnotation(JSON.stringify(masks), { width: 3, height: 2, objects: false });
  assert.deepEqual([alone.instances, alone.objects], [null, []]);
});

test('panoptic segmentation is read with its PNG file', async () => {
  const png = await toIndexedPNG({ width: 2, height: 2, mask: Uint8Array.of(1, 2, 2, 0), classes: CLASSES });
  const content = {
    images: [{ id: 5, file_name: 'a.jpg', width: 2, height: 2 }],
    categories: [
      { id: 7, name: 'cat', isthing: 1, color: [1, 2, 3] },
      { id: 9, name: 'sky', isthing: 0 },
    ],
    annotations: [
      {
        image_id: 5,
        file_name: 'a.png',
        segments_info: [
          { id: 1, category_id: 7 },
          { id: 2, category_id: 9 },
        ],
      },
    ],
  };
  const json = JSON.stringify(content);
  const found = await readAnnotation([
    { name: 'b/a.json', data: json },
    { name: 'a.png', data: png },
  ]);
  assert.deepEqual([...found.mask], [1, 2, 2, 0]);
  assert.deepEqual([...(found.instances ?? [])], [1, 0, 0, 0]);
  assert.deepEqual(found.classes[0], { name: 'cat', color: '#010203', id: 7 });
  await assert.rejects(readAnnotation(json), { message: 'annotations[0]: needs its PNG file "a.png", too' });
  content.annotations[0].segments_info.pop();
  await assert.rejects(readAnnotation([JSON.stringify(content), png]), {
    message: 'png: has the value 2, which annotations[0].segments_info must list',
  });
});

test('an annotation is scaled by the nearest pixel', () => {
  const small = { width: 2, height: 1, mask: Uint8Array.of(1, 2), classes: CLASSES };
  const large = scaleAnnotation({ ...small, instances: Uint16Array.of(0, 1) }, 5, 2);
  assert.deepEqual([...large.mask], [1, 1, 2, 2, 2, 1, 1, 2, 2, 2]);
  assert.deepEqual([...(large.instances ?? [])], [0, 0, 1, 1, 1, 0, 0, 1, 1, 1]);
});

test('colours differ from each other', () => {
  /** @type {{ color: string }[]} */
  const all = [];
  for (let i = 0; i < 254; i++) all.push({ color: colorOf(all) });
  assert.equal(new Set(all.map(({ color }) => color)).size, 254);
});

test('a damaged file is rejected, and the text names the field', async () => {
  const size = { width: 3, height: 2 };
  const rle = (/** @type {any} */ mask) => [{ segmentation: mask }];
  const task = (/** @type {any} */ one) => [
    { from_name: 'tag', original_width: 3, original_height: 2, ...one },
  ];
  const feature = (/** @type {any} */ geometry) => ({ type: 'FeatureCollection', features: [{ geometry }] });
  /** @type {[any, string][]} */
  const wrong = [
    ['{"a": ', 'json: is not valid JSON'],
    [
      {},
      'json: must be a list of masks, COCO (`annotations`), GeoJSON (`features`), or tasks of Label Studio',
    ],
    ['hello', 'file: must be PNG, JSON, or labels of YOLO, got a file that begins with "hello"'],
    [[null], '[0]: must be an object, got null'],
    [{ annotations: [4] }, 'annotations[0]: must be an object, got 4'],
    [rle(null), '[0].segmentation: must be polygons, or run lengths with size and counts, got null'],
    [rle({}), '[0].segmentation.size: must be [2, 3] (height, width), as the image, got undefined'],
    [rle({ size: [2, 3] }), '[0].segmentation.counts: must be a string or a list of lengths'],
    [rle({ size: [2, 3], counts: [1, 9] }), '[0].segmentation.counts: must add up to 6 pixels, got more'],
    [rle({ size: [2, 3], counts: [1, 2] }), '[0].segmentation.counts: must add up to 6 pixels, got 3'],
    [rle({ size: [2, 3], counts: [-1] }), '[0].segmentation.counts: must be lengths of 0 or more, got -1'],
    [rle({ size: [2, 3], counts: '\u0007' }), '[0].segmentation.counts: is damaged at character 0'],
    [rle({ size: [2, 3], counts: 'ooooooooo' }), '[0].segmentation.counts: is damaged at character 7'],
    [
      rle({ size: [9e9, 9e9], counts: [0] }),
      'size: must be 1 to 134217728 pixels in all, got 9000000000 x 9000000000',
    ],
    [rle([[1, 2, 3]]), '[0].segmentation[0]: must be three or more pairs of numbers, got [1,2,3]'],
    [
      rle([[1, 2, 3, 4, 5, 1e30]]),
      '[0].segmentation[0]: must be numbers from -16777216 to 16777216, got 1e+30',
    ],
    [rle([[1, 2, 3, 4, 5, '6']]), '[0].segmentation[0]: must be numbers from -16777216 to 16777216, got "6"'],
    [{ annotations: [], images: 3 }, 'images: must be a list, got 3'],
    [{ annotations: [], categories: [{}] }, 'categories[0]: must have an id and a name, got {}'],
    [task({ value: { rle: [0, 0] } }), '[0].value.rle: ends too early'],
    [task({ value: { rle: 'x' } }), '[0].value.rle: must be a list of bytes'],
    [
      task({ value: { rle: [255, 0, 0, 0, 0] } }),
      '[0].value.rle: must have 4 values for each of 6 pixels, got 4278190080 values',
    ],
    [
      task({ value: { x: 1, y: 2 }, type: 'ellipselabels' }),
      '[0].type: must be brushlabels or polygonlabels, got "ellipselabels"',
    ],
    [
      task({ original_width: 1e9, value: { rle: [1] } }),
      '[0].original_width: must be 1 to 134217728 pixels in all, got 1000000000 x 2',
    ],
    [feature({ type: 'Point' }), 'features[0].geometry.type: must be Polygon or MultiPolygon, got "Point"'],
    [feature({ type: 'Polygon', coordinates: 5 }), 'features[0].geometry.coordinates: must be a list, got 5'],
    [feature({ type: 'Polygon', coordinates: [[[1, 2], 3, 4]] }), 'features[0].geometry.coordinates[0]: '],
    ['0 0 0 1 1 0 7\n', 'line 1: must be shares from 0 to 1, got 7'],
    ['0 0 0 1 1 0 1\nx 1 2 3\n', 'line 2: must begin with a class from 0 to 253, got "x 1 2 3"'],
  ];
  for (const [file, message] of wrong) {
    const text = typeof file === 'string' ? file : JSON.stringify(file);
    const read = readAnnotation(text, size);
    await assert.rejects(read, (/** @type {any} */ error) => {
      assert.equal(error.code, 'INVALID_FILE', `${text}: ${error.stack}`);
      assert(error.message.startsWith(message), `${error.message}\n${message}`);
      return true;
    });
  }
});

test('any damage to a file is rejected or read, and never takes other errors', async () => {
  const given = { width: 6, height: 5, mask: new Uint8Array(30).fill(2, 7, 19), classes: CLASSES };
  const files = [
    JSON.stringify(toCOCO(given)),
    JSON.stringify(toCOCO(given, { rle: true })),
    JSON.stringify(toLabelStudio(given)),
    JSON.stringify(toGeoJSON(given)),
    toYOLO(given),
  ].map((text) => new TextEncoder().encode(text));
  files.push(new Uint8Array(await toIndexedPNG(given)));
  const changes = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 3 });
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...files), changes, fc.nat(3), async (file, some, cut) => {
      const bytes = Uint8Array.from(cut ? file : file.subarray(0, file.length - (some[0][0] % file.length)));
      for (const [at, value] of some) bytes[at % bytes.length] = value;
      try {
        const { width, height, mask, classes } = await readAnnotation(bytes, {
          name: 'a',
          width: 6,
          height: 5,
        });
        assert.equal(mask.length, width * height);
        assert(mask.every((value) => value <= classes.length));
      } catch (error) {
        assert.equal(/** @type {any} */ (error).code, 'INVALID_FILE', /** @type {any} */ (error).stack);
      }
    }),
    { numRuns: 1500 },
  );
});

test('objects go into a selection behind those that it has, and undo takes them back', () => {
  const { noise } = maps;
  const { width, height } = noise;
  const instances = Uint16Array.from(noise.labels, (label) => Math.min(label % 5, 3));
  const objects = [1, 2, 2].map((value, i) => ({ class: value, name: `thing ${i}` }));
  const mask = Uint8Array.from(instances, (one) => (one ? objects[one - 1].class : 2));
  const annotation = { width, height, mask, classes: [CLASSES[2], CLASSES[0]], instances, objects };
  for (const level of [undefined, noise.finest]) {
    const selection = fresh(noise);
    const own = selection.addObject(2, 'mine');
    selection.choose(noise.cut(9), [1, 2], own);
    const before = selection.annotation();
    importAnnotation(selection, annotation, { level });
    const after = selection.annotation();
    assert.deepEqual(
      selection.objects.map(({ class: value, name }) => [value, name]),
      [
        [2, 'mine'],
        [3, 'thing 0'],
        [1, 'thing 1'],
        [1, 'thing 2'],
      ],
    );
    assert.deepEqual(
      [...after.mask],
      [...mask].map((value) => [0, 3, 1][value]),
    );
    assert.deepEqual(
      [...(after.instances ?? [])],
      [...instances].map((one) => one && one + 1),
    );
    assert.equal(selection.classes.length, 3);
    selection.undo();
    assert.deepEqual(selection.annotation(), before);
    selection.redo();
    assert.deepEqual(selection.annotation(), after);
    const json = JSON.parse(JSON.stringify(selection));
    const { constructor } = /** @type {any} */ (selection);
    assert.deepEqual(constructor.restore(noise, json).annotation(), after);
  }
  // Snapped to large superpixels, an object without one is left out.
  const selection = fresh(noise);
  const small = { ...annotation, instances: new Uint16Array(mask.length), mask: new Uint8Array(mask.length) };
  small.instances.fill(1, 0, 500);
  small.instances[900] = 2;
  small.instances.forEach((one, i) => (small.mask[i] = one));
  importAnnotation(selection, small, { level: noise.cut(2), threshold: 0 });
  assert.deepEqual(
    selection.objects.map(({ name }) => name),
    ['thing 0'],
  );
});

test('an object that later masks cover is left out', async () => {
  const size = [1, 3];
  const masks = [
    [0, 1, 2],
    [0, 2, 1],
    [2, 1],
  ].map((counts) => ({ segmentation: { size, counts } }));
  const found = await readAnnotation(JSON.stringify(masks), { width: 3, height: 1 });
  assert.deepEqual([...(found.instances ?? [])], [1, 1, 2]);
  assert.equal(found.objects?.length, 2);
});

test('of classes with equally many pixels the smallest is snapped to, and class 5 stays class 5', async () => {
  const { noise } = maps;
  const { width, height } = noise;
  const level = noise.cut(1);
  const half = noise.labels.length >> 1;
  const mask = new Uint8Array(noise.labels.length)
    .fill(2)
    .fill(1, 0, half)
    .fill(0, 2 * half);
  const selection = fresh(noise);
  importAnnotation(selection, { width, height, mask, classes: selection.classes }, { level, threshold: 0 });
  assert.equal(maskOf(selection)[0], 1);

  const numbers = new Uint8Array(noise.labels.length).fill(5);
  const five = Array.from({ length: 5 }, (_, i) => ({ name: `${i}`, color: `#00000${i}` }));
  const png = await toIndexedPNG({ width, height, mask: numbers, classes: five });
  importAnnotation(selection, await readAnnotation(png, { classes: selection.classes }));
  assert.deepEqual(
    selection.classes.map(({ name }) => name),
    ['cat', 'dog', 'sky', 'Class 4', 'Class 5'],
  );
  assert(maskOf(selection).every((value) => value === 5));
});

test("masks of whole classes are classes, and other tools' masks are objects", async () => {
  const given = { width: 3, height: 2, mask: Uint8Array.of(1, 0, 2, 1, 0, 2), classes: CLASSES };
  const results = /** @type {any[]} */ (toLabelStudio(given));
  const own = await readAnnotation(JSON.stringify(results));
  assert.deepEqual([own.instances, own.objects], [null, []]);
  results[1].id = 'Zx81';
  results[1].meta = { text: ['Rex'] };
  const mixed = await readAnnotation(JSON.stringify(results));
  assert.deepEqual(mixed.objects, [{ class: 2, name: 'Rex' }]);
  const geo = toGeoJSON(given);
  assert.equal((await readAnnotation(JSON.stringify(geo), { width: 3, height: 2 })).instances, null);
  const foreign = geo.features.map((one) => ({
    ...one,
    id: undefined,
    properties: { classification: { name: 'x' } },
  }));
  const found = await readAnnotation(JSON.stringify({ ...geo, features: foreign }), { width: 3, height: 2 });
  assert.deepEqual([...(found.instances ?? [])], [1, 0, 2, 1, 0, 2]);
});
