/** CSS pixels around an image that is wholly visible. */
const MARGIN = 20;
const MOST_ZOOM = 64;

/**
 * @typedef {{ width: number, height: number }} Size
 *
 * @param {Size} canvas screen pixels
 * @param {Size} image
 * @param {number} ratio screen pixels per CSS pixel
 * @returns {number} the scale at which the whole image is visible
 */
export function fitScale(canvas, image, ratio) {
  const room = 2 * MARGIN * ratio;
  return Math.min(
    Math.max(1, canvas.width - room) / image.width,
    Math.max(1, canvas.height - room) / image.height,
    16 * ratio,
  );
}

/** Which part of the image is visible, and at which scale. Screen coordinates are in device pixels. */
export class Camera {
  constructor() {
    /** Column of the image at the left edge of the canvas. */
    this.x = 0;
    this.y = 0;
    /** Screen pixels per pixel of the image. */
    this.scale = 1;
    /** Size of the canvas, screen pixels. */
    this.width = 1;
    this.height = 1;
    /** Screen pixels per CSS pixel. */
    this.ratio = 1;
    this.image = { width: 1, height: 1 };
    /** Whether the whole image stays visible when the window changes its size. */
    this.fitted = true;
  }

  get fitScale() {
    return fitScale(this, this.image, this.ratio);
  }

  fit() {
    this.scale = this.fitScale;
    this.x = this.image.width / 2 - this.width / 2 / this.scale;
    this.y = this.image.height / 2 - this.height / 2 / this.scale;
    this.fitted = true;
    this.settle();
  }

  /**
   * @param {number} width
   * @param {number} height
   * @param {number} ratio
   */
  resize(width, height, ratio) {
    const [middleX, middleY] = this.toImage(this.width / 2, this.height / 2);
    this.scale *= ratio / this.ratio;
    Object.assign(this, { width, height, ratio });
    if (this.fitted) {
      this.fit();
      return;
    }
    this.x = middleX - width / 2 / this.scale;
    this.y = middleY - height / 2 / this.scale;
    this.settle();
  }

  /**
   * @param {number} scale
   * @param {number} atX on the screen; the point of the image there stays there
   * @param {number} atY
   */
  zoomTo(scale, atX = this.width / 2, atY = this.height / 2) {
    const [x, y] = this.toImage(atX, atY);
    const least = Math.min(this.fitScale / 2, this.ratio);
    this.scale = Math.min(Math.max(scale, least), MOST_ZOOM * this.ratio);
    this.x = x - atX / this.scale;
    this.y = y - atY / this.scale;
    this.fitted = false;
    this.settle();
  }

  /**
   * @param {number} dx on the screen
   * @param {number} dy
   */
  pan(dx, dy) {
    this.x -= dx / this.scale;
    this.y -= dy / this.scale;
    this.fitted = false;
    this.settle();
  }

  /** Keep a part of the image visible, and align its pixels to those of the screen. */
  settle() {
    const { scale, image } = this;
    const halfX = this.width / 2 / scale;
    const halfY = this.height / 2 / scale;
    this.x = Math.min(Math.max(this.x, -halfX), image.width - halfX);
    this.y = Math.min(Math.max(this.y, -halfY), image.height - halfY);
    this.x = Math.round(this.x * scale) / scale;
    this.y = Math.round(this.y * scale) / scale;
  }

  /**
   * @param {number} screenX
   * @param {number} screenY
   * @returns {[number, number]}
   */
  toImage(screenX, screenY) {
    return [this.x + screenX / this.scale, this.y + screenY / this.scale];
  }

  /**
   * @param {number} x
   * @param {number} y
   * @returns {[number, number]}
   */
  toScreen(x, y) {
    return [(x - this.x) * this.scale, (y - this.y) * this.scale];
  }

  /**
   * The screen pixels that show a box of the image, with a margin of one; null if none does.
   *
   * @param {import('../src/selection.js').Box} [box] default: the whole image
   * @param {number} [step] screen pixels per pixel of the layer
   */
  seen({ x0, y0, x1, y1 } = { x0: 0, y0: 0, x1: this.image.width, y1: this.image.height }, step = 1) {
    const scale = this.scale / step;
    const left = Math.max(0, Math.floor((x0 - this.x) * scale) - 1);
    const top = Math.max(0, Math.floor((y0 - this.y) * scale) - 1);
    const right = Math.min(Math.ceil(this.width / step), Math.ceil((x1 - this.x) * scale) + 1);
    const bottom = Math.min(Math.ceil(this.height / step), Math.ceil((y1 - this.y) * scale) + 1);
    if (left >= right || top >= bottom) return null;
    const [x, y] = [this.x + left / scale, this.y + top / scale];
    return { left, top, view: { x, y, scale, width: right - left, height: bottom - top } };
  }
}
