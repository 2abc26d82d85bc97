// Colours for classes that a file lists without one.

/** Okabe and Ito's colours, which people with colour blindness can distinguish. */
export const COLORS = [
  '#e69f00',
  '#56b4e9',
  '#009e73',
  '#cc79a7',
  '#f0e442',
  '#0072b2',
  '#d55e00',
  '#7f7f7f',
];

/**
 * @param {readonly { color: string }[]} classes
 * @returns {string} a colour that none of them has
 */
export function colorOf(classes) {
  const used = new Set(classes.map(({ color }) => color.toLowerCase()));
  const free = COLORS.find((color) => !used.has(color));
  if (free) return free;
  // Multiples of the golden angle give hues far from all earlier ones; lightness alternates.
  for (let n = classes.length; ; n++) {
    const [hue, light] = [(n * 137.508) % 360, n % 2 ? 0.38 : 0.62];
    const channel = (/** @type {number} */ at) => {
      const k = (at + hue / 30) % 12;
      const value = light - 0.7 * Math.min(light, 1 - light) * Math.max(-1, Math.min(k - 3, 9 - k, 1));
      return Math.round(255 * value);
    };
    const color = hex([0, 8, 4].map(channel));
    if (!used.has(color)) return color;
  }
}

/** @param {any} rgb untrusted @returns {string | undefined} `#rrggbb` of three bytes */
export function hexOf(rgb) {
  const valid = Array.isArray(rgb) && rgb.length === 3;
  if (!valid || !rgb.every((one) => Number.isInteger(one) && one >= 0 && one < 256)) return undefined;
  return hex(rgb);
}

/** @param {Iterable<number>} rgb three bytes @returns {string} `#rrggbb` */
export const hex = (rgb) => `#${Array.from(rgb, (one) => one.toString(16).padStart(2, '0')).join('')}`;
