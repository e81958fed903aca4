/** One Chromium for a test file, and one page for its tests. */
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';
import { FakeServer } from './fake-server.js';
import { until } from './until.js';

const ARGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];
/** How long one of these tests may take on a busy machine. */
const DEADLINE_MS = 60000;

/** @type {import('playwright-core').Browser} */
let browser;
/** The context whose page the next test gets. @type {import('playwright-core').BrowserContext | undefined} */
let idle;

/** Starts the browser of this file; call it once at its top. */
export function useBrowser() {
  before(async () => {
    browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ARGS });
  });
  after(() => browser?.close());
}

/**
 * Calls `run` with a page, its context and what it logs. To start a page takes longer than most tests, so each gets the page of the test
 * before, in the state of a new one: without cookies, scripts and listeners, and at an origin of its own, since each test has a server of
 * its own. A test that fails takes its page with it.
 * @param {{width: number, height: number}} viewport
 * @param {(fixture: {
 *   page: import('playwright-core').Page, context: import('playwright-core').BrowserContext, logs: string[],
 * }) => Promise<void>} run
 */
export async function withPage(viewport, run) {
  const context = idle ?? await browser.newContext();
  const page = idle?.pages()[0] ?? await context.newPage();
  idle = undefined;
  const scripts = [];
  const logs = [];
  const addInitScript = page.addInitScript.bind(page);
  page.addInitScript = async (...args) => scripts.push(await addInitScript(...args));
  page.on('console', (message) => logs.push(`${message.type()}: ${message.text()}`));
  page.on('pageerror', (error) => logs.push(`uncaught: ${error.message}`));
  page.setDefaultTimeout(15000);
  await page.setViewportSize(viewport);
  try {
    await run({ page, context, logs });
  } catch (cause) {
    await context.close();
    throw cause;
  }
  delete page.addInitScript;
  for (const event of ['console', 'pageerror', 'websocket']) page.removeAllListeners(event);
  for (const other of context.pages()) if (other !== page) await other.close();
  if (page.isClosed()) return context.close();
  await Promise.all(scripts.map((script) => script.dispose()));
  await page.goto('about:blank');
  await context.clearCookies();
  idle = context;
}

/**
 * A test with a scripted server and a page. `run` gets `server`, `page`, `context`, `logs` and `until`.
 * @param {string} title @param {(fixture: any) => Promise<void>} run @param {object} [options] of the FakeServer
 */
export function pageTest(title, run, options = {}) {
  test(title, { timeout: DEADLINE_MS }, async () => {
    const server = await new FakeServer(options).listen();
    try {
      await withPage({ width: 900, height: 600 }, (fixture) => run({ server, ...fixture, until }));
    } finally {
      await server.close();
    }
  });
}

/**
 * Resolves when the page has sent all that it has to send, all of it has come here and all is shown. A message of its own, which is taken
 * out of what has come, goes behind the others: what the page says to a test may come before what it has said to the server.
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

/** Waits until nothing in the page is hidden until it is complete, and nothing stands beside what replaces it. */
export const settled = ({ page, until }) => until('the reveal', () => page.evaluate(() =>
  window.uiApp?.getAppView().isRendered() && !document.querySelector('.ui-new-view, .ui-obsolete-view')));

/**
 * Waits until the page shows variable 1 with all that its content asks for. That nothing is hidden says little: the viewdefs may be
 * on their way, and a page that waits long for answers shows what it has.
 */
export async function shown(fixture) {
  await settled(fixture);
  await quiet(fixture);
}

/** Waits until what `replace` brings is in the place of what was shown. */
export async function renewed(fixture, replace) {
  const old = await fixture.page.evaluateHandle(() => window.uiApp.getAppView().getElement());
  await replace();
  await fixture.until('the new content', () => old.evaluate((element) => !element.isConnected));
  await shown(fixture);
}

/** Waits until the page has reported `count` lines that hold `text`: they come another way than what the page sends to the server. */
export const logged = ({ logs }, text, count = 1) =>
  until(`the report of ${text}`, () => logs.filter((line) => line.includes(text)).length === count);

/** Resolves when the page has taken all that was sent to it before. */
export async function seen({ server, page }, mark) {
  server.send({ type: 'update', data: { varId: 1, properties: { mark } } });
  await page.waitForFunction((m) => window.uiStore.get(1).properties.mark === m, mark);
}

/**
 * Lets a page wait for answers as long as they take: it shows what it has after 100 ms, after a reconnect 600, and takes a server that has
 * answered no write for 3 s for one that does not number its answers. Call it before the page is opened.
 */
export const patient = (page) => page.addInitScript(() => {
  const { setTimeout } = window;
  window.setTimeout = (run, ms, ...more) => setTimeout(run, [100, 600, 3000].includes(ms) ? 1e8 : ms, ...more);
});
