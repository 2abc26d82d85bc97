// ZIP archives (PKWARE's APPNOTE, without ZIP64 and encryption). Reading is lazy and trusts nothing.

import { crc32 } from '../src/inflate.js';
import { Problem } from './api.js';
import { count, fileSize } from './dom.js';

const LOCAL = 0x04034b50;
const CENTRAL = 0x02014b50;
const END = 0x06054b50;

const STORED = 0;
const DEFLATED = 8;
const ENCRYPTED = 1;
const UTF8 = 1 << 11;

/** Version 2.0 of the format: what deflated entries need. */
const VERSION = 20;

/** 1 January 1980: the same content gives the same bytes. */
const DATE = 33;

const TEXT = /\.(json|txt|yaml)$/;

const MAX_BYTES = 2 ** 32 - 1;
const MAX_ENTRIES = 2 ** 16 - 1;

/** @typedef {Blob | Uint8Array<ArrayBuffer> | string} Content */

/** @param {string} name @returns {string} without the characters that some file systems reject */
export const portable = (name) => name.replace(/[\\/:*?"<>|\p{Cc}]/gu, '_');

/** @param {BlobPart} part @param {ReadableWritablePair<any, any>} transform */
const through = (part, transform) => new Blob([part]).stream().pipeThrough(transform);

/** Writes an archive. It holds the parts, not copies of them. */
export class ZipWriter {
  constructor() {
    /** @type {BlobPart[]} */
    this._parts = [];
    /** @type {BlobPart[]} */
    this._directory = [];
    this._names = new Set();
    this._at = 0;
    this._directoryBytes = 0;
  }

  /**
   * @param {string} name with `/` between folders
   * @param {Content} content text files are compressed, others are stored as they are
   */
  async add(name, content) {
    const blob = new Blob([content]);
    const crc = crc32(new Uint8Array(await blob.arrayBuffer()));
    const isText = TEXT.test(name);
    const data = isText
      ? await new Response(through(blob, new CompressionStream('deflate-raw'))).blob()
      : blob;
    const path = new TextEncoder().encode(name);
    const fields = new DataView(new ArrayBuffer(26));
    fields.setUint16(0, VERSION, true);
    fields.setUint16(2, UTF8, true);
    fields.setUint16(4, isText ? DEFLATED : STORED, true);
    fields.setUint16(8, DATE, true);
    fields.setUint32(10, crc, true);
    fields.setUint32(14, data.size, true);
    fields.setUint32(18, blob.size, true);
    fields.setUint16(22, path.length, true);
    const head = new DataView(new ArrayBuffer(4));
    head.setUint32(0, LOCAL, true);
    const central = new DataView(new ArrayBuffer(6));
    central.setUint32(0, CENTRAL, true);
    central.setUint16(4, VERSION, true);
    const tail = new DataView(new ArrayBuffer(14)); // no comment, disk 0, no attributes
    tail.setUint32(10, this._at, true);
    this._parts.push(head.buffer, fields.buffer, path, data);
    this._directory.push(central.buffer, fields.buffer, tail.buffer, path);
    this._names.add(name);
    this._at += 30 + path.length + data.size;
    this._directoryBytes += 46 + path.length;
    if (this._at + this._directoryBytes > MAX_BYTES - 22 || this._names.size > MAX_ENTRIES)
      throw new Problem('Too much for one file', 'A ZIP file has at most 4 GB and 65,535 files.');
  }

  /** @returns {Blob} the archive */
  finish() {
    const end = new DataView(new ArrayBuffer(22));
    const { size } = this._names;
    end.setUint32(0, END, true);
    end.setUint16(8, size, true);
    end.setUint16(10, size, true);
    end.setUint32(12, this._directoryBytes, true);
    end.setUint32(16, this._at, true);
    return new Blob([...this._parts, ...this._directory, end.buffer], { type: 'application/zip' });
  }
}

/** @param {string} text @returns {Problem} */
const damaged = (text) => new Problem('This file cannot be read', `The ZIP file is damaged: ${text}.`);

/** @param {Blob} blob @returns {Promise<DataView>} */
const viewOf = async (blob) => new DataView(await blob.arrayBuffer());

/** @param {Blob} file @returns {Promise<boolean>} whether it begins like an archive */
export async function isZip(file) {
  const view = await viewOf(file.slice(0, 4));
  return view.byteLength === 4 && view.getUint32(0, true) === LOCAL;
}

/** Reads an archive. */
export class ZipReader {
  /**
   * @param {Blob} file
   * @param {Map<string, { at: number, method: number, packed: number, size: number, crc: number }>} entries
   */
  constructor(file, entries) {
    this._file = file;
    this._entries = entries;
  }

  /**
   * @param {Blob} file untrusted
   * @returns {Promise<ZipReader>} rejects with a Problem
   */
  static async open(file) {
    const start = Math.max(0, file.size - 22 - 0xffff);
    const end = await viewOf(file.slice(start));
    let at = end.byteLength - 22;
    while (at >= 0 && end.getUint32(at, true) !== END) at--;
    if (at < 0) throw damaged('its end is missing');
    const total = end.getUint16(at + 10, true);
    const [bytes, from] = [end.getUint32(at + 12, true), end.getUint32(at + 16, true)];
    if (total === MAX_ENTRIES || bytes === MAX_BYTES || from === MAX_BYTES)
      throw new Problem('This file cannot be read', 'ZIP64 is not supported: at most 4 GB and 65,535 files.');
    if (from + bytes > start + at) throw damaged('its directory lies outside of it');
    const directory = await viewOf(file.slice(from, from + bytes));
    const entries = new Map();
    const decoder = new TextDecoder();
    for (let i = 0, next = 0; i < total; i++) {
      if (next + 46 > bytes || directory.getUint32(next, true) !== CENTRAL)
        throw damaged('its directory is cut off');
      const [name, extra, comment] = [28, 30, 32].map((field) => directory.getUint16(next + field, true));
      const after = next + 46 + name + extra + comment;
      if (after > bytes) throw damaged('its directory is cut off');
      if (directory.getUint16(next + 8, true) & ENCRYPTED)
        throw new Problem('This file cannot be read', 'The ZIP file is encrypted.');
      entries.set(decoder.decode(new Uint8Array(directory.buffer, next + 46, name)), {
        at: directory.getUint32(next + 42, true),
        method: directory.getUint16(next + 10, true),
        crc: directory.getUint32(next + 16, true),
        packed: directory.getUint32(next + 20, true),
        size: directory.getUint32(next + 24, true),
      });
      next = after;
    }
    return new ZipReader(file, entries);
  }

  /** @param {string} name */
  has(name) {
    return this._entries.has(name);
  }

  /**
   * @param {string} name
   * @param {number} most bytes that the file may have
   * @returns {Promise<ArrayBuffer>} the file's content; rejects with a Problem
   */
  async read(name, most) {
    const entry = this._entries.get(name);
    if (!entry) throw damaged(`${name} is missing`);
    const { at, method, packed, size, crc } = entry;
    if (size > most) {
      const text = `${name} has ${fileSize(size)}, at most ${fileSize(most)} are read.`;
      throw new Problem('This file cannot be read', text);
    }
    const head = await viewOf(this._file.slice(at, at + 30));
    if (head.byteLength < 30 || head.getUint32(0, true) !== LOCAL)
      throw damaged(`${name} is not where it should be`);
    const from = at + 30 + head.getUint16(26, true) + head.getUint16(28, true);
    const data = this._file.slice(from, from + packed);
    const content =
      method === STORED ? await data.arrayBuffer() : method === DEFLATED && (await inflate(data, size));
    if (!content) throw damaged(`${name} is compressed in a way that is not supported, or cut off`);
    if (content.byteLength !== size || crc32(new Uint8Array(content)) !== crc) {
      throw damaged(`${name} has ${count(content.byteLength)} bytes that are not those that were written`);
    }
    return content;
  }
}

/**
 * @param {Blob} data
 * @param {number} size bytes expected; no more are inflated
 * @returns {Promise<ArrayBuffer | null>} null: it is damaged
 */
async function inflate(data, size) {
  const content = new Uint8Array(size);
  const reader = through(data, new DecompressionStream('deflate-raw')).getReader();
  let at = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return at === size ? content.buffer : null;
      if (at + value.length > size) {
        await reader.cancel();
        return null;
      }
      content.set(value, at);
      at += value.length;
    }
  } catch {
    return null;
  }
}
