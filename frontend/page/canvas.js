/**
 * A canvas that is not on the page, filled with white: transparent pixels are white on the server, too.
 *
 * @param {number} width pixels
 * @param {number} height pixels
 * @param {CanvasRenderingContext2DSettings} [settings]
 * @returns {OffscreenCanvasRenderingContext2D}
 */
export function whiteCanvas(width, height, settings) {
  const context = new OffscreenCanvas(width, height).getContext('2d', settings);
  if (!context) throw new Error('this browser has no canvas');
  context.fillStyle = '#fff';
  context.fillRect(0, 0, width, height);
  return context;
}
