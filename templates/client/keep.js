/** What a person did in content that is replaced: focus, caret, uncommitted edits, scroll positions (F178). */
import { following } from './scroll.js';
import { same } from './store.js';
import { rawValue, written } from './value.js';

/** Ids that obsolete elements had (F160). @type {WeakMap<Element, string>} */
const formerIds = new WeakMap();

const EDITABLE = 'input:not([type=file]), textarea, select, sl-input, sl-textarea, sl-checkbox, sl-switch';

/** Visits all elements with names that their counterparts in another rendering have too: id, place among those of one purpose, place among those of one tag. @param {Node[]} nodes @param {(element: any, names: string[]) => void} visit */
function each(nodes, visit) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  /** @param {string} kind */
  const numbered = (kind) => {
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
    return `${kind} ${counts.get(kind)}`;
  };
  for (const root of nodes) {
    if (!(root instanceof Element)) continue;
    for (const element of [root, ...root.querySelectorAll('*')]) {
      const tag = element.localName;
      const id = formerIds.get(element) ?? element.id;
      const purpose = ['ui-value', 'ui-keypress', 'ui-viewlist', 'name'].map((name) => element.getAttribute(name)?.trim()).join();
      visit(element, [id.startsWith('ui-') ? '' : `#${id}`, numbered(`${tag} ${purpose}`), numbered(tag)]);
    }
  }
}

/** Takes ids out of look-up and radios out of their groups, so that old and new elements do not get into each other's way. @param {Node[]} nodes */
export function forgetIds(nodes) {
  for (const root of nodes) {
    if (!(root instanceof Element)) continue;
    for (const element of [root, ...root.querySelectorAll('[id], [type=radio]')]) {
      formerIds.set(element, element.id);
      element.removeAttribute('id');
      if (element instanceof HTMLInputElement && element.type === 'radio') element.name += ' ';
    }
  }
}

/** @param {any} element @returns {Omit<Kept, 'names'>} */
function stateOf(element) {
  /** @type {Omit<Kept, 'names'>} */
  const state = {};
  if (element === document.activeElement) {
    const inner = element.input ?? element;
    state.focus = true;
    if (inner.selectionStart != null) state.caret = [inner.selectionStart, inner.selectionEnd];
  }
  if (element.matches(EDITABLE)) {
    const now = rawValue(element);
    const base = written.has(element) ? written.get(element) : typeof now === 'boolean' ? element.defaultChecked : element.defaultValue;
    if (base !== undefined && !same(now, base)) state.value = now;
  } else if (element.localName === 'details' && element.open) state.open = true;
  if ((element.scrollTop || element.scrollLeft) && !following.get(element)) state.scroll = [element.scrollLeft, element.scrollTop];
  return state;
}

/** @param {Node[]} nodes old content, still to be seen */
export function capture(nodes) {
  /** @type {Kept[]} */
  const kept = [];
  each(nodes, (element, names) => {
    const state = stateOf(element);
    if (Object.keys(state).length) kept.push({ names, ...state });
  });
  return kept;
}

/** It is still an edit: nobody has sent it. @param {any} element @param {any} value */
function putBack(element, value) {
  if (Array.isArray(value)) for (const option of element.options ?? []) option.selected = value.includes(option.value);
  else if (typeof value === typeof rawValue(element)) element[typeof value === 'boolean' ? 'checked' : 'value'] = value;
}

/** @param {Kept[]} kept @param {Node[]} nodes new content, now to be seen */
export function restore(kept, nodes) {
  /** @type {Map<string, any>} */
  const found = new Map();
  each(nodes, (element, names) => names.forEach((name) => found.set(name, element)));
  for (const { names, focus, caret, value, open, scroll } of kept) {
    const element = names.map((name) => name.length > 1 && found.get(name)).find(Boolean);
    if (!element) continue;
    if (value !== undefined && element.matches(EDITABLE)) putBack(element, value);
    if (open && !element.hasAttribute('ui-attr-open')) element.open = true;
    if (scroll) [element.scrollLeft, element.scrollTop] = scroll;
    if (!focus) continue;
    void Promise.resolve(element.updateComplete).then(() => {
      element.focus({ preventScroll: true });
      const inner = element.input ?? element;
      if (caret && inner.selectionStart != null) inner.setSelectionRange(...caret);
    });
  }
}
