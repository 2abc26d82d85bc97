// The page of test_chromium.py: reads the fixtures in a browser, and sends the results to the server.

import { decode, Selection, SuperpixelMapError } from '/src/index.js';
import { toIndexedPNG } from '/src/exports/index.js';

const get = async (path) => (await fetch(path)).arrayBuffer();
const result = { wrong: [], read: 0, rejected: 0 };

async function verdicts() {
  const { maxPixels, cases } = JSON.parse(new TextDecoder().decode(await get('/fixtures/containers.json')));
  for (const { name, data, decoded } of cases) {
    const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
    try {
      const { labels, count } = await decode(bytes, { maxPixels });
      result.read++;
      const inside = Array.from(labels, (label) => (label < count ? label : -1));
      if (decoded?.labels.flat().join() !== inside.join()) result.wrong.push(`${name}: read`);
    } catch (error) {
      result.rejected++;
      if (decoded || !(error instanceof SuperpixelMapError)) result.wrong.push(`${name}: ${error}`);
    }
  }
}

async function oneMap() {
  const bytes = new Uint8Array(await get('/fixtures/maps/photo.spx'));
  const [map, inWorker] = [await decode(bytes), await decode(bytes, { worker: true })];
  result.sameInWorker = map.labels.join() === inWorker.labels.join() && map.fingerprint === inWorker.fingerprint;
  result.workerError = await decode(bytes.subarray(0, 99), { worker: true }).catch((error) => error.code);

  // The path drawn on a canvas must cover exactly the pixels along the segments.
  const boundaries = map.cut(60).boundaries();
  const canvas = new OffscreenCanvas(512, 512);
  const context = canvas.getContext('2d');
  context.lineWidth = 2;
  context.stroke(boundaries.toPath2D({ x: 0, y: 0, scale: 1, width: 512, height: 512 }));
  const { data } = context.getImageData(0, 0, 512, 512);
  const near = new Uint8Array(512 * 512);
  for (let i = 0; i < boundaries.segments.length; i += 4) {
    const [x0, y0, x1, y1] = boundaries.segments.subarray(i, i + 4);
    for (let y = y0; y < Math.max(y1, y0 + 1); y++) {
      for (let x = x0; x < Math.max(x1, x0 + 1); x++) {
        near[y * 512 + x] = near[x0 === x1 ? y * 512 + x - 1 : (y - 1) * 512 + x] = 1;
      }
    }
  }
  result.pathDiffers = near.reduce((sum, value, i) => sum + (value !== (data[4 * i + 3] > 127 ? 1 : 0)), 0);

  const selection = new Selection(map, [{ name: 'one', color: '#e6194b' }]);
  selection.click(map.cut(60), 250, 250, 1);
  const image = await createImageBitmap(new Blob([await toIndexedPNG(selection.annotation())]));
  context.drawImage(image, 0, 0);
  const drawn = context.getImageData(0, 0, 512, 512).data;
  result.pngDiffers = selection
    .annotation()
    .mask.reduce((sum, value, i) => sum + ((drawn[4 * i] === 0xe6) !== (value === 1) ? 1 : 0), 0);
}

try {
  await verdicts();
  await oneMap();
} catch (error) {
  result.failed = String(error?.stack ?? error);
}
await fetch('/done', { method: 'POST', body: JSON.stringify(result) });
