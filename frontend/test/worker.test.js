import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Worker as Thread } from 'node:worker_threads';
import { decode } from 'superpixel-map';
import { MAPS, read } from './fixtures.js';

// Node has no Web Worker. A thread with the same interface on both sides replaces it.
const INSIDE = `
  const { parentPort, workerData } = require('node:worker_threads');
  globalThis.self = globalThis;
  globalThis.postMessage = (message, transfer) => parentPort.postMessage(message, transfer);
  import(workerData).then(() => parentPort.on('message', (data) => globalThis.onmessage({ data })));
`;
let running = 0;
let started = 0;
/** @type {Thread[]} */
const threads = [];
after(() => Promise.all(threads.map((thread) => thread.terminate())));

class WebWorker {
  /** @param {URL} url @param {{ type: string }} options */
  constructor(url, { type }) {
    assert.equal(type, 'module');
    running++;
    started++;
    this.thread = new Thread(INSIDE, { eval: true, workerData: url.href });
    threads.push(this.thread);
    this.thread.on('message', (data) => this.onmessage?.({ data }));
    this.thread.on('error', (error) => this.onerror?.(error));
  }
  /** @type {((event: { data: unknown }) => void) | undefined} */
  onmessage;
  /** @type {((event: Error) => void) | undefined} */
  onerror;
  /** @param {unknown} message */
  postMessage(message) {
    this.thread.postMessage(message);
  }
  terminate() {
    running--;
    this.thread.terminate();
  }
}

/** @param {any} worker @param {() => Promise<void>} run */
async function withWorker(worker, run) {
  const before = globalThis.Worker;
  globalThis.Worker = worker;
  try {
    await run();
  } finally {
    globalThis.Worker = before;
  }
}

test('a worker reads the same maps, one after the other', () =>
  withWorker(WebWorker, async () => {
    for (const name of MAPS) {
      const bytes = read(`maps/${name}.spx`);
      const [here, there] = await Promise.all([decode(bytes), decode(bytes, { worker: true })]);
      assert.deepEqual(there, here);
    }
    assert.deepEqual([started, running], [1, 1]);
    // Two calls at once start a second worker; one stays.
    await Promise.all([0, 1].map(() => decode(read('maps/noise.spx'), { worker: true })));
    assert.deepEqual([started, running], [2, 1]);
  }));

test('a worker rejects the same maps, and then reads the next', () =>
  withWorker(WebWorker, async () => {
    const bytes = read('maps/photo.spx');
    await assert.rejects(decode(bytes.subarray(0, 1000), { worker: true }), {
      name: 'SuperpixelMapError',
      code: 'TRUNCATED',
    });
    await assert.rejects(decode(bytes, { worker: true, maxPixels: 5 }), { code: 'TOO_LARGE' });
    assert.equal((await decode(bytes, { worker: true })).count, (await decode(bytes)).count);
    assert.deepEqual([started, running], [2, 1]);
  }));

test('a signal stops reading in a worker', () =>
  withWorker(WebWorker, async () => {
    const abort = new AbortController();
    const reading = decode(read('maps/photo.spx'), { worker: true, signal: abort.signal });
    abort.abort(new Error('enough'));
    await assert.rejects(reading, { message: 'enough' });
    await assert.rejects(decode(read('maps/photo.spx'), { worker: true, signal: abort.signal }), {
      message: 'enough',
    });
    assert.equal(running, 0, 'an aborted worker is terminated');
  }));

test('a failed or missing worker is an error', async () => {
  class Broken extends WebWorker {
    /** @param {unknown} _message */
    postMessage(_message) {
      setTimeout(() => this.onerror?.(new Error('out of memory')));
    }
  }
  await withWorker(Broken, () =>
    assert.rejects(decode(read('maps/single.spx'), { worker: true }), { code: 'WORKER_FAILED' }),
  );
  await withWorker(undefined, () =>
    assert.rejects(decode(read('maps/single.spx'), { worker: true }), { code: 'WORKER_FAILED' }),
  );
});
