// The shape of a tool. Types only.

/** @typedef {import('../app.js').App} App */
/** @typedef {import('../gesture.js').Gesture} Gesture */
/** @typedef {import('../layers.js').Layers} Layers */
/** @typedef {import('../../src/shapes.js').Point} Point */

/**
 * A setting of one tool, as a slider.
 *
 * @typedef {object} Slider
 * @property {'slider'} kind
 * @property {string} setting its name in the tool's `settings`
 * @property {string} label
 * @property {number} min
 * @property {number} max
 * @property {(value: number) => string} text the value as the user reads it
 */

/**
 * A setting of one tool, as a row of radio buttons.
 *
 * @typedef {object} Choice
 * @property {'choice'} kind
 * @property {string} setting its name in the tool's `settings`
 * @property {string} label for screen readers
 * @property {{ value: string, label: string, title?: string }[]} choices
 */

/**
 * A tool of the page: one object in a file of its own. The toolbar, keyboard shortcuts, help sheet, hint and panel are made
 * from the list of tools in index.js. Optional events may be left out.
 *
 * Points are in pixels of the image. A gesture is one use of the tool, from `down` to `up` or `cancel`. The stage calls tools
 * only while an image is open.
 *
 * @typedef {object} Tool
 * @property {string} id unique; stored in the settings
 * @property {string} key the keyboard shortcut: one lower-case letter
 * @property {string} label
 * @property {string} [summary] what the tooltip and the help sheet show after the label
 * @property {string} hint what the panel shows while the tool is active; may be empty
 * @property {string} icon the content of an SVG of 24 x 24 units
 * @property {'superpixel' | 'pixel'} [pointsAt] what one click takes (default: superpixel, which lights up under the pointer)
 * @property {boolean} [usesRadius] the panel shows the brush radius, and the pointer has its circle
 * @property {boolean} [movesImage] the stage pans with it, as with the middle button; then there are no gestures
 * @property {boolean} [byCorners] each press of the pointer sets a corner; a double click, or one on the first corner, ends
 * @property {'click' | 'drag' | 'corners'} [byKeyboard] `click` (default): Enter uses the tool at the cursor. `drag`: Enter
 *   begins, arrow keys drag, Enter ends. `corners`: Enter sets a corner, Shift Enter ends.
 * @property {Record<string, any>} [settings] the tool's own settings with their defaults; stored with those of the page
 * @property {(Slider | Choice)[]} [options] the tool's own part of the panel
 *
 * @property {(app: App) => void} [activate] the tool was chosen
 * @property {(app: App) => void} [deactivate] another tool was chosen
 * @property {(app: App) => void} [settingChanged] one of its sliders was moved
 * @property {(app: App, point: Point | null) => void} [hover] the pointer or the keyboard's cursor moved; null: it left
 * @property {(gesture: Gesture) => void} [down] the gesture begins, with the points of its `path`
 * @property {(gesture: Gesture, points: Point[]) => void} [drag] the path goes on; `points` starts with its last point so far
 * @property {(gesture: Gesture) => void} [up] the gesture ends, and its changes stay
 * @property {(gesture: Gesture) => void} [cancel] the gesture ends, and its changes go
 * @property {(app: App, event: WheelEvent) => boolean} [wheel] returns true if the image must not zoom
 * @property {(app: App, event: KeyboardEvent) => boolean} [keyDown] a key on the image; returns true if nothing else must use it
 * @property {(layers: Layers, gesture: Gesture | null) => void} [draw] draws over the image, under the cursor
 */

export {};
