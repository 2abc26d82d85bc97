// The far side of decode(bytes, { worker: true }).

import { readContainer } from './container.js';
import { SuperpixelMapError } from './errors.js';

/** @param {MessageEvent<{ bytes: Uint8Array, maxPixels: number }>} event */
self.onmessage = async ({ data }) => {
  try {
    const map = await readContainer(data.bytes, data.maxPixels);
    const parts = [
      map.labels,
      map.heights,
      map.tree?.into,
      map.tree?.order,
      map.levels?.into,
      map.levels?.level,
    ];
    const buffers = [...parts, ...Object.values(map.regions ?? {})].flatMap((part) =>
      part ? [part.buffer] : [],
    );
    /** @type {any} */ (self).postMessage({ map }, [...new Set(buffers)]);
  } catch (error) {
    const known = error instanceof SuperpixelMapError;
    const code = known ? error.code : 'WORKER_FAILED';
    self.postMessage({ error: { code, message: String(known ? error.message : error) } });
  }
};
