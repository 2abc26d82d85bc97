import { FIRST_OBJECT, MAX_OBJECTS } from '../src/index.js';
import { any, button, count, make } from './dom.js';
import { say } from './notices.js';
import { bindName, bindRow, editName } from './rows.js';

/** Milliseconds without a change until areas are counted. */
const AREAS_WAIT = 200;

/** Most rows of the list: the browser is slow with thousands. */
const MOST_ROWS = 300;

/** The objects of the open image: choose, add, name, class, join, split, remove. Their values start at 256. */
export class ObjectPanel {
  /** @param {import('./app.js').App} app */
  constructor(app) {
    this._app = app;
    /** The object that tools paint; 0: they paint the class, without an object. */
    this.current = 0;
    /** What the list shows. */
    this._shown = '';
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this._timer = undefined;
    button('add-object').addEventListener('click', () => this.add());
  }

  get _selection() {
    return this._app.work?.selection ?? null;
  }

  get _objects() {
    return this._selection?.objects ?? [];
  }

  /** What tools paint: the object, else the class. */
  get value() {
    return this.current || this._app.settings.value;
  }

  /** Whether the user may change objects now. */
  get _mayChange() {
    const { work, stage, readOnly, opening } = this._app;
    return work !== null && !stage.busy && !readOnly && !opening.showsOther;
  }

  /** Another image, or other objects: nothing of the list stays. */
  reset() {
    this.current = 0;
    this.changed();
  }

  /** A new object of the class in use. */
  add() {
    const { settings } = this._app;
    const { _selection: selection } = this;
    if (!selection || !this._mayChange || this._objects.length >= MAX_OBJECTS) return;
    this._app.stage.cancel();
    this.current = selection.addObject(settings.value);
    this._app.workChanged();
    say(`${this.nameOf(this.current)}: paint it`);
  }

  /**
   * @param {number} value
   * @returns {string} its name, else its class with a number: the first cat is "Cat #1"
   */
  nameOf(value) {
    const at = value - FIRST_OBJECT;
    const { class: kind, name } = this._objects[at];
    if (name) return name;
    const before = this._objects.slice(0, at + 1).filter((one) => one.class === kind).length;
    return `${this._app.classPanel.classes[kind - 1]?.name} #${before}`;
  }

  /** @param {number} value an object; 0: tools paint the class without an object */
  choose(value) {
    if (value && !this._objects[value - FIRST_OBJECT]) return;
    this.current = value;
    if (value) this._app.classPanel.mark(this._objects[value - FIRST_OBJECT].class);
    this._show();
  }

  /** The selection has changed, by anything: show what is different. */
  changed() {
    const gone = this.current && !this._objects[this.current - FIRST_OBJECT];
    if (gone) this.current = 0;
    this._show();
    clearTimeout(this._timer);
    this._timer = setTimeout(() => this._showAreas(), AREAS_WAIT);
  }

  /** Undo or redo. @param {readonly import('../src/annotation.js').Instance[]} before the objects before it */
  stepped(before) {
    const index = this.current - FIRST_OBJECT;
    const [old, now] = [before[index], this._objects[index]];
    if (before.length !== this._objects.length) this._app.layers.redrawAll(); // shades have moved
    // Values have moved: another object has this one now.
    if (this.current && before.length !== this._objects.length && old?.name !== now?.name) this.current = 0;
    this.changed();
  }

  /** Edit the name of an object, in its row. @param {number} value */
  rename(value) {
    editName(any('objects').querySelector(`li[data-value="${value}"]`));
  }

  // ---- changes of the list

  /**
   * @param {() => unknown} change
   * @param {string} text what to say
   */
  _change(change, text) {
    if (!this._mayChange) return;
    this._app.stage.cancel();
    change();
    this._app.layers.redrawAll();
    this._app.workChanged();
    say(text);
  }

  /** @param {number} value */
  remove(value) {
    const name = this.nameOf(value);
    this._change(() => {
      this._selection?.removeObject(value);
      if (this.current === value) this.current = 0;
      else if (this.current > value) this.current--;
    }, `${name} is removed; undo brings it back`);
  }

  /** Join an object into the chosen one. @param {number} value */
  join(value) {
    const { current } = this;
    if (!current || current === value) return;
    const text = `${this.nameOf(value)} is a part of ${this.nameOf(current)} now`;
    this._change(() => {
      this._selection?.joinObjects([current, value]);
      this.current = Math.min(current, value);
    }, text);
  }

  /** @param {number} value */
  split(value) {
    const name = this.nameOf(value);
    let pieces = 1;
    this._change(() => (pieces = this._selection?.splitObject(value).length ?? 1), '');
    say(pieces > 1 ? `${name} is ${count(pieces)} objects now` : `${name} has one piece only`);
  }

  /**
   * @param {number} value
   * @param {{ name?: string, class?: number }} to
   */
  _edit(value, to) {
    this._change(() => this._selection?.changeObject(value, to), '');
    if (to.class && value === this.current) this._app.classPanel.mark(to.class);
  }

  // ---- the list

  _show() {
    const { work, readOnly } = this._app;
    const { classes } = this._app.classPanel;
    button('add-object').disabled = !work || readOnly;
    const shown = JSON.stringify([this._objects, classes.map(({ name, color }) => [name, color])]);
    if (shown !== this._shown) {
      this._shown = shown;
      this._fill();
    }
    this._mark();
  }

  /** Make the rows. */
  _fill() {
    const list = any('objects');
    const { scrollTop } = list;
    const { activeElement: active } = document;
    const focused = list.contains(active) ? active?.closest('li')?.dataset.value : undefined;
    const number = this._objects.length;
    any('object-count').textContent = number ? count(number) : '';
    list.hidden = !number;
    const from = Math.max(0, Math.min(this.current - FIRST_OBJECT, number - 1) - MOST_ROWS + 1);
    const values = this._objects.slice(from, from + MOST_ROWS).map((_, i) => FIRST_OBJECT + from + i);
    list.replaceChildren(...values.map((value) => this._row(value)));
    if (number > values.length) {
      const text = `and ${count(number - values.length)} more`;
      list.append(make('li', { className: 'quiet', textContent: text }));
    }
    list.scrollTop = scrollTop;
    const radio = list.querySelector(`li[data-value="${focused ?? ''}"] input[type=radio]`);
    if (radio instanceof HTMLElement) radio.focus();
    this._showAreas();
  }

  /** Show which object is chosen. The rows stay: the second click of a double click finds the same one. */
  _mark() {
    const list = any('objects');
    for (const select of list.querySelectorAll('select')) select.remove();
    for (const join of list.querySelectorAll('.join')) {
      if (join instanceof HTMLButtonElement) join.disabled = !this.current;
    }
    for (const radio of list.querySelectorAll('input[type=radio]')) {
      const row = radio.closest('li');
      if (!(radio instanceof HTMLInputElement) || !row) continue;
      radio.checked = row.dataset.value === String(this.current);
      if (!radio.checked) continue;
      if (this._app.classPanel.classes.length > 1)
        row.querySelector('input[type=text]')?.after(this._classOf());
      row.scrollIntoView({ block: 'nearest' });
    }
  }

  _showAreas() {
    const { _selection: selection } = this;
    if (!selection?.objects.length || this._app.stage.busy) return;
    const areas = selection.objectAreas();
    for (const row of any('objects').querySelectorAll('li[data-value]')) {
      const area = row.querySelector('.share');
      const value = row instanceof HTMLElement ? Number(row.dataset.value) : 0;
      if (area) area.textContent = `${count(areas[value - FIRST_OBJECT])} px`;
    }
  }

  /** @param {number} value @returns {HTMLLIElement} */
  _row(value) {
    const object = this._objects[value - FIRST_OBJECT];
    const { classes } = this._app.classPanel;
    const called = this.nameOf(value);
    const radio = make('input', { type: 'radio', name: 'object' });
    radio.ariaLabel = `Paint ${called}`;
    radio.addEventListener('change', () => this.choose(value));
    const swatch = make('span', { className: 'swatch' });
    swatch.style.background = classes[object.class - 1]?.color ?? '';
    const name = make('input', { type: 'text', value: object.name, placeholder: called, maxLength: 100 });
    name.ariaLabel = `Name of ${called}`;
    name.tabIndex = -1;
    name.addEventListener('change', () => this._edit(value, { name: name.value.trim() }));
    bindName(name, radio, () => object.name);
    const area = make('span', { className: 'share quiet' });
    /** @type {(text: string, title: string, label: string, act: () => void) => HTMLButtonElement} */
    const small = (text, title, label, act) => {
      const made = make('button', { className: 'small', textContent: text, title, ariaLabel: label });
      made.addEventListener('click', act);
      return made;
    };
    const join = small('\u2295', 'Join it into the chosen object', `Join ${called}`, () => this.join(value));
    join.classList.add('join');
    const split = small('\u2296', 'Make each piece an object', `Split ${called}`, () => this.split(value));
    const remove = small('\u00d7', 'Remove it (undo brings it back)', `Remove ${called}`, () =>
      this.remove(value),
    );
    split.classList.add('split');
    // The pieces of an object of a large image are not known: only a window is here.
    const splits = this._app.work?.place ? [] : [split];
    const row = make('li', {}, radio, swatch, name, area, join, ...splits, remove);
    row.dataset.value = String(value);
    bindRow(
      row,
      () => this.choose(value),
      () => this.rename(value),
    );
    return row;
  }

  /** @returns {HTMLSelectElement} that gives the chosen object another class */
  _classOf() {
    const value = this.current;
    const { classes } = this._app.classPanel;
    const options = classes.map(({ name }, i) => make('option', { value: String(i + 1), textContent: name }));
    const select = make('select', { ariaLabel: `Class of ${this.nameOf(value)}` }, ...options);
    select.value = String(this._objects[value - FIRST_OBJECT].class);
    select.addEventListener('change', () => this._edit(value, { class: Number(select.value) }));
    return select;
  }
}
