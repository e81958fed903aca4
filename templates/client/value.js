/**
 * `ui-value` and `ui-keypress`: values into elements, edits back to the server (F89 to F101, F192 to F196).
 * Below it what the client knows of paths and of kinds of elements.
 */
import { notifyScroll } from './scroll.js';
import { get, online, flushSoon, same, update } from './store.js';

let last = 0; // of the ids ui-N (F71)

/** A new id that no element has. */
export function vendId() {
  do last++; while (document.getElementById(`ui-${last}`));
  return `ui-${last}`;
}

/** @param {Element} element */
export const ensureId = (element) => (element.id ||= vendId());

/** Splits `PATH?QUERY`; null when there is no path to bind (F63). @param {string | null} text @returns {Spec | null} */
export function parsePath(text) {
  const [path, query] = (text ?? '').split('?'); // a second ? ends the query (F62)
  if (!path.trim()) return null;
  /** @type {Properties} */
  const properties = {};
  if (query) for (const [name, value] of new URLSearchParams(query)) if (name) properties[name] = value || 'true';
  return { path, properties };
}

/** The properties for the server: all but those that mean something to this client alone (F65). @param {Spec} spec @returns {Properties} */
export function forwarded({ properties: { keypress, scrollOnOutput, replace, commit, not, self, prevent, stop, ...others } }) {
  return others;
}

/** @param {string} path */
export const isGetter = (path) => path.endsWith('()');
/** @param {string} path */
export const isSetter = (path) => path.endsWith('(_)');

/** Says what is wrong with an access of a path, or '' (F69). @param {string} path @param {string | undefined} access */
export function accessProblem(path, access) {
  const allowed = isSetter(path) ? /^(w|action)$/ : isGetter(path) ? /^(r|rw|action)$/ : /^(r|w|rw|action)$/;
  return access === undefined || allowed.test(access) ? '' : `path "${path}" does not allow access "${access}"`;
}

/**
 * What elements do with a value (F89): their tags, inputs by `:type`; where it shows; events that commit an edit, undefined where nothing is edited; and
 * those that commit besides with `keypress`. `custom` is decided when the element is defined.
 * @type {[string, Kind['shows'], string?, string?][]}
 */
const KINDS = [
  ['input textarea', 'value', 'blur change', 'input'],
  ['select', 'value', 'change blur', 'input'],
  [':range :color', 'value', 'change', 'input'],
  [':checkbox', 'checked', 'change'],
  [':radio', 'radio', 'change'],
  [':file', 'none', ''],
  [':button :submit :reset :image progress meter output data param option sl-*', 'value', ''],
  ['sl-input sl-textarea sl-select sl-radio-group sl-range sl-color-picker', 'value', 'sl-change', 'sl-input'],
  ['sl-rating', 'value', 'sl-change'],
  ['sl-checkbox sl-switch', 'checked', 'sl-change'],
  ['sl-option sl-progress-bar sl-progress-ring sl-qr-code sl-copy-button', 'value'],
  ['custom', 'custom', ''],
  ['display button li sl-badge sl-tag', 'text'],
];
/** @type {Map<string, Kind>} */
const kinds = new Map();
for (const [tags, shows, commit, typing = ''] of KINDS) for (const tag of tags.split(' ')) kinds.set(tag, { shows, commit, typing, editable: commit !== undefined });

/** @param {Element} element */
export function kindOf(element) {
  const tag = element.localName;
  const other = tag.startsWith('sl-') ? 'sl-*' : tag.includes('-') ? 'custom' : 'display';
  const type = tag === 'input' ? `:${/** @type {HTMLInputElement} */ (element).type}` : '';
  return /** @type {Kind} */ (kinds.get(type) ?? kinds.get(tag) ?? kinds.get(other));
}

/** What an element shows of a value: for check elements and radios whether it is marked, else its raw value (F94). @param {any} element */
export function rawValue(element) {
  if (element.localName === 'select' && element.multiple) return [...element.selectedOptions].map((option) => option.value);
  return /checked|radio/.test(kindOf(element).shows) ? !!element.checked : element.value;
}

/** What an event sends of an element: of a radio the value that it stands for, null where there is none (F114). @param {any} element */
export const currentValue = (element) => (kindOf(element).shows === 'radio' ? element.value : rawValue(element)) ?? null;

/** A custom element whose definition has not been loaded (F99). @param {Element} element */
const isUndefined = ({ localName }) => localName.includes('-') && !customElements.get(localName);

/** The text of a value; objects have none (F91). @param {any} value @returns {string} */
function textOf(value) {
  if (value === null || value === undefined) return '';
  if (Array.isArray(value)) return value.map(textOf).join(',');
  if (typeof value === 'object') return 'obj' in value ? '' : JSON.stringify(value);
  return String(value);
}

/** What an element held right after the client last wrote or sent it (F95); it outlives the binding so that a re-render can tell edits (F178). @type {WeakMap<Element, any>} */
export const written = new WeakMap();

/** @type {Set<Field>} */
const fields = new Set();

/** An action on the same element owns the change of a check element (F96). */
const OWNER = /^ui-(action|event-(click|change|input|sl-change|sl-input))$/;

const FIELD = /^(sl-)?(input|textarea)$/;

/** @param {Element} element */
const isFocused = (element) => element.matches(':focus-within');

/** The value binding of one element. */
export class Field {
  /** @param {Widget} widget @param {Properties} options of the path */
  constructor(widget, options) {
    const { element } = widget;
    this.widget = widget;
    this.options = options;
    this.kind = kindOf(element);
    this.varId = 0;
    /** The newest server value that waits for an edit to end (F100). @type {{value: any} | null} */
    this.deferred = null;
    this.resetting = false;
    /** An input method is at work, whose text must not be changed under it. */
    this.composing = false;
    this.owned = this.kind.shows === 'checked' && !options.commit && element.getAttributeNames().some((name) => OWNER.test(name) && element.getAttribute(name));
    this.wroteText = !element.firstChild; // an empty custom element may show text until it is defined
    /** @type {MutationObserver | null} */
    this.observer = null;
  }

  get element() {
    return /** @type {any} */ (this.widget.element);
  }

  /** @param {number} varId */
  start(varId) {
    this.varId = varId;
    fields.add(this);
    const { kind, widget, element } = this;
    const readOnly = get(varId)?.properties.access === 'r';
    if (readOnly && FIELD.test(element.localName)) element.setAttribute('readonly', ''); // edits could not be sent
    if (kind.editable && !readOnly && !this.owned) {
      const types = `${this.options.keypress ? kind.typing : ''} ${kind.commit}`;
      for (const type of types.split(' ').filter(Boolean)) {
        widget.on(type, () => this.commit() && type !== 'blur' && flushSoon()); // a direct edit need not wait for the quiet time (F34)
      }
    }
    if (kind.editable) {
      for (const type of ['input', 'sl-input', 'compositionstart', 'compositionend']) {
        widget.on(type, () => {
          if (type.startsWith('comp')) this.composing = type.endsWith('start');
          if (this.deferred && !this.composing && !this.dirty()) this.release();
        });
      }
      widget.on('focusout', () => this.deferred && online() && this.release());
    }
    widget.on('ui-value-change', (event) => update(varId, event.detail?.value ?? null)); // F97
    if (isUndefined(element)) void customElements.whenDefined(element.localName).then(() => fields.has(this) && this.upgraded());
    if (/^(sl-)?select$/.test(element.localName)) this.observeOptions();
  }

  end() {
    fields.delete(this);
    this.observer?.disconnect();
  }

  /** True while the element holds an edit that was not sent. */
  dirty() {
    const { element, kind } = this;
    const { properties } = get(this.varId) ?? {};
    if (!kind.commit || this.owned || this.resetting || properties?.access === 'r' || isUndefined(element)) return false;
    if (kind.shows === 'radio' && !element.checked) return false; // another one of its group is the edit
    return written.has(element) && !same(rawValue(element), written.get(element));
  }

  /** Sends the edit, if there is one. Offline it stays in the element (F217). */
  commit() {
    if (!online() || !this.dirty()) return false;
    const { element } = this;
    const value = rawValue(element);
    written.set(element, value);
    this.deferred = null; // what the server says to this edit counts, not what it said before
    if (this.kind.shows === 'radio') this.commitRadio();
    else update(this.varId, value);
    return true;
  }

  /** The browser has taken the mark off the others of the group, so that what they knew of the value is old: each may be chosen again before the server answers. */
  commitRadio() {
    for (const { kind, element } of fields) if (kind.shows === 'radio' && !element.checked) written.set(element, false);
    const record = get(this.varId);
    if (record) record.value = null;
    update(this.varId, this.element.value);
  }

  /** Shows the value that waited for the edit to end. */
  release() {
    this.write(this.deferred?.value);
  }

  /** @param {any} value */
  show(value) {
    const { element } = this;
    if (this.kind.editable && isFocused(element) && (this.composing || this.dirty())) this.deferred = { value };
    else this.write(value);
    if (!FIELD.test(element.localName)) notifyScroll(this.widget.view.varId); // F101
  }

  /** @param {any} value */
  write(value) {
    const { element, kind: { shows } } = this;
    this.deferred = null;
    if (shows === 'checked') {
      const checked = value !== 'false' && !!value;
      if (element.checked !== checked) element.checked = checked;
    } else if (shows === 'radio') element.checked = textOf(value) === element.value;
    else if (shows === 'text') showText(element, textOf(value));
    else if (shows === 'custom') this.writeCustom(value);
    else if (shows === 'value') this.writeValue(value);
    if (shows !== 'text') this.rebase();
  }

  /**
   * Changes an attribute, and shows the value again if the element makes something else of it now: a radio by what it stands for, a range by its limits.
   * @param {string} attribute @param {() => void} change
   */
  refit(attribute, change) {
    const concerned = this.kind.shows === 'radio' ? attribute === 'value' : /^(min|max|step)$/.test(attribute);
    const again = concerned && !this.dirty();
    change();
    if (again) this.write(get(this.varId)?.value ?? null);
  }

  /** Takes what the element holds now as unedited, and once more when a component has digested it. */
  rebase() {
    const { element } = this;
    const take = () => written.set(element, this.owned ? undefined : rawValue(element));
    take();
    if (element.updateComplete && !isFocused(element)) void element.updateComplete.then(() => !isFocused(element) && take());
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
    if (caret) void Promise.resolve(element.updateComplete).then(() => inner.setSelectionRange?.(...caret));
    if (tag === 'sl-select' && shown === '') setTimeout(() => element.value === '' && (element.displayLabel = '')); // F195
  }

  /** A custom element of another library is valued if it has a `value` once defined (S66). @param {any} value */
  writeCustom(value) {
    const { element } = this;
    const open = isUndefined(element);
    const valued = 'value' in element && !open;
    if (valued || open) element.value = typeof value === 'number' ? value : textOf(value);
    if (!valued && (this.wroteText || !open)) showText(element, textOf(value));
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
    if (this.resetting || get(this.varId)?.properties.access === 'w' || !online()) return;
    if (element.localName === 'sl-select' && !isUndefined(element)) { // it computes its label when a value is set
      this.resetting = true;
      element.value = element.multiple ? [] : '';
      await element.updateComplete;
      this.resetting = false;
    }
    const record = get(this.varId);
    if (record) this.write(record.value ?? null);
  }
}

/** Display elements get plain text and are left alone when they show it (F92, F93). @param {Element} element @param {string} text */
function showText(element, text) {
  const only = element.firstChild;
  if (only ? element.textContent === text && !element.firstElementChild : !text) return;
  if (only instanceof Text && !only.nextSibling && text) only.data = text;
  else element.textContent = text;
}

/** @param {Element} a @param {Element} b */
export const inOrder = (a, b) => (a.compareDocumentPosition(b) & Node.DOCUMENT_POSITION_FOLLOWING ? -1 : 1);

/** Commits every edit of the page, that of `first` before the others in document order (F118, F119). @param {Widget} [first] */
export function commitAll(first) {
  const dirty = [...fields].filter((field) => field.dirty()).sort((a, b) => inOrder(a.element, b.element));
  for (const field of dirty) if (field.widget === first) field.commit();
  for (const field of dirty) if (field.widget !== first) field.commit();
}
