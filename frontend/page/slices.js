// Long loops over the pixels of an image, in slices, so that the page stays responsive.

/** Pixels of a slice: some milliseconds. */
const SLICE = 2 ** 20;

/** Lets the browser draw and answer the pointer. */
const pause = () => new Promise((resolve) => setTimeout(resolve, 0));

/**
 * @param {number} length
 * @param {() => boolean} goesOn asked before each slice
 * @param {(from: number, to: number) => void} run
 * @returns {Promise<boolean>} false: it was given up
 */
export async function inSlices(length, goesOn, run) {
  for (let from = 0; from < length; from += SLICE) {
    if (from) await pause();
    if (!goesOn()) return false;
    run(from, Math.min(from + SLICE, length));
  }
  return true;
}
