/** `ui-event-*`, keyboard combinations and `ui-action` (F113 to F126). */
import { currentValue, isSetter } from './elements.js';
import { flush, get, update } from './store.js';
import { commitAll } from './value.js';

/** @typedef {import('./bind.js').Widget} Widget */
/** @typedef {import('./elements.js').Spec} Spec */

const MODIFIERS = /** @type {const} */ (['ctrl', 'shift', 'alt', 'meta']);

/** @type {Record<string, string>} */
const KEYS = { space: ' ', left: 'arrowleft', right: 'arrowright', up: 'arrowup', down: 'arrowdown', esc: 'escape', return: 'enter', del: 'delete' };

/** Sends edits first, then the trigger, in one frame (F118, F119). @param {Widget} widget @param {number} varId @param {any} value @param {boolean} [now] */
function trigger(widget, varId, value, now) {
  commitAll(widget);
  update(varId, value); // an action leaves at once (F33)
  if (now || get(varId)?.properties.access === 'action') flush(true);
}

/** The constant of `ui-event-NAME-value` (F115). @param {string} text */
function constant(text) {
  return /^(true|false|null|-?\d+(\.\d+)?([eE][-+]?\d+)?)$/.test(text.trim()) ? JSON.parse(text) : text;
}

/** Local options of an event, and a click on a link that leads nowhere. @param {Event} event @param {Spec} spec @returns {boolean} false to ignore it */
function admit(event, { properties }) {
  const element = /** @type {Element} */ (event.currentTarget);
  if (properties.self && event.target !== element) return false;
  if (properties.prevent || (event.type === 'click' && element.matches('a[href="#"]'))) event.preventDefault();
  if (properties.stop) event.stopPropagation();
  return true;
}

/** @param {Widget} widget @param {string} type @param {Spec} spec @param {number} varId */
export function listenEvent(widget, type, spec, varId) {
  const fixed = widget.element.getAttribute(`ui-event-${type}-value`);
  widget.on(type, (event) => {
    if (!admit(event, spec)) return;
    const value = fixed !== null ? constant(fixed) : isSetter(spec.path) ? currentValue(widget.element) : null;
    trigger(widget, varId, value, true);
  });
}

/** @param {Widget} widget @param {Spec} spec @param {number} varId */
export function listenAction(widget, spec, varId) {
  widget.on('click', (event) => {
    event.preventDefault();
    if (!admit(event, spec)) return;
    const { value = null } = /** @type {any} */ (widget.element);
    trigger(widget, varId, isSetter(spec.path) ? value : null, true);
  });
}

/** @param {Widget} widget @param {string} combination `ctrl-enter` @param {Spec} spec @param {number} varId */
export function listenKey(widget, combination, spec, varId) {
  // A lone hyphen is the key itself: `keypress--`, `keypress-ctrl--`.
  const parts = combination.replace(/(^|-)-$/, '$1minus').split('-');
  const wanted = MODIFIERS.map((name) => parts.includes(name));
  let name = parts.filter((part) => !MODIFIERS.includes(/** @type {any} */ (part))).at(-1) ?? '';
  if (name === 'minus') name = '-';
  const key = KEYS[name] ?? name;
  widget.on('keydown', (/** @type {KeyboardEvent} */ event) => {
    if (event.isComposing || event.keyCode === 229) return; // input methods use Enter (F124)
    if (event.key.toLowerCase() !== key) return;
    if (!MODIFIERS.every((modifier, i) => event[`${modifier}Key`] === wanted[i])) return;
    if (!admit(event, spec)) return;
    if (event.ctrlKey || event.metaKey || event.altKey) event.preventDefault(); // F125
    trigger(widget, varId, spec.path.endsWith('()') ? null : name);
  });
}
