// Writes page/third_party/: what the page needs of the package geotiff, as one module, and the licences of what is in it.
// `node vendor.js FOLDER` writes the same into another folder.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';

const here = fileURLToPath(new URL('.', import.meta.url));
const folder = process.argv[2] ?? `${here}page/third_party`;
mkdirSync(folder, { recursive: true });
const { metafile } = await build({
  stdin: { contents: "export { fromArrayBuffer } from 'geotiff';", resolveDir: here },
  absWorkingDir: here,
  bundle: true,
  minify: true,
  format: 'esm',
  platform: 'browser',
  legalComments: 'none',
  external: ['*/lerc.js', '*/zstd.js'], // large, and rare in photographs
  metafile: true,
  outfile: `${folder}/geotiff.js`,
});
writeFileSync(`${folder}/geotiff.d.ts`, "export { fromArrayBuffer } from 'geotiff';\n");
const [{ inputs }] = Object.values(metafile.outputs);
const used = Object.keys(inputs).map((path) => /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1]);
const licences = [...new Set(used)].filter((name) => name !== undefined).sort();
const text = licences.map((name) => {
  const { version } = JSON.parse(readFileSync(`${here}node_modules/${name}/package.json`, 'utf8'));
  return `${name} ${version}\n\n${readFileSync(`${here}node_modules/${name}/LICENSE`, 'utf8').trim()}\n`;
});
writeFileSync(`${folder}/LICENSE`, text.join('\n\n'));
