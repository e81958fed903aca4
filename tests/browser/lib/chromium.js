/** One Chromium for a test file, a new page for each test. */
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';
import { FakeServer } from './fake-server.js';
import { until } from './until.js';

const ARGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
];
export const DEADLINE_MS = 20000;

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
      page.setDefaultTimeout(5000);
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

/** Opens the page and shows variable 1 by the given viewdefs. */
export async function open({ server, page }, viewdefs, type = 'App', properties = {}) {
  await page.goto(server.url);
  await server.show(viewdefs, type, properties);
}
