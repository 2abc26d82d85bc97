// Project files: images with their label maps and the work on them, in one ZIP file. docs/app.md describes the format.

import { isClass as isAnyClass } from '../src/annotation.js';
import { decode, Selection } from '../src/index.js';
import { Problem } from './api.js';
import { count } from './dom.js';
import { thumbnailOf } from './saving.js';
import { hasWork, keyOf } from './store.js';
import { portable, ZipReader, ZipWriter } from './zip.js';

/** @typedef {import('./store.js').Entry} Entry */

const FORMAT = 'superpixel-project';
const VERSION = 1;

/** The file that names all others. */
const INDEX = 'project.json';

/** Limits of what is read. */
const MAX_IMAGES = 10_000;
const MAX_INDEX = 32e6;
const MAX_FILE = 1e9;
const MAX_NAME = 255;

/**
 * @typedef {object} Project
 * @property {import('../src/annotation.js').Class[]} classes
 * @property {Entry[]} entries
 */

/** @param {string} name @returns {string} its name in the archive */
const safe = (name) => portable(name).slice(-100) || 'image';

/**
 * @param {AsyncIterable<Entry>} entries
 * @param {import('../src/annotation.js').Class[]} classes
 * @returns {Promise<Blob>}
 */
export async function writeProject(entries, classes) {
  const zip = new ZipWriter();
  const images = [];
  for await (const { image, work, card } of entries) {
    const { name, blob, spx, compactness, guidance } = image;
    const folder = `images/${images.length + 1}`;
    /** @type {Record<string, unknown>} */
    const listed = {
      name,
      image: `${folder}/${safe(name)}`,
      type: blob.type,
      compactness,
      done: card.done ?? false,
    };
    await zip.add(`${folder}/${safe(name)}`, blob);
    if (spx) await zip.add((listed.map = `${folder}/map.spx`), new Uint8Array(spx));
    if (work) {
      await zip.add((listed.selection = `${folder}/selection.json`), JSON.stringify(work.selection));
      listed.count = work.count;
    }
    if (guidance) {
      const { prior, edges, ...rest } = guidance;
      listed.guidance = { ...rest, prior: `${folder}/prior.png`, edges: `${folder}/edges.png` };
      await zip.add(`${folder}/prior.png`, prior);
      await zip.add(`${folder}/edges.png`, edges);
    }
    images.push(listed);
  }
  await zip.add(INDEX, JSON.stringify({ format: FORMAT, version: VERSION, classes, images }));
  return zip.finish();
}

/**
 * @param {unknown} condition
 * @param {string} text
 * @returns {asserts condition}
 */
function check(condition, text) {
  if (!condition) throw new Problem('This project file cannot be read', text);
}

/** @param {unknown} bytes @returns {any} */
function parse(bytes, /** @type {string} */ name) {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(/** @type {ArrayBuffer} */ (bytes)));
  } catch {
    throw new Problem('This project file cannot be read', `${name} is not JSON.`);
  }
}

/**
 * @param {Blob} file untrusted
 * @param {(text: string) => void} progress
 * @returns {Promise<Project>} checked as a whole; rejects with a Problem or a SuperpixelMapError
 */
export async function readProject(file, progress) {
  const zip = await ZipReader.open(file);
  check(zip.has(INDEX), `It is a ZIP file, but has no ${INDEX}: no project of this page.`);
  const index = parse(await zip.read(INDEX, MAX_INDEX), INDEX);
  check(index?.format === FORMAT, `${INDEX} does not say that it is a ${FORMAT}.`);
  check(index.version === VERSION, `It has version ${index.version}; this page reads version ${VERSION}.`);
  const { images, classes } = index;
  check(
    Array.isArray(images) && images.length <= MAX_IMAGES,
    `images: must be at most ${count(MAX_IMAGES)}.`,
  );
  check(
    Array.isArray(classes) && classes.every(isClass),
    'classes: each must have a name and a color #rrggbb.',
  );
  /** @type {Entry[]} */
  const entries = [];
  for (const listed of images) {
    progress(`Reading image ${count(entries.length + 1)} of ${count(images.length)}…`);
    entries.push(await readImage(zip, listed));
  }
  return { classes, entries };
}

/** @param {any} one untrusted @returns {boolean} */
export const isClass = (one) => isAnyClass(one) && one.name.length <= MAX_NAME;

/**
 * @param {ZipReader} zip
 * @param {any} listed untrusted
 * @returns {Promise<Entry>}
 */
async function readImage(zip, listed) {
  const { name, type } = listed ?? {};
  check(typeof name === 'string' && name.length <= MAX_NAME, 'images: each must have a name.');
  const { image, map, selection, compactness, count: level, guidance, done } = listed;
  check(Number.isFinite(compactness) && compactness > 0, `${name}: compactness must be a positive number.`);
  const read = (/** @type {unknown} */ path) => {
    check(typeof path === 'string', `${name}: a file's path is missing.`);
    return zip.read(path, MAX_FILE);
  };
  const bytes = await read(image);
  const key = keyOf(bytes);
  const blob = new Blob([bytes], {
    type: typeof type === 'string' && /^image\/[\w.+-]+$/.test(type) ? type : '',
  });
  const bitmap = await createImageBitmap(blob).catch(() => null);
  check(bitmap, `${name}: the browser cannot show it.`);
  const thumbnail = await thumbnailOf(bitmap);
  const spx = map === undefined ? null : await read(map);
  /** @type {import('./store.js').KeptWork | null} */
  let work = null;
  if (spx && selection !== undefined) {
    const decoded = await decode(spx, { worker: true });
    const { width, height } = decoded;
    check(bitmap.width === width && bitmap.height === height, `${name}: its label map has another size.`);
    work = {
      key,
      selection: parse(await read(selection), `${name}: selection`),
      count: 0,
      changed: Date.now(),
    };
    Selection.restore(decoded, work.selection); // throws if it is damaged
    check(work.selection.classes.every(isClass), `${name}: each class must have a name and a color #rrggbb.`);
    check(Number.isInteger(level) && level >= 1, `${name}: count must be a positive integer.`);
    work.count = Math.min(level, decoded.count);
  }
  bitmap.close();
  return {
    image: {
      key,
      name,
      blob,
      spx,
      compactness,
      guidance: guidance ? await readGuidance(guidance, read, name) : null,
    },
    work,
    card: { opened: Date.now(), worked: hasWork(work), done: done === true, thumbnail },
  };
}

/**
 * @param {any} guidance untrusted
 * @param {(path: unknown) => Promise<ArrayBuffer>} read
 * @param {string} of name of the image
 * @returns {Promise<import('./api.js').Guidance>}
 */
async function readGuidance({ name, role, weight, prior, edges }, read, of) {
  const valid =
    typeof name === 'string' && ['soft', 'hard', 'edges'].includes(role) && Number.isFinite(weight);
  check(valid, `${of}: guidance must have a name, a role and a weight.`);
  const [first, second] = [await read(prior), await read(edges)];
  const type = 'image/png';
  return { name, role, weight, prior: new Blob([first], { type }), edges: new Blob([second], { type }) };
}
