// Files that are dropped or pasted: which of them are annotations of the open photograph.

import { Problem } from './api.js';
import { isText, mayBeMask } from './masks.js';
import { showProblem } from './notices.js';

/**
 * Ask what to do with annotations of the open photograph.
 *
 * @param {import('./app.js').App} app
 * @param {File[]} files that were dropped together
 * @returns {Promise<boolean>} false: they are photographs
 */
export async function takeAnnotations({ work, maskDialog }, files) {
  // Several pictures alone are photographs.
  if (!files.length || (files.length > 1 && !files.some(isText))) return false;
  if (!work) {
    if (!files.every(isText)) return false;
    showProblem(new Problem('No photograph', 'Open the photograph of this mask first.'));
    return true;
  }
  for (const file of files) if (!(await mayBeMask(file, work))) return false;
  await maskDialog.offer(files);
  return true;
}
