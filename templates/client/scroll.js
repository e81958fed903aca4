/** Containers that follow their output (F200 to F206). */
import { get, ownerOf } from './store.js';

const NEAR_PX = 8;

/** Whether a marked container follows: until the reader scrolls up (F206). @type {WeakMap<Element, boolean>} */
export const following = new WeakMap();
/** @type {Set<number>} */
const notified = new Set();
/** Containers that got content while hidden (F205). @type {Set<Element>} */
const held = new Set();

/** Makes an element a container that scrolls to its bottom. @param {Element | null | undefined} element */
export function markScroll(element) {
  if (!element || following.has(element)) return;
  following.set(element, true);
  element.addEventListener('scroll', () => {
    following.set(element, element.scrollHeight - element.scrollTop - element.clientHeight < NEAR_PX);
  }, { passive: true });
}

/** @param {Element} element */
export const isHidden = (element) => !!element.closest('.ui-new-view');

/** Scrolls to the bottom now, or when the element is revealed. @param {Element} element @param {boolean} [always] also what is not marked */
export function scrollElement(element, always) {
  if (!always && !following.get(element)) return;
  if (isHidden(element)) held.add(element); // it has no height yet
  else if (element.scrollHeight > element.clientHeight) element.scrollTop = element.scrollHeight;
}

/** Says that content of a variable's element may have grown (F203). @param {number | undefined} varId */
export function notifyScroll(varId) {
  if (!varId) return;
  if (!notified.size) queueMicrotask(scrollNotified);
  notified.add(varId);
}

function scrollNotified() {
  /** @type {Set<Element>} */
  const containers = new Set();
  /** @type {Set<number>} */
  const seen = new Set();
  for (const start of notified) {
    for (let id = /** @type {number | undefined} */ (start); id && !seen.has(id); id = get(id)?.parentId) {
      seen.add(id);
      const element = ownerOf(id)?.getElement();
      if (!element || !following.has(element)) continue;
      containers.add(element);
      break;
    }
  }
  notified.clear();
  for (const element of containers) scrollElement(element);
}

/** Scrolls what has waited to be seen. */
export function scrollRevealed() {
  for (const element of held) {
    if (element.isConnected && isHidden(element)) continue;
    held.delete(element);
    scrollElement(element, true);
  }
}
