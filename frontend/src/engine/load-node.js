// @ts-ignore: the build has no types of Node, so that only these files use it
import { readFile } from 'node:fs/promises';

/** The WebAssembly module, in Node. */
export async function loadModule() {
  return WebAssembly.compile(await readFile(new URL('./superpixel.wasm', import.meta.url)));
}
