// One gzip member, inflated by the platform, with a bound on what comes out.
//
// The framing is read here and not by DecompressionStream('gzip'): platforms differ in what they take behind a member
// (Node reads on into a second one), and a label map must be the same everywhere, or refused everywhere.

import { check } from './errors.js';

/** Input is fed in slices: deflate makes at most 1032 bytes of one, so nothing larger than 16 MiB waits to be read. */
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
 * @param {string} name of the section, for the message
 * @param {Uint8Array} member
 * @param {number} size bytes that it must inflate to
 * @returns {Promise<Uint8Array>}
 */
export async function inflateMember(name, member, size) {
  const start = headerEnd(member);
  const unsound = `${name}: the payload is not one sound gzip member`;
  check(start > 0 && member.length - start >= 8, 'DAMAGED', unsound);
  const body = member.subarray(start, member.length - 8);
  const raw = await inflateRaw(body, size);
  check(raw, 'DAMAGED', unsound);
  check(
    raw.length <= size,
    'DAMAGED',
    `${name}: the payload inflates to more than the ${size} bytes announced`,
  );
  check(
    raw.length === size,
    'DAMAGED',
    `${name}: the payload inflates to ${raw.length} bytes, ${size} were announced`,
  );
  const trailer = new DataView(member.buffer, member.byteOffset + member.length - 8, 8);
  check(trailer.getUint32(0, true) === crc32(raw) && trailer.getUint32(4, true) === size, 'DAMAGED', unsound);
  // Where the platform ignores bytes behind the end: the end must lie in the last byte, so without it there is none.
  const ended = (await ignoresJunk()) && (await inflateRaw(body.subarray(0, -1), size));
  check(!ended, 'DAMAGED', unsound);
  return raw;
}

/**
 * @param {Uint8Array} member
 * @returns {number} where the deflate stream begins (RFC 1952); -1: not a gzip header
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
 * @param {number} size inflating stops once there is more
 * @returns {Promise<Uint8Array | null>} null: not sound, or cut short
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
      if (length > size) break;
    }
  } catch {
    return null;
  } finally {
    // Not awaited: a platform may settle it only once the writer has been told as well.
    reader.cancel().catch(() => {});
  }
  await (length > size ? undefined : writing);
  const raw = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    raw.set(chunk, at);
    at += chunk.length;
  }
  return raw;
}

/**
 * Never rejects: what is wrong with the bytes is told by the reading side.
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

/** @returns {Promise<boolean>} whether this platform takes bytes behind a deflate stream's end */
function ignoresJunk() {
  junkIgnored ??= inflateRaw(Uint8Array.of(3, 0, 0), 1).then((raw) => raw !== null);
  return junkIgnored;
}
