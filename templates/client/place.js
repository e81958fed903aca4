/**
 * Where the page is: the prefix that it came by (N21), the session that it belongs to (F3 to F5, S10), the tab that shows it (R8).
 */

/** The path of the server's root, as browsers reach it: modules are at a fixed place below it, whatever a proxy cuts off. */
export const BASE = new URL('..', import.meta.url).pathname;

/** The components of the page's path behind the root. */
const below = () => location.pathname.slice(location.pathname.startsWith(BASE) ? BASE.length : 1).split('/');

/** @param {string} name */
const cookie = (name) => document.cookie.match(`(?:^|;\\s*)${name}=([^;]+)`)?.[1];

/** The address wins where it names a session for certain: cookies are shared by tabs, and but for one with the port in its name by ports (S10). */
export function findSession() {
  const [address] = below();
  if (/^[0-9a-f]{32}$/.test(address)) return address;
  const meta = document.querySelector('meta[name="ui-session"]')?.getAttribute('content');
  return meta || cookie(`ui-session-${location.port}`) || cookie('ui-session') || address;
}

/** The page's path without root and session, as the server knows it (F227). @param {string} session */
export function pagePath(session) {
  const parts = below();
  return `/${parts.slice(parts[0] === session ? 1 : 0).join('/')}`;
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
