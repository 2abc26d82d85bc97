import { showProblem } from '../notices.js';
import { loadFacts } from './api.js';
import { LargeApp } from './app.js';

try {
  new LargeApp(await loadFacts());
} catch (error) {
  showProblem(error);
}
