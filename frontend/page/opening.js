import { Selection } from '../src/index.js';
import { Problem } from './api.js';
import { any, button, fileSize, input, onFiles, superpixels } from './dom.js';
import { readable } from './formats.js';
import { takeAnnotations } from './importing.js';
import { checkBitmap, readMap } from './maps.js';
import { moved } from './moving.js';
import { hideProblem, say, sayAfter, showProblem, showProgress } from './notices.js';
import { fillSamples } from './samples.js';
import { thumbnailOf } from './saving.js';
import { segment } from './segmenting.js';
import { Sending } from './sending.js';
import { filesOf, imagesOf } from './sources.js';
import { keyOf, lateWork } from './store.js';
import { Work } from './work.js';
import { isZip } from './zip.js';

/** Up to this many bytes above its limit, the server itself explains why it rejects an image. The gateway has the same. */
const SLACK_BYTES = 1 << 20;

/** Opens images, and asks the server for label maps. A newer request replaces the one in progress. */
export class Opening {
  /** @param {import('./app.js').App} app */
  constructor(app) {
    this._app = app;
    /** The request in progress. @type {AbortController | null} */
    this._pending = null;
    /** Key of the image that is being opened, if it is kept. @type {string | null} */
    this.wanted = null;
    /** The server's limit, once it is known. */
    this.maxBytes = Infinity;
    this._sending = new Sending(() => this.cancel('Cancelled'));
    this._bindFiles();
    fillSamples((sample) => this.openSample(sample));
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

  /** @param {Blob} file @returns {boolean} whether the server may accept a file of this size */
  fits(file) {
    return file.size <= this.maxBytes + SLACK_BYTES;
  }

  /**
   * Open an image, or several as a set.
   *
   * @param {File[]} files
   */
  async openAll(files) {
    const { set } = this._app;
    if (!files.length) {
      say('There are no images in it');
    } else if (files.length > 1) {
      await set.addFiles(files);
    } else {
      const { work: before } = this._app;
      await this.open(files[0], files[0].name);
      const { work } = this._app;
      if (work && work !== before && !set.isEmpty) await set.add([work.key]);
    }
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
        if (!this.fits(file)) {
          const text = `the image is too large: ${fileSize(file.size)}, at most ${fileSize(this.maxBytes)} are accepted`;
          throw new Problem('Too large', text, { reason: 'IMAGE_TOO_MANY_BYTES' });
        }
        const bytes = await file.arrayBuffer();
        const blob = new Blob([bytes], { type: file.type });
        const key = keyOf(bytes);
        await saving.now();
        await this._app.ahead.settle(key);
        const kept = await saving.read(key);
        if (kept?.work) {
          await this._restore(kept.image, kept.work, signal);
          say(`${name} was opened before: your work on it is back`);
        } else {
          await this._make(
            kept?.image ?? { key, name, blob, spx: null, compactness: settings.compactness },
            signal,
          );
        }
      },
      name,
    );
  }

  /**
   * Open an image without work.
   *
   * @param {import('./store.js').KeptImage} image
   * @param {AbortSignal} signal
   */
  async _make({ key, name, blob: file, spx: known, compactness: used }, signal) {
    const { settings } = this._app;
    // If the browser cannot show the image, the server may still reject it for a better reason.
    const blob = await readable(file);
    const shown = createImageBitmap(blob).catch(() => null);
    shown.then((bitmap) => {
      if (bitmap && !signal.aborted && !this._app.stage.busy) this._sending.showImage(bitmap);
    });
    const making = { compactness: known ? used : settings.compactness, guidance: null };
    /** @type {(share: number, isMaking: boolean) => void} */
    const progress = (share, isMaking) => this._sending.progress(name, share, isMaking);
    const { spx, facts } = known
      ? { spx: known, facts: { notices: [] } }
      : await segment(blob, making, signal, progress);
    say('Reading the label map…');
    const { map, reduced } = await readMap(spx, { image: blob, reduce: true, signal });
    const bitmap = checkBitmap(await shown, map);
    const classes = settings.classes.map((one) => ({ ...one }));
    // Work that was in memory only when the page was closed.
    const late = lateWork(key);
    const isOfMap = late?.selection?.map === map.fingerprint;
    const selection = isOfMap
      ? Selection.restore(map, late.selection, late.steps)
      : new Selection(map, classes);
    this._app.set.adapt(selection);
    const work = new Work({ key, name, blob, bitmap, reduced }, selection, { spx, ...making });
    await this._show(work, signal);
    say([`${name}: ${superpixels(map.count)} at the finest`, ...facts.notices].join('. '));
  }

  /**
   * Show an image in place of the current one. This tab edits it if no other tab does.
   *
   * @param {Work} work
   * @param {AbortSignal} signal
   */
  async _show(work, signal) {
    const { tabs, saving } = this._app;
    work.thumbnail = await thumbnailOf(work.bitmap);
    await tabs.claim(work.key);
    try {
      await this.idle(signal);
    } catch (error) {
      if (this._app.work?.key !== work.key && !saving.unsavedKeys.includes(work.key)) tabs.release(work.key);
      throw error;
    }
    this._app.show(work);
    saving.soon();
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
    const { saving, ahead } = this._app;
    this.wanted = key;
    await this._run('Opening…', async (signal) => {
      await saving.now();
      await ahead.settle(key);
      const kept = await saving.read(key);
      signal.throwIfAborted();
      if (!kept) {
        say('The image is no longer kept');
        return;
      }
      const { image, work } = kept;
      say(`Opening ${image.name}…`);
      if (work) {
        await this._restore(image, work, signal);
        say(`${image.name} is open`);
      } else {
        await this._make(image, signal);
      }
    });
  }

  /**
   * @param {import('./store.js').KeptImage} image
   * @param {import('./store.js').KeptWork} work
   * @param {AbortSignal} signal
   */
  async _restore({ key, name, blob, spx, compactness, guidance = null }, work, signal) {
    if (!spx) throw new Problem('Something went wrong', `The label map of ${name} is missing.`);
    const [{ map, reduced }, shown] = await Promise.all([
      readMap(spx, { image: blob, reduce: true, signal }),
      createImageBitmap(blob),
    ]);
    const bitmap = checkBitmap(shown, map);
    const selection = Selection.restore(map, work.selection, work.steps);
    this._app.set.adapt(selection);
    const origin = { spx, compactness, guidance };
    await this._show(new Work({ key, name, blob, bitmap, reduced }, selection, origin, work.count), signal);
  }

  /**
   * Take over the state of the open image from the tab that edits it.
   *
   * @param {import('./store.js').Entry} entry
   */
  async adopt({ image, work: kept }) {
    const { work: current } = this._app;
    const { spx, compactness, guidance = null } = image;
    if (!current || !kept || !spx) return;
    const isSame = kept.selection.map === current.map.fingerprint;
    const map = isSame ? current.map : (await readMap(spx, { image: image.blob })).map;
    const origin = isSame ? current.origin : { spx, compactness, guidance };
    const selection = Selection.restore(map, kept.selection, kept.steps);
    if (this._app.work !== current) return;
    current.replace(selection, origin);
    this._app.selectionReplaced();
  }

  /** Replace the superpixels of the open image by those of the compactness in the settings. */
  async changeCompactness() {
    const { settings, guiding } = this._app;
    const { compactness } = settings;
    await this.remake(
      { compactness, guidance: guiding.wanted },
      `Making superpixels of compactness ${compactness}…`,
      `Compactness ${compactness}`,
    );
  }

  /**
   * Replace the superpixels of the open image. What was chosen stays, pixel by pixel.
   *
   * @param {import('./api.js').Making} making
   * @param {string} before what the status line says meanwhile
   * @param {string} after what it says then
   */
  async remake(making, before, after) {
    const { work, stage, sliders } = this._app;
    if (!work || this._app.readOnly) {
      sliders.adoptCompactness();
      return;
    }
    const { compactness, guidance } = work.origin;
    if (making.compactness === compactness && making.guidance === guidance) {
      this.cancel();
      return;
    }
    await this._run(before, async (signal) => {
      const { spx } = await segment(work.blob, making, signal);
      const { map } = await readMap(spx, { image: work.blob, signal });
      let ready = null;
      while (!ready) {
        await this.idle(signal);
        if (this._app.work !== work) return;
        const { selection, lastStep } = work;
        const isCurrent = () =>
          !signal.aborted && !stage.busy && work.selection === selection && work.lastStep === lastStep;
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
   * @param {AbortSignal} [signal]
   */
  async idle(signal) {
    const { stage, saving } = this._app;
    while (stage.busy || saving.due) {
      if (stage.busy) await new Promise((resolve) => setTimeout(resolve, 50));
      else await saving.now();
    }
    signal?.throwIfAborted();
  }

  /**
   * Run a task that takes long and may fail, in place of the one in progress.
   *
   * @param {string} text what the status line says
   * @param {(signal: AbortSignal) => Promise<void>} task
   * @param {string} [file] that it is about
   */
  async _run(text, task, file = this._app.work?.name) {
    const { sliders } = this._app;
    this.cancel();
    sliders.askNoMore();
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
        this.wanted = null;
        sliders.adoptCompactness(); // the task may have failed
        showProgress(false);
        sayAfter(text, '');
        this._sending.end();
      }
    }
  }

  /**
   * Show progress during a task beside the requests, and its error if it fails.
   *
   * @param {() => Promise<unknown>} task
   * @param {string} [file] that it is about
   */
  async during(task, file) {
    showProgress(true);
    try {
      await task();
    } catch (error) {
      showProblem(error, { file });
    } finally {
      showProgress(this.busy);
    }
  }

  // ---- where images come from

  /** The open buttons, drag and drop, and paste. */
  _bindFiles() {
    const chosen = input('file-input');
    onFiles(chosen, (files) => files.length && this.openAll(files));
    for (const id of ['open', 'open-large']) button(id).addEventListener('click', () => chosen.click());

    const drop = any('drop');
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
      this._takeAll(event.dataTransfer);
    });
    document.addEventListener('paste', (event) => {
      this._take([...(event.clipboardData?.files ?? [])]);
    });
  }

  /** @param {DataTransfer | null} data of a drop */
  async _takeAll(data) {
    const { files, isFolder } = await filesOf(data);
    if (isFolder) await this.openAll(imagesOf(files));
    else await this._take(files);
  }

  /**
   * Open photographs or a project that were dropped or pasted, or ask what to do with annotations.
   *
   * @param {File[]} files
   */
  async _take(files) {
    const images = imagesOf(files);
    const file = images[0] ?? files[0];
    if (!file) return;
    if (await isZip(file)) await this._app.library.openProject(file);
    else if (await takeAnnotations(this._app, files)) return;
    else if (images.length > 1 || !this._app.set.isEmpty) await this.openAll(images.length ? images : [file]);
    else await this.open(file, file.name || 'pasted.png');
  }
}
