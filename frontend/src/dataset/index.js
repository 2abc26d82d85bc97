/** Annotations of many images as one data set. superpixel_service.client.exports writes the same files. */

export { Dataset } from './dataset.js';
export { Schema } from './schema.js';
