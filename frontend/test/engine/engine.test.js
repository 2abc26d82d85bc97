// The engine in WebAssembly under Node, against the label maps of the C++ engine. tests/frontend/test_engine.py
// writes them and runs this.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { decode, SuperpixelMapError } from 'superpixel-map';
import { encode, load, segment } from 'superpixel-map/engine';

const folder = process.env.SUPERPIXEL_ENGINE_CASES;
/** @type {any[]} */
const cases = JSON.parse(readFileSync(`${folder}/cases.json`, 'utf8'));

const bytesOf = (/** @type {string} */ name) => new Uint8Array(readFileSync(`${folder}/${name}`));

/** @param {number} number of a case */
function read(number) {
  const { width, height, guidance: maps, compactness, count, area, regions } = cases[number];
  const image = { data: bytesOf(`${number}.pixels`), width, height };
  const guidance = maps && { ...maps };
  for (const name of ['edges', 'prior', 'importance']) {
    if (!guidance?.[name]) continue;
    const bytes = bytesOf(`${number}.${name}`);
    const data = name === 'prior' ? new Int32Array(bytes.buffer) : bytes;
    guidance[name] = { ...guidance[name], data };
  }
  return { image, options: { compactness, guidance, count, area, regions } };
}

/** CRC-32, as zlib's; Node 20 lacks it. */
const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
  return n;
});
/** @param {Int32Array} array */
function crc32(array) {
  let sum = -1;
  for (const byte of new Uint8Array(array.buffer)) sum = TABLE[(sum ^ byte) & 255] ^ (sum >>> 8);
  return ~sum >>> 0;
}

for (const [number, { name, golden }] of cases.entries()) {
  test(`${name}: the bytes of the C++ engine`, async () => {
    const { image, options } = read(number);
    const expected = bytesOf(`${number}.spx`);
    const { bytes, count } = await encode(image, options);
    const map = await decode(bytes);
    assert.equal(map.count, count);
    const wanted = await decode(expected);
    assert.deepEqual(map.provenance, wanted.provenance);
    assert.deepEqual(map, wanted);
    assert.ok(Buffer.from(bytes).equals(expected), 'other bytes for the same map');
  });
  if (!golden) continue;
  test(`${name}: the values of the algorithm page`, async () => {
    const { image, options } = read(number);
    const map = await segment(image, options);
    assert.equal(crc32(map.labels), golden.base);
    for (const [count, sum] of Object.entries(golden.maps)) {
      const { lut } = map.cut(Number(count));
      assert.equal(crc32(map.labels.map((label) => lut[label])), sum, count);
    }
  });
}

const photo = cases.findIndex(({ name }) => name === 'coffee');

test('a map has the whole base, its tree, heights, regions and provenance', async () => {
  const { image } = read(photo);
  const [map, { bytes, count, baseCount }] = await Promise.all([
    segment(image),
    encode(image, { regions: true }),
  ]);
  assert.equal(count, baseCount);
  assert.deepEqual({ ...map }, { ...(await decode(bytes)) });
  assert.equal(map.cut(400).count, 400);
  assert.ok(map.colorSums.length > 0);
});

test('the calling thread gives the same map as the worker', async () => {
  const { image } = read(photo);
  const [here, there] = await Promise.all([segment(image, { worker: false }), segment(image)]);
  assert.deepEqual({ ...here }, { ...there });
});

test('RGBA as in ImageData, and a file whose hash is stored', async () => {
  const { image } = read(photo);
  const { width, height, data } = image;
  const rgba = new Uint8ClampedArray(4 * width * height).fill(255);
  for (let i = 0; i < width * height; i++) rgba.set(data.subarray(3 * i, 3 * i + 3), 4 * i);
  const file = new TextEncoder().encode('abc');
  const map = await segment({ width, height, data: rgba }, { file });
  assert.deepEqual(map.labels, (await segment(image)).labels);
  const abc = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';
  assert.equal(map.provenance?.imageSha256, abc);
});

test('progress names each stage, and its share grows', async () => {
  const { image } = read(photo);
  /** @type {any[]} */
  const seen = [];
  await segment(image, { onProgress: (progress) => seen.push(progress) });
  assert.deepEqual(
    seen.map(({ stage }) => stage),
    ['color', 'assign', 'components', 'graph', 'merge', 'encode'],
  );
  const shares = seen.map(({ share }) => share);
  assert.deepEqual(
    shares,
    [...shares].sort((a, b) => a - b),
  );
  assert.ok(shares[0] === 0 && shares[5] < 1);
});

test('a signal stops a call between two stages, and the next call works', async () => {
  const { image } = read(photo);
  for (const worker of [true, false]) {
    const abort = new AbortController();
    /** @type {string[]} */
    const seen = [];
    const onProgress = (/** @type {any} */ { stage }) => {
      seen.push(stage);
      if (stage === 'assign') abort.abort(new Error('enough'));
    };
    await assert.rejects(segment(image, { worker, signal: abort.signal, onProgress }), { message: 'enough' });
    await assert.rejects(segment(image, { worker, signal: abort.signal }), { message: 'enough' });
    assert.equal((await segment(image, { worker })).width, image.width);
    assert.deepEqual(seen, ['color', 'assign'], 'no stage begins after the signal');
  }
});

test('wrong arguments are errors that name them', async () => {
  const image = { data: new Uint8Array(12), width: 2, height: 2 };
  const map = { data: new Uint8Array(4), width: 2, height: 2 };
  /** @type {[any, any, string][]} */
  const wrong = [
    [{ ...image, width: 0 }, {}, 'image'],
    [{ ...image, data: new Uint8Array(11) }, {}, 'image'],
    [{ ...image, data: [1, 2, 3] }, {}, 'image'],
    [image, { compactness: 101 }, 'compactness'],
    [image, { compactness: NaN }, 'compactness'],
    [image, { guidance: 1 }, 'guidance'],
    [image, { guidance: { priorMode: 'hard' } }, 'guidance.priorMode'],
    [image, { guidance: { edgeWeight: 9 } }, 'guidance.edgeWeight'],
    [image, { guidance: { edges: { ...map, width: 3 } } }, 'guidance.edges'],
    [image, { guidance: { prior: { ...map, data: new Float32Array(4) } } }, 'guidance.prior'],
    [image, { guidance: { prior: { ...map, data: Int32Array.of(0, 1, -1, 0) } } }, 'guidance.prior'],
    [image, { file: 'abc' }, 'file'],
    [image, { count: 0 }, 'count'],
    [image, { area: -1 }, 'area'],
    [image, { area: 1, count: 1 }, 'count'],
  ];
  for (const [given, options, name] of wrong) {
    await assert.rejects(encode(given, options), (error) => {
      assert.ok(error instanceof SuperpixelMapError);
      assert.equal(error.code, 'INVALID_ARGUMENT');
      assert.ok(error.message.startsWith(name), error.message);
      return true;
    });
  }
});

test('an image above the limit is an error before memory is taken', async () => {
  const huge = { data: new Uint8Array(0), width: 2 ** 14, height: 2 ** 14 };
  await assert.rejects(segment(huge), { code: 'IMAGE_TOO_LARGE' });
});

test('the examples of docs/browser-engine.md work', async () => {
  const text = readFileSync(new URL('../../../docs/browser-engine.md', import.meta.url), 'utf8');
  const blocks = [...text.matchAll(/^```js\n(.*?)^```$/gms)].map(([, code]) => code);
  assert.equal(blocks.length, 4);
  const entry = new URL('../../src/engine/node.js', import.meta.url).href;
  const code = blocks.join('\n').replaceAll("'superpixel-map/engine'", `'${entry}'`);
  const file = join(tmpdir(), `engine-${process.pid}.mjs`);
  const names = 'map, bytes, count, guided';
  writeFileSync(file, `const { image, console } = globalThis.example;\n${code}\nexport { ${names} };\n`);
  /** @type {any[]} */
  const logged = [];
  const log = (/** @type {any[]} */ ...words) => logged.push(words);
  Object.assign(globalThis, { example: { image: read(photo).image, console: { log } } });
  const shown = await import(pathToFileURL(file).href);
  assert.equal(shown.map.provenance.compactness, 10);
  assert.equal((await decode(shown.bytes)).count, shown.count);
  assert.equal(shown.guided.provenance.guidance.priorMode, 'hard');
  assert.equal(logged.length, 6);
});

test('load resolves', async () => {
  await load();
});
