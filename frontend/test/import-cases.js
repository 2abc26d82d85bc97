// `node import-cases.js CASES` reads each case of a JSON file, and prints the annotations or the errors.

import { readFileSync } from 'node:fs';
import { readAnnotation } from 'superpixel-map/imports';

/** @param {{ files: { name: string, base64: string }[], options: import('../src/imports/index.js').Options }} one */
async function read({ files, options }) {
  const opened = files.map(({ name, base64 }) => ({
    name,
    data: new Uint8Array(Buffer.from(base64, 'base64')),
  }));
  try {
    const { mask, instances, ...rest } = await readAnnotation(opened, options);
    return { ...rest, mask: [...mask], instances: instances ? [...instances] : null };
  } catch (error) {
    return { error: error instanceof Error ? `${error.name}: ${error.message}` : String(error) };
  }
}

const results = [];
for (const one of JSON.parse(readFileSync(process.argv[2], 'utf8'))) results.push(await read(one));
console.log(JSON.stringify(results));
