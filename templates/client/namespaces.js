/** Which namespace a view's or a list's variable gets (F134 to F137). */
import { get } from './store.js';

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
