/**
 * The page's variables (F38 to F58), the queue of messages to the server (F31 to F37), and reports to the console.
 * It knows nothing of elements but the `owner` that a variable was made for.
 */
import { stringify } from './json.js';
import { showError } from './overlay.js';

/** Frames are logged with `?ui-debug` in the address; otherwise the console is silent unless something is wrong (S77). */
export const debug = new URLSearchParams(location.search).has('ui-debug');

/** One line for a person (F211). @param {string} text @param {unknown[]} cause */
export const report = (text, ...cause) => console.error(`lsess: ${text}`, ...cause);

/** Reports to the server too, whose log is where templates are written (P102). @param {string} what @param {any} cause @param {string} [code] */
export function blame(what, cause, code = 'script-error') {
  report(`${code} in ${what}`, cause);
  send('error', { varId: 1, code, description: `${what}: ${cause?.message ?? cause}` });
}

/** Runs what may fail so that its failure stops nothing else (F57). @param {string} what @param {() => void} run @param {number} [varId] */
export function guard(what, run, varId) {
  try {
    run();
  } catch (cause) {
    blame(varId ? `${what} of ${describe(varId)}` : what, cause);
  }
}

// The queue: first in, first out, in as few frames as possible. Without a connection it takes nothing (F217).

const QUIET_MS = 10; // F32
const LONGEST_MS = 50;
const MOST = 10000; // messages in a frame (--max-messages)

/** @type {object[]} */
let waiting = [];
/** @type {((frame: object) => void) | null} */
let transmit = null;
let quiet = 0;
let longest = 0;
let depth = 0;
let caused = false; // by the frame being processed

/** Says what writes a frame, or null when the connection is gone; what waits is dropped. @param {typeof transmit} write */
export function connectQueue(write) {
  transmit = write;
  take();
}

export const online = () => transmit !== null;

function take() {
  clearTimeout(quiet);
  clearTimeout(longest);
  quiet = longest = 0;
  caused = false;
  const messages = waiting;
  waiting = [];
  return messages;
}

/** @param {string} type @param {object} data */
export function send(type, data) {
  if (!transmit) return;
  waiting.push({ type, data });
  if (depth) return void (caused = true); // leaves at the end of that frame
  clearTimeout(quiet);
  quiet = setTimeout(flush, QUIET_MS, false);
  longest ||= setTimeout(flush, LONGEST_MS, false);
}

/** Sends all that waits, never an empty frame (F16). @param {boolean} userEvent */
export function flush(userEvent) {
  for (const messages = take(); messages.length;) transmit?.({ userEvent, messages: messages.splice(0, MOST) });
}

/** Sends when everybody has handled the running event, so that an edit and the action it sets off share a frame (F34, F118). */
export function flushSoon() {
  setTimeout(flush, 0, true);
}

/** Processes an incoming frame; what that causes leaves right after it, behind what waited before (F34a, F36). @param {() => void} work */
export function duringFrame(work) {
  depth++;
  try {
    work();
  } finally {
    depth--;
    if (!depth) tellFailures();
    if (!depth) forgetAnswered();
    if (!depth && caused) flush(true);
  }
}

// Variables: one record each, the tree they form, who observes them.

/** @type {Map<number, Entry>} */
const entries = new Map();
let nextId = 2; // never reused, reconnects included (F39, F216)

/** Created, and nothing heard of it yet. @type {Set<Entry>} */
const unanswered = new Set();

/** True when nothing waits to be sent or answered (S85). */
export const idle = () => !waiting.length && !unanswered.size && !writing.size;

/** @param {number} id @param {Properties} [properties] @param {Owner | null} [owner] @returns {Entry} */
function add(id, properties = {}, owner = null) {
  const entry = { record: { varId: id, properties }, owner };
  entries.set(id, entry);
  return entry;
}

/** @param {number} id */
export const get = (id) => entries.get(id)?.record;
/** @param {number} id */
export const ownerOf = (id) => entries.get(id)?.owner;
/** @param {number} id */
export const getError = (id) => entries.get(id)?.error ?? null;
/** How many variables the page holds. */
export const count = () => entries.size;

/**
 * Makes a variable below another and tells the server (F41, F42).
 * @param {number} parentId @param {Properties} properties @param {Owner | null} [owner] @param {Wait | null} [wait] what is shown when it is answered (F162)
 */
export function create(parentId, properties, owner, wait) {
  const id = nextId++;
  const entry = add(id, properties, owner);
  const parent = entries.get(parentId);
  entry.record.parentId = parentId;
  if (parent) (parent.children ??= new Set()).add(id);
  send('create', { id, parentId, properties: { ...properties } });
  if (online() && !WRITE_ONLY.test(properties.access)) {
    unanswered.add(entry);
    entry.wait = wait;
    if (wait) wait.open++;
  }
  return id;
}

/** @param {Entry} entry */
function answered(entry) {
  if (unanswered.delete(entry) && entry.wait) entry.wait.open--;
}

const WRITE_ONLY = /^(w|action)$/;

/** Equal values; arrays by content (F49, F196). @param {any} a @param {any} b */
export const same = (a, b) => a === b || (Array.isArray(a) && stringify(a) === stringify(b));

/**
 * Stores and sends a change made by the page (F48 to F50). A change of an action leaves at once, with all that waits (F33).
 * @param {number} id @param {any} [value] undefined: properties alone @param {Properties} [properties] @param {number | null} [of] the object that the value is meant for
 */
export function update(id, value, properties, of = ofId(id)) {
  const entry = entries.get(id);
  if (!entry) return;
  const { record } = entry;
  const { access } = record.properties;
  const changed = value !== undefined && access !== 'r' && (WRITE_ONLY.test(access) || !same(value, record.value));
  if (changed) record.value = value;
  if (properties) merge(record, properties);
  if (changed) {
    number(entry);
    write(entry, value, of, properties);
  } else if (properties) send('update', { varId: id, properties });
  if (changed && access === 'action') flush(true);
}

// Writes are numbered per variable, and the server tells with a value which of them it knows: an older value is not to be seen any more (R8).

const SILENT_MS = 3000;

/** Variables with a write that the server has not answered. @type {Set<Entry>} */
const writing = new Set();
/** A server that has answered no write for that long does not know numbers; undefined before that is decided. @type {boolean | undefined} */
let numbered;
let silence = 0;

/** @param {Entry} entry */
function number(entry) {
  if (transmit && numbered !== false) writing.add(entry);
  if (numbered === undefined) silence ||= setTimeout(trustSilence, SILENT_MS);
}

/** What was written last to variables, those that have been dropped included, until it is answered. @type {Map<number, {value: any, seq: number}>} */
const written = new Map();
/** Variables whose last write this frame answers; that it was refused may come behind the value that holds. @type {Set<number>} */
const heard = new Set();

function forgetAnswered() {
  for (const varId of heard) written.delete(varId);
  heard.clear();
}

/** @param {Entry} entry @param {any} value @param {number | null | undefined} of @param {Properties} [properties] */
function write(entry, value, of, properties) {
  const { varId } = entry.record;
  entry.seq = (entry.seq ?? 0) + 1;
  written.set(varId, { value, seq: entry.seq });
  heard.delete(varId);
  send('update', { varId, value, properties, seq: entry.seq, of: of ?? undefined });
}

/** Sends an edit to another object than the one that holds the variable's place now; what that holds shows all the same. @param {number} id @param {any} value @param {number} of */
export function writeElsewhere(id, value, of) {
  const entry = entries.get(id);
  if (entry) write(entry, value, of);
}

/** What has been written last and was not answered; from now on it is. @param {number} id */
export function takeWritten(id) {
  const { value } = written.get(id) ?? {};
  written.delete(id);
  return value;
}

function trustSilence() {
  if (numbered) return;
  numbered = false;
  const waited = [...writing];
  writing.clear();
  for (const { record, late } of waited) receiveUpdate({ varId: record.varId, value: late });
}

/** Whether the server has still to answer a write. @param {number} id */
export const isWriting = (id) => writing.has(/** @type {Entry} */ (entries.get(id)));

/** The value last heard from the server. @param {number} id */
export const knownValue = (id) => entries.get(id)?.known;

/** The object that holds the variable's place, where it can be exchanged; null if there is none, undefined if nothing is known. @param {number} id */
export const ofId = (id) => entries.get(id)?.of;

/** @param {Variable} record @param {Properties} properties */
function merge(record, properties) {
  Object.assign(record.properties, properties);
  for (const name in properties) if (properties[name] === '') delete record.properties[name]; // F24
}

/** Drops a variable and all below it, here and on the server (F54). @param {number} id */
export function destroy(id) {
  const entry = entries.get(id);
  if (!entry) return;
  send('destroy', { varId: id });
  entries.get(entry.record.parentId ?? 0)?.children?.delete(id);
  forget(id, entry);
}

/** @param {number} id @param {Entry | undefined} entry */
function forget(id, entry) {
  if (!entries.delete(id) || !entry) return;
  answered(entry);
  writing.delete(entry);
  fail(entry, null);
  entry.children?.forEach((child) => forget(child, entries.get(child)));
}

/** Forgets everything, as after a reconnect (F215). Variable 1 is there anew. */
export function reset() {
  entries.forEach((entry, id) => forget(id, entry));
  written.clear();
  add(1);
}

/** @param {number} id @param {'observers' | 'errorObservers' | 'exchangeObservers'} kind @param {any} observer @returns {() => void} ends it */
function observe(id, kind, observer) {
  const entry = entries.get(id);
  if (entry) (entry[kind] ??= new Set()).add(observer);
  return () => void entry?.[kind]?.delete(observer);
}

/** Calls `observer` on each update from the server. @param {number} id @param {Observer} observer @param {Owner} [owner] shows it, if it was made without one */
export function watch(id, observer, owner) {
  const entry = entries.get(id);
  if (entry && owner) entry.owner = owner;
  return observe(id, 'observers', observer);
}
/** Calls `observer` with each error of the variable, and with null when it is over. @param {number} id @param {(error: Failure | null) => void} observer */
export const watchErrors = (id, observer) => observe(id, 'errorObservers', observer);

/** Calls `observer` with the id of the object that is about to hold the variable's place. @param {number} id @param {(of: number | null) => void} observer */
export const watchExchange = (id, observer) => observe(id, 'exchangeObservers', observer);

/** @param {Entry} entry @param {Failure | null} error */
function fail(entry, error) {
  if (!error && !entry.error) return;
  entry.error = error;
  showError(entry);
  entry.errorObservers?.forEach((observer) => guard('an observer of errors', () => observer(error)));
}

/** Marks what shows the variable now, after the element has been replaced. @param {number} id */
export function refreshError(id) {
  const entry = entries.get(id);
  if (entry?.error) showError(entry);
}

/** Applies an update from the server (F51). @param {{varId: number, value?: any, properties?: Properties, seq?: number, of?: number | null}} data */
export function receiveUpdate({ varId, value, properties, seq, of }) {
  const entry = entries.get(varId) ?? (varId < 0 ? add(varId) : undefined);
  if (seq !== undefined && seq >= (written.get(varId)?.seq ?? 0)) heard.add(varId);
  if (!entry) return; // in flight when it was destroyed (F56)
  if (of !== undefined && of !== entry.of) {
    for (const observer of entry.exchangeObservers ?? []) guard('an exchange', () => observer(of), varId);
    if (entry.of !== undefined) {
      writing.delete(entry); // what was written meant another object
      if (value === undefined) value = entry.known;
    }
    entry.of = of;
  }
  if (value !== undefined) entry.known = value;
  const answers = seq !== undefined && seq > (entry.told ?? 0);
  if (seq !== undefined) {
    numbered = true;
    entry.told = seq;
    if (seq >= (entry.seq ?? 0)) writing.delete(entry);
  }
  if (value !== undefined && writing.has(entry)) {
    entry.late = value; // older than the last write, whose answer will tell
    value = undefined;
  }
  if (value !== undefined) entry.record.value = value;
  if (properties) merge(entry.record, properties);
  answered(entry);
  if (!answers) failures.delete(entry); // of a write: it tells of the refusal and of what holds
  fail(entry, null);
  for (const observer of [...entry.observers ?? []]) guard('an update', () => observer(entry.record, value, properties), varId);
}

/** A `destroy` of a variable that is still in use counts as null without type (F55). @param {{varId: number}} data */
export function receiveDestroy({ varId }) {
  if (entries.has(varId)) receiveUpdate({ varId, value: null, properties: { type: '' } });
}

/** Errors of the frame being processed. @type {Map<Entry, Failure>} */
const failures = new Map();

/** Waits for the frame's end: what it replaces fails only because it is still bound to what came before. @param {{varId?: number, code?: string, description?: string}} data */
export function receiveError({ varId, code = '', description = '' }) {
  if (!varId) return report(`${code || 'error'}: ${description}`); // it concerns the connection (F209)
  const entry = entries.get(varId);
  if (!entry) return;
  answered(entry);
  if (code !== 'gone') failures.set(entry, { code, description }); // nobody can mend that, and the person is told
}

function tellFailures() {
  for (const [entry, error] of failures) {
    const { varId } = entry.record;
    if (entries.get(varId) !== entry) continue;
    fail(entry, error);
    report(`${describe(varId)}: ${error.code || 'error'}: ${error.description}`);
  }
  failures.clear();
}

/** Names a variable for people (F211). @param {number} id */
export function describe(id) {
  const { path, elementId } = get(id)?.properties ?? {};
  return `variable ${id} path "${path ?? ''}" elementId "${elementId ?? ''}"`;
}
