import { any } from './dom.js';
import { Gesture } from './gesture.js';
import { Navigation } from './navigation.js';
import { showHover } from './notices.js';

/** @typedef {import('../src/shapes.js').Point} Point */

/** Milliseconds for which a touch may still become a pinch, and CSS pixels that it may move in them. */
const TOUCH_WAIT = 70;
const TOUCH_SLACK = 8;

const PEN_ERASER_BUTTON = 32;

/** CSS pixels around the first corner within which a press closes the shape, and around the last one for a double click. */
const CLOSING = 9;

/** Milliseconds between the presses of a double click. */
const DOUBLE = 500;

/** @type {Record<string, Point>} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** The image on the screen: turns pointers and keys into gestures of the active tool, pans and zooms. */
export class Stage {
  /** @param {import('./app.js').App} app */
  constructor(app) {
    this.app = app;
    this.element = any('stage');
    this.navigation = new Navigation(app);
    /** Where pressed pointers are, in pixels of the screen. @type {Map<number, Point>} */
    this._pointers = new Map();
    /** @type {Gesture | null} */
    this.gesture = null;
    /** A touch that may still become a pinch. @type {{ points: Point[], gesture: Gesture, start: Point, timer: ReturnType<typeof setTimeout> } | null} */
    this._touch = null;
    /** A touch that sets a corner if it ends as a tap. @type {{ at: Point, erase: boolean } | null} */
    this._tap = null;
    /** When the last corner was set. */
    this._cornerTime = 0;
    this._penSeen = false;
    this.spacePressed = false;
    /** The cursor that keys move, in pixels of the image. @type {Point | null} */
    this._cursor = null;
    app.layers.drawOverlay = (layers) => (this.gesture?.tool ?? app.tool).draw?.(layers, this.gesture);
    this._listen();
  }

  /** Whether a gesture is in progress that nothing may interrupt. */
  get busy() {
    return this.gesture !== null && !this.setsCorners;
  }

  /** Whether the pointer sets the corners of a shape. Nothing has changed yet. */
  get setsCorners() {
    return this.gesture?.tool.byCorners === true;
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
    element.addEventListener('blur', () => {
      this._endKeys();
      this._hover(null, false);
    });
    addEventListener('keyup', (event) => {
      if (event.key === ' ') this.spacePressed = false;
      this.showTool();
    });
    addEventListener('blur', () => (this.spacePressed = false));
  }

  /** @param {{ clientX: number, clientY: number }} event @returns {Point} in pixels of the screen */
  _at({ clientX, clientY }) {
    const box = this.element.getBoundingClientRect();
    const { ratio } = this.app.camera;
    return [(clientX - box.left) * ratio, (clientY - box.top) * ratio];
  }

  /** Show the mouse pointer of what a drag would do. */
  showTool() {
    const { tool } = this.app;
    const pans = this.spacePressed || tool.movesImage || this.app.readOnly;
    this.element.dataset.tool = this.navigation.panning ? 'panning' : pans ? 'pan' : tool.id;
  }

  // ---- pointers

  /** @param {PointerEvent} event */
  _down(event) {
    if (!this.app.work) return;
    this.element.setPointerCapture(event.pointerId);
    this._endKeys();
    this._hover(this._begin(event), false);
  }

  /**
   * Begin what the pressed pointer does: a gesture, a pan, or a pinch.
   *
   * @param {PointerEvent} event
   * @returns {Point | null} where a gesture began; null if none did, or not yet
   */
  _begin(event) {
    const { app, navigation } = this;
    const at = this._at(event);
    this._pointers.set(event.pointerId, at);
    if (event.pointerType === 'pen') this._penSeen = true;
    const isTouch = event.pointerType === 'touch';
    if (isTouch && this._pointers.size > 1) {
      this._tap = null;
      if (!this.setsCorners) this.cancel();
      navigation.endPan();
      return null;
    }
    // Once a pen was used, fingers and the palm only move the image.
    if (
      event.button === 1 ||
      this.spacePressed ||
      app.tool.movesImage ||
      app.readOnly ||
      (isTouch && this._penSeen)
    ) {
      navigation.beginPan(event.pointerId, at);
      this.showTool();
      return null;
    }
    const erase = event.altKey || event.button === 2 || (event.buttons & PEN_ERASER_BUTTON) !== 0;
    const point = app.camera.toImage(...at);
    if (app.tool.byCorners) {
      if (isTouch) this._tap = { at, erase };
      else this._addCorner(at, erase);
      return isTouch ? null : point;
    }
    const gesture = new Gesture(app, app.tool, erase);
    if (isTouch) {
      const timer = setTimeout(() => this._beginTouch(), TOUCH_WAIT);
      this._touch = { points: [point], gesture, start: at, timer };
      return null;
    }
    this.gesture = gesture;
    gesture.add([point]);
    return point;
  }

  /**
   * Set a corner of a shape, or close the shape.
   *
   * @param {Point} at pixels of the screen
   * @param {boolean} erase
   */
  _addCorner(at, erase) {
    const { app, gesture } = this;
    const point = app.camera.toImage(...at);
    const now = performance.now();
    const isNear = (/** @type {Point} */ corner) => {
      const [x, y] = app.camera.toScreen(...corner);
      return Math.hypot(x - at[0], y - at[1]) <= CLOSING * app.camera.ratio;
    };
    if (!gesture) {
      this.gesture = new Gesture(app, app.tool, erase);
      this.gesture.add([point]);
    } else {
      gesture.pointer = null;
      const twice = now - this._cornerTime < DOUBLE && isNear(gesture.last);
      if (twice || (gesture.path.length > 2 && isNear(gesture.path[0]))) this._endGesture(true);
      else gesture.add([point]);
    }
    this._cornerTime = now;
  }

  /** Take back the last corner, if corners are being set. */
  removeCorner() {
    const { gesture } = this;
    if (gesture?.tool.byKeyboard !== 'corners' || !(this.setsCorners || this._cursor)) return;
    gesture.removeCorner();
    if (!gesture.path.length) this.cancel();
  }

  _beginTouch() {
    const touch = this._touch;
    if (!touch) return;
    clearTimeout(touch.timer);
    this._touch = null;
    this.gesture = touch.gesture;
    touch.gesture.add(touch.points);
  }

  /** @param {boolean} keep */
  _endTouch(keep) {
    if (keep) this._beginTouch();
    if (this._touch) clearTimeout(this._touch.timer);
    this._touch = null;
  }

  /** @param {PointerEvent} event */
  _move(event) {
    const { app, navigation } = this;
    if (!app.work) return;
    const at = this._at(event);
    const before = this._pointers.get(event.pointerId);
    if (before) this._pointers.set(event.pointerId, at);
    if (this._pointers.size === 2 && before) {
      const other = [...this._pointers].find(([id]) => id !== event.pointerId)?.[1] ?? at;
      navigation.pinch(before, at, other);
      return;
    }
    if (navigation.panning) {
      navigation.movePan(event.pointerId, at);
      return;
    }
    const events = event.getCoalescedEvents?.() ?? [];
    const points = (events.length ? events : [event]).map((one) => app.camera.toImage(...this._at(one)));
    if (this._tap) {
      const moved = Math.hypot(at[0] - this._tap.at[0], at[1] - this._tap.at[1]);
      if (moved > TOUCH_SLACK * app.camera.ratio) this._tap = null;
    } else if (this.gesture && this.setsCorners) {
      this.gesture.pointer = before ? null : points[points.length - 1];
    } else if (this._touch) {
      this._touch.points.push(...points);
      const moved = Math.hypot(at[0] - this._touch.start[0], at[1] - this._touch.start[1]);
      if (moved > TOUCH_SLACK * app.camera.ratio) this._beginTouch();
    } else if (this.gesture && before) {
      this.gesture.add(points);
    }
    if (!this._cursor || before) this._hover(points[points.length - 1], false);
  }

  /**
   * @param {PointerEvent} event
   * @param {boolean} keep
   */
  _up(event, keep) {
    if (!this._pointers.delete(event.pointerId)) return;
    if (this.navigation.panning) {
      this.navigation.endPan(event.pointerId);
      this.showTool();
    }
    if (this._pointers.size) return; // a finger of a pinch that stays down does nothing more
    this._endTouch(keep);
    if (this._tap && keep) this._addCorner(this._tap.at, this._tap.erase);
    this._tap = null;
    if (!this.setsCorners) this._endGesture(keep);
    if (event.pointerType === 'touch') this._hover(null, false);
  }

  /** @param {boolean} keep */
  _endGesture(keep) {
    const { gesture } = this;
    this.gesture = null;
    gesture?.end(keep);
  }

  /** Cancel the gesture, if there is one. */
  cancel() {
    this._endTouch(false);
    this._endGesture(false);
  }

  /** @param {WheelEvent} event */
  _wheel(event) {
    event.preventDefault();
    const { app } = this;
    if (!app.work || (!app.readOnly && app.tool.wheel?.(app, event))) return;
    this.navigation.wheel(event, this._at(event));
  }

  // ---- keys

  /** @param {KeyboardEvent} event */
  _key(event) {
    const { app } = this;
    if (!app.work || event.ctrlKey || event.metaKey) return;
    if (!app.readOnly && app.tool.keyDown?.(app, event)) {
      event.preventDefault();
      event.stopPropagation();
    } else if (event.key in ARROWS) {
      event.preventDefault();
      this._moveCursor(ARROWS[event.key], event.shiftKey);
    } else if (event.key === 'Enter' && this.setsCorners && !this._cursor) {
      event.preventDefault();
      this._endGesture(true);
    } else if (event.key === 'Enter') {
      event.preventDefault();
      const point = (this._cursor ??= this._middle());
      if (!app.tool.movesImage && !app.readOnly) this._enter(point, event.altKey, event.shiftKey);
      this._hover(point, true);
    }
  }

  /** @returns {Point} of the image, in the middle of the view */
  _middle() {
    const { camera } = this.app;
    return camera.toImage(camera.width / 2, camera.height / 2);
  }

  /** Put the keyboard's cursor into the middle of the view, if there is one. */
  centreCursor() {
    if (!this._cursor) return;
    this._cursor = this._middle();
    this._hover(this._cursor, true);
  }

  /**
   * @param {Point} way
   * @param {boolean} fine by one pixel, not by half a superpixel
   */
  _moveCursor(way, fine) {
    const { work } = this.app;
    if (!work) return;
    const { width, height } = work.map;
    const step = fine ? 1 : Math.max(1, Math.sqrt((width * height) / work.level.count) / 2);
    const from = this._cursor ?? this._middle();
    /** @type {Point} */
    const to = [
      Math.min(Math.max(from[0] + way[0] * step, 0.5), width - 0.5),
      Math.min(Math.max(from[1] + way[1] * step, 0.5), height - 0.5),
    ];
    this._cursor = to;
    this.navigation.follow(to);
    if (this.gesture?.tool.byKeyboard === 'corners') this.gesture.pointer = to;
    else this.gesture?.add([to]);
    this._hover(to, true);
  }

  /**
   * @param {Point} point
   * @param {boolean} erase
   * @param {boolean} close end a tool of corners
   */
  _enter(point, erase, close) {
    const { tool } = this.app;
    const began = !this.gesture;
    this.gesture ??= new Gesture(this.app, tool, erase);
    this.gesture.pointer = null;
    this.gesture.add([point]);
    const ends = { click: true, drag: !began, corners: close }[tool.byKeyboard ?? 'click'];
    if (ends) this._endGesture(true);
  }

  _endKeys() {
    if (this._cursor && this.gesture) this._endGesture(false);
    this._cursor = null;
  }

  /**
   * Show what lies at the pointer or at the keyboard's cursor.
   *
   * @param {Point | null} point
   * @param {boolean} byKeys
   */
  _hover(point, byKeys) {
    const { app } = this;
    const { layers, work, tool } = app;
    const found = point && work ? work.level.regionAt(...point) : -1;
    const region = found === work?.outsideRegion ? -1 : found;
    const lights = region >= 0 && !tool.movesImage && tool.pointsAt !== 'pixel';
    layers.top.region = lights && work ? { level: work.level, region } : null;
    const radius = tool.usesRadius ? app.radius : 0;
    layers.top.cursor =
      point && !tool.movesImage ? { x: point[0], y: point[1], radius, cross: byKeys } : null;
    layers.redrawTop();
    showHover(work, point, region, byKeys);
    if (work) tool.hover?.(app, point);
  }
}
