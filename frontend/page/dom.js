/**
 * The element of this id.
 *
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} kind
 * @returns {T}
 */
export function byId(id, kind) {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`the page has no ${kind.name} #${id}`);
  return found;
}

export const button = (/** @type {string} */ id) => byId(id, HTMLButtonElement);
export const input = (/** @type {string} */ id) => byId(id, HTMLInputElement);
export const any = (/** @type {string} */ id) => byId(id, HTMLElement);

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Partial<HTMLElementTagNameMap[K]>} [properties]
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/**
 * Append an item to a menu, which closes when the item is chosen.
 *
 * @param {HTMLElement} menu
 * @param {{ format: string, name: string, note: string }} facts
 * @param {() => unknown} run
 * @returns {HTMLButtonElement}
 */
export function addMenuItem(menu, { format, name, note }, run) {
  const quiet = make('span', { textContent: note, className: 'quiet' });
  const item = make('button', {}, make('span', { textContent: name }), quiet);
  item.dataset.format = format;
  item.addEventListener('click', () => {
    menu.hidePopover();
    run();
  });
  menu.append(item);
  return item;
}

/**
 * Pass on the files that the user chooses. The same file can be chosen again.
 *
 * @param {HTMLInputElement} chosen
 * @param {(files: File[]) => unknown} take
 */
export function onFiles(chosen, take) {
  chosen.addEventListener('change', () => {
    const files = [...(chosen.files ?? [])];
    chosen.value = '';
    take(files);
  });
}

/** @param {string} content of a picture of 24 x 24 units */
export function pictureOf(content) {
  const picture = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  picture.setAttribute('viewBox', '0 0 24 24');
  picture.innerHTML = content;
  return picture;
}

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });

export const count = (/** @type {number} */ value) => whole.format(value);

/** @param {number} value */
export const superpixels = (value) => `${count(value)} superpixel${value === 1 ? '' : 's'}`;

/** @param {number} value */
export const images = (value) => `${count(value)} image${value === 1 ? '' : 's'}`;

/** @param {number} bytes */
export function fileSize(bytes) {
  if (bytes < 1e6) return `${whole.format(Math.max(1, bytes / 1e3))} kB`;
  return `${short.format(bytes / 1e6)} MB`;
}

/** @param {number} share 0 to 1 @returns {string} */
export function percent(share) {
  if (share === 0) return '0 %';
  if (share < 0.001) return '<0.1 %';
  if (share > 0.999 && share < 1) return '>99.9 %';
  return share < 0.1 ? `${(100 * share).toFixed(1)} %` : `${Math.floor(100 * share)} %`;
}
