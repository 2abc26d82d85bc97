// Reads Label Studio's JSON: brush masks and polygons of one task.

import { Canvas, Classes } from './canvas.js';
import { checkSize, fail, isRecord, list, shown } from './checks.js';
import { checkPoints, evenOdd } from './polygons.js';
import { brushRuns } from './rle.js';

/** @param {any} content untrusted @returns {boolean} whether it is a list of tasks or results, or one task */
export function isLabelStudio(content) {
  const [first] = Array.isArray(content) ? content : [content];
  if (!isRecord(first)) return false;
  return 'from_name' in first || (isRecord(first.data) && ('annotations' in first || 'predictions' in first));
}

/**
 * @param {any} content untrusted
 * @param {import('./index.js').Wanted} wanted
 * @returns {import('../annotation.js').Annotation}
 */
export function readLabelStudio(content, { classes, unnamed, objects, ...image }) {
  const { results, field } = resultsOf(content, image.name);
  const made = new Classes(classes);
  /** @type {Canvas | undefined} */
  let canvas;
  results.forEach((one, i) => {
    const place = `${field}[${i}]`;
    if (!isRecord(one)) fail(place, `must be an object, got ${shown(one)}`);
    const value = isRecord(one.value) ? one.value : {};
    const rle = value.rle ?? one.rle;
    const isPolygon = Array.isArray(value.points) && typeof value.points[0] === 'object';
    if (!rle && !isPolygon) {
      if (!('x' in value)) return; // a choice, a text, a relation: nothing that has pixels
      fail(`${place}.type`, `must be brushlabels or polygonlabels, got ${shown(one.type)}`);
    }
    const { original_width: width, original_height: height, image_rotation: rotation } = one;
    checkSize(`${place}.original_width`, width, height);
    if (rotation) fail(`${place}.image_rotation`, `must be 0, got ${shown(rotation)}`);
    canvas ??= new Canvas(width, height);
    if (canvas.width !== width || canvas.height !== height) {
      fail(
        `${place}.original_width`,
        `must be ${canvas.width} x ${canvas.height} as before, got ${width} x ${height}`,
      );
    }
    const labels = value.brushlabels ?? value.polygonlabels ?? value.labels ?? one.brushlabels;
    const name = Array.isArray(labels) && typeof labels[0] === 'string' ? labels[0] : undefined;
    const known = made.add(name, name ?? unnamed.name, name === undefined ? unnamed : {});
    const isStuff = typeof one.id === 'string' && one.id.startsWith('class-');
    canvas.begin(
      known,
      objects && !isStuff,
      [one.meta?.text].flat().find((text) => typeof text === 'string') ?? '',
    );
    if (rle) {
      canvas.rows(brushRuns(`${place}.value.rle`, rle, width * height));
    } else {
      // Points are in percent.
      const points = value.points.flatMap((/** @type {any} */ point) =>
        Array.isArray(point) ? [(point[0] * width) / 100, (point[1] * height) / 100] : [NaN, NaN],
      );
      canvas.rows(evenOdd([checkPoints(`${place}.value.points`, points)], width, height));
    }
  });
  if (!canvas) checkSize('image', image.width, image.height);
  canvas ??= new Canvas(Number(image.width), Number(image.height));
  return canvas.annotation(made.all);
}

/**
 * The results of the image's task: of its last annotation that was not cancelled, else of its last prediction.
 *
 * @param {any} content untrusted
 * @param {string | undefined} name of the image
 * @returns {{ results: any[], field: string }}
 */
function resultsOf(content, name) {
  const all = Array.isArray(content) ? content : [content];
  if ('from_name' in all[0]) return { results: all, field: '' };
  const named = all.filter(
    (one) => name && Object.values(one?.data ?? {}).some((value) => isOf(value, name)),
  );
  const found = [named, all].find((some) => some.length === 1)?.[0] ?? named[0];
  if (!found) fail('data', `must be of ${shown(name)}; it has ${all.length} tasks, and none of that name`);
  for (const field of ['annotations', 'predictions']) {
    const versions = list(field, found[field] ?? []).filter((one) => isRecord(one) && !one.was_cancelled);
    const last = versions[versions.length - 1];
    if (last) return { results: list(`${field}.result`, last.result), field: `${field}.result` };
  }
  return { results: [], field: 'annotations' };
}

/**
 * @param {unknown} address of a file; Label Studio puts a number before the name of an uploaded one
 * @param {string} name
 */
function isOf(address, name) {
  if (typeof address !== 'string') return false;
  const last = address.split(/[/\\=]/).pop() ?? '';
  return last === name || last.endsWith(`-${name}`);
}
