/** The viewdefs that the page has received, by key TYPE.NAMESPACE (F127 to F131, F139). */
import { send } from './queue.js';
import { report } from './report.js';
import { setProblem } from './overlay.js';

/** @typedef {{text: string, content: DocumentFragment}} Viewdef */

/** @type {Map<string, Viewdef>} */
const viewdefs = new Map();

/** @param {Node} node */
const matters = (node) => node.nodeType === Node.ELEMENT_NODE || (node.nodeType === Node.TEXT_NODE && !!node.textContent?.trim());

/** The content of a viewdef; a template around it may be missing (F129, F130). @param {string} text @returns {DocumentFragment} */
function parse(text) {
  const outer = document.createElement('template'); // inert: nothing loads or runs
  outer.innerHTML = text.trim();
  const { content } = outer;
  const top = [...content.childNodes].filter(matters);
  if (top.length === 1 && top[0] instanceof HTMLTemplateElement) return top[0].content;
  if (!content.firstElementChild) throw new Error('it holds no template element');
  if (top.some((node) => node instanceof HTMLTemplateElement)) throw new Error('there must be nothing beside its template element');
  return content;
}

/** Keeps the older version and tells whoever can mend it (F131). @param {string} key @param {string} message */
export function rejectViewdef(key, message) {
  report(`viewdef ${key}: ${message}`);
  send('error', { varId: 1, code: 'bad-viewdef', description: `${key}: ${message}` });
  setProblem(key, { key: `viewdefs/${key}.html`, message });
}

/** Takes a delivery and returns the keys whose text is new. @param {unknown} delivery JSON text or an object @returns {Set<string>} */
export function deliver(delivery) {
  /** @type {Set<string>} */
  const changed = new Set();
  if (!delivery) return changed;
  /** @type {Record<string, string>} */
  let all = {};
  try {
    all = typeof delivery === 'string' ? JSON.parse(delivery) : delivery;
  } catch (cause) {
    report('the delivered viewdefs are no JSON', cause);
  }
  for (const [key, text] of Object.entries(all)) {
    try {
      if (!key.includes('.')) throw new Error('its name must be TYPE.NAMESPACE');
      if (viewdefs.get(key)?.text !== text) {
        viewdefs.set(key, { text, content: parse(String(text)) });
        changed.add(key);
      }
      setProblem(key, null);
    } catch (cause) {
      rejectViewdef(key, /** @type {Error} */ (cause).message);
    }
  }
  return changed;
}

/** The key to show a type with, or undefined (F139). @param {string} type @param {string} [namespace] @param {string} [fallback] */
export function findKey(type, namespace, fallback) {
  return [namespace, fallback, 'DEFAULT'].map((name) => name && `${type}.${name}`).find((key) => key && viewdefs.has(key));
}

/** @param {string} key */
export const viewdef = (key) => viewdefs.get(key);

export const keys = () => [...viewdefs.keys()];
