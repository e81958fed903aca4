/**
 * What is shown: viewdefs as they have come (F127 to F141), and views, each one variable shown by the viewdef of its type in place of a host element
 * (F142 to F158, F171 to F178). A view owns all its root nodes, and everything that its content holds.
 */
import { bindContent } from './bind.js';
import { List } from './list.js';
import { setProblem } from './overlay.js';
import { forgetIds, identify } from './keep.js';
import { collectScripts, Reveal } from './reveal.js';
import { markScroll } from './scroll.js';
import { blame, create, describe, destroy, get, guard, refreshError, report, update, watch } from './store.js';
import { ensureId, forwarded, vendId } from './value.js';

/** By key TYPE.NAMESPACE. @type {Map<string, {text: string, content: DocumentFragment, names: Map<string, string>}>} */
const viewdefs = new Map();

/** @param {string} key */
export const viewdef = (key) => viewdefs.get(key);
export const keys = () => [...viewdefs.keys()];

/** The content of a viewdef; a template around it may be missing (F129, F130). @param {string} text @returns {DocumentFragment} */
function parse(text) {
  const outer = document.createElement('template'); // inert: nothing loads or runs
  outer.innerHTML = text.trim();
  const { content } = outer;
  const top = [...content.childNodes].filter((node) => node instanceof Element || (node instanceof Text && node.data.trim()));
  if (top.length === 1 && top[0] instanceof HTMLTemplateElement) return top[0].content;
  if (!content.firstElementChild) throw new Error('it holds no template element');
  if (top.some((node) => node instanceof HTMLTemplateElement)) throw new Error('there must be nothing beside its template element');
  return content;
}

/** HTML takes the capitals out of names of attributes; these are the binding attributes that have some in the text, such as `ui-class-isActive`. @param {string} text */
const writtenNames = (text) => new Map([...text.matchAll(/\bui-[a-z]+-[^\s=>"'/]*[A-Z][^\s=>"'/]*/g)].map(([name]) => [name.toLowerCase(), name]));

/** Takes a delivery, retries what was pending and renders again what a new text concerns (F133, F175, F176). @param {string | Record<string, string>} delivery */
export function deliver(delivery) {
  /** @type {Set<string>} */
  const changed = new Set();
  for (const [key, text] of Object.entries(typeof delivery === 'string' ? JSON.parse(delivery) : delivery)) {
    try {
      if (!key.includes('.')) throw new Error('its name must be TYPE.NAMESPACE');
      if (viewdefs.get(key)?.text !== text) {
        viewdefs.set(key, { text, content: parse(String(text)), names: writtenNames(String(text)) });
        changed.add(key);
      }
      setProblem(key, null);
    } catch (cause) { // the older version stays, and whoever can mend it is told (F131)
      blame(key, cause, 'bad-viewdef');
      setProblem(key, /** @type {Error} */ (cause).message);
    }
  }
  for (const view of [...pending]) guard('rendering', () => view.render(), view.varId);
  // Outer views are older than what is in them, which they end by rendering again (F177).
  for (const view of [...live]) if (live.has(view) && view.key && changed.has(view.bestKey() ?? '')) guard('rendering', () => view.forceRender(), view.varId);
}

/** The key to show a type with, or undefined (F139). @param {string} type @param {string} [namespace] @param {string} [fallback] */
export function findKey(type, namespace, fallback) {
  return [namespace, fallback, 'DEFAULT'].map((name) => name && `${type}.${name}`).find((key) => key && viewdefs.has(key));
}

/** The namespace properties of a nested view or list, to be evaluated while its element is in place (F134). @param {Element} element @param {View} view the context @param {Properties} properties of its path */
export function namespacesOf(element, view, properties) {
  const context = get(view.varId)?.properties ?? {};
  const closest = element.parentElement?.closest('[ui-namespace]:not([ui-namespace=""])');
  const outer = closest?.getAttribute('ui-namespace');
  const inside = closest && view.nodes().some((node) => node.contains(closest)); // any root counts (F135)
  const inherited = inside ? outer : context.namespace || outer;
  return named(element.getAttribute('ui-namespace') || inherited || properties.namespace, properties.fallbackNamespace || context.fallbackNamespace);
}

/** @param {string | null | undefined} namespace @param {string | undefined} fallbackNamespace @returns {Properties} */
export const named = (namespace, fallbackNamespace) => ({ ...(namespace && { namespace }), ...(fallbackNamespace && { fallbackNamespace }) });

// Views.

const CARRIED = /^(slot|title|role|aria-.*|data-.*)$/; // F151
const INVISIBLE = /^(script|style|link|template)$/;

/** @type {Set<View>} */
const live = new Set();
/** Views whose type has no viewdef yet (F171). @type {Set<View>} */
const pending = new Set();

export class View {
  /** @param {HTMLElement} host @param {number} varId @param {View | List | null} owner @param {Reveal | null} [reveal] that the hidden host waits for */
  constructor(host, varId, owner, reveal = null) {
    this.varId = varId;
    this.owner = owner;
    this.reveal = reveal;
    this.elementId = ensureId(host);
    this.host = /** @type {HTMLElement} */ (host.cloneNode(false)); // as it was before bindings change it (F150)
    this.host.classList.remove('ui-new-view', 'ui-obsolete-view');
    this.scrollOnOutput = false;
    this.plain = false; // shows a value without a type
    this.coming = false; // a row that enters when it has been rendered (R6)
    /** The viewdef in use: '' before the first, null when its content has been cut off. @type {string | null} */
    this.key = '';
    this.type = '';
    /** @type {Part[]} */
    this.content = [host];
    /** Old root nodes that stay visible until the reveal (F160). @type {Node[]} */
    this.obsolete = [];
    /** Whether focus, edits and scroll positions go over from them (F178). */
    this.keep = false;
    /** Bindings of the host, which belong to the outer view (F83). @type {Widget | null} */
    this.hostWidget = null;
    /** @type {(View | List)[]} */
    this.inner = [];
    /** @type {Widget[]} */
    this.widgets = [];
    /** Child variables that the content has made. @type {number[]} */
    this.made = [];
    reveal?.views.add(this);
    this.connect();
  }

  /** Makes the view of a `ui-view` element (F143). @param {HTMLElement} host @param {View} outer @param {Spec} spec */
  static nested(host, outer, spec) {
    const keyed = spec.properties.wrapper === 'lua.ViewList' && { keyed: 'true' }; // R3
    const properties = { access: 'r', ...keyed, ...forwarded(spec), ...namespacesOf(host, outer, spec.properties), path: spec.path, elementId: ensureId(host) };
    const view = new View(host, outer.child(properties), outer);
    view.scrollOnOutput = !!spec.properties.scrollOnOutput;
    if (view.scrollOnOutput) markScroll(host);
    outer.adopt(host, view);
    outer.inner.push(view);
    return view;
  }

  connect() {
    live.add(this);
    watch(this.varId, () => this.render(), this);
  }

  /** Makes a variable below this view's own. @param {Properties} properties @param {Owner} [owner] */
  child(properties, owner) {
    const id = create(this.varId, properties, owner, this.buffer());
    this.made.push(id);
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
    const visible = (part) => (part instanceof Node ? part instanceof Element && !INVISIBLE.test(part.localName) : part.primary());
    return this.content.find(visible) ?? this.content.find((part) => part instanceof Element);
  }

  /** @returns {Element | undefined} */
  primary() {
    const part = this.primaryPart();
    return part instanceof Node ? /** @type {Element} */ (part) : part?.primary();
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

  forceRender() {
    this.render(true);
  }

  bestKey() {
    const { type = '', namespace, fallbackNamespace } = get(this.varId)?.properties ?? {};
    return findKey(type, namespace, fallbackNamespace);
  }

  /** Shows the variable as it is now, if that differs from what is shown (F146). @param {boolean} [force] */
  render(force) {
    const { value, properties: { type = '' } = {} } = get(this.varId) ?? {};
    pending.delete(this);
    if (!type || value === null) {
      if (this.key === null && value === undefined) return; // reconnected, nothing said yet (F215)
      if (this.key !== '') this.clear();
      return this.showPlain(value);
    }
    const key = this.bestKey();
    if (!key) pending.add(this);
    else if (key !== this.key || force) this.replace(key, type);
    identify(this.content, value);
  }

  /** An item that is a plain value is shown as text; only objects have types and viewdefs (S57). @param {any} value */
  showPlain(value) {
    const [host] = this.content;
    if (!(this.owner instanceof List && host instanceof HTMLElement)) return;
    const plain = typeof value !== 'object' && value !== undefined;
    if (plain || this.plain) host.textContent = plain ? String(value) : '';
    this.plain = plain;
  }

  /** Puts a rendering of a viewdef in the place of what is there (F147). @param {string} key @param {string} type */
  replace(key, type) {
    const fragment = this.instantiate(key);
    this.keep = this.type === type;
    if (!this.keep) this.commit();
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
    if (!above) this.reveal ??= new Reveal(this);
    const hide = !above || this.sharesRoots(above);
    const roots = [...fragment.children];
    const primary = roots.find((root) => !INVISIBLE.test(root.localName)) ?? roots[0];
    for (const root of roots) {
      root.id ||= root === primary ? this.elementId : vendId(); // F74
      if (hide) root.classList.add('ui-new-view');
    }
    roots[0].setAttribute('ui-viewdef', key);
    this.carryHost(primary);
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
    const fragment = /** @type {DocumentFragment} */ (viewdef(key)?.content.cloneNode(true));
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

  /** Takes over the host's looks (F150, F151). @param {Element} root */
  carryHost(root) {
    for (const name of this.host.getAttributeNames()) {
      const value = this.host.getAttribute(name) ?? '';
      const own = root.getAttribute(name);
      if (name === 'class') root.classList.add(...this.host.classList);
      else if (name === 'style') root.setAttribute(name, own ? `${own.replace(/;\s*$/, '')}; ${value}` : value);
      else if (CARRIED.test(name) && own === null) root.setAttribute(name, value);
    }
  }

  /** True if this view's roots are roots of a view that waits for the reveal, so that nothing above hides them. @param {Reveal} reveal */
  sharesRoots(reveal) {
    /** @type {View} */
    let view = this;
    while (!reveal.views.has(view)) {
      const { owner } = view;
      if (!(owner instanceof View && owner.content.includes(view))) return false;
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
    this.commit();
    this.cut();
    this.reveal?.drop(this);
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

  /** Sends what was typed and is not to stay: it is meant for the object that was shown (R1). */
  commit() {
    for (const part of [...this.inner, ...this.widgets]) part.commit();
  }

  /** Ends all that the content owns and destroys its variables; the nodes stay (F147). */
  cut() {
    this.endContent();
    for (const id of this.made) destroy(id);
    this.made = [];
  }

  endContent() {
    if (this.key) this.primary()?.dispatchEvent(new CustomEvent('ui-removed', { detail: this.key })); // S84
    for (const part of [...this.inner, ...this.widgets]) part.end();
    this.inner = [];
    this.widgets = [];
    this.content = this.current();
  }

  /** Ends the view as part of a larger one; its nodes go with that. */
  end() {
    this.endContent();
    if (this.reveal) { // what is to be seen is the old content
      this.reveal.drop(this);
      remove(this.current());
      this.content = this.obsolete;
      this.obsolete = [];
    }
    live.delete(this);
    pending.delete(this);
  }

  /** After a reconnect: the old content stays to be seen until variable 1 has been shown anew (F215). */
  resync() {
    this.end();
    this.made = [];
    if (this.key) this.key = null;
    this.connect();
  }
}

/** @param {Node[]} nodes */
export function remove(nodes) {
  for (const node of nodes) node.parentNode?.removeChild(node);
}

/** True if a view below the reveal waits for a viewdef that may be on its way (F162). @param {Reveal} reveal */
export const awaitsViewdef = (reveal) => [...pending].some((view) => view.buffer() === reveal);

/** @param {string} elementId */
export const findView = (elementId) => [...live].findLast((view) => view.elementId === elementId || view.primary()?.id === elementId);
