/** The client against the real server: what a person sees, from the start page to hot reload. */
import assert from 'node:assert/strict';
import { useBrowser } from './lib/chromium.js';
import { siteTest } from './lib/site.js';
import { until } from './lib/until.js';

useBrowser();

const APP = (greeting) => `
local Ship = session:prototype("Ship", { name = "" })
local App = session:prototype("App", { title = "", count = 0, ships = EMPTY })
function App:greeting() return "${greeting} " .. self.title end
function App:more() self.count = self.count + 1 end
function App:add()
  self.ships = self.ships or {}
  table.insert(self.ships, session:create(Ship, { name = "ship " .. (#self.ships + 1) }))
end
function App:clear() self.ships = {} end
if not session:getApp() then
  session:createAppVariable(session:create(App, { title = "world", ships = {} }))
end
`;
const VIEW = (extra = '') => `
  <template>
    <main>
      <h1 ui-value="greeting()"></h1>
      ${extra}
      <input ui-value="title">
      <output ui-value="count"></output>
      <button class="more" ui-action="more()">more</button>
      <button class="add" ui-action="add()">add</button>
      <button class="clear" ui-action="clear()">clear</button>
      <div class="ships" ui-view="ships?wrapper=lua.ViewList"></div>
    </main>
  </template>
`;
const FILES = {
  'lua/main.lua': APP('Hello'),
  'viewdefs/App.DEFAULT.html': VIEW(),
  'viewdefs/Ship.DEFAULT.html': '<template><p ui-value="name"></p></template>',
};

/** The server closes a connection that was idle for half a second, maybe at the moment when it is used again. */
const get = (context, url) => context.request.get(url, { maxRetries: 3 });
const reads = (page, selector, text) =>
  until(`${selector} to read ${text}`, async () => (await page.locator(selector).first().textContent()) === text);

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
  await until('the edit', async () => (await page.locator('input').inputValue()) === 'world!');
  await until('the focus', () => page.evaluate(() => document.activeElement.localName === 'input'));
  await reads(page, 'output', '1');
});

siteTest('H99, H100: a broken save shows the overlay, the session goes on, the repair takes the overlay away', FILES, async (fixture) => {
  const { site, page } = fixture;
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

/** A module that keeps a list, and an app that grows it. */
const LIST = (items) => `
  local M = { items = { ${items} } }
  function M.add() table.insert(M.items, { name = "row " .. #M.items + 1 }) end
  return M
`;
const LOSING = {
  'lua/list.lua': LIST('{ name = "first" }'),
  'lua/main.lua': `
    list = require("list")
    local App = session:prototype("App", {})
    function App:count() return #list.items end
    function App:add() list.add() end
    if not session:getApp() then session:createAppVariable(session:create(App, {})) end
  `,
  'viewdefs/App.DEFAULT.html': '<template><h1 ui-value="count()"></h1><button ui-action="add()">add</button></template>',
};

siteTest('H49: an edit that replaces rows of the run is told of on the page, another one is not', LOSING, async ({ site, page }) => {
  await page.goto(site.origin);
  await reads(page, 'h1', '1');
  for (let wanted = 2; wanted <= 4; wanted++) {
    await page.click('button');
    await reads(page, 'h1', `${wanted}`);
  }
  await site.write('lua/list.lua', LIST('{ name = "first" }').replace('"row "', '"line "'));
  await page.click('button');
  await reads(page, 'h1', '5');
  assert.equal(await page.locator('#ui-losses').count(), 0);
  await site.write('lua/list.lua', LIST('{ name = "one" }, { name = "two" }'));
  await reads(page, 'h1', '2');
  const card = page.locator('#ui-losses');
  await card.getByText(/^4 run-time rows of "M?\.?items" gave way to your edit$/).waitFor();
  assert.equal(await card.locator('.place').textContent(), 'lua/list.lua');
  await page.keyboard.press('Escape');
  await card.waitFor({ state: 'detached' });
  await page.reload();
  await reads(page, 'h1', '2');
  assert.equal(await card.count(), 0);
});

siteTest('F215, F219, R54: a page finds its session gone after a restart of the server, and begins another', FILES, async (fixture) => {
  const { site, page, context } = fixture;
  await page.goto(site.origin);
  await reads(page, 'h1', 'Hello world');
  const before = page.url();
  const other = await context.newPage();
  await other.goto(before);
  await reads(other, 'h1', 'Hello world');
  await site.stop();
  await page.locator('#ui-notice').waitFor();
  await site.start(site.port);
  await page.evaluate(() => dispatchEvent(new Event('online')));
  await page.getByText('Start again').waitFor();
  await other.reload();
  await other.getByText('Start a new session').waitFor();
  await page.getByText('Start again').click();
  await until('a new session', () => page.url() !== before && /\/[0-9a-f]{32}$/.test(page.url()));
  await reads(page, 'h1', 'Hello world');
  await until('the other tab', () => other.url() === page.url());
});

const BROKEN = { ...FILES, 'lua/main.lua': 'error("nothing works")' };

siteTest('L34, H36: a failed start shows the error and starts when it is mended', BROKEN, async ({ site, page }) => {
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

siteTest('F10, F28, F232, F233: types of files, whole numbers, and the listing that tools read', FILES, async ({ site, page, context }) => {
  await page.goto(site.origin);
  await reads(page, 'h1', 'Hello world');
  await page.locator('.more').click();
  await reads(page, 'output', '1'); // not 1.0
  for (const name of ['/main.js', '/main-0a1b2c3d.js', '/lsess-client/view.js']) {
    const answer = await get(context, site.origin + name);
    assert.match(answer.headers()['content-type'], /^text\/javascript/, name);
  }
  const answer = await get(context, `${page.url()}/variables.json`);
  assert.match(answer.headers()['x-change-count'], /^\d+$/);
  const rows = await answer.json();
  const count = rows.find((row) => row.path === 'count');
  assert.deepEqual([rows[0].id, rows[0].parentId, rows[0].depth, count.parentId, count.value], [1, 0, 0, 1, 1]);
  assert.equal(await page.locator(`#${count.elementId}`).count(), 1);
});

siteTest('F220: a page that is reloaded starts over, and the variables of its old connection are gone', FILES, async (fixture) => {
  const { site, page, context } = fixture;
  await page.goto(site.origin);
  const rows = async () => (await (await get(context, `${page.url()}/variables.json`)).json()).length;
  await reads(page, 'h1', 'Hello world');
  await page.evaluate(() => window.uiApp.idle()); // the heading is there before the last variable is
  const before = await rows();
  await page.reload();
  await reads(page, 'h1', 'Hello world');
  await until('as many variables as before', async () => (await rows()) === before);
});

const TYPES = {
  'lua/main.lua': `
local One = session:prototype("One", { name = "one", shown = true })
function One:only() return self.name .. " has it" end
local Two = session:prototype("Two", { name = "two" })
local App = session:prototype("App", { current = EMPTY, turns = 0 })
function App:turn()
  self.turns = self.turns + 1
  self.current = session:create(self.turns % 2 == 0 and One or Two, {})
end
function App:drop()
  self.turns = self.turns + 1
  self.current = nil
end
if not session:getApp() then
  session:createAppVariable(session:create(App, { current = session:create(One, {}) }))
end
`,
  'viewdefs/App.DEFAULT.html': `
    <template>
      <output ui-value="turns"></output>
      <div ui-view="current"></div>
      <button class="turn" ui-action="turn()">turn</button>
      <button class="drop" ui-action="drop()">drop</button>
    </template>
  `,
  'viewdefs/One.DEFAULT.html': '<template><p ui-value="only()" ui-class-hidden="shown"></p><i ui-value="name"></i></template>',
  'viewdefs/Two.DEFAULT.html': '<template><b ui-value="name"></b></template>',
};

siteTest('F57, F147, F211: a view that switches type reports nothing of what it takes down', TYPES, async ({ site, page, logs }) => {
  await page.goto(site.origin);
  await reads(page, 'p', 'one has it');
  const steps = [
    [1, 'turn', 'b', 'two'],
    [2, 'turn', 'p', 'one has it'],
    [3, 'drop', 'output', '3'],
    [4, 'turn', 'p', 'one has it'],
    [5, 'turn', 'b', 'two'],
  ];
  for (const [turns, button, selector, text] of steps) {
    await page.locator(`.${button}`).click();
    await reads(page, 'output', String(turns));
    await reads(page, selector, text);
    await page.evaluate(() => window.uiApp.idle());
  }
  assert.deepEqual(logs, []);
  assert.equal(await page.locator('.ui-error').count(), 0);
});

const INDEX = `<!doctype html>
<title>own</title>
<script type="module" src="/main-1a2b3c4d.js"></script>
<div ui-app></div>
`;
const OWN = { ...FILES, 'html/index.html': INDEX };

siteTest('Q1: a page that names the built-in client preloads its modules; one with a client of its own does not', OWN, async (fixture) => {
  const { site, page, context } = fixture;
  const preloads = async () => {
    const html = await (await get(context, site.origin)).text();
    return [...html.matchAll(/rel="modulepreload" href="([^"]*)"/g)].map((match) => new URL(match[1], `${site.origin}/session`).pathname);
  };
  const links = await preloads();
  await page.goto(site.origin);
  await reads(page, 'h1', 'Hello world');
  const resources = await page.evaluate(() => performance.getEntriesByType('resource').map((entry) => new URL(entry.name).pathname));
  const loaded = resources.filter((name) => name.startsWith('/lsess-client/'));
  assert.deepEqual(links, [...new Set(loaded)].sort());
  assert.equal(loaded.length, links.length, 'each is loaded once');
  await site.write('html/main-1a2b3c4d.js', '// a client of the site');
  assert.deepEqual(await preloads(), []);
});

siteTest('F29, F222: a page pushes megabytes of text in one update', {
  'lua/main.lua': `
local App = session:prototype("App", { text = "" })
function App:size() return #self.text end
if not session:getApp() then
  session:createAppVariable(session:create(App, {}))
end
`,
  'viewdefs/App.DEFAULT.html': `
    <template>
      <main>
        <span id="bridge" style="display: none" ui-value="text?access=rw"></span>
        <output ui-value="size()"></output>
      </main>
    </template>
  `,
}, async ({ site, page }) => {
  await page.goto(site.origin);
  await reads(page, 'output', '0');
  await page.evaluate(() => window.uiApp.updateValue('bridge', 'x'.repeat(9 << 20)));
  await reads(page, 'output', String(9 << 20));
});

siteTest('F30, F35: what one frame has changed comes in one frame, viewdefs first, then by priority', {
  'lua/main.lua': `
local App = session:prototype("App", { low = 0, plain = 0, high = 0, part = EMPTY })
local Part = session:prototype("Part", { text = "part" })
function App:go()
  self.low, self.plain, self.high = 1, 1, 1
  self.part = session:create(Part, {})
end
if not session:getApp() then
  session:createAppVariable(session:create(App, {}))
end
`,
  'viewdefs/App.DEFAULT.html': `
    <template>
      <i ui-value="low?priority=low"></i>
      <b ui-value="plain"></b>
      <u ui-value="high?priority=high"></u>
      <div ui-view="part"></div>
      <button ui-action="go()">go</button>
    </template>
  `,
  'viewdefs/Part.DEFAULT.html': '<template><p ui-value="text"></p></template>',
}, async ({ site, page }) => {
  const frames = [];
  page.on('websocket', (socket) => socket.on('framereceived', ({ payload }) => frames.push([JSON.parse(payload)].flat())));
  await page.goto(site.origin);
  await reads(page, 'u', '0');
  const [first] = frames;
  const viewdefs = first.findIndex(({ data }) => Object.keys(data.properties ?? {}).some((name) => name.startsWith('viewdefs')));
  assert.ok(viewdefs >= 0 && viewdefs <= first.findIndex(({ data }) => data.value !== undefined));
  const paths = await page.evaluate(() => {
    const variable = (tag) => window.uiApp.getBinding().getWidget(document.querySelector(tag).id).getVariableId('ui-value');
    return Object.fromEntries(['i', 'b', 'u'].map((tag) => [variable(tag), tag]));
  });
  const before = frames.length;
  await page.locator('button').click();
  await reads(page, 'p', 'part');
  const answer = frames.slice(before).find((frame) => frame.some(({ data }) => paths[data.varId]));
  const valued = answer.filter(({ data }) => data.value !== undefined && paths[data.varId]);
  assert.deepEqual(valued.map(({ data }) => paths[data.varId]), ['u', 'b', 'i']);
});

const LATE_VIEW = { 'viewdefs/App.DEFAULT.html': '<template><h1 ui-value="greeting()"></h1></template>' };
const LATE = (word, more = '') => `
App = session:prototype("App", { title = "" })
function App:greeting() return "${word}" end
${more}`;
const MAKE = 'if not session:getApp() then session:createAppVariable(session:create(App, {})) end\n';

siteTest('P31, H36: a page that is there before main.lua shows the app as soon as there is one, ' +
  'and the next one after a restart without', LATE_VIEW, async (fixture) => {
  const { site, page } = fixture;
  await page.goto(site.origin);
  await until('the session', async () => (await site.lua('session:getApp()')) === 'nil');
  await site.write('lua/main.lua', LATE('came', MAKE));
  await reads(page, 'h1', 'came');
  await site.write('lua/main.lua', LATE('changed', MAKE));
  await reads(page, 'h1', 'changed');
  await site.write('lua/main.lua', LATE('later'));
  await site.restart();
  await until('an empty page', async () => (await page.locator('h1').count()) === 0);
  await site.lua(MAKE);
  await reads(page, 'h1', 'later');
});
