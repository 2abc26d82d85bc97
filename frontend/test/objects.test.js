import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FIRST_OBJECT, MAX_OBJECTS, PARTLY, Selection } from 'superpixel-map';
import { blocks, fresh, maps, maskOf, placeIn } from './selections.js';

/** @typedef {import('./selections.js').Point} Point */

/** @param {Selection} selection */
const valuesOf = ({ map, regions, pixels }) =>
  Array.from(map.labels, (label, i) => (pixels?.[i] ? pixels[i] - 1 : regions[label]));

/** A selection of the noise map with a stuff class, two objects of class 1 and one of class 2. */
function withObjects() {
  const { noise } = maps;
  const selection = fresh(noise);
  const level = noise.cut(9);
  const [a, b, c] = [selection.addObject(1, 'Tom'), selection.addObject(1), selection.addObject(2, 'Rex')];
  selection.choose(level, [0, 1], a);
  selection.choose(level, [2], b);
  selection.choose(level, [3, 4], c);
  selection.choose(level, [5], 3);
  selection.paintPixels([placeIn(level, 5)], 3, b);
  selection.paintPixels([placeIn(level, 0)], 2, 0);
  return { selection, level, a, b, c };
}

test('regions and pixels belong to objects, and each object has a class', () => {
  const { selection, level, a, b, c } = withObjects();
  assert.deepEqual([a, b, c], [256, 257, 258]);
  assert.equal(FIRST_OBJECT, 256);
  assert.deepEqual(selection.objects, [
    { class: 1, name: 'Tom' },
    { class: 1, name: '' },
    { class: 2, name: 'Rex' },
  ]);
  const values = valuesOf(selection);
  const ofValue = [0, 1, 2, 3, ...Array(252), 1, 1, 2];
  const { mask, instances, objects } = selection.annotation();
  values.forEach((value, i) => {
    const [x, y] = [i % 53, Math.floor(i / 53)];
    assert.equal(selection.valueAt(x, y), value);
    assert.equal(selection.objectAt(x, y), value > 255 ? value : 0);
    assert.equal(selection.classAt(x, y), ofValue[value]);
    assert.equal(mask[i], ofValue[value]);
    assert.equal(instances?.[i], value > 255 ? value - 255 : 0);
  });
  assert.deepEqual(objects, selection.objects);
  assert.notEqual(objects?.[0], selection.objects[0], 'a copy');
  const areas = [a, b, c].map((value) => values.filter((one) => one === value).length);
  assert.deepEqual([...selection.objectAreas()], areas);
  assert.deepEqual([...selection.statesOf(level)].slice(0, 7), [a, a, b, c, c, 3, 0]);
  assert.equal(selection.statesOf(maps.noise.cut(1))[0], PARTLY);
  assert.equal(selection.objectAt(-1, 0), 0);
  assert.equal(fresh(maps.noise).annotation().instances, null);
});

test('values that do not exist are refused', () => {
  const { selection, level } = withObjects();
  const wrong = [4, 255, 259, 1e6, -1, NaN, 256.5];
  for (const value of wrong) {
    assert.throws(() => selection.click(level, 5, 5, value), { code: 'INVALID_ARGUMENT' }, `${value}`);
    assert.throws(() => selection.paintPixels([[5, 5]], 2, value), { code: 'INVALID_ARGUMENT' });
    for (const method of /** @type {const} */ (['removeObject', 'splitObject'])) {
      assert.throws(() => selection[method](value), { code: 'INVALID_ARGUMENT' });
    }
    assert.throws(() => selection.joinObjects([256, value]), { code: 'INVALID_ARGUMENT' });
  }
  for (const value of [0, 4, 256]) {
    assert.throws(() => selection.addObject(value), { code: 'INVALID_ARGUMENT' });
    assert.throws(() => selection.changeObject(256, { class: value }), { code: 'INVALID_ARGUMENT' });
  }
  assert.throws(() => selection.joinObjects([]), { code: 'INVALID_ARGUMENT' });
  assert.throws(() => fresh(maps.noise).removeObject(256), { code: 'INVALID_ARGUMENT' });
  selection.begin();
  assert.throws(() => selection.removeObject(256), { code: 'INVALID_ARGUMENT' });
  assert.throws(() => selection.joinObjects([256, 257]), { code: 'INVALID_ARGUMENT' });
  selection.cancel();
  selection.objects.length = MAX_OBJECTS;
  assert.throws(() => selection.addObject(1), { code: 'INVALID_ARGUMENT' });
});

test('a class color is checked when the class is given', () => {
  const { noise } = maps;
  const red = { name: 'red', color: 'red' };
  const message = 'color: must be #rrggbb, got red';
  assert.throws(() => new Selection(noise, [red]), { code: 'INVALID_ARGUMENT', message });
  const selection = fresh(noise);
  selection.classes.push(red);
  assert.throws(() => selection.click(noise.finest, 5, 5, 4), { code: 'INVALID_ARGUMENT', message });
  assert.throws(() => selection.addObject(4), { code: 'INVALID_ARGUMENT', message });
  selection.click(noise.finest, 5, 5, 3);
  const mask = new Uint8Array(noise.labels.length);
  assert.throws(() => fresh(noise).paintMask(mask, [red]), { code: 'INVALID_ARGUMENT', message });
  const kept = { ...fresh(noise).toJSON(), classes: [red] };
  assert.throws(() => Selection.restore(noise, kept), { code: 'INVALID_SELECTION', message });
  const twice = [1, 1].map((id) => ({ name: 'x', color: '#000000', id }));
  assert.throws(() => new Selection(noise, twice), { code: 'INVALID_ARGUMENT', message: /^classes: an id/ });
});

test('removing an object removes its pixels, and later objects move up', () => {
  const { selection, a, b } = withObjects();
  const before = valuesOf(selection);
  selection.removeObject(a);
  assert.deepEqual(
    valuesOf(selection),
    before.map((value) => (value === a ? 0 : value > a ? value - 1 : value)),
  );
  assert.deepEqual(
    selection.objects.map(({ name }) => name),
    ['', 'Rex'],
  );
  const after = valuesOf(selection);
  selection.undo();
  assert.deepEqual(valuesOf(selection), before);
  assert.equal(selection.objects[0].name, 'Tom');
  selection.redo();
  assert.deepEqual(valuesOf(selection), after);
  assert.equal(selection.objects.length, 2);
  assert.equal(selection.objects[b - 1 - 256].class, 1);
});

test('joined objects are the one with the smallest value', () => {
  const { selection, a, b, c } = withObjects();
  const d = selection.addObject(3, 'last');
  const before = valuesOf(selection);
  selection.joinObjects([c, a, c]);
  assert.equal(selection.history().done.length, 11, 'one step');
  const joined = before.map((value) => (value === c ? a : value));
  assert.deepEqual(valuesOf(selection), joined);
  assert.deepEqual(
    selection.objects.map(({ name }) => name),
    ['Rex', '', 'last'],
    'the first one given gives its name',
  );
  assert.equal(selection.classOf(d - 1), 3);
  assert.equal(selection.classOf(a), 2);
  assert.equal(selection.joinObjects([b]), null, 'one alone');
  selection.undo();
  assert.deepEqual(valuesOf(selection), before);
  assert.equal(selection.objects.length, 4);
  assert.deepEqual(selection.objects[0], { class: 1, name: 'Tom' });
});

test('another class or name of an object is a step', () => {
  const { selection, c } = withObjects();
  const before = maskOf(selection);
  assert.equal(selection.changeObject(c, {}), null);
  assert.deepEqual(selection.changeObject(c, { class: 3, name: 'tree' }), { x0: 0, y0: 0, x1: 53, y1: 37 });
  assert.deepEqual(selection.objects[2], { class: 3, name: 'tree' });
  assert.deepEqual(
    maskOf(selection),
    before.map((value) => (value === 2 ? 3 : value)),
  );
  selection.undo();
  assert.deepEqual(selection.objects[2], { class: 2, name: 'Rex' });
  assert.deepEqual(maskOf(selection), before);
});

/** @param {number[]} values @param {number} width @returns {number[]} the 4-connected piece of each pixel, by flood fill */
function piecesOf(values, width) {
  const piece = values.map(() => 0);
  let next = 0;
  values.forEach((value, start) => {
    if (piece[start]) return;
    next++;
    const todo = [start];
    for (let i = todo.pop(); i !== undefined; i = todo.pop()) {
      if (piece[i] || values[i] !== value) continue;
      piece[i] = next;
      const x = i % width;
      if (x > 0) todo.push(i - 1);
      if (x + 1 < width) todo.push(i + 1);
      if (i >= width) todo.push(i - width);
      if (i + width < values.length) todo.push(i + width);
    }
  });
  return piece;
}

test('splitting makes each 4-connected piece an object', () => {
  const { noise } = maps;
  const selection = fresh(noise);
  const other = selection.addObject(2);
  const value = selection.addObject(1, 'crowd');
  const level = noise.cut(40);
  selection.choose(level, [0, 1, 7, 12, 20, 30, 31], value);
  selection.paintPixels([[5, 0], [5, 37]], 1, 0); // prettier-ignore
  selection.paintPixels([[45, 5], [48, 9]], 2, value); // prettier-ignore
  selection.paintPixels([[45, 25]], 2, other);
  const before = valuesOf(selection);
  const pieces = piecesOf(before, 53);
  const own = [...new Set(pieces.filter((_, i) => before[i] === value))];
  assert(own.length > 4);
  const made = selection.splitObject(value);
  const after = valuesOf(selection);
  assert.equal(made.length, own.length);
  assert.deepEqual(
    made.slice(1),
    Array.from({ length: own.length - 1 }, (_, i) => 258 + i),
  );
  /** Value by piece. @type {Map<number, number>} */
  const found = new Map();
  after.forEach((one, i) => {
    if (before[i] !== value) assert.equal(one, before[i]);
    else assert.equal(one, found.get(pieces[i]) ?? (found.set(pieces[i], one), one));
  });
  assert.deepEqual(
    [...found.values()].filter((one) => one !== value),
    made.slice(1),
    'in the order of first pixels',
  );
  const areas = [...selection.objectAreas()];
  assert.equal(areas[1], Math.max(...areas.slice(1)), 'the largest keeps its value');
  assert.deepEqual(selection.objects.at(-1), { class: 1, name: '' });
  assert.equal(selection.objects[1].name, 'crowd');
  selection.undo();
  assert.deepEqual(valuesOf(selection), before);
  assert.equal(selection.objects.length, 2);
  selection.redo();
  assert.deepEqual(valuesOf(selection), after);
  const steps = selection.history().done.length;
  assert.deepEqual(selection.splitObject(other), [other]);
  assert.deepEqual(selection.splitObject(selection.addObject(1)).length, 1, 'without pixels');
  assert.equal(selection.history().done.length, steps + 1, 'one piece alone is no step');
});

test('splitting paints the parts of regions that lie in several pieces', () => {
  const [, squares] = blocks; // 9 x 9 pixels each, 6 in a row
  const selection = fresh(squares);
  const value = selection.addObject(2);
  selection.choose(squares.finest, [0, 1, 2, 6, 14], value);
  selection.paintPixels([[0, 3.5], [53, 3.5]], 0, 0); // prettier-ignore
  const before = valuesOf(selection);
  const pieces = piecesOf(before, 53);
  const own = [...new Set(pieces.filter((_, i) => before[i] === value))];
  const made = selection.splitObject(value);
  assert.equal(made.length, own.length);
  assert.equal(own.length, 3);
  const after = valuesOf(selection);
  const values = own.map((piece) => new Set(after.filter((_, i) => pieces[i] === piece)));
  assert.deepEqual(values.map((found) => [...found]).sort(), [[256], [257], [258]]);
  assert.deepEqual(
    after.filter((_, i) => before[i] !== value),
    before.filter((one) => one !== value),
  );
  selection.undo();
  assert.deepEqual(valuesOf(selection), before);
});

test('removing a class removes its objects', () => {
  const { selection } = withObjects();
  const before = valuesOf(selection);
  selection.removeClass(1);
  assert.deepEqual(selection.objects, [{ class: 1, name: 'Rex' }]);
  assert.deepEqual(
    valuesOf(selection),
    before.map((value) => ({ 256: 0, 257: 0, 258: 256, 3: 2 })[value] ?? value),
  );
  const after = valuesOf(selection);
  selection.undo();
  assert.deepEqual(valuesOf(selection), before);
  assert.deepEqual(
    selection.objects.map((one) => one.class),
    [1, 1, 2],
  );
  selection.redo();
  assert.deepEqual(valuesOf(selection), after);
});

test('a class is merged into another one, with its objects', () => {
  const { selection } = withObjects();
  const before = valuesOf(selection);
  assert.throws(() => selection.removeClass(1, 1), { code: 'INVALID_ARGUMENT' });
  assert.throws(() => selection.removeClass(1, 4), { code: 'INVALID_ARGUMENT' });
  const names = selection.classes.map(({ name }) => name);
  selection.removeClass(1, 3);
  assert.deepEqual(
    selection.classes.map(({ name }) => name),
    names.slice(1),
  );
  assert.deepEqual(
    selection.objects.map((one) => one.class),
    [2, 2, 1],
  );
  const after = before.map((value) => ({ 1: 2, 2: 1, 3: 2 })[value] ?? value);
  assert.deepEqual(valuesOf(selection), after);
  selection.undo();
  assert.deepEqual(valuesOf(selection), before);
  assert.deepEqual(
    selection.objects.map((one) => one.class),
    [1, 1, 2],
  );
  selection.redo();
  assert.deepEqual(valuesOf(selection), after);
});

test('another map and JSON keep the objects', () => {
  const { selection } = withObjects();
  selection.parameters = { compactness: 10, algorithm: 'x', edges: null, exact: true };
  selection.classes[0].id = 17;
  const before = valuesOf(selection);
  const kept = JSON.parse(JSON.stringify(selection));
  assert.equal(kept.version, 2);
  const again = Selection.restore(maps.noise, kept, JSON.parse(JSON.stringify(selection.history())));
  assert.deepEqual(again.annotation(), selection.annotation());
  assert.deepEqual(again.parameters, selection.parameters);
  assert.equal(again.annotation().classes[0].id, 17);
  assert.deepEqual(JSON.parse(JSON.stringify(again)), kept);
  while (again.canUndo) again.undo();
  assert.deepEqual([again.objects, valuesOf(again).some(Boolean)], [[], false]);
  selection.moveTo(blocks[1]);
  assert.deepEqual(valuesOf(selection), before);
  selection.removeObject(256);
  selection.undo();
  selection.undo();
  assert.deepEqual(valuesOf(selection), before);
});

test('selections of version 1 are read', () => {
  const { noise } = maps;
  const selection = fresh(noise);
  selection.click(noise.cut(9), 5, 5, 2);
  const { objects: _none, ...data } = selection.toJSON();
  const again = Selection.restore(noise, { ...data, version: 1 });
  assert.deepEqual(again.annotation(), selection.annotation());
});

test('paint draws objects in the colour of their class, or in shades of it', () => {
  const { selection, level } = withObjects();
  selection.undo();
  selection.undo();
  const view = { x: 0, y: 0, scale: 1, width: 53, height: 37 };
  const colors = [
    [100, 0, 200, 128],
    [4, 5, 6, 255],
    [7, 8, 9, 255],
  ];
  const picture = new Uint8ClampedArray(4 * 53 * 37);
  selection.paint(picture, view, colors);
  /** @param {number} region */
  const at = (region) => {
    const i = valuesOf(selection).findIndex((one, j) => one && level.lut[maps.noise.labels[j]] === region);
    return [...picture.subarray(4 * i, 4 * i + 4)];
  };
  assert.deepEqual([0, 2, 3].map(at), [colors[0], colors[0], colors[1]]);
  selection.paint(picture, view, colors, { shades: true });
  assert.deepEqual(at(0), colors[0], 'the first object has the colour itself');
  assert.deepEqual(at(5), colors[2], 'stuff has no shade');
  assert.notDeepEqual(at(2), colors[0]);
  assert.equal(at(2)[3], 128);
  assert.notDeepEqual(at(3), colors[1]);
});
