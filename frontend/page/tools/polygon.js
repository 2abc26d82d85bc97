import { area } from './area.js';

/** @type {import('./tool.js').Tool} */
export const polygon = {
  id: 'polygon',
  key: 'o',
  label: 'Polygon',
  summary: 'a lasso by clicks',
  hint: 'Click the corners. Double click, Enter or a click on the first corner closes it; Backspace takes back a corner.',
  icon: `<path
    d="M5.2 8.2 12.6 5M14.4 5.8l4.4 5.4M18.8 13.6l-3 5.4M13.8 19.6l-7.6-2.4M5 15.2 4.4 10.4M3 7.5h3v3H3zM12 3.5h3v3h-3zM17.8 11h3v3h-3zM13.5 18h3v3h-3zM3.8 15h3v3h-3z"
  />`,
  byCorners: true,
  byKeyboard: 'corners',
  ...area('polygonTakes'),
};
