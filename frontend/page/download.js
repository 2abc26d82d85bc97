import { make } from './dom.js';

/** Milliseconds until the browser has surely begun to save the file. */
const WAIT = 60_000;

/**
 * Pass a file to the browser to save.
 *
 * @param {Blob} blob
 * @param {string} name
 */
export function download(blob, name) {
  const url = URL.createObjectURL(blob);
  make('a', { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), WAIT);
}
