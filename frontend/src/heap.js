/** A queue of items (whole numbers): the smallest key first; of equal keys the smallest item. */
export class Heap {
  constructor() {
    /** @type {number[]} */
    this._keys = [];
    /** @type {number[]} */
    this._items = [];
    /** The key of the item that `pop` returned last. */
    this.key = 0;
  }

  get size() {
    return this._keys.length;
  }

  /** @param {number} key @param {number} item */
  push(key, item) {
    const { _keys: keys, _items: items } = this;
    let at = keys.length;
    keys.push(key);
    items.push(item);
    while (at > 0) {
      const up = (at - 1) >> 1;
      if (keys[up] < key || (keys[up] === key && items[up] <= item)) break;
      keys[at] = keys[up];
      items[at] = items[up];
      at = up;
    }
    keys[at] = key;
    items[at] = item;
  }

  /** @returns {number} the first item, which leaves the queue */
  pop() {
    const { _keys: keys, _items: items } = this;
    const first = items[0];
    this.key = keys[0];
    const key = /** @type {number} */ (keys.pop());
    const item = /** @type {number} */ (items.pop());
    const size = keys.length;
    if (size === 0) return first;
    let at = 0;
    for (;;) {
      let down = 2 * at + 1;
      if (down >= size) break;
      const other = down + 1;
      if (
        other < size &&
        (keys[other] < keys[down] || (keys[other] === keys[down] && items[other] < items[down]))
      ) {
        down = other;
      }
      if (key < keys[down] || (key === keys[down] && item <= items[down])) break;
      keys[at] = keys[down];
      items[at] = items[down];
      at = down;
    }
    keys[at] = key;
    items[at] = item;
    return first;
  }
}
