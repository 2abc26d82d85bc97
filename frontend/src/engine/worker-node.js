// The worker thread of Node.

// @ts-ignore: the build has no types of Node, so that only these files use it
import { parentPort } from 'node:worker_threads';
import { loadModule } from './load-node.js';
import { serve } from './serve.js';

const port = /** @type {any} */ (parentPort);
port.on(
  'message',
  serve((message, transfer = []) => port.postMessage(message, transfer), loadModule),
);
