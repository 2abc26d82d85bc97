import { ask } from './ask.js';
import { Background } from './background.js';
import { count, fileSize, images } from './dom.js';
import { download } from './download.js';
import { say, showProblem, showProgress } from './notices.js';
import { thumbnailOf } from './saving.js';
import { giveIds, learn, reconcile } from './schema.js';
import { TOLERANCE } from './smooth.js';
import { keyOf } from './store.js';
import { portable, ZipWriter } from './zip.js';

/** @typedef {import('./store.js').Card} Card */

/** What the user can export of the whole set. @type {{ format: string, name: string, note: string }[]} */
export const SET_FORMATS = [
  { format: 'coco', name: 'COCO polygons', note: 'instances.json and photographs' },
  { format: 'coco-rle', name: 'COCO run lengths', note: 'exact also for holes' },
  { format: 'panoptic', name: 'COCO panoptic', note: 'panoptic.json, PNG and photographs' },
  { format: 'yolo', name: 'YOLO', note: 'data.yaml, labels and photographs' },
  { format: 'png', name: 'Masks', note: 'indexed PNG, legend.json and photographs' },
];

/** The images that are labelled together, with one list of classes. Empty if the user opens single images. */
export class ImageSet {
  /** @param {import('./app.js').App} app */
  constructor(app) {
    this._app = app;
    /** In the order of the filmstrip. @type {string[]} */
    this.keys = [];
    /** @type {import('./schema.js').Ids} */
    this.ids = { next: 1, removed: [] };
    /** Called when images or their marks have changed. */
    this.onChange = () => {};
    this._worker = new Background(new URL('./dataset-worker.js', import.meta.url));
    /** Whether images are being added. */
    this.adding = false;
  }

  get isEmpty() {
    return this.keys.length === 0;
  }

  /** Read the set of the last visit, or what another tab made of it. */
  async load() {
    const kept = await this._app.saving.store?.readSettings('set').catch(() => null);
    if (!kept) return;
    this.keys = kept.keys;
    this.ids = kept.ids;
    this.onChange();
  }

  async _save() {
    const { saving, tabs } = this._app;
    await saving.store?.writeSettings({ keys: this.keys, ids: this.ids }, 'set').catch(() => {});
    tabs.post({ type: 'listed', key: '' });
    this.onChange();
  }

  /** @param {string[]} keys of kept images */
  async add(keys) {
    this.keys = [...new Set([...this.keys, ...keys])];
    await this._save();
  }

  /** Show single images again. The images stay kept. */
  async close() {
    this.keys = [];
    await this._save();
  }

  /** @param {string} key of an image that is no longer kept */
  async remove(key) {
    if (!this.keys.includes(key)) return;
    this.keys = this.keys.filter((one) => one !== key);
    await this._save();
  }

  // ---- one list of classes

  /** @param {import('../src/index.js').Selection} selection of an image that is opened */
  adapt(selection) {
    if (!this.isEmpty) reconcile(selection, this._app.settings.classes, this.ids);
  }

  /** @returns {import('../src/annotation.js').Class[]} the classes of the open image, which become those of the set */
  learn() {
    const { settings, classPanel, readOnly } = this._app;
    const { classes } = classPanel;
    if (this.isEmpty) return classes.map((one) => ({ ...one }));
    if (readOnly) return settings.classes;
    const before = JSON.stringify(this.ids);
    const learned = learn(classes, settings.classes, this.ids);
    if (JSON.stringify(this.ids) !== before) this._save();
    return learned;
  }

  // ---- files

  /**
   * Add files to the set, and open the first of them.
   *
   * @param {File[]} files
   */
  async addFiles(files) {
    const { saving, opening, settings } = this._app;
    const skipped = [];
    const known = new Set((await saving.cards()).map(({ key }) => key));
    const opened = this._app.work?.key;
    /** @type {Promise<void> | undefined} */
    let first;
    this.adding = true;
    try {
      for (const [i, file] of files.entries()) {
        if (!opening.busy) say(`Adding image ${count(i + 1)} of ${count(files.length)}…`);
        showProgress(true);
        const bitmap = opening.fits(file) && (await createImageBitmap(file).catch(() => null));
        if (!bitmap) {
          skipped.push(file.name);
          continue;
        }
        const bytes = await file.arrayBuffer();
        const key = keyOf(bytes);
        const thumbnail = await thumbnailOf(bitmap);
        bitmap.close();
        if (!known.has(key)) {
          const blob = new Blob([bytes], { type: file.type });
          const image = { key, name: file.name, blob, spx: null, compactness: settings.compactness };
          await saving.keep({ image, work: null, card: { opened: Date.now(), thumbnail } });
        }
        const isFirst = this.isEmpty || (i === skipped.length && this._app.work?.key === opened);
        await this.add([key]);
        if (isFirst) first = opening.reopen(key); // while the others are added
      }
      await first;
    } catch (error) {
      showProblem(error);
    } finally {
      this.adding = false;
      showProgress(opening.busy);
    }
    const added = files.length - skipped.length;
    const left = skipped.length ? `; not images, or too large: ${skipped.slice(0, 5).join(', ')}` : '';
    say(`${images(added)} in the set${left}`);
    this._app.prepareNext();
  }

  /**
   * Save everything that is labelled or done as one data set.
   *
   * @param {string} format
   */
  async export(format) {
    const { saving, opening } = this._app;
    await saving.now();
    const cards = new Map((await saving.cards()).map((card) => [card.key, card]));
    const wanted = this.keys.filter((key) => cards.get(key)?.worked || cards.get(key)?.done);
    const left = this.keys.length - wanted.length;
    if (!wanted.length) {
      await ask('Nothing to export', 'No image of the set is labelled or marked as done.', []);
      return;
    }
    await opening.during(async () => {
      const blob = await this._zip(wanted, format);
      const name = `dataset-${format}.zip`;
      download(blob, name);
      const without = left ? `; ${count(left)} without work left out` : '';
      say(`Saved ${name}: ${count(wanted.length)} images (${fileSize(blob.size)})${without}`);
    });
  }

  /** @param {string[]} keys @param {string} format */
  async _zip(keys, format) {
    const { saving, settings } = this._app;
    const zip = new ZipWriter();
    const names = new Set();
    const write = async (/** @type {object} */ message) => {
      /** @type {{ files: { path: string, data: import('./zip.js').Content }[] }} */
      const { files } = await this._worker.ask(message);
      for (const { path, data } of files) await zip.add(path, data);
    };
    const classes = await this._allClasses(keys);
    const simplify = settings.smoothPolygons ? TOLERANCE : 0;
    await write({ type: 'begin', format, classes, simplify });
    for (const [i, key] of keys.entries()) {
      say(`Writing image ${count(i + 1)} of ${count(keys.length)}…`);
      const entry = await saving.entry(key);
      if (!entry?.work || !entry.image.spx) continue;
      const { image, work } = entry;
      const own = work.selection.classes.map((one) => ({ ...one }));
      giveIds(own, classes, this.ids);
      // What only the browser can read is kept as PNG.
      const isPNG = image.blob.type === 'image/png' && !/\.png$/i.test(image.name);
      const name = unusedName(isPNG ? `${image.name}.png` : image.name, names);
      const { blob, spx } = image;
      await write({ type: 'add', name, blob, spx, selection: work.selection, classes: own });
    }
    await write({ type: 'finish' });
    return zip.finish();
  }

  /**
   * The classes of the set, and those that only some images still have.
   *
   * @param {string[]} keys
   */
  async _allClasses(keys) {
    const all = this.learn();
    giveIds(all, all, this.ids);
    const names = new Set();
    const addName = (/** @type {import('../src/annotation.js').Class} */ one) => {
      const { name } = one;
      for (let n = 2; names.has(one.name); n++) one.name = `${name} (${n})`; // data sets need different names
      names.add(one.name);
    };
    all.forEach(addName);
    for (const key of keys) {
      const entry = await this._app.saving.entry(key);
      const own = (entry?.work?.selection.classes ?? []).map((one) => ({ ...one }));
      giveIds(own, all, this.ids);
      const used = usedValues(entry?.work?.selection);
      for (const [i, one] of own.entries()) {
        if (!used.has(i + 1) || all.some(({ id }) => id === one.id)) continue;
        all.push(one);
        addName(one);
      }
    }
    return all;
  }
}

/**
 * @param {import('../src/selection.js').SerialisedSelection | undefined} selection
 * @returns {Set<number>} class values of regions, pixels and objects
 */
function usedValues(selection) {
  const at = (/** @type {number[]} */ runs) => runs.filter((_, i) => i % 2 === 0);
  const { regions = [], pixels = [], objects = [] } = selection ?? {};
  const values = [
    ...at(regions),
    ...at(pixels).map((value) => value - 1),
    ...objects.map((one) => one.class),
  ];
  return new Set(values);
}

/**
 * @param {string} name of a file
 * @param {Set<string>} used names without their extensions; the new one is added
 * @returns {string} a name that no other image of the set has, also with another extension
 */
function unusedName(name, used) {
  const clean = portable(name) || 'image';
  const [, stem, ending] = /^(.+?)(\.[^.]*)?$/.exec(clean) ?? [clean, clean, ''];
  let free = stem;
  for (let n = 2; used.has(free.toLowerCase()); n++) free = `${stem}-${n}`;
  used.add(free.toLowerCase());
  return free + (ending ?? '');
}
