/**
 * The binding pass over a view's new content (F76 to F88), widgets, which hold the bindings of one element each (F225), and what bindings do:
 * attributes, classes, styles, code and HTML (F102 to F112), events and actions (F113 to F126).
 */
import { parse } from './json.js';
import { showModal } from './keep.js';
import { currentValue, eventName, isUndefined, kindOf, mark } from './kinds.js';
import { List } from './list.js';
import { isHidden, markScroll, notifyScroll, scrollElement } from './scroll.js';
import * as variables from './store.js';
import { describe, flush, get, guard, refreshError, report, update, watch } from './store.js';
import { accessProblem, commitAll, ensureId, Field, forwarded, isGetter, isOwned, isSetter, parsePath, vendId } from './value.js';
import { View, viewdef } from './view.js';

/** @type {Set<Widget>} */
const live = new Set();

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
    /** What a person can change of it. @type {Field | null} */
    this.field = null;
    /** What is switched on, so that bindings of the whole attribute can put it back (F104). @type {Set<string>} */
    this.classes = new Set();
    /** @type {Map<string, any>} */
    this.styles = new Map();
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

  /** @param {Element} element */
  attach(element) {
    this.element = element;
    for (const [type, listener] of this.listeners) element.addEventListener(type, listener);
    if (this.scrollOnOutput) markScroll(element);
  }

  detach() {
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

  commit() {
    for (const binding of this.bindings.values()) binding.commit?.();
  }

  /** Ends the bindings here; who ends them destroys the variables (F88). */
  end() {
    this.detach();
    live.delete(this);
    for (const binding of this.bindings.values()) binding.end?.();
  }
}

/** The widget of an element id, one with a value binding before others: author ids may occur often, and outer and inner hosts share theirs (F75, F144). @param {string} elementId */
export function findWidget(elementId) {
  const element = document.getElementById(elementId);
  let found = [...live].filter((widget) => widget.element === element);
  if (!found.length) found = [...live].filter((widget) => widget.elementId === elementId);
  return found.find((widget) => widget.hasBinding('ui-value')) ?? found.at(-1);
}

/** The variables as page scripts and `ui-code` get them (F224). */
export const store = {
  get,
  /** @param {{parentId: number, properties: Properties}} variable */
  create: ({ parentId, properties }) => variables.create(parentId, { ...properties }),
  update,
  destroy: variables.destroy,
  watch,
  watchErrors: variables.watchErrors,
  getError: variables.getError,
  /** For tests of leaks (S16). */
  count: () => ({ variables: variables.count(), widgets: live.size }),
};

// The pass.

/** Kinds of bindings, in the order in which an element gets them (F78). */
const ORDER = /^ui-(?:(value|keypress)$|(attr)-.|(class)-.|(style)-.|(event)-.|(action)$|(code)$|(html)$)/;

/** Sets up the lists, nested views and bindings below `roots` in the order of the document, in which the server checks them then (F77). @param {View} view @param {Element[]} roots */
export function bindContent(view, roots) {
  /** @type {{element: Element, name?: string, spec?: Spec | null}[]} */
  const bound = [];
  /** @param {Element} element */
  const visit = (element) => {
    let enter = true;
    if (element.getAttributeNames().some((name) => name.startsWith('ui-'))) {
      const name = ['ui-view', 'ui-viewlist'].find((name) => parsePath(element.getAttribute(name)));
      const spec = name ? parsePath(element.getAttribute(name)) : null;
      bound.push({ element, name, spec });
      if (name && !(element instanceof HTMLElement)) report(`${name} needs an HTML element, not <${element.localName}>`); // F87
      enter = !spec; // what is inside belongs to the nested view (F80) or is a placeholder (F145)
    }
    if (enter) for (const child of element.children) visit(child);
  };
  roots.forEach(visit); // first, since bindings may replace elements

  for (const { element, name = '', spec } of bound) {
    let host;
    if (spec && element instanceof HTMLElement && admissible(view, name, spec, 'r')) {
      host = name === 'ui-view' ? View.nested(element, view, spec) : new List(element, view, spec);
    }
    bindElement(view, element, host);
  }
}

/** False, with a report, where the access of a path is illegal, which would cost the whole frame (F69). @param {View} view @param {string} name @param {Spec} spec @param {string} [access] */
function admissible(view, name, { path, properties }, access) {
  const problem = accessProblem(path, properties.access ?? access);
  if (problem) report(`${name} in ${view.key}: ${problem}; below ${describe(view.varId)}`);
  return !problem;
}

/** @param {View} view @param {Element} element @param {View | List} [host] what the element is host of */
function bindElement(view, element, host) {
  const names = element.getAttributeNames();
  const found = names.flatMap((name) => {
    const rank = ORDER.exec(name)?.findIndex((group, i) => i > 0 && group) ?? -1;
    return rank < 0 ? [] : [{ name, rank }];
  });
  /** @type {Widget | undefined} */
  let widget;
  for (const { name, rank } of found.sort((a, b) => a.rank - b.rank)) {
    const spec = parsePath(element.getAttribute(name));
    if (!spec || (name === 'ui-keypress' && names.includes('ui-value'))) continue;
    if (/^ui-event-.+-value$/.test(name) && names.includes(name.slice(0, -6))) continue; // the value to send (F115)
    if (host && (name === 'ui-html' || (rank === 1 && (host instanceof View || kindOf(element).shows === 'text')))) {
      report(`${name} contradicts the view on the same element, in ${view.key}, ${describe(host.varId)}`); // F83
      continue;
    }
    if (name === 'ui-keypress') spec.properties.keypress = 'true'; // F98
    const bound = (widget ??= new Widget(element, view));
    guard(`${name} in ${view.key}`, () => bindAttribute(bound, rank === 1 ? 'ui-value' : name, spec));
  }
  if (!widget) return;
  view.widgets.push(widget);
  if (host instanceof View) host.hostWidget = widget;
}

/**
 * Makes the variable of one binding and connects the two; 0 if that cannot be.
 * @param {Widget} widget @param {string} name @param {Spec} spec @param {Properties} defaults properties unless the path gives them
 * @param {((value: any, varId: number) => void) | null} apply shows a value
 * @param {((value: any, varId: number) => void) | null} [deliver] takes values from the server where that differs from showing
 */
function connect(widget, name, spec, defaults, apply, deliver = apply) {
  const { path, properties } = spec;
  /** @type {Properties} */
  const all = { ...defaults, ...forwarded(spec), path, elementId: widget.elementId };
  if (!admissible(widget.view, name, spec, all.access)) return 0;
  const varId = widget.view.child(all, widget);
  const record = get(varId);
  if (record) record.widget = widget;
  const show = apply && ((/** @type {any} */ value) => apply(value, varId));
  widget.bindings.set(name, { varId, apply: show ?? undefined });
  if (properties.scrollOnOutput) {
    widget.scrollOnOutput = true;
    markScroll(widget.element);
  }
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
  const asWritten = viewdef(widget.view.key ?? '')?.names.get(name) ?? name;
  const [, group, suffix] = /** @type {RegExpMatchArray} */ (asWritten.match(/^ui-([a-z]+)-?(.*)$/s));
  /** @param {(value: any, varId: number) => void} apply */
  const read = (apply) => connect(widget, name, spec, { access: 'r' }, apply);
  /** @param {any} value */
  const truth = (value) => (properties.not ? !value : value); // S83
  if (group === 'value') bindValue(widget, spec);
  else if (group === 'attr') bindShownAttribute(widget, name, suffix, spec, truth) || read((value) => {
    const change = () => applyAttribute(widget, suffix, truth(value));
    const { refit } = widget.bindings.get('ui-value') ?? {};
    if (refit) refit(suffix, change);
    else change();
  });
  else if (group === 'class') read((value) => applyClass(widget, suffix, truth(value)));
  else if (group === 'style') read((value) => applyStyle(widget, suffix, value));
  else if (group === 'event' || group === 'action') bindEvent(widget, name, suffix || 'click', spec);
  else if (group === 'code') connect(widget, name, spec, { access: 'r' }, null, (value, varId) => applyCode(widget, varId, value));
  else if (properties.replace) {
    const replacement = new Replacement(widget);
    if (!read((value) => replacement.apply(value))) replacement.apply(null);
  } else read((value) => applyHtml(widget, value));
}

/** @param {Widget} widget @param {Spec} spec */
function bindValue(widget, spec) {
  const { editable } = kindOf(widget.element);
  const access = isSetter(spec.path) ? 'w' : editable && !isGetter(spec.path) ? '' : 'r'; // F67
  bindField(widget, 'ui-value', spec, access ? { access } : {}, new Field(widget, spec.properties));
}

/** An attribute of a property that a person changes shows its value there too, and again where the program has not taken the change (F103, R36). @param {Widget} widget @param {string} name @param {string} attribute @param {Spec} spec @param {(value: any) => any} truth */
function bindShownAttribute(widget, name, attribute, spec, truth) {
  const { element } = widget;
  const kind = kindOf(element);
  const open = isUndefined(element);
  const property = mark(kind) || (open && attribute !== 'value' ? 'checked' : 'value');
  if (attribute !== property || !kind.commit || widget.field || (property === 'value' && !isOwned(element))) return false;
  return bindField(widget, name, spec, { access: 'r' }, new Field(widget, spec.properties, property, (value) => applyAttribute(widget, attribute, value, false)), truth);
}

/** @param {Widget} widget @param {string} name @param {Spec} spec @param {Properties} defaults @param {Field} field @param {(value: any) => any} [map] */
function bindField(widget, name, spec, defaults, field, map = (value) => value) {
  const varId = connect(widget, name, spec, defaults, (value) => field.write(map(value)), (value) => field.show(map(value)));
  const binding = widget.bindings.get(name);
  if (!varId || !binding) return true;
  widget.field = field;
  binding.end = () => field.end();
  binding.commit = () => void field.commit();
  binding.refit = (attribute, change) => field.refit(attribute, change);
  field.start(varId);
  return true;
}

// What bindings do.

/** Properties that the attribute alone stops to govern once the user has acted (F103). */
const LIVE = ['checked', 'selected', 'value', 'muted', 'open', 'indeterminate'];
const LIVE_TAGS = /^(input|textarea|select|button|progress|meter|output|option|dialog|details|audio|video)$/;
const OWN_CLASSES = ['ui-new-view', 'ui-obsolete-view', 'ui-error', 'ui-enter', 'ui-leave'];

/** @param {Widget} widget @param {string} name @param {any} value @param {boolean} [live] the property too */
function applyAttribute(widget, name, value, live = true) {
  const element = /** @type {any} */ (widget.element);
  const absent = value === null || value === undefined || value === false;
  if (element.localName === 'dialog' && name === 'open') return openDialog(element, !absent);
  const own = name === 'class' ? OWN_CLASSES.filter((word) => element.classList.contains(word)) : [];
  if (!absent) element.setAttribute(name, String(value));
  else if (name === 'id') element.id = widget.elementId; // tools look for it
  else element.removeAttribute(name);
  if (name === 'class') element.classList.add(...own, ...widget.classes);
  else if (name === 'style') for (const [property, text] of widget.styles) applyStyle(widget, property, text);
  else if (live && LIVE.includes(name) && LIVE_TAGS.test(element.localName) && name in element) {
    if (typeof element[name] !== 'boolean') {
      if (!/^(progress|meter)$/.test(element.localName)) element[name] = absent ? '' : String(value);
    } else if (element[name] === absent) {
      element[name] = !absent; // not when it is so already: it would rewrite the attribute
    }
  }
}

/** With `ui-modal` it opens over the page; one that is hidden does so when it is revealed. @param {HTMLDialogElement} dialog @param {boolean} open */
function openDialog(dialog, open) {
  const hidden = isHidden(dialog);
  if (!hidden && !open) dialog.close();
  else if (!hidden && dialog.hasAttribute('ui-modal')) showModal(dialog);
  else dialog.open = open;
}

/** @param {Widget} widget @param {string} name @param {any} value */
function applyClass({ element, classes }, name, value) {
  element.classList.toggle(name, !!value);
  if (value) classes.add(name);
  else classes.delete(name);
}

/** @param {Widget} widget @param {string} name @param {any} value */
function applyStyle({ element, styles }, name, value) {
  const { style } = /** @type {HTMLElement} */ (element);
  styles.set(name, value);
  if (value === null || value === undefined) style.removeProperty(name);
  else style.setProperty(name, String(value));
}

/** Trusted, like the templates (F111). @param {Widget} widget @param {any} value */
function applyHtml({ element, view }, value) {
  element.innerHTML = value === null ? '' : String(value);
  notifyScroll(view.varId);
}

/** `ui-html="path?replace"`: the parsed nodes stand where the element stood (F112). */
export class Replacement {
  /** @param {Widget} widget */
  constructor(widget) {
    this.widget = widget;
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
    const { widget, content } = this;
    const { view, element } = widget;
    const template = document.createElement('template');
    template.innerHTML = value === null ? '' : String(value);
    const fragment = document.importNode(template.content, true);
    if (!fragment.firstElementChild) {
      const span = document.createElement('span');
      if (fragment.hasChildNodes()) span.append(...fragment.childNodes);
      else span.setAttribute('style', 'display: none');
      fragment.replaceChildren(span);
    }
    const roots = [...fragment.children];
    const hidden = element.classList.contains('ui-new-view');
    const mark = element.getAttribute('ui-viewdef');
    for (const node of content) if (node instanceof Element) node.removeAttribute('id');
    for (const root of roots) {
      root.id = root === roots[0] ? widget.elementId : vendId();
      if (hidden) root.classList.add('ui-new-view');
    }
    this.content = [...fragment.childNodes];
    /** @type {ChildNode} */ (content.at(-1)).after(fragment);
    for (const node of content) /** @type {ChildNode} */ (node).remove();
    if (mark) roots[0].setAttribute('ui-viewdef', mark); // F152
    if (view.primaryPart() === this) view.carryHost(roots[0]);
    widget.retarget(roots[0], widget.bindings.get('ui-html'));
    view.refreshHost();
    notifyScroll(view.varId);
  }
}

/** Runs the text that an update has delivered, once the view is shown and its scripts have run (F109). @param {Widget} widget @param {number} varId @param {any} value */
function applyCode(widget, varId, value) {
  if (typeof value !== 'string' || !value) return;
  const { view } = widget;
  const run = () => guard(`ui-code in ${view.key}`, () => {
    new Function('element', 'value', 'variable', 'store', value).call(window, widget.element, value, get(varId), store);
  });
  const reveal = view.buffer();
  if (reveal) reveal.held.set(varId, run);
  else run();
}

// Events.

const MODIFIERS = /** @type {const} */ (['ctrl', 'shift', 'alt', 'meta']);

/** @type {Record<string, string>} */
const KEYS = { space: ' ', left: 'arrowleft', right: 'arrowright', up: 'arrowup', down: 'arrowdown', esc: 'escape', return: 'enter', del: 'delete' };

/** `ui-event-*` and `ui-action`, which is a click that prevents the default. @param {Widget} widget @param {string} name @param {string} type @param {Spec} spec */
function bindEvent(widget, name, type, spec) {
  const { path, properties } = spec;
  const { element } = widget;
  const action = name === 'ui-action';
  const key = type.startsWith('keypress-') ? keyTest(type.slice('keypress-'.length).toLowerCase()) : null;
  /** @type {Properties} */
  const defaults = action ? { access: 'action' } : { access: 'action', priority: 'low' };
  const forced = key && (isGetter(path) || isSetter(path)) ? { ...properties, access: 'action' } : properties; // F67
  const varId = connect(widget, name, { path, properties: forced }, key ? {} : defaults, null);
  if (!varId) return;
  const fixed = action ? null : element.getAttribute(`${name}-value`);
  watch(varId, () => widget.field?.settle());
  widget.on(key ? 'keydown' : eventName(type), (event) => {
    if (key && !key.matches(event)) return;
    const self = event.currentTarget;
    if (properties.self && event.target !== self) return;
    if (action || properties.prevent || (event.type === 'click' && self.matches('a[href="#"]'))) event.preventDefault();
    if (key && (event.ctrlKey || event.metaKey || event.altKey)) event.preventDefault(); // F125
    if (properties.stop) event.stopPropagation();
    /** @type {any} */
    let value = null;
    if (fixed !== null) value = /^\s*(true|false|null|-?\d+(\.\d+)?(e[-+]?\d+)?)\s*$/i.test(fixed) ? parse(fixed) : fixed; // F115
    else if (key) value = isGetter(path) ? null : key.name;
    else if (isSetter(path)) value = action ? self.value ?? null : currentValue(self);
    commitAll(widget); // edits first, then the trigger, in one frame (F118, F119)
    update(varId, value);
    if (/(change|input)$/i.test(type)) widget.field?.told();
    if (!key || get(varId)?.properties.access === 'action') flush(true);
  });
}

/** @param {string} combination `ctrl-enter`; a lone hyphen is the key itself: `ctrl--` */
function keyTest(combination) {
  const parts = combination.replace(/(^|-)-$/, '$1minus').split('-');
  const wanted = MODIFIERS.map((name) => parts.includes(name));
  const last = parts.filter((part) => !MODIFIERS.includes(/** @type {any} */ (part))).at(-1) ?? '';
  const name = last === 'minus' ? '-' : last;
  /** Where the letters are not Latin, a shortcut is known by the place of its key. @param {KeyboardEvent} event */
  const isPlace = ({ key, code, ctrlKey, altKey, metaKey }) => (ctrlKey || altKey || metaKey) && /[^\0-\x7f]/.test(key) && code === `Key${name.toUpperCase()}`;
  /** Input methods use Enter (F124), and filling in a form presses keys without a name. @param {KeyboardEvent} event */
  const matches = (event) => !event.isComposing && event.keyCode !== 229 && (event.key?.toLowerCase() === (KEYS[name] ?? name) || isPlace(event))
    && MODIFIERS.every((modifier, i) => event[`${modifier}Key`] === wanted[i]); // F122
  return { name, matches };
}
