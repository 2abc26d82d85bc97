// Formats of images. JPEG, PNG and WebP are sent as they are. Others that the page can show are sent as PNG, so that the server
// sees what it shows.

/** How files begin that are sent as they are. @type {(bytes: Uint8Array) => boolean} */
function isSent(bytes) {
  const text = String.fromCharCode(...bytes.subarray(0, 12));
  return text.startsWith('\xff\xd8') || text.startsWith('\x89PNG') || /^RIFF....WEBP/s.test(text);
}

/** @type {(bytes: Uint8Array) => boolean} */
const isTIFF = (bytes) => /^(II[*+]\0|MM\0[*+])/.test(String.fromCharCode(...bytes));

/**
 * @param {Blob} blob a TIFF file
 * @returns {Promise<ImageBitmap | null>} its first picture; null if it cannot be read here
 */
async function decodeTIFF(blob) {
  const worker = new Worker(new URL('./tiff-worker.js', import.meta.url), { type: 'module' });
  const picture = await new Promise((resolve) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = () => resolve(null);
    worker.postMessage(blob);
  });
  worker.terminate();
  return picture;
}

/**
 * @param {Blob} blob a file
 * @returns {Promise<Blob>} the file; as PNG if it has another format that the page can show (BMP, GIF, AVIF, TIFF): its first
 *   picture
 */
export async function readable(blob) {
  const start = new Uint8Array(await blob.slice(0, 12).arrayBuffer());
  if (isSent(start)) return blob;
  const bitmap = await (isTIFF(start) ? decodeTIFF(blob) : createImageBitmap(blob).catch(() => null));
  if (!bitmap) return blob; // the server says what is wrong
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext('2d');
  if (!context) return blob;
  context.fillStyle = '#fff'; // transparent pixels are white on the server, too
  context.fillRect(0, 0, bitmap.width, bitmap.height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return canvas.convertToBlob({ type: 'image/png' });
}
