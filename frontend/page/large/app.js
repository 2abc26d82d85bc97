import { FIRST_OBJECT } from '../../src/index.js';
import { ClassPanel } from '../classes.js';
import { bindButtons, changeTool } from '../commands.js';
import { any, button, count, percent } from '../dom.js';
import { Hint } from '../hint.js';
import { fillHelp, listenForKeys } from '../keys.js';
import { hideProblem, showProblem } from '../notices.js';
import { ObjectPanel } from '../objects.js';
import { toImage, toWindow } from '../place.js';
import { Toolbar } from '../toolbar.js';
import { loadSuperpixels } from './api.js';
import { Camera } from './camera.js';
import { fillExportMenu } from './exporting.js';
import { LargeLayers } from './layers.js';
import { Overview } from './overview.js';
import { ServerWork } from './server-work.js';
import { keepSettings, readSettings } from './settings.js';
import { SECTIONS, tools } from './shortcuts.js';
import { LargeSliders } from './sliders.js';
import { LargeStage } from './stage.js';
import { Tiles } from './tiles.js';
import { WindowCamera } from './window-camera.js';
import { WindowWork } from './work.js';

/** Average size of a superpixel on the screen, in its pixels. */
const SCREEN_PIXELS = 64;

const root = document.documentElement;

/** The page of a large image. Tools and panels are those of the page of whole images: they work on the window in view. */
export class LargeApp {
  /** @param {import('./api.js').Facts} facts */
  constructor(facts) {
    /** Has all that tools and panels use of an `App`. @type {import('../app.js').App} */
    const app = /** @type {any} */ (this);
    this._facts = facts;
    this.settings = readSettings(facts);
    /** Where the view is on the image. */
    this._view = new Camera(facts.width, facts.height);
    this.camera = new WindowCamera(this._view);
    this._tiles = new Tiles(facts, () => this._imageCame());
    const overview = new Overview(this._view, facts, () => this.viewChanged());
    this.layers = new LargeLayers(this.camera, this._view, this._tiles, facts, overview);
    /** The superpixels in view. @type {WindowWork | null} */
    this.work = null;
    this.server = new ServerWork(facts, {
      onLists: (classes, objects) => this._listsCame(classes, objects),
      onValues: () => void this._load(),
      onAreas: () => this._showAreas(),
      onProblem: showProblem,
    });
    this._loading = new AbortController();
    /** Whether to load the superpixels again when the gesture ends. */
    this._waits = false;
    this.saving = { soon: () => keepSettings(this.settings) };
    // Nothing is protected: whole regions of other windows are painted, too.
    this.protecting = {
      apply() {},
      show() {},
      classRemoved() {},
      lockButton: () => null,
      valuesLocked: () => [],
    };
    this.opening = { showsOther: false };
    this.stage = new LargeStage(app);
    this.hint = new Hint(app, tools);
    this.objectPanel = new ObjectPanel(app);
    this.classPanel = new ClassPanel(app);
    this.sliders = new LargeSliders(app);
    this.toolbar = new Toolbar(app, tools);
    fillExportMenu(async () => void (await this.server.sending));
    fillHelp(any('help-table'), SECTIONS);
    listenForKeys(app, SECTIONS);
    any('file').textContent = `${facts.name}   ${count(facts.width)} × ${count(facts.height)}`;
    document.title = `${facts.name} – Superpixels`;
    this._bind();
    this._show();
    overview.load().catch(showProblem);
  }

  get tool() {
    return tools.find(({ id }) => id === this.settings.tool) ?? tools[1];
  }

  /** The brush radius, in pixels of the window. */
  get radius() {
    return this.settings.radius / this.camera.scale;
  }

  /** Nothing can be changed before superpixels are there. */
  get readOnly() {
    return this.work === null;
  }

  // ---- the view

  /** The view has moved. */
  viewChanged() {
    this.camera.follow();
    this.layers.redrawView();
    const { left, top, zoom } = this._view;
    this.settings.view = { left, top, zoom };
    keepSettings(this.settings);
    void this._load();
  }

  zoomIn() {
    this._zoom(2);
  }

  zoomOut() {
    this._zoom(0.5);
  }

  /** @param {number} factor */
  _zoom(factor) {
    this._view.zoomAt(factor, this._view.viewWidth / 2, this._view.viewHeight / 2);
    this.viewChanged();
  }

  fit() {
    this._view.fit();
    this.viewChanged();
  }

  /** Load the superpixels of what is on the screen. */
  async _load() {
    const started = performance.now();
    this._loading.abort();
    this._loading = new AbortController();
    const { signal } = this._loading;
    delete root.dataset.shown;
    const scale = this._view.scale(this._facts.scales);
    const area = Math.max(1, Math.round(SCREEN_PIXELS / (this._view.zoom * scale) ** 2));
    try {
      await this.server.sending;
      if (signal.aborted) return;
      const { requests } = this.server;
      const hierarchy = this.tool.id === 'smart';
      const found = await loadSuperpixels(this._view.window(scale), area, hierarchy, signal);
      if (signal.aborted) return;
      // A gesture ends in the window in which it began. Changes sent since are missing in these values: load them again.
      if (this.stage.busy) this._waits = true;
      else if (requests !== this.server.requests) await this._load();
      else this._install(found, started);
    } catch (error) {
      if (!signal.aborted) showProblem(error);
    }
  }

  /**
   * @param {import('./api.js').Superpixels} found
   * @param {number} started
   */
  _install(found, started) {
    const first = !this.work;
    const before = this.camera.place;
    this.work = new WindowWork(found, this.server.shared, this._tiles);
    this.camera.place = found.place;
    this.camera.follow();
    this.stage.navigation.rebase((x, y) => toWindow(found.place, toImage(before, [x, y])));
    this.layers.setWork(this.work);
    this.stage.centreCursor();
    if (first) this._show();
    const { signal } = this._loading;
    requestAnimationFrame(() => {
      if (signal.aborted) return;
      root.dataset.milliseconds = `${Math.round(performance.now() - started)}`;
      root.dataset.scale = `${found.place.scale}`;
      root.dataset.shown = `${found.ids.length}`;
      this._imageCame();
    });
  }

  /** A part of the image has come, or its superpixels. */
  _imageCame() {
    this.layers.redrawView();
    const whole = this.work && root.dataset.shown && this._tiles.has(this.work.place);
    if (whole) root.dataset.picture = 'whole';
    else delete root.dataset.picture;
  }

  // ---- changes

  /** A tool or a panel has changed the selection. */
  workChanged() {
    hideProblem();
    if (this.work) this.server.send(this.work.selection);
    this.objectPanel.changed();
    this._showHistory();
    if (this._waits && !this.stage.busy) {
      this._waits = false;
      void this._load();
    }
  }

  undo() {
    this._step('undo');
  }

  redo() {
    this._step('redo');
  }

  /** @param {'undo' | 'redo'} way */
  _step(way) {
    if (this.stage.busy || this.readOnly) return;
    this.server.move(way);
    this._showHistory();
  }

  /**
   * @param {boolean} classes whether they have changed
   * @param {import('./api.js').Instance[]} objects before
   */
  _listsCame(classes, objects) {
    this.settings.value = Math.min(this.settings.value, this.server.shared.classes.length);
    this.objectPanel.stepped(objects);
    if (classes) this.classPanel.show();
    this.layers.redrawAll();
    this._showHistory();
    this._showAreas();
  }

  /** @param {string} id of a tool; the tool stays while a gesture is in progress */
  setTool(id) {
    const changed = changeTool(/** @type {any} */ (this), id);
    if (changed && this.tool.id === 'smart' && this.work && !this.work.map.tree) void this._load();
  }

  // ---- what is shown

  _show() {
    const { classes } = this.server.shared;
    this.settings.value = Math.max(1, Math.min(this.settings.value, classes.length));
    this.toolbar.show();
    this.sliders.showRadius();
    this.classPanel.show();
    this._showHistory();
    this._showAreas();
    if (this.work) this.hint.imageShown();
  }

  _showHistory() {
    const { done, undone } = this.server.history;
    button('undo').disabled = !done.length;
    button('redo').disabled = !undone.length;
    void this.server.sending.then(() => (root.dataset.steps = `${this.server.history.done.length}`));
  }

  _showAreas() {
    const { areas, objects, classes } = this.server.shared;
    const sums = new Float64Array(classes.length + 1);
    for (let value = 1; value <= classes.length; value++) sums[value] = areas[value];
    objects.forEach((one, i) => (sums[one.class] += areas[FIRST_OBJECT + i] ?? 0));
    const pixels = this._facts.width * this._facts.height;
    this.classPanel.showShares([...sums].map((sum) => percent(sum / pixels)));
    this.objectPanel.changed();
  }

  // ---- wiring

  _bind() {
    bindButtons(/** @type {any} */ (this));
    this.tool.activate?.(/** @type {any} */ (this));
    new ResizeObserver(() => this._resized()).observe(this.stage.element);
  }

  _resized() {
    const { clientWidth, clientHeight } = this.stage.element;
    const first = this._view.viewWidth === 1 && this._view.viewHeight === 1;
    this._view.viewWidth = Math.max(1, clientWidth);
    this._view.viewHeight = Math.max(1, clientHeight);
    if (first) {
      this._view.fit();
      const { view } = this.settings;
      if (view) Object.assign(this._view, view);
    }
    this._view.pan(0, 0);
    this.layers.resize();
    this.viewChanged();
  }
}
