import { Background } from './background.js';
import { addMenuItem, any, fileSize, make } from './dom.js';
import { download } from './download.js';
import { TOLERANCE } from './smooth.js';
import { hideProblem, say } from './notices.js';

/**
 * @typedef {object} Format
 * @property {string} format its name in export-worker.js
 * @property {string} name
 * @property {string} note
 * @property {string} ending of the file's name
 * @property {string} [type] default: JSON
 */

/** @type {Format[]} */
const FORMATS = [
  {
    format: 'png',
    name: 'Mask',
    note: 'indexed PNG, one value per class',
    ending: '-mask.png',
    type: 'image/png',
  },
  { format: 'coco', name: 'COCO polygons', note: 'JSON, one polygon per piece', ending: '-coco.json' },
  { format: 'coco-rle', name: 'COCO run lengths', note: 'JSON, compressed masks', ending: '-coco-rle.json' },
  {
    format: 'label-studio',
    name: 'Label Studio',
    note: 'JSON task with brush masks',
    ending: '-label-studio.json',
  },
  {
    format: 'geojson',
    name: 'GeoJSON',
    note: 'polygons with holes',
    ending: '.geojson',
    type: 'application/geo+json',
  },
  {
    format: 'svg',
    name: 'SVG',
    note: 'a drawing, one path per class',
    ending: '.svg',
    type: 'image/svg+xml',
  },
  {
    format: 'instances',
    name: 'Objects',
    note: '16-bit PNG, one value per object',
    ending: '-objects.png',
    type: 'image/png',
  },
  { format: 'legend', name: 'Legend of objects', note: 'JSON, for that PNG', ending: '-objects.json' },
  { format: 'panoptic', name: 'COCO panoptic', note: 'JSON, for the PNG below', ending: '-panoptic.json' },
  {
    format: 'panoptic-png',
    name: 'COCO panoptic mask',
    note: 'PNG, one colour per object',
    ending: '-panoptic.png',
    type: 'image/png',
  },
  {
    format: 'yolo',
    name: 'YOLO segmentation',
    note: 'text, one line per piece',
    ending: '.txt',
    type: 'text/plain',
  },
];

/**
 * Fill the export menu.
 *
 * @param {import('./app.js').App} app
 */
export function fillExportMenu(app) {
  const worker = new Background(new URL('./export-worker.js', import.meta.url));
  const menu = any('export-menu');
  addSmoothChoice(app, menu);
  for (const format of FORMATS) addMenuItem(menu, format, () => run(app, worker, format));
  const note = 'ZIP: image, superpixels and all work, to open again';
  const project = { format: 'project', name: 'Project file', note };
  addMenuItem(menu, project, () => app.library.saveProject());
}

/**
 * Add the choice of smooth polygons to a menu.
 *
 * @param {import('./app.js').App} app
 * @param {HTMLElement} menu
 */
export function addSmoothChoice({ settings, saving }, menu) {
  const box = make('input', { type: 'checkbox', className: 'smooth-polygons' });
  box.addEventListener('change', () => {
    settings.smoothPolygons = box.checked;
    saving.soon();
  });
  menu.addEventListener('beforetoggle', () => (box.checked = settings.smoothPolygons));
  const note = make('span', { textContent: 'borders move by up to 1 pixel', className: 'quiet' });
  menu.append(make('label', { className: 'option' }, box, make('span', {}, 'Smooth polygons'), note));
}

/**
 * @param {import('./app.js').App} app
 * @param {Background} worker
 * @param {Format} format
 */
async function run({ work, stage, opening, checks, settings }, worker, format) {
  if (!work || stage.busy) return;
  say(`Writing ${format.name}…`);
  await opening.during(async () => {
    const { name, size } = await exportAs(work, worker, format, settings.smoothPolygons ? TOLERANCE : 0);
    hideProblem();
    say(`Saved ${name} (${fileSize(size)})${checks.remark}`);
  }, work.name);
}

/**
 * Make a file of the selection, and pass it to the browser to save.
 *
 * @param {import('./work.js').Work} work
 * @param {Background} worker
 * @param {Format} format
 * @param {number} simplify
 * @returns {Promise<{ name: string, size: number }>}
 */
async function exportAs(work, worker, { format, ending, type = 'application/json' }, simplify) {
  const annotation = work.selection.annotation();
  const { mask, instances } = annotation;
  const buffers = instances ? [mask.buffer, instances.buffer] : [mask.buffer];
  const { file } = await worker.ask({ format, annotation, fileName: work.name, simplify }, buffers);
  const blob = new Blob([file], { type });
  const name = work.stem + ending;
  download(blob, name);
  return { name, size: blob.size };
}
