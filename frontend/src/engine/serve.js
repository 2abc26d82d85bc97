// What runs in the worker: takes tasks, one after the other, and answers with progress, a result or an error.

import { SuperpixelMapError } from '../errors.js';
import { Engine } from './engine.js';

/** Ends a cancelled task. Its caller has gone on already. */
class Cancelled extends Error {}

/**
 * @param {(message: any, transfer?: any[]) => void} post
 * @param {() => Promise<WebAssembly.Module>} loadModule
 * @returns {(message: any) => void} takes a message: `{ id, task }`, `{ id, load }` or `{ id, cancel }`
 */
export function serve(post, loadModule) {
  /** @type {Set<number>} */
  const cancelled = new Set();
  /** @type {Promise<Engine> | null} */
  let engine = null;
  const load = () => {
    engine ??= loadModule().then((module) => new Engine(module));
    engine.catch(() => (engine = null)); // the next call tries again
    return engine;
  };
  let last = Promise.resolve();

  /** @param {any} message */
  const answer = async ({ id, task }) => {
    const pause = async () => {
      await new Promise((resolve) => setTimeout(resolve)); // messages arrive meanwhile
      if (cancelled.has(id)) throw new Cancelled();
    };
    try {
      const ready = await load().catch((error) => {
        throw new SuperpixelMapError('ENGINE_FAILED', `the engine could not be loaded: ${error.message}`);
      });
      if (!task) return post({ id, result: null });
      await pause();
      const result = await ready.run(task, (progress) => post({ id, progress }), pause);
      post({ id, result }, buffersOf(result));
    } catch (error) {
      if (error instanceof Cancelled) return;
      const known = error instanceof SuperpixelMapError;
      const message = error instanceof Error ? error.message : String(error);
      post({ id, error: { code: known ? error.code : 'ENGINE_FAILED', message } });
    } finally {
      cancelled.delete(id);
    }
  };

  return (message) => {
    if (message.cancel) cancelled.add(message.id);
    else last = last.then(() => answer(message));
  };
}

/** @param {import('./engine.js').Result} result @returns {ArrayBuffer[]} to transfer */
function buffersOf({ map, container }) {
  if (container) return [container.buffer];
  const parts = [map, map?.tree, map?.regions].flatMap((part) => Object.values(part ?? {}));
  return parts.filter(ArrayBuffer.isView).map(({ buffer }) => /** @type {ArrayBuffer} */ (buffer));
}
