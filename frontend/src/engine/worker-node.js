// The worker thread of Node.

import { parentPort } from 'node:worker_threads';
import { loadModule } from './load-node.js';
import { serve } from './serve.js';

const port = /** @type {import('node:worker_threads').MessagePort} */ (parentPort);
port.on(
  'message',
  serve((message, transfer = []) => port.postMessage(message, transfer), loadModule),
);
