// Measures the annotation page's layers at one screen pixel per image pixel. benchmarks/page.py opens it with the name of a
// map and an image in ?name=, and reads the milliseconds from window.result.

import { decode, Selection } from '../src/index.js';
import { SmartSelect } from '../src/smart/index.js';
import { Camera } from '../page/camera.js';
import { Layers } from '../page/layers.js';
import { Work } from '../page/work.js';

/** Resolves after the browser has taken over what was drawn. */
const shown = () =>
  new Promise((resolve) =>
    requestAnimationFrame(() => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = resolve;
      port2.postMessage(null);
    }),
  );

/**
 * @param {number} times
 * @param {(i: number) => unknown} run
 * @returns {Promise<number[]>} milliseconds of each run
 */
async function spent(times, run) {
  const milliseconds = [];
  for (let i = 0; i < times + 2; i++) {
    const start = performance.now();
    const result = run(i);
    if (result instanceof Promise) await result;
    const took = performance.now() - start;
    await shown();
    if (i >= 2) milliseconds.push(took); // the first runs include compilation
  }
  return milliseconds;
}

async function measure() {
  const name = new URLSearchParams(location.search).get('name');
  const [spx, image] = await Promise.all(
    ['spx', 'jpg'].map(async (ending) => (await fetch(`/data/${name}.${ending}`)).blob()),
  );
  const bytes = await spx.arrayBuffer();
  const bitmap = await createImageBitmap(image);
  const map = await decode(bytes);
  const selection = new Selection(map, [
    { name: 'one', color: '#e69f00' },
    { name: 'two', color: '#56b4e9' },
  ]);
  const work = new Work({ key: '', name: '', blob: image, bitmap }, selection, {
    spx: bytes,
    compactness: 10,
    guidance: null,
  });
  const camera = new Camera();
  camera.image = { width: map.width, height: map.height };
  Object.assign(camera, { width: map.width, height: map.height });
  const layers = new Layers(camera);
  layers.work = work;
  const view = () => {
    layers.redrawAll();
    layers.draw();
  };
  view();
  view();
  selection.rectangle(work.level, { x0: 0, y0: 0, x1: map.width / 2, y1: map.height / 2 }, 1);

  const shrink = Math.min(1, Math.sqrt(2 ** 18 / (map.width * map.height)));
  const canvas = new OffscreenCanvas(Math.ceil(map.width * shrink), Math.ceil(map.height * shrink));
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext('2d'));
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const colors = context.getImageData(0, 0, canvas.width, canvas.height);
  const level = map.cut(3000);
  const smart = new SmartSelect(map, level, { colors });
  /** @type {(i: number) => [number, number]} */
  const place = (i) => [((i * 37) % 100) * 0.01 * map.width, ((i * 61) % 100) * 0.01 * map.height];

  const rows = {
    'smart select, a view of 3,000': await spent(15, () => new SmartSelect(map, level, { colors })),
    'smart select, first click': await spent(60, (i) => smart.click(...place(i))),
    'smart select, drag step': await spent(60, (i) => smart.regrow(((i % 20) - 10) / 2)),
    'smart select, fifth click': await (async () => {
      for (let i = 0; i < 4; i++) {
        smart.click(...place(i), { positive: i % 2 === 0 });
        smart.accept();
      }
      return spent(60, (i) => smart.click(...place(i), { positive: i % 2 === 0 }));
    })(),
    decode: await spent(15, () => decode(bytes)),
    'decode in a worker': await spent(15, () => decode(bytes, { worker: true })),
    // All stops forth and back, as when a slider is dragged.
    'slider step': await spent(4 * work.stops.length, (i) => {
      const at = i % (2 * work.stops.length);
      work.setStop(at < work.stops.length ? at : 2 * work.stops.length - 1 - at);
      layers.redrawLines();
      layers.draw();
    }),
    'slider step, first in a view': await spent(15, (i) => {
      camera.x = (i % 2) / 10;
      work.setStop(work.stops.length - 5 - (i % 3));
      layers.redrawLines();
      layers.draw();
    }),
    'brush move': await (async () => {
      work.setStop(work.stops.length - 10);
      selection.begin();
      const took = await spent(150, (i) => {
        /** @type {(k: number) => [number, number]} */
        const at = (k) => [map.width / 3 + 5 * (k % 100), map.height / 4 + 2 * (k % 100)];
        layers.redrawFill(selection.brush(work.level, [at(i), at(i + 1)], 20, 2 - (Math.floor(i / 100) % 2)));
        layers.draw();
      });
      selection.end();
      return took;
    })(),
    // The worst case: large regions, covered with paint.
    'eraser move over painted pixels': await (async () => {
      work.setStop(2);
      selection.paintPixels([[map.width / 2, map.height / 2]], map.width, 2); // prettier-ignore
      const took = await spent(60, (i) => {
        const at = /** @type {[number, number]} */ ([map.width / 3 + 5 * i, map.height / 4 + 2 * i]);
        layers.redrawFill(selection.brush(work.level, [at], 20, 0));
        layers.draw();
      });
      work.setStop(work.stops.length - 10);
      return took;
    })(),
    'pixel brush move': await spent(100, (i) => {
      layers.redrawFill(selection.paintPixels([[200 + i, 300], [203 + i, 300]], 20, 1 + (i % 2))); // prettier-ignore
      layers.draw();
    }),
    'pan or zoom, while it moves': await spent(25, (i) => {
      camera.x = i;
      camera.scale = 1 + (i % 5) / 100;
      layers.move();
      layers.draw();
    }),
    'pan or zoom, once it is still': await spent(15, (i) => {
      camera.x = i / 10;
      camera.scale = 1;
      view();
    }),
    'undo of a large rectangle': await spent(15, () => {
      selection.rectangle(work.level, { x0: 0, y0: 0, x1: map.width, y1: map.height }, 2);
      layers.redrawFill(selection.undo());
      layers.draw();
    }),
    ...(await smoothOutlines(work, layers)),
  };
  return { width: map.width, height: map.height, count: map.count, bytes: bytes.byteLength, rows };
}

/**
 * @param {Work} work
 * @param {Layers} layers
 * @returns {Promise<Record<string, number[]>>} milliseconds of the page's thread per step, and until the lines show
 */
async function smoothOutlines(work, layers) {
  layers.smooth.on = true;
  /** @type {number[]} */
  const asked = [];
  const showed = await spent(12, async (i) => {
    const start = performance.now();
    work.setStop(work.stops.length - 10 - (i % 2));
    layers.redrawLines();
    layers.draw();
    asked.push(performance.now() - start);
    while (document.documentElement.dataset.smooth !== 'true') await shown();
  });
  layers.smooth.on = false;
  return { 'slider step with smooth outlines': asked.slice(2), '... until they show': showed };
}

/** @type {any} */ (window).result = measure();
