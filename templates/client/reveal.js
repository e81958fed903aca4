/** The showing of new content when it is complete, and the scripts that run then (F159 to F170). */
import { arrive } from './arrival.js';
import { capture, restore } from './keep.js';
import { enter } from './list.js';
import { isHidden, notifyScroll, scrollRevealed } from './scroll.js';
import { blame, get, guard } from './store.js';
import { inOrder } from './value.js';
import { awaitsViewdef, remove } from './view.js';

const LONGEST_MS = 100; // F161
const LONGEST_AGAIN_MS = 600; // after a reconnect: what is to be seen is whole, and what was done to it has its place in the new content only when that is

/** @type {Set<Reveal>} */
const active = new Set();

export const revealing = () => active.size > 0;

/** Views that are hidden and will be shown together. */
export class Reveal {
  /** @param {View[]} views the topmost hidden ones */
  constructor(...views) {
    this.views = new Set(views);
    /** Creates in the hidden content that wait for an answer. */
    this.open = 0;
    /** `ui-code` that runs after the scripts (F109), by variable. @type {Map<number, () => void>} */
    this.held = new Map();
    this.timer = setTimeout(() => this.finish(), views.some(({ key }) => key === null) ? LONGEST_AGAIN_MS : LONGEST_MS);
    active.add(this);
  }

  /** @param {View} view that has ended or is shown */
  drop(view) {
    view.reveal = null;
    this.views.delete(view);
    if (this.views.size) return;
    clearTimeout(this.timer);
    active.delete(this);
  }

  /** Old content goes and new content shows, in one task. */
  finish() {
    const views = [...this.views];
    const kept = views.map((view) => (view.keep && view.obsolete.length ? capture(view.obsolete) : null));
    for (const view of views) {
      this.drop(view);
      remove(view.obsolete);
      view.obsolete = [];
      for (const node of view.nodes()) if (node instanceof Element) node.classList.remove('ui-new-view');
    }
    enter(views);
    scrollRevealed();
    views.forEach((view, i) => guard('keeping what was done', () => restore(view.nodes(), kept[i])));
    runScripts();
    for (const [varId, run] of this.held) if (get(varId)) run();
    for (const view of views) {
      notifyScroll(get(view.varId)?.parentId);
      view.primary()?.dispatchEvent(new CustomEvent('ui-rendered', { bubbles: true, detail: view.key })); // S84
    }
    arrive();
  }
}

/** Reveals what is complete; called when a frame has been processed (F162). */
export function settle() {
  for (const reveal of [...active]) {
    if (reveal.open <= 0 && !awaitsViewdef(reveal)) guard('reveal', () => reveal.finish());
  }
}

// Scripts of viewdefs: each runs once per rendering, when its content is to be seen (F166 to F170).

const JAVASCRIPT = /^(module|(text|application)\/(x-)?(java|ecma)script|text\/(jscript|livescript|javascript1\.[0-5]))?$/i;

/** Scripts that have not run, with the view whose content they are. @type {Map<HTMLScriptElement, View>} */
const fresh = new Map();

/** @param {DocumentFragment} content @param {View} view */
export function collectScripts(content, view) {
  for (const script of content.querySelectorAll('script')) {
    if (JAVASCRIPT.test(script.type.trim())) fresh.set(script, view); // data blocks stay as they are (F168)
  }
}

/** Runs every script that is to be seen by now, in document order. */
function runScripts() {
  const ready = [...fresh].filter(([script]) => script.isConnected && !isHidden(script));
  for (const [script, view] of ready.sort(([a], [b]) => inOrder(a, b))) {
    fresh.delete(script);
    if (script.isConnected) activate(script, view); // an earlier one may have removed it
  }
  for (const script of fresh.keys()) if (!script.isConnected) fresh.delete(script);
}

/** A cloned script does not run, a new one with the same text and attributes does (F167). @param {HTMLScriptElement} old @param {View} view */
function activate(old, view) {
  const what = `viewdef ${view.key}`;
  const script = document.createElement('script');
  for (const { name, value } of old.attributes) script.setAttribute(name, value);
  script.async = old.hasAttribute('async'); // files in the order in which they stand
  script.text = old.text;
  script.addEventListener('error', () => blame(what, `${script.src} could not be loaded`));
  /** @param {ErrorEvent} event */
  const failed = (event) => blame(what, event.error ?? event.message);
  addEventListener('error', failed);
  view.adopt(old, script);
  old.replaceWith(script);
  removeEventListener('error', failed);
}
