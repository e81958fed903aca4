/** Which session the page belongs to, and whether it still lives (F3 to F7, F219, S10). */

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
