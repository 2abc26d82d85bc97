// `node dataset-cases.js CASES FOLDER` writes a data set of annotations.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Dataset, Schema } from 'superpixel-map/dataset';

const [, , cases, folder] = process.argv;
const { schema, options, images } = JSON.parse(readFileSync(cases, 'utf8'));
const dataset = new Dataset({ schema: Schema.fromJSON(schema), ...options });

/** @param {import('../src/dataset/dataset.js').DatasetFile[]} files */
async function write(files) {
  for (const { path, data } of files) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), data instanceof Blob ? await data.text() : data);
  }
}

for (const { name, mask, instances, split, ...annotation } of images) {
  const given = {
    ...annotation,
    mask: Uint8Array.from(mask),
    instances: instances && Uint16Array.from(instances),
  };
  await write(await dataset.add(name, given, { split, image: new TextEncoder().encode(name) }));
}
await write(dataset.finish());
