/**
 * Which session the page belongs to, and the socket to it: it opens, reads frames, and after a loss tries again until the session is found to be gone
 * (F3 to F7, F213 to F219, S6). What messages mean is not its business.
 */
import { parse, stringify } from './json.js';
import { setReturning } from './keep.js';
import { showNotice } from './overlay.js';
import { connectQueue, debug, guard } from './store.js';

const fromAddress = () => location.pathname.split('/')[1];

/** @param {string} name */
const cookie = (name) => document.cookie.match(`(?:^|;\\s*)${name}=([^;]+)`)?.[1];

/** The address wins where it names a session for certain: cookies are shared by tabs, and but for one with the port in its name by ports (S10). */
export function findSession() {
  const address = fromAddress();
  if (/^[0-9a-f]{32}$/.test(address)) return address;
  const meta = document.querySelector('meta[name="ui-session"]')?.getAttribute('content');
  return meta || cookie(`ui-session-${location.port}`) || cookie('ui-session') || address;
}

/** The page's path without the session, as the server knows it (F227). */
export function pagePath() {
  const { pathname } = location;
  return (fromAddress() === session ? pathname.slice(session.length + 1) : pathname) || '/';
}

const TOKEN = 'ui-tab';
let token = '';

/** Names this tab to the server, whichever connection it has (R8). */
export function tabToken() {
  try {
    token ||= sessionStorage.getItem(TOKEN) ?? '';
  } catch { /* no storage here: the token lasts as long as the page */ }
  return token || renewToken();
}

/** Another token, for a tab that shares its own with its duplicate. */
export function renewToken() {
  token = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  try {
    sessionStorage.setItem(TOKEN, token);
  } catch { /* as above */ }
  return token;
}

const FIRST_RETRY_MS = 1000;
const LAST_RETRY_MS = 30000;
const SILENCE_MS = 75000;

let session = '';
/** @type {WebSocket | null} */
let socket = null;
let closed = false; // by the page, for good (F218)
let delay = FIRST_RETRY_MS;
let timer = 0;
let lastFrame = 0;
let heartbeats = false; // only a server that sends them may be found silent

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

/** @type {{opened: () => void, frame: (messages: any[]) => void}} */
let handlers;

/** @param {string} id @param {typeof handlers} use */
export function openConnection(id, use) {
  session = id;
  handlers = use;
  addEventListener('online', retry);
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden) resume();
  });
  setInterval(() => isSilent(SILENCE_MS) && lost('Connection lost.'), SILENCE_MS / 5);
  connect('Connection lost.');
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

/** The page is looked at again, so it is to be current at once; that it was without a connection is news only if there is none to be had. */
export function resume() {
  if (isSilent(SILENCE_MS / 2)) suspend();
  clearTimeout(timer);
  if (socket || closed) return;
  setReturning(true);
  connect('Connection lost.');
}

/** A half-open connection looks alive; a server that sends heartbeats is never silent for long. @param {number} forMs */
const isSilent = (forMs) => heartbeats && socket?.readyState === WebSocket.OPEN && Date.now() - lastFrame > forMs;

/** @param {string} refused says what it means if the server takes no socket */
function connect(refused) {
  const opening = new WebSocket(`${location.protocol.replace('http', 'ws')}//${location.host}/ws/${session}`);
  socket = opening;
  opening.onopen = () => {
    refused = 'Connection lost.';
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
  opening.onclose = () => socket === opening && lost(refused);
}

/** @param {any} frame */
function receive(frame) {
  lastFrame = Date.now();
  if (debug) console.debug('lsess <', frame);
  const messages = Array.isArray(frame) ? frame : [frame]; // F17
  heartbeats ||= !messages.length;
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

/** Asks first whether the session lives: a refused socket does not say why (F219). Never `/`, which makes sessions. */
async function retry() {
  if (asking || socket || closed) return;
  clearTimeout(timer);
  asking = true;
  const status = await fetch(`/${session}`, { method: 'HEAD', cache: 'no-store' }).then((answer) => answer.status, () => 0);
  asking = false;
  if (closed || socket) return;
  if (status === 404) location.replace('/');
  else if (status) connect('The server takes no further page.');
  else retryLater('The server cannot be reached.');
}
