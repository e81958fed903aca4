/** The figures that need Chromium: what a person waits for, from the real program to painted pixels (quality.md Q1).
 *
 * Times of two processes are compared, so the offset of the browser's clock is measured first; everything else is
 * stamped inside the page, where the driver's own round trips cost nothing. */
import fs from 'node:fs';
import path from 'node:path';
import { chromium } from 'playwright-core';

const DEADLINE_MS = 30000;
const ARGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];

/** @typedef {import('playwright-core').Page} Page */

/** @param {number[]} samples */
function summary(samples) {
  const sorted = [...samples].sort((a, b) => a - b);
  const at = (part) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))];
  return { value: at(0.5), p95: at(0.95), min: sorted[0], max: sorted.at(-1), runs: sorted.length };
}

/** Helpers inside the page, installed before any of its own scripts. */
function instruments() {
  const now = () => performance.timeOrigin + performance.now();
  /** Resolves with the time at which the frame that first meets `test` has been painted. */
  const painted = (test) => new Promise((resolve) => {
    const look = () => {
      if (!test()) return void requestAnimationFrame(look);
      const channel = new MessageChannel(); // its task runs after the frame whose callback this is
      channel.port1.onmessage = () => resolve(performance.now());
      channel.port2.postMessage(null);
    };
    requestAnimationFrame(look);
  });
  const shown = (selector, count = 1) => document.querySelectorAll(selector).length >= count && !document.querySelector('.ui-new-view');
  Object.assign(window, { bench: { now, painted, shown } });
}

/** A server on `dir` and a page of its own browser context. */
async function inPage(browser, serving, dir, options, fn) {
  await serving(dir, options, async (port) => {
    const context = await browser.newContext({ viewport: { width: 1100, height: 800 } });
    await context.addInitScript(instruments);
    const page = await context.newPage();
    page.setDefaultTimeout(DEADLINE_MS);
    try {
      await fn(page, `http://127.0.0.1:${port}/`, context);
    } finally {
      await context.close();
    }
  });
}

/** Milliseconds that the page's clock is ahead of ours: the answer of the quickest of many questions. @param {Page} page */
async function clockOffset(page) {
  let best = { took: Infinity, offset: 0 };
  for (let i = 0; i < 40; i++) {
    const before = performance.timeOrigin + performance.now();
    const there = await page.evaluate(() => window.bench.now());
    const after = performance.timeOrigin + performance.now();
    if (after - before < best.took) best = { took: after - before, offset: there - (before + after) / 2 };
  }
  return best.offset;
}

/** The contact demo's view with something more in it. */
const viewWith = (dir, more) => {
  const file = path.join(dir, 'viewdefs/contacts.App.DEFAULT.html');
  fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace('<nav', `${more}<nav`));
};

async function saveToPage(browser, { add, site, serving, save, module }) {
  const dir = site('browser-save', save, { 'lua/m.lua': module(1) });
  viewWith(dir, '<output id="number" ui-value="number()"></output>');
  const file = path.join(dir, 'lua/m.lua');
  await inPage(browser, serving, dir, ['--watch'], async (page, url) => {
    await page.goto(url);
    await page.waitForFunction(() => document.querySelector('#number')?.textContent === '1');
    const offset = await clockOffset(page);
    const times = [];
    for (let n = 2; n < 62; n++) {
      const seen = page.evaluate((text) => new Promise((resolve) => {
        const output = document.querySelector('#number');
        new MutationObserver((_, observer) => {
          if (output.textContent !== text) return;
          observer.disconnect();
          resolve(window.bench.now());
        }).observe(output, { childList: true, characterData: true, subtree: true });
      }), String(n));
      await page.evaluate(() => 0); // the observer waits: the driver keeps the order of its commands
      fs.writeFileSync(file, module(n));
      const written = performance.timeOrigin + performance.now();
      times.push((await seen) - offset - written);
    }
    const row = summary(times);
    add({ name: 'save to page', unit: 'ms', ...row }, { floor: 5, target: 'p50 <= 20 ms', limit: 20 });
    add({ name: 'save to page, p95', unit: 'ms', value: row.p95, runs: row.runs }, { floor: 5 });
  });
}

/** Navigation to / until the list is painted, with nothing in the browser's cache. The floor is a page with the same
 * style sheet and modules that has the finished content in it and no application: what the browser takes to load and
 * paint them. The two take turns, so a busy machine slows both. */
async function firstPage(browser, { add, site, serving }) {
  const dir = site('browser-first');
  await inPage(browser, serving, dir, [], async (page, url) => {
    await page.goto(url);
    await page.waitForFunction(() => window.bench.shown('.row'));
    const content = await page.evaluate(() => document.body.innerHTML.replace(/<script[^]*?<\/script>/g, ''));
    const modules = await page.evaluate(() =>
      [...document.querySelectorAll('link[rel=modulepreload]')].map((link) => link.outerHTML).join(''),
    );
    fs.writeFileSync(
      path.join(dir, 'html/plain.html'),
      `<!doctype html><meta charset="utf-8"><title>plain</title>${modules}<link rel="stylesheet" href="/style.css">
<script type="module">import '/main.js'; document.querySelector('#content').append(document.querySelector('template').content)</script>
<template>${content}</template><div id="content"></div>`,
    );
  });
  await inPage(browser, serving, dir, [], async (_, url) => {
    const measureOne = async (address) => {
      const context = await browser.newContext({ viewport: { width: 1100, height: 800 } });
      await context.addInitScript(instruments);
      await context.addInitScript(() => { window.firstRow = window.bench.painted(() => window.bench.shown('.row')); });
      const page = await context.newPage();
      try {
        await page.goto(address, { waitUntil: 'commit' });
        return await page.evaluate(() => window.firstRow);
      } finally {
        await context.close();
      }
    };
    const samples = { plain: [], app: [] };
    for (let i = 0; i < 18; i++) { // the first two warm server and browser
      const plain = await measureOne(`${url}plain.html`);
      const app = await measureOne(url);
      if (i > 1) {
        samples.plain.push(plain);
        samples.app.push(app);
      }
    }
    add(
      { name: 'first page', unit: 'ms', ...summary(samples.app) },
      { floor: summary(samples.plain).value, target: '<= 120 ms', limit: 120 },
    );
  });
}

const ROWS = (count) => `
app.list = {}
app.fill = function(self)
  local l = {}
  for i = 1, ${count} do l[i] = { type = "Item", name = "item " .. i } end
  self.list = l
end
app.empty = function(self) self.list = {} end
app.touch = function(self) self.list[${Math.floor(count / 2)}].name = "changed " .. os.clock() end
`;
const ITEM = {
  'viewdefs/Item.list-item.html': '<template><b class="item" ui-value="name"></b></template>',
  'viewdefs/Item.DEFAULT.html': '<template><li class="item" ui-value="name"></li></template>',
};
const BUTTONS = ['fill', 'empty', 'touch'].map((name) => `<button id="${name}" ui-action="${name}()"></button>`).join('');

/** Clicks, and resolves when the count of items is painted; every change of the tree is recorded. */
const clickUntil = (page, button, selector, count) => page.evaluate(async ({ button, selector, count }) => {
  const records = [];
  const observer = new MutationObserver((more) => records.push(...more));
  observer.observe(document.body, { childList: true, subtree: true, characterData: true, attributes: true });
  const start = performance.now();
  document.querySelector(button).click();
  const end = await window.bench.painted(
    () => document.querySelectorAll(selector).length === count && !document.querySelector('.ui-new-view'),
  );
  observer.disconnect();
  const removals = records.filter((record) => record.removedNodes.length && record.target.matches('[ui-viewlist], ul, .bench'));
  return { took: end - start, removals: removals.length };
}, { button, selector, count });

async function longLists(browser, { add, site, serving }) {
  for (const [what, element] of [
    ['1,000 items', '<div ui-viewlist="list"></div>'],
    ['1,000 wrapped items', '<div ui-view="list?wrapper=lua.ViewList"></div>'],
  ]) {
    const dir = site(`browser-list-${element.length}`, ROWS(1000), ITEM);
    viewWith(dir, `${BUTTONS}<section class="bench">${element}</section>`);
    await inPage(browser, serving, dir, [], async (page, url) => {
      await page.goto(url);
      await page.waitForFunction(() => window.bench.shown('.row'));
      const floors = [];
      const fills = [];
      const empties = [];
      let removals = 0;
      for (let i = 0; i < 9; i++) {
        floors.push(await page.evaluate(bareList, 1000));
        fills.push((await clickUntil(page, '#fill', '.bench .item', 1000)).took);
        await page.evaluate(() => window.uiApp.idle());
        const emptied = await clickUntil(page, '#empty', '.bench .item', 0);
        empties.push(emptied.took);
        removals = Math.max(removals, emptied.removals);
        await page.evaluate(() => window.uiApp.idle());
      }
      add(
        { name: `${what} first shown`, unit: 'ms', ...summary(fills) },
        { floor: summary(floors).value, target: '<= 150 ms', limit: 150 },
      );
      add({ name: `${what} removed`, unit: 'ms', ...summary(empties) });
      add({ name: `${what} removed, operations`, unit: 'operations', value: removals }, { target: '1 operation', limit: 1 });
    });
  }
}

/** The floor: as many plain rows in one piece of HTML, parsed and painted in the place of the list. */
async function bareList(count) {
  const holder = document.createElement('div');
  const start = performance.now();
  holder.innerHTML = Array.from({ length: count }, (_, i) => `<li class="plain">item ${i}</li>`).join('');
  document.querySelector('.bench').append(holder);
  const end = await window.bench.painted(() => true);
  holder.remove();
  return end - start;
}

/** What one change of a list of 2,000 rows costs, from the click to the paint, and in how many messages with a value it
 * comes; with BASE the ratio to that build. */
async function changedRows(browser, { add, site, serving, base }) {
  const dir = site('browser-rows', `
    ${ROWS(2000)}
    local n = 2000
    app.append = function(self)
      n = n + 1
      self.list[#self.list + 1] = { type = "Item", name = "item " .. n }
    end
    app.first = function(self) table.remove(self.list, 1) end
    app.reverse = function(self)
      local l = self.list
      for i = 1, #l // 2 do l[i], l[#l + 1 - i] = l[#l + 1 - i], l[i] end
    end
  `, ITEM);
  const changes = ['append', 'first', 'reverse'];
  const buttons = changes.map((name) => `<button id="${name}" ui-action="${name}()"></button>`).join('');
  viewWith(dir, `${BUTTONS}${buttons}<section class="bench"><div ui-viewlist="list"></div></section>`);
  /** @param {Page} page */
  const change = (page, name) => page.evaluate(async (name) => {
    const list = document.querySelector('.bench > *');
    const order = () => [list.childElementCount, list.firstElementChild?.textContent, list.lastElementChild?.textContent].join();
    const before = order();
    window.values = 0;
    const start = performance.now();
    document.querySelector(`#${name}`).click();
    const end = await window.bench.painted(
      () => order() !== before && list.lastElementChild.textContent && !document.querySelector('.ui-new-view'),
    );
    await window.uiApp.idle();
    return { took: end - start, values: window.values };
  }, name);
  const builds = { now: serving, ...(base && { before: (...rest) => serving(...rest, base) }) };
  const took = {};
  const values = {};
  for (let turn = 0; turn < 4; turn++) {
    for (const [build, serve] of Object.entries(builds)) {
      await inPage(browser, serve, dir, [], async (page, url) => {
        await page.addInitScript(() => {
          const { set } = Object.getOwnPropertyDescriptor(WebSocket.prototype, 'onmessage');
          Object.defineProperty(WebSocket.prototype, 'onmessage', { set(listener) {
            this.addEventListener('message', ({ data }) => {
              window.values += [JSON.parse(data)].flat().filter((m) => m.data?.value !== undefined).length;
            });
            set.call(this, listener);
          } });
        });
        await page.goto(url);
        await page.waitForFunction(() => window.bench.shown('.row'));
        await clickUntil(page, '#fill', '.bench .item', 2000);
        await page.evaluate(() => window.uiApp.idle());
        for (let i = 0; i < 6; i++) {
          for (const name of changes) {
            const one = await change(page, name);
            if (i) (took[`${build} ${name}`] ??= []).push(one.took); // the first warms up
            values[`${build} ${name}`] = one.values;
          }
        }
      });
    }
  }
  const targets = { append: undefined, first: 0.3, reverse: 0.5 };
  for (const name of changes) {
    const floor = base && summary(took[`before ${name}`]).value;
    const limit = targets[name];
    add(
      { name: `2,000 rows: ${name}`, unit: 'ms', ...summary(took[`now ${name}`]) },
      floor ? { floor, ...(limit && { target: `<= ${limit} x BASE`, ratioLimit: limit }) } : {},
    );
  }
  add({ name: '2,000 rows: reverse, messages', unit: 'messages', value: values['now reverse'] }, { target: '1 message', limit: 1 });
}

async function oneText(browser, { add, site, serving }) {
  const dir = site('browser-text', ROWS(5000), ITEM);
  viewWith(dir, `${BUTTONS}<section class="bench"><div ui-viewlist="list"></div></section>`);
  await inPage(browser, serving, dir, [], async (page, url) => {
    await page.goto(url);
    await page.waitForFunction(() => window.bench.shown('.row'));
    await clickUntil(page, '#fill', '.bench .item', 5000);
    await page.evaluate(() => window.uiApp.idle());
    const times = [];
    let touched = 0;
    for (let i = 0; i < 20; i++) {
      const { took, nodes } = await page.evaluate(() => new Promise((resolve) => {
        const start = performance.now();
        new MutationObserver((records, observer) => {
          observer.disconnect();
          resolve({ took: performance.now() - start, nodes: new Set(records.map((record) => record.target)).size });
        }).observe(document.body, { childList: true, subtree: true, characterData: true, attributes: true });
        document.querySelector('#touch').click();
      }));
      times.push(took);
      touched = Math.max(touched, nodes);
    }
    add({ name: 'one text of 5,000 bindings, nodes touched', unit: 'nodes', value: touched }, { target: '1 node', limit: 1 });
    add({ name: 'one text of 5,000 bindings, click to text', unit: 'ms', ...summary(times) });
  });
}

/** Called by run.mjs, which owns the table.
 * @param {{add: Function, site: Function, serving: Function, save: string, module: (n: number) => string,
 *   base?: string}} tools */
export async function measure(tools) {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ARGS });
  try {
    for (const figure of [saveToPage, firstPage, longLists, changedRows, oneText]) await figure(browser, tools);
  } finally {
    await browser.close();
  }
}
