/** The showing of new content when it is complete, and what belongs to that moment: scripts, scrolling, the focus of the old content (F159 to F170, F178, F200 to F206). */
import { get, guard, ownerOf, report, send } from './store.js';
import { written } from './value.js';
import { awaitsViewdef } from './view.js';

/** @typedef {import('./view.js').View} View */

const LONGEST_MS = 100; // F161

/** @type {Set<Reveal>} */
const active = new Set();

export const revealing = () => active.size > 0;

export class Reveal {
  /** @param {View} view the topmost hidden view */
  constructor(view) {
    this.view = view;
    /** Creates in the hidden content that wait for an answer. */
    this.open = 0;
    /** Whether focus, edits and scroll positions go over from the old content (F178). */
    this.keep = false;
    /** `ui-code` that runs after the scripts (F109), by variable. @type {Map<number, () => void>} */
    this.held = new Map();
    this.timer = setTimeout(() => this.finish(), LONGEST_MS);
    active.add(this);
  }

  cancel() {
    clearTimeout(this.timer);
    active.delete(this);
    this.view.reveal = null;
  }

  /** Old content goes and new content shows, in one task. */
  finish() {
    const { view } = this;
    this.cancel();
    const kept = this.keep ? capture(view.obsolete) : null;
    for (const node of view.obsolete) node.parentNode?.removeChild(node);
    view.obsolete = [];
    const nodes = view.nodes();
    for (const node of nodes) if (node instanceof Element) node.classList.remove('ui-new-view');
    scrollRevealed();
    if (kept) guard('focus could not be kept', () => restore(kept, view.nodes()));
    runScripts();
    for (const [varId, run] of this.held) if (get(varId)) run();
    notifyScroll(get(view.varId)?.parentId);
    view.primary()?.dispatchEvent(new CustomEvent('ui-rendered', { bubbles: true, detail: view.key })); // S84
  }
}

/** Reveals what is complete; called when a frame has been processed (F162). */
export function settle() {
  for (const reveal of [...active]) {
    if (reveal.open <= 0 && !awaitsViewdef(reveal)) guard('reveal failed', () => reveal.finish());
  }
}

/** Scripts of viewdefs: each runs once per rendering, when its content is to be seen (F166 to F170). */

const JAVASCRIPT = /^(module|(text|application)\/(x-)?(java|ecma)script|text\/(jscript|livescript|javascript1\.[0-5]))?$/i;

/** Scripts that have not run, with the view whose content they are. @type {Map<HTMLScriptElement, import('./view.js').View>} */
const fresh = new Map();

/** @param {DocumentFragment} content @param {import('./view.js').View} view */
export function collectScripts(content, view) {
  for (const script of content.querySelectorAll('script')) {
    if (JAVASCRIPT.test(script.type.trim())) fresh.set(script, view); // data blocks stay as they are (F168)
  }
}

/** Tells the server too, whose log is where templates are written (P102). @param {string} what @param {unknown} cause */
export function blame(what, cause) {
  report(`error in ${what}`, cause);
  send('error', { varId: 1, code: 'script-error', description: `${what}: ${cause instanceof Error ? cause.message : cause}` });
}

/** @param {string} what @param {() => void} run */
export function runBlamed(what, run) {
  try {
    run();
  } catch (cause) {
    blame(what, cause);
  }
}

/** Runs every script that is to be seen by now, in document order. */
export function runScripts() {
  const ready = [...fresh.keys()].filter((script) => script.isConnected && !isHidden(script));
  ready.sort((a, b) => (a.compareDocumentPosition(b) & Node.DOCUMENT_POSITION_FOLLOWING ? -1 : 1));
  for (const script of ready) {
    const view = fresh.get(script);
    fresh.delete(script);
    if (view && script.isConnected) activate(script, view); // an earlier one may have removed it
  }
  for (const script of fresh.keys()) if (!script.isConnected) fresh.delete(script);
}

/** A cloned script does not run, a new one with the same text and attributes does (F167). @param {HTMLScriptElement} old @param {import('./view.js').View} view */
function activate(old, view) {
  const { key } = view;
  const script = document.createElement('script');
  for (const { name, value } of old.attributes) script.setAttribute(name, value);
  script.async = old.hasAttribute('async'); // files in the order in which they stand
  script.text = old.text;
  script.addEventListener('error', () => blame(`viewdef ${key}`, `${script.src} could not be loaded`));
  /** @param {ErrorEvent} event */
  const failed = (event) => blame(`viewdef ${key}`, event.error ?? event.message);
  addEventListener('error', failed);
  try {
    view.adopt(old, script);
    old.replaceWith(script);
  } finally {
    removeEventListener('error', failed);
  }
}

/** Containers that follow their output (F200 to F206). */

const NEAR_PX = 8;

/** Whether a marked container follows: until the reader scrolls up (F206). @type {WeakMap<Element, boolean>} */
const following = new WeakMap();
/** @type {Set<number>} */
const notified = new Set();
/** Containers that got content while hidden (F205). @type {Set<Element>} */
const held = new Set();

/** @param {Event} event */
function scrolled({ currentTarget }) {
  const element = /** @type {Element} */ (currentTarget);
  following.set(element, element.scrollHeight - element.scrollTop - element.clientHeight < NEAR_PX);
}

/** Makes an element a container that scrolls to its bottom. @param {Element | null | undefined} element */
export function markScroll(element) {
  if (!element || following.has(element)) return;
  following.set(element, true);
  element.addEventListener('scroll', scrolled, { passive: true });
}

/** True for a marked container that shows its end. @param {Element} element */
export const isFollowing = (element) => following.get(element) ?? false;

/** @param {Element} element */
export const isScrollContainer = (element) => following.has(element);

/** @param {Element} element */
export const isHidden = (element) => !!element.closest('.ui-new-view');

/** Scrolls to the bottom now, or when the element is revealed. @param {Element} element @param {boolean} [always] also away from a reader who scrolled up */
export function scrollElement(element, always) {
  if (isHidden(element)) held.add(element); // it has no height yet
  else if ((always || isFollowing(element)) && element.scrollHeight > element.clientHeight) element.scrollTop = element.scrollHeight;
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

/** Scrolls what waited for its reveal. */
export function scrollRevealed() {
  for (const element of held) {
    if (element.isConnected && isHidden(element)) continue;
    held.delete(element);
    if (element.isConnected) scrollElement(element);
  }
}

/** Focus, caret, uncommitted edits and scroll positions across a re-render (F178). */

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
