/** The hiding of new content until it is complete, without a flash of the unfinished (F159 to F164). */
import { guard } from './report.js';
import { get } from './store.js';
import { capture, restore } from './keep.js';
import { runScripts } from './scripts.js';
import { notifyScroll, scrollRevealed } from './scroll.js';
import { awaitsViewdef } from './view.js';

/** @typedef {import('./view.js').View} View */

const LONGEST_MS = 100; // F161

/** @type {Set<Reveal>} */
const active = new Set();

export const revealing = () => active.size > 0;

export class Reveal {
  /** @param {View} view the topmost hidden view */
  constructor(view) {
    this.view = view;
    /** Creates in the hidden content that wait for an answer. */
    this.open = 0;
    /** Whether focus, edits and scroll positions go over from the old content (F178). */
    this.keep = false;
    /** `ui-code` that runs after the scripts (F109), by variable. @type {Map<number, () => void>} */
    this.held = new Map();
    this.timer = setTimeout(() => this.finish(), LONGEST_MS);
    active.add(this);
  }

  cancel() {
    clearTimeout(this.timer);
    active.delete(this);
    this.view.reveal = null;
  }

  /** Old content goes and new content shows, in one task. */
  finish() {
    const { view } = this;
    this.cancel();
    const kept = this.keep ? capture(view.obsolete) : null;
    for (const node of view.obsolete) node.parentNode?.removeChild(node);
    view.obsolete = [];
    const nodes = view.nodes();
    for (const node of nodes) if (node instanceof Element) node.classList.remove('ui-new-view');
    scrollRevealed();
    if (kept) guard('focus could not be kept', () => restore(kept, view.nodes()));
    runScripts();
    for (const [varId, run] of this.held) if (get(varId)) run();
    notifyScroll(get(view.varId)?.parentId);
    view.primary()?.dispatchEvent(new CustomEvent('ui-rendered', { bubbles: true, detail: view.key })); // S84
  }
}

/** Reveals what is complete; called when a frame has been processed (F162). */
export function settle() {
  for (const reveal of [...active]) {
    if (reveal.open <= 0 && !awaitsViewdef(reveal)) guard('reveal failed', () => reveal.finish());
  }
}
