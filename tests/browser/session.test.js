/** Start of the page: which session, which socket, what the first moments look like. */
import assert from 'node:assert/strict';
import { open, pageTest, seen, useBrowser } from './lib/chromium.js';
import { model, PAGE, SESSION } from './lib/fake-server.js';

useBrowser();
const HELLO = { 'App.DEFAULT': '<h1 ui-value="title"></h1>' };
const OTHER = 'f'.repeat(32);

pageTest('F1: without an element with ui-app no connection is opened', async ({ server, page, until }) => {
  await page.goto(server.url);
  await until('client loaded', () => server.requests.some((r) => r.endsWith('/lsess-client/view.js')));
  await page.waitForLoadState('networkidle');
  assert.equal(server.sockets.length, 0);
}, { page: PAGE.replace('ui-app', '') });

pageTest('F1: the first element with ui-app is the host, whatever its value', async ({ server, page }) => {
  model(server, { title: 'Hello' });
  await open({ server, page }, HELLO);
  await page.getByText('Hello').waitFor();
  assert.equal(await page.locator('section').evaluate((e) => e.textContent.trim()), 'second');
}, { page: PAGE.replace('<div id="app" ui-app></div>', '<div ui-app="value"></div><section ui-app>second</section>') });

pageTest('F2: a client that is loaded late starts all the same', async ({ server, page }) => {
  model(server, { title: 'Late' });
  await page.goto(server.url);
  await page.evaluate(() => import('/main.js'));
  await server.show(HELLO);
  await page.getByText('Late').waitFor();
}, { page: PAGE.replace(/<script.*script>/, '') });

pageTest('F3, F4, F6: the address names the session, also where cookie and meta element say something else (S10)', async (fixture) => {
  const { server, page, context, until } = fixture;
  await context.addCookies([{ name: 'ui-session', value: OTHER, url: server.origin }]);
  await page.goto(`${server.url}/deep/page`);
  await until('a socket', () => server.sockets.length === 1);
  assert.equal(server.refused, undefined);
}, { page: PAGE.replace('<title>', `<meta name="ui-session" content="${OTHER}"><title>`) });

pageTest('F7: on the path / the cookie names the session', async ({ server, page, context, until }) => {
  server.files['/'] = PAGE;
  await context.addCookies([{ name: 'ui-session', value: SESSION, url: server.origin }]);
  await page.goto(`${server.origin}/?conserve=true`);
  await until('a socket', () => server.sockets.length === 1);
});

pageTest('F7 P9: the cookie that bears the port goes before the one that all ports share', async ({ server, page, context, until }) => {
  server.files['/'] = PAGE;
  await context.addCookies([
    { name: 'ui-session', value: OTHER, url: server.origin },
    { name: `ui-session-${new URL(server.origin).port}`, value: SESSION, url: server.origin },
  ]);
  await page.goto(`${server.origin}/`);
  await until('a socket', () => server.sockets.length === 1);
  assert.equal(server.refused, undefined);
});

pageTest('F3: on the path / a meta element of the page goes before the cookie', async ({ server, page, context, until }) => {
  server.files['/'] = PAGE.replace('<title>', `<meta name="ui-session" content="${SESSION}"><title>`);
  await context.addCookies([{ name: 'ui-session', value: OTHER, url: server.origin }]);
  await page.goto(`${server.origin}/`);
  await until('a socket', () => server.sockets.length === 1);
});

pageTest('F5: without a session a visible notice is shown and no socket is opened', async ({ server, page }) => {
  server.files['/'] = PAGE;
  await page.goto(`${server.origin}/`);
  await page.locator('#ui-notice').waitFor({ state: 'visible' });
  assert.equal(await page.evaluate(() => document.documentElement.classList.contains('ui-disconnected')), true);
  assert.equal(server.sockets.length, 0);
});

pageTest('F11, F12: modules load beside the entry module on a deep page, each once', async ({ server, page, until }) => {
  await page.goto(`${server.url}/a/b/c`);
  await until('a socket', () => server.sockets.length === 1);
  const modules = server.requests.filter((r) => r.includes('.js'));
  assert.ok(modules.every((r) => /^GET \/(main-1a2b3c4d\.js|lsess-client\/[\w-]+\.js)$/.test(r)), modules.join('\n'));
  assert.equal(new Set(modules).size, modules.length);
});

pageTest('F13: the style that hides what is being built is there once, before the first rendering', async ({ server, page, until }) => {
  await page.goto(server.url);
  await until('a socket', () => server.sockets.length === 1);
  const style = page.locator('head > style#ui-no-flash-style');
  assert.equal(await style.count(), 1);
  assert.match((await style.textContent()) ?? '', /\.ui-new-view\s*{\s*display:\s*none !important/);
});

pageTest('F14: the host stays empty and unchanged but for an id until the first view is ready', async ({ server, page, until }) => {
  await page.goto(server.url);
  await until('a socket', () => server.sockets.length === 1);
  assert.deepEqual(await page.locator('[ui-app]').evaluate((e) => [e.childNodes.length, e.getAttributeNames()]), [0, ['ui-app', 'id']]);
  assert.equal(await page.locator('[ui-app]:empty').count(), 1);
  server.send({ type: 'update', data: { varId: 1, value: { obj: 1 }, properties: { type: 'Unknown' } } });
  await seen({ server, page }, 'taken');
  assert.equal(await page.locator('[ui-app]:empty').count(), 1);
}, { page: PAGE.replace('id="app" ', '') });
