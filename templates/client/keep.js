/**
 * What a person did in content that is replaced by another rendering (F178): read from the old elements where it differs from what they began with, and
 * put back on their counterparts. Where nobody has changed anything, what the new content brings stays.
 */
import { editOf, isBound, rawValue } from './kinds.js';
import { showLoss } from './overlay.js';
import { following } from './scroll.js';
import { report, same } from './store.js';
import { moveEdit } from './value.js';

/** How widgets of component libraries hold what a person did: fields, boxes, disclosures, tabs, trees, panels. In the order in which they are put back. */
const WIDGET = ['value', 'checked', 'selected', 'active', 'activeTabIndex', 'activeid', 'expanded', 'position', 'open'];
const MEDIA = ['volume', 'muted', 'playbackRate', 'currentTime', 'paused'];
const FIELD = /^(input|textarea|select)$/;
const NATIVE = /^(input|textarea|select|details|dialog|audio|video)$/;
/** What comes and goes with the pointer. */
const TRANSIENT = /tooltip/;

/** @param {any} value */
const isPlain = (value) => (Array.isArray(value) ? value.every(isPlain) : value !== undefined && !/object|function/.test(value && typeof value));

/** @param {any} element */
const isStateful = (element) => NATIVE.test(element.localName) || element.localName.includes('-') || element.hasAttribute('popover') || element.hasAttribute('contenteditable');

/** The path that an edit goes to. @param {Element} element */
const boundTo = (element) => element.getAttribute('ui-value') || element.getAttribute('ui-keypress');

/** All that a person can change of an element, but for the focus and scrolling. @param {any} element */
function read(element) {
  const tag = element.localName;
  /** @type {Record<string, any>} */
  const state = {};
  if (tag.includes('-')) {
    if (!TRANSIENT.test(tag)) for (const name of WIDGET) if (isPlain(element[name])) state[name] = element[name];
  } else if (element.type === 'file') state.files = element.files?.length ? element.files : null;
  else if (FIELD.test(tag)) state[/^(checkbox|radio)$/.test(element.type) ? 'checked' : 'value'] = rawValue(element);
  else if (tag === 'details') state.open = element.open;
  else if (tag === 'dialog') state.open = element.matches(':modal') ? 'modal' : element.open;
  else if (/^(audio|video)$/.test(tag)) for (const name of MEDIA) state[name] = element[name];
  if (tag === 'textarea') state.size = [element.style.width, element.style.height];
  if (element.popover) state.popover = element.matches(':popover-open');
  if (element.hasAttribute('contenteditable') && !/ ui-[a-z]/.test(element.innerHTML)) state.html = element.innerHTML;
  return state;
}

/** Sets one of them. @param {any} element @param {string} name @param {any} value @param {Element} old */
function put(element, name, value, old) {
  const tag = element.localName;
  if (tag === 'select') for (const option of element.options) option.selected = [value].flat().includes(option.value);
  else if (tag === 'dialog') {
    if (value === 'modal') showModal(element);
    else element.toggleAttribute('open', value);
  } else if (name === 'paused') void (value ? element.pause() : element.play().catch(() => {})); // a browser may want a click first
  else if (name === 'size') [element.style.width, element.style.height] = value;
  else if (name === 'popover') element.togglePopover(value);
  else if (name === 'html') element.replaceChildren(...old.childNodes);
  else element[name] = value;
}

/** Opens a dialog over the page, or makes an open one do so. @param {HTMLDialogElement} dialog */
export function showModal(dialog) {
  if (dialog.matches(':modal')) return;
  dialog.removeAttribute('open');
  dialog.showModal();
}

// What elements begin with.

/** @type {WeakMap<Element, Record<string, any>>} */
const begun = new WeakMap();

/** Presses of keys and buttons so far: who has touched the page may have changed anything in it. */
let touches = 0;
for (const type of ['pointerdown', 'keydown']) addEventListener(type, () => touches++, { capture: true, passive: true });

const painted = () => new Promise((done) => requestAnimationFrame(done));

/** Takes what new content holds as what it began with. @param {Element} element that has just been revealed */
function begin(element) {
  if (begun.has(element)) return;
  const state = read(element);
  if ('paused' in state) state.paused = !(/** @type {HTMLMediaElement} */ (element).autoplay);
  begun.set(element, state);
  if (element.localName.includes('-')) void beginWidget(/** @type {any} */ (element));
}

/** Widgets arrange themselves once they are defined and to be seen: a group marks its first tab. @param {Element & {updateComplete?: Promise<any>}} element */
async function beginWidget(element) {
  const before = touches;
  await customElements.whenDefined(element.localName);
  await element.updateComplete;
  const early = Object.keys(begun.get(element) ?? {}).length > 0; // it was defined then
  for (let frames = 0; frames < 8 && !putBack.has(element) && !(early && touches !== before); frames++) {
    begun.set(element, read(element));
    await painted();
  }
}

/** Widgets that hold what was put back, which is not what they began with. @type {WeakSet<Element>} */
const putBack = new WeakSet();

/** What an element is compared with if it came otherwise, from a script or as HTML text. @param {any} element @returns {Record<string, any>} */
const assumed = (element) => ({ value: element.defaultValue, checked: element.defaultChecked, open: false, popover: false, files: null });

/** What a person has changed. Attributes that are bound are the program's. @param {any} element */
function changes(element) {
  const now = read(element);
  const base = begun.get(element) ?? assumed(element);
  /** @type {Record<string, any>} */
  const state = {};
  for (const name of Object.keys(now)) {
    const was = isBound(element) && /^(value|checked|selected|html)$/.test(name) ? now[name] : base[name]; // what was written is the field's
    if (was !== undefined && !same(now[name], was) && !element.hasAttribute(`ui-attr-${name}`)) state[name] = now[name];
  }
  return state;
}

// Clicks on content that is being replaced: they are not lost, if they mean the same in the new content.

let returning = false;
/** @type {Element[]} */
let missed = [];

/** Says that the page gets its content again without a word, so that nobody knows that what is to be seen cannot be used yet. @param {boolean} now */
export function setReturning(now) {
  returning = now;
  missed = [];
}

addEventListener('click', (event) => {
  const { target } = event;
  if (!event.isTrusted || !(target instanceof Element) || !(target.closest('.ui-obsolete-view') || (returning && objectOf(target)))) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  missed.push(target);
}, true);

/** The path of what a click does. @param {Element} element */
function actionOf(element) {
  const acting = element.closest('[ui-action], [ui-event-click]');
  return acting && `${acting.getAttribute('ui-action')} ${acting.getAttribute('ui-event-click')}`;
}

/** Whether a click is for the same object: where a path goes further, another may be in its way by now (R1). @param {Element} old @param {Element} element */
const meansTheSame = (old, element) => objectOf(old) === objectOf(element) && actionOf(old) === actionOf(element) && !/(^|\s)[^\s(]*\./.test(actionOf(old) ?? '');

// The two renderings.

/** Ids that obsolete elements had (F160). @type {WeakMap<Element, string>} */
const formerIds = new WeakMap();

/** Takes ids out of look-up, and radios and accordions out of their groups, so that old and new elements do not get into each other's way. @param {Node[]} nodes */
export function forgetIds(nodes) {
  for (const root of nodes) {
    if (!(root instanceof Element)) continue;
    for (const element of [root, ...root.querySelectorAll(':is([id], [type=radio], details[name]):not([contenteditable] *)')]) {
      formerIds.set(element, element.id);
      element.removeAttribute('id');
      if (element instanceof HTMLInputElement ? element.type === 'radio' : element instanceof HTMLDetailsElement) element.setAttribute('name', `${element.getAttribute('name') ?? ''} `);
    }
  }
}

/** The objects that root elements of views show. @type {WeakMap<Element, number>} */
const objects = new WeakMap();

/** Says what object nodes show: what was done in one row belongs to that row. @param {Part[]} roots of a view, those of inner views are theirs @param {any} value of its variable */
export function identify(roots, value) {
  if (value?.obj) for (const root of roots) if (root instanceof Element) objects.set(root, value.obj);
}

/** @param {Node | null} node */
function objectOf(node) {
  while (node && !objects.has(/** @type {Element} */ (node))) node = node.parentNode;
  return node && objects.get(/** @type {Element} */ (node));
}

const PURPOSE = ['ui-value', 'ui-keypress', 'ui-viewlist', 'name'];
const LOOKS = ['class', 'type', 'label', 'placeholder', 'summary', 'panel', 'aria-label'];

/**
 * Names of elements that their counterparts in another rendering have too, the surest first: by id, by attributes, by place among those of one tag; in
 * the object that is shown there, and after that without regard to it.
 * @param {Node[]} nodes @param {Set<string>} tags of the elements to be named
 */
function named(nodes, tags) {
  /** @type {Map<Element, string[]>} */
  const all = new Map();
  /** @type {Map<string, number>} */
  const counts = new Map();
  /** @param {string} kind */
  const numbered = (kind) => {
    const count = (counts.get(kind) ?? 0) + 1;
    counts.set(kind, count);
    return `${kind} ${count}`;
  };
  /** @param {Element} element @param {string} scope */
  const visit = (element, scope) => {
    const object = objects.get(element);
    if (object) scope = numbered(`object ${object}`);
    const tag = element.localName;
    if (tags.has(tag)) {
      const id = formerIds.get(element) ?? element.id;
      /** @param {string[]} names */
      const texts = (names) => names.map((name) => element.getAttribute(name)?.trim().replace(/ ?ui-obsolete-view/, '')).join();
      const purpose = `${tag} ${texts(PURPOSE)}`;
      const looks = `${texts(LOOKS)} ${tag === 'details' ? element.querySelector('summary')?.textContent : ''}`;
      all.set(element, [scope, ''].flatMap((where) => [
        id && !id.startsWith('ui-') ? `${where}#${id}` : '',
        ...[`${purpose} ${looks}`, purpose, tag].map((kind) => numbered(`${where}<${kind}`)),
      ]));
    }
    for (const child of element.children) visit(child, scope);
  };
  for (const root of nodes) if (root instanceof Element) visit(root, '');
  return all;
}

/** @param {Node[]} nodes @param {(element: any) => void} visit */
function each(nodes, visit) {
  for (const root of nodes) if (root instanceof Element) [root, ...root.querySelectorAll('*')].forEach(visit);
}

/** The element that has the focus within another, whose shadow trees hide it. @param {any} element */
function innermost(element) {
  while (element.shadowRoot?.activeElement) element = element.shadowRoot.activeElement;
  return element;
}

/** A place in text: the element that it is counted from, the way down by numbers of children, and the offset. @param {Node | null} node @param {number} offset @returns {Spot | null} */
function spotOf(node, offset) {
  const near = node instanceof Element ? node : node?.parentElement;
  const from = near?.closest('[contenteditable]') ?? near;
  if (!from) return null;
  const way = [];
  for (let at = /** @type {any} */ (node); at !== from; at = at.parentNode) way.unshift([...at.parentNode.childNodes].indexOf(at));
  return { from, way, offset };
}

/** @param {Spot} spot @param {Node} from */
function atSpot({ way, offset }, from) {
  let node = from;
  for (const step of way) node = node.childNodes[step] ?? node;
  return /** @type {[Node, number]} */ ([node, Math.min(offset, node instanceof Text ? node.length : node.childNodes.length)]);
}

/** Reads what a person did. @param {Node[]} nodes old content, still to be seen @returns {Kept | null} */
export function capture(nodes) {
  /** @type {Kept['states']} */
  const states = new Map();
  const focused = document.activeElement;
  each(nodes, (element) => {
    /** @type {State} */
    const state = { changes: isStateful(element) ? changes(element) : {} };
    const edit = boundTo(element) ? editOf(element) : undefined;
    if (edit !== undefined) state.edit = edit;
    if (element === focused) {
      const { selectionStart, selectionEnd, selectionDirection } = innermost(element);
      state.focus = true;
      if (selectionStart != null) state.caret = [selectionStart, selectionEnd, selectionDirection];
    }
    if ((element.scrollTop || element.scrollLeft) && !following.get(element)) state.scroll = [element.scrollLeft, element.scrollTop];
    if (Object.keys(state).length > 1 || Object.keys(state.changes).length) states.set(element, state);
  });
  const chosen = /** @type {Selection} */ (getSelection());
  const ends = chosen.isCollapsed && !focused?.closest('[contenteditable]') ? [] // a field keeps its caret to itself
    : [spotOf(chosen.anchorNode, chosen.anchorOffset), spotOf(chosen.focusNode, chosen.focusOffset)];
  const selection = ends.filter((spot) => spot && nodes.some((node) => node.contains(spot.from)));
  const clicks = missed.filter((element) => nodes.some((node) => node.contains(element)));
  if (!states.size && !selection.length && !clicks.length) return null;
  const tags = new Set([...states.keys(), ...clicks, ...selection.map((spot) => /** @type {Spot} */ (spot).from)].map((element) => element.localName));
  return { states, tags, names: named(nodes, tags), selection: /** @type {Spot[]} */ (selection), clicks };
}

/** Takes note of what new content begins with, and puts back what a person did. @param {Node[]} nodes new content, now to be seen @param {Kept | null} kept */
export function restore(nodes, kept) {
  returning = false;
  missed = missed.filter((element) => element.isConnected);
  each(nodes, (element) => {
    if (element.localName === 'dialog' && element.open && element.hasAttribute('ui-modal')) showModal(element);
    if (isStateful(element)) begin(element);
  });
  if (!kept) return;
  const known = new Set([...kept.names.values()].flat());
  /** @type {Map<string, any>} */
  const found = new Map();
  for (const [element, names] of named(nodes, kept.tags)) {
    for (const name of names) {
      if (name) found.set(name, element);
      if (name && known.has(name)) break; // it has a counterpart of its own
    }
  }
  /** @param {Element} old */
  const counterpart = (old) => kept.names.get(old)?.map((name) => name && found.get(name)).find(Boolean);
  /** What opens over the page comes last, the focus after it, and the scroll positions, which it may change, after that. @type {(() => void)[][]} */
  const later = [[], [], [], []];
  const position = [scrollX, scrollY];
  for (const [old, { changes: changed, edit, focus, caret, scroll }] of kept.states) {
    const element = counterpart(old);
    if (edit !== undefined && !(element && boundTo(old) === boundTo(element) && moveEdit(old, element, edit, objectOf(old) === objectOf(element)))) {
      report(`an edit has lost its place: ${edit}`);
      showLoss(edit);
    }
    if (!element) continue;
    for (const [name, value] of Object.entries(changed)) {
      if (!(name in read(element)) || element.hasAttribute(`ui-attr-${name}`)) continue;
      putBack.add(element);
      const at = name === 'popover' ? 1 : value === 'modal' ? 0 : -1;
      if (at < 0) put(element, name, value, old);
      else later[at].push(() => put(element, name, value, old));
    }
    if (focus) later[2].push(() => void giveFocus(element, caret));
    if (scroll) later[3].push(() => void ([element.scrollLeft, element.scrollTop] = scroll));
  }
  later[3].push(() => scrollTo({ left: position[0], top: position[1], behavior: 'instant' })); // WebKit moves to a caret that is set
  const clicked = kept.clicks.map((old) => [old, counterpart(old)]).filter(([old, element]) => element && meansTheSame(old, element));
  queueMicrotask(() => clicked.forEach(([, element]) => element.click?.())); // when scripts have run
  later.flat().forEach((run) => run());
  const [anchor, end] = kept.selection.map((spot) => ({ spot, element: counterpart(spot.from) }));
  if (anchor?.element && end?.element) getSelection()?.setBaseAndExtent(...atSpot(anchor.spot, anchor.element), ...atSpot(end.spot, end.element));
}

/** @param {any} element @param {[number, number, any]} [caret] */
export async function giveFocus(element, caret) {
  if (element.updateComplete) await element.updateComplete;
  element.focus({ preventScroll: true });
  const inner = innermost(element);
  if (caret && inner.selectionStart != null) inner.setSelectionRange(...caret);
}
