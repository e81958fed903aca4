/** Coming to a page, leaving it and coming back: fragment, scroll position, first focus, edits not sent, pages kept for Back. */
import assert from 'node:assert/strict';
import { open, pageTest, settled, useBrowser } from './lib/chromium.js';
import { model, update, viewdefsOf } from './lib/fake-server.js';

useBrowser();
const TALL = {
  'App.DEFAULT': `
    <main>
      <style>#far:target { color: rgb(1, 2, 3) }</style>
      <p style="height: 3000px"></p>
      <p id="far">far</p>
      <p style="height: 2000px"></p>
    </main>
  `,
};
const answers = (server, viewdefs, values) => {
  model(server, values);
  const { react } = server;
  server.react = (frame) => {
    if (frame.messages.some((m) => m.type === 'watch')) server.send(viewdefsOf(viewdefs), update(1, { obj: 1 }, { type: 'App' }));
    react(frame);
  };
};

pageTest('F178: an address with a fragment opens at the element that it names, as its target', async (fixture) => {
  const { server, page, until } = fixture;
  answers(server, TALL, {});
  await page.goto(`${server.url}#far`);
  await until('the place', () => page.evaluate(() => Math.abs(document.querySelector('#far')?.getBoundingClientRect().top ?? 9999) < 5));
  assert.equal(await page.locator('#far').evaluate((e) => getComputedStyle(e).color), 'rgb(1, 2, 3)');
  await page.goto(`${server.url}?other#%E0%`); // no text at all
  await settled(fixture);
  assert.equal(await page.evaluate(() => scrollY), 0);
});

pageTest('F178: F5 comes back to where the page was scrolled to, also where its address has a fragment', async (fixture) => {
  const { server, page, until } = fixture;
  answers(server, TALL, {});
  for (const [hash, position] of [['', 1500], ['#far', 700]]) {
    await page.goto(`${server.origin}/favicon.ico`).catch(() => {});
    await page.goto(server.url + hash);
    await settled(fixture);
    await page.keyboard.press('Shift'); // somebody is there
    await page.evaluate((y) => scrollTo(0, y), position);
    await until('the place', () => page.evaluate((y) => Math.abs(scrollY - y) < 2, position));
    await page.reload();
    await settled(fixture);
    await until('the position', () => page.evaluate((y) => Math.abs(scrollY - y) < 2, position));
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(done)))));
    assert.equal(await page.evaluate(() => Math.round(scrollY)), position);
  }
});

pageTest('F178: autofocus gives the first focus, once', async (fixture) => {
  const { server, page } = fixture;
  const viewdefs = {
    'App.DEFAULT': `
      <main>
        <i>1</i>
        <dialog><input autofocus></dialog>
        <input class="first" autofocus>
        <input autofocus>
      </main>
    `,
  };
  answers(server, viewdefs, {});
  await page.goto(server.url);
  await settled(fixture);
  assert.equal(await page.evaluate(() => document.activeElement.className), 'first');
  await page.evaluate(() => document.activeElement.blur());
  server.send(viewdefsOf({ 'App.DEFAULT': '<main><i>2</i><input class="first" autofocus></main>' }));
  await page.getByText('2').waitFor();
  await settled(fixture);
  assert.equal(await page.evaluate(() => document.activeElement.localName), 'body');
});

pageTest('F37: what was typed is sent when the page is about to be left, while there is a connection', async ({ server, page, until }) => {
  model(server, { a: 'x' });
  await open({ server, page }, { 'App.DEFAULT': '<input ui-value="a">' });
  await until('the value', async () => (await page.locator('input').inputValue()) === 'x');
  await page.locator('input').focus();
  await page.keyboard.type('y');
  await page.evaluate(() => dispatchEvent(new Event('beforeunload')));
  const { data } = await server.received('the edit', (m) => m.type === 'update' && 'value' in m.data);
  assert.match(data.value, /y/);
});

pageTest('R51: a page that was kept for Back lets its connection go, and is as the server has it at once, ' +
  'without a notice', async (fixture) => {
  const { server, page, until } = fixture;
  const values = { a: 'old' };
  answers(server, { 'App.DEFAULT': '<main><b ui-value="a"></b><button ui-action="go()">go</button></main>' }, values);
  await page.goto(server.url);
  await page.getByText('old').waitFor();
  const closed = new Promise((done) => server.sockets.at(-1).on('close', done));
  await page.evaluate(() => {
    window.notices = 0;
    new MutationObserver(() => {
      window.notices += document.querySelectorAll('#ui-notice').length;
    }).observe(document.body, { childList: true });
    dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }));
  });
  assert.equal(await closed, 1000);
  assert.equal(await page.evaluate(() => window.uiApp.getConnection().isConnected()), false);
  values.a = 'new';
  const probes = server.requests.length;
  await page.evaluate(() => dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true })));
  await page.getByText('new').waitFor();
  await settled(fixture);
  await until('one connection', () => server.sockets.length === 2);
  assert.equal(await page.evaluate(() => window.notices), 0);
  assert.deepEqual(server.requests.slice(probes).filter((line) => !line.includes('favicon')), [], 'it asks nothing before');
  await page.locator('button').click();
  await server.received('the first click', (m) => m.type === 'update' && 'value' in m.data);
});

pageTest('R51, R1: clicks that come before a kept page is current reach what they were meant for, and nothing else', async (fixture) => {
  const { server, page, until } = fixture;
  const viewdefs = {
    'App.DEFAULT': `
      <main>
        <button id="add" ui-action="add()">+</button>
        <button id="far" ui-action="chosen.drop()">-</button>
        <ul ui-viewlist="rows"><li></li></ul>
      </main>
    `,
    'Row.DEFAULT': '<li><button ui-action="remove()">x</button> <b ui-value="name"></b></li>',
  };
  const [a, b] = ['a', 'b'].map((name) => ({ $type: 'Row', name }));
  const values = { rows: [a, b], chosen: {} };
  answers(server, viewdefs, values);
  await page.goto(server.url);
  await page.getByText('b', { exact: true }).waitFor();
  await settled(fixture);
  await page.evaluate(() => dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true })));
  const { react } = server;
  const waiting = [];
  server.react = (frame) => waiting.push(frame);
  const before = server.messages.length;
  values.rows = [b];
  await page.evaluate(() => dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true })));
  // The question of the new connection: the old one may have had something to say.
  await until('the question', () => waiting.some((frame) => frame.messages.some((m) => m.type === 'watch')));
  for (const button of ['#add', '#far', 'li:nth-child(1) button', 'li:nth-child(2) button', '#add']) await page.locator(button).click();
  server.react = react;
  waiting.forEach(react);
  const later = () => server.messages.slice(before);
  const createOf = (id) => later().find((m) => m.type === 'create' && m.data.id === id).data;
  const paths = () => later().filter((m) => m.type === 'update' && 'value' in m.data).map((m) => createOf(m.data.varId));
  await until('the clicks', () => paths().length >= 3);
  await page.evaluate(() => window.uiApp.idle());
  const rows = later().find((m) => m.data.properties?.path === 'rows').data.id;
  assert.deepEqual(paths().map((data) => data.properties.path), ['add()', 'remove()', 'add()']);
  const row = later().find((m) => m.data.id === paths()[1].parentId).data;
  assert.equal(row.parentId, rows);
  assert.equal(await page.locator('li').count(), 1);
});

pageTest('R52: a loss while nobody looks is no news; on return the page connects at once', async (fixture) => {
  const { server, page, until } = fixture;
  await page.addInitScript(() => Object.defineProperty(document, 'hidden', { get: () => !!window.away }));
  answers(server, { 'App.DEFAULT': '<b>1</b>' }, {});
  await page.goto(server.url);
  await settled(fixture);
  await page.evaluate(() => {
    window.away = true;
    window.lost = new Promise((done) => window.uiApp.getConnection().onDisconnect(done));
  });
  server.sockets.at(-1).terminate();
  await page.evaluate(() => window.lost);
  assert.equal(await page.locator('#ui-notice').count(), 0);
  await page.evaluate(() => {
    window.away = false;
    document.dispatchEvent(new Event('visibilitychange'));
  });
  await until('the connection', () => page.evaluate(() => window.uiApp.getConnection().isConnected()));
  server.refuse = true;
  server.sockets.at(-1).terminate();
  await page.locator('#ui-notice').waitFor();
});
