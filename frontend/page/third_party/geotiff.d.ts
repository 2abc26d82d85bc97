export { fromArrayBuffer } from 'geotiff';
