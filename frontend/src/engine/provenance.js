// Writes the section `prov` of a container (docs/label-map.md), as kernels/superpixel_kernels/codec/provenance.py does.

import { bytesOf, GUIDANCE_VERSION } from './guidance.js';

/**
 * @param {import('./engine.js').Task} task
 * @param {import('./guidance.js').Guide | null} guide
 * @param {(parts: Uint8Array[]) => Uint8Array} sha256
 * @returns {Uint8Array<ArrayBuffer>} the payload
 */
export function provenanceOf(task, guide, sha256) {
  const { width, height, data, file } = task;
  const payload = new Uint8Array(guide ? 104 : 62);
  const view = new DataView(payload.buffer);
  let at = 0;
  /** @param {number} number @param {number} size */
  const field = (number, size) => {
    payload.set([number, size], at);
    at += 2 + size;
    return at - size;
  };
  view.setFloat64(field(1, 8), task.compactness + 0, true); // turns -0 into 0
  const place = field(2, 16);
  view.setUint32(place + 8, width, true);
  view.setUint32(place + 12, height, true);
  payload.set(sha256([file ?? bytesOf(data)]), field(3, 32));
  if (!guide) return payload;
  const record = field(4, 40);
  const maps = (guide.edges ? 1 : 0) | (guide.prior ? 2 : 0) | (guide.importance ? 4 : 0);
  view.setUint16(record, GUIDANCE_VERSION, true);
  payload.set([maps, +guide.hard], record + 2);
  view.setUint16(record + 4, guide.edges ? guide.edgeWeight : 0, true);
  view.setUint16(record + 6, guide.prior && !guide.hard ? guide.priorWeight : 0, true);
  payload.set(sha256(fingerprinted(guide, width, height)), record + 8);
  return payload;
}

/**
 * What the fingerprint of a guidance covers, as `FittedGuidance.fingerprint`.
 *
 * @param {import('./guidance.js').Guide} guide
 * @param {number} width
 * @param {number} height
 */
function fingerprinted({ edges, edgeWeight, prior, hard, priorWeight, importance }, width, height) {
  const text = (/** @type {string} */ line) => new TextEncoder().encode(`${line}\n`);
  /** @type {Uint8Array[]} */
  const parts = [text(`superpixel guidance ${GUIDANCE_VERSION} ${width}x${height}`)];
  if (edges) parts.push(text(`edges ${edgeWeight}`), edges);
  if (prior) parts.push(text(hard ? 'prior hard' : `prior soft ${priorWeight}`), bytesOf(prior));
  if (importance) parts.push(text('importance'), importance);
  return parts;
}
