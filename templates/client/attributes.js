/** What bindings do to attributes, classes and styles, to HTML, and with code (F102 to F112). */
import { store } from './app.js';
import { vendId } from './elements.js';
import { notifyScroll, runBlamed } from './reveal.js';
import { get } from './store.js';

/** @typedef {import('./bind.js').Widget} Widget */

/** Properties that the attribute alone stops to govern once the user has acted (F103). */
const LIVE = ['checked', 'selected', 'value', 'muted', 'open', 'indeterminate'];
const LIVE_TAGS = /^(input|textarea|select|button|progress|meter|output|option|dialog|details|audio|video)$/;
const OWN_CLASS = /^ui-(new-view|obsolete-view|view-\d+|error)$/;

/** What the toggles of a widget hold at present, so that whole-attribute bindings can put it back (F104). @type {WeakMap<Widget, {classes: Map<string, boolean>, styles: Map<string, any>}>} */
const toggles = new WeakMap();

/** @param {Widget} widget */
function togglesOf(widget) {
  const found = toggles.get(widget) ?? { classes: new Map(), styles: new Map() };
  toggles.set(widget, found);
  return found;
}

/** @param {Widget} widget @param {string} name @param {any} value */
export function applyAttribute(widget, name, value) {
  const element = /** @type {any} */ (widget.element);
  const absent = value === null || value === undefined || value === false;
  const own = name === 'class' ? [...element.classList].filter((word) => OWN_CLASS.test(word)) : [];
  if (!absent) element.setAttribute(name, String(value));
  else if (name === 'id') element.id = widget.elementId; // tools look for it
  else element.removeAttribute(name);
  const { classes, styles } = togglesOf(widget);
  if (name === 'class') {
    element.classList.add(...own);
    for (const [word, on] of classes) if (on) element.classList.add(word);
  } else if (name === 'style') {
    for (const [property, text] of styles) setStyle(element, property, text);
  } else if (LIVE.includes(name) && LIVE_TAGS.test(element.localName) && name in element) {
    if (typeof element[name] !== 'boolean') {
      if (!/^(progress|meter)$/.test(element.localName)) element[name] = absent ? '' : String(value);
    } else if (element[name] === absent) {
      element[name] = !absent; // not when it is so already: it would rewrite the attribute
    }
  }
}

/** @param {Widget} widget @param {string} name @param {any} value */
export function applyClass(widget, name, value) {
  togglesOf(widget).classes.set(name, !!value);
  widget.element.classList.toggle(name, !!value);
}

/** @param {Widget} widget @param {string} name @param {any} value */
export function applyStyle(widget, name, value) {
  togglesOf(widget).styles.set(name, value);
  setStyle(widget.element, name, value);
}

/** @param {any} element @param {string} name @param {any} value */
function setStyle({ style }, name, value) {
  if (value === null || value === undefined) style.removeProperty(name);
  else style.setProperty(name, String(value));
}

/** @param {Widget} widget @param {any} value */
export function applyHtml(widget, value) {
  widget.element.innerHTML = value === null ? '' : String(value); // trusted, like the templates (F111)
  notifyScroll(widget.view.varId);
}

/** `ui-html="path?replace"`: the parsed nodes stand where the element stood (F112). */
export class Replacement {
  /** @param {Widget} widget */
  constructor(widget) {
    this.widget = widget;
    this.id = widget.elementId;
    /** @type {Node[]} */
    this.content = [widget.element];
    widget.view.adopt(widget.element, this);
  }

  nodes() {
    return this.content;
  }

  /** @returns {Element | undefined} */
  primary() {
    return this.widget.element;
  }

  /** @param {any} value */
  apply(value) {
    const template = document.createElement('template');
    template.innerHTML = value === null ? '' : String(value);
    const fragment = document.importNode(template.content, true);
    let [first, ...others] = fragment.children;
    if (!first) {
      first = document.createElement('span');
      if (fragment.hasChildNodes()) first.append(...fragment.childNodes);
      else first.setAttribute('style', 'display: none');
      fragment.replaceChildren(first);
    }
    const last = this.content[this.content.length - 1];
    const nodes = [...fragment.childNodes];
    const hidden = this.widget.element.classList.contains('ui-new-view');
    for (const node of this.content) if (node instanceof Element) node.removeAttribute('id');
    first.id = this.id;
    for (const other of others) other.id = vendId();
    if (hidden) for (const root of [first, ...others]) root.classList.add('ui-new-view');
    last.parentNode?.insertBefore(fragment, last.nextSibling);
    for (const node of this.content) node.parentNode?.removeChild(node);
    this.content = nodes;
    this.widget.retarget(first, this.widget.bindings.get('ui-html'));
    notifyScroll(this.widget.view.varId);
  }
}

/** Runs the text that an update has delivered, once the view is shown and its scripts have run (F109). @param {Widget} widget @param {number} varId @param {any} value */
export function applyCode(widget, varId, value) {
  if (typeof value !== 'string' || !value) return;
  const { view } = widget;
  const run = () => runBlamed(`ui-code in ${view.key}`, () => {
    const code = new Function('element', 'value', 'variable', 'store', value);
    code.call(window, widget.element, value, get(varId), store);
  });
  const reveal = view.buffer();
  if (reveal) reveal.held.set(varId, run);
  else run();
}
