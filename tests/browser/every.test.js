/**
 * What a person relies on, in each browser that the client is made for (R50): one list of tests,
 * run in Chromium, Firefox and WebKitGTK.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import net from 'node:net';
import { after, before, describe, test } from 'node:test';
import { BROWSERS } from './lib/every.js';
import { Site, unbuilt } from './lib/site.js';
import { until } from './lib/until.js';

const DEADLINE_MS = 60000;
/** A page tries again after up to 16 s when it has failed four times. */
const RECONNECT_MS = 30000;

/** One site for all: each test uses its part of a copy. */
const APP = (greeting = 'Hello') => `
local Row = session:prototype("Row", { name = "" })
local App = session:prototype("App", {
  title = "", count = 0, rows = EMPTY, size = "m", on = false, number = 0, kept = "yes",
})
function App:greeting() return "${greeting} " .. self.title end
function App:more() self.count = self.count + 1 end
function App:drop(i) table.remove(self.rows, i) end
function App:names()
  local names = {}
  for i, row in ipairs(self.rows) do names[i] = row.name end
  return table.concat(names, ",")
end
function App:soldOut()
  if self.size == "l" then self.size = "m" end
end
if not session:getApp() then
  local rows = {}
  for i, name in ipairs { "ann", "bob", "cyd" } do rows[i] = session:create(Row, { name = name }) end
  session:createAppVariable(session:create(App, { title = "world", rows = rows }))
end
`;
const VIEW = (extra = '') => `
  <template>
    <main>
      <h1 ui-value="greeting()"></h1>
      ${extra}
      <input id="title" ui-value="title">
      <output ui-value="count"></output>
      <button id="more" ui-action="more()">more</button>
      <div id="rows" ui-viewlist="rows"></div>
      <form onsubmit="return false">
        <input type="radio" name="size" id="m" value="m" ui-value="size" ui-event-change="soldOut()">
        <input type="radio" name="size" id="l" value="l" ui-value="size" ui-event-change="soldOut()">
        <input type="checkbox" id="on" ui-value="on">
        <input type="number" id="number" ui-value="number">
        <input id="kept" ui-value="kept">
        <button type="reset" id="reset">reset</button>
      </form>
      <details id="closed"><summary>more of it</summary>text</details>
    </main>
  </template>
`;
const FILES = {
  'lua/main.lua': APP(),
  'viewdefs/App.DEFAULT.html': VIEW(),
  'viewdefs/Row.DEFAULT.html': '<template><p><input class="name" ui-value="name"><b ui-value="name"></b></p></template>',
};

/** A way to the server that can be cut and mended, as networks do. */
async function cable(port) {
  const sockets = new Set();
  let whole = true;
  const server = net.createServer((near) => {
    if (!whole) return near.destroy();
    const far = net.connect(port, '127.0.0.1');
    for (const [a, b] of [[near, far], [far, near]]) {
      sockets.add(a);
      a.pipe(b);
      a.on('error', () => {});
      a.on('close', () => {
        b.destroy();
        sockets.delete(a);
      });
    }
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  const cut = () => {
    whole = false;
    sockets.forEach((socket) => socket.destroy());
  };
  const mend = () => { whole = true; };
  const close = () => {
    cut();
    server.close();
  };
  return { origin: `http://127.0.0.1:${server.address().port}`, cut, mend, close };
}

for (const [name, program, launch] of BROWSERS) {
  const absent = !existsSync(program) && `${name} is not installed: R50 is not proved for it`;
  if (absent) console.error(absent);
  describe(name, { skip: unbuilt || absent }, () => {
    /** @type {Awaited<ReturnType<typeof launch>>} */
    let page;
    before(async () => { page = await launch(); }, { timeout: DEADLINE_MS });
    after(() => page?.close());

    const text = (selector) => page.eval((s) => document.querySelector(s)?.textContent, selector);
    const value = (selector) => page.eval((s) => document.querySelector(s)?.value, selector);
    const reads = (selector, wanted) => until(`${selector} to read ${wanted}`, async () => (await text(selector)) === wanted);
    const idle = () => page.eval(() => window.uiApp.idle());

    const checked = (selector) => page.eval((s) => document.querySelector(s).checked, selector);

    /** @param {string} title @param {(site: Site) => Promise<void>} run */
    const siteTest = (title, run) => test(`${title} (${name})`, { timeout: DEADLINE_MS }, async () => {
      const site = await Site.create(FILES);
      try {
        await site.start();
        await page.goto(site.origin);
        await reads('h1', 'Hello world');
        await idle();
        await run(site);
      } finally {
        await page.goto('about:blank').catch(() => {});
        await site.remove();
      }
    });

    siteTest('R50: edits and actions reach Lua, and what they change comes back', async (site) => {
      await page.click('#title');
      await page.press('End');
      await page.type('!');
      await page.click('#more');
      await reads('h1', 'Hello world!');
      await reads('output', '1');
      assert.equal(await site.lua('return session:getApp().title'), 'world!');
    });

    siteTest('R1, R50: what is typed into a row is stored in the object that was shown there', async (site) => {
      await page.click('#rows p:nth-child(2) .name');
      await page.press('End');
      await page.type('BY');
      await site.lua('session:getApp():drop(1)');
      await until('two rows', async () => (await page.eval(() => document.querySelectorAll('#rows p').length)) === 2);
      await page.type('!');
      await page.press('Tab');
      await idle();
      await until('the edit', async () => (await site.lua('return session:getApp():names()')) === 'bobBY!,cyd');
    });

    siteTest('F175, F178, R50: a saved viewdef is shown; focus and half-typed text stay', async (site) => {
      await page.click('#title');
      await page.press('End');
      await page.type('!');
      await site.write('viewdefs/App.DEFAULT.html', VIEW('<h2>saved</h2>'));
      await reads('h2', 'saved');
      await until('the edit in the new field', async () => (await value('#title')) === 'world!');
      await until('the focus', () => page.eval(() => document.activeElement?.id === 'title'));
      await page.type('?');
      await page.click('#more');
      await until('the edit', async () => (await site.lua('return session:getApp().title')) === 'world!?');
    });

    siteTest('H99, R50: an error of a saved file is shown over the page until it is mended', async (site) => {
      await site.write('lua/main.lua', `${APP()}\nlocal x = = 1\n`);
      const overlay = () => page.eval(() => document.querySelector('#ui-overlay')?.shadowRoot?.textContent);
      await until('the overlay', async () => (await overlay())?.includes('main.lua'));
      await site.write('lua/main.lua', APP('Bye'));
      await reads('h1', 'Bye world');
      await until('no overlay', () => page.eval(() => !document.querySelector('#ui-overlay')));
    });

    siteTest('F213, F215, F217, R50: a connection that breaks comes back, with what was typed meanwhile', async (site) => {
      const way = await cable(site.port);
      try {
        await page.goto(way.origin);
        await reads('h1', 'Hello world');
        await idle();
        way.cut();
        await until('the notice', async () => !!(await text('#ui-notice'))); // after a second it says something else
        await page.eval(() => { document.querySelector('main').old = true; });
        await page.click('#title');
        await page.press('End');
        await page.type('!');
        way.mend();
        await page.eval(() => { dispatchEvent(new Event('online')); });
        await until('no notice', async () => !(await text('#ui-notice')), RECONNECT_MS);
        await until('the new content', () => page.eval(() => {
          const [content, ...others] = document.querySelectorAll('main');
          return content && !content.old && !others.length;
        }));
        await idle();
        await until('the edit in the new field', async () => (await value('#title')) === 'world!');
        await page.click('#more');
        await reads('h1', 'Hello world!');
        await reads('output', '1');
      } finally {
        way.close();
      }
    });

    siteTest('F94, F96, R50: what is chosen reaches Lua, what the program refuses is shown as it was', async (site) => {
      assert.equal(await checked('#m'), true);
      await page.click('#l');
      await idle();
      await until('m again', async () => (await checked('#m')) && !(await checked('#l')));
      await page.click('#on');
      await until('the box', async () => (await site.lua('return session:getApp().on')) === 'true');
    });

    siteTest('F95, R50: a number arrives when it has been typed', async (site) => {
      await page.click('#number');
      await page.press('End');
      await page.press('Backspace');
      await page.type('-7');
      await page.press('Tab');
      await until('the number', async () => ['-7', '-7.0'].includes(await site.lua('return session:getApp().number')));
    });

    siteTest('F95, R50: after a reset of the form its fields and Lua agree', async (site) => {
      await page.click('#reset');
      await idle();
      await until('agreement', async () => (await value('#kept')) === (await site.lua('return session:getApp().kept')));
    });

    siteTest('R51: a page that is loaded again shows what Lua holds, and an edit is not lost', async (site) => {
      await page.click('#title');
      await page.press('End');
      await page.type('!');
      await page.reload();
      await reads('h1', 'Hello world!');
      assert.equal(await site.lua('return session:getApp().title'), 'world!');
      await site.lua('session:getApp().title = "all"');
      await reads('h1', 'Hello all');
      await until('the field', async () => (await value('#title')) === 'all');
    });

    siteTest('R51: Back to a page shows what Lua holds now', async (site) => {
      const address = await page.eval(() => location.href);
      await page.goto(`${site.origin}/lsess-client/store.js`);
      await site.lua('session:getApp().title = "later"');
      await page.back();
      await until('the page', async () => (await page.eval(() => location.href)) === address);
      await reads('h1', 'Hello later');
      await until('the field', async () => (await value('#title')) === 'later');
      await page.click('#more');
      await reads('output', '1');
    });
  });
}
