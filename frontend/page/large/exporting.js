import { addMenuItem, any } from '../dom.js';
import { download } from '../download.js';
import { hideProblem, say, showProblem } from '../notices.js';
import { exported } from './api.js';

/** @type {[format: string, name: string, note: string, suffix: string][]} */
const FORMATS = [
  ['geotiff', 'GeoTIFF', 'A band of classes, and one of objects', 'tif'],
  ['gpkg', 'GeoPackage', 'An outline for each object and class', 'gpkg'],
  ['geojson', 'GeoJSON', 'The same, in longitude and latitude', 'geojson'],
  ['json', 'Selection', 'For `superpixel large export`', 'json'],
];

/** @param {() => Promise<void>} saved resolves when all steps are kept */
export function fillExportMenu(saved) {
  for (const [format, name, note, suffix] of FORMATS) {
    addMenuItem(any('export-menu'), { format, name, note }, async () => {
      hideProblem();
      say(`${name}: in work`);
      try {
        await saved();
        download(await exported(format), `selection.${suffix}`);
        say(`${name}: ready`);
      } catch (error) {
        showProblem(error);
      }
    });
  }
}
