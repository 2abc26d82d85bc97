/**
 * Give everything of a class, its objects included, to another class, as one undo step. The values of the classes behind it fall by one.
 *
 * @param {import('../src/index.js').Selection} selection
 * @param {number} value the class, from 1
 * @param {number} into the other class
 * @returns {import('../src/boxes.js').Box | null} what has changed
 */
export function mergeClass(selection, value, into) {
  const objects = selection.objects.flatMap((from, at) =>
    from.class === value ? [{ at, from, to: { ...from, class: into } }] : [],
  );
  const removed = { at: value, class: selection.classes[value - 1] };
  return selection._remove([], [value], into, { removed, objects });
}
