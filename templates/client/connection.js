/**
 * The socket to the session: it opens, reads frames, notices that the server is gone, and after a loss tries again until the session is found to be gone
 * (F6, F7, F213 to F219, S6, R52 to R54). What messages mean is not its business.
 */
import { parse, stringify } from './json.js';
import { setReturning } from './keep.js';
import { showNotice } from './overlay.js';
import { BASE } from './place.js';
import { connectQueue, debug, guard } from './store.js';

const FIRST_RETRY_MS = 1000;
const LAST_RETRY_MS = 30000;
const HEARTBEAT_MS = 20000; // unless the page says otherwise (--heartbeat)
const MISSED = 2;
const FRESH_MS = 2000; // what was heard from that short a time ago is there
const ANSWER_MS = 500; // a page that is looked at again is to be current within a second (R52)
const ASK_MS = 10000;

let session = '';
/** @type {WebSocket | null} */
let socket = null;
let closed = false; // by the page, for good (F218)
let delay = FIRST_RETRY_MS;
let timer = 0;
let lastFrame = 0; // or the beginning of the socket
let unanswered = 0; // pings
let pinged = 0;
let roundTrip = 0;

/** What page scripts hear of it. @type {Record<string, Set<(argument?: any) => void>>} */
const listeners = { connect: new Set(), disconnect: new Set(), message: new Set(), error: new Set() };

/** @param {string} kind @param {any} [argument] */
const emit = (kind, argument) => listeners[kind].forEach((listener) => guard(`${kind} listener`, () => listener(argument)));

/** @param {string} kind */
const on = (kind) => (/** @type {(argument?: any) => void} */ listener) => {
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

/** @type {{opened: () => void, frame: (messages: any[]) => void, gone: () => void}} */
let handlers;

/** @param {string} id @param {typeof handlers} use */
export function openConnection(id, use) {
  session = id;
  handlers = use;
  addEventListener('online', resume);
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden) resume();
  });
  const period = Number(document.querySelector('meta[name="ui-heartbeat"]')?.getAttribute('content') ?? HEARTBEAT_MS);
  if (period) startHeartbeat(period);
  connect('');
}

/** A half-open connection looks alive. A timer that is far too late has slept with its machine. @param {number} period */
function startHeartbeat(period) {
  let last = Date.now();
  setInterval(() => {
    const now = Date.now();
    const slept = now - last > 3 * period;
    last = now;
    if (slept && !document.hidden) resume();
    else if (!socket || now - lastFrame < period / 2) return;
    else if (unanswered >= MISSED || socket.readyState !== WebSocket.OPEN) lost('Connection lost.');
    else ping();
  }, period);
}

/** The server answers at once, whatever the session does (R53). */
function ping() {
  unanswered++;
  pinged = Date.now();
  socket?.send('{"type":"ping"}');
}

/** Lets the connection go without a word: the page is left, or kept by the browser for Back. */
export function suspend() {
  const old = socket;
  if (!old) return;
  socket = null;
  connectQueue(null);
  emit('disconnect');
  old.close(1000);
}

/** The page is looked at again, so it is to be current at once; that it was without a connection is news only if there is none to be had (R52). */
export function resume() {
  if (closed) return;
  const asked = socket;
  const heard = lastFrame;
  if (asked && Date.now() - heard < FRESH_MS) return;
  if (asked?.readyState !== WebSocket.OPEN) return again();
  ping();
  setTimeout(() => socket === asked && lastFrame === heard && again(), Math.max(ANSWER_MS, 3 * roundTrip));
}

function again() {
  suspend();
  clearTimeout(timer);
  setReturning(true);
  connect('');
}

/** @param {string} refused says what it means if the server takes no socket, if that is known */
function connect(refused) {
  const opening = new WebSocket(`${location.protocol.replace('http', 'ws')}//${location.host}${BASE}ws/${session}`);
  socket = opening;
  unanswered = 0;
  lastFrame = Date.now();
  opening.onopen = () => {
    refused = '';
    delay = FIRST_RETRY_MS;
    lastFrame = Date.now();
    showNotice('');
    connectQueue((frame) => {
      if (debug) console.debug('lsess >', frame);
      opening.send(stringify(frame));
    });
    guard('the start', handlers.opened);
    emit('connect');
  };
  opening.onmessage = ({ data }) => socket === opening && guard('a frame', () => receive(parse(data)));
  opening.onerror = (event) => emit('error', event);
  opening.onclose = () => socket === opening && lost(refused || 'Connection lost.');
}

/** @param {any} frame */
function receive(frame) {
  lastFrame = Date.now();
  if (unanswered === 1) roundTrip = lastFrame - pinged;
  unanswered = 0;
  if (debug) console.debug('lsess <', frame);
  const messages = Array.isArray(frame) ? frame : [frame]; // F17
  handlers.frame(messages);
  for (const message of messages) emit('message', message);
}

/** @param {string} why */
function lost(why) {
  setReturning(false);
  suspend();
  if (closed) showNotice('Disconnected.');
  else retryLater(why);
}

/** @param {string} why */
function retryLater(why) {
  if (!document.hidden) showNotice(`${why} Trying again …`);
  clearTimeout(timer);
  timer = setTimeout(retry, delay * (0.75 + Math.random() / 2));
  delay = Math.min(delay * 2, LAST_RETRY_MS);
}

let asking = false;

/**
 * Asks whether the server would take a socket, since one that is refused does not say why (F219). Only an answer that bears the server's mark is its own: a
 * proxy has others, and what is behind it is then not there just now (R54).
 */
async function retry() {
  if (asking || socket || closed) return;
  clearTimeout(timer);
  asking = true;
  const { mark, text } = await fetch(`${BASE}ws/${session}`, { method: 'POST', cache: 'no-store', signal: AbortSignal.timeout(ASK_MS) })
    .then(async (answer) => ({ mark: answer.headers.get('X-Lsess'), text: await answer.text() }))
    .catch(() => ({ mark: null, text: '' }));
  asking = false;
  if (closed || socket) return;
  if (mark === 'ready') connect('The server would take the page, but no WebSocket comes through: a proxy before it has to pass Upgrade and Connection on.');
  else if (mark === 'refused') retryLater(text.trim());
  else if (mark !== 'gone') retryLater('The server cannot be reached.');
  else {
    closed = true;
    handlers.gone();
  }
}
