import { any, button, input } from './dom.js';

/** @typedef {import('./api.js').Guidance} Guidance */

/** Steps of the strength slider: weights that the server takes. Exact masks have none. */
const WEIGHTS = { soft: [8, 16, 32, 64, 128, 256, 512], edges: [1, 2, 3, 4, 5, 6, 8], hard: [0] };

/** The weights to begin with: the server's own defaults. */
const FIRST_WEIGHT = { soft: 64, edges: 2, hard: 0 };

/** Milliseconds without a change until the server is asked. */
const WAIT = 250;

/** The panel about the mask or edge map that the superpixels follow. */
export class Guiding {
  /** @param {import('./app.js').App} app */
  constructor(app) {
    this._app = app;
    /** Whether the server takes guidance. */
    this.served = false;
    /** What the panel shows: the guidance of the map, or the one that the server is asked for. @type {Guidance | null} */
    this._shown = null;
    /** Set while a change waits to be sent. @type {ReturnType<typeof setTimeout> | undefined} */
    this._timer = undefined;
    /** Number of requests: only the end of the latest one counts. */
    this._made = 0;
    for (const radio of this._roles()) radio.addEventListener('change', () => this._setRole(radio.value));
    input('guidance-strength').addEventListener('input', () => {
      const { _shown: shown } = this;
      if (shown)
        this._change({ ...shown, weight: WEIGHTS[shown.role][Number(input('guidance-strength').value)] });
    });
    button('guidance-remove').addEventListener('click', () => {
      this._show(null);
      this._make();
      button('mask-button').focus();
    });
  }

  /**
   * Make superpixels that follow a map.
   *
   * @param {Omit<Guidance, 'weight'>} guidance
   */
  async begin(guidance) {
    this._show({ ...guidance, weight: FIRST_WEIGHT[guidance.role] });
    await this._make();
  }

  /** The guidance that the user wants, also while the server is still working on it. */
  get wanted() {
    return this._shown;
  }

  /** Show the guidance of the open image's map, unless the user has just changed it. */
  show() {
    if (this._timer === undefined) this.reset();
  }

  /** Show the guidance of the open image's map. */
  reset() {
    this._stopTimer();
    button('mask-button').disabled = !this._app.work;
    this._show(this._app.work?.origin.guidance ?? null);
  }

  _stopTimer() {
    clearTimeout(this._timer);
    this._timer = undefined;
  }

  /** @param {Guidance | null} guidance */
  _show(guidance) {
    this._shown = guidance;
    any('guidance').hidden = !guidance;
    if (!guidance) return;
    const { name, role, weight } = guidance;
    any('guidance-name').textContent = name;
    for (const radio of this._roles()) radio.checked = radio.value === role;
    const steps = WEIGHTS[role];
    any('guidance-strength-section').hidden = role === 'hard';
    const slider = input('guidance-strength');
    slider.max = String(steps.length - 1);
    slider.value = String(Math.max(0, steps.indexOf(weight)));
    slider.setAttribute('aria-valuetext', String(weight));
    any('guidance-strength-value').textContent = String(weight);
  }

  /** @param {string} value of the radio button */
  _setRole(value) {
    const role = /** @type {Guidance['role']} */ (value);
    if (this._shown) this._change({ ...this._shown, role, weight: FIRST_WEIGHT[role] });
  }

  /** @param {Guidance} guidance */
  _change(guidance) {
    this._show(guidance);
    this._stopTimer();
    this._timer = setTimeout(() => this._make(), WAIT);
  }

  /** Ask the server for superpixels that follow what the panel shows. */
  async _make() {
    this._stopTimer();
    const { opening, settings } = this._app;
    const made = ++this._made;
    const guidance = this._shown;
    const followed = guidance ? `${guidance.name}${strengthOf(guidance)}` : 'the colours alone';
    await opening.remake(
      { compactness: settings.compactness, guidance },
      `Making superpixels that follow ${followed}…`,
      `Superpixels follow ${followed}`,
    );
    if (made === this._made) this.show(); // the request may have failed
  }

  /** @returns {HTMLInputElement[]} */
  _roles() {
    return [...any('guidance').querySelectorAll('input')].filter(({ type }) => type === 'radio');
  }
}

/** @param {Guidance} guidance @returns {string} */
const strengthOf = ({ role, weight }) => (role === 'hard' ? ' exactly' : `, strength ${weight}`);
