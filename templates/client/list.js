/**
 * Lists of views, one for each element of an array (F179 to F191). A row follows its object, whatever place that has now (R1, R4): a new value of the
 * array costs the rows that come and go, and moves of nodes (R5). How rows come and go can be styled (R6).
 */
import { forgetIds, showModal } from './keep.js';
import { Reveal } from './reveal.js';
import { markScroll, notifyScroll, scrollElement } from './scroll.js';
import { create, destroy, get, ownerOf, watch } from './store.js';
import { ensureId, forwarded, vendId } from './value.js';
import { named, namespacesOf, remove, View } from './view.js';

const LEAVING_MS = 300; // R6

/** Where the elements of a list are found: at their objects; by place what is no object or stands there already (R4). @param {any} value */
function pathsOf(value) {
  /** @type {Set<string>} */
  const paths = new Set();
  if (Array.isArray(value)) value.forEach((element, i) => paths.add(element?.obj && !paths.has(`#${element.obj}`) ? `#${element.obj}` : String(i)));
  return paths;
}

/** One view per element of a variable's array, in place of an exemplar (F182). */
export class List {
  /** @param {HTMLElement} element @param {View} owner @param {Spec} spec */
  constructor(element, owner, spec) {
    this.element = element;
    this.owner = owner;
    /** By path, in their order. @type {Map<string, View>} */
    this.rows = new Map();
    this.wrapper = element.getAttribute('ui-item-wrapper');
    const children = /** @type {HTMLElement[]} */ ([...element.children]);
    /** Shown while the list is empty (S55). */
    this.empty = children.filter((child) => child.hasAttribute('ui-empty')).slice(0, 1);
    this.exemplar = children.find((child) => !this.empty.includes(child)) ?? document.createElement('div');
    this.exemplar.removeAttribute('id'); // each copy gets one of its own
    element.replaceChildren(...this.empty);
    this.fresh = true; // has shown nothing yet
    this.varId = this.createVariable(spec);
    if (spec.properties.scrollOnOutput) markScroll(element);
    owner.inner.push(this);
    watch(this.varId, (_, value) => value !== undefined && this.show(value), this);
  }

  /** @param {Spec} spec */
  createVariable(spec) {
    const { owner, element } = this;
    const { wrapper: _w, create: _c, ...others } = forwarded(spec);
    const names = namespacesOf(element, owner, spec.properties);
    /** @type {Properties} */
    const common = { access: 'r', keyed: 'true', ...others, ...names, path: spec.path, elementId: ensureId(element) };
    const { itemWrapper = others.item } = others;
    if (!itemWrapper || (spec.path === 'items' && get(owner.varId)?.properties.type === 'lua.ViewList')) return owner.child(common, this);
    // The short form of a wrapped list: presenters need the wrapper, the list its items (F185).
    const { item: _i, ...outer } = /** @type {Properties} */ ({ ...common, wrapper: 'lua.ViewList', itemWrapper });
    const { elementId } = outer;
    return create(owner.child(outer, this), { fallbackNamespace: 'list-item', ...names, access: 'r', keyed: 'true', path: 'items', elementId }, this, this.buffer());
  }

  getElement() {
    return this.element;
  }

  buffer() {
    return this.owner.buffer();
  }

  /** Follows the array; what is none empties the list (F27, F186). @param {any} value */
  show(value) {
    const before = this.rows;
    const paths = pathsOf(value);
    this.leave([...before.keys()].filter((path) => !paths.has(path)));
    const made = this.make([...paths].filter((path) => !before.has(path)));
    this.rows = new Map([...paths].map((path) => [path, /** @type {View} */ (before.get(path) ?? made.get(path))]));
    this.arrange([...before.values()], new Set(made.values()));
    this.told();
    this.fresh = false;
  }

  /** What depends on the rows. */
  told() {
    for (const child of this.empty) child.hidden = this.rows.size > 0;
    scrollElement(this.element);
    notifyScroll(this.owner.varId);
  }

  /** Makes rows, which are shown together. @param {string[]} paths @returns {Map<string, View>} */
  make(paths) {
    const { exemplar, element, varId, wrapper } = this;
    const context = get(varId)?.properties ?? {};
    const names = named(exemplar.getAttribute('ui-namespace') || element.getAttribute('ui-namespace') || context.namespace, context.fallbackNamespace); // F137
    const above = this.buffer();
    const reveal = above || !paths.length ? null : new Reveal();
    return new Map(paths.map((path) => {
      const host = /** @type {HTMLElement} */ (exemplar.cloneNode(true));
      host.id = vendId();
      if (reveal) host.classList.add('ui-new-view');
      const properties = { path, elementId: host.id, ...names, ...(wrapper && { wrapper }) };
      const row = new View(host, create(varId, properties, null, above ?? reveal), this, reveal);
      row.coming = !!reveal && !this.fresh;
      return [path, row];
    }));
  }

  /** Puts the nodes into the order of the rows: new ones come in one piece where they stand together, and of the others as few move as can be (R5). @param {View[]} before @param {Set<View>} made */
  arrange(before, made) {
    const { element } = this;
    const rows = [...this.rows.values()];
    const rank = new Map(before.map((row, i) => [row, i]));
    const ranks = rows.flatMap((row) => rank.get(row) ?? []);
    const still = rising(ranks, this.pinned().flatMap((row) => rank.get(row) ?? []));
    if (!made.size && still.size === rows.length) return;
    const putBack = still.size === ranks.length || canMove(element) ? null : remember(rows.filter((row) => !made.has(row) && !still.has(rank.get(row) ?? -1)), element);
    /** @type {View | undefined} */
    let next;
    const place = () => next?.nodes().find((node) => node.parentNode === element) ?? null;
    /** @type {View[]} */
    let coming = [];
    const come = () => {
      if (!coming.length) return;
      const fragment = document.createDocumentFragment();
      fragment.append(...coming.reverse().flatMap((row) => row.nodes()));
      element.insertBefore(fragment, place());
      [next] = coming;
      coming = [];
    };
    for (const row of rows.reverse()) {
      if (made.has(row)) {
        coming.push(row);
        continue;
      }
      come();
      if (!still.has(rank.get(row) ?? -1)) move(row, element, place());
      next = row;
    }
    come();
    putBack?.();
  }

  /** Rows that should not move: that with focus, and those that lose what nobody can put back. */
  pinned() {
    const { element } = this;
    const { activeElement } = document;
    const precious = canMove(element) ? [] : [...element.querySelectorAll('iframe, object, embed, video, audio, dialog[open]')];
    const nodes = [...(activeElement && activeElement !== element && element.contains(activeElement) ? [activeElement] : []), ...precious];
    return nodes.flatMap((node) => this.rowWith(node) ?? []);
  }

  /** @param {Node} node below the element */
  rowWith(node) {
    let root = node;
    while (root.parentNode && root.parentNode !== this.element) root = root.parentNode;
    return [...this.rows.values()].find((row) => row.nodes().includes(root));
  }

  /** Sends what was typed in rows, since it is meant for their objects (R1), and takes them off the page. @param {string[]} paths */
  leave(paths) {
    if (!paths.length) return;
    const { element, rows } = this;
    const { activeElement } = document;
    const gone = new Set(paths.map((path) => /** @type {View} */ (rows.get(path))));
    for (const row of gone) row.commit();
    if (activeElement && activeElement !== element && element.contains(activeElement)) this.passFocus(this.rowWith(activeElement), gone);
    for (const row of gone) row.end();
    leave([...gone].map((row) => row.nodes()), gone.size === rows.size ? () => element.replaceChildren(...this.empty) : null);
    for (const row of gone) destroy(row.varId);
  }

  /**
   * Focus goes to the row that comes into the place of its own, but to no control of it: the next key was meant for another object. Tab goes on from there.
   * @param {View | undefined} row @param {Set<View>} gone
   */
  passFocus(row, gone) {
    if (!row || !gone.has(row)) return;
    const rows = [...this.rows.values()];
    const at = rows.indexOf(row);
    const near = [...rows.slice(at), ...rows.slice(0, at).reverse()].find((other) => !gone.has(other));
    const target = /** @type {HTMLElement} */ (near?.primary() ?? this.element);
    if (!target.matches('[tabindex]')) {
      target.tabIndex = -1;
      target.addEventListener('blur', () => target.removeAttribute('tabindex'), { once: true });
    }
    target.focus({ preventScroll: true });
  }

  /** Takes off one row, whose object is gone (R1). @param {View} row */
  drop(row) {
    for (const [path, view] of this.rows) {
      if (view !== row) continue;
      this.leave([path]);
      this.rows.delete(path);
      this.told();
    }
  }

  commit() {
    for (const row of this.rows.values()) row.commit();
  }

  end() {
    for (const row of this.rows.values()) row.end();
  }
}

/** Takes off the row in whose object a variable lies. @param {number} varId */
export function dropRow(varId) {
  for (let id = /** @type {number | undefined} */ (varId); id; id = get(id)?.parentId) {
    const row = ownerOf(id);
    if (row instanceof View && row.owner instanceof List && row.varId === id) return row.owner.drop(row);
  }
}

// Moves.

/** The largest set of rising numbers among `ranks`, with as many of `pins` as it can have; each of those before the ones behind it. @param {number[]} ranks @param {number[]} pins */
export function rising(ranks, pins) {
  for (const pin of pins) {
    const at = ranks.indexOf(pin);
    if (at >= 0) ranks = ranks.filter((rank, i) => (i - at) * (rank - pin) > 0 || i === at);
  }
  /** For each length the place at which such a set ends with the smallest number. @type {number[]} */
  const ends = [];
  /** @type {(number | undefined)[]} */
  const prior = [];
  ranks.forEach((rank, i) => {
    let low = 0;
    for (let high = ends.length; low < high;) {
      const middle = (low + high) >> 1;
      if (ranks[ends[middle]] < rank) low = middle + 1;
      else high = middle;
    }
    prior[i] = ends[low - 1];
    ends[low] = i;
  });
  /** @type {Set<number>} */
  const found = new Set();
  for (let i = ends.at(-1); i !== undefined; i = prior[i]) found.add(ranks[i]);
  return found;
}

/** Whether the browser moves nodes without their losing anything. @param {any} element */
const canMove = (element) => !!element.moveBefore && element.isConnected;

/** @param {View} row @param {any} element @param {Node | null} next */
function move(row, element, next) {
  const how = canMove(element) ? 'moveBefore' : 'insertBefore';
  for (const node of row.nodes()) if (node.parentNode === element) element[how](node, next);
}

/** Notes what rows lose where moving them means to take them out: selection, scroll positions, what plays and what is open. @param {View[]} rows @param {Element} list @returns {() => void} puts it back */
function remember(rows, list) {
  /** @type {(() => void)[]} */
  const lost = [];
  const selection = getSelection();
  const { anchorNode, anchorOffset, focusNode, focusOffset } = selection ?? {};
  const { activeElement } = document;
  if (list instanceof HTMLSelectElement) for (const option of list.selectedOptions) lost.push(() => void (option.selected = true));
  for (const root of rows.flatMap((row) => row.nodes())) {
    if (anchorNode && focusNode && (root.contains(anchorNode) || root.contains(focusNode))) {
      lost.push(() => selection?.setBaseAndExtent(anchorNode, anchorOffset ?? 0, focusNode, focusOffset ?? 0));
    }
    if (!(root instanceof Element)) continue;
    for (const element of /** @type {any[]} */ ([root, ...root.querySelectorAll('*')])) {
      const { scrollLeft, scrollTop } = element;
      if (scrollLeft || scrollTop) lost.push(() => element.scrollTo({ left: scrollLeft, top: scrollTop, behavior: 'instant' }));
      if (element.paused === false) lost.push(() => void element.play().catch(() => {}));
      if (element.localName === 'dialog' && element.matches(':modal')) lost.push(() => showModal(element));
      else if (element.popover && element.matches(':popover-open')) lost.push(() => element.showPopover());
    }
  }
  return () => {
    for (const putBack of lost) putBack();
    if (activeElement !== document.activeElement) /** @type {HTMLElement | null} */ (activeElement)?.focus({ preventScroll: true });
  };
}

// Coming and going (R6).

/** @param {Node[]} nodes */
const elementsOf = (nodes) => /** @type {Element[]} */ (nodes.filter((node) => node instanceof Element && node.isConnected));

/** What runs, by the element among `roots` in which it does; to ask computes all styles as they are. @param {Element[]} roots @param {(animation: Animation) => boolean} counts */
function running(roots, counts) {
  const own = new Set(roots);
  /** @type {Map<Element, Animation[]>} */
  const found = new Map();
  for (const animation of document.getAnimations()) {
    let element = /** @type {any} */ (animation.effect)?.target;
    while (element && !own.has(element)) element = element.parentElement;
    if (element && counts(animation)) found.set(element, [...found.get(element) ?? [], animation]);
  }
  return found;
}

/** Lets rows come that are to be seen from now on. The class `ui-enter` stays while an animation runs; without one it goes at once, which is how a transition begins. @param {View[]} views */
export function enter(views) {
  const rows = views.filter((view) => view.coming && (view.key || view.plain));
  if (!rows.length) return;
  for (const row of rows) row.coming = false;
  const roots = elementsOf(rows.flatMap((row) => row.nodes()));
  for (const root of roots) root.classList.add('ui-enter');
  const animations = running(roots, ({ effect }) => effect?.getComputedTiming().endTime !== Infinity);
  for (const root of roots) {
    const own = animations.get(root);
    const end = () => root.classList.remove('ui-enter');
    if (own) void Promise.allSettled(own.map(({ finished }) => finished)).then(end);
    else end();
  }
}

/** Rows go at once unless their class `ui-leave` starts an animation; till that ends they are to be seen, and no more than that. @param {Node[][]} rows @param {(() => void) | null} removeAll takes off all of them in one operation (F189) */
function leave(rows, removeAll) {
  const roots = elementsOf(rows.flat());
  const before = new Set(document.getAnimations());
  for (const root of roots) root.classList.add('ui-leave');
  const animations = running(roots, (animation) => !before.has(animation));
  if (!animations.size && removeAll) return removeAll();
  for (const nodes of rows) {
    const own = nodes.flatMap((node) => animations.get(/** @type {Element} */ (node)) ?? []);
    if (!own.length) {
      remove(nodes);
      continue;
    }
    forgetIds(nodes);
    for (const root of elementsOf(nodes)) root.setAttribute('inert', '');
    const end = () => remove(nodes);
    void Promise.allSettled(own.map(({ finished }) => finished)).then(end);
    setTimeout(end, LEAVING_MS);
  }
}
