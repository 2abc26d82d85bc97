/** @typedef {import('../src/shapes.js').Point} Point */

/** One use of a tool, from its first point to its end. */
export class Gesture {
  /**
   * @param {import('./app.js').App} app
   * @param {import('./tools/tool.js').Tool} tool
   * @param {boolean} erase with Alt, the right button, or the other end of a pen
   */
  constructor(app, tool, erase) {
    this.app = app;
    this.tool = tool;
    /** The class to paint; 0 erases. */
    this.value = erase ? 0 : app.settings.value;
    /** All points so far. @type {Point[]} */
    this.path = [];
  }

  get work() {
    const { work } = this.app;
    if (!work) throw new Error('a gesture without an image');
    return work;
  }

  get selection() {
    return this.work.selection;
  }

  /** The level of the size slider, now: it may change during the gesture. */
  get level() {
    return this.work.level;
  }

  get last() {
    return this.path[this.path.length - 1];
  }

  /** @param {import('../src/selection.js').Box | null} box of the image that has changed */
  redraw(box) {
    this.app.layers.redrawFill(box);
  }

  /** @param {Point[]} points */
  add(points) {
    const from = this.path.slice(-1);
    this.path.push(...points);
    if (from.length) this.tool.drag?.(this, [...from, ...points]);
    else this.tool.down?.(this);
    this.app.layers.redrawTop();
  }

  /** @param {boolean} keep whether its changes stay */
  end(keep) {
    if (keep) this.tool.up?.(this);
    else this.tool.cancel?.(this);
    this.app.layers.redrawTop();
    this.app.workChanged();
  }
}
