/** The client against the real server: what a person sees, from the start page to hot reload. */
import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { DEADLINE_MS, useBrowser } from './lib/chromium.js';
import { built, Site } from './lib/site.js';
import { until } from './lib/until.js';

const browser = useBrowser();

const APP = (greeting) => `
local Ship = session:prototype("Ship", { name = "" })
local App = session:prototype("App", { title = "", count = 0, ships = EMPTY })
function App:greeting() return "${greeting} " .. self.title end
function App:more() self.count = self.count + 1 end
function App:add() self.ships = self.ships or {}; table.insert(self.ships, session:create(Ship, { name = "ship " .. (#self.ships + 1) })) end
function App:clear() self.ships = {} end
if not session:getApp() then session:createAppVariable(session:create(App, { title = "world", ships = {} })) end
`;
const VIEW = (extra = '') => `<template><main><h1 ui-value="greeting()"></h1>${extra}<input ui-value="title"><output ui-value="count"></output>
<button class="more" ui-action="more()">more</button><button class="add" ui-action="add()">add</button><button class="clear" ui-action="clear()">clear</button>
<div class="ships" ui-view="ships?wrapper=lua.ViewList"></div></main></template>`;
const FILES = { 'lua/main.lua': APP('Hello'), 'viewdefs/App.DEFAULT.html': VIEW(), 'viewdefs/Ship.DEFAULT.html': '<template><p ui-value="name"></p></template>' };

/** A test with a site, the server and a page of its own. */
function siteTest(title, files, run, options) {
  test(title, { timeout: DEADLINE_MS * 2, skip: built ? false : 'the program is not built' }, async () => {
    const site = await Site.create(files, options);
    const context = await browser.newContext({ viewport: { width: 1100, height: 750 } });
    try {
      await site.start();
      const page = await context.newPage();
      page.setDefaultTimeout(5000);
      await run({ site, context, page });
    } finally {
      await context.close();
      await site.remove();
    }
  });
}
const reads = (page, selector, text) => until(`${selector} to read ${text}`, async () => (await page.locator(selector).first().textContent()) === text);

siteTest('F8, F9: / makes a session whose page shows the app; edits and actions reach Lua and come back', FILES, async ({ site, page }) => {
  await page.goto(site.origin);
  assert.match(page.url(), /\/[0-9a-f]{32}$/);
  await reads(page, 'h1', 'Hello world');
  await page.locator('input').fill('fleet');
  await page.locator('.more').click();
  await reads(page, 'h1', 'Hello fleet');
  await reads(page, 'output', '1');
});

siteTest('F132, F181: a wrapped list grows and shrinks with the built-in viewdefs', FILES, async ({ site, page }) => {
  await page.goto(site.origin);
  for (const n of [1, 2, 3]) {
    await page.locator('.add').click();
    await page.getByText(`ship ${n}`, { exact: true }).waitFor();
  }
  assert.deepEqual(await page.locator('.ships p').allTextContents(), ['ship 1', 'ship 2', 'ship 3']);
  await page.locator('.clear').click();
  await until('an empty list', async () => !(await page.locator('.ships p').count()));
});

siteTest('F229, F40: two tabs of a session mirror each other', FILES, async ({ site, page, context }) => {
  await page.goto(site.origin);
  await reads(page, 'h1', 'Hello world');
  const second = await context.newPage();
  await second.goto(page.url());
  await reads(second, 'h1', 'Hello world');
  await page.locator('.more').click();
  await reads(second, 'output', '1');
  await page.close();
  await second.locator('.more').click();
  await reads(second, 'output', '2');
});

siteTest('F175, F178: saving Lua and viewdefs changes the page; state, focus and edits stay', FILES, async ({ site, page }) => {
  await page.goto(site.origin);
  await page.locator('.more').click();
  await reads(page, 'output', '1');
  await page.locator('input').click();
  await page.keyboard.type('!');
  await site.write('lua/main.lua', APP('Goodbye'));
  await reads(page, 'h1', 'Goodbye world');
  await site.write('viewdefs/App.DEFAULT.html', VIEW('<h2>saved</h2>'));
  await page.getByText('saved').waitFor();
  assert.equal(await page.locator('input').inputValue(), 'world!');
  assert.equal(await page.evaluate(() => document.activeElement.localName), 'input');
  await reads(page, 'output', '1');
});

siteTest('H99, H100: a broken save shows the overlay, the session goes on, the repair takes the overlay away', FILES, async ({ site, page }) => {
  await page.goto(site.origin);
  await reads(page, 'h1', 'Hello world');
  await site.write('lua/main.lua', `${APP('Hello')}\nlocal x = = 1\n`);
  await page.locator('#ui-overlay').getByText('main.lua').first().waitFor();
  await page.locator('.more').evaluate((e) => e.click());
  await reads(page, 'output', '1');
  await site.write('lua/main.lua', APP('Fixed'));
  await reads(page, 'h1', 'Fixed world');
  await page.locator('#ui-overlay').waitFor({ state: 'detached' });
});

siteTest('F215, F219: after a new start of the server the page finds its session gone and begins a new one', FILES, async ({ site, page }) => {
  await page.goto(site.origin);
  await reads(page, 'h1', 'Hello world');
  const before = page.url();
  await site.stop();
  await page.locator('#ui-notice').waitFor();
  await site.start(site.port);
  await page.evaluate(() => dispatchEvent(new Event('online')));
  await until('a new session', () => page.url() !== before && /\/[0-9a-f]{32}$/.test(page.url()));
  await reads(page, 'h1', 'Hello world');
});

siteTest('L34, H36: a failed start shows the error and starts when it is mended', { ...FILES, 'lua/main.lua': 'error("nothing works")' }, async ({ site, page }) => {
  await page.goto(site.origin);
  await page.getByText('nothing works').first().waitFor();
  await site.write('lua/main.lua', APP('Hello'));
  await reads(page, 'h1', 'Hello world');
});

siteTest('P8, P10, F231: the variables page and the page of a session that is gone', FILES, async ({ site, page }) => {
  await page.goto(site.origin);
  await reads(page, 'h1', 'Hello world');
  await page.goto(`${page.url()}/variables`);
  await page.getByText('(root)').waitFor();
  await page.goto(`${site.origin}/${'0'.repeat(32)}`);
  await page.getByText('This session is gone').waitFor();
});

siteTest('the contacts site shows its list', {}, async ({ site, page }) => {
  await page.goto(site.origin);
  await page.locator('.row').first().waitFor();
  await page.locator('.row').first().click();
  await page.locator('.card h2').waitFor();
  const folder = process.env.LSESS_SHOTS ?? new URL('../../build/screenshots', import.meta.url).pathname;
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: path.join(folder, 'contacts.png') });
}, { template: 'contacts' });

siteTest('F10, F28, F232, F233: types of files, whole numbers, and the listing that tools read', FILES, async ({ site, page, context }) => {
  await page.goto(site.origin);
  await reads(page, 'h1', 'Hello world');
  await page.locator('.more').click();
  await reads(page, 'output', '1'); // not 1.0
  for (const name of ['/main.js', '/main-0a1b2c3d.js', '/lsess-client/view.js']) {
    const answer = await context.request.get(site.origin + name);
    assert.match(answer.headers()['content-type'], /^text\/javascript/, name);
  }
  const answer = await context.request.get(`${page.url()}/variables.json`);
  assert.match(answer.headers()['x-change-count'], /^\d+$/);
  const rows = await answer.json();
  const count = rows.find((row) => row.path === 'count');
  assert.deepEqual([rows[0].id, rows[0].parentId, rows[0].depth, count.parentId, count.value], [1, 0, 0, 1, 1]);
  assert.equal(await page.locator(`#${count.elementId}`).count(), 1);
});

siteTest('F220: a page that is reloaded starts over, and the variables of its old connection are gone', FILES, async ({ site, page, context }) => {
  await page.goto(site.origin);
  const rows = async () => (await (await context.request.get(`${page.url()}/variables.json`)).json()).length;
  await reads(page, 'h1', 'Hello world');
  const before = await rows();
  await page.reload();
  await reads(page, 'h1', 'Hello world');
  await until('as many variables as before', async () => (await rows()) === before);
});
