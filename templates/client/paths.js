/** Binding paths: text before and after the `?`, and which accesses a path allows (F59 to F70). */

/** @typedef {{path: string, properties: Record<string, string>}} Spec */

/** Properties that mean something to this client alone; the server does not get them (F65). */
const LOCAL = new Set(['keypress', 'scrollOnOutput', 'replace', 'commit', 'debounce', 'not', 'self', 'prevent', 'stop']);

/** Splits `PATH?QUERY`; null when there is no path to bind (F63). @param {string | null} text @returns {Spec | null} */
export function parsePath(text) {
  const [path = '', query] = (text ?? '').split('?'); // a second ? ends the query (F62)
  if (!path.trim()) return null;
  /** @type {Record<string, string>} */
  const properties = {};
  if (query) for (const [name, value] of new URLSearchParams(query)) if (name) properties[name] = value || 'true';
  return { path, properties };
}

/** @param {Spec} spec */
export function forwarded({ properties }) {
  return Object.fromEntries(Object.entries(properties).filter(([name]) => !LOCAL.has(name)));
}

/** @param {string} path */
export const isGetter = (path) => path.endsWith('()');
/** @param {string} path */
export const isSetter = (path) => path.endsWith('(_)');

/** Says what is wrong with an access of a path, or '' (F69). @param {string} path @param {string | undefined} access */
export function accessProblem(path, access) {
  const allowed = isSetter(path) ? ['w', 'action'] : isGetter(path) ? ['r', 'rw', 'action'] : ['r', 'w', 'rw', 'action'];
  return access === undefined || allowed.includes(access) ? '' : `path "${path}" does not allow access "${access}"`;
}
