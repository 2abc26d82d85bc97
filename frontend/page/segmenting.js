// Who makes superpixels: the server, or this browser if there is none or if it does not answer.

import * as gateway from './api.js';
import { engine } from './engine.js';

/** @typedef {import('./api.js').Making} Making */

/** `superpixel app --static` writes a page that has no server, and the version here. @type {string | undefined} */
const staticVersion = document.documentElement.dataset.static;

/** @returns {Promise<import('./api.js').ServerInfo>} what makes superpixels here; rejects with a Problem */
export async function connect() {
  if (staticVersion !== undefined) {
    await engine.load();
    return {
      version: staticVersion,
      backends: { 'in this browser': '' },
      max_image_bytes: Infinity,
      compactness_range: [0, 100],
      compactness_default: 10,
      guidance_version: 1,
      page_engine: true,
    };
  }
  const info = await gateway.serverInfo();
  // Loaded while there is a gateway to load it from. Nothing is lost if that fails.
  if (info.page_engine) engine.load().catch(() => {});
  return info;
}

/**
 * @param {Blob} image
 * @param {Making} making
 * @param {AbortSignal} signal
 * @param {(share: number, isMaking: boolean) => void} [progress] called with the share that is sent or, if this browser makes
 *   the superpixels, that is made
 * @returns {Promise<import('./api.js').Segmented>} rejects with a Problem
 */
export async function segment(image, making, signal, progress = () => {}) {
  if (staticVersion !== undefined) return here([]);
  try {
    return await gateway.segment(image, making, signal, (share) => progress(share, false));
  } catch (error) {
    const isAway = error instanceof gateway.Problem && error.facts.reason === 'NO_ANSWER';
    if (!isAway || !engine.ready) throw error;
    return here(['The server does not answer, so this browser made the superpixels']);
  }

  /** @param {string[]} notices */
  async function here(notices) {
    const spx = await engine.segment(image, making, signal, (share) => progress(share, true));
    return { spx, facts: { backend: 'in this browser', notices } };
  }
}
