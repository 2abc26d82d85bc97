/**
 * What went wrong, for programs. The codes are part of the interface; the messages are for people.
 *
 * - `NOT_A_LABEL_MAP`: the bytes do not begin as a label map does
 * - `UNSUPPORTED`: a label map of a version, or with a part, that this package does not know
 * - `TOO_LARGE`: more pixels than `maxPixels`
 * - `TRUNCATED`: the bytes end too early
 * - `DAMAGED`: a part does not inflate to what was announced, or its checksum is wrong
 * - `MALFORMED`: anything else that contradicts the format
 * - `NO_SUCH_LEVEL`: the map does not hold a level of this count
 * - `NO_COLORS`: the map carries no colours, and none were measured
 * - `OTHER_MAP`: a selection or an image that belongs to another map
 * - `INVALID_SELECTION`: a serialised selection that is damaged
 * - `INVALID_ARGUMENT`: an argument that cannot be meant
 * - `WORKER_FAILED`: there is no Web Worker here, or it died
 *
 * @typedef {'NOT_A_LABEL_MAP' | 'UNSUPPORTED' | 'TOO_LARGE' | 'TRUNCATED' | 'DAMAGED' | 'MALFORMED'} DataErrorCode
 * @typedef {'NO_SUCH_LEVEL' | 'NO_COLORS' | 'OTHER_MAP' | 'INVALID_SELECTION'} UseErrorCode
 * @typedef {DataErrorCode | UseErrorCode | 'INVALID_ARGUMENT' | 'WORKER_FAILED'} ErrorCode
 */

/** Every error that this package throws on purpose. */
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
 * @param {unknown} condition
 * @param {ErrorCode} code
 * @param {string} message
 * @returns {asserts condition}
 */
export function check(condition, code, message) {
  if (!condition) throw new SuperpixelMapError(code, message);
}

/**
 * @param {string} name
 * @param {number} value
 * @param {number} least
 * @param {number} most
 */
export function checkInteger(name, value, least, most) {
  check(
    Number.isInteger(value) && value >= least && value <= most,
    'INVALID_ARGUMENT',
    `${name}: must be an integer from ${least} to ${most}, got ${value}`,
  );
}
