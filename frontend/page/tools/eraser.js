import { painting } from './painting.js';

/** @type {import('./tool.js').Tool} */
export const eraser = {
  id: 'eraser',
  key: 'e',
  label: 'Eraser',
  summary: 'whole superpixels',
  hint: 'Erases every superpixel it touches.',
  icon: '<path d="M9 20 3.5 14.5a1.5 1.5 0 0 1 0-2L12 4l8 8-8 8zM20 20H9M7.5 8.5l8 8" />',
  usesRadius: true,
  ...painting(({ selection, level, radius }, points) => selection.brush(level, points, radius, 0)),
};
