import { Selection } from '../src/index.js';
import { Problem, segment } from './api.js';
import { any, button, fileSize, input, make, superpixels } from './dom.js';
import { isJSON, mayBeMask } from './masks.js';
import { readable } from './formats.js';
import { readMap } from './maps.js';
import { moved } from './moving.js';
import { hideProblem, say, sayAfter, showProblem, showProgress } from './notices.js';
import { Sending } from './sending.js';
import { keyOf } from './store.js';
import { Work } from './work.js';

const SAMPLES = [
  { file: 'astronaut.jpg', name: 'Astronaut' },
  { file: 'coffee.jpg', name: 'Coffee' },
  { file: 'chelsea.jpg', name: 'Cat' },
];

/** Up to this many bytes above its limit, the server itself explains why it rejects an image. The gateway has the same. */
const SLACK_BYTES = 1 << 20;

/** Opens images, and asks the server for label maps. A newer request replaces the one in progress. */
export class Opening {
  /** @param {import('./app.js').App} app */
  constructor(app) {
    this._app = app;
    /** The request in progress. @type {AbortController | null} */
    this._pending = null;
    /** The server's limit, once it is known. */
    this.maxBytes = Infinity;
    this._sending = new Sending(() => this.cancel('Cancelled'));
    this._bindFiles();
    this._bindSamples();
  }

  get busy() {
    return this._pending !== null;
  }

  /** Whether the screen shows an image that is not open yet. */
  get showsOther() {
    return this._sending.showsImage;
  }

  /**
   * Cancel the request in progress.
   *
   * @param {string} [text] what the status line says then
   */
  cancel(text) {
    if (text && this._pending) say(text);
    this._pending?.abort();
  }

  /**
   * Open an image. The current one stays until the new one is ready.
   *
   * @param {Blob} file
   * @param {string} name
   */
  async open(file, name) {
    const { saving, settings } = this._app;
    await this._run(
      `Making superpixels of ${name} (${fileSize(file.size)})…`,
      async (signal) => {
        if (file.size > this.maxBytes + SLACK_BYTES) {
          const text = `the image is too large: ${fileSize(file.size)}, at most ${fileSize(this.maxBytes)} are accepted`;
          throw new Problem('Too large', text, { reason: 'IMAGE_TOO_MANY_BYTES' });
        }
        const bytes = await file.arrayBuffer();
        const blob = new Blob([bytes], { type: file.type });
        const key = keyOf(bytes);
        await saving.now();
        const kept = await saving.read(key);
        if (kept) {
          await this._restore(kept, signal);
          say(`${name} was opened before: your work on it is back`);
          return;
        }
        const { compactness } = settings;
        const sent = await readable(blob, bytes);
        // If the browser cannot show the image, the server may still reject it for a better reason.
        const shown = createImageBitmap(sent).catch(() => null);
        shown.then((bitmap) => {
          if (bitmap && !signal.aborted && !this._app.stage.busy) this._sending.showImage(bitmap);
        });
        const making = { compactness, guidance: null };
        const progress = (/** @type {number} */ share) => this._sending.progress(name, share);
        const { spx, facts } = await segment(sent, making, signal, progress);
        say('Reading the label map…');
        const { map, reduced } = await readMap(spx, { image: sent, reduce: true, signal });
        const bitmap = checkBitmap(await shown, map);
        await this._idle(signal);
        const classes = settings.classes.map((one) => ({ ...one }));
        const work = new Work({ key, name, blob: sent, bitmap, reduced }, new Selection(map, classes), {
          spx,
          ...making,
        });
        this._app.show(work);
        saving.imageChanged();
        say([`${name}: ${superpixels(map.count)} at the finest`, ...facts.notices].join('. '));
      },
      name,
    );
  }

  /** @param {{ file: string }} sample */
  async openSample({ file }) {
    const answer = await fetch(`samples/${file}`).catch(() => null);
    if (answer?.ok) await this.open(await answer.blob(), file);
    else {
      const error = new Problem('No answer', 'The sample could not be loaded.', { reason: 'NO_ANSWER' });
      showProblem(error, { file, retry: () => this.openSample({ file }) });
    }
  }

  /**
   * Open a stored image, if there is one of this key.
   *
   * @param {string} key
   */
  async reopen(key) {
    const kept = await this._app.saving.read(key);
    if (!kept) return;
    const { name } = kept.image;
    await this._run(`Opening ${name}…`, (signal) => this._restore(kept, signal), name);
  }

  /**
   * @param {{ image: import('./store.js').KeptImage, work: import('./store.js').KeptWork }} kept
   * @param {AbortSignal} signal
   */
  async _restore({ image, work }, signal) {
    const { key, name, blob, spx, compactness, guidance = null } = image;
    const [{ map, reduced }, shown] = await Promise.all([
      readMap(spx, { image: blob, reduce: true, signal }),
      createImageBitmap(blob),
    ]);
    const bitmap = checkBitmap(shown, map);
    const selection = Selection.restore(map, work.selection, work.steps);
    await this._idle(signal);
    const origin = { spx, compactness, guidance };
    this._app.show(new Work({ key, name, blob, bitmap, reduced }, selection, origin, work.count));
    this._app.saving.imageChanged(); // stores the time at which it was opened
  }

  /** Replace the superpixels of the open image by those of the compactness in the settings. */
  async changeCompactness() {
    const { settings, sliders, guiding } = this._app;
    const { compactness } = settings;
    await this.remake(
      { compactness, guidance: guiding.wanted },
      `Making superpixels of compactness ${compactness}…`,
      `Compactness ${compactness}`,
    );
    if (this._app.work) settings.compactness = this._app.work.origin.compactness; // the request may have failed
    sliders.showCompactness();
  }

  /**
   * Replace the superpixels of the open image. What was chosen stays, pixel by pixel.
   *
   * @param {import('./api.js').Making} making
   * @param {string} before what the status line says meanwhile
   * @param {string} after what it says then
   */
  async remake(making, before, after) {
    const { work, stage } = this._app;
    if (!work) return;
    const { compactness, guidance } = work.origin;
    if (making.compactness === compactness && making.guidance === guidance) {
      this.cancel();
      return;
    }
    await this._run(before, async (signal) => {
      const { spx } = await segment(work.blob, making, signal);
      const { map } = await readMap(spx, { image: work.blob, signal });
      const { selection } = work;
      let ready = null;
      while (!ready) {
        await this._idle(signal);
        if (this._app.work !== work) return;
        const { lastStep } = selection;
        const isCurrent = () => !signal.aborted && !stage.busy && selection.lastStep === lastStep;
        ready = await moved(selection, map, isCurrent);
      }
      work.moveTo(map, { spx, ...making }, ready);
      this._app.mapChanged();
      say(`${after}: what was chosen stays, pixel by pixel`);
    });
  }

  /**
   * Wait until no gesture is in progress and everything is stored: then another image or map may take over.
   *
   * @param {AbortSignal} signal
   */
  async _idle(signal) {
    const { stage, saving } = this._app;
    while (stage.busy || saving.due) {
      if (stage.busy) await new Promise((resolve) => setTimeout(resolve, 50));
      else await saving.now();
    }
    signal.throwIfAborted();
  }

  /**
   * Run a task that takes long and may fail, in place of the one in progress.
   *
   * @param {string} text what the status line says
   * @param {(signal: AbortSignal) => Promise<void>} task
   * @param {string} [file] that it is about
   */
  async _run(text, task, file = this._app.work?.name) {
    this.cancel();
    const pending = (this._pending = new AbortController());
    showProgress(true);
    hideProblem();
    say(text);
    this._sending.begin(text);
    try {
      await task(pending.signal);
    } catch (error) {
      if (!pending.signal.aborted) showProblem(error, { file, retry: () => this._run(text, task, file) });
    } finally {
      if (this._pending === pending) {
        this._pending = null;
        showProgress(false);
        sayAfter(text, '');
        this._sending.end();
      }
    }
  }

  // ---- where images come from

  /** The open buttons, drag and drop, and paste. */
  _bindFiles() {
    const chosen = input('file-input');
    chosen.addEventListener('change', () => {
      const [file] = chosen.files ?? [];
      chosen.value = '';
      if (file) this.open(file, file.name);
    });
    for (const id of ['open', 'open-large']) button(id).addEventListener('click', () => chosen.click());

    const drop = any('drop');
    const imageOf = (/** @type {DataTransfer | null} */ data) =>
      [...(data?.files ?? [])].find((file) => file.type.startsWith('image/')) ?? data?.files[0];
    document.addEventListener('dragover', (event) => {
      event.preventDefault();
      drop.hidden = !event.dataTransfer?.types.includes('Files');
    });
    document.addEventListener('dragleave', (event) => {
      if (!event.relatedTarget) drop.hidden = true;
    });
    document.addEventListener('drop', (event) => {
      event.preventDefault();
      drop.hidden = true;
      const file = imageOf(event.dataTransfer);
      if (file) this._take(file, file.name);
    });
    document.addEventListener('paste', (event) => {
      const file = imageOf(event.clipboardData);
      if (file) this._take(file, file.name || 'pasted.png');
    });
  }

  /**
   * Open a file that was dropped or pasted, or ask what to do with it.
   *
   * @param {File} file
   * @param {string} name
   */
  async _take(file, name) {
    const { work, maskDialog } = this._app;
    if (work && (await mayBeMask(file, name, work))) await maskDialog.offer(file, name);
    else if (!work && isJSON(file, name))
      showProblem(new Problem('No photograph', 'Open the photograph of this mask first.'));
    else await this.open(file, name);
  }

  /** The pictures on the empty page, and the menu in the header. */
  _bindSamples() {
    for (const sample of SAMPLES) {
      const picture = make(
        'button',
        {},
        make('img', { src: `samples/${sample.file}`, alt: '' }),
        sample.name,
      );
      picture.addEventListener('click', () => this.openSample(sample));
      any('samples').append(picture);
      const item = make('button', { textContent: sample.name });
      item.addEventListener('click', () => {
        any('samples-menu').hidePopover();
        this.openSample(sample);
      });
      any('samples-menu').append(item);
    }
  }
}

/**
 * @param {ImageBitmap | null} bitmap
 * @param {import('../src/index.js').LabelMap} map
 * @returns {ImageBitmap}
 */
function checkBitmap(bitmap, map) {
  if (!bitmap) {
    throw new Problem(
      'This browser cannot show the image',
      'The server can read it: save it as PNG or JPEG.',
      { reason: 'NOT_SHOWN' },
    );
  }
  if (bitmap.width !== map.width || bitmap.height !== map.height) {
    throw new Problem(
      'The image is not what the server saw',
      `The browser shows ${bitmap.width} × ${bitmap.height} pixels, the server saw ${map.width} × ${map.height}.`,
    );
  }
  return bitmap;
}
