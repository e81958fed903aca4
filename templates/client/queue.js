/**
 * The outgoing queue: first in, first out, in as few frames as possible (F31 to F37).
 * While there is no connection it takes nothing (F217).
 */

const QUIET_MS = 10; // F32
const LONGEST_MS = 50;

/** @type {object[]} */
let waiting = [];
/** @type {((frame: object) => void) | null} */
let transmit = null;
let quiet = 0;
let longest = 0;
let depth = 0;

/** Names the function that writes a frame, or null when the connection is gone: what waits is dropped then. @param {typeof transmit} write */
export function connectQueue(write) {
  transmit = write;
  clear();
}

export const online = () => transmit !== null;

/** True when nothing waits to be sent. */
export const idle = () => !waiting.length;

function clear() {
  clearTimeout(quiet);
  clearTimeout(longest);
  quiet = longest = 0;
  const messages = waiting;
  waiting = [];
  return messages;
}

/** Queues a message. @param {string} type @param {object} data */
export function send(type, data) {
  if (!transmit) return;
  waiting.push({ type, data });
  if (depth) return; // leaves at the end of the frame being processed
  clearTimeout(quiet);
  quiet = setTimeout(flush, QUIET_MS, false);
  longest ||= setTimeout(flush, LONGEST_MS, false);
}

/** Sends all that waits, now; never an empty frame (F16). @param {boolean} userEvent */
export function flush(userEvent) {
  const messages = clear();
  if (messages.length) transmit?.({ userEvent, messages });
}

/** Sends all that waits when the running event has been handled by everybody, so that an edit and the action it sets off share a frame (F34, F118). */
export function flushSoon() {
  setTimeout(flush, 0, true);
}

/** Runs the processing of an incoming frame; what it causes leaves right after it, behind what waited before (F34a, F36). @param {() => void} work */
export function duringFrame(work) {
  const before = waiting.length;
  depth++;
  try {
    work();
  } finally {
    depth--;
    if (waiting.length > before) flush(true);
  }
}
