import { check } from '../errors.js';

/**
 * @param {number} tolerance pixels by which a border may move
 * @throws {SuperpixelMapError} `INVALID_ARGUMENT`: it is not a number from 0 on
 */
export function checkTolerance(tolerance) {
  check(
    Number.isFinite(tolerance) && tolerance >= 0,
    'INVALID_ARGUMENT',
    `simplify: must be a number of pixels from 0 on, got ${tolerance}`,
  );
}
