// Reads the files that tests/frontend/fixtures.py writes. `make test-frontend` writes them to SUPERPIXEL_FIXTURES.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { decode } from 'superpixel-map';

const folder = process.env.SUPERPIXEL_FIXTURES;
if (!folder) throw new Error('SUPERPIXEL_FIXTURES is not set: run `make test-frontend` in the project');

/** @param {string} name */
export const read = (name) => new Uint8Array(readFileSync(join(/** @type {string} */ (folder), name)));

/** @param {string} name */
export const readJSON = (name) => JSON.parse(new TextDecoder().decode(read(name)));

export const MAPS = ['photo', 'levels', 'pixels', 'noise', 'single', 'line', 'masked', 'masked-levels'];

/** @param {string} name */
export const loadMap = (name) => decode(read(`maps/${name}.spx`));

/** @param {string} text */
export const fromBase64 = (text) => new Uint8Array(Buffer.from(text, 'base64'));
