import { any, make } from './dom.js';

const SAMPLES = [
  { file: 'astronaut.jpg', name: 'Astronaut' },
  { file: 'coffee.jpg', name: 'Coffee' },
  { file: 'chelsea.jpg', name: 'Cat' },
];

/**
 * Make the pictures on the empty page, and the menu in the header.
 *
 * @param {(sample: { file: string }) => void} open
 */
export function fillSamples(open) {
  for (const sample of SAMPLES) {
    const picture = make('button', {}, make('img', { src: `samples/${sample.file}`, alt: '' }), sample.name);
    picture.addEventListener('click', () => open(sample));
    any('samples').append(picture);
    const item = make('button', { textContent: sample.name });
    item.addEventListener('click', () => {
      any('samples-menu').hidePopover();
      open(sample);
    });
    any('samples-menu').append(item);
  }
}
