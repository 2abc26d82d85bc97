import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { decode, SuperpixelMapError } from 'superpixel-map';
import { fromBase64, MAPS, read, readJSON } from './fixtures.js';

const CODES = ['NOT_A_LABEL_MAP', 'UNSUPPORTED', 'TOO_LARGE', 'TRUNCATED', 'DAMAGED', 'MALFORMED'];

/** @param {import('superpixel-map').LabelMap} map; returns the same as as_reference in tests/kernels/codec_tools.py */
function asReference(map) {
  const rows = Array.from({ length: map.height }, (_, y) =>
    Array.from(map.labels.subarray(y * map.width, (y + 1) * map.width), (label) =>
      label < map.count ? label : -1,
    ),
  );
  /** @type {Record<string, unknown>} */
  const result = {
    count: map.count,
    connected: map.connected,
    algorithm_version: map.algorithmVersion,
    labels: rows,
  };
  const { tree, levels, heights, regions, provenance } = map;
  if (tree) result.tree = [[...tree.into], [...tree.order]];
  if (levels) result.levels = [levels.counts, [...levels.into], [...levels.level]];
  if (heights) result.heights = [...new Uint32Array(heights.buffer)].map((bits) => bits >>> 16);
  if (regions) {
    const { area, box, centroid, meanColor, neighborOffsets, neighbors } = regions;
    const fields = [
      [area, 1],
      [box, 4],
      [centroid, 2],
      [meanColor, 3],
    ].flatMap(([values, size]) =>
      Array.from({ length: /** @type {number} */ (size) }, (_, field) =>
        Array.from({ length: map.count }, (_, i) => /** @type {any} */ (values)[i * Number(size) + field]),
      ),
    );
    const lists = Array.from({ length: map.count }, (_, a) => [
      ...neighbors.subarray(neighborOffsets[a], neighborOffsets[a + 1]),
    ]);
    result.regions = [fields, lists];
  }
  if (provenance) result.provenance = provenanceOf(provenance);
  return result;
}

/** @param {NonNullable<import('superpixel-map').LabelMap['provenance']>} provenance */
function provenanceOf({ compactness, position, pictureSize, imageSha256, guidance }) {
  /** @type {Record<string, unknown>} */
  const result = {};
  if (compactness !== null) result.compactness = compactness;
  if (position && pictureSize) result.place = [...position, ...pictureSize];
  if (imageSha256) result.image = imageSha256;
  if (guidance) {
    const { version, edgeWeight, priorMode, priorWeight, importance, sha256 } = guidance;
    const maps = (edgeWeight === null ? 0 : 1) + (priorMode ? 2 : 0) + (importance ? 4 : 0);
    const mode = priorMode === 'hard' ? 1 : 0;
    result.guidance = [version, maps, mode, edgeWeight ?? 0, priorWeight ?? 0, sha256];
  }
  return result;
}

test('accepts the same containers as Python, with the same contents, and rejects the same', async () => {
  const { maxPixels, cases } = readJSON('containers.json');
  const tally = { read: 0, refused: 0 };
  for (const { name, data, decoded } of cases) {
    const bytes = fromBase64(data);
    const before = bytes.slice();
    let map;
    try {
      map = await decode(bytes, { maxPixels });
    } catch (error) {
      assert(error instanceof SuperpixelMapError, `${name}: ${error}`);
      assert(CODES.includes(error.code), `${name}: ${error.code}`);
      assert(error.message.length > 10, name);
      assert.equal(decoded, null, `${name} is rejected, but Python reads it: ${error.message}`);
      tally.refused++;
    }
    if (map) {
      assert.notEqual(decoded, null, `${name} is read, but Python rejects it`);
      assert.deepEqual(asReference(map), decoded, name);
      tally.read++;
    }
    assert.deepEqual(bytes, before, `${name}: the bytes were changed`);
  }
  assert(tally.read > 200 && tally.refused > 2000, JSON.stringify(tally));
});

for (const name of MAPS) {
  test(`${name}: labels and cuts equal those of the engine`, async () => {
    const map = await decode(read(`maps/${name}.spx`));
    const facts = readJSON(`maps/${name}.json`);
    assert.deepEqual([map.width, map.height, map.count], [facts.width, facts.height, facts.count]);
    const inside = map.labels.map((label) => (label < map.count ? label : -1));
    assert.deepEqual(new Uint8Array(inside.buffer), read(`maps/${name}.labels`));
    for (const [count, lut] of Object.entries(facts.cuts)) {
      const level = map.cut(Number(count));
      assert.equal(level.count, Number(count));
      assert.deepEqual([...level.lut.subarray(0, map.count)], lut, `count ${count}`);
    }
    if (facts.heights) assert.deepEqual([...(map.heights ?? [])], facts.heights);
  });
}

/** @param {string} name @param {string | null} code */
async function codeOf(name, code) {
  const { cases } = readJSON('containers.json');
  const { data } = cases.find((/** @type {any} */ one) => one.name === name);
  await assert.rejects(decode(fromBase64(data)), { name: 'SuperpixelMapError', code }, name);
}

test('each kind of error has its code', async () => {
  await codeOf('container: empty', 'TRUNCATED');
  await codeOf('container: magic', 'NOT_A_LABEL_MAP');
  await codeOf('container: version 2', 'UNSUPPORTED');
  await codeOf('container: flag bit 7', 'UNSUPPORTED');
  await codeOf('container: unknown section', 'UNSUPPORTED');
  await codeOf('container: width 0', 'MALFORMED');
  await codeOf('container: stored bytes 2^32 - 1', 'TRUNCATED');
  await codeOf('container: checksum', 'DAMAGED');
  await codeOf('container: a second member', 'DAMAGED');
  await codeOf('LABL: token 7', 'MALFORMED');
  await assert.rejects(decode(read('maps/photo.spx'), { maxPixels: 512 * 512 - 1 }), { code: 'TOO_LARGE' });
  await assert.rejects(decode(read('maps/photo.spx'), { maxPixels: 0 }), { code: 'INVALID_ARGUMENT' });
  await assert.rejects(decode(/** @type {any} */ ('SPXL')), { code: 'INVALID_ARGUMENT' });
});

test('reads an ArrayBuffer, and a part of one', async () => {
  const bytes = read('maps/noise.spx');
  const larger = new Uint8Array(bytes.length + 7);
  larger.set(bytes, 3);
  const [a, b] = await Promise.all([
    decode(bytes.slice().buffer),
    decode(larger.subarray(3, 3 + bytes.length)),
  ]);
  assert.deepEqual(a.labels, b.labels);
});

/** @param {number} width @param {number} height @param {Uint8Array} member @param {number} rawBytes */
function container(width, height, member, rawBytes) {
  const bytes = new Uint8Array(20 + 12 + member.length + 12);
  const view = new DataView(bytes.buffer);
  bytes.set(new TextEncoder().encode('SPXL\x01\x01\x01\0'));
  [width, height, 1].forEach((value, i) => view.setUint32(8 + 4 * i, value, true));
  bytes.set(new TextEncoder().encode('LABL'), 20);
  view.setUint32(24, member.length, true);
  view.setUint32(28, rawBytes, true);
  bytes.set(member, 32);
  bytes.set(new TextEncoder().encode('END\0'), 32 + member.length);
  return bytes;
}

test('a gzip bomb is rejected after one slice of its output', async () => {
  const bomb = new Uint8Array(gzipSync(new Uint8Array(400_000_000), { level: 9 }));
  const started = process.memoryUsage();
  const size = 4 + 17 * 8 + 2;
  await assert.rejects(decode(container(4, 2, bomb, size)), { code: 'DAMAGED' });
  await assert.rejects(decode(container(4, 2, bomb, 400_000_000)), { code: 'MALFORMED' });
  const { arrayBuffers, heapUsed } = process.memoryUsage();
  assert(arrayBuffers - started.arrayBuffers < 40_000_000, `${arrayBuffers - started.arrayBuffers} bytes`);
  assert(heapUsed - started.heapUsed < 40_000_000);
});

test('an announced size of 4 GB allocates no memory', async () => {
  const member = new Uint8Array(gzipSync('short'));
  const started = process.memoryUsage().arrayBuffers;
  const bytes = container(2 ** 14, 2 ** 14, member, 2 ** 32 - 1);
  await assert.rejects(decode(bytes, { maxPixels: 2 ** 28 }), { code: 'DAMAGED' });
  assert(process.memoryUsage().arrayBuffers - started < 10_000_000);
});

/** @param {number} width @param {number} height @param {number} [more] bytes in a section that the reader skips */
function flat(width, height, more = 0) {
  // The tokens: a new label, ends of all rows. The arguments: no gap, the whole width.
  const head = new Uint8Array([0, 0, 0, 0, 1]);
  new DataView(head.buffer).setUint32(0, 1 + height, true);
  const argument = [0];
  for (let left = width - 1; argument.push(left > 127 ? (left & 127) | 128 : left) && left > 127;) {
    left = Math.floor(left / 128);
  }
  const raw = new Uint8Array([...head, ...new Uint8Array(height), ...argument]);
  const bytes = container(width, height, new Uint8Array(gzipSync(raw, { level: 9 })), raw.length);
  const skipped = new Uint8Array(12 + more);
  skipped.set(new TextEncoder().encode('skip'));
  new DataView(skipped.buffer).setUint32(4, more, true);
  return new Uint8Array([...bytes.subarray(0, -12), ...skipped, ...bytes.subarray(-12)]);
}

test('a small container of a huge map is rejected unless the caller expects it', async () => {
  for (const [width, height] of [
    [2 ** 28, 1],
    [1, 2 ** 28],
    [2 ** 14, 2 ** 14],
    [2 ** 27, 1],
    [2 ** 24, 1],
    [2 ** 32 - 1, 2 ** 32 - 1],
  ]) {
    const bytes = flat(width, height < 2 ** 16 ? height : 1);
    new DataView(bytes.buffer).setUint32(12, height, true);
    assert(bytes.length < 120);
    const started = process.memoryUsage().arrayBuffers;
    await assert.rejects(decode(bytes), {
      code: 'TOO_LARGE',
      message: `header: ${width} x ${height} pixels, must be at most ${2 ** 17 * bytes.length}: the option maxPixels`,
    });
    assert(process.memoryUsage().arrayBuffers - started < 100_000);
  }
  const wide = flat(2 ** 24, 1);
  assert.equal((await decode(wide, { maxPixels: 2 ** 24 })).width, 2 ** 24);
  await assert.rejects(decode(wide, { maxPixels: 2 ** 24 - 1 }), { code: 'TOO_LARGE' });
  // The bound is exact, and never above 2^27.
  const { length } = flat(2 ** 24, 1, 0);
  assert.equal((await decode(flat(2 ** 24, 1, 128 - length))).width, 2 ** 24);
  await assert.rejects(decode(flat(2 ** 24, 1, 127 - length)), { code: 'TOO_LARGE' });
  await assert.rejects(decode(flat(2 ** 27 + 1, 1, 4000)), { code: 'TOO_LARGE' });
});
