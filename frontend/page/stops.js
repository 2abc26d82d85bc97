// The stops of the size slider.

/** Stops from one count of superpixels to its double. */
const PER_DOUBLING = 3;

/** The coarsest stop. */
const FEWEST = 8;

/** The stop of a new image is the one nearest to this count. */
const FIRST = 500;

/**
 * @param {number} finest superpixels of the finest level
 * @returns {number[]} counts, ascending, each about a quarter more than the one before
 */
export function stopsOf(finest) {
  /** @type {number[]} */
  const stops = [];
  for (let i = 0; ; i++) {
    const stop = Math.round(finest / 2 ** (i / PER_DOUBLING));
    if (stop < 1 || (stops.length && stop < FEWEST)) break;
    if (stop !== stops.at(-1)) stops.push(stop);
  }
  return stops.reverse();
}

/**
 * @param {number[]} stops
 * @param {number} [wanted]
 * @returns {number} index of the stop with the nearest ratio to it
 */
export function nearestStop(stops, wanted = FIRST) {
  const distances = stops.map((stop) => Math.abs(Math.log(stop / wanted)));
  return distances.indexOf(Math.min(...distances));
}
