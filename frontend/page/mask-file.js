// What the readers of mask files have in common.

import { Problem } from './api.js';

/** Largest mask read, in pixels: as the engine's largest image. */
export const MAX_PIXELS = 2 ** 27;

/** @param {string} detail @returns {Problem} */
export const unreadable = (detail) => new Problem('This mask cannot be read', detail);
