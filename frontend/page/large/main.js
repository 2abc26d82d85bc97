import * as api from './api.js';
import { Camera } from './camera.js';
import { Overlay } from './overlay.js';
import { Tiles } from './tiles.js';

/** Average size of a superpixel on the screen, in its pixels. */
const SCREEN_PIXELS = 64;

/** @template {HTMLElement} T @param {string} id @returns {T} */
const element = (id) => /** @type {T} */ (document.getElementById(id));

const view = /** @type {HTMLCanvasElement} */ (element('view'));
const context = /** @type {CanvasRenderingContext2D} */ (view.getContext('2d'));
const overview = /** @type {HTMLCanvasElement} */ (element('overview'));
const radius = /** @type {HTMLInputElement} */ (element('radius'));
const chosen = /** @type {HTMLSelectElement} */ (element('class'));
const root = document.documentElement;

const say = (/** @type {string} */ text) => (element('status').textContent = text);
const failed = (/** @type {any} */ error) => {
  if (error.name !== 'AbortError') say(error.message);
};

const facts = await api.loadFacts();
const camera = new Camera(facts.width, facts.height);
const tiles = new Tiles(facts, () => redraw());
/** @type {Overlay | null} */
let overlay = null;
let loading = new AbortController();
let drawing = false;
/** Requests to paint, in order. @type {Promise<void>} */
let sending = Promise.resolve();

for (const [index, { name }] of facts.classes.entries()) chosen.add(new Option(name, `${index + 1}`));
showSteps(facts);

function redraw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    context.clearRect(0, 0, view.width, view.height);
    const scale = camera.scale(facts.scales);
    context.imageSmoothingEnabled = camera.zoom * scale < 2;
    tiles.draw(context, camera, scale);
    if (overlay) {
      const { place } = overlay.superpixels;
      const size = place.scale * camera.zoom;
      const left = (place.x * place.scale - camera.left) * camera.zoom;
      const top = (place.y * place.scale - camera.top) * camera.zoom;
      context.imageSmoothingEnabled = false;
      context.drawImage(overlay.canvas, left, top, place.width * size, place.height * size);
    }
    drawOverview();
  });
}

/** Load the superpixels of what is on the screen. */
async function load() {
  const started = performance.now();
  loading.abort();
  loading = new AbortController();
  const { signal } = loading;
  delete root.dataset.shown;
  const scale = camera.scale(facts.scales);
  const area = Math.max(1, Math.round(SCREEN_PIXELS / (camera.zoom * scale) ** 2));
  try {
    await sending;
    const superpixels = await api.loadSuperpixels(camera.window(scale), area, signal);
    if (signal.aborted) return;
    overlay = new Overlay(superpixels, facts.classes);
    redraw();
    requestAnimationFrame(() => {
      if (signal.aborted) return;
      root.dataset.milliseconds = `${Math.round(performance.now() - started)}`;
      root.dataset.scale = `${scale}`;
      root.dataset.shown = `${superpixels.ids.length}`;
    });
  } catch (error) {
    failed(error);
  }
}

function moved() {
  redraw();
  void load();
}

function resize() {
  const box = view.getBoundingClientRect();
  view.width = camera.viewWidth = Math.max(1, Math.round(box.width));
  view.height = camera.viewHeight = Math.max(1, Math.round(box.height));
}

// The overview: the coarsest level, and a frame around what is on the screen.

const coarsest = /** @type {number} */ (facts.scales.at(-1));
const shrink = Math.min(overview.width / facts.width, overview.height / facts.height);
overview.width = Math.max(1, Math.round(facts.width * shrink));
overview.height = Math.max(1, Math.round(facts.height * shrink));
/** @type {ImageBitmap | null} */
let small = null;
api
  .loadImage({
    x: 0,
    y: 0,
    width: Math.ceil(facts.width / coarsest),
    height: Math.ceil(facts.height / coarsest),
    scale: coarsest,
  })
  .then((bitmap) => {
    small = bitmap;
    redraw();
  }, failed);

function drawOverview() {
  const drawn = /** @type {CanvasRenderingContext2D} */ (overview.getContext('2d'));
  drawn.clearRect(0, 0, overview.width, overview.height);
  if (small) drawn.drawImage(small, 0, 0, overview.width, overview.height);
  drawn.strokeStyle = '#ffdc00';
  drawn.lineWidth = 2;
  const [width, height] = [camera.viewWidth / camera.zoom, camera.viewHeight / camera.zoom];
  drawn.strokeRect(camera.left * shrink, camera.top * shrink, width * shrink, height * shrink);
}

overview.addEventListener('pointerdown', (event) => {
  camera.centre(event.offsetX / shrink, event.offsetY / shrink);
  moved();
});

// Tools.

const tool = () =>
  /** @type {HTMLInputElement} */ (document.querySelector('input[name="tool"]:checked')).value;

/** @type {{ ids: Set<number>, value: number, at: number[] | null, on: Overlay | null } | null} */
let stroke = null;
let panning = false;

/** Brush from where the stroke is to where the pointer is. @param {PointerEvent} event */
function brush(event) {
  if (!stroke || !overlay) return;
  const box = view.getBoundingClientRect();
  const [x, y] = [event.clientX - box.left, event.clientY - box.top];
  const [fromX, fromY] = stroke.at ?? [x, y];
  const size = Number(radius.value);
  const parts = Math.max(1, Math.ceil((2 * Math.hypot(x - fromX, y - fromY)) / size));
  const discs = Array.from({ length: parts }, (_, index) => {
    const part = (index + 1) / parts;
    return [fromX + (x - fromX) * part, fromY + (y - fromY) * part].map((at) => at / camera.zoom);
  });
  for (const [left, top] of discs)
    overlay.brush(camera.left + left, camera.top + top, size / camera.zoom, stroke.value, stroke.ids);
  stroke.at = [x, y];
  overlay.draw();
  redraw();
}

view.addEventListener('pointerdown', (event) => {
  view.setPointerCapture(event.pointerId);
  if (event.button !== 0 || tool() === 'pan') panning = true;
  else {
    stroke = { ids: new Set(), value: tool() === 'erase' ? 0 : Number(chosen.value), at: null, on: overlay };
    brush(event);
  }
});
view.addEventListener('pointermove', (event) => {
  if (panning) {
    camera.pan(event.movementX, event.movementY);
    moved();
  } else brush(event);
});
const end = () => {
  panning = false;
  const done = stroke;
  stroke = null;
  if (done?.ids.size) {
    sending = sending
      .then(() => api.paint([...done.ids], done.value))
      .then(showSteps)
      .then(() => (overlay === done.on ? undefined : load()))
      .catch(reload);
  }
};
view.addEventListener('pointerup', end);
view.addEventListener('pointercancel', end);
view.addEventListener('contextmenu', (event) => event.preventDefault());
view.addEventListener(
  'wheel',
  (event) => {
    event.preventDefault();
    camera.zoomAt(2 ** (-event.deltaY / 300), event.offsetX, event.offsetY);
    moved();
  },
  { passive: false },
);

/** A step was not kept: say so, and show what is. @param {any} error */
function reload(error) {
  failed(error);
  void load();
}

/** @param {{ undo: number, redo: number }} steps */
function showSteps({ undo, redo }) {
  /** @type {HTMLButtonElement} */ (element('undo')).disabled = !undo;
  /** @type {HTMLButtonElement} */ (element('redo')).disabled = !redo;
  root.dataset.steps = `${undo}`;
}

/** @param {'undo' | 'redo'} step */
function step(step) {
  sending = sending
    .then(() => api.move(step))
    .then(showSteps)
    .catch(failed);
  void load();
}

const zoom = (/** @type {number} */ factor) => {
  camera.zoomAt(factor, camera.viewWidth / 2, camera.viewHeight / 2);
  moved();
};
const fit = () => {
  camera.fit();
  moved();
};
element('undo').addEventListener('click', () => step('undo'));
element('redo').addEventListener('click', () => step('redo'));
element('zoom-in').addEventListener('click', () => zoom(2));
element('zoom-out').addEventListener('click', () => zoom(0.5));
element('fit').addEventListener('click', fit);
document.addEventListener('keydown', (event) => {
  const pans = { ArrowLeft: [100, 0], ArrowRight: [-100, 0], ArrowUp: [0, 100], ArrowDown: [0, -100] };
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'z')
    step(event.shiftKey ? 'redo' : 'undo');
  else if (event.target !== view) return;
  else if (event.key in pans) {
    const [dx, dy] = pans[/** @type {keyof typeof pans} */ (event.key)];
    camera.pan(dx, dy);
    moved();
  } else if (event.key === '+') zoom(2);
  else if (event.key === '-') zoom(0.5);
  else if (event.key === '0') fit();
  else return;
  event.preventDefault();
});

new ResizeObserver(() => {
  const before = [camera.viewWidth, camera.viewHeight];
  resize();
  if (before[0] === 1 && before[1] === 1) camera.fit();
  moved();
}).observe(view);
