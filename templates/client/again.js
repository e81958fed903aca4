/**
 * A new session in the place of one that is gone, the same for all its tabs (R54): the tab that is told to begins one, the others follow. They meet in the
 * browser's storage; where there is none each goes its own way.
 */
import { BASE, tabToken } from './place.js';

const PREFIX = 'ui-again ';
const BEGUN = 'ui-begun';
const CLAIM_MS = 100; // until what two tabs have written at the same time is seen by both
const PATIENCE_MS = 5000; // for a tab that begins one
const KEPT_MS = 86400000;

/** @param {string} session that is gone */
const keyOf = (session) => `${PREFIX}${BASE}${session}`;

/** What the tabs know of a session's successor. @param {string} key @returns {{by?: string, at?: number, to?: string}} */
function read(key) {
  try {
    return JSON.parse(localStorage.getItem(key) ?? '{}');
  } catch {
    return {};
  }
}

/** @param {string} key @param {object} note */
const write = (key, note) => localStorage.setItem(key, JSON.stringify({ ...note, at: Date.now() }));

/** @param {string} session that is gone */
const follow = (session) => {
  const { to } = read(keyOf(session));
  if (to) location.replace(BASE + to);
  return !!to;
};

/** Goes to the session's successor as soon as another tab has begun it, if `ready` allows. @param {string} session that is gone @param {() => boolean} ready */
export function followOthers(session, ready) {
  const look = () => ready() && follow(session);
  addEventListener('storage', look);
  look();
}

/** Begins the session's successor, or follows the tab that does. @param {string} session that is gone */
export function startAgain(session) {
  const key = keyOf(session);
  const me = tabToken();
  const begin = () => {
    try {
      sessionStorage.setItem(BEGUN, session);
    } catch { /* nobody will follow */ }
    location.assign(BASE);
  };
  const claim = () => {
    if (follow(session)) return;
    const { by = me, at = 0 } = read(key);
    const left = at + PATIENCE_MS - Date.now();
    if (by !== me && left > 0) return void setTimeout(claim, Math.min(left, CLAIM_MS));
    try {
      write(key, { by: me });
    } catch {
      return begin();
    }
    setTimeout(() => (read(key).by === me ? begin() : claim()), CLAIM_MS);
  };
  claim();
}

/** Tells the other tabs of the session that was gone which one this tab has begun. @param {string} session */
export function tellOthers(session) {
  try {
    const old = sessionStorage.getItem(BEGUN);
    if (!old) return;
    sessionStorage.removeItem(BEGUN);
    if (old === session) return;
    for (const key of Object.keys(localStorage)) if (key.startsWith(PREFIX) && (read(key).at ?? 0) < Date.now() - KEPT_MS) localStorage.removeItem(key);
    write(keyOf(old), { to: session });
  } catch { /* no storage here */ }
}
