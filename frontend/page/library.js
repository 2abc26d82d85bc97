import { ask } from './ask.js';
import { any, count, fileSize, images, make, onFiles, pictureOf } from './dom.js';
import { download } from './download.js';
import { say, showProblem } from './notices.js';
import { readProject, writeProject } from './project.js';
import { isPersistent, measureRoom } from './room.js';
import { thumbnailOf } from './saving.js';
import { merge, readSchema, writeSchema } from './schema.js';
import { imagesOf } from './sources.js';
import { hasWork } from './store.js';

/** @typedef {import('./store.js').Card} Card */
/** @typedef {import('./store.js').Entry} Entry */

const ICON = '<path d="M4 5h16v4H4zM5.5 9v10.5h13V9M9.5 12.5h5" />';

const dates = new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeStyle: 'short' });

/** The images that the browser keeps: opens, saves and deletes them. */
export class Library {
  /** @param {import('./app.js').App} app */
  constructor(app) {
    this._app = app;
    /** URLs of the thumbnails in the list. @type {string[]} */
    this._urls = [];
    this._list = make('ul', { id: 'library-list' });
    this._room = make('p', { id: 'library-room', className: 'quiet' });
    const closing = make('button', { ariaLabel: 'Close', textContent: '×' });
    const title = make('h2', { id: 'library-title', textContent: 'Kept images' });
    const buttons = make(
      'div',
      { className: 'library-buttons' },
      this._button('library-open', 'Open project file', () => this._file.click()),
      this._button('library-save', 'Save all as a project file', () => this._saveAll()),
      this._button('folder-open', 'Open folder', () => this._folder.click()),
      this._button('classes-save', 'Save classes', () => this._saveClasses()),
      this._button('classes-load', 'Load classes', () => this._classes.click()),
      this._button('library-clean', 'Delete those without work', () => this._clean()),
    );
    this._dialog = make(
      'dialog',
      { id: 'library' },
      make('form', { method: 'dialog' }, title, closing),
      buttons,
      this._list,
      this._room,
    );
    this._dialog.setAttribute('aria-labelledby', title.id);
    this._file = make('input', {
      id: 'project-input',
      type: 'file',
      accept: '.zip,application/zip',
      hidden: true,
    });
    onFiles(this._file, ([file]) => file && this.openProject(file));
    this._folder = make('input', { id: 'folder-input', type: 'file', hidden: true, webkitdirectory: true });
    onFiles(this._folder, (files) => {
      this._dialog.close();
      app.opening.openAll(imagesOf(files));
    });
    this._classes = make('input', { id: 'classes-input', type: 'file', accept: '.json', hidden: true });
    onFiles(this._classes, ([file]) => file && this._loadClasses(file));
    document.body.append(this._dialog, this._file, this._folder, this._classes);
    const opener = this._button('library-button', 'Kept', () => this.show());
    opener.title = 'Images and work that this browser keeps, and project files (K)';
    opener.prepend(pictureOf(ICON));
    any('samples-button').after(opener);
  }

  /** @param {string} id @param {string} textContent @param {() => unknown} action */
  _button(id, textContent, action) {
    const made = make('button', { id, className: 'text', textContent });
    made.addEventListener('click', () => action());
    return made;
  }

  // ---- the list

  async show() {
    this._list.replaceChildren();
    this._room.textContent = '';
    if (!this._dialog.open) this._dialog.showModal();
    await this._app.saving.now();
    await this._fill();
  }

  /** The kept images have changed, here or in another tab. */
  changed() {
    if (this._dialog.open) this._fill();
  }

  /** @returns {Promise<Set<string>>} keys of the images that a tab shows */
  async _open() {
    const { tabs, saving, work } = this._app;
    const open = await tabs.open();
    for (const key of saving.unsavedKeys) if (key !== work?.key) open.delete(key); // this tab has it in memory only
    return open;
  }

  async _fill() {
    const [cards, open] = await Promise.all([this._app.saving.cards(), this._open()]);
    const focused = document.activeElement?.id;
    for (const url of this._urls.splice(0)) URL.revokeObjectURL(url);
    this._list.replaceChildren(...cards.map((card) => this._row(card, open.has(card.key))));
    if (!cards.length) this._list.append(make('li', { textContent: 'No images are kept yet.' }));
    if (focused) document.getElementById(focused)?.focus();
    const [room, persistent] = await Promise.all([measureRoom(), isPersistent()]);
    const used = room ? `${fileSize(room.usage)} of ${fileSize(room.quota)} are used. ` : '';
    const promise = persistent
      ? 'The browser keeps the images until you delete them.'
      : 'The browser may delete all of them if the disk is full: save a project file of what you need.';
    this._room.textContent = used + promise;
    await this._addThumbnails(cards);
  }

  /** @param {Card} card @param {boolean} isOpen in any tab */
  _row({ key, name, opened, bytes, worked, done, thumbnail }, isOpen) {
    const picture = make('img', { alt: '' });
    if (thumbnail) this._urls.push((picture.src = URL.createObjectURL(thumbnail)));
    const state = done ? 'done' : worked ? 'labelled' : 'no work';
    const facts = `${dates.format(opened)} · ${fileSize(bytes)} · ${state}`;
    const text = make(
      'div',
      {},
      make('b', { textContent: name }),
      make('p', { className: 'quiet', textContent: facts }),
    );
    const isHere = this._app.work?.key === key;
    const open = this._button(`open-${key}`, isHere ? 'Open here' : 'Open', () => {
      this._dialog.close();
      this._app.opening.reopen(key);
    });
    open.ariaLabel = isHere ? `Open here: ${name}` : `Open ${name}`;
    open.disabled = isHere;
    const remove = this._button(`delete-${key}`, 'Delete', () => this._delete(key, name, worked));
    remove.ariaLabel = `Delete ${name}`;
    remove.disabled = isOpen;
    if (isOpen) remove.title = 'It is open: open another image first';
    const row = make('li', {}, picture, text, open, remove);
    row.dataset.key = key;
    return row;
  }

  /** Older pages made no thumbnails. @param {Card[]} cards */
  async _addThumbnails(cards) {
    const { store } = this._app.saving;
    for (const { key, thumbnail } of cards) {
      if (thumbnail || !store || !this._dialog.open) continue;
      const kept = await store.read(key);
      const bitmap = kept && (await createImageBitmap(kept.image.blob).catch(() => null));
      if (!bitmap) continue;
      const made = await thumbnailOf(bitmap);
      bitmap.close();
      await store.changeCard(key, { thumbnail: made });
      const picture = this._list.querySelector(`[data-key="${CSS.escape(key)}"] img`);
      if (picture instanceof HTMLImageElement) this._urls.push((picture.src = URL.createObjectURL(made)));
    }
  }

  /** @param {string} key @param {string} name @param {boolean} worked */
  async _delete(key, name, worked) {
    const what = worked ? 'The image and all work on it are deleted.' : 'Nothing was labelled on it.';
    if (!(await ask(`Delete ${name}?`, `${what} This cannot be undone.`, ['Delete']))) return;
    await this._remove([key]);
    say(`${name} is deleted`);
  }

  async _clean() {
    const { set } = this._app;
    const open = await this._open();
    const idle = (await this._app.saving.cards()).filter(
      ({ key, worked, done }) => !worked && !done && !open.has(key) && !set.keys.includes(key),
    );
    if (!idle.length) {
      await ask('Nothing to delete', 'Each kept image has work on it, is open, or is in the set.', []);
      return;
    }
    const bytes = fileSize(idle.reduce((sum, card) => sum + card.bytes, 0));
    const text = `Nothing was labelled on them. They take ${bytes}.`;
    if (await ask(`Delete ${images(idle.length)}?`, text, ['Delete']))
      await this._remove(idle.map(({ key }) => key));
  }

  /** @param {string[]} keys */
  async _remove(keys) {
    const { saving, set, tabs, work } = this._app;
    try {
      for (const key of keys) {
        await saving.delete(key);
        if (key !== work?.key) tabs.release(key);
        await set.remove(key);
      }
    } catch (error) {
      showProblem(error);
    }
    tabs.post({ type: 'listed', key: '' });
    await saving.now(); // there may be room now for what could not be stored
    await this._fill();
  }

  // ---- classes

  _saveClasses() {
    const text = writeSchema(this._app.set.learn());
    download(new Blob([text], { type: 'application/json' }), 'classes.json');
  }

  /** @param {Blob} file untrusted */
  async _loadClasses(file) {
    const { classPanel, layers, saving, readOnly } = this._app;
    this._dialog.close();
    if (readOnly) return;
    try {
      const loaded = await readSchema(file);
      merge(classPanel.classes, loaded);
      classPanel.show();
      layers.redrawAll();
      saving.soon();
      say(`The file has ${count(loaded.length)} class${loaded.length === 1 ? '' : 'es'}`);
    } catch (error) {
      showProblem(error);
    }
  }

  // ---- project files

  /** Save the open image, and what is not stored yet, as a project file. */
  async saveProject() {
    const { saving, work } = this._app;
    await saving.now();
    await this._save(
      [...new Set([...(work ? [work.key] : []), ...saving.unsavedKeys])],
      work?.stem ?? 'work',
    );
  }

  async _saveAll() {
    const { saving } = this._app;
    await saving.now();
    const keys = (await saving.cards()).map(({ key }) => key);
    await this._save([...new Set([...keys, ...saving.unsavedKeys])], 'superpixels');
  }

  /** @param {string[]} keys @param {string} stem of the file's name */
  async _save(keys, stem) {
    const { classPanel, opening } = this._app;
    await opening.during(async () => {
      const blob = await writeProject(this._entries(keys), classPanel.classes);
      download(blob, `${stem}-project.zip`);
      say(`Saved ${stem}-project.zip (${fileSize(blob.size)})`);
    });
  }

  /** @param {string[]} keys @returns {AsyncGenerator<Entry>} */
  async *_entries(keys) {
    const { saving } = this._app;
    const cards = new Map((await saving.cards()).map((card) => [card.key, card]));
    for (const [i, key] of keys.entries()) {
      say(`Writing image ${count(i + 1)} of ${count(keys.length)}…`);
      const entry = await saving.entry(key);
      if (entry) yield { ...entry, card: { ...cards.get(key), ...entry.card } };
    }
  }

  /** @param {Blob} file untrusted */
  async openProject(file) {
    await this._app.opening.during(async () => this._take(await readProject(file, say)));
  }

  /** @param {import('./project.js').Project} project */
  async _take({ entries, classes }) {
    const { saving, tabs, opening, settings, work, set } = this._app;
    if (!entries.length) {
      say('The project file contains no images');
      return;
    }
    const elsewhere = await tabs.open();
    /** Entries whose image has other work here, which is not lost unasked. @type {Set<Entry>} */
    const conflicts = new Set();
    /** @type {Set<Entry>} */
    const unchanged = new Set();
    for (const entry of entries) {
      const { key } = entry.image;
      const kept = await saving.entry(key);
      if (!kept?.work || !hasWork(kept.work)) continue;
      const isSame = entry.work && textOf(kept.work) === textOf(entry.work);
      if (isSame || !entry.work || (elsewhere.has(key) && !tabs.edits(key))) unchanged.add(entry);
      else conflicts.add(entry);
    }
    let replace = false;
    if (conflicts.size) {
      const names = [...conflicts].slice(0, 5).map(({ image }) => image.name);
      const text = `This browser has other work on ${names.join(', ')}${conflicts.size > 5 ? ' and others' : ''}.`;
      const answer = await ask('Replace your work?', text, ['Keep mine', "Take the file's"]);
      if (answer === null) {
        say('Nothing was opened');
        return;
      }
      replace = answer !== 'Keep mine';
    }
    const taken = entries.filter((entry) => !unchanged.has(entry) && (replace || !conflicts.has(entry)));
    for (const entry of taken) {
      if (work?.key === entry.image.key) await opening.adopt(entry); // else its next change would overwrite the file's
      await saving.keep(entry);
    }
    if (!work) settings.classes = classes;
    this._dialog.close();
    if (entries.length > 1 || !set.isEmpty) await set.add(entries.map(({ image }) => image.key));
    await opening.reopen(entries[0].image.key);
    const kept = entries.length - taken.length;
    say(`The project has ${images(entries.length)}${kept ? `; your own work on ${images(kept)} stays` : ''}`);
  }
}

/** @param {import('./store.js').KeptWork} work @returns {string} the same for the same labels and classes, whatever their ids */
const textOf = ({ selection: { classes, ...rest } }) =>
  JSON.stringify({ ...rest, classes: classes.map(({ name, color }) => ({ name, color })) });
