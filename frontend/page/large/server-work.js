// The work that the program keeps: its lists and steps. Changes are made here at once, and sent one after the other.

import { FIRST_OBJECT } from '../../src/index.js';
import { UndoHistory } from '../../src/history.js';
import * as api from './api.js';

/** @typedef {import('./api.js').Lists} Lists */
/** @typedef {import('./selection.js').Change} Change */
/** @typedef {import('./selection.js').Paint} Paint */

/** Changes of the lists after which regions have other values. */
const MOVES = new Set(['removeClass', 'removeObject', 'joinObjects']);

/** A copy of what the program keeps. */
export class ServerWork {
  /**
   * @param {Lists} lists
   * @param {object} events
   * @param {(classes: boolean, objects: api.Instance[]) => void} events.onLists the lists came; whether the classes have
   *   changed, and the objects before
   * @param {() => void} events.onValues regions have other values
   * @param {() => void} events.onAreas
   * @param {(error: unknown) => void} events.onProblem a step was not kept
   */
  constructor(lists, events) {
    this._events = events;
    /** @type {import('./selection.js').Shared} */
    this.shared = {
      classes: [],
      objects: [],
      areas: new Float64Array(FIRST_OBJECT),
      history: new UndoHistory(),
    };
    /** Steps of the history that are sent. */
    this._sent = 0;
    this._lists = 0;
    /** Requests on their way, in order. @type {Promise<unknown>} */
    this.sending = Promise.resolve();
    this._waiting = 0;
    /** An answer with the lists came while others were on their way. */
    this._stale = false;
    /** Number of requests so far. */
    this.requests = 0;
    this._replace(lists);
  }

  get history() {
    return this.shared.history;
  }

  /** Send the steps that a tool or a panel has made. @param {import('./selection.js').WindowSelection} selection */
  send(selection) {
    const { done } = this.history;
    while (this._sent < done.length) {
      const request = selection.requestOf(done[this._sent]);
      if (!('do' in request) && !request.ids.length) {
        done.splice(this._sent, 1); // it touched pixels that belong to no superpixel
        continue;
      }
      this._sent++;
      this._request(() => this._post(request), this._sent, 'do' in request && MOVES.has(request.do));
    }
  }

  /** @param {'undo' | 'redo'} way */
  move(way) {
    const { history } = this;
    if (!history.take(way === 'undo')) return;
    this._sent = history.done.length;
    this._request(() => api.move(way), this._sent, true);
  }

  /** @param {Change | Paint} request @returns {Promise<api.Lists | api.Painted>} */
  _post(request) {
    const step = { ...request, lists: this._lists };
    return 'ids' in step ? api.paint(step) : api.change(step);
  }

  /**
   * @param {() => Promise<Lists | api.Painted>} ask
   * @param {number} steps that can be undone then
   * @param {boolean} moves whether regions may have other values then
   */
  _request(ask, steps, moves) {
    this.requests++;
    this._waiting++;
    this.sending = this.sending.then(async () => {
      try {
        const answer = await ask().finally(() => this._waiting--);
        await this._answered(answer, steps, moves);
      } catch (error) {
        await this._failed(error);
      }
    });
  }

  /**
   * @param {Lists | api.Painted} answer
   * @param {number} steps
   * @param {boolean} moves
   */
  async _answered(answer, steps, moves) {
    this._lists = answer.lists;
    const whole = 'classes' in answer;
    if (this._waiting && (whole || answer.undo !== steps)) this._stale = true;
    else if (!this._waiting && (this._stale || answer.undo !== steps))
      this._take(whole ? answer : await api.loadLists());
    else if (whole) this._take(answer);
    else for (const [value, pixels] of answer.areas) this.shared.areas[value] = pixels;
    this._events.onAreas();
    if (moves) this._events.onValues();
  }

  /** @param {unknown} error */
  async _failed(error) {
    this._events.onProblem(error);
    if (this._waiting) {
      this._stale = true;
      return;
    }
    const lists = await api.loadLists().catch(() => null);
    if (lists) this._take(lists);
    this._events.onValues();
  }

  /** @param {Lists} lists */
  _take(lists) {
    const { classes, objects } = this.shared;
    const before = JSON.stringify(classes);
    const objectsBefore = objects.slice();
    this._replace(lists);
    this._events.onLists(JSON.stringify(classes) !== before, objectsBefore);
  }

  /** @param {Lists} lists */
  _replace({ classes, objects, areas, lists, undo, redo }) {
    this._stale = false;
    this._lists = lists;
    const { shared, history } = this;
    shared.classes.splice(0, Infinity, ...classes);
    shared.objects.length = objects.length;
    objects.forEach((one, i) => (shared.objects[i] = one));
    shared.areas = new Float64Array(FIRST_OBJECT + objects.length);
    for (const [value, pixels] of areas) shared.areas[value] = pixels;
    // Of steps of another page, or from before a reload, only the number is known.
    const blank = (/** @type {number} */ length) =>
      Array.from({ length }, () => ({ regions: [], pixels: [] }));
    if (history.done.length !== undo) history.done = blank(undo);
    if (history.undone.length !== redo) history.undone = blank(redo);
    this._sent = history.done.length;
  }
}
