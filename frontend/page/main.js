import { App } from './app.js';
import { hideBanner, showBanner } from './banners.js';
import { Store } from './store.js';

const wait = () =>
  showBanner('older', 'An older version of this page is open in another tab. Close that tab to go on here.');
const outdated = () =>
  showBanner(
    'newer',
    'A newer version of this page is open in another tab. Reload this one: it stores nothing more.',
  );
const store = await Store.open(wait, outdated).catch(() => null);
hideBanner('older');
const app = new App(store);
await app.start();
