/**
 * The socket: it opens, reads frames, and after a loss tries again until the session is found to be gone (F6, F213 to F219, S6).
 * What frames mean is not its business.
 */
import { connectQueue } from './queue.js';
import { debug, guard, report } from './report.js';
import { probe, socketUrl } from './session.js';
import { showNotice } from './notice.js';

const FIRST_RETRY_MS = 1000;
const LAST_RETRY_MS = 30000;
const SILENCE_MS = 75000;

/** @typedef {(argument?: any) => void} Listener */
/** @type {Record<'connect' | 'disconnect' | 'message' | 'error', Set<Listener>>} */
const listeners = { connect: new Set(), disconnect: new Set(), message: new Set(), error: new Set() };

let session = '';
/** @type {WebSocket | null} */
let socket = null;
let closed = false; // by the page, for good (F218)
let delay = FIRST_RETRY_MS;
let timer = 0;
let trying = false;
let lastFrame = 0;
let heartbeats = false; // only a server that sends them may be found silent

/** @param {keyof typeof listeners} kind @param {any} [argument] */
function emit(kind, argument) {
  for (const listener of [...listeners[kind]]) guard(`${kind} listener failed`, () => listener(argument));
}

/** @param {keyof typeof listeners} kind @returns {(listener: Listener) => () => void} */
const on = (kind) => (listener) => {
  listeners[kind].add(listener);
  return () => void listeners[kind].delete(listener);
};

/** What page scripts get of it (F221). */
export const connection = {
  isConnected: () => socket?.readyState === WebSocket.OPEN,
  disconnect() {
    closed = true;
    clearTimeout(timer);
    socket?.close(1000);
  },
  onConnect: on('connect'),
  onDisconnect: on('disconnect'),
  onMessage: on('message'),
  onError: on('error'),
};

/**
 * @typedef {object} Handlers
 * @property {() => void} opened
 * @property {(messages: any[]) => void} frame the messages of one incoming frame
 */
/** @type {Handlers} */
let handlers;

/** @param {string} id @param {Handlers} use */
export function openConnection(id, use) {
  session = id;
  handlers = use;
  addEventListener('online', retryNow);
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) return;
    retryNow();
    dropIfSilent();
  });
  setInterval(dropIfSilent, SILENCE_MS / 5);
  connect(false);
}

/** @param {boolean} probed whether the session is known to live */
function connect(probed) {
  const opening = new WebSocket(socketUrl(session));
  let opened = false;
  socket = opening;
  opening.onopen = () => {
    opened = true;
    delay = FIRST_RETRY_MS;
    lastFrame = Date.now();
    showNotice('');
    connectQueue((frame) => {
      if (debug) console.debug('lsess >', frame);
      opening.send(JSON.stringify(frame));
    });
    guard('the page could not start', handlers.opened);
    emit('connect');
  };
  opening.onmessage = ({ data }) => socket === opening && receive(data);
  opening.onerror = (event) => emit('error', event);
  opening.onclose = () => {
    if (socket === opening) lost(probed && !opened ? 'The server takes no further page.' : 'Connection lost.');
  };
}

/** @param {string} data */
function receive(data) {
  lastFrame = Date.now();
  /** @type {unknown} */
  let frame;
  try {
    frame = JSON.parse(data);
  } catch (cause) {
    return report('a frame of the server is no JSON', cause);
  }
  if (debug) console.debug('lsess <', frame);
  const messages = Array.isArray(frame) ? frame : [frame]; // F17
  if (!messages.length) heartbeats = true;
  handlers.frame(messages);
  if (listeners.message.size) for (const message of messages) emit('message', message);
}

/** @param {string} why */
function lost(why) {
  socket = null;
  connectQueue(null);
  emit('disconnect');
  if (closed) return showNotice('Disconnected.');
  showNotice(`${why} Trying again …`);
  schedule();
}

function schedule() {
  clearTimeout(timer);
  timer = setTimeout(() => void retry(), delay * (0.75 + Math.random() / 2));
  delay = Math.min(delay * 2, LAST_RETRY_MS);
}

function retryNow() {
  if (socket || closed) return;
  clearTimeout(timer);
  void retry();
}

/** Asks first whether the session lives: a refused socket does not say why (F219). */
async function retry() {
  if (trying || socket || closed) return;
  trying = true;
  const state = await probe(session);
  trying = false;
  if (closed) return;
  if (state === 'gone') return location.replace('/');
  if (state === 'alive') return connect(true);
  showNotice('The server cannot be reached. Trying again …');
  schedule();
}

/** A half-open connection looks alive; a server that sends heartbeats is never silent for long (S6). */
function dropIfSilent() {
  if (!heartbeats || !socket || Date.now() - lastFrame < SILENCE_MS) return;
  socket.close();
  lost('Connection lost.');
}
