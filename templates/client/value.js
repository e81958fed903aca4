/** `ui-value` and `ui-keypress`: values into elements, edits back to the server (F89 to F101, F192 to F196). */
import { isUndefined, kindOf, textOf } from './elements.js';
import { notifyScroll } from './reveal.js';
import { flushSoon, get, online, update } from './store.js';

/** @typedef {import('./bind.js').Widget} Widget */
/** @typedef {import('./elements.js').Kind} Kind */

/** What an element held right after the client last wrote or sent it (F95); it outlives the binding so that a re-render can tell edits (F178). @type {WeakMap<Element, any>} */
export const written = new WeakMap();

/** @type {Set<Field>} */
const fields = new Set();

/** An action on the same element owns the change of a check element (F96). */
const OWNERS = ['ui-action', ...['click', 'change', 'input', 'sl-change', 'sl-input'].map((name) => `ui-event-${name}`)];

const FIELD = /^(sl-)?(input|textarea)$/;

/** @param {any} a @param {any} b */
const same = (a, b) => a === b || (Array.isArray(a) && JSON.stringify(a) === JSON.stringify(b));

/** @param {Element} element */
const isFocused = (element) => element.matches(':focus, :focus-within');

/** @param {HTMLSelectElement} select */
const chosen = (select) => [...select.selectedOptions].map((option) => option.value);

/** The commit of one element's edits, and the showing of its server values. */
export class Field {
  /** @param {Widget} widget @param {Record<string, string>} options path properties */
  constructor(widget, options) {
    this.widget = widget;
    this.options = options;
    this.kind = kindOf(widget.element);
    this.varId = 0;
    /** The newest server value that waits for an edit to end (F100). @type {{value: any} | null} */
    this.deferred = null;
    this.resetting = false;
    this.pause = 0;
    this.owned = this.kind.shows === 'checked' && !options.commit && OWNERS.some((name) => widget.element.getAttribute(name));
    this.wroteText = !widget.element.firstChild; // an empty custom element may show text until it is defined
    /** @type {MutationObserver | null} */
    this.observer = null;
  }

  get element() {
    return /** @type {any} */ (this.widget.element);
  }

  /** Starts to listen, once the variable exists. @param {number} varId */
  start(varId) {
    this.varId = varId;
    fields.add(this);
    const { kind, widget, options, element } = this;
    const { access } = get(varId)?.properties ?? {};
    if (access === 'r' && FIELD.test(element.localName)) element.setAttribute('readonly', ''); // edits could not be sent
    if (kind.editable && access !== 'r' && !this.owned) {
      const events = options.keypress ? [...new Set([...kind.typing, ...kind.commit])] : kind.commit;
      for (const type of events) widget.on(type, (event) => this.edited(event));
    }
    if (kind.editable) {
      for (const type of ['input', 'sl-input']) widget.on(type, () => this.deferred && !this.dirty() && this.release());
      widget.on('focusout', () => this.deferred && online() && this.release());
    }
    widget.on('ui-value-change', (event) => update(varId, event.detail?.value ?? null)); // F97
    if (isUndefined(element)) void customElements.whenDefined(element.localName).then(() => fields.has(this) && this.upgraded());
    if (element.localName === 'select' || element.localName === 'sl-select') this.observeOptions();
  }

  end() {
    fields.delete(this);
    this.observer?.disconnect();
    clearTimeout(this.pause);
  }

  /** The raw value of the element (F94). */
  read() {
    const { element, kind } = this;
    if (kind.shows === 'checked') return !!element.checked;
    if (element.localName === 'select' && element.multiple) return chosen(element);
    return element.value;
  }

  /** True while the element holds an edit that was not sent. */
  dirty() {
    const { element, kind, owned } = this;
    if (!kind.commit.length || owned || this.resetting || isUndefined(element)) return false;
    if (get(this.varId)?.properties.access === 'r') return false;
    if (kind.shows === 'radio') return element.checked && element.value !== textOf(get(this.varId)?.value);
    return written.has(element) && !same(this.read(), written.get(element));
  }

  /** Sends the edit, if there is one. Offline it stays in the element (F217). */
  commit() {
    clearTimeout(this.pause);
    if (!online() || !this.dirty()) return false;
    const value = this.read();
    written.set(this.element, value);
    this.deferred = null; // what the server says to this edit counts, not what it said before
    update(this.varId, value);
    return true;
  }

  /** @param {Event} event */
  edited({ type }) {
    clearTimeout(this.pause);
    if (this.options.debounce && this.kind.typing.includes(type) && !this.kind.commit.includes(type)) {
      this.pause = setTimeout(() => this.commit() && flushSoon(), Number(this.options.debounce) || 0);
    } else if (this.commit() && type !== 'blur') {
      flushSoon(); // a direct edit need not wait for the quiet time (F34)
    }
  }

  /** Shows the value that waited for the edit to end. */
  release() {
    const value = this.deferred?.value;
    this.deferred = null;
    this.write(value);
  }

  /** @param {any} value */
  show(value) {
    if (this.kind.editable && isFocused(this.element) && this.dirty()) this.deferred = { value };
    else this.write(value);
    if (!FIELD.test(this.element.localName)) notifyScroll(this.widget.view.varId); // F101
  }

  /** @param {any} value */
  write(value) {
    const { element, kind } = this;
    this.deferred = null;
    if (kind.shows === 'checked') {
      const checked = value !== 'false' && !!value;
      if (element.checked !== checked) element.checked = checked;
    } else if (kind.shows === 'radio') {
      element.checked = textOf(value) === element.value;
    } else if (kind.shows === 'text') {
      showText(element, textOf(value));
    } else if (kind.shows === 'custom') {
      this.writeCustom(value);
    } else if (kind.shows === 'value') {
      this.writeValue(value);
    }
    this.rebase();
  }

  /** Takes what the element holds now as unedited, and once more when a component has digested it. */
  rebase() {
    const { element } = this;
    written.set(element, this.read());
    if (element.updateComplete && !isFocused(element)) void element.updateComplete.then(() => !isFocused(element) && written.set(element, this.read()));
  }

  /** @param {any} value */
  writeValue(value) {
    const { element } = this;
    const tag = element.localName;
    if (element.multiple && tag.endsWith('select')) { // F196
      const texts = Array.isArray(value) ? value.map(textOf) : textOf(value) ? [textOf(value)] : [];
      if (tag === 'select') for (const option of element.options) option.selected = texts.includes(option.value);
      else if (!same(texts, element.value)) element.value = texts;
      return;
    }
    /** @type {any} */
    let shown = typeof value === 'number' && tag !== 'sl-select' ? value : textOf(value);
    if (tag === 'progress' || tag === 'meter') shown = Number(shown) || 0; // anything else throws there
    if (element.value === shown || (typeof element.value === 'string' && element.value === String(shown))) return; // F93
    const inner = element.input ?? element; // a Shoelace field keeps its caret inside
    const caret = isFocused(element) && inner.selectionStart != null ? [inner.selectionStart, inner.selectionEnd] : null;
    element.value = shown;
    if (caret) void Promise.resolve(element.updateComplete).then(() => inner.setSelectionRange?.(caret[0], caret[1]));
    if (tag === 'sl-select' && shown === '') setTimeout(() => element.value === '' && (element.displayLabel = '')); // F195
  }

  /** A custom element of another library is valued if it has a `value` once defined (S66). @param {any} value */
  writeCustom(value) {
    const { element } = this;
    const valued = 'value' in element && !isUndefined(element);
    if (valued || isUndefined(element)) element.value = typeof value === 'number' ? value : textOf(value);
    if (!valued && this.wroteText) showText(element, textOf(value));
    else if (!valued && !isUndefined(element)) showText(element, textOf(value));
  }

  /** Sets again what was set before the element was defined; own properties would hide its accessors (F99). */
  upgraded() {
    const { element } = this;
    for (const name of ['value', 'checked']) if (Object.hasOwn(element, name)) delete element[name];
    if (this.kind.shows === 'custom' && this.wroteText && 'value' in element) element.textContent = '';
    this.write(get(this.varId)?.value ?? null);
  }

  /** Sets the value again whenever the options change (F194). */
  observeOptions() {
    this.observer = new MutationObserver((records) => {
      if (records.some(({ target, type }) => target !== this.element || type === 'childList')) void this.reset();
    });
    this.observer.observe(this.element, { childList: true, subtree: true, characterData: true, attributes: true, attributeFilter: ['value'] });
  }

  async reset() {
    const { element } = this;
    const record = get(this.varId);
    if (this.resetting || !record || record.properties.access === 'w' || !online()) return;
    if (element.localName === 'sl-select' && !isUndefined(element)) {
      this.resetting = true;
      element.value = element.multiple ? [] : '';
      await element.updateComplete;
      this.resetting = false;
    }
    this.write(get(this.varId)?.value ?? null);
  }
}

/** Display elements get plain text and are left alone when they show it (F92, F93). @param {Element} element @param {string} text */
function showText(element, text) {
  if (element.textContent === text && !element.firstElementChild) return;
  const only = element.firstChild;
  if (only instanceof Text && !only.nextSibling && text) only.data = text;
  else element.textContent = text;
}

/** Commits every edit of the page, that of `first` before the others in document order (F118, F119). @param {Widget} [first] */
export function commitAll(first) {
  const dirty = [...fields].filter((field) => field.dirty());
  dirty.sort((a, b) => {
    if (a.widget === first || b.widget === first) return a.widget === first ? -1 : 1;
    return a.element.compareDocumentPosition(b.element) & Node.DOCUMENT_POSITION_FOLLOWING ? -1 : 1;
  });
  for (const field of dirty) field.commit();
}
