// `node border-cases.js CASES.json OUT.json` writes the shared borders of the maps that tests/frontend/borders.py draws.

import { readFileSync, writeFileSync } from 'node:fs';
import { joinHoles } from '../src/topology/bridges.js';
import { Borders } from '../src/topology/index.js';

const [cases, out] = process.argv.slice(2);
const written = JSON.parse(readFileSync(cases, 'utf8')).map((/** @type {any} */ one) => {
  const borders = new Borders(one, one.tolerance);
  const rings = borders.rings();
  return { pieces: borders.pieces, rings, joined: rings.map(joinHoles) };
});
writeFileSync(out, JSON.stringify(written));
