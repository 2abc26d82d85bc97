import { rgba } from './colors.js';

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
    /** The class or object to paint; 0 erases. */
    this.value = erase ? 0 : app.objectPanel.value;
    /** All points so far. @type {Point[]} */
    this.path = [];
    /** Of a tool that sets corners: where the pointer is, which will be the next corner. @type {Point | null} */
    this.pointer = null;
    app.protecting.apply(this.selection, this.value);
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

  /** R, G, B of what it paints; gray if it erases. @returns {number[]} */
  get color() {
    return this.value
      ? rgba(this.selection.classes[this.selection.classOf(this.value) - 1].color).slice(0, 3)
      : [90, 90, 90];
  }

  /** The brush radius, in pixels of the image. */
  get radius() {
    return this.app.radius;
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

  /** Take back the last corner. */
  removeCorner() {
    this.path.pop();
    this.app.layers.redrawTop();
  }

  /** @param {boolean} keep whether its changes stay */
  end(keep) {
    if (keep) this.tool.up?.(this);
    else this.tool.cancel?.(this);
    if (keep) this.app.hint.done();
    this.app.protecting.apply(this.selection, null);
    this.app.layers.redrawTop();
    this.app.workChanged();
  }
}
