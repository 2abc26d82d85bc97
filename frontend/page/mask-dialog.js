import { any, button, byId, count, input, onFiles } from './dom.js';
import { importAnnotation, scaleAnnotation } from '../src/imports/index.js';
import { isText, pngOf, readRough } from './masks.js';
import { hideProblem, say, showProblem } from './notices.js';

/** @typedef {import('./masks.js').Rough} Rough */

/** Asks what to do with a mask or an edge map, and does it. */
export class MaskDialog {
  /** @param {import('./app.js').App} app */
  constructor(app) {
    this._app = app;
    this._dialog = byId('mask-dialog', HTMLDialogElement);
    /** What the dialogue asks about. @type {{ rough: Rough, work: import('./work.js').Work, file: File } | null} */
    this._asked = null;
    onFiles(input('mask-input'), (files) => files.length && this.offer(files));
    button('mask-button').addEventListener('click', () => this.choose());
    /** @type {Record<string, (asked: NonNullable<MaskDialog['_asked']>) => unknown>} */
    const answers = {
      'mask-guide': ({ rough }) => this._guide(rough),
      'mask-snap': ({ rough }) => this._start(rough, true),
      'mask-pixels': ({ rough }) => this._start(rough, false),
      'mask-open': ({ rough, file }) => app.opening.open(file, rough.name),
    };
    for (const [id, answer] of Object.entries(answers)) {
      button(id).addEventListener('click', () => {
        const asked = this._asked;
        this._dialog.close();
        if (!asked) return;
        if (asked.work === app.work) answer(asked);
        else say('Another photograph is open now');
      });
    }
    this._dialog.addEventListener('close', () => (this._asked = null));
  }

  /** Let the user choose a file. */
  choose() {
    if (this._app.work && !this._app.readOnly) input('mask-input').click();
  }

  /** @param {File[]} files that belong together: one file, or JSON with its PNG file */
  async offer(files) {
    const { work, settings, opening } = this._app;
    if (!work || this._app.readOnly) return;
    const [file] = files;
    hideProblem();
    say(`Reading ${file.name}…`);
    await opening.during(async () => {
      const rough = await readRough(files, work, settings.value);
      say('');
      if (work !== this._app.work) return;
      if (this._dialog.open) this._dialog.close();
      this._asked = { rough, work, file };
      this._show(rough, files);
    });
  }

  /** @param {Rough} rough @param {File[]} files */
  _show({ name, width, height, start, looksLikeEdges }, files) {
    const { map, level } = /** @type {import('./work.js').Work} */ (this._app.work);
    const size = `${count(width)} × ${count(height)} pixels`;
    const scaled = width === map.width && height === map.height ? '' : ', scaled to the photograph';
    any('mask-title').textContent = `Use ${name}`;
    any('mask-facts').textContent = `${size}${scaled}.`;
    any('mask-guide-text').textContent = !this._app.guiding.served
      ? 'This server does not know guidance.'
      : `New superpixels that follow ${looksLikeEdges ? 'it as an edge map' : 'its borders'}. Your work stays.`;
    const none = 'It has more labels than a photograph can have classes.';
    any('mask-snap-text').textContent = start
      ? `Whole superpixels of the current size, ${count(level.count)} in all: ${start.text}.`
      : none;
    any('mask-pixels-text').textContent = start ? `Exactly its pixels: ${start.text}.` : none;
    for (const id of ['mask-snap', 'mask-pixels']) button(id).disabled = !start;
    button('mask-guide').disabled = !this._app.guiding.served;
    // Text, and a picture that comes with text, are annotations.
    button('mask-open').disabled = files.some((file) => isText(file) || !file.type.startsWith('image/'));
    this._dialog.showModal();
  }

  /** @param {Rough} rough */
  async _guide(rough) {
    try {
      const [prior, edges] = await Promise.all([pngOf(rough, 'prior'), pngOf(rough, 'edges')]);
      const role = rough.looksLikeEdges ? 'edges' : 'soft';
      await this._app.guiding.begin({ name: rough.name, role, prior, edges });
    } catch (error) {
      showProblem(error);
    }
  }

  /**
   * @param {Rough} rough
   * @param {boolean} snapped
   */
  _start(rough, snapped) {
    const { work, classPanel, layers } = this._app;
    const { start } = rough;
    if (!work || !start) return;
    const { selection, level, map } = work;
    const annotation = scaleAnnotation(start.annotation(), map.width, map.height);
    const box = importAnnotation(selection, annotation, snapped ? { level } : {});
    classPanel.show();
    layers.redrawFill(box);
    this._app.workChanged();
    if (!box) say(`${rough.name} changes nothing`);
    else
      say(
        `${rough.name}: ${snapped ? 'snapped to superpixels' : 'painted pixel by pixel'}; undo takes it back`,
      );
  }
}
