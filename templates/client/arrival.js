/**
 * Where a person is in a page: at the fragment of its address, where they had scrolled to before F5 and Back, in the field with `autofocus`. A browser sees
 * to it when it has loaded a page, but the content comes after that; so it is done again whenever some of it is shown, until the person moves on.
 */
import { giveFocus } from './keep.js';
import { isHidden } from './scroll.js';

/** What is shown later after the page was begun is no part of its arrival. */
const LONGEST_MS = 10000;

/** @type {string[]} */
const MOVES = ['wheel', 'touchmove', 'pointerdown', 'keydown'];

let arriving = false;
let focusing = false;
/** @type {number[] | null} */
let left = null;

/** Remembers how far the page is scrolled, or tells it. @param {number[]} [position] @returns {number[] | null} */
function remembered(position) {
  const name = `ui-scroll ${location.href}`;
  try {
    if (position) sessionStorage.setItem(name, JSON.stringify(position));
    return JSON.parse(sessionStorage.getItem(name) ?? 'null');
  } catch { // no storage here
    return null;
  }
}

function end() {
  arriving = false;
  MOVES.forEach((type) => removeEventListener(type, end, true));
}

/** Begins when the page is there, without its content. */
export function startArrival() {
  arriving = focusing = true;
  MOVES.forEach((type) => addEventListener(type, end, { capture: true, passive: true }));
  addEventListener('load', arrive); // images have their heights now
  addEventListener('pagehide', () => void remembered([scrollX, scrollY]));
  const [how] = /** @type {PerformanceNavigationTiming[]} */ (performance.getEntriesByType('navigation'));
  if (/reload|back_forward/.test(how?.type) && history.scrollRestoration === 'auto') left = remembered();
}

/** Some content has been shown. */
export function arrive() {
  if (!arriving || performance.now() > LONGEST_MS) return;
  const target = atFragment();
  if (target && !isHidden(target)) {
    if (focusing) goToFragment();
    else if (!left) target.scrollIntoView();
    focusing = false;
  }
  if (left) scrollTo({ left: left[0], top: left[1], behavior: 'instant' });
  if (!focusing || document.activeElement !== document.body) return;
  const first = [.../** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('[autofocus]'))].find((element) => element.getClientRects().length);
  if (first) focusing = false;
  if (first) void giveFocus(first);
}

/** The element that the address names. */
function atFragment() {
  let name = location.hash.slice(1);
  try {
    name = decodeURIComponent(name);
  } catch {} // it stands for itself
  return name && (document.getElementById(name) ?? document.getElementsByName(name)[0]);
}

/** As a link to it does, so that `:target` holds. */
function goToFragment() {
  const { state } = history;
  location.replace(location.hash);
  history.replaceState(state, '');
  requestAnimationFrame(() => requestAnimationFrame(arrive)); // Chromium scrolls in the next frame only
}
