import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Dataset, Schema } from 'superpixel-map/dataset';
import { readAnnotation } from 'superpixel-map/imports';

const [CAT, DOG] = [
  { name: 'cat', color: '#e6194b', id: 7 },
  { name: 'dog', color: '#3cb44b', id: 9 },
];

/** @param {string[]} rows @param {import('../src/annotation.js').Class[]} classes */
const drawn = (rows, classes) => ({
  width: rows[0].length,
  height: rows.length,
  mask: Uint8Array.from(rows.join('').replaceAll('.', '0'), Number),
  classes,
});

test('classes are found by id, else by name, and appended with the next free id', () => {
  const schema = new Schema([CAT, { name: 'sky', color: '#4363d8' }]);
  assert.deepEqual(
    schema.classes.map(({ id }) => id),
    [7, 8],
  );
  const values = schema.merge([{ name: 'sky', color: '#000000' }, DOG, { ...CAT, color: '#ffffff' }], 'a');
  assert.deepEqual([...values], [0, 2, 3, 1]);
  assert.deepEqual(schema.classes[0], CAT, 'the colour of the schema stays');
  assert.deepEqual([...schema.merge([{ name: 'new', color: '#123456' }], 'b')], [0, 4]);
  assert.equal(schema.classes[3].id, 10);
  const again = Schema.fromJSON(JSON.parse(JSON.stringify(schema)));
  assert.deepEqual(again.classes, schema.classes);
});

test('contradictions are errors that change nothing', () => {
  const schema = new Schema([CAT, DOG]);
  const before = JSON.stringify(schema);
  const { color } = CAT;
  /** @type {[import('../src/annotation.js').Class[], string][]} */
  const wrong = [
    [[{ name: 'cow', color, id: 7 }], 'classes: b.jpg: id 7 is "cow", and "cat" in the schema'],
    [[{ name: 'cat', color, id: 3 }], 'classes: b.jpg: "cat" has the id 3, and 7 in the schema'],
    [
      [
        { name: 'new', color },
        { name: 'new', color },
      ],
      'classes: b.jpg: two have the name "new"',
    ],
    [
      Array.from({ length: 253 }, (_, i) => ({ name: `${i}`, color })),
      'classes: b.jpg: there would be over 254',
    ],
  ];
  for (const [classes, message] of wrong) {
    assert.throws(() => schema.merge(classes, 'b.jpg'), { code: 'INVALID_ARGUMENT', message });
    assert.equal(JSON.stringify(schema), before);
  }
  const fixed = new Schema([CAT], { fixed: true });
  assert.throws(() => fixed.merge([DOG], 'b.jpg'), { message: 'classes: b.jpg: "dog" is not in the schema' });
  const renamed = new Schema([CAT, DOG], { idsDecide: true });
  assert.deepEqual([...renamed.merge([{ name: 'cow', color, id: 7 }], 'b.jpg')], [0, 1]);
  assert.equal(renamed.classes[0].name, 'cat');
  for (const [data, message] of [
    [{}, /^schema: must be superpixel-classes of version 1$/],
    [{ format: 'superpixel-classes', version: 1, classes: 4 }, /^classes: must be a list/],
    [
      { format: 'superpixel-classes', version: 1, classes: [{ name: 'x', color: 'red' }] },
      /^classes\[0\]: must/,
    ],
    [{ format: 'superpixel-classes', version: 1, classes: [CAT, CAT] }, /^classes: the schema: /],
  ]) {
    assert.throws(() => Schema.fromJSON(data), {
      code: 'INVALID_ARGUMENT',
      message: /** @type {RegExp} */ (message),
    });
  }
});

test('many images become one data set, whose ids are unique', async () => {
  const dataset = new Dataset({ schema: new Schema([CAT, DOG]) });
  const first = drawn(['11..', '..2.'], [CAT, DOG]);
  const second = {
    ...drawn(['1.1', '.2.'], [DOG, { ...CAT, color: '#000000' }]),
    objects: [{ class: 2, name: 'Tom' }],
  };
  const instances = Uint16Array.of(0, 0, 0, 0, 1, 0);
  const image = new Uint8Array([1, 2]);
  const files = [
    ...(await dataset.add('a/one.jpg', first)),
    ...(await dataset.add('two.png', { ...second, instances }, { image, split: 'val' })),
    ...dataset.finish(),
  ];
  const byPath = new Map(files.map(({ path, data }) => [path, data]));
  assert.deepEqual(
    [...byPath.keys()],
    [
      'panoptic/a/one.png',
      'yolo/labels/train/a/one.txt',
      'masks/a/one.png',
      'panoptic/two.png',
      'yolo/labels/val/two.txt',
      'yolo/images/val/two.png',
      'masks/two.png',
      'instances/two.png',
      'instances/two.json',
      'classes.json',
      'instances.json',
      'panoptic.json',
      'yolo/data.yaml',
      'masks/legend.json',
    ],
  );
  /** @param {string} path @returns {Promise<any>} */
  const json = async (path) => JSON.parse(await new Response(/** @type {any} */ (byPath.get(path))).text());
  const coco = await json('instances.json');
  assert.deepEqual(
    coco.annotations.map((/** @type {any} */ one) => [one.id, one.image_id, one.category_id]),
    [
      [1, 1, 7],
      [2, 1, 9],
      [3, 2, 7],
      [4, 2, 9],
      [5, 2, 9],
    ],
  );
  assert.deepEqual(coco.categories, [
    { id: 7, name: 'cat' },
    { id: 9, name: 'dog' },
  ]);
  const panoptic = await json('panoptic.json');
  assert.deepEqual(
    panoptic.annotations.map((/** @type {any} */ one) =>
      one.segments_info.map((/** @type {any} */ { category_id: id, iscrowd }) => [id, iscrowd]),
    ),
    [
      [
        [7, 1],
        [9, 0],
      ],
      [
        [7, 0],
        [9, 0],
      ],
    ],
    'cat has an object in one image, so its other pixels are a crowd everywhere',
  );
  assert.equal(
    byPath.get('yolo/data.yaml'),
    'train: images/train\nval: images/val\nnames:\n  0: "cat"\n  1: "dog"\n',
  );
  assert.match(String(byPath.get('yolo/labels/val/two.txt')), /^0 /);
  // Each image comes back from the whole set.
  for (const [name, given] of /** @type {[string, any][]} */ ([
    ['one.jpg', first],
    ['two.png', second],
  ])) {
    const text = JSON.stringify(coco);
    const found = await readAnnotation(text, { name });
    const names = (/** @type {any} */ { mask, classes }) =>
      Array.from(mask, (value) => value && classes[value - 1].name);
    assert.deepEqual(names(found), names(given));
  }
});

test('names that would collide or leave the folder are refused, and nothing is added', async () => {
  const dataset = new Dataset();
  const one = drawn(['1'], [CAT]);
  await dataset.add('a.jpg', one);
  for (const name of ['A.png', '../b.jpg', '/b.jpg', 'b//c.jpg', '', 'c:\\d.jpg', 'a\u0000.jpg']) {
    await assert.rejects(dataset.add(name, one), { code: 'INVALID_ARGUMENT', message: /^name: / }, name);
  }
  await assert.rejects(dataset.add('b.jpg', drawn(['1'], [{ ...CAT, id: 1 }])), {
    message: /^classes: b.jpg: /,
  });
  await assert.rejects(dataset.add('b.jpg', one, { split: '../x' }), { message: /^split: / });
  await dataset.add('b.jpg', one);
  const coco = dataset.finish().find(({ path }) => path === 'instances.json')?.data;
  const { images } = JSON.parse(await new Response(/** @type {any} */ (coco)).text());
  assert.deepEqual(
    images.map((/** @type {any} */ { id, file_name: name }) => [id, name]),
    [
      [1, 'a.jpg'],
      [2, 'b.jpg'],
    ],
  );
  for (const [options, message] of /** @type {[any, RegExp][]} */ ([
    [{ formats: ['voc'] }, /^formats: must be of/],
    [{ simplify: -1 }, /^simplify: must be a number of pixels from 0 on, got -1$/],
    [{ simplify: 1, rle: true }, /^simplify: run lengths are exact; leave it out with rle$/],
  ])) {
    assert.throws(() => new Dataset(options), { code: 'INVALID_ARGUMENT', message });
  }
});
