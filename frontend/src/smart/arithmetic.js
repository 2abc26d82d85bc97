// Arithmetic whose results are the same, bit for bit, here and in superpixel_service/client/smart/arithmetic.py. It uses only
// operations that IEEE 754 rounds exactly, in a stated order: Math.log, Math.cbrt, Math.hypot may differ in the last bit.

const LN2 = 0.6931471805599453;

/** Scale of the values of `curves`. */
export const CURVE = 4096;

const LEVELS = 16384;

const float = new Float64Array(1);
const words = new Uint32Array(float.buffer);
const HIGH = new Uint8Array(new Uint16Array([1]).buffer)[0] ? 1 : 0;

/**
 * The natural logarithm, to about 1e-10.
 *
 * @param {number} x a normal number above 0
 */
export function ln(x) {
  float[0] = x;
  const high = words[HIGH];
  let exponent = (high >>> 20) - 1023;
  words[HIGH] = (high & 0xfffff) | 0x3ff00000;
  let mantissa = float[0];
  if (mantissa > Math.SQRT2) {
    mantissa *= 0.5;
    exponent++;
  }
  const s = (mantissa - 1) / (mantissa + 1);
  const t = s * s;
  const series = ((((t * (1 / 11) + 1 / 9) * t + 1 / 7) * t + 1 / 5) * t + 1 / 3) * t + 1;
  return 2 * s * series + exponent * LN2;
}

/** @type {{ linear: Float64Array, curve: Int32Array } | undefined} */
let made;

/** Linear light of each byte, 0 to 65535; the function f of the CIELAB formulas of each of `LEVELS` amounts of light. */
function tables() {
  if (made) return made;
  const linear = new Float64Array(256);
  for (let i = 0; i < 256; i++) {
    const value = i / 255;
    // No value lies so near to a half that the last bits of the power matter.
    const light = value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    linear[i] = Math.floor(light * 65535 + 0.5);
  }
  const curve = new Int32Array(LEVELS);
  for (let i = 0; i < LEVELS; i++) {
    const t = (i + 0.5) / LEVELS;
    let root = 0.3 + 0.7 * t;
    for (let step = 0; step < 6; step++) {
      const cube = root * root * root; // Halley's method for the cube root
      root = (root * (cube + 2 * t)) / (2 * cube + t);
    }
    const f = t > 216 / 24389 ? root : (t * 24389) / 27 / 116 + 16 / 116;
    curve[i] = Math.floor(f * CURVE + 0.5);
  }
  return (made = { linear, curve });
}

/**
 * The values f(X), f(Y), f(Z) of the CIELAB formulas (CIE 15) for sRGB bytes, times `CURVE`, as integers.
 *
 * @param {ArrayLike<number>} bytes
 * @param {number} stride bytes per colour
 * @returns {Int16Array} 3 per colour
 */
export function curves(bytes, stride) {
  const { linear, curve } = tables();
  const out = new Int16Array((bytes.length / stride) * 3);
  for (let from = 0, to = 0; to < out.length; from += stride, to += 3) {
    const r = linear[bytes[from]];
    const g = linear[bytes[from + 1]];
    const b = linear[bytes[from + 2]];
    // Rows of the sRGB matrix (IEC 61966-2-1), divided by the white point's, times 65536.
    out[to] = curve[Math.floor((r * 28435 + g * 24656 + b * 12445) / 262144)];
    out[to + 1] = curve[Math.floor((r * 13933 + g * 46871 + b * 4732) / 262144)];
    out[to + 2] = curve[Math.floor((r * 1162 + g * 7174 + b * 57200) / 262144)];
  }
  return out;
}

/**
 * The squared difference of two colours.
 *
 * @param {Float64Array} a
 * @param {number} i index of the colour in `a`
 * @param {Float64Array} b
 * @param {number} k index of the colour in `b`
 */
export function squares(a, i, b, k) {
  const light = a[3 * i] - b[3 * k];
  const red = a[3 * i + 1] - b[3 * k + 1];
  const blue = a[3 * i + 2] - b[3 * k + 2];
  return light * light + red * red + blue * blue;
}
