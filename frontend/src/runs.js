// Sets of array indices as runs.

/**
 * A set of pixels (y * width + x) or finest regions: start and length of each run.
 *
 * @typedef {number[]} Runs
 */

/**
 * @param {Runs} runs
 * @param {number} index to append; if it follows the last run, that run grows
 */
export function append(runs, index) {
  const last = runs.length - 2;
  if (runs[last] + runs[last + 1] === index) runs[last + 1]++;
  else runs.push(index, 1);
}

/**
 * @param {Uint8Array} values
 * @param {number} value
 * @returns {Runs} indices of all entries that are `value`
 */
export function runsOf(values, value) {
  /** @type {Runs} */
  const runs = [];
  values.forEach((one, i) => one === value && append(runs, i));
  return runs;
}
