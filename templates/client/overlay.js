/**
 * What the client tells people on the page: the notice of a lost connection (F212), marks on elements whose variable has an error (F207, F208), and
 * over the page what is wrong with the site's files: failed Lua reloads (H99, H100) and viewdefs that cannot be used (F131). What a save has
 * replaced of the session's data (H49) is told in a card of its own.
 */
import { BASE } from './place.js';
import { report } from './store.js';

/** @param {string} tag @param {object} properties @param {...(string | Node)} children */
function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** Adds a style once. @param {string} id @param {string} css */
export function addStyle(id, css) {
  if (!document.getElementById(id)) document.head.prepend(element('style', { id }, css)); // first, so that a site's own rules win
}

const NOTICE = `
#ui-notice, #ui-loss { position: fixed; z-index: 2147483000; inset: auto 1rem 1rem; box-sizing: border-box; width: fit-content; margin: auto; padding: .6em 1.1em;
  border-radius: 6px; background: #24292f; color: #fff; font: 14px/1.5 system-ui, sans-serif; text-align: center; box-shadow: 0 4px 18px #0005 }
#ui-loss { bottom: 4rem; overflow-wrap: anywhere; cursor: pointer }
#ui-notice button { margin: .2em 0 .2em 1em; padding: .2em .9em; border: 1px solid #fff8; border-radius: 4px; background: none; color: inherit; font: inherit; cursor: pointer }`;

/** Shows a text, or nothing. Sites restyle the notice by `#ui-notice`, or hide it. @param {string} text @param {...Node} buttons */
export function showNotice(text, ...buttons) {
  const shown = document.getElementById('ui-notice');
  document.documentElement.classList.toggle('ui-disconnected', !!text);
  if (!text) return shown?.remove();
  addStyle('ui-notice-style', NOTICE);
  const notice = shown ?? element('div', { id: 'ui-notice', role: 'status' });
  if (notice.textContent !== text) notice.replaceChildren(text, ...buttons);
  document.body.append(notice);
}

/**
 * Says that the session is gone, for good, and what can be done (R54). The page stays as it was, with what was typed.
 * @param {() => void} startAgain @param {() => string[]} unsent texts that were typed and not sent
 */
export function showEnd(startAgain, unsent) {
  const copy = element('button', { type: 'button', onclick: () => copyText(unsent().join('\n\n')) }, 'Copy what was not sent');
  const look = () => copy.hidden = !unsent().length;
  showNotice('This session is gone: it has expired, or the server has been started anew.', element('button', { type: 'button', onclick: startAgain }, 'Start again'), copy);
  document.addEventListener('input', look);
  look();
}

/** Without the clipboard's own interface, which pages by plain HTTP do not have. @param {string} text */
function copyText(text) {
  const area = /** @type {HTMLTextAreaElement} */ (element('textarea', { value: text, style: 'position: fixed; opacity: 0' }));
  document.body.append(area);
  area.select();
  document.execCommand('copy');
  area.remove();
}

const LOSS_MS = 30000; // long enough to read and copy it

/** Says that something was not done because its object is gone, or not on the page any more (R1), with the text that was typed for it. @param {any} value that was written */
export function showLoss(value) {
  document.getElementById('ui-loss')?.remove();
  addStyle('ui-notice-style', NOTICE);
  const text = /string|number/.test(typeof value) && value !== '' ? `Not stored, for what it belongs to is no longer here: ${value}` : 'Nothing was done, for what it belongs to is no longer here.';
  const notice = element('div', { id: 'ui-loss', role: 'alert', onclick: () => getSelection()?.isCollapsed && notice.remove() }, text);
  document.body.append(notice);
  setTimeout(() => notice.remove(), LOSS_MS);
}

/** The errors of an element's variables; the newest shows. @type {WeakMap<Element, Map<number, Failure>>} */
const errors = new WeakMap();
/** @type {Map<number, Element>} */
const marked = new Map();

/** Marks what shows a variable, or ends the mark. @param {Entry} entry */
export function showError({ record: { varId }, owner, error }) {
  const now = error && owner?.getElement();
  const before = marked.get(varId);
  if (before && before !== now) mark(before, varId, null);
  if (now) mark(now, varId, error);
}

/** @param {Element} element @param {number} varId @param {Failure | null} error */
function mark(element, varId, error) {
  const all = errors.get(element) ?? new Map();
  errors.set(element, all);
  all.delete(varId);
  marked.delete(varId);
  if (error) {
    all.set(varId, error);
    marked.set(varId, element);
  }
  const newest = [...all.values()].at(-1);
  element.classList.toggle('ui-error', !!newest);
  for (const name of /** @type {const} */ (['code', 'description'])) {
    if (newest) element.setAttribute(`ui-error-${name}`, newest[name]);
    else element.removeAttribute(`ui-error-${name}`);
  }
}

// The overlay. Escape or a click hides it, and the repair of the file takes it away.

const OVERLAY = `
:host { all: initial; position: fixed; z-index: 2147483001; inset: auto 0 0; max-height: 60vh; overflow: auto; background: #1b1b1f; color: #e7e7ea;
  border-top: 3px solid #ff5d5d; box-shadow: 0 -8px 30px #0006; font: 14px/1.5 system-ui, sans-serif; color-scheme: dark }
header { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0 1em; padding: .8em 1.2em 0 }
h1 { margin: 0; font-size: 1em; color: #ff7b7b }
p { flex: 1; margin: 0 }
p, header button { color: #a9a9b2 }
button { padding: 0; border: 0; background: none; font: inherit; text-align: left; cursor: pointer }
section { padding: .8em 1.2em }
section + section { border-top: 1px solid #34343b }
.place { color: #8ab4ff; text-decoration: underline; font-family: monospace; overflow-wrap: anywhere }
pre { margin: .5em 0 0; font: 13px/1.5 monospace; white-space: pre-wrap; overflow-wrap: anywhere }
.excerpt { padding: .6em .9em; border-radius: 6px; background: #111114; white-space: pre; overflow: auto }
.excerpt span { display: block; width: max-content; min-width: 100%; min-height: 1.5em }
.here { color: #ffb3b3; background: #4a1f24 }`;

/** Viewdefs that the page has found wrong. @type {Map<string, Problem>} */
const own = new Map();
/** @type {Problem[]} */
let reloads = [];
let overlay = element('div', { id: 'ui-overlay', role: 'alert' });
let shown = '[]';
let session = '';

/** @param {string} id */
export function startOverlay(id) {
  session = id;
  document.addEventListener('keydown', ({ key }) => {
    if (key !== 'Escape') return;
    overlay.remove();
    putLossesAway();
  });
}

/** Viewdefs are mended by those who run the server at hand; others are not to be bothered with them. */
const developing = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(location.hostname);

/** @param {string} key of a viewdef @param {string | null} message */
export function setProblem(key, message) {
  if (message === null) own.delete(key);
  else if (developing) own.set(key, { key: `viewdefs/${key}.html`, message });
  draw();
}

/** Takes the properties of variable 1 that tell of failed reloads. @param {Properties} properties */
export function showReloadErrors({ 'reload-error': lines = '', 'reload-detail': detail = '' }) {
  reloads = detail ? JSON.parse(detail) : lines.split('\n').filter(Boolean).map((message) => ({ key: '', message }));
  draw();
}

/** A hidden overlay stays hidden until something else is wrong. */
function draw() {
  const problems = [...reloads, ...own.values()];
  const now = JSON.stringify(problems);
  if (now === shown) return;
  shown = now;
  overlay.remove();
  if (!problems.length) return;
  overlay = element('div', { id: 'ui-overlay', role: 'alert' });
  overlay.attachShadow({ mode: 'open' }).append(
    element('style', {}, OVERLAY),
    element('header', {},
      element('h1', {}, problems.length > 1 ? `${problems.length} errors in the site’s files` : 'Error in a file of the site'),
      element('p', {}, 'The session kept running the code it had. Save the file again to go on.'),
      element('button', { onclick: () => overlay.remove() }, 'Hide (Esc)')),
    ...problems.map(section),
  );
  document.documentElement.append(overlay);
}

/** @param {string} key @param {number} [line] */
const placeButton = (key, line) =>
  element('button', { className: 'place', title: 'Open in the editor', onclick: () => void openInEditor(key, line) }, line ? `${key}:${line}` : key);

/** @param {Problem} problem */
function section({ key, line, message, excerpt }) {
  const place = placeButton(key, line);
  const source = excerpt?.trimEnd().split('\n').map((text) => element('span', { className: Number(text.match(/\d+/)) === line ? 'here' : '' }, text));
  return element('section', {}, ...(key ? [place] : []), element('pre', {}, message), ...(source ? [element('pre', { className: 'excerpt' }, ...source)] : []));
}

/** Asks the server to open the file where the error is (C2). @param {string} key @param {number} [line] */
async function openInEditor(key, line = 1) {
  const request = { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ key, line }) };
  const answer = await fetch(`${BASE}api/open?session=${encodeURIComponent(session)}`, request).catch(String);
  if (typeof answer === 'string' || !answer.ok) report('the editor was not opened', typeof answer === 'string' ? answer : await answer.text());
}

// What the run had made and an edit has replaced. The server tells it for as long as the file is not saved again; here it stays until somebody has put it away.

const CARD = `
:host { all: initial; position: fixed; z-index: 2147483000; inset: 1rem 1rem auto auto; box-sizing: border-box; width: max-content; max-width: min(36rem, calc(100vw - 2rem));
  max-height: 50vh; overflow: auto; padding: .8em 1.1em; border-radius: 6px; border-left: 4px solid #e0a100; background: #fffdf5; color: #1f2328; box-shadow: 0 4px 18px #0005;
  font: 14px/1.5 system-ui, sans-serif; color-scheme: light }
header { display: flex; flex-wrap: wrap; align-items: baseline; justify-content: space-between; gap: 0 1.5em }
h1 { margin: 0; font-size: 1em }
button { padding: 0; border: 0; background: none; color: inherit; font: inherit; text-align: left; cursor: pointer }
header button { color: #666c75 }
.place { margin-top: .5em; color: #0a58ca; text-decoration: underline; font-family: monospace; overflow-wrap: anywhere }
ul { margin: .2em 0 0; padding-left: 1.2em; overflow-wrap: anywhere }
@media (prefers-color-scheme: dark) {
  :host { background: #26241d; color: #e7e7ea; color-scheme: dark }
  header button { color: #a9a9b2 }
  .place { color: #8ab4ff }
}`;
const SEEN = 'ui-losses-seen';
const LOSSES_SHOWN = 16;

/** @type {Loss[]} */
let losses = [];
let card = element('div', {});
let seen = 0; // time of the newest that has been put away; of a page whose browser keeps nothing, until it is loaded again

/** Takes the property of variable 1 that tells what gave way to edits (H49). @param {string} json */
export function showLosses(json) {
  try {
    seen ||= Number(sessionStorage.getItem(SEEN));
  } catch { /* the browser keeps nothing */ }
  /** @type {Loss[]} */
  const told = json ? JSON.parse(json) : [];
  const fresh = told.filter((loss) => loss.time > seen && !losses.some((old) => old.time === loss.time && old.key === loss.key && old.text === loss.text));
  if (!fresh.length) return;
  losses = [...losses, ...fresh].slice(-LOSSES_SHOWN);
  card.remove();
  card = element('div', { id: 'ui-losses', role: 'status' });
  card.attachShadow({ mode: 'open' }).append(
    element('style', {}, CARD),
    element('header', {},
      element('h1', {}, 'A save replaced data of this session'),
      element('button', { onclick: putLossesAway }, 'Put away (Esc)')),
    ...[...new Set(losses.map(({ key }) => key))].flatMap((file) => [
      placeButton(file),
      element('ul', {}, ...losses.filter(({ key }) => key === file).map(({ text }) => element('li', {}, text))),
    ]),
  );
  document.documentElement.append(card);
}

function putLossesAway() {
  if (!card.isConnected) return;
  card.remove();
  seen = Math.max(...losses.map(({ time }) => time));
  losses = [];
  try {
    sessionStorage.setItem(SEEN, String(seen));
  } catch { /* they come back with the next load */ }
}
