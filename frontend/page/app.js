import { Camera } from './camera.js';
import { Checks } from './checks.js';
import { ClassPanel, firstClasses } from './classes.js';
import { bindButtons, changeTool } from './commands.js';
import { any, button, count } from './dom.js';
import { fillExportMenu } from './exporting.js';
import { Ahead } from './ahead.js';
import { Filmstrip } from './filmstrip.js';
import { Following } from './following.js';
import { Guiding } from './guiding.js';
import { fillHelp, listenForKeys } from './keys.js';
import { Hint } from './hint.js';
import { ImageSet } from './image-set.js';
import { Layers } from './layers.js';
import { Library } from './library.js';
import { MaskDialog } from './mask-dialog.js';
import { hideProblem, retry, showProblem } from './notices.js';
import { ObjectPanel } from './objects.js';
import { Opening } from './opening.js';
import { Protecting } from './protecting.js';
import { Saving } from './saving.js';
import { connect } from './segmenting.js';
import { SECTIONS } from './shortcuts.js';
import { Sliders } from './sliders.js';
import { Stage } from './stage.js';
import { Tabs } from './tabs.js';
import { Toolbar } from './toolbar.js';
import { tools } from './tools/index.js';

/** @typedef {import('./work.js').Work} Work */

/** Zoom factor of one press of a button or key. */
const ZOOM = 1.5;

/** The page: its state, its parts, and the calls between them. */
export class App {
  /** @param {import('./store.js').Store | null} store null: this browser stores nothing */
  constructor(store) {
    /** The open image. @type {Work | null} */
    this.work = null;
    /** What is stored, with the settings of the tools. */
    this.settings = {
      tool: tools[0].id,
      /** The class in use. */
      value: 1,
      radius: 3,
      compactness: 10,
      fillOpacity: 50,
      lineOpacity: 60,
      lineColor: '#ffffff',
      /** `pixels` or `smooth`. */
      lineStyle: 'pixels',
      /** Whether polygons are exported with simplified borders. */
      smoothPolygons: false,
      classes: firstClasses(),
      /** Whether the hint for new users was shown. */
      hinted: false,
    };
    this.camera = new Camera();
    this.layers = new Layers(this.camera);
    this.tabs = new Tabs();
    this.saving = new Saving(this, store);
    this.following = new Following(this);
    this.set = new ImageSet(this);
    this.library = new Library(this);
    this.filmstrip = new Filmstrip(this);
    this.ahead = new Ahead(this);
    this.stage = new Stage(this);
    this.opening = new Opening(this);
    this.protecting = new Protecting(this);
    this.hint = new Hint(this, tools);
    this.checks = new Checks(this);
    this.objectPanel = new ObjectPanel(this);
    this.classPanel = new ClassPanel(this);
    this.sliders = new Sliders(this);
    this.guiding = new Guiding(this);
    this.maskDialog = new MaskDialog(this);
    this.toolbar = new Toolbar(this, tools);
    fillExportMenu(this);
    fillHelp(any('help-table'), SECTIONS);
    listenForKeys(this, SECTIONS);
    this._bindButtons();
    this._followSize();
  }

  /** The active tool. */
  get tool() {
    return tools.find(({ id }) => id === this.settings.tool) ?? tools[0];
  }

  /** The brush radius, in pixels of the image: the setting is in CSS pixels of the screen. */
  get radius() {
    const { settings, camera } = this;
    return (settings.radius * camera.ratio) / camera.scale;
  }

  /** Begin, with the image that was open last, if there was one. */
  async start() {
    const last = await this.saving.readSettings();
    await this.set.load();
    this._showSettings();
    this.tool.activate?.(this);
    this._connect();
    const key = sessionStorage.getItem('image') ?? last;
    if (key) await this.opening.reopen(key);
    any('empty').hidden = this.work !== null;
    document.documentElement.dataset.ready = 'true';
  }

  /** Ask about what makes the superpixels. */
  _connect() {
    connect().then(
      (info) => {
        this.opening.maxBytes = info.max_image_bytes;
        this.sliders.limitCompactness(info.compactness_range);
        this.guiding.served = info.guidance_version !== null;
        const [backend] = Object.keys(info.backends);
        any('backend').textContent = `superpixel ${info.version}, ${backend}`;
      },
      (error) => showProblem(error, { retry: () => this._connect() }),
    );
  }

  /**
   * Show an image in place of the current one.
   *
   * @param {Work} work
   */
  show(work) {
    this.stage.cancel();
    const before = this.work;
    before?.close();
    this.work = work;
    this.protecting.reset();
    this.checks.reset();
    this.objectPanel.current = 0;
    if (before && before.key !== work.key && !this.saving.unsavedKeys.includes(before.key))
      this.tabs.release(before.key);
    this.layers.work = work;
    this.layers.top = { region: null, cursor: null, frame: null };
    this.camera.image = { width: work.map.width, height: work.map.height };
    this.camera.fit();
    any('empty').hidden = true;
    sessionStorage.setItem('image', work.key);
    this.settings.compactness = work.origin.compactness;
    this.settings.value = Math.min(this.settings.value, work.selection.classes.length);
    const { width, height } = work.map;
    any('file').textContent = `${work.name}   ${count(width)} × ${count(height)}`;
    document.title = `${work.name} – Superpixels`;
    this._showSettings();
    this.guiding.reset();
    this.viewChanged();
    this._showHistory();
    this.checks.soon();
    this.hint.imageShown();
    this.following.begin();
    this.filmstrip.show();
    this.prepareNext();
  }

  // ---- changes

  /** The selection has changed. */
  workChanged() {
    this._showHistory();
    this.objectPanel.changed();
    hideProblem();
    this.checks.soon();
    this.saving.soon();
  }

  /** Make the superpixels of the set's next image before the user opens it. */
  prepareNext() {
    const { next } = this.filmstrip;
    if (next && !this.set.adding) this.ahead.want(next);
  }

  /** Whether another tab edits the open image. */
  get readOnly() {
    return this.following.readOnly;
  }

  /** The selection of the open image was replaced by one that another tab made. */
  selectionReplaced() {
    this.settings.value = Math.min(this.settings.value, this.classPanel.classes.length);
    this.classPanel.show();
    this.objectPanel.reset();
    this.mapChanged();
  }

  /** The open image has another label map. */
  mapChanged() {
    if (!this.work) return;
    this.layers.top.region = null;
    this.layers.redrawAll();
    this.sliders.showSize();
    this.sliders.adoptCompactness();
    this.guiding.show();
    this._showHistory();
    this.checks.soon();
    this.saving.soon();
  }

  /**
   * The camera has moved.
   *
   * @param {boolean} [goesOn] whether it is a part of a longer movement
   */
  viewChanged(goesOn = false) {
    if (goesOn) this.layers.move();
    else this.layers.redrawAll();
    this.sliders.showOpacity();
    if (this.layers.top.cursor) this.layers.top.cursor.radius = this.tool.usesRadius ? this.radius : 0;
    const { scale } = this.camera;
    button('zoom-actual').textContent = this.work ? `${Math.round(scale * 100)} %` : '–';
    for (const id of ['zoom-in', 'zoom-out', 'zoom-fit', 'zoom-actual']) button(id).disabled = !this.work;
  }

  undo() {
    this._step('undo');
  }

  redo() {
    this._step('redo');
  }

  /** @param {'undo' | 'redo'} way */
  _step(way) {
    const { work, stage } = this;
    if (!work || stage.busy || this.readOnly || this.opening.showsOther) return;
    if (stage.setsCorners) {
      if (way === 'undo') stage.removeCorner();
      return;
    }
    const { map, selection } = work;
    if (!(way === 'undo' ? selection.canUndo : selection.canRedo)) return;
    const before = JSON.stringify(selection.classes);
    const objects = selection.objects.slice();
    const box = selection[way]();
    this.objectPanel.stepped(objects);
    if (JSON.stringify(selection.classes) !== before) {
      this.settings.value = Math.min(this.settings.value, selection.classes.length);
      this.classPanel.show();
    }
    if (work.map === map) {
      this.layers.redrawFill(box);
      this.workChanged();
    } else {
      work.mapChanged();
      this.guiding.reset();
      this.mapChanged();
    }
  }

  /** @param {string} id of a tool; the tool stays while a gesture is in progress */
  setTool(id) {
    changeTool(this, id);
  }

  zoomIn() {
    this._zoom(ZOOM);
  }

  zoomOut() {
    this._zoom(1 / ZOOM);
  }

  /** @param {number} factor */
  _zoom(factor) {
    if (!this.work) return;
    this.camera.zoomTo(this.camera.scale * factor);
    this.viewChanged();
  }

  fit() {
    this.camera.fit();
    this.viewChanged();
  }

  _showHistory() {
    button('undo').disabled = !this.work?.selection.canUndo;
    button('redo').disabled = !this.work?.selection.canRedo;
    button('export-button').disabled = !this.work;
  }

  _showSettings() {
    this.toolbar.show();
    this.sliders.show();
    this.classPanel.show();
  }

  // ---- wiring

  _bindButtons() {
    bindButtons(this, {
      'zoom-actual': () => this._zoom(1 / this.camera.scale),
      'problem-retry': retry,
    });
    for (const id of ['samples-menu', 'export-menu']) {
      const first = any(id).querySelector('button:not(#export-gap)');
      if (first instanceof HTMLElement) first.autofocus = true; // gets the focus when the menu opens
    }
  }

  /** Keep the canvases as large as their place on the screen. */
  _followSize() {
    const resized = () => {
      const { clientWidth, clientHeight } = this.stage.element;
      if (!clientWidth || !clientHeight) return;
      const ratio = devicePixelRatio;
      this.camera.resize(Math.round(clientWidth * ratio), Math.round(clientHeight * ratio), ratio);
      this.viewChanged();
      this.layers.draw(); // at once: a canvas stretched for one frame would flicker
    };
    new ResizeObserver(resized).observe(this.stage.element);
    matchMedia(`(resolution: ${devicePixelRatio}dppx)`).addEventListener('change', resized);
  }
}
