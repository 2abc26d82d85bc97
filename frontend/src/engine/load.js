/** The WebAssembly module, in a browser. It is compiled from its bytes, so that the server need not know its media type. */
export async function loadModule() {
  const answer = await fetch(new URL('./superpixel.wasm', import.meta.url));
  if (!answer.ok) throw new Error(`superpixel.wasm: ${answer.status} ${answer.statusText}`);
  return WebAssembly.compile(await answer.arrayBuffer());
}
