/** A list: one view per element of its variable's array, in place of an exemplar (F179 to F191). */
import { ensureId, forwarded, vendId } from './elements.js';
import { markScroll, notifyScroll, scrollElement } from './reveal.js';
import { create, destroy, expectAnswer, get, own, watch } from './store.js';
import { View } from './view.js';
import { itemNamespaces, namespacesOf } from './viewdefs.js';

export class List {
  /** @param {HTMLElement} element @param {View} owner @param {import('./elements.js').Spec} spec */
  constructor(element, owner, spec) {
    this.element = element;
    this.owner = owner;
    /** @type {View[]} */
    this.items = [];
    this.itemWrapper = element.getAttribute('ui-item-wrapper');
    const children = /** @type {HTMLElement[]} */ ([...element.children]);
    /** Shown while the list is empty (S55). */
    this.empty = children.find((child) => child.hasAttribute('ui-empty'));
    this.exemplar = children.find((child) => child !== this.empty) ?? document.createElement('div');
    this.exemplar.removeAttribute('id'); // each copy gets one of its own
    element.replaceChildren(...(this.empty ? [this.empty] : []));
    this.varId = this.createVariable(spec);
    if (spec.properties.scrollOnOutput) markScroll(element);
    own(this.varId, this);
    owner.inner.push(this);
    watch(this.varId, (_, value) => value !== undefined && this.show(Array.isArray(value) ? value.length : 0)); // F27
  }

  /** @param {import('./elements.js').Spec} spec */
  createVariable(spec) {
    const { path, properties } = spec;
    const { wrapper: _w, create: _c, itemWrapper, item, ...others } = forwarded(spec);
    const elementId = ensureId(this.element);
    const names = namespacesOf(this.element, this.owner, properties);
    const presenter = itemWrapper ?? item;
    const inner = path === 'items' && get(this.owner.varId)?.properties.type === 'lua.ViewList';
    if (!presenter || inner) {
      const given = { ...(itemWrapper && { itemWrapper }), ...(item && { item }) };
      return this.owner.child({ access: 'r', ...others, ...given, ...names, path, elementId }, this);
    }
    // The short form of a wrapped list: presenters need the wrapper, the list its items (F185).
    const wrapped = this.owner.child({ access: 'r', ...others, ...names, wrapper: 'lua.ViewList', itemWrapper: presenter, path, elementId }, this);
    const id = create(wrapped, { ...names, fallbackNamespace: names.fallbackNamespace ?? 'list-item', access: 'r', path: 'items', elementId }, this);
    expectAnswer(id, this.buffer());
    return id;
  }

  getElement() {
    return this.element;
  }

  buffer() {
    return this.owner.buffer();
  }

  /** Adds or removes views at the end; the others follow their variables (F186, F188). @param {number} length */
  show(length) {
    const { items, element } = this;
    if (length > items.length) this.append(length - items.length);
    else if (!length) this.removeAll();
    else for (const item of items.splice(length)) item.destroy();
    if (this.empty) this.empty.hidden = length > 0;
    scrollElement(element);
    notifyScroll(this.owner.varId);
  }

  /** @param {number} count */
  append(count) {
    const names = itemNamespaces(this.exemplar, this.element, this.varId);
    const hosts = Array.from({ length: count }, () => /** @type {HTMLElement} */ (this.exemplar.cloneNode(true)));
    for (const host of hosts) host.id = vendId();
    this.element.append(...hosts);
    for (const host of hosts) {
      const id = create(this.varId, {
        path: String(this.items.length), elementId: host.id, ...names, ...(this.itemWrapper && { wrapper: this.itemWrapper }),
      });
      expectAnswer(id, this.buffer());
      this.items.push(new View(host, id, this));
    }
  }

  /** Detaches all items in one operation (F189). */
  removeAll() {
    if (!this.items.length) return;
    for (const item of this.items.splice(0)) {
      item.end();
      destroy(item.varId);
    }
    this.element.replaceChildren(...(this.empty ? [this.empty] : []));
  }

  end() {
    for (const item of this.items) item.end();
  }
}
