/**
 * The page's variables and what they share with everything else: reports to the console, and the queue of messages to the server.
 * The console stays silent unless something is wrong or debugging was asked for (F211, S77).
 */

function stored() {
  try {
    return localStorage.getItem('ui-debug');
  } catch {
    return null; // storage may be forbidden
  }
}

/** True with `?ui-debug` in the address or a value `ui-debug` in localStorage. */
export const debug = new URLSearchParams(location.search).has('ui-debug') || !!stored();

/** One line for a person, with the cause where there is one. @param {string} text @param {unknown} [cause] */
export function report(text, cause) {
  if (cause === undefined) console.error(`lsess: ${text}`);
  else console.error(`lsess: ${text}`, cause);
}

/** Runs foreign or fallible code so that its failure stops nothing else (F57). @param {string | (() => string)} what @param {() => void} run */
export function guard(what, run) {
  try {
    run();
  } catch (cause) {
    report(typeof what === 'string' ? what : what(), cause);
  }
}

/**
 * The outgoing queue: first in, first out, in as few frames as possible (F31 to F37).
 * While there is no connection it takes nothing (F217).
 */

const QUIET_MS = 10; // F32
const LONGEST_MS = 50;

/** @type {object[]} */
let waiting = [];
/** @type {((frame: object) => void) | null} */
let transmit = null;
let quiet = 0;
let longest = 0;
let depth = 0;

/** Names the function that writes a frame, or null when the connection is gone: what waits is dropped then. @param {typeof transmit} write */
export function connectQueue(write) {
  transmit = write;
  clear();
}

export const online = () => transmit !== null;

/** True when nothing waits to be sent. */
export const idle = () => !waiting.length;

function clear() {
  clearTimeout(quiet);
  clearTimeout(longest);
  quiet = longest = 0;
  const messages = waiting;
  waiting = [];
  return messages;
}

/** Queues a message. @param {string} type @param {object} data */
export function send(type, data) {
  if (!transmit) return;
  waiting.push({ type, data });
  if (depth) return; // leaves at the end of the frame being processed
  clearTimeout(quiet);
  quiet = setTimeout(flush, QUIET_MS, false);
  longest ||= setTimeout(flush, LONGEST_MS, false);
}

/** Sends all that waits, now; never an empty frame (F16). @param {boolean} userEvent */
export function flush(userEvent) {
  const messages = clear();
  if (messages.length) transmit?.({ userEvent, messages });
}

/** Sends all that waits when the running event has been handled by everybody, so that an edit and the action it sets off share a frame (F34, F118). */
export function flushSoon() {
  setTimeout(flush, 0, true);
}

/** Runs the processing of an incoming frame; what it causes leaves right after it, behind what waited before (F34a, F36). @param {() => void} work */
export function duringFrame(work) {
  const before = waiting.length;
  depth++;
  try {
    work();
  } finally {
    depth--;
    if (waiting.length > before) flush(true);
  }
}

/**
 * The page's variables (F38 to F58): one record per live variable, the tree they form, who observes them, and their error states.
 * It knows nothing of elements but the `owner` that a variable was made for.
 */

/**
 * What page scripts may read (F38).
 * @typedef {{varId: number, parentId?: number, value?: any, properties: Record<string, string>, widget?: any}} Variable
 * @typedef {(variable: Variable, value: any, properties: Record<string, string> | undefined) => void} Observer
 * @typedef {{code: string, description: string}} Failure
 * @typedef {{getElement(): Element | null | undefined}} Owner what shows a variable
 * @typedef {{open: number}} Wait counts unanswered creates
 * @typedef {{record: Variable, children: Set<number>, observers: Set<Observer>, errorObservers: Set<(error: Failure | null) => void>,
 *   error: Failure | null, owner: Owner | null, wait: Wait | null}} Entry
 */

/** @type {Map<number, Entry>} */
const entries = new Map();
let nextId = 2; // never reused, reconnects included (F39, F216)

/** All creates of the page that wait for their first answer (S85). @type {Wait} */
export const unanswered = { open: 0 };

/** @param {number} id @param {number | undefined} parentId @param {Record<string, string>} properties @param {Owner | null} owner */
function add(id, parentId, properties, owner) {
  /** @type {Entry} */
  const entry = {
    record: { varId: id, properties }, children: new Set(), observers: new Set(), errorObservers: new Set(), error: null, owner, wait: null,
  };
  if (parentId) {
    entry.record.parentId = parentId;
    entries.get(parentId)?.children.add(id);
  }
  entries.set(id, entry);
  return entry;
}

/** The record of a variable. @param {number} id @returns {Variable | undefined} */
export const get = (id) => entries.get(id)?.record;

/** What shows the variable. @param {number} id */
export const ownerOf = (id) => entries.get(id)?.owner;

/** @param {number} id */
export const getError = (id) => entries.get(id)?.error ?? null;

/** How many variables the page holds; tests compare it before and after (S16). */
export const count = () => entries.size;

/** Makes a variable below another and tells the server (F41, F42). @param {number} parentId @param {Record<string, string>} properties @param {Owner | null} [owner] */
export function create(parentId, properties, owner = null) {
  const id = nextId++;
  add(id, parentId, properties, owner);
  send('create', { id, parentId, properties: { ...properties } });
  return id;
}

/** Counts the variable as unanswered in `wait` until the server has said something about it (F162). @param {number} id @param {Wait | null} wait */
export function expectAnswer(id, wait) {
  const entry = entries.get(id);
  const access = entry?.record.properties.access;
  if (!entry || !online() || access === 'w' || access === 'action') return;
  unanswered.open++;
  entry.wait = wait ?? { open: 0 };
  entry.wait.open++;
}

/** @param {Entry} entry */
function answered(entry) {
  if (!entry.wait) return;
  unanswered.open--;
  entry.wait.open--;
  entry.wait = null;
}

/** @param {any} a @param {any} b */
const same = (a, b) => a === b || (Array.isArray(a) && Array.isArray(b) && JSON.stringify(a) === JSON.stringify(b));

/**
 * Stores and sends a change made by the page (F48 to F50). A change of an action leaves at once, with all that waits (F33).
 * @param {number} id @param {any} [value] undefined: no value in this update @param {Record<string, string>} [properties]
 */
export function update(id, value, properties) {
  const record = get(id);
  if (!record) return;
  const { access } = record.properties;
  if (properties) merge(record, properties);
  const trigger = access === 'action' || access === 'w';
  const sendValue = value !== undefined && access !== 'r' && (trigger || !same(value, record.value));
  if (sendValue) record.value = value;
  if (!sendValue && !properties) return;
  send('update', { varId: id, ...(sendValue && { value }), ...(properties && { properties: { ...properties } }) });
  if (sendValue && access === 'action') flush(true);
}

/** @param {Variable} record @param {Record<string, string>} properties */
function merge(record, properties) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === '') delete record.properties[name]; // F24
    else record.properties[name] = value;
  }
}

/** Drops a variable and all below it, here and on the server (F54). @param {number} id */
export function destroy(id) {
  const entry = entries.get(id);
  if (!entry) return;
  send('destroy', { varId: id });
  if (entry.record.parentId) entries.get(entry.record.parentId)?.children.delete(id);
  forget(id, entry);
}

/** @param {number} id @param {Entry} entry */
function forget(id, entry) {
  entries.delete(id);
  answered(entry);
  fail(entry, null);
  for (const child of entry.children) {
    const below = entries.get(child);
    if (below) forget(child, below);
  }
}

/** Forgets everything, as after a reconnect (F215). Variable 1 is there anew. */
export function reset() {
  for (const [id, entry] of entries) forget(id, entry);
  add(1, undefined, {}, null);
}

/** Says what shows a variable that was made without it. @param {number} id @param {Owner} owner */
export function own(id, owner) {
  const entry = entries.get(id);
  if (entry) entry.owner = owner;
}

/** Calls `observer` on each update from the server. @param {number} id @param {Observer} observer @returns {() => void} ends it */
export function watch(id, observer) {
  const observers = entries.get(id)?.observers;
  observers?.add(observer);
  return () => void observers?.delete(observer);
}

/** Calls `observer` with each error of the variable, and with null when it is over. @param {number} id @param {(error: Failure | null) => void} observer */
export function watchErrors(id, observer) {
  const observers = entries.get(id)?.errorObservers;
  observers?.add(observer);
  return () => void observers?.delete(observer);
}

/** @type {(entry: Entry) => void} */
let showError = () => {};
/** Names the function that shows or hides the error of an entry. @param {typeof showError} show */
export function onError(show) {
  showError = show;
}

/** @param {Entry} entry @param {Failure | null} error */
function fail(entry, error) {
  if (!error && !entry.error) return;
  entry.error = error;
  showError(entry);
  for (const observer of [...entry.errorObservers]) guard('error observer failed', () => observer(error));
}

/** Marks what shows the variable now, after the element has been replaced. @param {number} id */
export function refreshError(id) {
  const entry = entries.get(id);
  if (entry?.error) showError(entry);
}

/** Applies an update from the server (F51). @param {{varId: number, value?: any, properties?: Record<string, string>}} data */
export function receiveUpdate({ varId, value, properties }) {
  let entry = entries.get(varId);
  if (!entry && varId < 0) entry = add(varId, undefined, {}, null);
  if (!entry) return; // in flight when it was destroyed (F56)
  if (value !== undefined) entry.record.value = value;
  if (properties) merge(entry.record, properties);
  answered(entry);
  fail(entry, null);
  for (const observer of [...entry.observers]) {
    guard(() => `update of ${describe(varId)} failed`, () => observer(entry.record, value, properties));
  }
}

/** A `destroy` of a variable that is still in use counts as null without type (F55). @param {{varId: number}} data */
export function receiveDestroy({ varId }) {
  if (entries.has(varId)) receiveUpdate({ varId, value: null, properties: { type: '' } });
}

/** @param {{varId?: number, code?: string, description?: string}} data */
export function receiveError({ varId, code = '', description = '' }) {
  const text = `${code || 'error'}: ${description}`;
  if (!varId) return report(text); // it concerns the connection (F209)
  const entry = entries.get(varId);
  if (!entry) return;
  answered(entry);
  fail(entry, { code, description });
  report(`${describe(varId)}: ${text}`);
}

/** Names a variable for people (F211). @param {number} id */
export function describe(id) {
  const properties = get(id)?.properties ?? {};
  return `variable ${id}` + ['path', 'elementId'].map((name) => (properties[name] ? ` ${name} "${properties[name]}"` : '')).join('');
}
