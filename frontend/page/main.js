import { App } from './app.js';
import { Store } from './store.js';

const store = await Store.open().catch(() => null);
const app = new App(store);
await app.start();
