import { FIRST_OBJECT } from '../../src/index.js';
import { rgba } from '../colors.js';
import { say } from '../notices.js';
import { toImage, toWindow } from '../place.js';
import { SmartView } from './smart-view.js';

/** @typedef {import('../app.js').App} App */
/** @typedef {import('../gesture.js').Gesture} Gesture */
/** @typedef {import('../layers.js').Layers} Layers */
/** @typedef {import('../../src/shapes.js').Point} Point */
/** @typedef {import('../../src/smart/index.js').SmartState} SmartState */

/** Milliseconds of rest after which the pointer shows what a click would take. */
const REST = 60;

/** CSS pixels of a drag that count as none, and per unit of growth. */
const SLACK = 6;
const UNIT = 40;

/** Growth per step of the wheel. */
const WHEEL = 0.4;

const MOST_GROW = 5;

/** Objects that undo can return to. */
const MOST_STEPS = 60;

const settings = { smartDrag: 'grow' };

/**
 * A click that was taken.
 *
 * @typedef {object} Step
 * @property {unknown} token the selection's undo step
 * @property {SmartState | null} state the object after it; null: another window of a large image has come since
 * @property {Mark[]} marks
 *
 * @typedef {object} Mark
 * @property {Point} at in pixels of the image
 * @property {boolean} positive
 */

/** The object in work. */
class Smart {
  constructor() {
    /** @type {SmartView | null} */
    this.view = null;
    /** What a click would change. @type {Int32Array | null} */
    this.found = null;
    this.positive = true;
    /** What the clicks paint: an object of the selection, or a class. */
    this.value = 0;
    /** @type {import('../../src/selection.js').Selection | null} */
    this.selection = null;
    /** @type {Step[]} */
    this.steps = [];
    /** Number of `steps` that are not undone. */
    this.done = 0;
    this.grow = 0;
    /** Growth by the wheel in this gesture. */
    this.wheeled = 0;
    /** The stroke has points that `found` does not know. */
    this.stale = false;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.rest = undefined;
    /** What the pointer showed where it rests: a click there takes the same. @type {{ key: unknown[], found: Int32Array } | null} */
    this.rested = null;
  }

  /** @returns {Mark[]} */
  get marks() {
    return this.done ? this.steps[this.done - 1].marks : [];
  }

  /** Begin another object. */
  reset() {
    this.steps = [];
    this.done = 0;
    this.drop();
    this.view?.smart.reset();
  }

  /** Forget what was found. */
  drop() {
    clearTimeout(this.rest);
    this.found = this.rested = null;
    this.grow = this.wheeled = 0;
    this.stale = false;
  }

  /**
   * Follow the page: its image, class, view, and undone steps.
   *
   * @param {App} app
   * @returns {SmartView | null} null: not loaded yet, or no image
   */
  follow(app) {
    const { work } = app;
    if (!work) return null;
    const { selection } = work;
    const { value } = app.objectPanel;
    if (selection !== this.selection || value !== this.value) {
      if (work.place && value === this.value) this._leaveWindow();
      else this.reset();
      this.selection = selection;
      this.value = value;
    }
    const view = SmartView.of(app, this.view);
    if (!view) return null;
    const tokens = new Set(/** @type {unknown[]} */ (selection._history.done));
    let done = this.steps.length;
    while (done && !tokens.has(this.steps[done - 1].token)) done--;
    if (done !== this.done || view !== this.view) {
      const step = this.steps[done - 1];
      if (step && work.place) step.state ??= stateOf(work, step.marks, value);
      const before = step?.state;
      if (before && before.object.length === work.map.count) view.smart.restore(before);
      else view.smart.reset();
      this.done = done;
    }
    this.view = view;
    return view;
  }

  /** Another window of a large image came. The object is found again there, by its regions and marks: see `stateOf`. */
  _leaveWindow() {
    this.drop();
    this.steps = this.steps.map((step) => ({ ...step, state: null }));
    this.view = null;
  }

  /**
   * Find what a click at a point would change.
   *
   * @param {App} app
   * @param {Point} point
   * @param {boolean} positive
   */
  click(app, point, positive) {
    const view = this.follow(app);
    this.positive = positive;
    this.found = null;
    if (!view) return;
    this._takeUp(view, point, positive);
    this._giveUp(view);
    this.found = view.smart.click(...point, { positive });
  }

  /** @param {App} app @param {Point} point @returns {unknown[]} on what a click there depends */
  _keyOf({ work, camera, objectPanel }, point) {
    const { x, y, scale, width, height } = camera;
    const step = work?.selection._history.done.at(-1);
    return [...point, x, y, scale, width, height, work?.selection, work?.map, objectPanel.value, step];
  }

  /** The pointer rests. @param {App} app @param {Point} point */
  restAt(app, point) {
    this.click(app, point, true);
    this.rested = this.found && { key: this._keyOf(app, point), found: this.found };
  }

  /** Press. @param {App} app @param {Point} point @param {boolean} positive */
  press(app, point, positive) {
    const { rested } = this;
    this.drop();
    if (rested && positive && this._keyOf(app, point).every((one, i) => one === rested.key[i])) {
      this.positive = true;
      this.found = rested.found;
    } else {
      this.click(app, point, positive);
    }
  }

  /**
   * Find what the stroke of a gesture would change.
   *
   * @param {Gesture} gesture
   */
  stroke(gesture) {
    this.stale = false;
    if (!this.view) return;
    const { radius } = gesture.app.settings;
    this.found = this.view.smart.stroke(gesture.path, radius, { positive: this.positive });
  }

  /** @param {number} grow */
  regrow(grow) {
    this.grow = Math.min(Math.max(grow, -MOST_GROW), MOST_GROW);
    if (this.found && this.view) this.found = this.view.smart.regrow(this.grow);
  }

  /**
   * Take up what other tools selected, or what was an object before: a click can make it smaller, too.
   *
   * @param {SmartView} view
   * @param {Point} point
   * @param {boolean} positive
   */
  _takeUp(view, point, positive) {
    const { selection } = this;
    if (positive || !selection) return;
    const { smart } = view;
    const value = selection.valueAt(...point);
    if (!value || smart.chosen.includes(smart.level.regionAt(...point))) return;
    const object = Uint8Array.from(selection.regions, (one) => Number(one === value));
    smart.restore({ object, marks: new Map(), clicks: 1 });
    this.steps = [];
    this.done = 0;
  }

  /**
   * Remove from the object what other tools took away.
   *
   * @param {SmartView} view
   */
  _giveUp({ smart }) {
    const { regions } = /** @type {import('../../src/selection.js').Selection} */ (this.selection);
    const { object, marks, clicks } = smart.state;
    const kept = object.map((inside, i) => (inside && regions[i] ? 1 : 0));
    if (kept.some((inside, i) => inside !== object[i])) smart.restore({ object: kept, marks, clicks });
  }

  /** Take what a gesture found. @param {Gesture} gesture */
  take(gesture) {
    const { found, view } = this;
    if (!found || !view) return;
    const { selection, value, path } = gesture;
    gesture.redraw(selection.choose(view.smart.level, found, value));
    if (!view.smart.accept()) return; // outside the image or its mask
    const at = toImage(gesture.work.place, path[0]);
    const marks = [...this.marks, { at, positive: this.positive }];
    const step = { token: selection._history.done.at(-1), state: view.smart.state, marks };
    this.steps = [...this.steps.slice(0, this.done), step].slice(-MOST_STEPS);
    this.done = this.steps.length;
  }
}

const state = new Smart();

/** @param {Gesture} gesture */
const strokes = (gesture) => settings.smartDrag === 'stroke' && gesture.path.length > 1;

/** @type {import('./tool.js').Tool} */
export const smart = {
  id: 'smart',
  key: 's',
  label: 'Smart select',
  summary: 'an object per click',
  hint:
    'Click an object; rest on it to see what a click takes. While pressed, drag right or turn the wheel to take more, ' +
    'left to take less. Alt or the right button takes away. Enter forgets these clicks; N begins a new object.',
  icon: `<path
    d="m13 11-8.5 8.5M14.5 3.5v3M14.5 14.5v3M21 10.5h-3M11 10.5H8.5M19.2 5.8l-2 2M19.2 15.2l-2-2M9.8 5.8l2 2"
  />`,
  get usesRadius() {
    return settings.smartDrag === 'stroke';
  },
  settings,
  options: [
    {
      kind: 'choice',
      setting: 'smartDrag',
      label: 'Dragging',
      choices: [
        { value: 'grow', label: 'Drag grows', title: 'Drag right to take more, left to take less' },
        { value: 'stroke', label: 'Drag strokes', title: 'Stroke over the parts of the object' },
      ],
    },
  ],
  activate: () => void SmartView.load(),
  deactivate: () => state.drop(),
  hover(app, point) {
    clearTimeout(state.rest);
    if (app.stage.busy) return;
    if (state.found) app.layers.redrawTop();
    state.found = state.rested = null;
    if (!point) return;
    /** @type {(work: () => void, wait: number) => void} */
    const later = (work, wait) => {
      state.rest = setTimeout(() => app.tool === smart && !app.stage.busy && work(), wait);
    };
    // Two tasks: preparing a view takes as long as several clicks.
    later(() => {
      state.follow(app);
      later(() => {
        state.restAt(app, point);
        app.layers.redrawTop();
      }, 0);
    }, REST);
  },
  down(gesture) {
    state.press(gesture.app, gesture.path[0], gesture.value > 0);
    if (!state.found) say('Smart select is still loading. Try again in a moment.');
  },
  drag(gesture) {
    if (strokes(gesture)) {
      state.stale = true;
      return;
    }
    const { scale, ratio } = gesture.app.camera;
    const [[x0, y0], [x, y]] = [gesture.path[0], gesture.last];
    const moved = ((x - x0 - (y - y0)) * scale) / ratio;
    const beyond = Math.sign(moved) * Math.max(0, Math.abs(moved) - SLACK);
    const grow = beyond / UNIT + state.wheeled;
    if (grow !== state.grow) state.regrow(grow);
  },
  wheel(app, { deltaY }) {
    if (app.stage.gesture?.tool !== smart || !deltaY) return false;
    const step = -Math.sign(deltaY) * WHEEL;
    state.wheeled += step;
    state.regrow(state.grow + step);
    app.layers.redrawTop();
    return true;
  },
  up(gesture) {
    if (state.stale) state.stroke(gesture);
    state.take(gesture);
    state.drop();
  },
  cancel: () => state.drop(),
  keyDown({ layers }, { key, shiftKey }) {
    // With the keyboard's cursor, Enter clicks; with Shift it forgets the clicks so far.
    if (key !== 'Enter' || (layers.top.cursor?.cross && !shiftKey)) return false;
    state.reset();
    layers.redrawTop();
    return true;
  },
  draw(layers, gesture) {
    const { work } = layers;
    if (!work) return;
    if (state.selection !== work.selection) {
      if (work.place && state.selection) drawMarks(layers, work, state.marks); // in another window
      return;
    }
    if (gesture && state.stale) state.stroke(gesture);
    const { found, view, positive } = state;
    if (found && view) {
      const kind = work.selection.objects[state.value - FIRST_OBJECT]?.class ?? state.value;
      const { color } = work.selection.classes[kind - 1] ?? { color: '#ffffff' };
      view.draw(layers, found, positive ? rgba(color) : [0, 0, 0, 255]);
    }
    drawMarks(layers, work, state.marks);
  },
};

/**
 * What the object has in another window of a large image. For an object of the selection: its regions. For a class: its
 * regions that are connected to a positive mark.
 *
 * @param {NonNullable<App['work']>} work
 * @param {Mark[]} marks
 * @param {number} value
 * @returns {SmartState}
 */
function stateOf({ selection, map, place }, marks, value) {
  const { regions } = selection;
  const { finest } = map;
  const object = Uint8Array.from(regions, (one) => Number(one === value && value >= FIRST_OBJECT));
  /** @type {SmartState['marks']} */
  const clicked = new Map();
  for (const { at, positive } of marks) {
    const region = finest.regionAt(...toWindow(place, at));
    if (region < 0) continue;
    clicked.set(region, positive);
    const found = positive && regions[region] === value && !object[region] ? [region] : [];
    for (const one of found) {
      object[one] = 1;
      for (const next of finest.neighbours(one)) {
        if (object[next] || regions[next] !== value) continue;
        object[next] = 1;
        found.push(next);
      }
    }
  }
  return { object, marks: clicked, clicks: marks.length };
}

/**
 * @param {Layers} layers
 * @param {NonNullable<App['work']>} work
 * @param {Mark[]} marks
 */
function drawMarks({ topContext: context, camera }, { place }, marks) {
  const radius = 5 * camera.ratio;
  for (const { at, positive } of marks) {
    const [x, y] = camera.toScreen(...toWindow(place, at));
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.fillStyle = positive ? '#fff' : '#000';
    context.fill();
    context.lineWidth = 1.5 * camera.ratio;
    context.strokeStyle = positive ? '#000' : '#fff';
    context.moveTo(x - radius / 2, y);
    context.lineTo(x + radius / 2, y);
    if (positive) {
      context.moveTo(x, y - radius / 2);
      context.lineTo(x, y + radius / 2);
    }
    context.stroke();
  }
}
