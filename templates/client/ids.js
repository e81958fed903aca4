/** Element ids of the form ui-N (F71, F72). */
let last = 0;

/** A new id that no element has. */
export function vendId() {
  do last++; while (document.getElementById(`ui-${last}`));
  return `ui-${last}`;
}

/** The id of an element, made if it has none. @param {Element} element */
export function ensureId(element) {
  return (element.id ||= vendId());
}
