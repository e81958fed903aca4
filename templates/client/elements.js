/** What the client knows of elements and of the paths in their attributes: ids, kinds, path syntax. */

let last = 0; // of the ids ui-N (F71)

/** A new id that no element has. */
export function vendId() {
  do last++; while (document.getElementById(`ui-${last}`));
  return `ui-${last}`;
}

/** The id of an element, made if it has none. @param {Element} element */
export function ensureId(element) {
  return (element.id ||= vendId());
}


/**
 * @typedef {object} Kind
 * @property {'value' | 'checked' | 'radio' | 'text' | 'custom' | 'none'} shows where the value is shown; `custom` is decided when the element is defined
 * @property {string[]} commit events that commit an edit
 * @property {string[]} typing events that commit with `keypress`
 * @property {boolean} editable
 */

/** @param {Kind['shows']} shows @param {string} commit @param {string} [typing] @param {boolean} [editable] @returns {Kind} */
const kind = (shows, commit, typing = commit, editable = true) => ({
  shows, editable, commit: commit.split(' ').filter(Boolean), typing: typing.split(' ').filter(Boolean),
});

const TEXT = kind('value', 'blur change', 'input');
const DISPLAY = kind('text', '', '', false);
const READ_ONLY = kind('value', '', '', false);
const VALUED = kind('value', '');
const SHOELACE_VALUE = kind('value', 'sl-change', 'sl-input');
const SHOELACE_CHECK = kind('checked', 'sl-change');

/** @type {Record<string, Kind>} */
const BY_TAG = {
  textarea: TEXT,
  select: kind('value', 'change blur', 'input'),
  button: DISPLAY, li: DISPLAY, 'sl-badge': DISPLAY, 'sl-tag': DISPLAY,
  progress: VALUED, meter: VALUED, output: VALUED, data: VALUED, param: VALUED, option: VALUED,
  'sl-checkbox': SHOELACE_CHECK, 'sl-switch': SHOELACE_CHECK,
  'sl-input': SHOELACE_VALUE, 'sl-textarea': SHOELACE_VALUE, 'sl-select': SHOELACE_VALUE, 'sl-radio-group': SHOELACE_VALUE,
  'sl-range': SHOELACE_VALUE, 'sl-color-picker': SHOELACE_VALUE, 'sl-rating': kind('value', 'sl-change'),
  'sl-option': READ_ONLY, 'sl-progress-bar': READ_ONLY, 'sl-progress-ring': READ_ONLY, 'sl-qr-code': READ_ONLY, 'sl-copy-button': READ_ONLY,
};

/** @type {Record<string, Kind>} */
const BY_INPUT_TYPE = {
  checkbox: kind('checked', 'change'),
  radio: kind('radio', 'change'),
  file: kind('none', ''),
  range: kind('value', 'change', 'input'), color: kind('value', 'change', 'input'),
  button: VALUED, submit: VALUED, reset: VALUED, image: VALUED,
};

/** @param {Element} element @returns {Kind} */
export function kindOf(element) {
  const tag = element.localName;
  if (tag === 'input') return BY_INPUT_TYPE[/** @type {HTMLInputElement} */ (element).type] ?? TEXT;
  if (BY_TAG[tag]) return BY_TAG[tag];
  if (tag.startsWith('sl-')) return VALUED;
  return tag.includes('-') ? kind('custom', '') : DISPLAY;
}

/** What an element holds: checked or not for a check element, else its value, null if it has none (F114, F117). @param {any} element */
export function currentValue(element) {
  if (kindOf(element).shows === 'checked') return !!element.checked;
  return element.value ?? null;
}

/** A custom element whose definition has not been loaded (F99). @param {Element} element */
export const isUndefined = ({ localName }) => localName.includes('-') && !customElements.get(localName);

/** The text of a value; objects have none (F91). @param {any} value @returns {string} */
export function textOf(value) {
  if (value === null || value === undefined) return '';
  if (Array.isArray(value)) return value.map(textOf).join(',');
  if (typeof value === 'object') return 'obj' in value ? '' : JSON.stringify(value);
  return String(value);
}


/** @typedef {{path: string, properties: Record<string, string>}} Spec */

/** Properties that mean something to this client alone; the server does not get them (F65). */
const LOCAL = new Set(['keypress', 'scrollOnOutput', 'replace', 'commit', 'debounce', 'not', 'self', 'prevent', 'stop']);

/** Splits `PATH?QUERY`; null when there is no path to bind (F63). @param {string | null} text @returns {Spec | null} */
export function parsePath(text) {
  const [path = '', query] = (text ?? '').split('?'); // a second ? ends the query (F62)
  if (!path.trim()) return null;
  /** @type {Record<string, string>} */
  const properties = {};
  if (query) for (const [name, value] of new URLSearchParams(query)) if (name) properties[name] = value || 'true';
  return { path, properties };
}

/** @param {Spec} spec */
export function forwarded({ properties }) {
  return Object.fromEntries(Object.entries(properties).filter(([name]) => !LOCAL.has(name)));
}

/** @param {string} path */
export const isGetter = (path) => path.endsWith('()');
/** @param {string} path */
export const isSetter = (path) => path.endsWith('(_)');

/** Says what is wrong with an access of a path, or '' (F69). @param {string} path @param {string | undefined} access */
export function accessProblem(path, access) {
  const allowed = isSetter(path) ? ['w', 'action'] : isGetter(path) ? ['r', 'rw', 'action'] : ['r', 'w', 'rw', 'action'];
  return access === undefined || allowed.includes(access) ? '' : `path "${path}" does not allow access "${access}"`;
}
