/** Focus, caret, uncommitted edits and scroll positions across a re-render (F178). */
import { written } from './value.js';
import { isFollowing } from './scroll.js';

/**
 * What one old element had that its counterpart is to have.
 * @typedef {{id: string, path: [string, number, string, number][], focus?: boolean, caret?: [number, number], value?: any, checked?: boolean, open?: boolean,
 *   scroll?: [number, number]}} Kept
 */

/** Ids that obsolete elements had (F160). @type {WeakMap<Element, string>} */
const formerIds = new WeakMap();

const TEXT = 'input:not([type=checkbox], [type=radio], [type=file]), textarea, sl-input, sl-textarea';

/** @param {Node[]} nodes @returns {Element[]} */
const elements = (nodes) => nodes.filter((node) => node instanceof Element);

/** @param {Node[]} nodes @param {(element: Element) => void} visit */
function each(nodes, visit) {
  for (const root of elements(nodes)) {
    visit(root);
    for (const element of root.querySelectorAll('*')) visit(element);
  }
}

/** Takes ids out of look-up, so that old elements shadow no new ones. @param {Node[]} nodes */
export function forgetIds(nodes) {
  for (const root of elements(nodes)) {
    for (const element of [root, ...root.querySelectorAll('[id]')]) {
      if (element.id) formerIds.set(element, element.id);
      element.removeAttribute('id');
    }
  }
}

/** Elements that were written for the same purpose. @param {Element} element */
const signature = (element) => element.localName + ['ui-value', 'ui-keypress', 'ui-viewlist', 'name'].map((name) => `|${element.getAttribute(name) ?? ''}`).join('');

/** The position of an element among those of the same purpose and those of the same tag. @param {Element} element @param {Element[]} siblings @returns {[string, number, string, number]} */
function step(element, siblings) {
  const purpose = signature(element);
  const at = siblings.filter((other) => signature(other) === purpose).indexOf(element);
  return [purpose, at, element.localName, siblings.filter((other) => other.localName === element.localName).indexOf(element)];
}

/** @param {Element} element @param {Element[]} roots */
function pathOf(element, roots) {
  /** @type {Kept['path']} */
  const path = [];
  for (let at = /** @type {Element | null} */ (element); at; at = roots.includes(at) ? null : at.parentElement) {
    path.unshift(step(at, roots.includes(at) ? roots : [...(at.parentElement?.children ?? [])]));
  }
  return path;
}

/** @param {Kept} kept @param {Element[]} roots @returns {any} */
function counterpart({ id, path }, roots) {
  const named = id && !id.startsWith('ui-') ? document.getElementById(id) : null;
  if (named && roots.some((root) => root.contains(named))) return named;
  let siblings = roots;
  /** @type {Element | undefined} */
  let found;
  for (const [purpose, at, tag, nth] of path) {
    found = siblings.filter((other) => signature(other) === purpose)[at] ?? siblings.filter((other) => other.localName === tag)[nth];
    if (!found) return undefined;
    siblings = [...found.children];
  }
  return found;
}

/** @param {any} element @returns {Partial<Kept>} */
function stateOf(element) {
  /** @type {Partial<Kept>} */
  const state = {};
  if (element === document.activeElement) {
    state.focus = true;
    const inner = element.input ?? element;
    if (inner.selectionStart != null) state.caret = [inner.selectionStart, inner.selectionEnd];
  }
  if (element.matches(TEXT)) {
    const base = written.has(element) ? written.get(element) : element.defaultValue;
    if (base !== undefined && element.value !== base) state.value = element.value;
  } else if (element.localName === 'input' && !written.has(element) && element.checked !== element.defaultChecked) {
    state.checked = element.checked;
  } else if (element.localName === 'details' && element.open) {
    state.open = true;
  }
  if ((element.scrollTop || element.scrollLeft) && !isFollowing(element)) state.scroll = [element.scrollLeft, element.scrollTop];
  return state;
}

/** @param {Node[]} nodes old content, still to be seen @returns {Kept[]} */
export function capture(nodes) {
  const roots = elements(nodes);
  /** @type {Kept[]} */
  const kept = [];
  each(nodes, (element) => {
    const state = stateOf(element);
    if (Object.keys(state).length) kept.push({ id: formerIds.get(element) ?? element.id, path: pathOf(element, roots), ...state });
  });
  return kept;
}

/** @param {Kept[]} kept @param {Node[]} nodes new content, now to be seen */
export function restore(kept, nodes) {
  const roots = elements(nodes);
  for (const state of kept) {
    const element = counterpart(state, roots);
    if (!element) continue;
    if (state.value !== undefined && element.matches(TEXT)) element.value = state.value; // it is still an edit: nobody has sent it
    if (state.checked !== undefined) element.checked = state.checked;
    if (state.open && !element.hasAttribute('ui-attr-open')) element.open = true;
    if (state.scroll) [element.scrollLeft, element.scrollTop] = state.scroll;
    if (!state.focus) continue;
    const focus = () => {
      element.focus({ preventScroll: true });
      const inner = element.input ?? element;
      if (state.caret && inner.selectionStart != null) inner.setSelectionRange(...state.caret);
    };
    if (element.updateComplete) void element.updateComplete.then(focus);
    else focus();
  }
}
