import { make } from './dom.js';

/** What can be exported: `format` is export-worker.js's name for it. */
export const FORMATS = [
  {
    format: 'png',
    name: 'Mask',
    note: 'indexed PNG, a value for each class',
    ending: '-mask.png',
    type: 'image/png',
  },
  { format: 'coco', name: 'COCO polygons', note: 'JSON, a polygon for each piece', ending: '-coco.json' },
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
    format: 'yolo',
    name: 'YOLO segmentation',
    note: 'text, a line for each piece',
    ending: '.txt',
    type: 'text/plain',
  },
];

/**
 * Make a file of what is chosen, and hand it to the browser to save.
 *
 * @param {import('./work.js').Work} work
 * @param {typeof FORMATS[number]} format
 * @returns {Promise<{ name: string, size: number }>}
 */
export async function exportAs(work, { format, ending, type = 'application/json' }) {
  const annotation = work.selection.annotation();
  const worker = new Worker(new URL('./export-worker.js', import.meta.url), { type: 'module' });
  try {
    const file = await new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => ('error' in data ? reject(new Error(data.error)) : resolve(data.file));
      worker.onerror = () => reject(new Error('the export worker failed'));
      worker.postMessage({ format, annotation, fileName: work.name }, [annotation.mask.buffer]);
    });
    const blob = new Blob([file], { type });
    const name = work.stem + ending;
    const url = URL.createObjectURL(blob);
    make('a', { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
    return { name, size: blob.size };
  } finally {
    worker.terminate();
  }
}
