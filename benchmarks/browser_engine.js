// The part of browser_engine.py that runs in Node: node browser_engine.js PIXELS WIDTH HEIGHT
//
// Each line on standard input asks for one run of the engine in WebAssembly, in this thread. The answer is a line of
// JSON: elapsed and processor seconds of each stage, and the SHA-256 of the base's labels.

import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { Engine } from '../frontend/src/engine/engine.js';
import { loadModule } from '../frontend/src/engine/load-node.js';

const [file, width, height] = process.argv.slice(2);
const task = {
  data: new Uint8Array(await readFile(file)),
  width: Number(width),
  height: Number(height),
  channels: 3,
  compactness: 10,
  guidance: null,
  count: Infinity,
  regions: true,
  asContainer: false,
  file: new Uint8Array(0), // the SHA-256 of the pixels is measured by itself, below
};
const engine = new Engine(await loadModule());
const now = () => {
  const { user, system } = process.cpuUsage();
  return { wall: performance.now() / 1e3, cpu: (user + system) / 1e6 };
};

for await (const _ of createInterface({ input: process.stdin })) {
  const stages = [];
  const begin = (stage) => stages.push({ stage, ...now() });
  begin('copy in');
  const { map } = await engine.run(task, ({ stage }) => begin(stage), async () => {});
  begin('end');
  const seconds = Object.fromEntries(
    stages.slice(1).map((next, at) => {
      const { stage, wall, cpu } = stages[at];
      return [stage, { wall: next.wall - wall, cpu: next.cpu - cpu }];
    }),
  );
  const digest = createHash('sha256').update(new Uint8Array(map.labels.buffer)).digest('hex');
  console.log(JSON.stringify({ seconds, digest, count: map.count }));
}
