/**
 * Waiting on a condition, never on a clock: the deadline only ends a wait that will not succeed, and the pause between two looks leaves the
 * processor to what is waited for.
 */

const PAUSE_MS = 4;

/**
 * Resolves with the first truthy result of `test`.
 * @template T @param {string} what @param {() => T | Promise<T>} test @param {number} [deadlineMs]
 */
export async function until(what, test, deadlineMs = 15000) {
  const end = performance.now() + deadlineMs;
  for (;;) {
    const result = await test();
    if (result) return result;
    if (performance.now() > end) throw new Error(`waited ${deadlineMs} ms in vain for: ${what}`);
    await new Promise((again) => setTimeout(again, PAUSE_MS));
  }
}
