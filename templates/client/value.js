/**
 * `ui-value` and `ui-keypress`: values into elements, edits back to the server (F89 to F101, F192 to F196); what the program has not taken is not left
 * on the page. Before it what the client knows of paths.
 */
import { inner, isEdited, isUndefined, kindOf, mark, putEdit, rawValue, setWritten, textOf, touch } from './kinds.js';
import { showLoss } from './overlay.js';
import { notifyScroll } from './scroll.js';
import { flushSoon, get, isWriting, knownValue, ofId, online, same, update, watchExchange, writeElsewhere } from './store.js';

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

/** @type {Set<Field>} */
const fields = new Set();

/** The objects that the edits of ended fields were meant for. @type {WeakMap<Element, number | null>} */
const meant = new WeakMap();

/** Fields that a person has changed and that send nothing of it themselves: whoever does may be refused. @type {Set<Field>} */
const moved = new Set();

/** An action on the same element owns the change of a check element (F96). */
const OWNER = /^ui-(action|event-(click|change|input|(sl|ion)-?(change|input)))$/;

const FIELD = /^([a-z]+-)?(input|textarea)$|text-field$/;

/** These pick one of several texts, to which a number is none. */
const TEXTUAL = /(input|textarea|field|select|group|dropdown|segment)$/;

/** Fields that are whole only when they are left: each part of a date that is typed makes another date, and none of them keeps its caret when rewritten. @param {any} element */
const isWhole = ({ type, localName }) => /^(number|date|time|datetime-local|month|week)$/.test(type) || /-(number|known-date|date|time)/.test(localName);

/** @param {Element} element */
const isFocused = (element) => element.matches(':focus-within');

/** @param {Element} element */
export const isOwned = (element) => element.getAttributeNames().some((name) => OWNER.test(name) && element.getAttribute(name));

/** What one element shows of a variable, by `ui-value` or, one way, by an attribute whose property a person can change. */
export class Field {
  /** @param {Widget} widget @param {Properties} options of the path @param {string} [property] that shows it, one way @param {(value: any) => void} [apply] sets the attribute */
  constructor(widget, options, property, apply) {
    const { element } = widget;
    this.widget = widget;
    this.options = options;
    this.property = property;
    this.apply = apply;
    this.kind = kindOf(element);
    this.varId = 0;
    /** What the program holds, as far as is known. @type {any} */
    this.value = null;
    /** It is not shown yet, since an edit is to end first (F100). */
    this.waits = false;
    /** The object that the edit was begun in. @type {number | null | undefined} */
    this.of = undefined;
    this.resetting = false;
    /** The answer to what it has sent is to come. */
    this.asked = false;
    this.settling = false;
    /** An input method is at work, whose text must not be changed under it. */
    this.composing = false;
    /** Keys go into a field that is whole only when it is left. */
    this.typing = false;
    this.owned = !!property || (!!mark(this.kind) && this.kind.shows !== 'radio' && !options.commit && isOwned(element));
    this.sends = false;
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
    const { kind, widget, element, property } = this;
    const readOnly = get(varId)?.properties.access === 'r';
    if (readOnly && !property && FIELD.test(element.localName)) element.setAttribute('readonly', ''); // edits could not be sent
    if (kind.commit) {
      this.sends = !readOnly && !this.owned;
      this.listen(`${this.options.keypress ? kind.typing : ''} ${kind.commit}`);
    }
    if (!property) widget.on('ui-value-change', (event) => update(varId, event.detail?.value ?? null)); // F97
    if (isUndefined(element)) void customElements.whenDefined(element.localName).then(() => fields.has(this) && this.upgraded());
    if (/(^|-)(select|dropdown)$/.test(element.localName)) this.observeOptions();
  }

  /** @param {string} types events that commit */
  listen(types) {
    const { widget, kind, varId } = this;
    for (const type of types.split(' ').filter(Boolean)) {
      widget.on(type, () => {
        if (!this.sends) return void moved.add(this);
        this.begin();
        if ((!this.typing || type === kind.typing) && this.commit()) flushSoon(); // a direct edit need not wait for the quiet time (F34)
      });
    }
    for (const type of ['input', kind.typing, 'compositionstart', 'compositionend']) {
      widget.on(type, () => {
        if (type.startsWith('comp')) this.composing = type.endsWith('start');
        this.begin();
        this.release();
      });
    }
    widget.on('keydown', ({ key }) => {
      this.typing = key !== 'Enter' && isWhole(this.element);
      if (key === 'Enter' && isWhole(this.element)) this.leave() && flushSoon();
    });
    widget.on('pointerdown', () => this.typing = false);
    widget.on('focusout', () => this.leave());
    watchExchange(varId, (of) => this.exchanged(of));
  }

  /** The place is another object's: what was typed for the one before goes there, and what this one has shows (R1, R8). @param {number | null | undefined} next */
  exchanged(next) {
    const { element, kind, varId } = this;
    const of = this.of ?? ofId(varId);
    if (of === undefined || next === undefined || of === next) return;
    if (this.dirty()) {
      const value = kind.shows === 'radio' ? element.value : rawValue(element);
      if (of === null) showLoss(value);
      else writeElsewhere(varId, value, of);
    }
    if (isBad(element)) element.value = '';
    this.typing = this.asked = false;
    this.write(this.value);
  }

  /** Remembers which object an edit is meant for. */
  begin() {
    if (!isEdited(this.element)) this.of = undefined;
    else if (this.of === undefined) this.of = ofId(this.varId);
  }

  recall() {
    const { element, varId } = this;
    if (!this.sends || !isWriting(varId)) return;
    setWritten(element, textOf(knownValue(varId)));
    touch(element);
    this.begin();
  }

  leave() {
    this.typing = false;
    const committed = this.commit();
    if (online()) this.release();
    return committed;
  }

  end() {
    if (this.of) meant.set(this.element, this.of);
    fields.delete(this);
    moved.delete(this);
    this.observer?.disconnect();
  }

  /** True while the element holds an edit that was not sent. */
  dirty() {
    const { element, kind } = this;
    if (!this.sends || this.resetting || isUndefined(element) || isBad(element)) return false;
    if (kind.shows === 'radio' && !element.checked) return false; // another one of its group is the edit
    return isEdited(element);
  }

  /** Sends the edit, if there is one. Offline it stays in the element (F217). */
  commit() {
    if (!online() || !this.dirty()) return false;
    const { element, of } = this;
    const value = this.kind.shows === 'radio' ? element.value : rawValue(element);
    if (this.kind.shows === 'radio') this.takeGroup();
    setWritten(element, rawValue(element));
    this.value = value;
    this.of = undefined;
    this.asked = true;
    this.waits = false; // what the server says to this edit counts, not what it said before
    update(this.varId, value, undefined, of);
    return true;
  }

  /** An event of the element has taken the edit of a field that sends none itself. */
  told() {
    if (!this.sends) this.rebase();
  }

  /** The browser has taken the mark off the others of the group, so that what they knew of the value is old: each may be chosen again before the server answers. */
  takeGroup() {
    for (const { kind, element } of fields) if (kind.shows === 'radio' && !element.checked) setWritten(element, false);
    const record = get(this.varId);
    if (record) record.value = null;
  }

  /** The radios of which one is marked. @returns {Field[]} */
  group() {
    const { kind, element: { name, form } } = this;
    if (kind.shows !== 'radio' || !name) return [this];
    return [...fields].filter(({ kind: other, element }) => other.shows === 'radio' && element.name === name && element.form === form);
  }

  /** True while the program's value must not take the place of what the element holds (F100). */
  isHeld() {
    const { element, kind } = this;
    if (!kind.commit) return false;
    const edited = isEdited(element) && (this.sends || (isFocused(element) && !mark(kind)));
    return edited || this.composing || this.typing || isBad(element)
      || this.group().some(({ widget }) => [...widget.bindings.values()].some(({ varId }) => isWriting(varId)));
  }

  /** Shows the value that waited for the edit to end. */
  release() {
    if (this.waits) this.show(this.value);
  }

  /** @param {any} value */
  show(value) {
    this.value = value;
    this.waits = this.isHeld();
    if (!this.waits) this.write(value);
    if (this.asked && !isWriting(this.varId)) {
      this.asked = false;
      this.settle();
    }
    if (!FIELD.test(this.element.localName)) notifyScroll(this.widget.view.varId); // F101
  }

  /** Shows what the program holds when all that the frame says is known: it may have refused what the element, or another of its group, has sent (S60). */
  settle() {
    if (this.settling) return;
    this.settling = true;
    queueMicrotask(() => {
      this.settling = false;
      for (const field of new Set([...this.group(), ...moved])) if (fields.has(field)) field.settled();
    });
  }

  settled() {
    this.waits = this.isHeld();
    if (this.waits || get(this.varId)?.properties.access === 'w') return;
    moved.delete(this);
    this.write(this.value);
  }

  /** @param {any} value */
  write(value) {
    const { element, kind, property } = this;
    const marked = mark(kind);
    this.value = value;
    this.of = undefined;
    this.waits = false;
    if (property) {
      const absent = value === null || value === undefined || value === false;
      this.apply?.(value);
      if (property === 'value') this.writeValue(absent ? '' : String(value));
      else if (property in element && element[property] === absent) element[property] = !absent; // not when it is so already: it would rewrite the attribute
    } else if (kind.shows === 'radio') element.checked = textOf(value) === element.value;
    else if (marked) {
      const checked = value !== 'false' && !!value;
      if (element[marked] !== checked) element[marked] = checked;
    } else if (kind.shows === 'text') showText(element, textOf(value));
    else if (kind.shows === 'custom') this.writeCustom(value);
    else if (kind.shows === 'value') this.writeValue(value);
    if (kind.commit) this.rebase();
  }

  /**
   * Changes an attribute, and shows the value again if the element makes something else of it now: a radio by what it stands for, a range by its limits.
   * @param {string} attribute @param {() => void} change
   */
  refit(attribute, change) {
    const concerned = this.kind.shows === 'radio' ? attribute === 'value' : /^(min|max|step)$/.test(attribute);
    const again = concerned && !this.isHeld();
    change();
    if (again) this.write(this.value);
  }

  /** Takes what the element holds now as unedited, and once more when a component has digested it. */
  rebase() {
    const { element } = this;
    const take = () => setWritten(element, this.owned && mark(this.kind) ? undefined : rawValue(element));
    take();
    if (element.updateComplete && !isFocused(element)) void element.updateComplete.then(() => !isFocused(element) && !isEdited(element) && take());
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
    let shown = typeof value === 'number' && !TEXTUAL.test(tag) ? value : textOf(value);
    if (tag === 'progress' || tag === 'meter') shown = Number(shown) || 0; // anything else throws there
    if (element.value === shown || (typeof element.value === 'string' && element.value === String(shown))) return; // F93
    keepCaret(element, () => element.value = shown);
    if (tag === 'sl-select' && shown === '') setTimeout(() => element.value === '' && (element.displayLabel = '')); // F195
  }

  /** Nobody knows yet what a custom element without a definition shows (S66). @param {any} value */
  writeCustom(value) {
    const { element } = this;
    element.value = typeof value === 'number' ? value : textOf(value);
    if (this.wroteText) showText(element, textOf(value));
  }

  /** Sets again what was set before the element was defined; own properties would hide its accessors (F99). */
  upgraded() {
    const { element } = this;
    for (const name of ['value', 'checked', 'selected']) if (Object.hasOwn(element, name)) delete element[name];
    const guessed = this.kind.shows === 'custom' && !this.property;
    this.kind = kindOf(element);
    if (guessed && this.wroteText && this.kind.shows !== 'text') element.textContent = '';
    this.write(this.value);
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
    if (fields.has(this)) this.write(this.value);
  }
}

/** Text that no value stands for, as a minus sign in a number field, or half a date: it is neither sent nor overwritten. @param {any} element @returns {boolean} */
const isBad = (element) => !!element.validity?.badInput;

/** Display elements get plain text and are left alone when they show it (F92, F93). @param {Element} element @param {string} text */
function showText(element, text) {
  const only = element.firstChild;
  if (only ? element.textContent === text && !element.firstElementChild : !text) return;
  const caret = isFocused(element) ? caretIn(element) : -1;
  if (only instanceof Text && !only.nextSibling && text) only.data = text;
  else element.textContent = text;
  if (caret >= 0) getSelection()?.collapse(element.firstChild ?? element, Math.min(caret, text.length));
}

/** How far the caret is in an editable element, -1 if it is not there. @param {Element} element */
function caretIn(element) {
  const selection = getSelection();
  if (!selection?.focusNode || !element.contains(selection.focusNode)) return -1;
  const range = new Range();
  range.setStart(element, 0);
  range.setEnd(selection.focusNode, selection.focusOffset);
  return range.toString().length;
}

/** Rewrites a field; with the focus, it keeps its selection, and a caret before the same rest of the text. @param {any} element @param {() => void} write */
function keepCaret(element, write) {
  const field = inner(element); // a component keeps its caret inside
  const { selectionStart: start, selectionEnd: end, value: old } = field;
  write();
  if (start == null || !isFocused(element)) return;
  void Promise.resolve(element.updateComplete).then(() => {
    const rest = old.slice(end);
    const shift = start === end && field.value.endsWith(rest) ? field.value.length - rest.length - start : 0;
    field.setSelectionRange?.(start + shift, end + shift);
  });
}

/** @param {Element} a @param {Element} b */
export const inOrder = (a, b) => (a.compareDocumentPosition(b) & Node.DOCUMENT_POSITION_FOLLOWING ? -1 : 1);

/**
 * Puts an edit into the element that has taken the place of the edited one. It is still an edit, and meant for the same object: if another is there now,
 * it is sent at once. False, and nothing is done, if that cannot be made sure (R1).
 * @param {Element} old @param {Element} element @param {any} edit @param {boolean} alike both stand for the same object
 */
export function moveEdit(old, element, edit, alike) {
  const field = [...fields].find((one) => one.element === element && one.sends);
  const of = meant.get(old);
  if (!field || !(alike || of)) return false;
  putEdit(element, edit);
  field.begin();
  if (of && isEdited(element)) field.of = of;
  field.exchanged(ofId(field.varId));
  return true;
}

/** @param {Field} field */
const holdsText = ({ kind, element }) => kind.shows === 'text' || FIELD.test(element.localName);

/** Texts that were typed and that the server does not have (R54). */
export const unsentTexts = () => [...fields].filter((field) => holdsText(field) && field.dirty())
  .map((field) => rawValue(field.element)).filter((text) => typeof text === 'string' && text.trim());

/** The connection is lost, and may have been dead for a while: texts that were sent and not answered are edits again (F217). */
export function recallTexts() {
  for (const field of fields) if (holdsText(field) && !mark(field.kind)) field.recall();
}

/** Commits every edit of the page, that of `first` before the others in document order (F118, F119). @param {Widget} [first] */
export function commitAll(first) {
  const dirty = [...fields].filter((field) => field.dirty()).sort((a, b) => inOrder(a.element, b.element));
  for (const field of dirty) if (field.widget === first) field.commit();
  for (const field of dirty) if (field.widget !== first) field.commit();
}

/** Resetting a form edits its fields; those that cannot say so show the program's value again. */
document.addEventListener('reset', (event) => setTimeout(() => {
  if (event.defaultPrevented) return;
  const form = /** @type {Node} */ (event.target);
  const concerned = [...fields].filter(({ element }) => element.form === form || form.contains(element));
  for (const field of concerned) touch(field.element);
  for (const field of concerned) if (field.commit()) flushSoon();
  for (const field of concerned) {
    if (!field.dirty()) field.rebase(); // as radios of which none is marked now
    if (!field.isHeld()) field.write(field.value);
  }
}));
