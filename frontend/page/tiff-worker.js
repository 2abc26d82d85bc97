// Decodes the first picture of a TIFF file, as the server would: upright, scaled to 8 bits, and on white.

import { fromArrayBuffer } from './third_party/geotiff.js';

const [WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR] = [0, 1, 2, 3, 5, 6];
const UNSIGNED = 1;
/** Kinds of alpha: the colours are multiplied by it, or not. */
const [MULTIPLIED, SEPARATE] = [1, 2];
/**
 * By orientation, from 1 on: how the stored picture, of width w and height h, is turned and mirrored.
 *
 * @type {((w: number, h: number) => [number, number, number, number, number, number])[]}
 */
const TURNS = [
  () => [1, 0, 0, 1, 0, 0],
  (w) => [-1, 0, 0, 1, w, 0],
  (w, h) => [-1, 0, 0, -1, w, h],
  (_, h) => [1, 0, 0, -1, 0, h],
  () => [0, 1, 1, 0, 0, 0],
  (_, h) => [0, 1, -1, 0, h, 0],
  (w, h) => [0, -1, -1, 0, h, w],
  (w) => [0, -1, 1, 0, 0, w],
];

/** @param {MessageEvent<Blob>} event */
self.onmessage = async ({ data: file }) => {
  const bitmap = await read(file).catch(() => null);
  self.postMessage(bitmap, bitmap ? { transfer: [bitmap] } : {});
};

/**
 * @param {Blob} file
 * @returns {Promise<ImageBitmap>}
 */
async function read(file) {
  const image = await (await fromArrayBuffer(await file.arrayBuffer())).getImage(0);
  const [width, height] = [image.getWidth(), image.getHeight()];
  const stored = new OffscreenCanvas(width, height);
  /** @type {OffscreenCanvasRenderingContext2D} */ (stored.getContext('2d')).putImageData(
    new ImageData(await colorsOf(image), width, height),
    0,
    0,
  );
  const orientation = (await image.fileDirectory.loadValue('Orientation')) ?? 1;
  const turn = (TURNS[orientation - 1] ?? TURNS[0])(width, height);
  const isSideways = orientation >= 5 && orientation <= 8;
  const upright = new OffscreenCanvas(isSideways ? height : width, isSideways ? width : height);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (upright.getContext('2d'));
  context.setTransform(...turn);
  context.drawImage(stored, 0, 0);
  return upright.transferToImageBitmap();
}

/**
 * @param {import('geotiff').GeoTIFFImage} image
 * @returns {Promise<Uint8ClampedArray<ArrayBuffer>>} RGBA
 */
async function colorsOf(image) {
  const directory = image.fileDirectory;
  const kind = (await directory.loadValue('PhotometricInterpretation')) ?? BLACK_IS_ZERO;
  const bits = image.getBitsPerSample(0);
  const isKnown = kind <= PALETTE ? bits <= 16 : bits === 8 && (kind === CMYK || kind === YCBCR);
  if (!isKnown || image.getSampleFormat(0) !== UNSIGNED) throw new Error('the server decides');
  if (kind > PALETTE) return opaque(await image.readRGB({ interleave: true }));
  const values = await image.readRasters({ interleave: true });
  const channels = image.getSamplesPerPixel();
  if (kind === PALETTE) return painted(values, channels, (await directory.loadValue('ColorMap')) ?? []);
  const colors = kind === RGB ? 3 : 1;
  const extra = (await directory.loadValue('ExtraSamples'))?.[0];
  const alpha = channels > colors && (extra === MULTIPLIED || extra === SEPARATE) ? extra : 0;
  const [low, high] = bits > 8 ? rangeOf(values, channels, colors, alpha !== 0) : [0, 2 ** bits - 1];
  const scale = 255 / Math.max(1, high - low);
  const isInverted = kind === WHITE_IS_ZERO;
  const rgba = new Uint8ClampedArray((values.length / channels) * 4).fill(255);
  for (let from = 0, to = 0; from < values.length; from += channels, to += 4) {
    const opacity = alpha ? values[from + colors] / (2 ** bits - 1) : 1;
    for (let channel = 0; channel < 3; channel += 1) {
      let value = (values[from + (colors === 3 ? channel : 0)] - low) * scale;
      if (isInverted) value = 255 - value;
      rgba[to + channel] = (alpha === MULTIPLIED ? value : value * opacity) + 255 * (1 - opacity);
    }
  }
  return rgba;
}

/**
 * @param {ArrayLike<number>} rgb
 * @returns {Uint8ClampedArray<ArrayBuffer>} RGBA
 */
function opaque(rgb) {
  const rgba = new Uint8ClampedArray((rgb.length / 3) * 4).fill(255);
  for (let from = 0, to = 0; from < rgb.length; from += 3, to += 4)
    for (let channel = 0; channel < 3; channel += 1) rgba[to + channel] = rgb[from + channel];
  return rgba;
}

/**
 * @param {ArrayLike<number>} values
 * @param {number} channels
 * @param {ArrayLike<number>} palette 16-bit values: all red, all green, all blue
 */
function painted(values, channels, palette) {
  const size = palette.length / 3;
  const rgb = new Uint8Array((values.length / channels) * 3);
  for (let from = 0, to = 0; from < values.length; from += channels, to += 3)
    for (let channel = 0; channel < 3; channel += 1)
      rgb[to + channel] = palette[channel * size + values[from]] >> 8;
  return opaque(rgb);
}

/**
 * The robust range of samples, as the server finds it: a thousandth of them at both ends does not count.
 *
 * @param {ArrayLike<number>} values
 * @param {number} channels
 * @param {number} colors
 * @param {boolean} hasAlpha
 */
function rangeOf(values, channels, colors, hasAlpha) {
  const counts = new Uint32Array(65_536);
  let total = 0;
  for (let from = 0; from < values.length; from += channels) {
    if (hasAlpha && values[from + colors] === 0) continue;
    for (let channel = 0; channel < colors; channel += 1) counts[values[from + channel]] += 1;
    total += colors;
  }
  const uncounted = Math.floor(total / 1000);
  let [low, high] = [0, 65_535];
  for (let seen = counts[low]; low < high && seen <= uncounted; seen += counts[low]) low += 1;
  for (let seen = counts[high]; high > low && seen <= uncounted; seen += counts[high]) high -= 1;
  return [low, high];
}
