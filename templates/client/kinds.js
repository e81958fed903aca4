/**
 * What elements are to a value: where they show it, which events tell of a change, and whether a person has changed it since (F89 to F91, F94, R36, R51).
 * What is special about a library of components stands in the tables here.
 */
import { stringify } from './json.js';
import { same } from './store.js';

/**
 * What elements do with a value (F89): their tags, inputs by `:type`; where it shows; events that commit an edit, undefined where nothing is edited; and
 * those that commit besides with `keypress`.
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
  ['md-switch', 'selected', 'change'],
  ['display button li sl-badge sl-tag', 'text'],
  ['editable', 'text', 'blur', 'input'],
  ['undefined', 'custom', ''],
];
/** @type {Map<string, Kind>} */
const kinds = new Map();
for (const [tags, shows, commit, typing = ''] of KINDS) for (const tag of tags.split(' ')) kinds.set(tag, { shows, commit, typing, editable: commit !== undefined });

/** Events of components by prefix of their tags: what commits an edit and what tells of typing. @type {Record<string, [string, string]>} */
const EVENTS = { ion: ['ionChange focusout', 'ionInput'], other: ['change focusout', 'input'] };

/** The event that an attribute names, which may be written in small letters. @param {string} name */
export const eventName = (name) => ['ionChange', 'ionInput', 'ionFocus', 'ionBlur'].find((known) => known.toLowerCase() === name) ?? name;

/** A custom element whose definition has not been loaded (F99). @param {Element} element */
export const isUndefined = ({ localName }) => localName.includes('-') && !customElements.get(localName);

/** Custom elements are what their properties say, once they are defined (S66, R36). @type {Map<string, Kind>} */
const customs = new Map();

/** @param {Element} element @returns {Kind} */
function customKind(element) {
  const tag = element.localName;
  if (isUndefined(element)) return { ...events(tag), shows: 'custom' };
  let kind = customs.get(tag);
  if (!kind) {
    if (tag.endsWith('radio')) kind = { ...events(tag), shows: 'radio' };
    else if ('checked' in element && !tag.endsWith('item')) kind = { ...events(tag), shows: 'checked' };
    else if ('value' in element) kind = { ...events(tag), shows: 'value' };
    else kind = { shows: 'text', commit: '', typing: '', editable: true };
    customs.set(tag, kind);
  }
  return kind;
}

/** @param {string} tag */
function events(tag) {
  const [commit, typing] = EVENTS[tag.split('-')[0]] ?? EVENTS.other;
  return { commit, typing, editable: true };
}

const EDITABLE = '[contenteditable]:not([contenteditable=false]), [ui-attr-contenteditable]';

/** @param {Element} element @returns {Kind} */
export function kindOf(element) {
  const tag = element.localName;
  const type = tag === 'input' ? `:${/** @type {HTMLInputElement} */ (element).type}` : '';
  const known = kinds.get(type) ?? kinds.get(tag) ?? (tag.startsWith('sl-') ? kinds.get('sl-*') : undefined);
  if (known) return known;
  return tag.includes('-') ? customKind(element) : /** @type {Kind} */ (kinds.get(element.matches(EDITABLE) ? 'editable' : 'display'));
}

/** The property that says whether an element is marked, '' if it has none. @param {Kind} kind */
export const mark = ({ shows }) => (/^(checked|selected)$/.test(shows) ? shows : shows === 'radio' ? 'checked' : '');

/** What an element shows of a value: for check elements and radios whether it is marked, else its raw value (F94). @param {any} element */
export function rawValue(element) {
  if (element.localName === 'select' && element.multiple) return [...element.selectedOptions].map((option) => option.value);
  const kind = kindOf(element);
  const property = mark(kind);
  if (kind.shows === 'text') return kind.commit ? element.innerText.replace(/\n$/, '') : undefined; // a line break at the end only keeps the last line open
  return property ? !!element[property] : element.value;
}

/** What an event sends of an element: of a radio the value that it stands for, null where there is none (F114). @param {any} element */
export const currentValue = (element) => (kindOf(element).shows === 'radio' ? element.value : rawValue(element)) ?? null;

/** The text of a value; objects have none (F91). @param {any} value @returns {string} */
export function textOf(value) {
  if (value === null || value === undefined) return '';
  if (Array.isArray(value)) return value.map(textOf).join(',');
  if (typeof value === 'object') return 'obj' in value ? '' : stringify(value);
  return String(value);
}

/** The native field in a component, if it lets one see it, else the element. @param {any} element */
export const inner = (element) => element.input ?? element.control ?? (element.localName.includes('-') ? element.querySelector('input, textarea') : null) ?? element;

// Edits. What differs from what was written may be the browser's doing (restored, emptied, filled in); an edit has an event.

/** What an element held right after the client last wrote or sent it (F95), undefined if it is nothing to keep; it outlives the binding so that a re-render can tell edits (F178). @type {WeakMap<Element, any>} */
const written = new WeakMap();

/** Elements that have told of an edit since. @type {WeakSet<EventTarget>} */
const touched = new WeakSet();

/** @param {EventTarget} target */
export const touch = (target) => touched.add(target);
for (const type of ['input', 'change', 'sl-input', 'sl-change', 'ionInput', 'ionChange']) document.addEventListener(type, (event) => event.composedPath().forEach(touch), true);

/** Takes what the element holds as unedited, or `value`. @param {Element} element @param {any} value */
export function setWritten(element, value) {
  written.set(element, value);
  touched.delete(element);
}

/** Whether a person has changed what the element holds (R51). @param {Element} element */
export const isEdited = (element) => touched.has(element) && written.get(element) !== undefined && !same(rawValue(element), written.get(element));

/** Whether the client has shown a value in the element. @param {Element} element */
export const isBound = (element) => written.has(element);

/** What an element holds of an edit that nobody has sent, undefined if there is none (F178). @param {Element} element */
export const editOf = (element) => (isEdited(element) ? rawValue(element) : undefined);

/** Puts an edit back into an element that takes the place of the edited one: it is still an edit. @param {any} element @param {any} value */
export function putEdit(element, value) {
  const kind = kindOf(element);
  const property = mark(kind);
  if (!kind.commit || (property ? typeof value !== 'boolean' : typeof value === 'boolean')) return;
  if (element.localName === 'select') for (const option of element.options) option.selected = [value].flat().includes(option.value);
  else element[property || (kind.shows === 'text' ? 'innerText' : 'value')] = value;
  touch(element);
}
