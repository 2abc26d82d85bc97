/** @param {string} color `#rrggbb` @returns {number[]} R, G, B, A bytes */
export const rgba = (color) => [...[1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16)), 255];

/** @param {number[]} color R, G, B bytes @returns {boolean} whether dark marks stand out from it */
export const isLight = ([r, g, b]) => 0.299 * r + 0.587 * g + 0.114 * b > 110;
