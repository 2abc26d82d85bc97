/** @typedef {import('../annotation.js').Annotation} Annotation */

/**
 * Results of a Label Studio annotation or prediction: one brush mask per class.
 *
 * @param {Annotation} annotation
 * @param {object} [options]
 * @param {string} [options.fromName] name of the BrushLabels tag
 * @param {string} [options.toName] name of the Image tag
 */
export function toLabelStudio({ mask, width, height, classes }, { fromName = 'tag', toName = 'image' } = {}) {
  const used = new Set(mask);
  return classes.flatMap(({ name }, i) => {
    if (!used.has(i + 1)) return [];
    return [
      {
        id: `class-${i + 1}`,
        type: 'brushlabels',
        from_name: fromName,
        to_name: toName,
        original_width: width,
        original_height: height,
        image_rotation: 0,
        value: { format: 'rle', rle: brushRLE(mask, i + 1), brushlabels: [name] },
      },
    ];
  });
}

/**
 * Label Studio's run lengths (thi.ng/rle-pack) of a picture with four equal channels: 255 inside, else 0.
 *
 * @param {Uint8Array} mask
 * @param {number} value the class
 * @returns {number[]} bytes
 */
function brushRLE(mask, value) {
  /** @type {number[]} */
  const bytes = [];
  let byte = 0;
  let bits = 0;
  /** @type {(number: number, size: number) => void} */
  const write = (number, size) => {
    for (let bit = size - 1; bit >= 0; bit--) {
      byte = (byte << 1) | ((number >>> bit) & 1);
      if (++bits < 8) continue;
      bytes.push(byte);
      byte = bits = 0;
    }
  };
  write(4 * mask.length, 32);
  write(7, 5); // words of 8 bits
  const sizes = [3, 4, 8, 16]; // bits of a run's length
  for (const size of sizes) write(size - 1, 4);
  for (let at = 0; at < mask.length;) {
    const start = at;
    const inside = mask[at] === value;
    while (at < mask.length && (mask[at] === value) === inside) at++;
    for (let left = 4 * (at - start); left > 0;) {
      const length = Math.min(left, 2 ** 16);
      const size = sizes.findIndex((wide) => length <= 2 ** wide);
      write(1, 1);
      write(size, 2);
      write(length - 1, sizes[size]);
      write(inside ? 255 : 0, 8);
      left -= length;
    }
  }
  write(0, 8 - bits); // at a byte boundary this adds a zero byte, as label-studio-sdk does
  return bytes;
}
