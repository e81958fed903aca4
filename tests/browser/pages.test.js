/** The built-in pages and the error overlay, with screenshots. */
import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { open, pageTest, useBrowser } from './lib/chromium.js';
import { model, SESSION, update, viewdefsOf } from './lib/fake-server.js';
import { shot } from './lib/site.js';

useBrowser();
const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const template = (name) => readFile(path.join(ROOT, 'templates', name), 'utf8');

const EXCERPT = `\
  10 | function Fleet:total()
  11 |   local n = 0
> 12 |   for _, ship in ipairs(self.ships do
     |                                   ^
  13 |     n = n + ship.crew
`;
const DETAIL = [{ key: 'apps/fleet/app.lua', line: 12, message: "')' expected near 'do'", excerpt: EXCERPT }];
const failing = (detail) => update(1, undefined, {
  'reload-error:high': "apps/fleet/app.lua:12: ')' expected near 'do'",
  'reload-detail': JSON.stringify(detail),
});
const healthy = () => update(1, undefined, { 'reload-error': '', 'reload-detail': '' });
const SITE = { 'App.DEFAULT': '<main><h1>Fleet</h1><input class="i" ui-value="name"></main>' };

pageTest('H99, H100: a failed reload shows key, line, message and excerpt over the page; the repair takes it away', async (fixture) => {
  const { server, page, until } = fixture;
  model(server, { name: 'North' });
  server.page = await template('pages/index.html');
  await open({ server, page }, SITE);
  await page.locator('h1').waitFor();
  server.send(failing(DETAIL));
  const overlay = page.locator('#ui-overlay');
  await overlay.getByText('apps/fleet/app.lua:12').waitFor();
  await overlay.getByText('expected near').waitFor();
  assert.ok((await overlay.locator('.here').textContent()).includes('self.ships do'));
  await overlay.getByText('kept running the code it had').waitFor();
  await shot(page, 'overlay');
  await overlay.getByText('apps/fleet/app.lua:12').click();
  await until('the request to open', () => server.posted.length);
  assert.deepEqual(server.posted, [{ url: `/api/open?session=${SESSION}`, body: { key: 'apps/fleet/app.lua', line: 12 } }]);
  await page.keyboard.press('Escape');
  await overlay.waitFor({ state: 'detached' });
  server.send(failing(DETAIL), update(1, undefined, { other: '1' }));
  await page.waitForFunction(() => window.uiStore.get(1).properties.other);
  assert.equal(await overlay.count(), 0);
  server.send(failing([...DETAIL, { key: 'lua/main.lua', line: 3, message: 'attempt to index a nil value' }]));
  await overlay.getByText('lua/main.lua:3').waitFor();
  server.send(healthy());
  await overlay.waitFor({ state: 'detached' });
  assert.equal(await page.locator('.i').inputValue(), 'North');
});

pageTest('H99: without detail the lines of reload-error are shown, also to a page that comes later', async ({ server, page }) => {
  await open({ server, page }, SITE, 'App', { 'reload-error': 'apps/a.lua:7: boom\nsomething else' });
  const overlay = page.locator('#ui-overlay');
  await overlay.getByText('apps/a.lua:7').waitFor();
  await overlay.getByText('something else').waitFor();
});

pageTest('H99, F215: after a reconnect the overlay shows what is wrong now', async ({ server, page }) => {
  await open({ server, page }, SITE, 'App', { 'reload-error': 'apps/a.lua:7: boom' });
  const overlay = page.locator('#ui-overlay');
  await overlay.getByText('apps/a.lua:7').waitFor();
  server.refuse = true; // until the notice has been seen
  server.sockets.at(-1).terminate();
  await page.locator('#ui-notice').waitFor();
  server.refuse = false;
  await page.evaluate(() => dispatchEvent(new Event('online')));
  await server.show(SITE);
  await overlay.waitFor({ state: 'detached' });
});

const losing = (...losses) => update(1, undefined, { 'reload-losses:high': losses.length ? JSON.stringify(losses) : '' });
const ROWS = { key: 'lua/store.lua', text: '3 run-time rows of "items" gave way to your edit', time: Date.UTC(2026, 0, 1) };
const LIMIT = { key: 'lua/config.lua', text: 'the run’s value of "limit" gave way to your edit', time: ROWS.time + 1 };

pageTest('H49: what gave way to an edit is named until it is put away, and not again', async (fixture) => {
  const { server, page, until } = fixture;
  model(server, { name: 'North' });
  server.page = await template('pages/index.html');
  await open({ server, page }, SITE);
  await page.locator('.i').focus();
  server.send(losing(ROWS));
  const card = page.locator('#ui-losses');
  await card.getByText('3 run-time rows of "items"').waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.className), 'i', 'the focus stays');
  await card.getByText('lua/store.lua').click();
  await until('the request to open', () => server.posted.length);
  assert.deepEqual(server.posted, [{ url: `/api/open?session=${SESSION}`, body: { key: 'lua/store.lua', line: 1 } }]);
  server.send(losing(ROWS, { ...ROWS, text: '<b>the key</b> "last" gave way to your edit' }, LIMIT));
  await card.getByText('<b>the key</b>').waitFor();
  assert.deepEqual(await card.locator('.place').allTextContents(), ['lua/store.lua', 'lua/config.lua']);
  assert.equal(await card.locator('li').count(), 3);
  // the file has been saved again: who comes later hears nothing, who is here has not read it yet
  server.send(losing(), update(1, undefined, { other: '1' }));
  await page.waitForFunction(() => window.uiStore.get(1).properties.other);
  assert.equal(await card.locator('li').count(), 3);
  await page.keyboard.press('Escape');
  await card.waitFor({ state: 'detached' });
  server.send(losing(ROWS, LIMIT), update(1, undefined, { other: '2' }));
  await page.waitForFunction(() => window.uiStore.get(1).properties.other === '2');
  assert.equal(await card.count(), 0);
  server.send(losing({ ...ROWS, time: LIMIT.time + 1 }));
  await card.getByText('3 run-time rows of "items"').waitFor();
  await card.getByText('Put away').click();
  await card.waitFor({ state: 'detached' });
});

pageTest('H49: what has been put away stays so when the page is loaded again', async ({ server, page }) => {
  await open({ server, page }, SITE, 'App', { 'reload-losses': JSON.stringify([ROWS, LIMIT]) });
  const card = page.locator('#ui-losses');
  await card.getByText('"limit"').waitFor();
  await card.getByText('Put away').click();
  await page.reload();
  const later = { ...LIMIT, text: 'something new', time: LIMIT.time + 1 };
  await server.show(SITE, 'App', { 'reload-losses': JSON.stringify([ROWS, LIMIT, later]) });
  await card.getByText('something new').waitFor();
  assert.equal(await card.locator('li').count(), 1);
});

pageTest('H49: what gave way, in light and dark and on a narrow page', async ({ server, page }) => {
  model(server, { name: 'North' });
  server.page = await template('pages/index.html');
  await open({ server, page }, SITE);
  server.send(losing(ROWS, { ...ROWS, text: 'the run’s value of "filters.open" gave way to your edit' }, LIMIT));
  const card = page.locator('#ui-losses');
  await card.getByText('"limit"').waitFor();
  const size = page.viewportSize();
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    await shot(page, `losses-${colorScheme}`);
    const [background, color] = await card.evaluate((node) => [getComputedStyle(node).backgroundColor, getComputedStyle(node).color]);
    const light = (/** @type {string} */ css) => Number(css.match(/\d+/)[0]) > 127;
    assert.deepEqual([light(background), light(color)], colorScheme === 'light' ? [true, false] : [false, true]);
  }
  await page.setViewportSize({ width: 320, height: 560 });
  await shot(page, 'losses-narrow');
  const box = await card.boundingBox();
  assert.ok(box.x >= 0 && box.x + box.width <= 320, JSON.stringify(box));
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 320);
  await page.emulateMedia({ colorScheme: null });
  await page.setViewportSize(size);
});

pageTest('F131: a viewdef that cannot be used is shown until it can', async ({ server, page }) => {
  await open({ server, page }, SITE);
  server.send(viewdefsOf({ 'Ship.DEFAULT': '<template></template><b>beside</b>' }));
  const overlay = page.locator('#ui-overlay');
  await overlay.getByText('viewdefs/Ship.DEFAULT.html').waitFor();
  server.send(viewdefsOf({ 'Ship.DEFAULT': '<template><b>fine</b></template>' }));
  await overlay.waitFor({ state: 'detached' });
});

pageTest('F212: the notice of a lost connection', async ({ server, page }) => {
  server.page = await template('pages/index.html');
  model(server, { name: 'North' });
  await open({ server, page }, SITE);
  await page.locator('h1').waitFor();
  server.refuse = true;
  server.sockets.at(-1).terminate();
  await page.locator('#ui-notice').waitFor();
  await shot(page, 'notice');
});

pageTest('Q1: the built-in index page preloads every module of the client, and none besides', async ({ server, page, until }) => {
  const html = await template('pages/index.html');
  const preloaded = [...html.matchAll(/modulepreload" href="\/lsess-client\/([\w-]+\.js)"/g)].map((m) => m[1]).sort();
  const files = await readdir(path.join(ROOT, 'templates/client'));
  assert.deepEqual(preloaded, files.filter((f) => f.endsWith('.js') && f !== 'main.js').sort());
  server.page = html;
  await page.goto(server.url);
  await until('a socket', () => server.sockets.length);
  assert.equal(await page.locator('[ui-app]').count(), 1);
});

pageTest('F132: the built-in viewdefs show a wrapped list', async ({ server, page }) => {
  const builtIn = {};
  const files = await readdir(path.join(ROOT, 'templates/viewdefs'));
  for (const file of files) builtIn[file.replace('.html', '')] = await template(`viewdefs/${file}`);
  const keys = ['lua.ViewList', 'lua.ViewListItem'].flatMap((type) => [`${type}.DEFAULT`, `${type}.list-item`]);
  assert.deepEqual(Object.keys(builtIn).sort(), keys);
  const items = ['Argo', 'Nautilus'].map((name) => ({ $type: 'lua.ViewListItem', item: { $type: 'Ship', name } }));
  model(server, { ships: { $type: 'lua.ViewList', items } });
  const viewdefs = {
    'App.DEFAULT': '<div class="ships" ui-view="ships?wrapper=lua.ViewList"></div>',
    'Ship.DEFAULT': '<p ui-value="name"></p>',
    ...builtIn,
  };
  await open({ server, page }, viewdefs);
  await page.getByText('Nautilus').waitFor();
  assert.deepEqual(await page.locator('.ships p').allTextContents(), ['Argo', 'Nautilus']);
});

/** A listing as the server gives it: `count` variables below one root. */
function listing(count) {
  const long = 'x'.repeat(150);
  const root = {
    id: 1,
    parentId: 0,
    type: 'Fleet',
    goType: 'Fleet',
    value: { obj: 1 },
    childIds: [],
    active: true,
    changeCount: 3,
    depth: 0,
    elementId: 'app',
    properties: { type: 'Fleet' },
    computeTime: '870ns',
  };
  const rows = Array.from({ length: count - 1 }, (_, i) => {
    const id = i + 2;
    const nested = i % 10 !== 0 && i > 0;
    const parentId = nested ? id - (i % 10) : 1;
    return {
      id,
      parentId,
      path: i === 5 ? 'broken.path' : nested ? `field${i}` : `ships.${i}`,
      type: nested ? undefined : 'Ship',
      goType: nested ? 'string' : 'Ship',
      value: i === 3 ? long : nested ? `value ${i}` : { obj: id },
      properties: { path: 'p', access: 'r', elementId: `ui-${id}`, label: 'L' },
      active: i % 7 !== 6,
      access: nested ? 'r' : undefined,
      changeCount: i % 13,
      depth: nested ? 2 : 1,
      elementId: `ui-${id}`,
      computeTime: i % 3 ? `${i % 97}.2us` : `${(i % 9) + 1}.07ms`,
      maxComputeTime: `${(i % 9) + 2}.00ms`,
      error: i === 5 ? 'attempt to index a nil value' : undefined,
      diags: i === 2 ? ['first message', 'second message'] : undefined,
    };
  });
  const all = [root, ...rows];
  for (const row of rows) (all[row.parentId - 1].childIds ??= []).push(row.id);
  return all;
}

async function variables({ server, page }, count) {
  server.files[`/${SESSION}/variables`] = await template('pages/variables.html');
  server.files[`/${SESSION}/variables.json`] = JSON.stringify(listing(count));
  await page.goto(`${server.url}/variables`);
  await page.getByText(`${count} variables`).waitFor();
}
const column = (page, name) => page.evaluate((wanted) => {
  const at = [...document.querySelectorAll('th')].findIndex((th) => th.textContent.replace(/ [▲▼]/, '') === wanted);
  return [...document.querySelectorAll('tbody tr[data-id]')].map((tr) => tr.children[at].textContent);
}, name);

pageTest('F235, F236, F238, P11: the variables page shows its columns, cuts values, marks errors, opens diagnostics', async (fixture) => {
  const { server, page } = fixture;
  await variables({ server, page }, 300);
  assert.deepEqual(await page.locator('th').allTextContents(), ['', 'ID', 'Path', 'Type', 'Value', 'Time', 'Error']);
  assert.equal((await column(page, 'Path'))[0], '(root)');
  const long = page.locator('tr[data-id="5"] td').nth(4);
  assert.equal((await long.textContent()).length, 101);
  assert.equal((await long.getAttribute('title')).length, 152);
  assert.equal(await page.locator('tr[data-id="7"] td.bad').count(), 2);
  await page.locator('tr[data-id="4"] button').click();
  await page.getByText('second message').waitFor();
  await page.getByText('Columns').click();
  for (const name of ['Access', 'Active', 'Props', 'Avg Time']) await page.getByLabel(name, { exact: true }).check();
  assert.deepEqual(await page.locator('th').allTextContents(), [
    '', 'ID', 'Path', 'Type', 'Value', 'Time', 'Avg Time', 'Error', 'Access', 'Active', 'Props',
  ]);
  assert.equal((await column(page, 'Props'))[1], 'elementId=ui-2  label=L');
  assert.deepEqual((await column(page, 'Active')).slice(5, 8), ['✓', '✓', '✗']);
  assert.deepEqual((await column(page, 'Access')).slice(1, 3), ['rw', 'r']);
});

pageTest('F236: columns sort, numbers descending first, a second click reverses', async ({ server, page }) => {
  await variables({ server, page }, 300);
  await shot(page, 'variables');
  const head = (name) => page.locator('th button', { hasText: name });
  await head('Time').click();
  assert.match((await column(page, 'Time'))[0], /^7\.07ms$/);
  assert.equal(await head('Time').textContent(), 'Time ▼');
  await head('Time').click();
  assert.equal((await column(page, 'Time'))[0], '0.2us');
  await head('Path').click();
  assert.equal(await head('Path').textContent(), 'Path ▲');
  assert.equal(await page.locator('th button', { hasText: 'Value' }).count(), 0);
});

pageTest('F237: the tree follows the structure, collapses, and does not sort', async ({ server, page }) => {
  await variables({ server, page }, 300);
  await page.getByText('Tree', { exact: true }).click();
  assert.deepEqual((await column(page, 'ID')).slice(0, 4), ['1', '2', '3', '4']);
  assert.equal(await page.locator('th button').count(), 0);
  await shot(page, 'variables-tree');
  await page.locator('tr[data-id="2"] button').click();
  assert.deepEqual((await column(page, 'ID')).slice(0, 4), ['1', '2', '12', '13']);
  await page.locator('tr[data-id="1"] td').nth(2).getByRole('button').click();
  assert.deepEqual(await column(page, 'ID'), ['1']);
});

pageTest('F239, F234: impact is the own time and the dearest chain below, whatever the unit', async ({ server, page }) => {
  server.files[`/${SESSION}/variables`] = await template('pages/variables.html');
  const row = (id, parentId, computeTime, depth) => ({ id, parentId, computeTime, depth, active: true, changeCount: 1, elementId: '' });
  server.files[`/${SESSION}/variables.json`] = JSON.stringify([
    row(1, 0, '900ns', 0),
    row(2, 1, '1.5ms', 1),
    row(3, 1, '2.0µs', 1),
    row(4, 2, '500.0us', 2),
    row(5, 2, '1.000s', 2),
  ]);
  await page.goto(`${server.url}/variables`);
  await page.getByText('5 variables').waitFor();
  await page.getByText('Columns').click();
  await page.getByLabel('Impact', { exact: true }).check();
  assert.deepEqual(await column(page, 'Impact'), ['1.002s', '1.002s', '2.0us', '500.0us', '1.000s']);
});

pageTest('S78: 5,000 variables stay usable: few rows are built, filtering and scrolling reach all', async ({ server, page, until }) => {
  await variables({ server, page }, 5000);
  assert.ok((await page.locator('tbody tr').count()) < 100);
  await page.locator('main').evaluate((e) => { e.scrollTop = e.scrollHeight; });
  await page.locator('tr[data-id="5000"]').waitFor();
  await page.locator('#filter').fill('broken');
  await until('one row', async () => (await column(page, 'ID')).join() === '7');
});

pageTest('S78: one click shows what fails, in the tree with what leads to it; the count says how many of how many', async (fixture) => {
  const { server, page, until } = fixture;
  await variables({ server, page }, 5000);
  await page.getByRole('button', { name: '1 error' }).click();
  assert.deepEqual(await column(page, 'ID'), ['7']);
  assert.match(await page.locator('#status').textContent(), /^1 of 5000 variables/);
  await shot(page, 'variables-errors');
  await page.getByText('Tree', { exact: true }).click();
  assert.deepEqual(await column(page, 'ID'), ['1', '2', '7']);
  await page.getByRole('button', { name: '1 error' }).click();
  await until('all rows', async () => (await page.locator('#status').textContent()).startsWith('5000 variables'));
  await page.locator('#filter').fill('value 12');
  assert.match(await page.locator('#status').textContent(), /^\d+ of 5000 variables/);
});

pageTest('S78, F235: a refresh keeps scroll and rows, an error is said, polling asks again', async ({ server, page, until }) => {
  await variables({ server, page }, 500);
  await page.locator('main').evaluate((e) => { e.scrollTop = 4000; });
  await page.locator('tr[data-id="145"]').waitFor();
  const row = await page.locator('tr[data-id="145"]').elementHandle();
  const changed = listing(500);
  changed[144].value = 'changed';
  server.files[`/${SESSION}/variables.json`] = JSON.stringify(changed);
  await page.locator('#refresh').click();
  await page.getByText('"changed"').waitFor();
  assert.equal(await row.evaluate((e) => e.isConnected && e.textContent.includes('changed')), true);
  assert.equal(await page.locator('main').evaluate((e) => e.scrollTop), 4000);
  assert.equal(await page.locator('#interval').inputValue(), '2');
  await page.locator('#interval').selectOption('1');
  const asked = server.requests.length;
  await page.locator('#poll').check();
  await until('two polls', () => server.requests.length >= asked + 2);
  delete server.files[`/${SESSION}/variables.json`];
  server.alive = false;
  await page.getByText('The session is gone.').waitFor();
});

pageTest('P8, N21: the page of a session that is gone links to the root', async ({ server, page }) => {
  server.files['/gone'] = (await template('pages/session-gone.html')).replaceAll('{{base}}', './');
  await page.goto(`${server.origin}/gone`);
  await shot(page, 'session-gone');
  assert.equal(await page.locator('a').getAttribute('href'), './');
});

pageTest('L34: the page of a failed start shows the error and reloads when a file has changed', async ({ server, page, until }) => {
  const html = (await template('pages/start-error.html'))
    .replace('{{generation}}', '4')
    .replace('{{message}}', "lua/main.lua:3: attempt to index a nil value (global 'sesion')")
    .replace('{{traceback}}', 'stack traceback:\n\tlua/main.lua:3: in main chunk');
  server.files['/'] = html;
  server.files['/lsess-client/generation'] = '4\n';
  await page.goto(`${server.origin}/`);
  await shot(page, 'start-error');
  await until('a question', () => server.requests.filter((r) => r === 'GET /lsess-client/generation').length >= 2);
  assert.equal(server.requests.filter((r) => r === 'GET /').length, 1);
  server.files['/'] = '<title>works</title>';
  server.files['/lsess-client/generation'] = '5\n';
  await page.waitForFunction(() => document.title === 'works');
});
