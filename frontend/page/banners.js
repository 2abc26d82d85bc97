// Messages that stay until their reason is gone. The status line is for those that pass.

import { any, make } from './dom.js';

/** @type {Map<string, HTMLElement>} */
const shown = new Map();

/** @returns {HTMLElement} the place of all banners */
function region() {
  const found = document.getElementById('banners');
  if (found) return found;
  const made = make('div', { id: 'banners' });
  any('stage').after(made);
  return made;
}

/**
 * Show a banner, or change the text of the one of this name.
 *
 * @param {string} name
 * @param {string} text
 * @param {Record<string, () => unknown>} [actions] what its buttons do, by their labels
 * @param {'alert' | 'status'} [role] alert: screen readers interrupt
 */
export function showBanner(name, text, actions = {}, role = 'alert') {
  const old = shown.get(name);
  if (old?.dataset.text === text) return;
  const buttons = Object.entries(actions).map(([label, action]) => {
    const button = make('button', { className: 'text', textContent: label });
    button.addEventListener('click', () => action());
    return button;
  });
  const banner = make(
    'section',
    { id: `banner-${name}`, role },
    make('p', { textContent: text }),
    ...buttons,
  );
  banner.dataset.text = text;
  if (old) old.replaceWith(banner);
  else region().append(banner);
  shown.set(name, banner);
}

/** @param {string} name */
export function hideBanner(name) {
  shown.get(name)?.remove();
  shown.delete(name);
}
