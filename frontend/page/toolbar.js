import { any, make, pictureOf } from './dom.js';

/** @typedef {import('./tools/tool.js').Tool} Tool */
/** @typedef {import('./tools/tool.js').Slider} Slider */
/** @typedef {import('./tools/tool.js').Choice} Choice */

/** @param {Tool} tool @returns {string} its name in tooltips and in the help sheet */
export const titleOf = ({ label, summary }) => (summary ? `${label}: ${summary}` : label);

/** The buttons of the tools and the active tool's part of the settings panel, made from the list of tools. */
export class Toolbar {
  /**
   * @param {import('./app.js').App} app
   * @param {readonly Tool[]} tools of the page
   */
  constructor(app, tools) {
    this._app = app;
    this._buttons = tools.map((tool) => this._button(tool));
    this._options = tools.flatMap((tool) => (tool.options ?? []).map((option) => this._option(tool, option)));
  }

  show() {
    const { tool, stage, sliders } = this._app;
    for (const radio of this._buttons) {
      radio.checked = radio.value === tool.id;
      // On a phone the toolbar scrolls.
      if (radio.checked) radio.closest('label')?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
    }
    for (const option of this._options) option.show();
    any('tool-hint').textContent = tool.hint;
    stage.showTool();
    sliders.showRadius();
  }

  /** @param {Tool} tool */
  _button(tool) {
    const { id, key, label, icon } = tool;
    const radio = make('input', { type: 'radio', name: 'tool', value: id });
    radio.addEventListener('change', () => this._app.setTool(id));
    const title = `${titleOf(tool)} (${key.toUpperCase()})`;
    any('tools').append(make('label', { title }, radio, pictureOf(icon), label));
    return radio;
  }

  /** @param {Tool} tool @param {Slider | Choice} option */
  _option(tool, option) {
    const { section, show } =
      option.kind === 'slider' ? this._slider(tool, option) : this._choice(tool, option);
    section.id = `${option.setting}-section`;
    any('tool-hint').before(section);
    return {
      show: () => {
        section.hidden = tool !== this._app.tool;
        show();
      },
    };
  }

  /** @param {Tool} tool @param {Slider} option */
  _slider({ settings = {} }, { setting, label, min, max, text }) {
    const slider = make('input', {
      id: setting,
      type: 'range',
      min: String(min),
      max: String(max),
      step: '1',
    });
    const value = make('output', { id: `${setting}-value` });
    value.setAttribute('for', setting);
    const section = make(
      'div',
      {},
      make('h2', {}, make('label', { htmlFor: setting }, label), value),
      slider,
    );
    const show = () => {
      slider.value = String(settings[setting]);
      value.textContent = text(settings[setting]);
    };
    slider.addEventListener('input', () => {
      settings[setting] = Number(slider.value);
      show();
      this._app.tool.settingChanged?.(this._app);
      this._app.saving.soon();
    });
    return { section, show };
  }

  /** @param {Tool} tool @param {Choice} option */
  _choice({ settings = {} }, { setting, label, choices }) {
    const section = make('div', { className: 'choice', role: 'radiogroup', ariaLabel: label });
    const radios = choices.map((choice) => {
      const radio = make('input', { type: 'radio', name: setting, value: choice.value });
      radio.addEventListener('change', () => {
        settings[setting] = choice.value;
        this._app.sliders.showRadius(); // a choice may be whether the tool uses it
        this._app.saving.soon();
      });
      const around = make('label', {}, radio, make('span', { textContent: choice.label }));
      if (choice.title) around.title = choice.title;
      section.append(around);
      return radio;
    });
    const show = () => {
      for (const radio of radios) radio.checked = radio.value === settings[setting];
    };
    return { section, show };
  }
}
