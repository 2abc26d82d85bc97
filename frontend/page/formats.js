// Formats of images. JPEG, PNG and WebP are sent as they are. Others that the browser can show are sent as PNG, so that the
// server sees what it shows.

/** How files begin that are sent as they are. @type {(bytes: Uint8Array) => boolean} */
function isSent(bytes) {
  const text = String.fromCharCode(...bytes.subarray(0, 12));
  return text.startsWith('\xff\xd8') || text.startsWith('\x89PNG') || /^RIFF....WEBP/s.test(text);
}

/**
 * @param {Blob} blob a file
 * @returns {Promise<Blob>} the file; as PNG if it has another format that the browser can show (BMP, GIF, AVIF): its first frame
 */
export async function readable(blob) {
  if (isSent(new Uint8Array(await blob.slice(0, 12).arrayBuffer()))) return blob;
  const bitmap = await createImageBitmap(blob).catch(() => null);
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
