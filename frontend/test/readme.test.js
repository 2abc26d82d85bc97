// Runs the examples of README.md in order, as one program.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { read } from './fixtures.js';

test('the examples of README.md work', async () => {
  const text = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  const blocks = [...text.matchAll(/^```js\n(.*?)^```$/gms)].map(([, code]) => code);
  assert(blocks.length >= 10);
  const index = new URL('../src/index.js', import.meta.url).href;
  const names = [...text.matchAll(/^const (?:[{[] ?)?(\w+)/gm)].map(([, name]) => name);
  const program = [
    'const { load, rgba } = globalThis.readme;',
    ...blocks.map((code) =>
      code
        .replaceAll("'superpixel-map'", `'${index}'`)
        .replaceAll(
          /'superpixel-map\/(\w+)'/g,
          (_, entry) => `'${new URL(`${entry}/index.js`, index).href}'`,
        ),
    ),
    `export { ${names.join(', ')} };`,
  ].join('\n');
  const file = join(tmpdir(), `readme-${process.pid}.mjs`);
  writeFileSync(file, program);
  Object.assign(globalThis, {
    readme: {
      load: async (/** @type {string} */ name) =>
        read(name === 'photo.spx' ? 'maps/photo.spx' : 'maps/other.spx'),
      rgba: read('maps/photo.rgba'),
    },
  });
  const shown = await import(pathToFileURL(file).href);

  // The results that the comments in README.md promise.
  assert.equal(shown.map.width, 512);
  assert.equal(shown.level.lut[shown.map.labels[0]], 0);
  await assert.rejects(async () => (await import(index)).decode(shown.bytes.slice(0, 1000)), {
    code: 'TRUNCATED',
  });
  assert.match(shown.lines.toSVGPath(), /^M\d+ \d+[hv]\d+M/);
  const { PARTLY } = await import(index);
  assert(shown.selection.statesOf(shown.coarse).includes(PARTLY));
  assert.equal(shown.again.map, shown.map);
  assert.deepEqual(shown.again.annotation(), shown.annotation);
  assert(shown.picture.some((/** @type {number} */ value) => value > 0));
  assert.deepEqual([...new Set(shown.annotation.mask)].sort(), [0, 1, 2]);
  assert.equal(shown.geo.features.length, 2);
  assert.equal(shown.brush.length, 2);
  assert.equal(shown.yolo.split('\n').length - 1, shown.coco.annotations.length);
  assert.deepEqual(shown.fitting.mask, shown.annotation.mask);
  assert.deepEqual(shown.files.map((/** @type {{ path: string }} */ { path }) => path).slice(-5), [
    'classes.json',
    'instances.json',
    'panoptic.json',
    'yolo/data.yaml',
    'masks/legend.json',
  ]);
  assert.deepEqual(
    [shown.tom, shown.ann, shown.things.objects.length, shown.things.objectAt(225, 110)],
    [256, 257, shown.things.objects.length, 256],
  );
  assert.equal(shown.smooth.features.length, 2);
  assert.equal(shown.svg.match(/<path/g).length, shown.geo.features.length);
  assert.equal(shown.borders.rings().length, shown.borders.pieces.length);
  assert.equal(shown.segments.annotations[0].segments_info.length, 2);
  assert.equal(shown.legend.classes[0].name, 'face');
  assert.equal(new TextDecoder('latin1').decode(shown.png.subarray(1, 4)), 'PNG');
});
