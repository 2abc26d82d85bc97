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
 * @param {Uint16Array} values
 * @param {(value: number) => unknown} wanted
 * @returns {Runs} indices of all entries that are wanted
 */
export function runsOf(values, wanted) {
  /** @type {Runs} */
  const runs = [];
  for (let i = 0; i < values.length; i++) if (wanted(values[i])) append(runs, i);
  return runs;
}
