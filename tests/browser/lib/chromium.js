/** One Chromium for a test file, a new page for each test. */
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';
import { FakeServer } from './fake-server.js';
import { until } from './until.js';

const ARGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
];
/** How long one of these tests may take on a busy machine. */
const DEADLINE_MS = 60000;

/** @type {import('playwright-core').Browser} */
let browser;

/** Starts the browser of this file; call it once at its top. */
export function useBrowser() {
  before(async () => {
    browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ARGS });
  });
  after(() => browser?.close());
  return { newContext: (options) => browser.newContext(options) };
}

/**
 * A test with a scripted server and a page of its own. `run` gets `server`, `page`, `context`, `logs` (console texts) and `until`.
 * @param {string} title @param {(fixture: any) => Promise<void>} run @param {object} [options] of the FakeServer
 */
export function pageTest(title, run, options = {}) {
  test(title, { timeout: DEADLINE_MS }, async () => {
    const server = await new FakeServer(options).listen();
    const context = await browser.newContext({ viewport: { width: 900, height: 600 } });
    try {
      const page = await context.newPage();
      page.setDefaultTimeout(15000);
      const logs = [];
      page.on('console', (message) => logs.push(`${message.type()}: ${message.text()}`));
      page.on('pageerror', (error) => logs.push(`uncaught: ${error.message}`));
      await run({ server, page, context, logs, until });
    } finally {
      await context.close();
      await server.close();
    }
  });
}

/**
 * Resolves when the page has sent all that it has to send, all of it has come here and all is shown. A message of its own, which is taken out of what has come,
 * goes behind the others: what the page says to a test may come before what it has said to the server.
 */
export async function quiet({ server, page }) {
  await page.evaluate(() => window.uiApp.idle().then(() => window.uiStore.update(1, undefined, { quiet: 'now' })));
  const isMark = (m) => m.data.properties?.quiet === 'now';
  await server.received('the last message', isMark);
  const last = server.frames.findLastIndex((frame) => frame.messages.some(isMark));
  server.frames[last].messages = server.frames[last].messages.filter((m) => !isMark(m));
  if (!server.frames[last].messages.length) server.frames.splice(last, 1);
}

/** Opens the page and shows variable 1 by the given viewdefs. */
export async function open({ server, page }, viewdefs, type = 'App', properties = {}) {
  await page.goto(server.url);
  await server.show(viewdefs, type, properties);
}

/**
 * Waits until the page shows variable 1 with all that its content asks for. That nothing is hidden says little: the viewdefs may be on their way,
 * and a page that waits long for answers shows what it has.
 */
export async function shown(fixture) {
  const { page, until } = fixture;
  await until('the content', () => page.evaluate(() => window.uiApp?.getAppView().isRendered() && !document.querySelector('.ui-new-view, .ui-obsolete-view')));
  await quiet(fixture);
}

/** Waits until what `replace` brings is in the place of what was shown. */
export async function renewed(fixture, replace) {
  const old = await fixture.page.evaluateHandle(() => window.uiApp.getAppView().getElement());
  await replace();
  await fixture.until('the new content', () => old.evaluate((element) => !element.isConnected));
  await shown(fixture);
}

/** Resolves when the page has taken all that was sent to it before. */
export async function seen({ server, page }, mark) {
  server.send({ type: 'update', data: { varId: 1, properties: { mark } } });
  await page.waitForFunction((m) => window.uiStore.get(1).properties.mark === m, mark);
}

/**
 * Lets a page wait for answers as long as they take: it shows what it has after 100 ms, after a reconnect 600, and takes a server that has answered no
 * write for 3 s for one that does not number its answers. Call it before the page is opened.
 */
export const patient = (page) => page.addInitScript(() => {
  const { setTimeout } = window;
  window.setTimeout = (run, ms, ...more) => setTimeout(run, [100, 600, 3000].includes(ms) ? 1e8 : ms, ...more);
});
