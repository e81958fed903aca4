/** `ui-attr-*`, `ui-class-*` and `ui-style-*` (F102 to F107). */

/** @typedef {import('./widget.js').Widget} Widget */

/** Properties that the attribute alone stops to govern once the user has acted (F103). */
const LIVE = ['checked', 'selected', 'value', 'muted', 'open', 'indeterminate'];
const LIVE_TAGS = /^(input|textarea|select|button|progress|meter|output|option|dialog|details|audio|video)$/;
const OWN_CLASS = /^ui-(new-view|obsolete-view|view-\d+|error)$/;

/** What the toggles of a widget hold at present, so that whole-attribute bindings can put it back (F104). @type {WeakMap<Widget, {classes: Map<string, boolean>, styles: Map<string, any>}>} */
const toggles = new WeakMap();

/** @param {Widget} widget */
function togglesOf(widget) {
  const found = toggles.get(widget) ?? { classes: new Map(), styles: new Map() };
  toggles.set(widget, found);
  return found;
}

/** @param {Widget} widget @param {string} name @param {any} value */
export function applyAttribute(widget, name, value) {
  const element = /** @type {any} */ (widget.element);
  const absent = value === null || value === undefined || value === false;
  const own = name === 'class' ? [...element.classList].filter((word) => OWN_CLASS.test(word)) : [];
  if (!absent) element.setAttribute(name, String(value));
  else if (name === 'id') element.id = widget.elementId; // tools look for it
  else element.removeAttribute(name);
  const { classes, styles } = togglesOf(widget);
  if (name === 'class') {
    element.classList.add(...own);
    for (const [word, on] of classes) if (on) element.classList.add(word);
  } else if (name === 'style') {
    for (const [property, text] of styles) setStyle(element, property, text);
  } else if (LIVE.includes(name) && LIVE_TAGS.test(element.localName) && name in element) {
    if (typeof element[name] !== 'boolean') {
      if (!/^(progress|meter)$/.test(element.localName)) element[name] = absent ? '' : String(value);
    } else if (element[name] === absent) {
      element[name] = !absent; // not when it is so already: it would rewrite the attribute
    }
  }
}

/** @param {Widget} widget @param {string} name @param {any} value */
export function applyClass(widget, name, value) {
  togglesOf(widget).classes.set(name, !!value);
  widget.element.classList.toggle(name, !!value);
}

/** @param {Widget} widget @param {string} name @param {any} value */
export function applyStyle(widget, name, value) {
  togglesOf(widget).styles.set(name, value);
  setStyle(widget.element, name, value);
}

/** @param {any} element @param {string} name @param {any} value */
function setStyle({ style }, name, value) {
  if (value === null || value === undefined) style.removeProperty(name);
  else style.setProperty(name, String(value));
}
