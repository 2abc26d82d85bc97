import { area } from './area.js';

/** @type {import('./tool.js').Tool} */
export const lasso = {
  id: 'lasso',
  key: 'l',
  label: 'Lasso',
  summary: 'superpixels at least half inside, or exactly its pixels',
  hint: 'Draw around an object. Takes the superpixels that are at least half inside.',
  icon: `<path
    d="M12 3.5c5 0 8.5 2.3 8.5 5.3s-3.5 5.3-8.5 5.3-8.5-2.3-8.5-5.3S7 3.5 12 3.5zM7.2 13.2c-2 .4-2.7 1.9-1.6 2.8 1 .8 2.6 0 2.4-1.4-.1-.6-.4-1-.8-1.4M7 16.2c1.3 1.6.6 3.4-2 5.3"
  />`,
  byKeyboard: 'corners',
  ...area('lassoTakes'),
};
