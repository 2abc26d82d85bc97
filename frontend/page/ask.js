import { make } from './dom.js';

/**
 * Ask the user.
 *
 * @param {string} title
 * @param {string} text
 * @param {string[]} answers labels of the buttons; the first one has the focus
 * @returns {Promise<string | null>} null: cancelled
 */
export function ask(title, text, answers) {
  const heading = make('h2', { id: 'question-title', textContent: title });
  const form = make('form', { method: 'dialog' }, heading);
  const body = make('div', { className: 'answers' }, make('p', { textContent: text }));
  const dialog = make('dialog', { id: 'question' }, form, body);
  dialog.setAttribute('aria-labelledby', heading.id);
  for (const answer of [...answers, 'Cancel']) {
    const button = make('button', { textContent: answer, autofocus: answer === answers[0] });
    button.addEventListener('click', () => dialog.close(answer));
    body.append(button);
  }
  document.body.append(dialog);
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(answers.includes(dialog.returnValue) ? dialog.returnValue : null);
    });
    dialog.showModal();
  });
}
