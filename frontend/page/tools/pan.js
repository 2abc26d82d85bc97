/** @type {import('./tool.js').Tool} */
export const pan = {
  id: 'pan',
  key: 'h',
  label: 'Pan',
  summary: 'drag the image',
  hint: 'Drag the image; hold Space to do so with any tool. The wheel or a pinch zooms.',
  icon: `<path
    d="M12 3v18M3 12h18M9 5.5 12 3l3 2.5M9 18.5l3 2.5 3-2.5M5.5 9 3 12l2.5 3M18.5 9l2.5 3-2.5 3"
  />`,
  movesImage: true,
};
