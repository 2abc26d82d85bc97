/**
 * The kind of an error. Codes stay the same over versions; messages may change.
 *
 * - `NOT_A_LABEL_MAP`: the bytes do not begin like a label map
 * - `UNSUPPORTED`: the label map has a version or a part that this package does not know
 * - `TOO_LARGE`: the map has more pixels than `maxPixels`
 * - `TRUNCATED`: the bytes end too early
 * - `DAMAGED`: a part does not inflate to the announced size, or its checksum is wrong
 * - `MALFORMED`: the bytes break the format in another way
 * - `NO_SUCH_LEVEL`: the map does not contain a level of this count
 * - `NO_COLORS`: the map contains no colours, and none were measured
 * - `OTHER_MAP`: a selection, level or image belongs to another map
 * - `INVALID_SELECTION`: a serialised selection or its history is damaged
 * - `INVALID_FILE`: a file to import is damaged, or is not about the image
 * - `INVALID_ARGUMENT`: an argument has a wrong type or is out of range
 * - `WORKER_FAILED`: Web Workers are not available, or the worker failed
 * - `IMAGE_TOO_LARGE`: the engine takes no image of this size, or has no memory for it
 * - `ENGINE_FAILED`: the engine could not be loaded, or failed
 *
 * @typedef {'NOT_A_LABEL_MAP' | 'UNSUPPORTED' | 'TOO_LARGE' | 'TRUNCATED' | 'DAMAGED' | 'MALFORMED'} DataErrorCode
 * @typedef {'NO_SUCH_LEVEL' | 'NO_COLORS' | 'OTHER_MAP' | 'INVALID_SELECTION' | 'INVALID_FILE'} UseErrorCode
 * @typedef {'IMAGE_TOO_LARGE' | 'ENGINE_FAILED'} EngineErrorCode
 * @typedef {DataErrorCode | UseErrorCode | 'INVALID_ARGUMENT' | 'WORKER_FAILED' | EngineErrorCode} ErrorCode
 */

/** The error that this package throws. */
export class SuperpixelMapError extends Error {
  /**
   * @param {ErrorCode} code
   * @param {string} message
   */
  constructor(code, message) {
    super(message);
    this.name = 'SuperpixelMapError';
    /** @readonly */
    this.code = code;
  }
}

/**
 * Throw an error unless a condition is true.
 *
 * @param {unknown} condition
 * @param {ErrorCode} code
 * @param {string} message
 * @returns {asserts condition}
 * @throws {SuperpixelMapError} `code`
 */
export function check(condition, code, message) {
  if (!condition) throw new SuperpixelMapError(code, message);
}

/**
 * @param {any} value
 * @param {number} least
 * @param {number} most
 * @returns {value is number} whether it is an integer from `least` to `most`
 */
export function isIntegerIn(value, least, most) {
  return Number.isInteger(value) && value >= least && value <= most;
}

/**
 * @param {string} name for the error text
 * @param {number} value
 * @param {number} least
 * @param {number} most
 * @throws {SuperpixelMapError} `INVALID_ARGUMENT`: `value` is no integer from `least` to `most`
 */
export function checkInteger(name, value, least, most) {
  // Called per pixel: writes its text only if the value is wrong.
  if (isIntegerIn(value, least, most)) return;
  const message = `${name}: must be an integer from ${least} to ${most}, got ${value}`;
  throw new SuperpixelMapError('INVALID_ARGUMENT', message);
}

/**
 * @param {string} name for the error text
 * @param {number} value
 * @throws {SuperpixelMapError} `INVALID_ARGUMENT`: `value` is not from 0 to 1
 */
export function checkShare(name, value) {
  check(value >= 0 && value <= 1, 'INVALID_ARGUMENT', `${name}: must be from 0 to 1, got ${value}`);
}
