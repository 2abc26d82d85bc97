import { painting } from './painting.js';

const settings = { pixelMode: 'paint' };

/** @type {import('./tool.js').Tool} */
export const pixel = {
  id: 'pixel',
  key: 'p',
  label: 'Pixel brush',
  summary: 'where superpixels are wrong',
  hint: '',
  icon: `<path
    d="M4 4h4v4H4zM8 8h4v4H8zM12 4h4v4h-4zM16 8h4v4h-4zM4 12h4v4H4zM12 12h4v4h-4zM8 16h4v4H8zM16 16h4v4h-4z"
  />`,
  pointsAt: 'pixel',
  usesRadius: true,
  settings,
  options: [
    {
      kind: 'choice',
      setting: 'pixelMode',
      label: 'Pixels',
      choices: [
        { value: 'paint', label: 'Paint' },
        { value: 'erase', label: 'Erase' },
        {
          value: 'restore',
          label: 'Restore',
          title: 'Remove painted pixels: the class of the superpixel counts again',
        },
      ],
    },
  ],
  ...painting(({ selection, radius, value }, points) => {
    const { pixelMode } = settings;
    const painted = pixelMode === 'restore' ? null : pixelMode === 'erase' ? 0 : value;
    return selection.paintPixels(points, radius, painted);
  }),
};
