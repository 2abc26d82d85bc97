const settings = { similarity: 12 };

/**
 * The latest flood, which the slider changes: the step of the selection after it, and whether that is the flood's own.
 *
 * @type {{ step: object | undefined, isOwn: boolean, again: () => void } | null}
 */
let latest = null;

/** @type {import('./tool.js').Tool} */
export const flood = {
  id: 'flood',
  key: 'f',
  label: 'Flood',
  summary: 'similar neighbours',
  hint: 'Takes similar neighbours, from one to the next. The slider changes the last flood, too.',
  icon: `<path
    d="m11 4 8 8-6.5 6.5a2 2 0 0 1-2.8 0L5 13.8a2 2 0 0 1 0-2.8L11.5 4.5M4.5 12.5H18M20.5 15.5c1 1.5 1.5 2.3 1.5 3a1.5 1.5 0 0 1-3 0c0-.7.5-1.5 1.5-3z"
  />`,
  settings,
  options: [
    {
      kind: 'slider',
      setting: 'similarity',
      label: 'Colour difference',
      min: 1,
      max: 60,
      text: (value) => `at most ${value}`,
    },
  ],
  up(gesture) {
    const { app, work, selection, level, last, value } = gesture;
    work.measureColors();
    const fill = () => {
      const before = work.lastStep;
      app.protecting.apply(selection, value);
      gesture.redraw(selection.flood(level, ...last, settings.similarity, value));
      app.protecting.apply(selection, null);
      latest = { step: work.lastStep, isOwn: work.lastStep !== before, again };
    };
    const again = () => {
      const isLast = app.work === work && selection.map === level.map && work.lastStep === latest?.step;
      if (!isLast) return; // something was done since
      if (latest?.isOwn) gesture.redraw(selection.undo());
      fill();
      app.workChanged();
    };
    fill();
  },
  settingChanged() {
    latest?.again();
  },
};
