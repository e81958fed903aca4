/**
 * What people meet who reach the program by a proxy (N11, N20, N21, R52 to R54): at the root and below a prefix, by plain HTTP and by
 * HTTP/2 over TLS, through idle hours, reloads of the proxy and restarts of the program. PROXIES names the proxies, IDLE_LIMIT the
 * seconds after which they cut what is idle.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';
import { Site } from '../browser/lib/site.js';
import { until } from '../browser/lib/until.js';
import { freePorts, Proxy } from './lib.js';

const KINDS = (process.env.PROXIES ?? 'nginx haproxy caddy').split(' ');
const LIMIT_S = Number(process.env.IDLE_LIMIT ?? 2);
const DEADLINE_MS = 120000 + LIMIT_S * 4000;
const MB = 1 << 20;

const FILES = {
  'lua/main.lua': `
    App = session:prototype("App", { count = 0, text = "" })
    function App:add() self.count = self.count + 1 end
    function App:grow() self.text = string.rep("x", 5 * 1024 * 1024) end
    function App:size() return #self.text end
    if not session:getApp() then session:createAppVariable(session:create(App, {})) end
  `,
  'viewdefs/App.DEFAULT.html': `
    <template>
      <main>
        <output id="count" ui-value="count"></output> <button id="add" ui-action="add()">Add</button>
        <output id="size" ui-value="size()"></output> <button id="grow" ui-action="grow()">Grow</button>
        <span id="text" style="display: none" ui-value="text?access=rw"></span>
      </main>
    </template>
  `,
};
/** The page's own heartbeat is off: what keeps an idle page must also keep one with another client. */
const OPTIONS = ['--trust-proxy', '127.0.0.1', '--heartbeat', '0', '--ping', LIMIT_S > 20 ? '20s' : '1s'];

let browser;
before(async () => {
  const args = ['--headless', '--no-sandbox', '--disable-gpu'];
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args });
});
after(() => browser?.close());

/** Pages whose retries wait a tenth of their time, and that count the connections they have lost. */
async function newContext() {
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  await context.addInitScript(() => {
    const { setTimeout } = window;
    window.setTimeout = (run, ms, ...more) => setTimeout(run, ms >= 700 ? ms / 10 : ms, ...more);
    document.addEventListener('ui-ready', () => window.uiApp.getConnection().onDisconnect(() => { window.lost = (window.lost ?? 0) + 1; }));
  });
  return context;
}

async function openPage(context, url) {
  const page = await context.newPage();
  const addresses = [];
  page.setDefaultTimeout(DEADLINE_MS / 4);
  page.on('request', (request) => addresses.push(request.url()));
  page.on('websocket', (socket) => addresses.push(socket.url()));
  await page.goto(url);
  await page.locator('#add').waitFor();
  return Object.assign(page, { addresses, base: url });
}

const count = async (page) => Number(await page.locator('#count').textContent());

async function add(page) {
  const before = await count(page);
  await page.locator('#add').dispatchEvent('click');
  await until('the count', async () => await count(page) === before + 1);
}

const sessionOf = (page) => new URL(page.url()).pathname.match(/[0-9a-f]{32}/)[0];

async function behind(kind, t) {
  const [LSESS, KEPT] = await freePorts(2);
  const [site, kept] = await Promise.all([Site.create(FILES), Site.create(FILES)]);
  const context = await newContext();
  const startAll = () => Promise.all([site.start(LSESS, OPTIONS), kept.start(KEPT, [...OPTIONS, '--base-path', '/kept'])]);
  let proxy;
  const part = (title, run) => t.test(`${kind}: ${title}`, { timeout: DEADLINE_MS }, run);
  try {
    await startAll();
    proxy = await Proxy.start(kind, { LSESS, KEPT, IDLE: LIMIT_S });
    const places = [proxy.plain, proxy.tls].flatMap((origin) => ['/', '/tool/', '/kept/'].map((path) => origin + path));
    const pages = [];
    let begun = 0;

    await part('N20, N21: a page at the root, below a prefix that is cut off and below one that is kept, by HTTP and by TLS', async () => {
      pages.push(...await Promise.all(places.map((place) => openPage(context, place))));
      begun = performance.now();
      for (const page of pages) {
        await add(page);
        assert.match(page.url().slice(page.base.length), /^[0-9a-f]{32}$/);
        const prefixes = [page.base, page.base.replace('http', 'ws')];
        const isBelow = (address) => [...prefixes, 'data:'].some((prefix) => address.startsWith(prefix));
        assert.deepEqual(page.addresses.filter((address) => !isBelow(address)), []);
        assert.equal(page.addresses.filter((address) => address.startsWith('ws')).length, 1);
      }
      for (const { name, value, path, secure } of await context.cookies(places)) {
        const owner = pages.find((page) => page.url().endsWith(value));
        if (!owner || name !== 'ui-session') continue;
        assert.equal(path, new URL(owner.base).pathname);
        assert.equal(secure, owner.base.startsWith('https'));
      }
      const protocol = () => performance.getEntriesByType('navigation')[0].nextHopProtocol;
      for (const page of pages) assert.equal(await page.evaluate(protocol), page.base.startsWith('https') ? 'h2' : 'http/1.1');
    });

    await part('R8: ten reloads leave no variables behind', async () => {
      const page = await openPage(context, `${proxy.tls}/`);
      const listing = `${site.origin}/${sessionOf(page)}/variables.json`;
      const variables = async () => (await (await fetch(listing)).json()).length;
      const alone = await variables();
      for (let i = 0; i < 10; i++) {
        await page.reload();
        await page.locator('#add').waitFor();
        await until('the variables of one page', async () => await variables() === alone, 5000);
      }
      await page.close();
    });

    await part('a value of 5 MB in both directions', async () => {
      await Promise.all([proxy.plain, proxy.tls].map(async (origin) => {
        const page = await openPage(context, `${origin}/tool/`);
        await page.locator('#grow').dispatchEvent('click');
        await page.waitForFunction((n) => document.getElementById('text').textContent.length === n, 5 * MB);
        await page.evaluate((n) => window.uiApp.updateValue('text', 'y'.repeat(n)), 5 * MB + 1);
        await until('the size', async () => await page.locator('#size').textContent() === String(5 * MB + 1));
        await page.close();
      }));
    });

    await part(`N11: pages that are idle for three times the limit of ${LIMIT_S} s keep their connections`, async () => {
      await new Promise((done) => setTimeout(done, begun + LIMIT_S * 3000 - performance.now()));
      for (const page of pages) assert.equal(await page.evaluate(() => window.lost), undefined, page.base);
    });

    await part('pages go on when the proxy has read its configuration again', async () => {
      proxy.reload();
      for (const page of pages) await until(`an answer to ${page.base}`, async () => {
        const before = await count(page);
        await page.locator('#add').dispatchEvent('click');
        return until('the count', async () => await count(page) > before, 2000).catch(() => false);
      });
    });

    await part('R54: pages wait while the program is away, say after its restart that their session is gone, and start again', async () => {
      await Promise.all([site.stop(), kept.stop()]);
      await Promise.all(pages.map((page) => page.locator('#ui-notice', { hasText: 'The server cannot be reached' }).waitFor()));
      await startAll();
      await Promise.all(pages.map(async (page) => {
        await page.evaluate(() => dispatchEvent(new Event('online')));
        await page.locator('#ui-notice', { hasText: 'This session is gone' }).waitFor();
        await page.getByText('Start again').dispatchEvent('click');
        await until('the new page', async () => await page.locator('#ui-notice').count() === 0 && await page.locator('#add').isVisible());
        assert.match(page.url().slice(page.base.length), /^[0-9a-f]{32}$/);
        await add(page);
      }));
    });
  } finally {
    await context.close();
    await Promise.all([proxy?.stop(), site.remove(), kept.remove()]);
  }
}

/** Where they are idle for long they are idle together. */
const concurrency = LIMIT_S > 10 ? KINDS.length : 1;
test('behind proxies', { concurrency, timeout: KINDS.length * DEADLINE_MS }, (t) => Promise.all(KINDS.map((kind) => {
  const skip = !Proxy.has(kind) && `${kind} is not here: .ci/deps ${/apache|lighttpd/.test(kind) ? 'proxies' : 'check'} fetches it`;
  return t.test(`behind ${kind}`, { timeout: 2 * DEADLINE_MS, skip }, (inner) => behind(kind, inner));
})));
