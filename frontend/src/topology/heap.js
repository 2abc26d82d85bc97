/** A queue of points: the smallest key first; of equal keys the smallest point. */
export class Heap {
  constructor() {
    /** @type {number[]} */
    this._keys = [];
    /** @type {number[]} */
    this._points = [];
    /** The key of the point that `pop` returned. */
    this.key = 0;
  }

  get size() {
    return this._keys.length;
  }

  /** @param {number} key @param {number} point */
  push(key, point) {
    const { _keys: keys, _points: points } = this;
    let at = keys.length;
    keys.push(key);
    points.push(point);
    while (at > 0) {
      const up = (at - 1) >> 1;
      if (keys[up] < key || (keys[up] === key && points[up] <= point)) break;
      keys[at] = keys[up];
      points[at] = points[up];
      at = up;
    }
    keys[at] = key;
    points[at] = point;
  }

  /** @returns {number} the first point, which leaves the queue */
  pop() {
    const { _keys: keys, _points: points } = this;
    const first = points[0];
    this.key = keys[0];
    const key = /** @type {number} */ (keys.pop());
    const point = /** @type {number} */ (points.pop());
    const size = keys.length;
    if (size === 0) return first;
    let at = 0;
    for (;;) {
      let down = 2 * at + 1;
      if (down >= size) break;
      const other = down + 1;
      if (
        other < size &&
        (keys[other] < keys[down] || (keys[other] === keys[down] && points[other] < points[down]))
      ) {
        down = other;
      }
      if (key < keys[down] || (key === keys[down] && point <= points[down])) break;
      keys[at] = keys[down];
      points[at] = points[down];
      at = down;
    }
    keys[at] = key;
    points[at] = point;
    return first;
  }
}
