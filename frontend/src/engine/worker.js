// The module worker of a browser.

import { loadModule } from './load.js';
import { serve } from './serve.js';

const receive = serve(
  (message, transfer = []) => /** @type {any} */ (self).postMessage(message, transfer),
  loadModule,
);
self.onmessage = ({ data }) => receive(data);
