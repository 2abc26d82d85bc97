import { bytesOf, writePNG } from './png.js';
import { COCO_HEAD } from './coco.js';
import { categoryIds, findGroups, valuesOf } from './pieces.js';

/** @typedef {import('../annotation.js').Annotation} Annotation */

/**
 * The picture of COCO's panoptic format: red + 256 * green is the id of the pixel's segment, 0 for none.
 *
 * @param {Annotation} annotation
 * @returns {Promise<Uint8Array>} a PNG file
 */
export function toPanopticPNG(annotation) {
  const { width, height } = annotation;
  const values = valuesOf(annotation);
  const bytes = new Uint8Array(3 * values.length);
  values.forEach((value, i) => {
    bytes[3 * i] = value & 255;
    bytes[3 * i + 1] = value >> 8;
  });
  return writePNG({ width, height, depth: 8, kind: 2, bytes });
}

/**
 * The JSON of COCO's panoptic format: a segment per object, and one per class of its pixels without an object. A class that
 * has objects is a thing; its pixels without an object are a crowd.
 *
 * @param {Annotation} annotation
 * @param {object} [options]
 * @param {string} [options.fileName] of the image
 * @param {string} [options.maskName] of the picture that `toPanopticPNG` gives
 * @param {number} [options.imageId] of the image
 */
export function toPanopticJSON(annotation, { fileName = 'image', maskName = 'image.png', imageId = 1 } = {}) {
  const { width, height, classes, objects = [] } = annotation;
  const ids = categoryIds(classes);
  const things = new Set(objects.map((one) => one.class));
  return {
    ...structuredClone(COCO_HEAD),
    images: [{ id: imageId, file_name: fileName, width, height }],
    annotations: [
      {
        image_id: imageId,
        file_name: maskName,
        segments_info: findGroups(annotation, false).groups.map((group) => {
          const [x0, y0, x1, y1] = group.box;
          return {
            id: group.value,
            category_id: ids[group.class - 1],
            area: group.area,
            bbox: [x0, y0, x1 - x0, y1 - y0],
            iscrowd: Number(group.value === group.class && things.has(group.class)),
          };
        }),
      },
    ],
    categories: panopticCategories(classes, things),
  };
}

/**
 * @param {import('../annotation.js').Class[]} classes
 * @param {Set<number>} things values of the classes that have objects
 */
export function panopticCategories(classes, things) {
  const ids = categoryIds(classes);
  return classes.map(({ name, color }, i) => ({
    id: ids[i],
    name,
    supercategory: name,
    isthing: Number(things.has(i + 1)),
    color: bytesOf(color),
  }));
}
