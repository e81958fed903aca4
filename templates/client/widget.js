/** A widget: the record of one element's bindings (F76, F225). It survives the replacement of its element (F83, F112). */
import { ensureId } from './ids.js';
import { get } from './store.js';
import { markScroll, scrollElement } from './scroll.js';

/** @typedef {{varId: number, apply?: (value: any) => void, end?: () => void}} Binding */
/** @typedef {import('./view.js').View} View */

/** @type {Set<Widget>} */
const live = new Set();

/** @type {WeakMap<Element, Set<Widget>>} */
const byElement = new WeakMap();

export class Widget {
  /** @param {Element} element @param {View} view whose viewdef holds the element's text (F79) */
  constructor(element, view) {
    this.element = element;
    this.view = view;
    this.elementId = ensureId(element);
    /** @type {Map<string, Binding>} */
    this.bindings = new Map();
    /** @type {[string, (event: any) => void][]} */
    this.listeners = [];
    this.scrollOnOutput = false;
    live.add(this);
    this.attach(element);
  }

  getElement() {
    return this.element;
  }

  /** @param {string} name */
  getVariableId(name) {
    return this.bindings.get(name)?.varId;
  }

  /** @param {string} name */
  hasBinding(name) {
    return this.bindings.has(name);
  }

  scrollToBottom() {
    scrollElement(this.element, true);
  }

  /** Listens in binding order (F126). @param {string} type @param {(event: any) => void} listener */
  on(type, listener) {
    this.listeners.push([type, listener]);
    this.element.addEventListener(type, listener);
  }

  makeScroll() {
    this.scrollOnOutput = true;
    markScroll(this.element);
  }

  /** @param {Element} element */
  attach(element) {
    this.element = element;
    const widgets = byElement.get(element) ?? new Set();
    byElement.set(element, widgets.add(this));
    for (const [type, listener] of this.listeners) element.addEventListener(type, listener);
    if (this.scrollOnOutput) markScroll(element);
  }

  detach() {
    byElement.get(this.element)?.delete(this);
    for (const [type, listener] of this.listeners) this.element.removeEventListener(type, listener);
  }

  /** Moves all bindings to another element. @param {Element} element @param {Binding} [except] one that has arranged itself */
  retarget(element, except) {
    if (element === this.element) return;
    this.detach();
    this.attach(element);
    for (const binding of this.bindings.values()) {
      if (binding !== except) binding.apply?.(get(binding.varId)?.value ?? null);
    }
  }

  /** Ends the bindings here; who ends them destroys the variables (F88). */
  end() {
    this.detach();
    live.delete(this);
    for (const binding of this.bindings.values()) binding.end?.();
  }
}

/** How many widgets live; tests compare it before and after (S16). */
export const countWidgets = () => live.size;

/** The widget of an element id, one with a value binding before others: author ids may occur often, and outer and inner hosts share theirs (F75, F144). @param {string} elementId */
export function findWidget(elementId) {
  const element = document.getElementById(elementId);
  let found = [...((element && byElement.get(element)) ?? [])];
  if (!found.length) found = [...live].filter((widget) => widget.elementId === elementId);
  return found.find((widget) => widget.hasBinding('ui-value')) ?? found.at(-1);
}
