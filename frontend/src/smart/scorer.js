import { check } from '../errors.js';
import { FEATURES } from './features.js';

/** Changes with the features; weights of another version do not fit. */
const VERSION = 1;

const LIMIT = 6;

/** Scores are rounded to 1/SCALE: sums of them are exact in any order. */
export const SCALE = 1024;

/**
 * The content of a file that `superpixel train-smart` wrote.
 *
 * @typedef {object} Weights
 * @property {string} format
 * @property {number} version
 * @property {object} about from what the weights were trained
 * @property {number} bias
 * @property {{ weights: number[][], biases: number[] }[]} layers
 */

/** A small network. The score of a leaf is how much it looks like a part of the clicked object. */
export class Scorer {
  /** @param {Weights} data */
  constructor(data) {
    const { format, version, bias, layers } = data ?? {};
    /** @type {(condition: unknown, text: string) => void} */
    const must = (condition, text) => check(condition, 'INVALID_ARGUMENT', `weights: ${text}`);
    must(format === 'superpixel-smart-weights', 'must be the content of a file that `train-smart` wrote');
    must(version === VERSION, `must have version ${VERSION}, got ${version}`);
    const damaged = 'have a layer that is damaged';
    must(Number.isFinite(bias) && Array.isArray(layers) && layers.length > 0, damaged);
    let inputs = FEATURES;
    this.bias = bias;
    this.layers = layers.map((layer) => {
      const { weights, biases } = layer ?? {};
      must(Array.isArray(weights) && Array.isArray(biases) && weights.length === biases.length, damaged);
      const fits = weights.every((row) => Array.isArray(row) && row.length === inputs);
      must(fits && [...weights.flat(), ...biases].every(Number.isFinite), damaged);
      inputs = biases.length;
      return { weights: Float64Array.from(weights.flat()), biases: Float64Array.from(biases) };
    });
    must(inputs === 1, damaged);
    this._values = this.layers.map(({ biases }) => new Float64Array(biases.length));
  }

  /**
   * @param {Float64Array} features
   * @param {number} at index of the leaf's first feature
   * @returns {number} its score, times `SCALE` and rounded
   */
  score(features, at) {
    let [values, from] = [features, at];
    const last = this.layers.length - 1;
    for (let l = 0; l <= last; l++) {
      const { weights, biases } = this.layers[l];
      const out = this._values[l];
      const inputs = weights.length / biases.length;
      // Each sum is added in the order of the inputs. Four sums at a time keep the processor busy.
      let k = 0;
      for (; k + 3 < out.length; k += 4) {
        let w = k * inputs;
        let [a, b, c, d] = [biases[k], biases[k + 1], biases[k + 2], biases[k + 3]];
        for (let i = 0; i < inputs; i++, w++) {
          const value = values[from + i];
          a += weights[w] * value;
          b += weights[w + inputs] * value;
          c += weights[w + 2 * inputs] * value;
          d += weights[w + 3 * inputs] * value;
        }
        out[k] = a;
        out[k + 1] = b;
        out[k + 2] = c;
        out[k + 3] = d;
      }
      for (; k < out.length; k++) {
        let sum = biases[k];
        for (let i = 0; i < inputs; i++) sum += weights[k * inputs + i] * values[from + i];
        out[k] = sum;
      }
      if (l < last) for (let i = 0; i < out.length; i++) if (!(out[i] > 0)) out[i] = 0;
      values = out;
      from = 0;
    }
    const clamped = Math.min(Math.max(values[0], -LIMIT), LIMIT) + this.bias;
    return Math.floor(clamped * SCALE + 0.5);
  }
}
