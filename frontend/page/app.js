import { decode, MAX_CLASSES, Selection, SuperpixelMapError } from '../src/index.js';
import { any, button, byId, count, fileSize, input, make } from './dom.js';
import { Camera } from './camera.js';
import { exportAs, FORMATS } from './exporting.js';
import { fillHelp, listenForKeys } from './keys.js';
import { keyOf, Store } from './store.js';
import { Layers } from './layers.js';
import { Problem, segment, serverInfo } from './api.js';
import { Stage } from './tools.js';
import { Work } from './work.js';

/** Okabe and Ito's colours, which people with colour blindness tell apart. */
const COLORS = ['#e69f00', '#56b4e9', '#009e73', '#cc79a7', '#f0e442', '#0072b2', '#d55e00', '#7f7f7f'];

/** Steps of the compactness slider. */
const COMPACTNESS = [0, 1, 2, 3, 5, 7, 10, 14, 20, 30, 45, 65, 100];

/** Steps of the radius slider, pixels of the image. */
const RADII = [
  0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 18, 22, 27, 33, 40, 50, 60, 75, 90, 110, 135, 165, 200, 250,
];

/** @type {Record<import('./tools.js').Tool, string>} */
const HINTS = {
  brush: 'Takes every superpixel it touches.',
  eraser: 'Takes back every superpixel it touches.',
  rectangle: 'Takes the superpixels that are at least half inside.',
  lasso: 'Takes the superpixels that are at least half inside.',
  flood: 'Takes similar neighbours, from one to the next.',
  pixel: '',
  pan: 'Drag the image; turn the wheel or pinch to zoom.',
};

const SAMPLES = [
  { file: 'astronaut.jpg', name: 'Astronaut' },
  { file: 'coffee.jpg', name: 'Coffee' },
  { file: 'chelsea.jpg', name: 'Cat' },
];

/** CSS pixels across a superpixel from which on its outline has its full strength, and the least strength. */
const LINES_FULL = 18;
const LINES_FAINTEST = 0.4;

const SAVE_WAIT = 400;

/** Numbers that kept steps are made of, at most: some thousand strokes, a megabyte. */
const KEPT_STEPS = 300_000;

/** Larger images go to the server all the same, which says why it refuses them; as the gateway has it. */
const SLACK_BYTES = 1 << 20;
const COMPACTNESS_WAIT = 250;

/**
 * @param {number} value what the slider or the map says
 * @returns {string}
 */
const superpixels = (value) => `${count(value)} superpixel${value === 1 ? '' : 's'}`;

/**
 * @param {readonly { color: string }[]} classes
 * @returns {string} a colour that none of them has
 */
function unusedColor(classes) {
  const used = new Set(classes.map(({ color }) => color));
  const free = COLORS.find((color) => !used.has(color));
  if (free) return free;
  // Hues at the golden angle lie far from those before; lightness takes turns.
  for (let n = classes.length; ; n++) {
    const [hue, light] = [(n * 137.508) % 360, n % 2 ? 0.38 : 0.62];
    const channel = (/** @type {number} */ at) => {
      const k = (at + hue / 30) % 12;
      const value = light - 0.7 * Math.min(light, 1 - light) * Math.max(-1, Math.min(k - 3, 9 - k, 1));
      return Math.round(255 * value)
        .toString(16)
        .padStart(2, '0');
    };
    const color = `#${channel(0)}${channel(8)}${channel(4)}`;
    if (!used.has(color)) return color;
  }
}

/** The page: its parts, and what goes on between them. */
export class App {
  /** @param {Store | null} store null: this browser keeps nothing */
  constructor(store) {
    this.store = store;
    this.camera = new Camera();
    this.layers = new Layers(this.camera);
    /** @type {Work | null} */
    this.work = null;
    this.settings = {
      /** @type {import('./tools.js').Tool} */
      tool: 'brush',
      value: 1,
      radius: 3,
      similarity: 12,
      /** @type {'paint' | 'erase' | 'restore'} */
      pixelMode: 'paint',
      compactness: 10,
      fillOpacity: 50,
      lineOpacity: 60,
      lineColor: '#ffffff',
      classes: [1, 2, 3].map((i) => ({ name: `Class ${i}`, color: COLORS[i - 1] })),
    };
    this._hidden = { fill: false, lines: false };
    this.stage = new Stage(this);
    /** The image or map that is being made. @type {AbortController | null} */
    this._pending = null;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this._saving = undefined;
    this._imageIsKept = false;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this._compactnessTimer = undefined;
    this._steps = COMPACTNESS;
    /** What the server takes, once it has told. */
    this._maxBytes = Infinity;
    /** The image that was open last. @type {string | undefined} */
    this._lastKey = undefined;
  }

  /** Begin: with what was open last, where something was. */
  async start() {
    this._bind();
    fillHelp(any('help-table'));
    await this._readSettings();
    this._showSettings();
    serverInfo().then(
      (info) => {
        this._maxBytes = info.max_image_bytes;
        const [least, most] = info.compactness_range;
        this._steps = COMPACTNESS.filter((step) => step >= least && step <= most);
        this._showCompactness();
        const [backend] = Object.keys(info.backends);
        any('backend').textContent = `superpixel ${info.version}, ${backend}`;
      },
      (error) => this.showProblem(error),
    );
    // Starts the worker that reads label maps, while the first image is on its way.
    decode(new Uint8Array(0), { worker: true }).catch(() => {});
    const key = sessionStorage.getItem('image') ?? this._lastKey;
    const kept = key ? await this.store?.read(key).catch(() => null) : null;
    if (kept) await this._guarded('Opening…', (signal) => this._restore(kept, signal));
    any('empty').hidden = this.work !== null;
    document.documentElement.dataset.ready = 'true';
  }

  // ---- opening

  /**
   * Open an image; what is open stays until the new one is there.
   *
   * @param {Blob} file
   * @param {string} name
   */
  async open(file, name) {
    await this._guarded(`Making superpixels of ${name} (${fileSize(file.size)})…`, async (signal) => {
      if (file.size > this._maxBytes + SLACK_BYTES) {
        const text = `the image is too large: ${fileSize(file.size)}, at most ${fileSize(this._maxBytes)} are taken`;
        throw new Problem('Too large', text, { reason: 'IMAGE_TOO_MANY_BYTES' });
      }
      const bytes = await file.arrayBuffer();
      const blob = new Blob([bytes], { type: file.type });
      const key = keyOf(bytes);
      await this.save();
      const kept = await this.store?.read(key).catch(() => null);
      if (kept) {
        await this._restore(kept, signal);
        this.say(`${name} was opened before: your work on it is back`);
        return;
      }
      const { compactness } = this.settings;
      // What the browser cannot show, the server may yet refuse for a better reason.
      const shown = createImageBitmap(blob).catch(() => null);
      const { spx, facts } = await segment(blob, compactness, signal);
      this.say('Reading the label map…');
      const map = await decode(spx, { worker: true, signal });
      const bitmap = checkBitmap(await shown, map);
      await this._calm(signal);
      const selection = new Selection(
        map,
        this.settings.classes.map((one) => ({ ...one })),
      );
      this._show(new Work({ key, name, blob, bitmap }, selection, { spx, compactness }));
      this._imageIsKept = false;
      this.workChanged();
      this.say([`${name}: ${superpixels(map.count)} at the finest`, ...facts.notices].join('. '));
    });
  }

  /** @param {{ file: string, name: string }} sample */
  async openSample({ file }) {
    const answer = await fetch(`/samples/${file}`).catch(() => null);
    if (answer?.ok) await this.open(await answer.blob(), file);
    else this.showProblem(new Problem('No answer', 'The sample could not be loaded.'));
  }

  /**
   * @param {{ image: import('./store.js').KeptImage, work: import('./store.js').KeptWork }} kept
   * @param {AbortSignal} signal
   */
  async _restore({ image, work }, signal) {
    const { key, name, blob, spx, compactness } = image;
    const [map, shown] = await Promise.all([decode(spx, { worker: true, signal }), createImageBitmap(blob)]);
    const bitmap = checkBitmap(shown, map);
    const selection = Selection.restore(map, work.selection, work.steps);
    await this._calm(signal);
    this._show(new Work({ key, name, blob, bitmap }, selection, { spx, compactness }, work.count));
    this._imageIsKept = false; // so that it counts as opened now
    this._saveSoon();
  }

  /**
   * Wait until nothing is being drawn, and all that was is kept: then another image may come.
   *
   * @param {AbortSignal} signal
   */
  async _calm(signal) {
    while (this.stage.busy || this._saving !== undefined) {
      if (this.stage.busy) await new Promise((resolve) => setTimeout(resolve, 50));
      else await this.save();
    }
    signal.throwIfAborted();
  }

  /** @param {Work} work */
  _show(work) {
    this.work?.bitmap.close();
    this.work = work;
    this.layers.work = work;
    this.layers.top = { region: null, cursor: null, path: null };
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
    this.viewChanged();
    this._showHistory();
    // So that the first stroke does not have to measure them.
    setTimeout(() => work.map.finest.boxes, 0);
  }

  /**
   * Do something that takes long and may fail; a later one takes its place.
   *
   * @param {string} text
   * @param {(signal: AbortSignal) => Promise<void>} task
   */
  async _guarded(text, task) {
    this._pending?.abort();
    const pending = (this._pending = new AbortController());
    any('progress').hidden = false;
    any('problem').hidden = true;
    this.say(text);
    try {
      await task(pending.signal);
    } catch (error) {
      if (!pending.signal.aborted) this.showProblem(error);
    } finally {
      if (this._pending === pending) {
        this._pending = null;
        any('progress').hidden = true;
      }
    }
  }

  // ---- changes

  /** @param {number} stop */
  setStop(stop) {
    const { work } = this;
    if (!work) return;
    work.setStop(stop);
    this.layers.top.region = null;
    this.layers.redrawLines();
    this._showSize();
    this._saveSoon();
  }

  /** @param {number} by */
  stepSize(by) {
    if (this.work) this.setStop(this.work.stop + by);
  }

  /** @param {number} compactness */
  setCompactness(compactness) {
    this.settings.compactness = compactness;
    this._showCompactness();
    clearTimeout(this._compactnessTimer);
    this._compactnessTimer = setTimeout(() => this._changeCompactness(), COMPACTNESS_WAIT);
  }

  async _changeCompactness() {
    const { work, settings } = this;
    const { compactness } = settings;
    if (!work) return;
    if (compactness === work.origin.compactness) {
      this._pending?.abort();
      return;
    }
    await this._guarded(`Making superpixels of compactness ${compactness}…`, async (signal) => {
      const { spx } = await segment(work.blob, compactness, signal);
      const map = await decode(spx, { worker: true, signal });
      await this._calm(signal);
      if (this.work !== work) return;
      work.moveTo(map, { spx, compactness });
      this._mapChanged();
      this.say(`Compactness ${compactness}: what was chosen stays, pixel by pixel`);
    });
    if (this.work) this.settings.compactness = this.work.origin.compactness; // it may have been refused
    this._showCompactness();
  }

  _mapChanged() {
    if (!this.work) return;
    this.settings.compactness = this.work.origin.compactness;
    this._imageIsKept = false;
    this.layers.top.region = null;
    this.layers.redrawAll();
    this._showSize();
    this._showCompactness();
    this.workChanged();
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
    if (!work || stage.busy) return;
    const { map, selection } = work;
    const { length } = selection.classes;
    const box = selection[way]();
    if (!box) return;
    if (selection.classes.length !== length) {
      this.settings.value = Math.min(this.settings.value, selection.classes.length);
      this._showClasses();
    }
    if (work.map === map) {
      this.layers.redrawFill(box);
      this.workChanged();
    } else {
      work.mapChanged();
      this._mapChanged();
    }
  }

  /** What is chosen has changed. */
  workChanged() {
    this._showHistory();
    this._saveSoon();
  }

  /**
   * Another part of the image is seen, or larger.
   *
   * @param {boolean} [goesOn] as a part of a movement
   */
  viewChanged(goesOn = false) {
    if (goesOn) this.layers.move();
    else this.layers.redrawAll();
    this._showOpacity();
    const { scale } = this.camera;
    button('zoom-actual').textContent = this.work ? `${Math.round(scale * 100)} %` : '–';
    for (const id of ['zoom-in', 'zoom-out', 'zoom-fit', 'zoom-actual']) button(id).disabled = !this.work;
  }

  /** @param {number} factor */
  zoom(factor) {
    if (!this.work) return;
    this.camera.zoomTo(this.camera.scale * factor);
    this.viewChanged();
  }

  fit() {
    this.camera.fit();
    this.viewChanged();
  }

  /** @param {import('./tools.js').Tool} tool */
  setTool(tool) {
    if (!this.stage.busy) this.settings.tool = tool;
    this._showSettings();
    this._saveSoon();
  }

  /** @param {number} value */
  setClass(value) {
    if (value < 1 || value > this.classes.length) return;
    this.settings.value = value;
    for (const radio of document.querySelectorAll('#classes input[type=radio]')) {
      if (!(radio instanceof HTMLInputElement)) continue;
      radio.checked = radio.value === String(value);
      if (radio.checked) radio.closest('li')?.scrollIntoView({ block: 'nearest' });
    }
    this._saveSoon();
  }

  get classes() {
    return this.work?.selection.classes ?? this.settings.classes;
  }

  addClass() {
    const { classes } = this;
    if (classes.length >= MAX_CLASSES) return;
    let n = classes.length + 1;
    while (classes.some(({ name }) => name === `Class ${n}`)) n++;
    classes.push({ name: `Class ${n}`, color: unusedColor(classes) });
    this.settings.value = classes.length;
    this._showClasses();
    this._saveSoon();
    const name = any('classes').lastElementChild?.querySelector('input[type=text]');
    if (!(name instanceof HTMLInputElement)) return;
    name.focus();
    name.select();
  }

  /** @param {number} value the class */
  removeClass(value) {
    const { classes, settings, work, stage } = this;
    if (classes.length < 2 || stage.busy) return;
    const { name } = classes[value - 1];
    if (work) this.layers.redrawFill(work.selection.removeClass(value));
    else classes.splice(value - 1, 1);
    if (settings.value > value || settings.value > classes.length) settings.value--;
    this._showClasses();
    this.workChanged();
    this.say(work ? `${name} is removed; undo brings it back` : `${name} is removed`);
    const chosen = document.querySelector('#classes input[type=radio]:checked');
    if (chosen instanceof HTMLInputElement) chosen.focus();
  }

  /** @param {number} by */
  stepRadius(by) {
    const slider = input('radius');
    slider.value = String(Number(slider.value) + by);
    slider.dispatchEvent(new Event('input'));
  }

  /** @param {'fill' | 'lines'} layer */
  toggle(layer) {
    this._hidden[layer] = !this._hidden[layer];
    this._showOpacity();
  }

  // ---- what is shown

  /** @param {string} text */
  say(text) {
    any('status').textContent = text;
  }

  /** @param {unknown} error */
  showProblem(error) {
    this.say('');
    const known = error instanceof Problem || error instanceof SuperpixelMapError;
    const facts = error instanceof Problem ? error.facts : {};
    if (!known) console.error(error);
    any('problem-title').textContent =
      error instanceof Problem
        ? error.title
        : known
          ? 'This label map cannot be read'
          : 'Something went wrong';
    any('problem-detail').textContent = error instanceof Error ? error.message : String(error);
    any('problem-facts').textContent = [
      facts.reason,
      facts.field && `field ${facts.field}`,
      facts.requestId && `request ${facts.requestId}`,
    ]
      .filter(Boolean)
      .join('  ·  ');
    any('problem').hidden = false;
  }

  /**
   * @param {import('../src/shapes.js').Point | null} point
   * @param {number} region -1: none
   * @param {boolean} aloud for those who do not see it
   */
  showHover(point, region, aloud) {
    const { work } = this;
    let text = '';
    if (work && point && region >= 0) {
      const { selection, level } = work;
      const here = selection.classAt(...point);
      const members = level.members(region);
      const first = selection.regions[members[0]];
      const partly = members.some((member) => selection.regions[member] !== first);
      const chosen = here ? selection.classes[here - 1].name : 'not chosen';
      const [x, y] = point.map(Math.floor);
      text = `${chosen}${partly ? ' (superpixel partly chosen)' : ''} · ${count(level.area(region))} px · ${x}, ${y}`;
    }
    any('hover').textContent = aloud ? '' : text;
    if (aloud) this.say(text);
  }

  _showHistory() {
    button('undo').disabled = !this.work?.selection.canUndo;
    button('redo').disabled = !this.work?.selection.canRedo;
    button('export-button').disabled = !this.work;
  }

  _showSettings() {
    const { settings, stage } = this;
    const { tool } = settings;
    for (const name of ['tool', 'pixel']) {
      const value = name === 'tool' ? tool : settings.pixelMode;
      for (const radio of document.getElementsByName(name)) {
        if (radio instanceof HTMLInputElement) radio.checked = radio.value === value;
      }
    }
    stage.showTool();
    any('radius-section').hidden = !['brush', 'eraser', 'pixel'].includes(tool);
    any('similarity-section').hidden = tool !== 'flood';
    any('pixel-section').hidden = tool !== 'pixel';
    any('tool-hint').textContent = HINTS[tool];
    input('radius').value = String(Math.max(0, RADII.indexOf(settings.radius)));
    input('similarity').value = String(settings.similarity);
    any('radius-value').textContent = settings.radius ? `${settings.radius} px` : 'one superpixel';
    if (tool === 'pixel' && !settings.radius) any('radius-value').textContent = 'one pixel';
    any('similarity-value').textContent = `at most ${settings.similarity}`;
    input('fill-opacity').value = String(settings.fillOpacity);
    input('line-opacity').value = String(settings.lineOpacity);
    input('line-color').value = settings.lineColor;
    this._showOpacity();
    this._showClasses();
    this._showSize();
    this._showCompactness();
  }

  _showOpacity() {
    const { fillOpacity, lineOpacity, lineColor } = this.settings;
    const { layers, _hidden: hidden } = this;
    const fill = hidden.fill ? 0 : fillOpacity;
    const lines = hidden.lines ? 0 : lineOpacity;
    layers.fillContext.canvas.style.opacity = String(fill / 100);
    layers.linesContext.canvas.style.opacity = String((lines / 100) * this._lineStrength());
    any('fill-opacity-value').textContent = hidden.fill ? 'hidden (M)' : `${fill} %`;
    any('line-opacity-value').textContent = hidden.lines ? 'hidden (V)' : `${lines} %`;
    if (layers.lineColor !== lineColor) {
      layers.lineColor = lineColor;
      layers.redrawLines();
    }
  }

  /** Lines that lie close together are drawn fainter, for the image to be seen. */
  _lineStrength() {
    const { work, camera } = this;
    if (!work) return 1;
    const { map, level } = work;
    const side = (Math.sqrt((map.width * map.height) / level.count) * camera.scale) / camera.ratio;
    return Math.min(Math.max(side / LINES_FULL, LINES_FAINTEST), 1);
  }

  _showSize() {
    const { work } = this;
    const slider = input('size');
    slider.disabled = !work;
    if (!work) return;
    const { map, level, stops, stop } = work;
    slider.max = String(stops.length - 1);
    slider.value = String(stop);
    const area = (map.width * map.height) / level.count;
    const average = `${area < 100 ? area.toFixed(1) : count(area)} px each`;
    any('size-count').textContent = superpixels(level.count);
    any('size-area').textContent = `≈ ${average}`;
    slider.setAttribute('aria-valuetext', `${superpixels(level.count)}, ${average} on average`);
    this._showOpacity();
  }

  _showCompactness() {
    const slider = input('compactness');
    const { compactness } = this.settings;
    slider.disabled = !this.work;
    slider.max = String(this._steps.length - 1);
    const nearest = this._steps.map((step) => Math.abs(step - compactness));
    slider.value = String(nearest.indexOf(Math.min(...nearest)));
    slider.setAttribute('aria-valuetext', String(compactness));
    any('compactness-value').textContent = String(compactness);
  }

  _showClasses() {
    const { classes, settings } = this;
    const rows = classes.map((one, i) => {
      const radio = make('input', {
        type: 'radio',
        name: 'class',
        value: String(i + 1),
        checked: settings.value === i + 1,
      });
      const color = make('input', { type: 'color', value: one.color });
      const name = make('input', {
        type: 'text',
        value: one.name,
        maxLength: 100,
        ariaLabel: `Name of class ${i + 1}`,
      });
      radio.addEventListener('change', () => this.setClass(i + 1));
      color.addEventListener('input', () => {
        one.color = color.value;
        this.layers.redrawAll();
        this._saveSoon();
      });
      name.addEventListener('change', () => {
        one.name = name.value.trim() || one.name;
        name.value = one.name;
        tellName();
        this._saveSoon();
      });
      name.addEventListener('keydown', ({ key }) => {
        if (key === 'Enter') name.blur();
      });
      const key = i < 9 ? [make('kbd', { textContent: String(i + 1), ariaHidden: 'true' })] : [];
      const remove = make('button', {
        className: 'remove',
        textContent: '\u00d7',
        title: 'Remove this class (undo brings it back)',
        disabled: classes.length < 2,
      });
      remove.addEventListener('click', () => this.removeClass(i + 1));
      const tellName = () => {
        radio.ariaLabel = `Paint ${one.name}`;
        color.ariaLabel = `Colour of ${one.name}`;
        remove.ariaLabel = `Remove ${one.name}`;
      };
      tellName();
      return make('li', {}, radio, color, name, ...key, remove);
    });
    const list = any('classes');
    const { scrollTop } = list;
    list.replaceChildren(...rows);
    list.scrollTop = scrollTop;
  }

  // ---- kept

  _saveSoon() {
    clearTimeout(this._saving);
    this._saving = setTimeout(() => this.save(), SAVE_WAIT);
  }

  /** Keep everything now. */
  async save() {
    clearTimeout(this._saving);
    this._saving = undefined;
    const { store, work } = this;
    if (!store || this.stage.busy) return;
    try {
      this.settings.classes = this.classes.map((one) => ({ ...one }));
      const writes = [store.writeSettings({ ...this.settings, last: work?.key })];
      if (work) {
        const { key, name, blob, origin } = work;
        const image = this._imageIsKept ? null : { key, name, blob, ...origin, opened: Date.now() };
        this._imageIsKept = true;
        writes.push(store.write(this._kept(work), image));
      }
      await Promise.all(writes);
    } catch (error) {
      this._imageIsKept = false;
      this.say(`Your work cannot be kept for a reload: ${error instanceof Error ? error.message : error}`);
    }
  }

  /**
   * @param {Work} work
   * @returns {import('./store.js').KeptWork}
   */
  _kept({ key, selection, level }) {
    const steps = selection.history(KEPT_STEPS);
    return { key, selection: selection.toJSON(), steps, count: level.count };
  }

  async _readSettings() {
    const kept = await this.store?.readSettings().catch(() => null);
    if (!kept) return;
    const { last, ...settings } = kept;
    this._lastKey = last;
    Object.assign(this.settings, settings);
  }

  // ---- wiring

  _bind() {
    const { settings } = this;
    const chosen = input('file-input');
    const choose = () => chosen.click();
    chosen.addEventListener('change', () => {
      const [file] = chosen.files ?? [];
      chosen.value = '';
      if (file) this.open(file, file.name);
    });
    /** @type {Record<string, () => unknown>} */
    const actions = {
      open: choose,
      'open-large': choose,
      undo: () => this.undo(),
      redo: () => this.redo(),
      'zoom-in': () => this.zoom(1.5),
      'zoom-out': () => this.zoom(1 / 1.5),
      'zoom-fit': () => this.fit(),
      'zoom-actual': () => this.zoom(1 / this.camera.scale),
      'add-class': () => this.addClass(),
      'help-button': () => this.help(),
      'problem-close': () => (any('problem').hidden = true),
    };
    for (const [id, action] of Object.entries(actions)) button(id).addEventListener('click', action);

    /** @type {(id: string, apply: (value: number) => void) => void} */
    const onSlider = (id, apply) =>
      input(id).addEventListener('input', ({ target }) => {
        if (target instanceof HTMLInputElement) apply(Number(target.value));
        this._saveSoon();
      });
    onSlider('size', (value) => this.setStop(value));
    onSlider('compactness', (value) => this.setCompactness(this._steps[value]));
    onSlider('radius', (value) => {
      settings.radius = RADII[value];
      this._showSettings();
      if (this.layers.top.cursor) this.layers.top.cursor.radius = RADII[value];
      this.layers.redrawTop();
    });
    onSlider('similarity', (value) => {
      settings.similarity = value;
      this._showSettings();
    });
    onSlider('fill-opacity', (value) => {
      settings.fillOpacity = value;
      this._hidden.fill = false;
      this._showOpacity();
    });
    onSlider('line-opacity', (value) => {
      settings.lineOpacity = value;
      this._hidden.lines = false;
      this._showOpacity();
    });
    input('line-color').addEventListener('input', ({ target }) => {
      if (target instanceof HTMLInputElement) settings.lineColor = target.value;
      this._showOpacity();
      this._saveSoon();
    });
    document.addEventListener('change', ({ target }) => {
      if (!(target instanceof HTMLInputElement)) return;
      if (target.name === 'tool') this.setTool(/** @type {any} */ (target.value));
      if (target.name === 'pixel') settings.pixelMode = /** @type {any} */ (target.value);
    });

    for (const sample of SAMPLES) {
      const text = () => [make('img', { src: `/samples/${sample.file}`, alt: '' }), sample.name];
      const large = make('button', {}, ...text());
      large.addEventListener('click', () => this.openSample(sample));
      any('samples').append(large);
      const item = make('button', { textContent: sample.name });
      item.addEventListener('click', () => {
        any('samples-menu').hidePopover();
        this.openSample(sample);
      });
      any('samples-menu').append(item);
    }
    for (const format of FORMATS) {
      const note = make('span', { textContent: format.note, className: 'quiet' });
      const item = make('button', {}, make('span', { textContent: format.name }), note);
      item.dataset.format = format.format;
      item.addEventListener('click', () => {
        any('export-menu').hidePopover();
        this._export(format);
      });
      any('export-menu').append(item);
    }
    for (const id of ['samples-menu', 'export-menu']) {
      const first = any(id).querySelector('button');
      if (first) first.autofocus = true; // where the keyboard goes when the menu opens
    }

    this._bindFiles();
    listenForKeys(this);
    const resized = new ResizeObserver(() => this._resized());
    resized.observe(this.stage.element);
    matchMedia(`(resolution: ${devicePixelRatio}dppx)`).addEventListener('change', () => this._resized());
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState === 'hidden') this.save();
    });
    addEventListener('pagehide', () => {
      if (this._saving !== undefined && this.work) this.store?.writeAtOnce(this._kept(this.work));
    });
  }

  _resized() {
    const { clientWidth, clientHeight } = this.stage.element;
    if (!clientWidth || !clientHeight) return;
    const ratio = devicePixelRatio;
    this.camera.resize(Math.round(clientWidth * ratio), Math.round(clientHeight * ratio), ratio);
    this.viewChanged();
    this.layers.draw(); // at once: a canvas that is stretched for a frame would be seen to jump
  }

  _bindFiles() {
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
      if (file) this.open(file, file.name);
    });
    document.addEventListener('paste', (event) => {
      const file = imageOf(event.clipboardData);
      if (file) this.open(file, file.name || 'pasted.png');
    });
  }

  /** @param {typeof FORMATS[number]} format */
  async _export(format) {
    const { work } = this;
    if (!work || this.stage.busy) return;
    any('progress').hidden = false;
    this.say(`Writing ${format.name}…`);
    try {
      const { name, size } = await exportAs(work, format);
      this.say(`Saved ${name} (${fileSize(size)})`);
    } catch (error) {
      this.showProblem(error);
    } finally {
      any('progress').hidden = this._pending === null;
    }
  }

  help() {
    byId('help', HTMLDialogElement).showModal();
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
