// Inflates one gzip member, with a limit on the output.
//
// The gzip header and trailer are read here, not by DecompressionStream('gzip'): platforms differ in which bytes they accept
// after a member (Node continues with a second one), and every platform must accept or reject the same label maps.

import { check } from './errors.js';

/** Input bytes written at once. Deflate turns 1 byte into at most 1032, so at most 16 MiB of output wait to be read. */
const SLICE = 1 << 14;

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

/**
 * @param {Uint8Array} bytes
 * @returns {number} CRC-32, unsigned
 */
export function crc32(bytes) {
  let crc = -1;
  for (let i = 0; i < bytes.length; i++) crc = CRC_TABLE[(crc ^ bytes[i]) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

/**
 * @param {string} name of the section, for the error text
 * @param {Uint8Array} member exactly one gzip member (RFC 1952)
 * @param {number} size bytes that it must inflate to
 * @returns {Promise<Uint8Array>} size; rejects with `DAMAGED`
 */
export async function inflateMember(name, member, size) {
  const start = headerEnd(member);
  const damaged = `${name}: must be one valid gzip member of ${size} bytes`;
  check(start > 0 && member.length - start >= 8, 'DAMAGED', damaged);
  const body = member.subarray(start, member.length - 8);
  const raw = await inflateRaw(body, size);
  check(raw?.length === size, 'DAMAGED', damaged);
  const trailer = new DataView(member.buffer, member.byteOffset + member.length - 8, 8);
  check(trailer.getUint32(0, true) === crc32(raw) && trailer.getUint32(4, true) === size, 'DAMAGED', damaged);
  // Some platforms ignore bytes after the deflate stream. A stream that still ends without the last byte had such bytes.
  const ended = (await ignoresJunk()) && (await inflateRaw(body.subarray(0, -1), size));
  check(!ended, 'DAMAGED', damaged);
  return raw;
}

/**
 * @param {Uint8Array} member
 * @returns {number} index at which the deflate stream begins (RFC 1952); -1: not a gzip header
 */
function headerEnd(member) {
  if (member.length < 10 || member[0] !== 0x1f || member[1] !== 0x8b || member[2] !== 8) return -1;
  const flags = member[3];
  if (flags & 0xe0) return -1;
  let at = 10;
  if (flags & 4) at += 2 + (member[at] | (member[at + 1] << 8));
  for (const flag of [8, 16]) {
    if (!(flags & flag)) continue;
    const zero = member.indexOf(0, at);
    if (zero < 0) return -1;
    at = zero + 1;
  }
  if (flags & 2) {
    const sum = crc32(member.subarray(0, at)) & 0xffff;
    if (sum !== (member[at] | (member[at + 1] << 8))) return -1;
    at += 2;
  }
  return at;
}

/**
 * @param {Uint8Array} body a raw deflate stream
 * @param {number} size stop after more bytes than this
 * @returns {Promise<Uint8Array | null>} null: invalid, incomplete or longer
 */
async function inflateRaw(body, size) {
  const stream = new DecompressionStream('deflate-raw');
  const reader = stream.readable.getReader();
  const writing = feed(stream.writable.getWriter(), body);
  /** @type {Uint8Array[]} */
  const chunks = [];
  let length = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      chunks.push(value);
      length += value.length;
      if (length > size) return null;
    }
  } catch {
    return null;
  } finally {
    // Not awaited: on some platforms it settles only after the writer has failed as well.
    reader.cancel().catch(() => {});
  }
  await writing;
  const raw = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    raw.set(chunk, at);
    at += chunk.length;
  }
  return raw;
}

/**
 * Write all bytes. Never rejects: the reading side reports invalid bytes.
 *
 * @param {WritableStreamDefaultWriter<BufferSource>} writer
 * @param {Uint8Array} bytes
 */
async function feed(writer, bytes) {
  try {
    for (let at = 0; at < bytes.length; at += SLICE) {
      await writer.ready;
      await writer.write(/** @type {Uint8Array<ArrayBuffer>} */ (bytes.subarray(at, at + SLICE)));
    }
    await writer.close();
  } catch {
    writer.closed.catch(() => {});
  }
}

/** @type {Promise<boolean> | undefined} */
let junkIgnored;

/** @returns {Promise<boolean>} whether this platform ignores bytes after the end of a deflate stream */
function ignoresJunk() {
  junkIgnored ??= inflateRaw(Uint8Array.of(3, 0, 0), 1).then((raw) => raw !== null);
  return junkIgnored;
}
