// `node bench.js MAP.spx ...` prints medians of CPU time in milliseconds. `superpixel segment` writes such maps.

import { readFileSync } from 'node:fs';
import { decode, Selection } from 'superpixel-map';
import { toCOCO } from 'superpixel-map/exports';
import { Borders } from 'superpixel-map/topology';

/** @param {number} times @param {(i: number) => unknown} run */
async function median(times, run) {
  const spent = [];
  for (let i = 0; i < times; i++) {
    const before = process.cpuUsage();
    await run(i);
    const { user, system } = process.cpuUsage(before);
    spent.push((user + system) / 1000);
  }
  return spent.sort((a, b) => a - b)[times >> 1].toFixed(1);
}

for (const file of process.argv.slice(2)) {
  const bytes = new Uint8Array(readFileSync(file));
  const map = await decode(bytes);
  const { width, height, count } = map;
  const view = { x: 0, y: 0, scale: 1, width, height };
  const picture = new Uint8ClampedArray(4 * width * height);
  const counts = Array.from({ length: 40 }, (_, i) => Math.max(1, Math.round(count / 1.25 ** i)));
  /** @type {(i: number, shown: typeof view) => void} */
  const draw = (i, shown) =>
    map
      .cut(counts[i % 40])
      .boundaries()
      .paint(picture, shown, [255, 225, 40, 255]);
  const selection = new Selection(map, [{ name: 'one', color: '#e6194b' }]);
  const level = map.cut(Math.min(1600, count));
  const { lut } = map.cut(Math.min(3000, count));
  const image = { width, height, labels: map.labels.map((label) => lut[label]) };
  /** @type {(i: number) => [number, number]} */
  const at = (i) => [100 + 4 * (i % 200), 100 + 2 * (i % 200)];
  const rows = {
    decode: await median(25, () => decode(bytes)),
    'cut and lines, new view': await median(25, (i) => draw(i, { ...view, x: -i / 100 })),
    'cut and lines, next level in the same view': await median(80, (i) => draw(i, view)),
    'segments of 1,600 regions': await median(15, (i) => map.cut(level.count - i).boundaries().segments),
    'brush move, radius 30': await median(200, (i) => selection.brush(level, [at(i), at(i + 1)], 30, i % 2)),
    'selection.paint': await median(25, () => selection.paint(picture, view, [[1, 2, 3, 128]])),
    statesOf: await median(25, () => selection.statesOf(level)),
    'shared borders of 3,000 regions, simplified': await median(7, () => new Borders(image, 1.5).rings()),
    'shared borders of all regions, simplified': await median(3, () => new Borders(map, 1.5).rings()),
    toCOCO: await median(10, () => toCOCO(selection.annotation())),
  };
  console.log(`${file}: ${width} x ${height}, ${count} regions`);
  for (const [name, time] of Object.entries(rows)) console.log(`  ${name.padEnd(44)}${time}`);
}
