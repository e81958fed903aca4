/** The viewdefs that the page has received, by key TYPE.NAMESPACE, and which namespace a variable gets (F127 to F139). */
import { setProblem } from './overlay.js';
import { get, report, send } from './store.js';

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


/** @typedef {import('./view.js').View} View */

/** The namespace properties of a nested view or list, to be evaluated while its element is in place. @param {Element} element @param {View} view the context @param {Record<string, string>} properties of its path */
export function namespacesOf(element, view, properties) {
  const context = get(view.varId)?.properties ?? {};
  const closest = element.parentElement?.closest('[ui-namespace]:not([ui-namespace=""])');
  const inside = closest && view.nodes().some((node) => node.contains(closest)); // any root counts (F135)
  const outer = closest?.getAttribute('ui-namespace');
  const inherited = inside ? outer : context.namespace || outer;
  return named(element.getAttribute('ui-namespace') || inherited || properties.namespace, properties.fallbackNamespace || context.fallbackNamespace);
}

/** The same for a list's items (F137). @param {Element} exemplar @param {Element} list @param {number} varId of the list */
export function itemNamespaces(exemplar, list, varId) {
  const context = get(varId)?.properties ?? {};
  return named(exemplar.getAttribute('ui-namespace') || list.getAttribute('ui-namespace') || context.namespace, context.fallbackNamespace);
}

/** @param {string | null | undefined} namespace @param {string | undefined} fallbackNamespace @returns {Record<string, string>} */
const named = (namespace, fallbackNamespace) => ({ ...(namespace && { namespace }), ...(fallbackNamespace && { fallbackNamespace }) });
