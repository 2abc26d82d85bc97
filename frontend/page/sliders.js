import { any, count, input, superpixels } from './dom.js';

/** Steps of the compactness slider. */
const COMPACTNESS = [0, 1, 2, 3, 5, 7, 10, 14, 20, 30, 45, 65, 100];

/** Milliseconds without a movement of the compactness slider until the server is asked. */
const COMPACTNESS_WAIT = 250;

/** Steps of the radius slider, CSS pixels of the screen. */
const RADII = [
  0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 18, 22, 27, 33, 40, 50, 60, 75, 90, 110, 135, 165, 200, 250,
];

/** Outlines have full strength from this average width of superpixels on, in CSS pixels; below it they are fainter. */
const FULL_LINES_WIDTH = 18;
const FAINTEST_LINES = 0.4;

/** @returns {NodeListOf<HTMLInputElement>} */
const lineStyles = () => document.querySelectorAll('input[name=line-style]');

/** The sliders of size, compactness, brush radius and opacity. */
export class Sliders {
  /** @param {import('./app.js').App} app */
  constructor(app) {
    this._app = app;
    this._hidden = { fill: false, lines: false };
    this._compactnessSteps = COMPACTNESS;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this._compactnessTimer = undefined;
    this._bind();
  }

  _bind() {
    const { settings, saving } = this._app;
    /** @type {(id: string, apply: (value: number) => void) => void} */
    const onInput = (id, apply) =>
      input(id).addEventListener('input', () => {
        apply(Number(input(id).value));
        saving.soon();
      });
    onInput('size', (value) => this.setStop(value));
    onInput('compactness', (value) => this._setCompactness(this._compactnessSteps[value]));
    this._bindRadius();
    onInput('fill-opacity', (value) => {
      settings.fillOpacity = value;
      this._hidden.fill = false;
      this.showOpacity();
    });
    onInput('line-opacity', (value) => {
      settings.lineOpacity = value;
      this._hidden.lines = false;
      this.showOpacity();
    });
    for (const radio of lineStyles()) {
      radio.addEventListener('change', () => {
        settings.lineStyle = radio.value;
        this.showLineStyle();
        saving.soon();
      });
    }
    onInput('line-color', () => {
      settings.lineColor = input('line-color').value;
      this.showOpacity();
    });
  }

  _bindRadius() {
    const { settings, layers, saving } = this._app;
    input('radius').addEventListener('input', () => {
      settings.radius = RADII[Number(input('radius').value)];
      this.showRadius();
      if (layers.top.cursor) layers.top.cursor.radius = this._app.radius;
      layers.redrawTop();
      saving.soon();
    });
  }

  show() {
    const { fillOpacity, lineOpacity, lineColor } = this._app.settings;
    input('fill-opacity').value = String(fillOpacity);
    input('line-opacity').value = String(lineOpacity);
    input('line-color').value = lineColor;
    this.showRadius();
    this.showOpacity();
    this.showLineStyle();
    this.showSize();
    this.showCompactness();
  }

  // ---- size

  /** @param {number} stop of the size slider */
  setStop(stop) {
    const { work, layers, saving } = this._app;
    if (!work) return;
    work.setStop(stop);
    layers.top.region = null;
    layers.redrawLines();
    this.showSize();
    saving.soon();
  }

  /** @param {number} by stops; more than 0: smaller superpixels */
  stepSize(by) {
    const { work } = this._app;
    if (work) this.setStop(work.stop + by);
  }

  showSize() {
    const { work } = this._app;
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
    this.showOpacity();
  }

  // ---- compactness

  /** @param {[number, number]} range that the server accepts */
  limitCompactness([least, most]) {
    this._compactnessSteps = COMPACTNESS.filter((step) => step >= least && step <= most);
    this.showCompactness();
  }

  /** @param {number} compactness */
  _setCompactness(compactness) {
    const { settings, opening } = this._app;
    settings.compactness = compactness;
    this.showCompactness();
    this.askNoMore();
    this._compactnessTimer = setTimeout(() => {
      this._compactnessTimer = undefined;
      opening.changeCompactness();
    }, COMPACTNESS_WAIT);
  }

  /** Forget the chosen compactness, unless the server was asked for it: another request replaces it. */
  askNoMore() {
    clearTimeout(this._compactnessTimer);
    this._compactnessTimer = undefined;
  }

  /** Take over the compactness of the open image's map, unless the user has just chosen another. */
  adoptCompactness() {
    const { work, settings } = this._app;
    if (work && this._compactnessTimer === undefined) settings.compactness = work.origin.compactness;
    this.showCompactness();
  }

  showCompactness() {
    const { work, settings } = this._app;
    const { compactness } = settings;
    const slider = input('compactness');
    slider.disabled = !work;
    slider.max = String(this._compactnessSteps.length - 1);
    const distances = this._compactnessSteps.map((step) => Math.abs(step - compactness));
    slider.value = String(distances.indexOf(Math.min(...distances)));
    slider.setAttribute('aria-valuetext', String(compactness));
    any('compactness-value').textContent = String(compactness);
  }

  // ---- brush radius

  /** @param {number} by steps of the slider */
  stepRadius(by) {
    const slider = input('radius');
    slider.value = String(Number(slider.value) + by);
    slider.dispatchEvent(new Event('input'));
  }

  showRadius() {
    const { settings, tool } = this._app;
    any('radius-section').hidden = !tool.usesRadius;
    input('radius').value = String(Math.max(0, RADII.indexOf(settings.radius)));
    const smallest = `one ${tool.pointsAt ?? 'superpixel'}`;
    any('radius-value').textContent = settings.radius ? `${settings.radius} px` : smallest;
  }

  // ---- opacity

  /** @param {'fill' | 'lines'} layer */
  toggle(layer) {
    this._hidden[layer] = !this._hidden[layer];
    this.showOpacity();
  }

  showOpacity() {
    const { settings, layers } = this._app;
    const { fillOpacity, lineOpacity, lineColor } = settings;
    const fill = this._hidden.fill ? 0 : fillOpacity;
    const lines = this._hidden.lines ? 0 : lineOpacity;
    // With the fill hidden, classes keep their edges, unless outlines are hidden, too.
    const contours = fill === 0 && lines > 0 && settings.lineStyle !== 'smooth'; // those have classes' edges
    if (layers.contours !== contours) {
      layers.contours = contours;
      layers.redrawAll();
    }
    layers.fillContext.canvas.style.opacity = String(contours ? 1 : fill / 100);
    layers.linesContext.canvas.style.opacity = String((lines / 100) * this._lineStrength());
    any('fill-opacity-value').textContent = this._hidden.fill ? 'hidden (M)' : `${fill} %`;
    any('line-opacity-value').textContent = this._hidden.lines ? 'hidden (V)' : `${lines} %`;
    if (layers.lineColor !== lineColor) {
      layers.lineColor = lineColor;
      layers.redrawLines();
    }
  }

  showLineStyle() {
    const { settings, layers } = this._app;
    for (const radio of lineStyles()) radio.checked = radio.value === settings.lineStyle;
    const on = settings.lineStyle === 'smooth';
    if (layers.smooth.on === on) return;
    layers.smooth.on = on;
    layers.redrawAll();
  }

  /** Outlines that lie close together are fainter, so that the image stays visible. */
  _lineStrength() {
    const { work, camera } = this._app;
    if (!work) return 1;
    const { map, level } = work;
    const width = (Math.sqrt((map.width * map.height) / level.count) * camera.scale) / camera.ratio;
    return Math.min(Math.max(width / FULL_LINES_WIDTH, FAINTEST_LINES), 1);
  }
}
