import { FIRST_OBJECT } from '../src/annotation.js';
import { byId, make } from './dom.js';

/** What tools may paint over: everything, only pixels without a class, or only those of one class (its value). */
/** @typedef {'all' | 'none' | number} Over */

/** Which pixels tools leave as they are: those of locked classes, and those that are not to be painted over. */
export class Protecting {
  /** @param {import('./app.js').App} app */
  constructor(app) {
    this._app = app;
    /** Values of locked classes. @type {Set<number>} */
    this.locked = new Set();
    /** @type {Over} */
    this.over = 'all';
    this._select = byId('paint-over', HTMLSelectElement);
    this._select.addEventListener('change', () => {
      const { value } = this._select;
      this.over = value === 'all' || value === 'none' ? value : Number(value);
    });
  }

  /**
   * Protect what must not change.
   *
   * @param {import('../src/index.js').Selection} selection
   * @param {number | null} value the class that a gesture paints; 0 erases; null: there is no gesture, and only locks count
   */
  apply(selection, value) {
    const { locked, over } = this;
    // An eraser that may paint over pixels without a class only would do nothing: it takes back the class in use.
    const chosen = over !== 'none' ? over : value ? 0 : this._app.settings.value;
    const only = value === null || chosen === 'all' ? null : chosen;
    const none = only === null && !locked.size;
    /** @type {(value: number) => boolean} */
    const keeps = (value) => locked.has(value) || (only !== null && value !== only);
    selection.protects = none ? null : (one) => keeps(selection.classOf(one));
  }

  /**
   * @param {import('../src/index.js').Selection} selection
   * @returns {number[]} locked classes, and their objects
   */
  valuesLocked({ objects }) {
    const { locked } = this;
    return [...locked, ...objects.flatMap((one, i) => (locked.has(one.class) ? [FIRST_OBJECT + i] : []))];
  }

  /** Another image: its classes are not locked. */
  reset() {
    this.locked.clear();
    this.over = 'all';
  }

  /** @param {number} value of a class that is gone; those behind it move */
  classRemoved(value) {
    const moved = [...this.locked].filter((one) => one !== value).map((one) => one - Number(one > value));
    this.locked = new Set(moved);
    if (typeof this.over === 'number')
      this.over = this.over === value ? 'all' : this.over - Number(this.over > value);
  }

  /** Show the choice, which depends on the classes. */
  show() {
    const { classes } = this._app.classPanel;
    if (typeof this.over === 'number' && this.over > classes.length) this.over = 'all';
    for (const value of this.locked) if (value > classes.length) this.locked.delete(value);
    const options = [
      make('option', { value: 'all', textContent: 'everything' }),
      make('option', { value: 'none', textContent: 'unlabelled pixels only' }),
      ...classes.map(({ name }, i) => make('option', { value: String(i + 1), textContent: `${name} only` })),
    ];
    this._select.replaceChildren(...options);
    this._select.value = String(this.over);
  }

  /**
   * @param {number} value
   * @returns {HTMLButtonElement} that locks this class
   */
  lockButton(value) {
    const lock = make('button', {
      className: 'small lock',
      title: 'Lock: tools leave its pixels as they are',
    });
    const show = () => {
      const locked = this.locked.has(value);
      lock.ariaPressed = String(locked);
      lock.innerHTML = `<svg><use href="#i-${locked ? 'locked' : 'unlocked'}" /></svg>`;
    };
    lock.addEventListener('click', () => {
      if (!this.locked.delete(value)) this.locked.add(value);
      const { work } = this._app;
      if (work) this.apply(work.selection, null);
      show();
    });
    show();
    return lock;
  }
}
