import { Background } from './background.js';
import { any, button, byId, count, make, percent } from './dom.js';
import { say, showProblem } from './notices.js';
import { inSlices } from './slices.js';

/** @typedef {import('./work.js').Work} Work */
/** @typedef {import('../src/pieces.js').Piece} Piece */

/** Milliseconds without a change until shares are counted again. */
const WAIT = 250;

/** Areas of holes and specks, in pixels. */
const LIMITS = [4, 16, 64, 256, 1024, 4096];

/** Milliseconds for which a gap is framed. */
const FRAMED = 2500;

/** What is labelled and what is not: shares, gaps, holes and specks. */
export class Checks {
  /** @param {import('./app.js').App} app */
  constructor(app) {
    this._app = app;
    this._worker = new Background(new URL('./checks-worker.js', import.meta.url));
    /** Number of changes so far: what is worked out for an earlier one does not count. */
    this._changes = 0;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this._timer = undefined;
    /** The share of pixels without a class; null: not counted yet. @type {number | null} */
    this.unlabelled = null;
    /** The gaps of `change`, and the one in view. @type {{ change: number, gaps: Piece[], total: number, at: number } | null} */
    this._gaps = null;
    this._size = byId('speck-size', HTMLSelectElement);
    this._size.append(
      ...LIMITS.map((size) => make('option', { value: String(size), textContent: `${size} px` })),
    );
    this._size.value = '64';
    for (const id of ['next-gap', 'export-gap']) button(id).addEventListener('click', () => this.nextGap());
    button('fill-holes').addEventListener('click', () => this._absorb('holes'));
    button('remove-specks').addEventListener('click', () => this._absorb('specks'));
    any('export-menu').addEventListener('beforetoggle', () => this._warn());
  }

  /** Another image is open. */
  reset() {
    this.unlabelled = null;
    this._gaps = null;
    this._changes++;
  }

  /** The selection has changed: count soon. */
  soon() {
    this._changes++;
    clearTimeout(this._timer);
    this._timer = setTimeout(() => this._count(), WAIT);
  }

  async _count() {
    const { work, classPanel } = this._app;
    for (const id of ['next-gap', 'fill-holes', 'remove-specks']) button(id).disabled = !work;
    if (!work) return;
    const change = this._changes;
    const counts = await sharesOf(work, () => this._changes === change);
    if (!counts) return;
    const shares = counts.map((pixels) => pixels / work.map.labels.length);
    this.unlabelled = shares[0];
    any('unlabelled').textContent = percent(shares[0]);
    classPanel.showShares(shares.map(percent));
    this._warn();
  }

  /** What an export adds to its message. */
  get remark() {
    return this.unlabelled ? `; ${percent(this.unlabelled)} of the image has no class` : '';
  }

  /** Show at the export menu what is not labelled. */
  _warn() {
    const { unlabelled } = this;
    any('export-warning').hidden = !unlabelled;
    if (unlabelled)
      any('export-unlabelled').textContent = `${percent(unlabelled)} of the image has no class.`;
  }

  /** Show the next piece of pixels without a class, the largest first. */
  async nextGap() {
    const { work, stage } = this._app;
    if (!work || stage.busy) return;
    any('export-menu').hidePopover();
    let known = this._gaps;
    if (known?.change !== this._changes) {
      const found = await this._ask(work, 'gaps');
      if (!found) return;
      known = { change: this._changes, at: -1, gaps: found.gaps, total: found.total };
      this._gaps = known;
    }
    const { gaps, total } = known;
    if (!gaps.length) {
      say('No gap: every pixel has a class');
      return;
    }
    known.at = (known.at + 1) % gaps.length;
    const { box, area } = gaps[known.at];
    this._frame(box);
    say(`Gap ${count(known.at + 1)} of ${count(total)}: ${count(area)} px without a class`);
  }

  /** @param {[number, number, number, number]} box to bring into view, and to frame for a while */
  _frame([x0, y0, x1, y1]) {
    const { camera, layers } = this._app;
    const [wide, high] = [x1 - x0, y1 - y0];
    const fitting = Math.min(camera.width / (3 * wide), camera.height / (3 * high), 8 * camera.ratio);
    camera.zoomTo(Math.max(camera.fitScale, fitting));
    camera.pan(
      camera.width / 2 - camera.toScreen(x0 + wide / 2, 0)[0],
      camera.height / 2 - camera.toScreen(0, y0 + high / 2)[1],
    );
    if (fitting <= camera.fitScale) camera.fit();
    const frame = [x0 - 1, y0 - 1, x1 + 1, y1 + 1];
    layers.top.frame = frame;
    this._app.viewChanged();
    setTimeout(() => {
      if (layers.top.frame !== frame) return;
      layers.top.frame = null;
      layers.redrawTop();
    }, FRAMED);
  }

  /** @param {'holes' | 'specks'} what is to get the class around it */
  async _absorb(what) {
    const { work, stage, layers, protecting } = this._app;
    if (!work || stage.busy || this._app.readOnly) return;
    const limit = Number(this._size.value);
    const kept = protecting.valuesLocked(work.selection);
    const answer = await this._ask(work, what, limit, kept);
    if (!answer) return;
    /** @type {{ runs: [number, number[]][] }} */
    const { runs } = answer;
    const { selection } = work;
    let pixels = 0;
    selection.begin();
    for (const [value, list] of runs) {
      for (let i = 1; i < list.length; i += 2) pixels += list[i];
      layers.redrawFill(selection.paintRuns(list, value));
    }
    selection.end();
    const name = what === 'holes' ? 'Holes' : 'Specks';
    if (!pixels) say(`No ${what} of at most ${limit} px`);
    else
      say(
        `${name} of at most ${limit} px: ${count(pixels)} px have the class around them; undo takes it back`,
      );
    if (pixels) this._app.workChanged();
  }

  /**
   * @param {Work} work
   * @param {import('./checks-worker.js').Request['what']} what
   * @param {number} [limit]
   * @param {number[]} [kept]
   * @returns {Promise<any>} the worker's answer; null if the selection has changed meanwhile
   */
  async _ask(work, what, limit = 0, kept = []) {
    const change = this._changes;
    const isCurrent = () => this._changes === change && this._app.work === work && !this._app.stage.busy;
    try {
      const values = await valuesOf(work, isCurrent);
      if (!values) return null;
      const { width, height } = work.map;
      const answer = await this._worker.ask({ values, width, height, what, limit, kept }, [values.buffer]);
      return isCurrent() ? answer : null;
    } catch (error) {
      showProblem(error);
      return null;
    }
  }
}

/**
 * @param {Work} work
 * @param {() => boolean} isCurrent whether the selection is as it was
 * @returns {Promise<Uint16Array | null>} the value of each pixel; null if the selection has changed meanwhile
 */
async function valuesOf({ selection, map }, isCurrent) {
  const { regions, pixels } = selection;
  const { labels } = map;
  const values = new Uint16Array(labels.length);
  const done = await inSlices(labels.length, isCurrent, (from, to) => {
    for (let i = from; i < to; i++) {
      const painted = pixels ? pixels[i] : 0;
      values[i] = painted ? painted - 1 : regions[labels[i]];
    }
  });
  return done ? values : null;
}

/**
 * @param {Work} work
 * @param {() => boolean} isCurrent whether the selection is as it was
 * @returns {Promise<number[] | null>} pixels by class value; null if the selection has changed meanwhile
 */
async function sharesOf({ selection, map }, isCurrent) {
  const { regions, pixels, classes } = selection;
  const { labels } = map;
  const { areas } = map.finest;
  const counts = new Array(classes.length + 1).fill(0);
  regions.forEach((value, region) => (counts[selection.classOf(value)] += areas[region]));
  const done = await inSlices(pixels ? labels.length : 0, isCurrent, (from, to) => {
    for (let i = from; pixels && i < to; i++) {
      if (!pixels[i]) continue;
      counts[selection.classOf(regions[labels[i]])]--;
      counts[selection.classOf(pixels[i] - 1)]++;
    }
  });
  return done ? counts : null;
}
