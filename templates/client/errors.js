/** Marks on elements whose variable has an error (F207, F208). */
import { debug } from './report.js';
import { onError } from './store.js';

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
