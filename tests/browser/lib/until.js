/** Waiting on a condition, never on a clock: the deadline only ends a wait that will not succeed. */

/** Resolves with the first truthy result of `test`. @template T @param {string} what @param {() => T | Promise<T>} test @param {number} [deadlineMs] */
export async function until(what, test, deadlineMs = 15000) {
  const end = performance.now() + deadlineMs;
  for (;;) {
    const result = await test();
    if (result) return result;
    if (performance.now() > end) throw new Error(`waited ${deadlineMs} ms in vain for: ${what}`);
    await new Promise((again) => setImmediate(again));
  }
}
