import { COLORS, colorOf as unusedColor } from '../src/imports/colors.js';
import { MAX_CLASSES } from '../src/index.js';
import { any, button, make } from './dom.js';
import { say } from './notices.js';
import { bindName, bindRow, editName } from './rows.js';

/** The classes of a new user. */
export const firstClasses = () => [1, 2, 3].map((i) => ({ name: `Class ${i}`, color: COLORS[i - 1] }));

/** The list of classes: choose, add, name, colour, lock, remove. Class values start at 1. */
export class ClassPanel {
  /** @param {import('./app.js').App} app */
  constructor(app) {
    this._app = app;
    /** The share of the image that each class has, by class value, as text. @type {string[]} */
    this._shares = [];
    button('add-class').addEventListener('click', () => this.add());
  }

  /** The classes of the open image, else those of the next one. */
  get classes() {
    return this._app.work?.selection.classes ?? this._app.settings.classes;
  }

  /** Paint a class, without an object. @param {number} value */
  choose(value) {
    if (value < 1 || value > this.classes.length) return;
    this._app.objectPanel.choose(0);
    this.mark(value);
  }

  /** @param {number} value of the class in use */
  mark(value) {
    const { settings, saving, protecting } = this._app;
    settings.value = value;
    for (const radio of document.querySelectorAll('#classes input[type=radio]')) {
      if (!(radio instanceof HTMLInputElement)) continue;
      radio.checked = radio.value === String(value);
      if (radio.checked) radio.closest('li')?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
    }
    protecting.show();
    saving.soon();
  }

  add() {
    const { classes } = this;
    const { work, settings, stage, readOnly } = this._app;
    if (classes.length >= MAX_CLASSES || stage.busy || readOnly) return;
    let n = classes.length + 1;
    while (classes.some(({ name }) => name === `Class ${n}`)) n++;
    const added = { name: `Class ${n}`, color: unusedColor(classes) };
    if (work) work.selection.addClass(added);
    else classes.push(added);
    settings.value = classes.length;
    this.show();
    this._app.workChanged();
    this.rename(classes.length);
  }

  /** @param {number} value */
  remove(value) {
    const { classes } = this;
    const { settings, work, stage, layers, protecting, readOnly } = this._app;
    if (classes.length < 2 || stage.busy || readOnly) return;
    stage.cancel();
    this._app.objectPanel.choose(0);
    const { name } = classes[value - 1];
    if (work) layers.redrawFill(work.selection.removeClass(value));
    else classes.splice(value - 1, 1);
    if (settings.value > value || settings.value > classes.length) settings.value--;
    protecting.classRemoved(value);
    this.show();
    this._app.workChanged();
    say(work ? `${name} is removed; undo brings it back` : `${name} is removed`);
    const chosen = document.querySelector('#classes input[type=radio]:checked');
    if (chosen instanceof HTMLInputElement) chosen.focus();
  }

  /** Give everything of a class to the class in use. @param {number} value */
  merge(value) {
    const { settings, work, stage, layers, protecting, readOnly } = this._app;
    const into = settings.value;
    if (!work || value === into || stage.busy || readOnly) return;
    stage.cancel();
    this._app.objectPanel.choose(0);
    const [name, kept] = [value, into].map((one) => this.classes[one - 1].name);
    layers.redrawFill(work.selection.removeClass(value, into));
    if (into > value) settings.value--;
    protecting.classRemoved(value);
    this.show();
    this._app.workChanged();
    say(`${name} is a part of ${kept} now; undo brings it back`);
  }

  /**
   * Edit the name of a class, in its row.
   *
   * @param {number} value
   */
  rename(value) {
    editName(any('classes').children[value - 1]);
  }

  /** @param {string[]} shares of the image, by class value */
  showShares(shares) {
    this._shares = shares;
    for (const [i, row] of [...any('classes').children].entries()) {
      const share = row.querySelector('.share');
      if (share) share.textContent = shares[i + 1] ?? '';
    }
  }

  show() {
    const list = any('classes');
    const { scrollTop } = list;
    list.replaceChildren(...this.classes.map((one, i) => this._row(one, i + 1)));
    list.scrollTop = scrollTop;
    this._app.protecting.show();
    this._app.objectPanel.changed();
  }

  /**
   * Rename or colour a class: one undo step.
   *
   * @param {number} value
   * @param {Partial<import('../src/annotation.js').Class>} changes
   */
  _edit(value, changes) {
    const { work, readOnly } = this._app;
    if (readOnly) return;
    if (work) work.selection.editClass(value, changes);
    else Object.assign(this.classes[value - 1], changes);
    this._app.workChanged();
  }

  /**
   * @param {import('../src/annotation.js').Class} one the class
   * @param {number} value
   */
  _row(one, value) {
    const { settings, protecting } = this._app;
    const checked = settings.value === value;
    const radio = make('input', { type: 'radio', name: 'class', value: String(value), checked });
    const label = `Name of class ${value}`;
    const name = make('input', {
      type: 'text',
      value: one.name,
      maxLength: 100,
      ariaLabel: label,
      tabIndex: -1,
    });
    const color = this._color(value);
    const share = make('span', { className: 'share quiet', textContent: this._shares[value] ?? '' });
    const key = value <= 9 ? [make('kbd', { textContent: String(value), ariaHidden: 'true' })] : [];
    const rename = make('button', { className: 'small rename', textContent: '✎' });
    rename.title = 'Rename (double click, or F2)';
    const lock = protecting.lockButton(value);
    const merge = make('button', {
      className: 'small join',
      textContent: '\u2295',
      title: 'Give all of it to the chosen class (undo brings it back)',
    });
    const remove = make('button', {
      className: 'small remove',
      textContent: '×',
      title: 'Remove this class (undo brings it back)',
      disabled: this.classes.length < 2,
    });
    const showName = () => {
      const called = this.classes[value - 1].name;
      radio.ariaLabel = `Paint ${called}`;
      color.ariaLabel = `Colour of ${called}`;
      rename.ariaLabel = `Rename ${called}`;
      remove.ariaLabel = `Remove ${called}`;
      merge.ariaLabel = `Merge ${called} into the chosen class`;
      if (lock) lock.ariaLabel = `Lock ${called}`;
    };
    showName();
    radio.addEventListener('change', () => this.choose(value));
    name.addEventListener('change', () => {
      const changed = name.value.trim();
      const before = this.classes[value - 1].name;
      if (changed && changed !== before) this._edit(value, { name: changed });
      name.value = changed || before;
      showName();
      protecting.show();
    });
    bindName(name, radio, () => this.classes[value - 1].name);
    rename.addEventListener('click', () => this.rename(value));
    merge.addEventListener('click', () => this.merge(value));
    remove.addEventListener('click', () => this.remove(value));
    const locks = lock ? [lock] : [];
    const row = make('li', {}, radio, color, name, share, ...key, rename, merge, ...locks, remove);
    bindRow(
      row,
      () => this.choose(value),
      () => this.rename(value),
    );
    return row;
  }

  /** @param {number} value @returns {HTMLInputElement} */
  _color(value) {
    const color = make('input', { type: 'color', value: this.classes[value - 1].color });
    /** The colour before the picker opened. @type {string | null} */
    let before = null;
    color.addEventListener('input', () => {
      const one = this.classes[value - 1];
      before ??= one.color;
      one.color = color.value; // shown at once; `change` makes it an undo step
      this._app.layers.redrawAll();
    });
    color.addEventListener('change', () => {
      const one = this.classes[value - 1];
      one.color = before ?? one.color;
      before = null;
      this._edit(value, { color: color.value });
      this._app.layers.redrawAll();
    });
    return color;
  }
}
