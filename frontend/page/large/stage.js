import { Stage } from '../stage.js';

/** Screen pixels that an arrow key moves the image. */
const STEP = 100;

/** The stage of a large image: arrow keys move the image, and the keyboard's cursor stays in the middle of the view. */
export class LargeStage extends Stage {
  /** @type {Stage['_moveCursor']} */
  _moveCursor([x, y]) {
    this.app.camera.pan(-x * STEP, -y * STEP);
    this.app.viewChanged();
    this.centreCursor();
  }
}
