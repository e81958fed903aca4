/**
 * A view: one variable shown by the viewdef of its type, in place of a host element (F142 to F158, F171 to F178).
 * It owns all its root nodes, and everything that its content holds.
 */
import { bindContent } from './bind.js';
import { ensureId, forwarded, vendId } from './elements.js';
import { collectScripts, forgetIds, markScroll, Reveal } from './reveal.js';
import { create, debug, describe, destroy, expectAnswer, get, guard, own, refreshError, report, update, watch } from './store.js';
import { findKey, namespacesOf, viewdef } from './viewdefs.js';

/** @typedef {import('./list.js').List} List */
/** @typedef {import('./bind.js').Widget} Widget */
/** @typedef {import('./attributes.js').Replacement} Replacement */
/** @typedef {Node | View | Replacement} Part a root node, or what stands in the place of one (F144) */

const OWN_CLASS = /^ui-(new-view|obsolete-view|view-\d+)$/;
const CARRIED = /^(slot|title|role|aria-.*|data-.*)$/; // F151
const INVISIBLE = /^(script|style|link|template)$/;

/** @type {Set<View>} */
const live = new Set();
/** Views whose type has no viewdef yet (F171). @type {Set<View>} */
const pending = new Set();
let numbered = 0;

export class View {
  /** @param {HTMLElement} host @param {number} varId @param {View | List | null} owner */
  constructor(host, varId, owner) {
    this.varId = varId;
    this.owner = owner;
    this.elementId = ensureId(host);
    this.host = /** @type {HTMLElement} */ (host.cloneNode(false)); // as it was before bindings change it (F150)
    this.host.classList.remove(...[...host.classList].filter((name) => OWN_CLASS.test(name)));
    this.scrollOnOutput = false;
    this.plain = false; // shows a value without a type
    this.number = ++numbered;
    /** The viewdef in use: '' before the first, null when its content has been cut off. @type {string | null} */
    this.key = '';
    this.type = '';
    /** @type {Part[]} */
    this.content = [host];
    /** Old root nodes that stay visible until the reveal (F160). @type {Node[]} */
    this.obsolete = [];
    /** @type {Reveal | null} */
    this.reveal = null;
    /** Bindings of the host, which belong to the outer view (F83). @type {Widget | null} */
    this.hostWidget = null;
    /** @type {(View | List)[]} */
    this.inner = [];
    /** @type {Widget[]} */
    this.widgets = [];
    /** Child variables that the content has made. @type {number[]} */
    this.made = [];
    live.add(this);
    this.connect();
  }

  /** Makes the view of a `ui-view` element (F143). @param {HTMLElement} host @param {View} outer @param {import('./elements.js').Spec} spec */
  static nested(host, outer, spec) {
    const elementId = ensureId(host);
    const varId = outer.child({ access: 'r', ...forwarded(spec), ...namespacesOf(host, outer, spec.properties), path: spec.path, elementId });
    const view = new View(host, varId, outer);
    view.scrollOnOutput = !!spec.properties.scrollOnOutput;
    if (view.scrollOnOutput) markScroll(host);
    outer.adopt(host, view);
    outer.inner.push(view);
    return view;
  }

  connect() {
    own(this.varId, this);
    watch(this.varId, () => this.render());
  }

  /** Makes a variable below this view's own. @param {Record<string, string>} properties @param {import('./store.js').Owner} [owner] */
  child(properties, owner) {
    const id = create(this.varId, properties, owner);
    this.made.push(id);
    expectAnswer(id, this.buffer());
    return id;
  }

  /** Lets something else stand for a root node. @param {Node} node @param {Part} part */
  adopt(node, part) {
    const at = this.content.indexOf(node);
    if (at >= 0) this.content[at] = part;
  }

  /** All nodes in the view's place, those of inner views that share it included. @returns {Node[]} */
  nodes() {
    return [...this.obsolete, ...this.current()];
  }

  /** @returns {Node[]} */
  current() {
    return this.content.flatMap((part) => (part instanceof Node ? [part] : part.nodes()));
  }

  /** The part that holds the primary root: the first that is to be seen, else the first element. */
  primaryPart() {
    /** @param {Part} part */
    const visible = (part) => (part instanceof Node ? part instanceof Element && !INVISIBLE.test(part.localName) : !!part.primary());
    return this.content.find(visible) ?? this.content.find((part) => part instanceof Element);
  }

  /** @returns {Element | undefined} */
  primary() {
    const part = this.primaryPart();
    if (part instanceof Node) return /** @type {Element} */ (part);
    return part?.primary();
  }

  getElement() {
    return this.primary();
  }

  isRendered() {
    return !!this.key;
  }

  getView() {
    return this;
  }

  /** The reveal that this view's content waits for; null when it is to be seen. @returns {Reveal | null} */
  buffer() {
    return this.reveal ?? this.owner?.buffer() ?? null;
  }

  /** Renders again even if nothing has changed. */
  forceRender() {
    this.render(true);
  }

  /** Shows the variable as it is now, if that differs from what is shown (F146). @param {boolean} [force] */
  render(force) {
    const record = get(this.varId);
    const { type, namespace, fallbackNamespace } = record?.properties ?? {};
    if (!type || record?.value === null) {
      pending.delete(this);
      if (this.key === null && record?.value === undefined) return; // reconnected, nothing said yet (F215)
      if (this.key !== '') this.clear();
      this.showPlain(record?.value);
      return;
    }
    const key = findKey(type, namespace, fallbackNamespace);
    if (!key) {
      pending.add(this);
      return;
    }
    pending.delete(this);
    if (key !== this.key || force) this.replace(key, type);
  }

  /** An item that is a plain value is shown as text; only objects have types and viewdefs (S57). @param {any} value */
  showPlain(value) {
    const [host] = this.content;
    if (!this.owner || 'widgets' in this.owner || !(host instanceof HTMLElement)) return;
    const plain = typeof value !== 'object' && value !== undefined;
    if (plain) host.textContent = String(value);
    else if (this.plain) host.textContent = '';
    this.plain = plain;
  }

  /** Puts a rendering of a viewdef in the place of what is there (F147). @param {string} key @param {string} type */
  replace(key, type) {
    const fragment = this.instantiate(key);
    const sameType = this.type === type;
    this.cut();
    const old = this.current();
    const last = old[old.length - 1];
    const parent = last?.parentNode;
    if (!parent) return report(`viewdef ${key}: the place of ${describe(this.varId)} is gone from the page`);
    const next = last.nextSibling;
    const above = this.owner?.buffer() ?? null;
    if (above || this.reveal) remove(old); // nobody has seen them
    else {
      this.obsolete = old;
      for (const node of old) if (node instanceof Element) node.classList.add('ui-obsolete-view');
      forgetIds(old);
    }
    const roots = [...fragment.children];
    const primary = roots.find((root) => !INVISIBLE.test(root.localName)) ?? roots[0];
    for (const root of roots) {
      root.id = root === primary ? this.elementId : vendId(); // F74
      root.classList.add(`ui-view-${this.number}`);
    }
    roots[0].setAttribute('ui-viewdef', key);
    this.carryHost(/** @type {HTMLElement} */ (primary));
    if (!above) this.reveal ??= new Reveal(this);
    if (this.reveal) this.reveal.keep = sameType;
    if (!above || this.sharesRoots(above)) for (const root of roots) root.classList.add('ui-new-view');
    this.content = [...fragment.childNodes];
    collectScripts(fragment, this);
    parent.insertBefore(fragment, next);
    const changed = this.key !== key;
    this.key = key;
    this.type = type;
    bindContent(this, roots);
    this.refreshHost();
    if (changed) update(this.varId, undefined, { viewdef: key }); // F153
  }

  /** A copy of the viewdef's content, with at least one root element (F149). @param {string} key */
  instantiate(key) {
    const content = viewdef(key)?.content;
    const fragment = /** @type {DocumentFragment} */ (content?.cloneNode(true) ?? document.createDocumentFragment());
    if (!fragment.firstElementChild) {
      report(`viewdef ${key}: it has no root element`);
      fragment.append(this.placeholder());
    }
    return fragment;
  }

  /** An empty copy of the host (F173). */
  placeholder() {
    const element = /** @type {HTMLElement} */ (this.host.cloneNode(false));
    element.id = this.elementId;
    return element;
  }

  /** Takes over the host's looks (F150, F151). @param {HTMLElement} root */
  carryHost(root) {
    root.classList.add(...this.host.classList);
    const style = this.host.getAttribute('style');
    if (style) root.setAttribute('style', [root.getAttribute('style')?.replace(/;\s*$/, ''), style].filter(Boolean).join('; '));
    for (const { name, value } of this.host.attributes) {
      if (CARRIED.test(name) && !root.hasAttribute(name)) root.setAttribute(name, value);
    }
  }

  /** True if this view's roots are roots of the view that waits for its reveal, so that nothing above hides them. @param {Reveal} reveal */
  sharesRoots(reveal) {
    /** @type {View} */
    let view = this;
    while (view !== reveal.view) {
      const { owner } = view;
      if (!(owner instanceof View) || !owner.content.includes(view)) return false;
      view = owner;
    }
    return true;
  }

  /** Moves the bindings of the host, and of outer hosts that share the element, to the present primary root (F83). */
  refreshHost() {
    const root = this.primary();
    if (root) this.hostWidget?.retarget(root);
    if (this.scrollOnOutput) markScroll(root);
    refreshError(this.varId);
    if (this.owner instanceof View && this.owner.primaryPart() === this) this.owner.refreshHost();
  }

  /** Puts an empty copy of the host in place of what was shown, at once (F172 to F174). */
  clear() {
    this.cut();
    this.reveal?.cancel();
    const old = this.current();
    const element = this.placeholder();
    const above = this.buffer();
    if (above && this.sharesRoots(above)) element.classList.add('ui-new-view');
    const last = old[old.length - 1];
    last?.parentNode?.insertBefore(element, last.nextSibling);
    remove(old);
    remove(this.obsolete);
    this.obsolete = [];
    this.content = [element];
    this.key = this.type = '';
    this.refreshHost();
    update(this.varId, undefined, { viewdef: '' });
  }

  /** Ends all that the content owns and destroys its variables; the nodes stay (F147). */
  cut() {
    this.endContent();
    for (const id of this.made) destroy(id);
    this.made = [];
  }

  endContent() {
    if (this.key) this.primary()?.dispatchEvent(new CustomEvent('ui-removed', { detail: this.key })); // S84
    for (const inner of this.inner) inner.end();
    for (const widget of this.widgets) widget.end();
    this.inner = [];
    this.widgets = [];
    this.content = this.current();
  }

  /** Ends the view as part of a larger one; its nodes go with that. */
  end() {
    this.endContent();
    if (this.reveal) { // what is to be seen is the old content
      this.reveal.cancel();
      remove(this.content.splice(0, this.content.length, ...this.obsolete).filter((part) => part instanceof Node));
      this.obsolete = [];
    }
    live.delete(this);
    pending.delete(this);
  }

  /** Ends the view and takes it off the page (F157, F164). */
  destroy() {
    this.end();
    remove(this.current());
    destroy(this.varId);
  }

  /** After a reconnect: the old content stays to be seen until variable 1 has been shown anew (F215). */
  resync() {
    const shown = this.key !== '';
    this.end();
    this.made = [];
    if (shown) this.key = null;
    live.add(this);
    this.connect();
  }
}

/** @param {Node[]} nodes */
function remove(nodes) {
  for (const node of nodes) node.parentNode?.removeChild(node);
}

/** True if a view below the reveal waits for a viewdef that may be on its way (F162). @param {Reveal} reveal */
export const awaitsViewdef = (reveal) => [...pending].some((view) => view.buffer() === reveal);

/** Retries what was pending and renders again what a changed or added viewdef concerns, outermost only (F133, F175 to F177). @param {Set<string>} changed */
export function viewdefsArrived(changed) {
  for (const view of [...pending]) guard(`rendering of ${describe(view.varId)} failed`, () => view.render());
  const affected = new Set([...live].filter((view) => {
    if (!view.key) return false;
    const { type = '', namespace, fallbackNamespace } = get(view.varId)?.properties ?? {};
    const key = findKey(type, namespace, fallbackNamespace);
    return key && changed.has(key);
  }));
  for (const view of affected) {
    /** @type {View | List | null} */
    let above = view.owner;
    while (above && !affected.has(/** @type {View} */ (above))) above = above.owner;
    if (!above) guard(`rendering of ${describe(view.varId)} failed`, () => view.forceRender());
  }
}

/** @param {string} elementId */
export function findView(elementId) {
  return [...live].filter((view) => view.elementId === elementId).at(-1);
}

if (debug) Object.assign(window, { uiViews: live });
