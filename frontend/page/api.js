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
 * @property {number | null} guidance_version null: the server does not know guidance
 * @property {boolean} page_engine whether the page can load an engine of its own
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
   * @param {{ reason?: string, field?: string, requestId?: string, status?: number, retryAfterSeconds?: number }} [facts]
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
    throw noAnswer();
  });
  if (answer.ok) return answer;
  throw problemOf(answer.status, answer.statusText, answer.headers.get('content-type'), await answer.text());
}

const noAnswer = () =>
  new Problem('No answer', 'The gateway does not answer. Is `superpixel app` still running?', {
    reason: 'NO_ANSWER',
  });

/**
 * @param {number} status
 * @param {string} phrase
 * @param {string | null} type of the body
 * @param {string} text the body
 */
function problemOf(status, phrase, type, text) {
  const body = type?.startsWith('application/problem+json') ? JSON.parse(text) : { status };
  return new Problem(body.title ?? `Error ${status}`, body.detail ?? phrase, body);
}

/**
 * Send a file, and say how much of it is sent, which `fetch` does not.
 *
 * @param {string} path
 * @param {Blob} body
 * @param {AbortSignal} signal
 * @param {(share: number) => void} progress
 * @returns {Promise<XMLHttpRequest>} the answer, an ArrayBuffer
 */
function send(path, body, signal, progress) {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const request = new XMLHttpRequest();
    request.open('POST', path);
    request.responseType = 'arraybuffer';
    request.upload.onprogress = ({ loaded, total }) => progress(total ? loaded / total : 0);
    request.upload.onload = () => progress(1);
    request.onload = () => {
      const { status, statusText, response } = request;
      if (status >= 200 && status < 300) {
        resolve(request);
        return;
      }
      const type = request.getResponseHeader('content-type');
      reject(problemOf(status, statusText, type, new TextDecoder().decode(response)));
    };
    request.onerror = () => reject(noAnswer());
    request.onabort = () => reject(signal.reason);
    signal.addEventListener('abort', () => request.abort());
    request.send(body);
  });
}

/** @returns {Promise<ServerInfo>} */
export async function serverInfo() {
  return (await call('api/server')).json();
}

/**
 * What superpixels are made from, beside the image.
 *
 * @typedef {object} Making
 * @property {number} compactness
 * @property {Guidance | null} guidance
 */

/**
 * A map that superpixels follow.
 *
 * @typedef {object} Guidance
 * @property {string} name of its file
 * @property {'soft' | 'hard' | 'edges'} role a mask whose borders are preferred, one that is exact, or an edge map
 * @property {number} weight of a soft mask or of an edge map
 * @property {Blob} prior the mask, as a PNG file of labels
 * @property {Blob} edges the edge map, as a gray PNG file
 */

/**
 * @param {Blob} image
 * @param {Making} making
 * @param {AbortSignal} signal
 * @param {(share: number) => void} [progress] called with the share that is sent
 * @returns {Promise<Segmented>}
 */
export async function segment(image, { compactness, guidance }, signal, progress = () => {}) {
  const query = new URLSearchParams({ compactness: String(compactness) });
  const parts = [image];
  if (guidance) {
    const { role, weight, prior, edges } = guidance;
    const map = role === 'edges' ? edges : prior;
    parts.push(map);
    query.set(role === 'edges' ? 'edges' : 'prior', String(map.size));
    if (role === 'edges') query.set('edge_weight', String(weight));
    else query.set('prior_mode', role);
    if (role === 'soft') query.set('prior_weight', String(weight));
  }
  const answer = await send(`api/segment?${query}`, new Blob(parts), signal, progress);
  const facts = JSON.parse(answer.getResponseHeader('superpixel-facts') ?? '{}');
  return { spx: answer.response, facts };
}
