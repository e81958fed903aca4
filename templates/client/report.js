/** What people who develop a site get to see in the console (F211, S77): silent unless something is wrong or debugging was asked for. */

function stored() {
  try {
    return localStorage.getItem('ui-debug');
  } catch {
    return null; // storage may be forbidden
  }
}

/** True with `?ui-debug` in the address or a value `ui-debug` in localStorage. */
export const debug = new URLSearchParams(location.search).has('ui-debug') || !!stored();

/** One line for a person, with the cause where there is one. @param {string} text @param {unknown} [cause] */
export function report(text, cause) {
  if (cause === undefined) console.error(`lsess: ${text}`);
  else console.error(`lsess: ${text}`, cause);
}

/** Runs foreign or fallible code so that its failure stops nothing else (F57). @param {string} what @param {() => void} run */
export function guard(what, run) {
  try {
    run();
  } catch (cause) {
    report(what, cause);
  }
}
