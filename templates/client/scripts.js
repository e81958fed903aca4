/** Scripts of viewdefs: each runs once per rendering, when its content is to be seen (F166 to F170). */
import { send } from './queue.js';
import { report } from './report.js';
import { isHidden } from './scroll.js';

const JAVASCRIPT = /^(module|(text|application)\/(x-)?(java|ecma)script|text\/(jscript|livescript|javascript1\.[0-5]))?$/i;

/** Scripts that have not run, with the view whose content they are. @type {Map<HTMLScriptElement, import('./view.js').View>} */
const fresh = new Map();

/** @param {DocumentFragment} content @param {import('./view.js').View} view */
export function collectScripts(content, view) {
  for (const script of content.querySelectorAll('script')) {
    if (JAVASCRIPT.test(script.type.trim())) fresh.set(script, view); // data blocks stay as they are (F168)
  }
}

/** Tells the server too, whose log is where templates are written (P102). @param {string} what @param {unknown} cause */
export function blame(what, cause) {
  report(`error in ${what}`, cause);
  send('error', { varId: 1, code: 'script-error', description: `${what}: ${cause instanceof Error ? cause.message : cause}` });
}

/** @param {string} what @param {() => void} run */
export function runBlamed(what, run) {
  try {
    run();
  } catch (cause) {
    blame(what, cause);
  }
}

/** Runs every script that is to be seen by now, in document order. */
export function runScripts() {
  const ready = [...fresh.keys()].filter((script) => script.isConnected && !isHidden(script));
  ready.sort((a, b) => (a.compareDocumentPosition(b) & Node.DOCUMENT_POSITION_FOLLOWING ? -1 : 1));
  for (const script of ready) {
    const view = fresh.get(script);
    fresh.delete(script);
    if (view && script.isConnected) activate(script, view); // an earlier one may have removed it
  }
  for (const script of fresh.keys()) if (!script.isConnected) fresh.delete(script);
}

/** A cloned script does not run, a new one with the same text and attributes does (F167). @param {HTMLScriptElement} old @param {import('./view.js').View} view */
function activate(old, view) {
  const { key } = view;
  const script = document.createElement('script');
  for (const { name, value } of old.attributes) script.setAttribute(name, value);
  script.async = old.hasAttribute('async'); // files in the order in which they stand
  script.text = old.text;
  script.addEventListener('error', () => blame(`viewdef ${key}`, `${script.src} could not be loaded`));
  /** @param {ErrorEvent} event */
  const failed = (event) => blame(`viewdef ${key}`, event.error ?? event.message);
  addEventListener('error', failed);
  try {
    view.adopt(old, script);
    old.replaceWith(script);
  } finally {
    removeEventListener('error', failed);
  }
}
