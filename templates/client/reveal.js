/** The showing of new content when it is complete, and what belongs to that moment: scripts, scrolling, the focus of the old content (F159 to F170, F178, F200 to F206). */
import { blame, get, guard, ownerOf, same } from './store.js';
import { inOrder, rawValue, written } from './value.js';
import { awaitsViewdef, remove } from './view.js';

const LONGEST_MS = 100; // F161

/** @type {Set<Reveal>} */
const active = new Set();

export const revealing = () => active.size > 0;

/** Views that are hidden and will be shown together. */
export class Reveal {
  /** @param {View[]} views the topmost hidden ones */
  constructor(...views) {
    this.views = new Set(views);
    /** Creates in the hidden content that wait for an answer. */
    this.open = 0;
    /** `ui-code` that runs after the scripts (F109), by variable. @type {Map<number, () => void>} */
    this.held = new Map();
    this.timer = setTimeout(() => this.finish(), LONGEST_MS);
    active.add(this);
  }

  /** @param {View} view that has ended or is shown */
  drop(view) {
    view.reveal = null;
    this.views.delete(view);
    if (this.views.size) return;
    clearTimeout(this.timer);
    active.delete(this);
  }

  /** Old content goes and new content shows, in one task. */
  finish() {
    const views = [...this.views];
    const kept = views.map((view) => (view.keep && view.obsolete.length ? capture(view.obsolete) : []));
    for (const view of views) {
      this.drop(view);
      remove(view.obsolete);
      view.obsolete = [];
      for (const node of view.nodes()) if (node instanceof Element) node.classList.remove('ui-new-view');
    }
    scrollRevealed();
    views.forEach((view, i) => kept[i].length && guard('keeping the focus', () => restore(kept[i], view.nodes())));
    runScripts();
    for (const [varId, run] of this.held) if (get(varId)) run();
    for (const view of views) {
      notifyScroll(get(view.varId)?.parentId);
      view.primary()?.dispatchEvent(new CustomEvent('ui-rendered', { bubbles: true, detail: view.key })); // S84
    }
  }
}

/** Reveals what is complete; called when a frame has been processed (F162). */
export function settle() {
  for (const reveal of [...active]) {
    if (reveal.open <= 0 && !awaitsViewdef(reveal)) guard('reveal', () => reveal.finish());
  }
}

// Scripts of viewdefs: each runs once per rendering, when its content is to be seen (F166 to F170).

const JAVASCRIPT = /^(module|(text|application)\/(x-)?(java|ecma)script|text\/(jscript|livescript|javascript1\.[0-5]))?$/i;

/** Scripts that have not run, with the view whose content they are. @type {Map<HTMLScriptElement, View>} */
const fresh = new Map();

/** @param {DocumentFragment} content @param {View} view */
export function collectScripts(content, view) {
  for (const script of content.querySelectorAll('script')) {
    if (JAVASCRIPT.test(script.type.trim())) fresh.set(script, view); // data blocks stay as they are (F168)
  }
}

/** Runs every script that is to be seen by now, in document order. */
function runScripts() {
  const ready = [...fresh].filter(([script]) => script.isConnected && !isHidden(script));
  for (const [script, view] of ready.sort(([a], [b]) => inOrder(a, b))) {
    fresh.delete(script);
    if (script.isConnected) activate(script, view); // an earlier one may have removed it
  }
  for (const script of fresh.keys()) if (!script.isConnected) fresh.delete(script);
}

/** A cloned script does not run, a new one with the same text and attributes does (F167). @param {HTMLScriptElement} old @param {View} view */
function activate(old, view) {
  const what = `viewdef ${view.key}`;
  const script = document.createElement('script');
  for (const { name, value } of old.attributes) script.setAttribute(name, value);
  script.async = old.hasAttribute('async'); // files in the order in which they stand
  script.text = old.text;
  script.addEventListener('error', () => blame(what, `${script.src} could not be loaded`));
  /** @param {ErrorEvent} event */
  const failed = (event) => blame(what, event.error ?? event.message);
  addEventListener('error', failed);
  view.adopt(old, script);
  old.replaceWith(script);
  removeEventListener('error', failed);
}

// Containers that follow their output (F200 to F206).

const NEAR_PX = 8;

/** Whether a marked container follows: until the reader scrolls up (F206). @type {WeakMap<Element, boolean>} */
const following = new WeakMap();
/** @type {Set<number>} */
const notified = new Set();
/** Containers that got content while hidden (F205). @type {Set<Element>} */
const held = new Set();

/** Makes an element a container that scrolls to its bottom. @param {Element | null | undefined} element */
export function markScroll(element) {
  if (!element || following.has(element)) return;
  following.set(element, true);
  element.addEventListener('scroll', () => {
    following.set(element, element.scrollHeight - element.scrollTop - element.clientHeight < NEAR_PX);
  }, { passive: true });
}

/** @param {Element} element */
const isHidden = (element) => !!element.closest('.ui-new-view');

/** Scrolls to the bottom now, or when the element is revealed. @param {Element} element @param {boolean} [always] also what is not marked */
export function scrollElement(element, always) {
  if (!always && !following.get(element)) return;
  if (isHidden(element)) held.add(element); // it has no height yet
  else if (element.scrollHeight > element.clientHeight) element.scrollTop = element.scrollHeight;
}

/** Says that content of a variable's element may have grown (F203). @param {number | undefined} varId */
export function notifyScroll(varId) {
  if (!varId) return;
  if (!notified.size) queueMicrotask(scrollNotified);
  notified.add(varId);
}

function scrollNotified() {
  /** @type {Set<Element>} */
  const containers = new Set();
  /** @type {Set<number>} */
  const seen = new Set();
  for (const start of notified) {
    for (let id = /** @type {number | undefined} */ (start); id && !seen.has(id); id = get(id)?.parentId) {
      seen.add(id);
      const element = ownerOf(id)?.getElement();
      if (!element || !following.has(element)) continue;
      containers.add(element);
      break;
    }
  }
  notified.clear();
  for (const element of containers) scrollElement(element);
}

function scrollRevealed() {
  for (const element of held) {
    if (element.isConnected && isHidden(element)) continue;
    held.delete(element);
    scrollElement(element, true);
  }
}

// Focus, caret, uncommitted edits and scroll positions across a re-render (F178).

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
function capture(nodes) {
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
function restore(kept, nodes) {
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
