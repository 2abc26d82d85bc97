import { any } from './dom.js';

/** @typedef {import('../src/shapes.js').Point} Point */
/** @typedef {'brush' | 'eraser' | 'rectangle' | 'lasso' | 'flood' | 'pixel' | 'pan'} Tool */

/** Seconds for which a touch may still become a pinch, and CSS pixels that it may move in it. */
const TOUCH_WAIT = 70;
const TOUCH_SLACK = 8;

const FROM_PEN_ERASER = 32;

/** What a stroke does, from when it begins. */
class Stroke {
  /**
   * @param {Stage} stage
   * @param {boolean} erase
   */
  constructor(stage, erase) {
    this.stage = stage;
    const { settings } = stage.app;
    this.tool = settings.tool;
    this.value = erase || this.tool === 'eraser' ? 0 : settings.value;
    /** @type {Point[]} */
    this.path = [];
    this.isOpen = false;
  }

  /** @param {Point[]} points */
  add(points) {
    const last = this.path.slice(-1);
    this.path.push(...points);
    if (this.tool === 'brush' || this.tool === 'eraser' || this.tool === 'pixel')
      this._dab([...last, ...points]);
    else this.stage.showPath(this._outline());
  }

  /** @param {Point[]} points */
  _dab(points) {
    const { work, layers, settings } = this.stage.app;
    if (!work) return;
    const { selection, level } = work;
    if (!this.isOpen) selection.begin();
    this.isOpen = true;
    if (this.tool === 'pixel') {
      const erase = this.value === 0 || settings.pixelMode === 'erase';
      const value = settings.pixelMode === 'restore' ? null : erase ? 0 : this.value;
      layers.redrawFill(selection.paintPixels(points, settings.radius, value));
      return;
    }
    layers.redrawFill(selection.brush(level, points, settings.radius, this.value));
  }

  /** @returns {Point[]} */
  _outline() {
    if (this.tool === 'lasso') return this.path;
    const [[x0, y0], [x1, y1]] = [this.path[0], this.path[this.path.length - 1]];
    return [
      [x0, y0],
      [x1, y0],
      [x1, y1],
      [x0, y1],
    ];
  }

  /** @param {boolean} keep whether what was done stays */
  end(keep) {
    const { app } = this.stage;
    const { work, layers, settings } = app;
    this.stage.showPath(null);
    if (!work) return;
    const { selection, level } = work;
    if (this.isOpen) {
      if (keep) selection.end();
      else layers.redrawFill(selection.cancel());
    } else if (keep && this.path.length) {
      const [x, y] = this.path[this.path.length - 1];
      const outline = this._outline();
      const [x0, y0] = outline[0];
      const [x1, y1] = this.tool === 'lasso' ? [Infinity, Infinity] : outline[2];
      const tiny = this.path.length < 2 || (Math.abs(x1 - x0) < 1 && Math.abs(y1 - y0) < 1);
      if (this.tool === 'flood') {
        work.measureColors();
        layers.redrawFill(selection.flood(level, x, y, settings.similarity, this.value));
      } else if (tiny) {
        layers.redrawFill(selection.click(level, x, y, this.value));
      } else if (this.tool === 'rectangle') {
        layers.redrawFill(selection.rectangle(level, { x0, y0, x1, y1 }, this.value));
      } else {
        layers.redrawFill(selection.lasso(level, outline, this.value));
      }
    }
    app.workChanged();
  }
}

/** The image on the screen as something to work on: pointers and keys to strokes, pans and zooms. */
export class Stage {
  /** @param {import('./app.js').App} app */
  constructor(app) {
    this.app = app;
    this.element = any('stage');
    /** Where pointers are, in pixels of the screen. @type {Map<number, Point>} */
    this._pointers = new Map();
    /** @type {Stroke | null} */
    this.stroke = null;
    /** Where a movement of the image began. @type {{ id: number, at: Point, x: number, y: number } | null} */
    this._pan = null;
    /** @type {{ points: Point[], stroke: Stroke, start: Point, timer: ReturnType<typeof setTimeout> } | null} */
    this._touch = null;
    this._penSeen = false;
    this.spaceHeld = false;
    /** The cursor that keys move, in pixels of the image. @type {Point | null} */
    this._cursor = null;
    this._listen();
  }

  get busy() {
    return this.stroke !== null;
  }

  _listen() {
    const { element } = this;
    element.addEventListener('pointerdown', (event) => this._down(event));
    element.addEventListener('pointermove', (event) => this._move(event));
    element.addEventListener('pointerup', (event) => this._up(event, true));
    element.addEventListener('pointercancel', (event) => this._up(event, false));
    element.addEventListener('pointerleave', () => {
      if (!this._cursor) this._hover(null, false);
    });
    element.addEventListener('contextmenu', (event) => event.preventDefault());
    element.addEventListener('wheel', (event) => this._wheel(event), { passive: false });
    element.addEventListener('keydown', (event) => this._key(event));
    element.addEventListener('blur', () => this._endKeys());
    addEventListener('keyup', (event) => {
      if (event.key === ' ') this.spaceHeld = false;
      this.showTool();
    });
    addEventListener('blur', () => (this.spaceHeld = false));
  }

  /** @param {{ clientX: number, clientY: number }} event @returns {Point} in pixels of the screen */
  _at({ clientX, clientY }) {
    const box = this.element.getBoundingClientRect();
    const { ratio } = this.app.camera;
    return [(clientX - box.left) * ratio, (clientY - box.top) * ratio];
  }

  showTool() {
    const { tool } = this.app.settings;
    this.element.dataset.tool = this._pan ? 'panning' : this.spaceHeld ? 'pan' : tool;
  }

  /** @param {PointerEvent} event */
  _down(event) {
    const { app } = this;
    if (!app.work) return;
    this.element.setPointerCapture(event.pointerId);
    this._endKeys();
    const at = this._at(event);
    this._pointers.set(event.pointerId, at);
    if (event.pointerType === 'pen') this._penSeen = true;
    const isTouch = event.pointerType === 'touch';
    if (isTouch && this._pointers.size > 1) {
      this._endTouch(false);
      this._endStroke(false);
      this._pan = null;
      return;
    }
    // With a pen in hand, fingers and the palm only move the image.
    const pans =
      event.button === 1 || this.spaceHeld || app.settings.tool === 'pan' || (isTouch && this._penSeen);
    if (pans) {
      this._pan = { id: event.pointerId, at, x: app.camera.x, y: app.camera.y };
      this.showTool();
      return;
    }
    const erase = event.altKey || event.button === 2 || (event.buttons & FROM_PEN_ERASER) !== 0;
    const stroke = new Stroke(this, erase);
    const point = app.camera.toImage(...at);
    if (isTouch) {
      const timer = setTimeout(() => this._beginTouch(), TOUCH_WAIT);
      this._touch = { points: [point], stroke, start: at, timer };
      return;
    }
    this.stroke = stroke;
    stroke.add([point]);
    this._hover(point, false);
  }

  _beginTouch() {
    const touch = this._touch;
    if (!touch) return;
    clearTimeout(touch.timer);
    this._touch = null;
    this.stroke = touch.stroke;
    touch.stroke.add(touch.points);
  }

  /** @param {boolean} keep */
  _endTouch(keep) {
    if (keep) this._beginTouch();
    if (this._touch) clearTimeout(this._touch.timer);
    this._touch = null;
  }

  /** @param {PointerEvent} event */
  _move(event) {
    const { app } = this;
    if (!app.work) return;
    const at = this._at(event);
    const before = this._pointers.get(event.pointerId);
    if (before) this._pointers.set(event.pointerId, at);
    if (this._pointers.size === 2 && before) {
      this._pinch(event.pointerId, before, at);
      return;
    }
    if (this._pan) {
      if (this._pan.id !== event.pointerId) return;
      // From where it began: the camera keeps to whole pixels, and what that rounds off would add up.
      app.camera.x = this._pan.x;
      app.camera.y = this._pan.y;
      app.camera.pan(at[0] - this._pan.at[0], at[1] - this._pan.at[1]);
      app.viewChanged(true);
      return;
    }
    const events = event.getCoalescedEvents?.() ?? [];
    const points = (events.length ? events : [event]).map((one) => app.camera.toImage(...this._at(one)));
    if (this._touch) {
      this._touch.points.push(...points);
      const moved = Math.hypot(at[0] - this._touch.start[0], at[1] - this._touch.start[1]);
      if (moved > TOUCH_SLACK * app.camera.ratio) this._beginTouch();
    } else if (this.stroke && before) {
      this.stroke.add(points);
    }
    if (!this._cursor || before) this._hover(points[points.length - 1], false);
  }

  /**
   * @param {number} id of the pointer that has moved
   * @param {Point} before
   * @param {Point} after
   */
  _pinch(id, before, after) {
    const { camera } = this.app;
    const other = [...this._pointers].find(([one]) => one !== id)?.[1] ?? after;
    const spread = (/** @type {Point} */ point) => Math.hypot(point[0] - other[0], point[1] - other[1]) || 1;
    camera.pan((after[0] - before[0]) / 2, (after[1] - before[1]) / 2);
    const middle = [(after[0] + other[0]) / 2, (after[1] + other[1]) / 2];
    camera.zoomTo((camera.scale * spread(after)) / spread(before), middle[0], middle[1]);
    this.app.viewChanged(true);
  }

  /**
   * @param {PointerEvent} event
   * @param {boolean} keep
   */
  _up(event, keep) {
    if (!this._pointers.delete(event.pointerId)) return;
    if (this._pan?.id === event.pointerId) {
      this._pan = null;
      this.showTool();
    }
    if (this._pointers.size) return; // a finger of a pinch that stays does nothing more
    this._endTouch(keep);
    this._endStroke(keep);
    if (event.pointerType === 'touch') this._hover(null, false);
  }

  /** @param {boolean} keep */
  _endStroke(keep) {
    const { stroke } = this;
    this.stroke = null;
    stroke?.end(keep);
  }

  /** Give up what is being drawn; whether there was something. */
  cancel() {
    const had = this.stroke !== null || this._touch !== null;
    this._endTouch(false);
    this._endStroke(false);
    return had;
  }

  /** @param {WheelEvent} event */
  _wheel(event) {
    event.preventDefault();
    const { app } = this;
    if (!app.work) return;
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    const delta = (event.deltaY || event.deltaX) * lines;
    this._pan = null;
    if (event.altKey) {
      app.stepSize(delta < 0 ? 1 : -1);
    } else if (event.shiftKey) {
      app.camera.pan(-delta * app.camera.ratio, 0);
      app.viewChanged(true);
    } else {
      // A touchpad's pinch comes as a wheel with Ctrl, in smaller numbers.
      const factor = Math.exp(-delta * (event.ctrlKey ? 0.01 : 0.0015));
      const [x, y] = this._at(event);
      app.camera.zoomTo(app.camera.scale * factor, x, y);
      app.viewChanged(true);
    }
  }

  // ---- keys

  /** @param {KeyboardEvent} event */
  _key(event) {
    const { app } = this;
    if (!app.work || event.ctrlKey || event.metaKey) return;
    /** @type {Record<string, Point>} */
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const way = ways[event.key];
    const { camera, work } = app;
    const { width, height } = work.map;
    if (way) {
      event.preventDefault();
      // A step is half a superpixel; with Shift one pixel.
      const step = event.shiftKey ? 1 : Math.max(1, Math.sqrt((width * height) / work.level.count) / 2);
      const from = this._cursor ?? camera.toImage(camera.width / 2, camera.height / 2);
      const to = /** @type {Point} */ ([
        Math.min(Math.max(from[0] + way[0] * step, 0.5), width - 0.5),
        Math.min(Math.max(from[1] + way[1] * step, 0.5), height - 0.5),
      ]);
      this._cursor = to;
      this._follow(to);
      if (this.stroke && this.stroke.tool !== 'lasso') this.stroke.add([to]);
      this._hover(to, true);
      return;
    }
    if (event.key !== 'Enter') return;
    event.preventDefault();
    const point = (this._cursor ??= camera.toImage(camera.width / 2, camera.height / 2));
    this._enter(point, event.altKey, event.shiftKey);
    this._hover(point, true);
  }

  /**
   * Enter begins and ends a rectangle; in a lasso it sets corners, and Shift Enter closes it; other tools work at once.
   *
   * @param {Point} point
   * @param {boolean} erase
   * @param {boolean} close
   */
  _enter(point, erase, close) {
    const { tool } = this.app.settings;
    if (tool === 'pan') return;
    const first = !this.stroke;
    this.stroke ??= new Stroke(this, erase);
    this.stroke.add([point]);
    if (tool === 'rectangle' ? !first : tool === 'lasso' ? close : true) this._endStroke(true);
  }

  _endKeys() {
    if (this._cursor && this.stroke) this._endStroke(false);
    this._cursor = null;
    this._hover(null, false);
  }

  /** @param {Point} point of the image, to be kept in sight */
  _follow([x, y]) {
    const { camera } = this.app;
    const [screenX, screenY] = camera.toScreen(x, y);
    const margin = 30 * camera.ratio;
    const off = (/** @type {number} */ value, /** @type {number} */ size) =>
      value < margin ? margin - value : value > size - margin ? size - margin - value : 0;
    const [dx, dy] = [off(screenX, camera.width), off(screenY, camera.height)];
    if (!dx && !dy) return;
    camera.pan(dx, dy);
    this.app.viewChanged(true);
  }

  // ---- what is shown

  /** @param {Point[] | null} path */
  showPath(path) {
    this.app.layers.top.path = path;
    this.app.layers.redrawTop();
  }

  /**
   * @param {Point | null} point
   * @param {boolean} cross
   */
  _hover(point, cross) {
    const { layers, work, settings } = this.app;
    const { tool, radius } = settings;
    const region = point && work ? work.level.regionAt(...point) : -1;
    const circle = tool === 'brush' || tool === 'eraser' || tool === 'pixel';
    const glows = region >= 0 && tool !== 'pan' && tool !== 'pixel';
    layers.top.region = glows && work ? { level: work.level, region } : null;
    layers.top.cursor =
      point && tool !== 'pan' ? { x: point[0], y: point[1], radius: circle ? radius : 0, cross } : null;
    layers.redrawTop();
    this.app.showHover(point, region, cross);
  }
}
