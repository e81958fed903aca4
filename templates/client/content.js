/** `ui-html` and `ui-code` (F108 to F112). */
import { vendId } from './ids.js';
import { get } from './store.js';
import { store } from './page.js';
import { notifyScroll } from './scroll.js';
import { runBlamed } from './scripts.js';

/** @typedef {import('./widget.js').Widget} Widget */

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
