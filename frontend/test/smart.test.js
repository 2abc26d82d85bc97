import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decode, Selection } from 'superpixel-map';
import { SmartSelect } from 'superpixel-map/smart';
import weights from 'superpixel-map/smart/weights.json' with { type: 'json' };
import { loadMap, read, readJSON } from './fixtures.js';

/** @typedef {import('superpixel-map').LabelMap} LabelMap */

/** @type {any[]} */
const cases = readJSON('smart.json');

/** @param {any} one */
async function open({ map: file, count, box, picture, size, scored, outside }) {
  const map = await decode(read(file));
  const colors = picture ? { data: read(picture), width: size[0], height: size[1] } : undefined;
  const [x0, y0, x1, y1] = box ?? [];
  const options = {
    colors,
    box: box ? { x0, y0, x1, y1 } : undefined,
    weights: scored ? undefined : null,
    outsideRegion: outside ?? undefined,
  };
  return new SmartSelect(map, map.cut(count), options);
}

for (const one of cases) {
  test(`smart select finds the regions that Python finds: ${one.name}`, async () => {
    const smart = await open(one);
    one.clicks.forEach((/** @type {any} */ click, /** @type {number} */ number) => {
      const wish = { positive: click.positive, grow: click.grow };
      const found = click.stroke
        ? smart.touch(click.stroke, wish)
        : smart.click(click.at[0], click.at[1], wish);
      assert.deepEqual([...found], click.found);
      assert.deepEqual([...smart.regrow(click.regrow)], click.grown);
      if (click.accepted) {
        assert.deepEqual([...smart.regrow(click.grow)], click.again);
        smart.accept();
      }
      assert.deepEqual([...smart.chosen], click.chosen);
      if (number === one.clicks.length / 2) smart.reset();
    });
  });
}

/** @param {LabelMap} map */
const pictureOf = (map) => ({ data: read('maps/photo.rgba'), width: map.width, height: map.height });

test('a click changes nothing before it is accepted, and only then counts', async () => {
  const map = await loadMap('photo');
  const level = map.cut(Math.min(map.count, 2400));
  const smart = new SmartSelect(map, level, { colors: pictureOf(map) });
  const first = smart.click(256, 256);
  assert(first.length > 0);
  assert(first.includes(level.regionAt(256, 256)));
  assert.deepEqual(smart.click(256, 256), first);
  assert.equal(smart.chosen.length, 0);
  smart.accept();
  assert.deepEqual(smart.chosen, first);
  smart.accept(); // there is nothing more to accept
  assert.deepEqual(smart.chosen, first);

  // A positive click only adds, a negative one only takes away, and a click holds against later ones.
  const away = smart.click(256, 256, { positive: false, grow: 5 });
  assert(away.every((region) => first.includes(region)));
  const elsewhere = [...level.boxes.keys()].find((_, i) => i < level.count && !first.includes(i)) ?? 0;
  const added = smart.touch([elsewhere], { grow: 5 });
  assert(added.every((region) => !first.includes(region)));
  smart.touch([first[0]], { positive: false, grow: -5 });
  smart.accept();
  assert(!smart.touch([elsewhere], { grow: 5 }).includes(first[0]));
  smart.reset();
  assert.equal(smart.chosen.length, 0);
  assert.deepEqual(smart.click(256, 256), first);
});

test('growing takes more, shrinking takes less, as a click at the same point would', async () => {
  const map = await loadMap('photo');
  const level = map.cut(Math.min(map.count, 2400));
  for (const used of [undefined, null]) {
    const smart = new SmartSelect(map, level, { colors: pictureOf(map), weights: used });
    let before = -1;
    for (const grow of [-5, -2, 0, 0.5, 2, 5]) {
      smart.click(300, 200);
      const grown = smart.regrow(grow);
      assert.deepEqual(grown, smart.click(300, 200, { grow }));
      assert(grown.length >= before);
      before = grown.length;
    }
    assert.equal(smart.click(300, 200, { grow: -5 }).length, 1);
    if (used === null) assert.equal(smart.regrow(5).length, level.count);
  }
});

test('a stroke takes what it touches', async () => {
  const map = await loadMap('photo');
  const level = map.cut(Math.min(map.count, 2400));
  const smart = new SmartSelect(map, level, { colors: pictureOf(map) });
  const found = smart.stroke(
    [
      [100, 100],
      [180, 140],
    ],
    6,
  );
  for (const [x, y] of [
    [100, 100],
    [140, 120],
    [180, 140],
    [100, 104],
  ]) {
    assert(found.includes(level.regionAt(x, y)));
  }
  const outside = smart.stroke([[-50, -50]], 6);
  assert.equal(outside.length, 0);
});

test('Selection.smart is one step to undo', async () => {
  const map = await loadMap('photo');
  const level = map.cut(Math.min(map.count, 2400));
  const smart = new SmartSelect(map, level, { colors: pictureOf(map) });
  const found = smart.click(256, 256, { grow: 0.5 });
  const selection = new Selection(map, [
    { name: 'one', color: '#ff0000' },
    { name: 'two', color: '#00ff00' },
  ]);
  assert(selection.smart(smart, 256, 256, 2, { grow: 0.5 }));
  const states = selection.statesOf(level);
  assert.deepEqual(
    [...states.keys()].filter((region) => states[region] === 2),
    [...found],
  );
  assert.deepEqual(smart.chosen, found);
  selection.smart(smart, 256, 256, 0, { grow: -5 });
  assert.equal(selection.classAt(256, 256), 0);
  assert.equal(smart.chosen.length, found.length - 1);
  selection.undo();
  selection.undo();
  assert(!selection.canUndo);
  assert(selection.regions.every((value) => value === 0));
  assert.equal(selection.smart(smart, -5, 10, 1), null);
});

test('wrong arguments are refused', async () => {
  const map = await loadMap('photo');
  const level = map.cut(100);
  const colors = pictureOf(map);
  /** @type {(code: string, options?: any, from?: any) => void} */
  const refused = (code, options, from = level) =>
    void assert.throws(() => new SmartSelect(map, from, options), { code });
  refused('OTHER_MAP', { colors }, (await loadMap('photo')).cut(100));
  refused('INVALID_ARGUMENT', { colors: { data: colors.data, width: 600, height: 512 } });
  refused('INVALID_ARGUMENT', { colors: { data: colors.data.subarray(4), width: 512, height: 512 } });
  refused('INVALID_ARGUMENT', { colors, box: { x0: 0, y0: 0, x1: 100, y1: 100 } });
  for (const box of [
    { x0: 5, y0: 0, x1: 5, y1: 9 },
    { x0: 0.5, y0: 0, x1: 5, y1: 9 },
    { x0: 0, y0: -1, x1: 5, y1: 9 },
    { x0: 0, y0: 0, x1: 513, y1: 9 },
  ]) {
    refused('INVALID_ARGUMENT', { box });
  }
  const [first, ...others] = weights.layers;
  for (const wrong of [
    {},
    { ...weights, version: 99 },
    { ...weights, layers: others },
    { ...weights, layers: [] },
    { ...weights, bias: 'x' },
    { ...weights, layers: [{ ...first, biases: first.biases.map(() => NaN) }, ...others] },
    { ...weights, layers: [first] },
  ]) {
    refused('INVALID_ARGUMENT', { colors, weights: wrong });
  }
  const levels = await loadMap('levels');
  assert.throws(() => new SmartSelect(levels, levels.cut(levels.count)), { code: 'INVALID_ARGUMENT' });
  const smart = new SmartSelect(map, level, { colors });
  for (const grow of [5.1, -6, NaN]) {
    assert.throws(() => smart.click(5, 5, { grow }), { code: 'INVALID_ARGUMENT' });
    assert.throws(() => smart.regrow(grow), { code: 'INVALID_ARGUMENT' });
  }
  assert.throws(() => smart.touch([100]), { code: 'INVALID_ARGUMENT' });
  assert.throws(() => smart.stroke([], 3), { code: 'INVALID_ARGUMENT' });
});
