// Rows of a list whose items the user chooses and renames.

/**
 * Let a row be chosen by a click on it, and renamed by a double click or F2.
 *
 * @param {HTMLLIElement} row
 * @param {() => void} choose
 * @param {() => void} rename
 */
export function bindRow(row, choose, rename) {
  row.title = 'Click to paint it; double click to rename it';
  const isRow = (/** @type {Event} */ { target }) =>
    target instanceof Element && !target.closest('button, select, input[type=color], input[type=text]');
  row.addEventListener('click', (event) => isRow(event) && choose());
  row.addEventListener('dblclick', (event) => isRow(event) && rename());
  row.addEventListener('keydown', (event) => {
    if (event.key === 'F2') rename();
  });
}

/**
 * Let Enter end the editing of a name, and Escape take it back.
 *
 * @param {HTMLInputElement} field
 * @param {HTMLElement} next gets the focus then
 * @param {() => string} nameNow
 */
export function bindName(field, next, nameNow) {
  field.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') field.value = nameNow();
    if (event.key === 'Enter' || event.key === 'Escape') next.focus();
  });
}

/** Begin to edit the name in a row. @param {Element | null | undefined} row */
export function editName(row) {
  const name = row?.querySelector('input[type=text]');
  if (!(name instanceof HTMLInputElement)) return;
  name.focus();
  name.select();
}
