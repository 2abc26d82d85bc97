import { painting } from './painting.js';

/** @type {import('./tool.js').Tool} */
export const brush = {
  id: 'brush',
  key: 'b',
  label: 'Brush',
  summary: 'whole superpixels',
  hint: 'Takes every superpixel it touches.',
  icon: '<path d="M20 4 10.5 13.5M9 14c-2.5 0-3.5 1.5-3.5 3.5C5.5 19 4.5 20 3 20.5c3.5.8 8 .2 8-4.5z" />',
  usesRadius: true,
  ...painting(({ selection, level, radius, value }, points) => selection.brush(level, points, radius, value)),
};
