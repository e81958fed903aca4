/**
 * What is wrong with the site's files, over the page while it is so: errors of Lua reloads, and viewdefs that cannot be used.
 * It hides nothing of the page for good: Escape or a click closes it, and the repair of the file takes it away.
 */
import { debug, onError, report } from './store.js';

/** @typedef {{key: string, line?: number, message: string, excerpt?: string}} Problem */

const STYLE = `
:host { all: initial; position: fixed; z-index: 2147483001; inset: auto 0 0 0; max-height: 60vh; overflow: auto; background: #1b1b1f; color: #e7e7ea;
  border-top: 3px solid #ff5d5d; box-shadow: 0 -8px 30px #0006; font: 14px/1.5 system-ui, sans-serif }
header { display: flex; align-items: baseline; gap: 1em; padding: .8em 1.2em 0 }
h1 { margin: 0; font-size: 1em; color: #ff7b7b }
p { margin: 0; flex: 1; color: #a9a9b2 }
button { font: inherit; color: inherit; background: none; border: 0; padding: 0; cursor: pointer }
header button { color: #a9a9b2 } kbd { border: 1px solid #555; border-radius: 4px; padding: 0 .4em; font-size: .85em }
section { padding: .8em 1.2em } section + section { border-top: 1px solid #34343b }
.place { color: #8ab4ff; text-decoration: underline; text-underline-offset: 3px; font-family: ui-monospace, monospace }
pre { margin: .5em 0 0; font: 13px/1.5 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere }
.excerpt { padding: .6em .9em; border-radius: 6px; background: #111114; color: #d6d6dc; white-space: pre; overflow: auto }
.here { color: #ffb3b3; background: #4a1f24 } .excerpt span { display: block; min-height: 1.5em }`;

/** Problems that the page has found itself, by viewdef key. @type {Map<string, Problem>} */
const own = new Map();
/** @type {Problem[]} */
let reload = [];
/** @type {HTMLElement | null} */
let overlay = null;
let shown = '';
let session = '';

/** @param {string} id */
export function startOverlay(id) {
  session = id;
  document.addEventListener('keydown', ({ key }) => {
    if (key === 'Escape') hide();
  });
}

/** Viewdefs are mended by those who run the server at hand; others are not to be bothered with them. */
const developing = () => /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(location.hostname);

/** @param {string} key @param {Problem | null} problem */
export function setProblem(key, problem) {
  if (problem && developing()) own.set(key, problem);
  else if (!own.delete(key)) return;
  draw();
}

/** Takes the properties of variable 1 that tell of failed reloads (H99, H100). @param {Record<string, string>} properties */
export function showReloadErrors({ 'reload-error': lines = '', 'reload-detail': detail = '' }) {
  try {
    reload = detail ? JSON.parse(detail) : [];
  } catch (cause) {
    report('reload-detail is no JSON', cause);
    reload = [];
  }
  if (!lines) reload = [];
  else if (!reload.length) reload = lines.split('\n').filter(Boolean).map(parseLine);
  draw();
}

/** @param {string} line `KEY:LINE: message` or any text @returns {Problem} */
function parseLine(line) {
  const [, key, at, message] = line.match(/^([^\s:]+):(?:(\d+):)?\s*(.*)$/) ?? [null, '', '', line];
  return { key: key ?? '', line: Number(at) || undefined, message };
}

function hide() {
  overlay?.remove();
  overlay = null;
}

function draw() {
  const problems = [...reload, ...own.values()];
  const now = JSON.stringify(problems);
  if (now === shown) return; // a closed overlay stays closed until something else is wrong
  shown = now;
  hide();
  if (!problems.length) return;
  overlay = Object.assign(document.createElement('div'), { id: 'ui-overlay' });
  const root = overlay.attachShadow({ mode: 'open' });
  const close = element('button', '', element('kbd', '', 'Esc'), ' hide');
  close.addEventListener('click', hide);
  const title = problems.length > 1 ? `${problems.length} errors in the site’s files` : 'Error in a file of the site';
  root.append(
    element('style', '', STYLE),
    element('header', '', element('h1', '', title), element('p', '', 'The session kept running the code it had. Save the file again to go on.'), close),
    ...problems.map(section),
  );
  overlay.setAttribute('role', 'alert');
  document.documentElement.append(overlay);
}

/** @param {Problem} problem */
function section(problem) {
  const { key, line, message, excerpt } = problem;
  const place = element('button', 'place', line ? `${key}:${line}` : key);
  place.title = 'Open in the editor';
  place.addEventListener('click', () => void openInEditor(problem));
  const parts = [place, element('pre', '', message)];
  if (excerpt) parts.push(element('pre', 'excerpt', ...excerpt.replace(/\n$/, '').split('\n').map((text) => excerptLine(text, line))));
  return element('section', '', ...parts);
}

/** A line of source; the one at fault stands out. @param {string} text @param {number | undefined} line */
function excerptLine(text, line) {
  const [, marker, number] = text.match(/^\s*(>?)\s*(\d+)\b/) ?? [];
  return element('span', marker || (number && Number(number) === line) ? 'here' : '', text);
}

/** @param {string} tag @param {string} name @param {...(string | Node)} children */
function element(tag, name, ...children) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  made.append(...children);
  return made;
}

/** Asks the server to open the file where the error is (C2). @param {Problem} problem */
async function openInEditor({ key, line = 1 }) {
  const request = { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ key, line }) };
  try {
    const answer = await fetch(`/api/open?session=${encodeURIComponent(session)}`, request);
    if (!answer.ok) report(`the editor was not opened: ${await answer.text()}`);
  } catch (cause) {
    report('the editor was not opened', cause);
  }
}

// Marks on elements whose variable has an error (F207, F208).

/** @typedef {import('./store.js').Failure} Failure */

/** The errors of an element's variables; the newest shows. @type {WeakMap<Element, Map<number, Failure>>} */
const marks = new WeakMap();
/** @type {Map<number, Element>} */
const marked = new Map();

export function startErrors() {
  onError(({ record, owner, error }) => {
    const id = record.varId;
    const element = error ? owner?.getElement() : marked.get(id);
    const before = marked.get(id);
    if (before && before !== element) unmark(before, id);
    if (!element) return;
    if (error) mark(element, id, error);
    else unmark(element, id);
  });
  if (debug) document.head.append(Object.assign(document.createElement('style'), { textContent: '.ui-error { outline: 2px dashed #d33 }' }));
}

/** @param {Element} element @param {number} id @param {Failure} error */
function mark(element, id, error) {
  const errors = marks.get(element) ?? new Map();
  marks.set(element, errors.set(id, error));
  marked.set(id, element);
  show(element, error);
}

/** @param {Element} element @param {number} id */
function unmark(element, id) {
  const errors = marks.get(element);
  errors?.delete(id);
  marked.delete(id);
  show(element, [...(errors?.values() ?? [])].at(-1));
}

/** @param {Element} element @param {Failure | undefined} error */
function show(element, error) {
  element.classList.toggle('ui-error', !!error);
  for (const name of /** @type {const} */ (['code', 'description'])) {
    if (error) element.setAttribute(`ui-error-${name}`, error[name]);
    else element.removeAttribute(`ui-error-${name}`);
  }
}
