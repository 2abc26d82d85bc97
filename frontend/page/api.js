// Calls to the gateway.

/**
 * The server's description of itself.
 *
 * @typedef {object} ServerInfo
 * @property {string} version
 * @property {Record<string, string>} backends
 * @property {number} max_image_bytes
 * @property {[number, number]} compactness_range
 * @property {number} compactness_default
 */

/**
 * @typedef {object} Segmented
 * @property {ArrayBuffer} spx the label map
 * @property {{ backend: string, notices: string[] }} facts
 */

/** An error that the user sees. Errors of the gateway are problem details (RFC 9457). */
export class Problem extends Error {
  /**
   * @param {string} title
   * @param {string} detail
   * @param {{ reason?: string, field?: string, requestId?: string, status?: number }} [facts]
   */
  constructor(title, detail, facts = {}) {
    super(detail);
    this.title = title;
    this.facts = facts;
  }
}

/**
 * @param {string} path
 * @param {RequestInit} [options]
 * @returns {Promise<Response>}
 */
async function call(path, options) {
  const answer = await fetch(path, options).catch((error) => {
    if (options?.signal?.aborted) throw error;
    throw new Problem('No answer', 'The gateway does not answer. Is `superpixel app` still running?');
  });
  if (answer.ok) return answer;
  const isProblem = answer.headers.get('content-type')?.startsWith('application/problem+json');
  const body = isProblem ? await answer.json() : {};
  throw new Problem(body.title ?? `Error ${answer.status}`, body.detail ?? answer.statusText, body);
}

/** @returns {Promise<ServerInfo>} */
export async function serverInfo() {
  return (await call('api/server')).json();
}

/**
 * @param {Blob} image
 * @param {number} compactness
 * @param {AbortSignal} signal
 * @returns {Promise<Segmented>}
 */
export async function segment(image, compactness, signal) {
  const answer = await call(`api/segment?compactness=${compactness}`, {
    method: 'POST',
    body: image,
    signal,
  });
  const facts = JSON.parse(answer.headers.get('superpixel-facts') ?? '{}');
  return { spx: await answer.arrayBuffer(), facts };
}
