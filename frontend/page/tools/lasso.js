/** @type {import('./tool.js').Tool} */
export const lasso = {
  id: 'lasso',
  key: 'l',
  label: 'Lasso',
  summary: 'superpixels at least half inside',
  hint: 'Takes the superpixels that are at least half inside.',
  icon: `<path
    d="M8 16.5C5 15.5 3.5 13 3.5 10.5 3.5 7 7 4.5 12 4.5s8.5 2.5 8.5 6-3.5 6-8.5 6c-.8 0-1.5 0-2.2-.2M8 16.5a1.8 1.8 0 1 0 1.8-.2M8.5 18.5C8.5 20 7.5 21 6 21"
  />`,
  byKeyboard: 'corners',
  up(gesture) {
    const { selection, level, path, last, value } = gesture;
    gesture.redraw(
      path.length < 2 ? selection.click(level, ...last, value) : selection.lasso(level, path, value),
    );
  },
  draw(layers, gesture) {
    if (gesture) layers.drawOutline(gesture.path);
  },
};
