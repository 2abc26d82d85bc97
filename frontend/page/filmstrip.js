import { addMenuItem, any, count, make } from './dom.js';
import { addSmoothChoice } from './exporting.js';
import { say } from './notices.js';
import { SET_FORMATS } from './image-set.js';

/** @typedef {import('./store.js').Card} Card */

/** The images of the set in a row: open one, mark it as done, export all. */
export class Filmstrip {
  /** @param {import('./app.js').App} app */
  constructor(app) {
    this._app = app;
    /** Buttons of the images, by key. @type {Map<string, { item: HTMLLIElement, button: HTMLButtonElement, picture: HTMLImageElement, url: string }>} */
    this._frames = new Map();
    /** Number of changes so far, and the end of showing them. */
    this._changes = 0;
    /** @type {Promise<void> | null} */
    this._shown = null;
    /** The cards that are shown. @type {Map<string, Card>} */
    this._cards = new Map();
    this._row = make('ol', { id: 'film-row' });
    this._count = make('p', { id: 'film-count', className: 'quiet' });
    const done = make('button', { id: 'film-done', className: 'text', title: 'Mark as done, or not (D)' });
    done.textContent = 'Done';
    done.addEventListener('click', () => this.toggleDone());
    this._done = done;
    const menu = this._exportMenu();
    const all = make('button', { id: 'film-export', className: 'text', textContent: 'Export all' });
    all.setAttribute('popovertarget', menu.id);
    const close = make('button', { id: 'film-close', textContent: '×', ariaLabel: 'Close the set' });
    close.title = 'Close the set; its images stay kept';
    close.addEventListener('click', () => app.set.close());
    const side = make('div', { className: 'film-side' }, this._count, make('div', {}, done, all, close));
    this._strip = make('nav', { id: 'film', ariaLabel: 'Images of the set', hidden: true }, this._row, side);
    any('stage').after(this._strip);
    document.body.append(menu);
    app.set.onChange = () => this.changed();
  }

  _exportMenu() {
    const menu = make('div', { id: 'film-menu', className: 'menu', popover: 'auto' });
    addSmoothChoice(this._app, menu);
    const items = SET_FORMATS.map((facts) =>
      addMenuItem(menu, facts, () => this._app.set.export(facts.format)),
    );
    items[0].autofocus = true;
    return menu;
  }

  /** The set, its marks or the open image have changed. Many changes at once are shown once. */
  changed() {
    this._changes++;
    this._shown ??= this._follow();
    return this._shown;
  }

  async _follow() {
    for (let seen = -1; seen !== this._changes;) {
      seen = this._changes;
      await this._refresh();
    }
    this._shown = null;
  }

  async _refresh() {
    const { set, saving } = this._app;
    this._cards = new Map(set.isEmpty ? [] : (await saving.cards()).map((card) => [card.key, card]));
    const keys = set.keys.filter((key) => this._cards.has(key));
    for (const [key, { item, url }] of this._frames) {
      if (keys.includes(key)) continue;
      item.remove();
      URL.revokeObjectURL(url);
      this._frames.delete(key);
    }
    const hidden = !keys.length;
    if (this._strip.hidden !== hidden) {
      this._strip.hidden = hidden;
      document.documentElement.toggleAttribute('data-film', !hidden);
    }
    for (const key of keys) this._frame(key);
    this.show();
  }

  /** Mark the open image in the row. */
  show() {
    const { set, work } = this._app;
    let done = 0;
    for (const [key, { button }] of this._frames) {
      const card = this._cards.get(key);
      const isCurrent = key === work?.key;
      if (isCurrent !== button.hasAttribute('aria-current')) {
        if (isCurrent) {
          button.setAttribute('aria-current', 'true');
          button.scrollIntoView({ block: 'nearest', inline: 'center' });
        } else button.removeAttribute('aria-current');
      }
      if (card?.done) done++;
    }
    const at = set.keys.indexOf(work?.key ?? '') + 1;
    const all = count(this._frames.size);
    this._count.textContent = `${at ? `Image ${count(at)} of ${all}` : `${all} images`} · ${count(done)} done`;
    const card = this._cards.get(work?.key ?? '');
    this._done.disabled = !at || this._app.readOnly;
    this._done.ariaPressed = String(card?.done ?? false);
  }

  /** @param {string} key */
  _frame(key) {
    const card = /** @type {Card} */ (this._cards.get(key));
    const { name, thumbnail, done, worked } = card;
    let frame = this._frames.get(key);
    if (!frame) {
      const picture = make('img', { alt: '', draggable: false });
      const button = make('button', {}, picture);
      button.dataset.key = key;
      button.addEventListener('click', () => this._app.opening.reopen(key));
      frame = { item: make('li', {}, button), button, picture, url: '' };
      this._frames.set(key, frame);
      this._row.append(frame.item);
    }
    if (thumbnail && !frame.url) frame.picture.src = frame.url = URL.createObjectURL(thumbnail);
    const state = done ? 'done' : worked ? 'labelled' : 'new';
    frame.button.dataset.state = state;
    frame.button.title = frame.button.ariaLabel = state === 'new' ? name : `${name}, ${state}`;
  }

  /** Open another image of the set. @param {1 | -1} way */
  step(way) {
    const { set, work, opening } = this._app;
    const keys = set.keys.filter((key) => this._frames.has(key));
    if (!keys.length) return;
    const from = keys.indexOf(opening.wanted ?? work?.key ?? '');
    const to = from < 0 ? 0 : from + way;
    if (to < 0 || to >= keys.length) say(way > 0 ? 'This is the last image' : 'This is the first image');
    else opening.reopen(keys[to]);
  }

  /** @returns {string | null} the image after the open one that has no superpixels yet */
  get next() {
    const { set, work } = this._app;
    const at = set.keys.indexOf(work?.key ?? '');
    return at < 0 ? null : (set.keys[at + 1] ?? null);
  }

  /** Mark the open image as done, or not. */
  async toggleDone() {
    const { work, saving, set, readOnly } = this._app;
    if (!work || readOnly || !set.keys.includes(work.key)) return;
    work.done = !(this._cards.get(work.key)?.done ?? false);
    saving.soon();
    await saving.now();
    await this.changed();
    say(work.done ? `${work.name} is done` : `${work.name} is not done`);
  }
}
