/** Which session the page belongs to, the socket to it, the notice of its loss, and other tabs of it (F3 to F7, F212 to F219, F229). */
import { connectQueue, debug, guard, report } from './store.js';

function fromAddress() {
  return location.pathname.split('/')[1] || '';
}

function fromCookie() {
  return document.cookie.match(/(?:^|;\s*)ui-session=([^;]+)/)?.[1] ?? '';
}

/** The address wins where it names a session for certain: cookies are shared by tabs and ports. */
export function findSession() {
  const address = fromAddress();
  if (/^[0-9a-f]{32}$/.test(address)) return address;
  const meta = document.querySelector('meta[name="ui-session"]')?.getAttribute('content');
  return meta || fromCookie() || address;
}

/** @param {string} session */
export const socketUrl = (session) => `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/ws/${session}`;

/** The page's path without the session, as the server knows it (F227). @param {string} session */
export function pagePath(session) {
  const { pathname } = location;
  return (fromAddress() === session ? pathname.slice(session.length + 1) : pathname) || '/';
}

/** @param {string} session @returns {Promise<'alive' | 'gone' | 'unreachable'>} */
export async function probe(session) {
  try {
    const { status } = await fetch(`/${session}`, { method: 'HEAD', cache: 'no-store' }); // never `/`, which makes sessions
    return status === 404 ? 'gone' : 'alive';
  } catch {
    return 'unreachable';
  }
}

/** The small notice of a page without connection (F212). Sites restyle it by `#ui-notice`, or hide it. */

const STYLE = `
#ui-notice { position: fixed; z-index: 2147483000; left: 50%; bottom: 1rem; transform: translateX(-50%); max-width: 90vw; padding: .55em 1em;
  border-radius: .6em; background: #24292f; color: #fff; font: 14px/1.4 system-ui, sans-serif; box-shadow: 0 4px 18px #0005 }
#ui-notice button { margin-left: 1em; padding: .25em .8em; border: 0; border-radius: .4em; background: #fff; color: #24292f; font: inherit; cursor: pointer }`;

function find() {
  return document.getElementById('ui-notice');
}

/** Shows a text, or nothing. @param {string} text @param {HTMLElement[]} controls */
export function showNotice(text, ...controls) {
  document.documentElement.classList.toggle('ui-disconnected', !!text);
  if (!text) return find()?.remove();
  if (!document.getElementById('ui-notice-style')) {
    const style = Object.assign(document.createElement('style'), { id: 'ui-notice-style', textContent: STYLE });
    document.head.prepend(style); // first, so that a site's own rules win
  }
  const notice = find() ?? Object.assign(document.createElement('div'), { id: 'ui-notice' });
  notice.setAttribute('role', 'status');
  if (notice.textContent !== text || controls.length) notice.replaceChildren(text, ...controls);
  document.body.append(notice);
}

/**
 * The socket: it opens, reads frames, and after a loss tries again until the session is found to be gone (F6, F213 to F219, S6).
 * What frames mean is not its business.
 */

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

/** `?conserve=true`: one tab for a session, where another shows it already (F229, F230). */

const ANSWER_MS = 100;

/** Resolves when this tab may show the session: at once, or when the user wants it here too. @param {string} session @returns {Promise<void>} */
export function claimSession(session) {
  const channel = new BroadcastChannel(`ui-session-${session}`);
  const answer = () => {
    channel.onmessage = ({ data }) => {
      if (data !== 'who') return;
      channel.postMessage('here');
      focus();
      if (document.hidden && globalThis.Notification?.permission === 'granted') new Notification(document.title, { body: 'This session is open here.' });
    };
  };
  if (new URLSearchParams(location.search).get('conserve') !== 'true') {
    answer();
    return Promise.resolve();
  }
  return new Promise((resolve) => {
    const take = () => {
      answer();
      showNotice('');
      resolve();
    };
    const timer = setTimeout(take, ANSWER_MS);
    channel.onmessage = ({ data }) => {
      if (data !== 'here') return;
      clearTimeout(timer);
      channel.onmessage = null;
      const button = Object.assign(document.createElement('button'), { textContent: 'Open here anyway', onclick: take });
      showNotice('This session is already open in another tab.', button);
      close(); // browsers allow it for tabs that scripts have opened
    };
    channel.postMessage('who');
  });
}
