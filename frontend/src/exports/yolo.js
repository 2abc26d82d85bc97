import { findPieces } from '../pieces.js';
import { joinRings } from './outlines.js';

/** @typedef {import('../annotation.js').Annotation} Annotation */

/**
 * YOLO segmentation labels: a line per 4-connected piece. It holds the class, counted from 0, and the piece's outline through
 * the centres of its outermost pixels, as fractions of width and height. A reader that also fills the outline's own pixels
 * gets exactly the same pixels; Ultralytics does so with cv2.fillPoly.
 *
 * @param {Annotation} annotation
 * @returns {string} the text file
 */
export function toYOLO(annotation) {
  const { width, height } = annotation;
  const found = findPieces(annotation);
  return joinRings(found, true)
    .map((ring, i) => {
      // A YOLO polygon needs three points.
      while (ring.length < 6) ring.push(...ring.slice(-2));
      const shares = ring.map((value, at) => share(value, at % 2 ? height : width));
      return `${found.pieces[i].value - 1} ${shares.join(' ')}\n`;
    })
    .join('');
}

/**
 * @param {number} halfPixels
 * @param {number} size pixels
 * @returns {string} halfPixels / (2 * size) to six decimal places, rounded half up
 */
function share(halfPixels, size) {
  const millionths = Math.floor((halfPixels * 1e6 + size) / (2 * size));
  return `${Math.floor(millionths / 1e6)}.${String(millionths % 1e6).padStart(6, '0')}`;
}
