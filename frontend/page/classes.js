import { COLORS, colorOf as unusedColor } from '../src/imports/colors.js';
import { MAX_CLASSES } from '../src/index.js';
import { any, button, make } from './dom.js';
import { say } from './notices.js';

/** The classes of a new user. */
export const firstClasses = () => [1, 2, 3].map((i) => ({ name: `Class ${i}`, color: COLORS[i - 1] }));

/** The list of classes: choose, add, name, colour, remove. Class values start at 1. */
export class ClassPanel {
  /** @param {import('./app.js').App} app */
  constructor(app) {
    this._app = app;
    button('add-class').addEventListener('click', () => this.add());
  }

  /** The classes of the open image, else those of the next one. */
  get classes() {
    return this._app.work?.selection.classes ?? this._app.settings.classes;
  }

  /** @param {number} value */
  choose(value) {
    const { settings, saving } = this._app;
    if (value < 1 || value > this.classes.length) return;
    settings.value = value;
    for (const radio of document.querySelectorAll('#classes input[type=radio]')) {
      if (!(radio instanceof HTMLInputElement)) continue;
      radio.checked = radio.value === String(value);
      if (radio.checked) radio.closest('li')?.scrollIntoView({ block: 'nearest' });
    }
    saving.soon();
  }

  add() {
    const { classes } = this;
    if (classes.length >= MAX_CLASSES || this._app.readOnly) return;
    let n = classes.length + 1;
    while (classes.some(({ name }) => name === `Class ${n}`)) n++;
    classes.push({ name: `Class ${n}`, color: unusedColor(classes) });
    this._app.settings.value = classes.length;
    this.show();
    this._app.saving.soon();
    const name = any('classes').lastElementChild?.querySelector('input[type=text]');
    if (!(name instanceof HTMLInputElement)) return;
    name.focus();
    name.select();
  }

  /** @param {number} value */
  remove(value) {
    const { classes } = this;
    const { settings, work, stage, layers } = this._app;
    if (classes.length < 2 || stage.busy || this._app.readOnly) return;
    const { name } = classes[value - 1];
    if (work) layers.redrawFill(work.selection.removeClass(value));
    else classes.splice(value - 1, 1);
    if (settings.value > value || settings.value > classes.length) settings.value--;
    this.show();
    this._app.workChanged();
    say(work ? `${name} is removed; undo brings it back` : `${name} is removed`);
    const chosen = document.querySelector('#classes input[type=radio]:checked');
    if (chosen instanceof HTMLInputElement) chosen.focus();
  }

  show() {
    const list = any('classes');
    const { scrollTop } = list;
    list.replaceChildren(...this.classes.map((one, i) => this._row(one, i + 1)));
    list.scrollTop = scrollTop;
  }

  /**
   * @param {{ name: string, color: string }} one the class
   * @param {number} value
   */
  _row(one, value) {
    const { settings, layers, saving } = this._app;
    const checked = settings.value === value;
    const radio = make('input', { type: 'radio', name: 'class', value: String(value), checked });
    const color = make('input', { type: 'color', value: one.color });
    const label = `Name of class ${value}`;
    const name = make('input', { type: 'text', value: one.name, maxLength: 100, ariaLabel: label });
    const key = value <= 9 ? [make('kbd', { textContent: String(value), ariaHidden: 'true' })] : [];
    const remove = make('button', {
      className: 'remove',
      textContent: '\u00d7',
      title: 'Remove this class (undo brings it back)',
      disabled: this.classes.length < 2,
    });
    const showName = () => {
      radio.ariaLabel = `Paint ${one.name}`;
      color.ariaLabel = `Colour of ${one.name}`;
      remove.ariaLabel = `Remove ${one.name}`;
    };
    showName();
    radio.addEventListener('change', () => this.choose(value));
    color.addEventListener('input', () => {
      one.color = color.value;
      layers.redrawAll();
      saving.soon();
    });
    name.addEventListener('change', () => {
      one.name = name.value.trim() || one.name;
      name.value = one.name;
      showName();
      saving.soon();
    });
    name.addEventListener('keydown', (event) => {
      if (event.key === 'Enter') name.blur();
    });
    remove.addEventListener('click', () => this.remove(value));
    return make('li', {}, radio, color, name, ...key, remove);
  }
}
