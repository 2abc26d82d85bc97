import { findShapes } from './shapes.js';

/** @typedef {import('../annotation.js').Annotation} Annotation */

/**
 * An SVG drawing as large as the image: a path with holes per object, and one per class of its pixels without an object. Each
 * has the colour of its class and a title.
 *
 * @param {Annotation} annotation
 * @param {object} [options]
 * @param {number} [options.simplify] pixels by which borders may move; 0 (default): outlines along pixel edges
 * @returns {string} the file
 * @throws {SuperpixelMapError} `INVALID_ARGUMENT`: `simplify` is not a number from 0 on, or `loadSimplify` was not awaited
 */
export function toSVG(annotation, { simplify = 0 } = {}) {
  const { width, height, classes } = annotation;
  const shapes = findShapes(annotation, false, simplify);
  const rings = shapes.rings();
  const paths = shapes.groups.map(({ class: value, name, pieces }) => {
    const { name: className, color } = classes[value - 1];
    const d = pieces.map(({ id }) => rings[id - 1].map(pathOf).join('')).join('');
    const title = escaped(name ? `${className}: ${name}` : className);
    return `<path fill="${color}" d="${d}"><title>${title}</title></path>\n`;
  });
  const size = `width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} fill-rule="evenodd">\n${paths.join('')}</svg>\n`;
}

/** @param {number[]} ring */
function pathOf(ring) {
  return `M${ring[0]} ${ring[1]}L${ring.slice(2).join(' ')}Z`;
}

/** @param {string} text @returns {string} as XML; characters that XML cannot contain become U+FFFD */
function escaped(text) {
  return text
    .replace(/[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu, '\uFFFD')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;');
}
