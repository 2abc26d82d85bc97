// The Web Worker of decode(bytes, { worker: true }).

import { readContainer } from './container.js';
import { SuperpixelMapError } from './errors.js';

/** @param {MessageEvent<{ bytes: Uint8Array, maxPixels: number }>} event */
self.onmessage = async ({ data }) => {
  try {
    const map = await readContainer(data.bytes, data.maxPixels);
    const parts = [map, map.tree, map.levels, map.regions].flatMap((part) => Object.values(part ?? {}));
    const buffers = parts.filter(ArrayBuffer.isView).map(({ buffer }) => buffer);
    /** @type {any} */ (self).postMessage({ map }, [...new Set(buffers)]);
  } catch (error) {
    const known = error instanceof SuperpixelMapError;
    const code = known ? error.code : 'WORKER_FAILED';
    self.postMessage({ error: { code, message: String(known ? error.message : error) } });
  }
};
