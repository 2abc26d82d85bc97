// What errors mean for a labeller, and what to do about them.

/**
 * @typedef {object} Advice
 * @property {string} title with `FILE` for the name of the file
 * @property {string} text what to do
 * @property {boolean} [retry] whether the same may work later
 */

/** @type {Advice} */
const DAMAGED = {
  title: 'FILE is damaged or incomplete',
  text: 'Copy the file again, or open it in an image program and save it as JPEG or PNG.',
};
/** @type {Advice} */
const FORMAT = {
  title: 'FILE has a format that this page cannot read',
  text: 'Save it as JPEG or PNG in an image program, and open that file.',
};
/** @type {Advice} */
const LARGE = {
  title: 'FILE is too large',
  text: 'Open a smaller copy of it, or ask for a higher limit of the server.',
};
/** @type {Advice} */
const BUSY = {
  title: 'The server is busy',
  text: 'Wait a moment, and press Retry. Your work is safe.',
  retry: true,
};
/** @type {Advice} */
const SLOW = {
  title: 'The server took too long',
  text: 'Press Retry. Your work is safe.',
  retry: true,
};
/** @type {Advice} */
const GONE = {
  title: 'The server does not answer',
  text: 'Your work is safe in this browser: painting, undo and export go on. To open images, start the server again and press Retry.',
  retry: true,
};
/** @type {Advice} */
const FAILED = {
  title: 'The server failed',
  text: 'Press Retry. If it fails again, send the line below to the person who runs the server. Your work is safe.',
  retry: true,
};
/** @type {Advice} */
const BROWSER_FAILED = {
  title: 'Superpixels could not be made in this browser',
  text: 'Press Retry, or reload the page. Your work is safe.',
  retry: true,
};
/** @type {Advice} */
const UNSHOWN = {
  title: 'This browser cannot show FILE',
  text: 'Save it as JPEG or PNG in an image program, and open that file.',
};

/** @type {Record<string, Advice>} */
const BY_REASON = {
  IMAGE_UNDECODABLE: DAMAGED,
  IMAGE_MISSING: DAMAGED,
  IMAGE_FORMAT_NOT_ALLOWED: FORMAT,
  IMAGE_TOO_MANY_BYTES: LARGE,
  IMAGE_TOO_MANY_PIXELS: LARGE,
  MEMORY_ABOVE_LIMIT: LARGE,
  ANSWER_ABOVE_LIMIT: LARGE,
  NO_ANSWER: GONE,
  NOT_SHOWN: UNSHOWN,
  QUEUE_FULL: BUSY,
  BYTES_IN_FLIGHT: BUSY,
  TOO_MANY_STREAMS: BUSY,
  TOKEN_LIMIT: BUSY,
  OUT_OF_MEMORY: BUSY,
  DRAINING: BUSY,
  NO_THREAD: BUSY,
  DEADLINE_PASSED: SLOW,
  DEADLINE_UNREACHABLE: SLOW,
  DEVICE_LOST: FAILED,
  INTERNAL_ERROR: FAILED,
  ENGINE_FAILED: BROWSER_FAILED,
  WORKER_FAILED: BROWSER_FAILED,
};

/**
 * @param {{ reason?: string, status?: number }} facts of an error
 * @returns {Advice | null} null: the error's own text must do
 */
export function adviceFor({ reason, status = 0 }) {
  const known = BY_REASON[reason ?? ''];
  if (known) return known;
  if (status === 413) return LARGE;
  if (status === 408 || status === 504) return SLOW;
  if (status === 503) return BUSY;
  return status >= 500 ? FAILED : null;
}
