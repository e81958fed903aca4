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
