/** @typedef {import('../gesture.js').Gesture} Gesture */
/** @typedef {import('../../src/shapes.js').Point} Point */

/**
 * The events of a tool that changes the selection while it moves. One gesture is one step to undo.
 *
 * @param {(gesture: Gesture, points: Point[]) => import('../../src/selection.js').Box | null} paint along these points;
 *   returns the changed box
 */
export const painting = (paint) => ({
  down(/** @type {Gesture} */ gesture) {
    gesture.selection.begin();
    gesture.redraw(paint(gesture, gesture.path));
  },
  drag(/** @type {Gesture} */ gesture, /** @type {Point[]} */ points) {
    gesture.redraw(paint(gesture, points));
  },
  up(/** @type {Gesture} */ gesture) {
    gesture.selection.end();
  },
  cancel(/** @type {Gesture} */ gesture) {
    gesture.redraw(gesture.selection.cancel());
  },
});
