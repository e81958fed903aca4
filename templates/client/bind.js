/** The binding pass over a view's new content, and its widgets: the records of one element's bindings each (F76 to F88, F225). */
import { applyAttribute, applyClass, applyCode, applyHtml, applyStyle, Replacement } from './attributes.js';
import { accessProblem, ensureId, forwarded, isGetter, isSetter, kindOf, parsePath } from './elements.js';
import { listenAction, listenEvent, listenKey } from './events.js';
import { List } from './list.js';
import { markScroll, scrollElement } from './reveal.js';
import { describe, get, guard, refreshError, report, watch } from './store.js';
import { Field } from './value.js';
import { View } from './view.js';

/** @typedef {{varId: number, apply?: (value: any) => void, end?: () => void}} Binding */

/** @type {Set<Widget>} */
const live = new Set();

/** @type {WeakMap<Element, Set<Widget>>} */
const byElement = new WeakMap();

/** It survives the replacement of its element (F83, F112). */
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
      refreshError(binding.varId);
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


/** @typedef {import('./elements.js').Spec} Spec */

/** Kinds of bindings, in the order in which an element gets them (F78). */
const ORDER = [/^ui-(value|keypress)$/, /^ui-attr-./, /^ui-class-./, /^ui-style-./, /^ui-event-./, /^ui-action$/, /^ui-code$/, /^ui-html$/];

/** Sets up lists, then nested views, then bindings, below `roots` (F77). @param {View} view @param {Element[]} roots */
export function bindContent(view, roots) {
  /** @type {[Element, Spec][]} */
  const lists = [];
  /** @type {[Element, Spec][]} */
  const views = [];
  /** @type {Element[]} */
  const bound = [];
  /** @param {Element} element */
  const visit = (element) => {
    let enter = true;
    if (element.hasAttributes()) {
      if (element.getAttributeNames().some((name) => name.startsWith('ui-'))) bound.push(element);
      for (const [name, found] of /** @type {const} */ ([['ui-view', views], ['ui-viewlist', lists]])) {
        const spec = enter && parsePath(element.getAttribute(name));
        if (!spec) continue;
        if (element instanceof HTMLElement) found.push([element, spec]);
        else report(`${name} needs an HTML element, not <${element.localName}>`); // F87
        enter = false; // what is inside belongs to the nested view (F80) or is a placeholder (F145)
      }
    }
    if (enter) for (const child of element.children) visit(child);
  };
  roots.forEach(visit);

  /** @type {Map<Element, View | List>} */
  const hosts = new Map();
  for (const [element, spec] of lists) attempt(view, 'ui-viewlist', spec, 'r', () => hosts.set(element, new List(/** @type {HTMLElement} */ (element), view, spec)));
  for (const [element, spec] of views) {
    attempt(view, 'ui-view', spec, 'r', () => hosts.set(element, View.nested(/** @type {HTMLElement} */ (element), view, spec)));
  }
  for (const element of bound) bindElement(view, element, hosts.get(element));
}

/** Runs `make` unless the access of the path is illegal, which would cost the whole frame (F69). @param {View} view @param {string} name @param {Spec} spec @param {string | undefined} access @param {() => void} make */
function attempt(view, name, spec, access, make) {
  const problem = accessProblem(spec.path, spec.properties.access ?? access);
  if (problem) report(`${name} in ${view.key}: ${problem}; below ${describe(view.varId)}`);
  else make();
}

/** @param {View} view @param {Element} element @param {View | List} [host] what the element is host of */
function bindElement(view, element, host) {
  const names = element.getAttributeNames();
  /** @type {Widget | undefined} */
  let widget;
  for (const pattern of ORDER) {
    for (const attribute of names) {
      if (!pattern.test(attribute)) continue;
      const spec = parsePath(element.getAttribute(attribute));
      const value = attribute === 'ui-value' || attribute === 'ui-keypress';
      if (!spec || (attribute === 'ui-keypress' && names.includes('ui-value'))) continue;
      if (isConstant(attribute, names)) continue;
      if (host && (attribute === 'ui-html' || (value && (host instanceof View || kindOf(element).shows === 'text')))) {
        report(`${attribute} contradicts the view on the same element, in ${view.key}, ${describe(host.varId)}`); // F83
        continue;
      }
      if (attribute === 'ui-keypress') spec.properties.keypress = 'true'; // F98
      widget ??= new Widget(element, view);
      const bound = widget;
      guard(`${attribute} in ${view.key} failed`, () => bindAttribute(bound, value ? 'ui-value' : attribute, spec));
    }
  }
  if (!widget) return;
  view.widgets.push(widget);
  if (host instanceof View) host.hostWidget = widget;
}

/** `ui-event-NAME-value` beside `ui-event-NAME` is the value to send (F115). @param {string} attribute @param {string[]} names */
const isConstant = (attribute, names) => /^ui-event-.+-value$/.test(attribute) && names.includes(attribute.slice(0, -6));

/**
 * Makes the variable of one binding and connects the two.
 * @param {Widget} widget @param {string} name @param {Spec} spec @param {Record<string, string>} defaults properties unless the path gives them
 * @param {((value: any, varId: number) => void) | null} apply shows a value
 * @param {(value: any, varId: number) => void} [deliver] takes values from the server where that differs from showing
 * @param {string} [forced] access that the path cannot change
 */
function connect(widget, name, spec, defaults, apply, deliver = apply ?? undefined, forced = '') {
  const { path, properties } = spec;
  /** @type {Record<string, string>} */
  const all = { ...defaults, ...forwarded(spec), path, elementId: widget.elementId };
  if (forced) all.access = forced;
  const problem = accessProblem(path, all.access);
  if (problem) {
    report(`${name} in ${widget.view.key}: ${problem}; element ${widget.elementId}`);
    return 0;
  }
  const varId = widget.view.child(all, widget);
  const record = get(varId);
  if (record) record.widget = widget;
  const show = apply && ((/** @type {any} */ value) => apply(value, varId));
  widget.bindings.set(name, { varId, apply: show ?? undefined });
  if (properties.scrollOnOutput) widget.makeScroll();
  show?.(null); // until the server has answered (F53, F82)
  if (all.access === 'w' || all.access === 'action') return varId; // these get no values, only the end of an error
  watch(varId, (_, value) => {
    if (value === undefined) return; // properties alone change nothing that is shown (F52)
    deliver?.(value, varId);
    if (properties.scrollOnOutput) scrollElement(widget.element); // F202
  });
  return varId;
}

/** @param {Widget} widget @param {string} name @param {Spec} spec */
function bindAttribute(widget, name, spec) {
  const { properties } = spec;
  const [, group, suffix] = /** @type {RegExpMatchArray} */ (name.match(/^ui-([a-z]+)-?(.*)$/s));
  const negate = (/** @type {any} */ value) => (properties.not ? !value : value);
  const read = { access: 'r' };
  if (group === 'value') bindValue(widget, spec);
  else if (group === 'attr') connect(widget, name, spec, read, (value) => applyAttribute(widget, suffix, negate(value)));
  else if (group === 'class') connect(widget, name, spec, read, (value) => applyClass(widget, suffix, negate(value)));
  else if (group === 'style') connect(widget, name, spec, read, (value) => applyStyle(widget, suffix, value));
  else if (group === 'event') bindEvent(widget, name, suffix, spec);
  else if (group === 'action') {
    const varId = connect(widget, name, spec, { access: 'action' }, null);
    if (varId) listenAction(widget, spec, varId);
  } else if (group === 'code') connect(widget, name, spec, read, null, (value, varId) => applyCode(widget, varId, value));
  else if (properties.replace) {
    const replacement = new Replacement(widget);
    if (!connect(widget, name, spec, read, (value) => replacement.apply(value))) replacement.apply(null);
  } else connect(widget, name, spec, read, (value) => applyHtml(widget, value));
}

/** @param {Widget} widget @param {Spec} spec */
function bindValue(widget, spec) {
  const { editable } = kindOf(widget.element);
  const access = isGetter(spec.path) ? 'r' : isSetter(spec.path) ? 'w' : editable ? '' : 'r'; // F67
  const field = new Field(widget, spec.properties);
  /** @type {Record<string, string>} */
  const defaults = access ? { access } : {};
  const varId = connect(widget, 'ui-value', spec, defaults, (value) => field.write(value), (value) => field.show(value));
  const binding = widget.bindings.get('ui-value');
  if (!varId || !binding) return;
  binding.end = () => field.end();
  field.start(varId);
}

/** @param {Widget} widget @param {string} name @param {string} type @param {Spec} spec */
function bindEvent(widget, name, type, spec) {
  if (!type.startsWith('keypress-')) {
    const varId = connect(widget, name, spec, { access: 'action', priority: 'low' }, null);
    if (varId) listenEvent(widget, type, spec, varId);
    return;
  }
  const forced = isGetter(spec.path) || isSetter(spec.path) ? 'action' : ''; // F67
  const varId = connect(widget, name, spec, {}, null, undefined, forced);
  if (varId) listenKey(widget, type.slice('keypress-'.length), spec, varId);
}
