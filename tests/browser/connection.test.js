/** Loss and return of the connection, tabs, and the page-level interface. */
import assert from 'node:assert/strict';
import { open, pageTest, patient, quiet, renewed, shown, useBrowser } from './lib/chromium.js';
import { model, SESSION, update } from './lib/fake-server.js';

useBrowser();
const APP = {
  'App.DEFAULT': `
    <main>
      <input ui-value="a">
      <button ui-action="go()">go</button>
      <ul ui-viewlist="list"><li></li></ul>
    </main>
  `,
  'Row.DEFAULT': '<li ui-value="n"></li>',
};
const VALUES = { a: 'value', list: [1, 2].map((n) => ({ $type: 'Row', n })) };
const offline = (page) => page.evaluate(() => document.documentElement.classList.contains('ui-disconnected'));
/** Makes the retries wait a thousandth of their time, so that none of their seconds is spent here. */
const hurry = (page) => page.addInitScript(() => {
  const { setTimeout } = window;
  window.delays = [];
  window.setTimeout = (run, ms, ...more) => {
    if (ms >= 700) window.delays.push(ms);
    return setTimeout(run, ms >= 700 ? ms / 1000 : ms, ...more);
  };
});

pageTest('F212, F213, F215, F216: after a loss the page says so, reconnects and resynchronises completely', async (fixture) => {
  const { server, page, until } = fixture;
  model(server, VALUES);
  await hurry(page);
  await patient(page);
  await open(fixture, APP);
  await shown(fixture);
  const used = Math.max(...server.messages.filter((m) => m.type === 'create').map((m) => m.data.id));
  await page.locator('input').click();
  await page.keyboard.type('!edit');
  server.refuse = true;
  server.sockets.at(-1).terminate();
  await page.locator('#ui-notice').waitFor({ state: 'visible' });
  assert.equal(await offline(page), true);
  await page.locator('button').evaluate((e) => e.click());
  await until('two refusals', () => server.refused >= 2);
  await until('the notice of F219', async () => (await page.locator('#ui-notice').textContent()).includes('takes no further page'));
  assert.equal(await page.locator('li').count(), 2);
  const before = server.messages.length;
  await renewed(fixture, async () => {
    server.refuse = false;
    await server.show(APP);
  });
  assert.deepEqual(await page.locator('li').allTextContents(), ['1', '2']);
  await quiet(fixture);
  const again = server.messages.slice(before);
  const [first] = server.messages;
  assert.deepEqual(again[0], first, 'the same tab (R8)');
  assert.ok(again.filter((m) => m.type === 'create').every((m) => m.data.id > used), 'ids go on counting');
  const others = again.filter((m) => m.type === 'destroy' || 'value' in m.data);
  assert.deepEqual(others, [], 'no message about the old connection’s variables, no replayed action');
  assert.equal(await offline(page), false);
  assert.equal(await page.locator('#ui-notice').count(), 0);
  assert.equal(await page.locator('input').inputValue(), 'value!edit'); // F178, F217
  assert.equal(await page.evaluate(() => document.activeElement.localName), 'input');
  assert.equal(await page.locator('main').count(), 1);
});

pageTest('F213: retries begin at about 1 s, double up to 30 s and go on', async ({ server, page, until }) => {
  await hurry(page);
  await open({ server, page }, { 'App.DEFAULT': '<b>1</b>' });
  await page.locator('b').waitFor();
  server.refuse = true;
  server.sockets.at(-1).terminate();
  await until('nine retries', () => page.evaluate(() => window.delays.length >= 9));
  const delays = await page.evaluate(() => window.delays);
  for (const [i, s] of [1, 2, 4, 8, 16, 30, 30, 30, 30].entries()) {
    assert.ok(delays[i] >= s * 750 && delays[i] <= s * 1250, `retry ${i} after ${delays[i]} ms`);
  }
});

pageTest('F214: a failed first connection is retried and the application then starts', async ({ server, page, until }) => {
  await hurry(page);
  model(server, VALUES);
  server.refuse = true;
  await page.goto(server.url);
  await until('a refusal', () => server.refused);
  server.refuse = false;
  await server.show(APP);
  await page.locator('li').nth(1).waitFor();
});

pageTest('F218: disconnect() is final', async ({ server, page }) => {
  await hurry(page);
  await open({ server, page }, { 'App.DEFAULT': '<b>1</b>' });
  await page.locator('b').waitFor();
  const events = await page.evaluate(() => new Promise((done) => {
    const connection = window.uiApp.getConnection();
    const seen = [connection.isConnected()];
    connection.onDisconnect(() => seen.push('gone') && setTimeout(() => done([...seen, connection.isConnected()]), 0));
    connection.disconnect();
  }));
  assert.deepEqual(events, [true, 'gone', false]);
  await page.evaluate(() => { dispatchEvent(new Event('online')); });
  assert.deepEqual(await page.evaluate(() => window.delays), []);
  assert.equal(server.sockets.length, 1);
});

pageTest('F219: a session that is gone leads to the start page, and / is never probed', async ({ server, page, until }) => {
  await hurry(page);
  await open({ server, page }, { 'App.DEFAULT': '<b>1</b>' });
  await page.locator('b').waitFor();
  server.alive = false;
  server.refuse = true;
  const from = server.requests.length;
  server.sockets.at(-1).terminate();
  await until('the start page', () => page.url() === `${server.origin}/`);
  assert.deepEqual(server.requests.slice(from).filter((r) => /^\w+ \/[^.]*$/.test(r)), [`HEAD /${SESSION}`, 'GET /']);
});

pageTest('F219: while the server is down the page waits', async (fixture) => {
  const { server, page } = fixture;
  await hurry(page);
  model(server, VALUES);
  await open(fixture, APP);
  await shown(fixture);
  await renewed(fixture, async () => {
    server.down = true; // its port stays its own
    server.sockets.at(-1).terminate();
    server.http.closeAllConnections();
    await page.locator('#ui-notice', { hasText: 'cannot be reached' }).waitFor();
    server.down = false;
    await server.show(APP);
  });
  assert.equal(await page.locator('li').count(), 2);
});

pageTest('F221, F223, F224, F225: the objects of page scripts', async ({ server, page }) => {
  model(server, { a: 1 });
  await page.addInitScript(() => document.addEventListener('ui-ready', () => { window.early = typeof window.uiApp.updateValue; }));
  await open({ server, page }, { 'App.DEFAULT': '<span id="box" ui-value="a?access=rw"></span>' });
  await page.getByText('1').waitFor();
  const seen = await page.evaluate(async () => {
    const { uiApp, uiStore } = window;
    const store = uiApp.getStore();
    const view = uiApp.getAppView();
    const widget = uiApp.getBinding().getWidget('box');
    const id = store.create({ parentId: 1, properties: { path: 'extra' } });
    store.update(id, 'v', { p: 'q' });
    const made = { ...store.get(id) };
    let errors = 0;
    const end = store.watchErrors(id, () => errors++);
    end();
    store.destroy(id);
    uiApp.extra = true;
    return {
      early: window.early,
      sameStore: store === uiStore,
      view: [view.elementId, view.isRendered(), view.getView() === view],
      widget: [widget.elementId, widget.getElement().localName, widget.hasBinding('ui-value'), widget.getVariableId('ui-value')],
      scrolling: [widget.scrollOnOutput, typeof widget.scrollToBottom],
      viewdefs: [uiApp.getViewdefStore().get('App') !== undefined, uiApp.getViewdefStore().get('Nope')],
      variable: [made, store.get(id), store.getError(1)],
      appView: typeof uiApp.getBinding().getView('app').forceRender,
      none: [uiApp.getBinding().getView('none'), uiApp.getBinding().getWidget('none')],
      extra: uiApp.extra,
    };
  });
  assert.deepEqual(seen, {
    early: 'function',
    sameStore: true,
    view: ['app', true, true],
    widget: ['box', 'span', true, 2],
    scrolling: [false, 'function'],
    viewdefs: [true, undefined],
    variable: [{ varId: 3, parentId: 1, value: 'v', properties: { path: 'extra', p: 'q' } }, undefined, null],
    appView: 'function',
    none: [undefined, undefined],
    extra: true,
  });
  await server.received('the create', (m) => m.type === 'create' && m.data.properties.path === 'extra');
});

pageTest('F222, F49: updateValue sends a value or what the element holds, by author id', async ({ server, page, until }) => {
  model(server, { up: null, field: 'x' });
  const viewdefs = {
    'App.DEFAULT': `
      <div>
        <span id="bridge" style="display: none" ui-value="up?access=rw"></span>
        <input id="field" ui-value="field">
      </div>
    `,
  };
  await open({ server, page }, viewdefs);
  const [up, field] = [await server.created('up'), await server.created('field')];
  await page.locator('#field').waitFor();
  await page.evaluate(() => {
    window.uiApp.updateValue('bridge', { big: 'x'.repeat(2e6) });
    document.getElementById('field').value = 'held';
    window.uiApp.updateValue('field');
    window.uiApp.updateValue('field');
    window.uiApp.updateValue('nothing', 1);
  });
  await until('values', () => server.messages.some((m) => m.data.value === 'held'));
  assert.equal(server.messages.filter((m) => m.data.varId === field.id && 'value' in m.data).length, 1);
  assert.equal(server.messages.find((m) => m.data.varId === up.id && m.data.value)?.data.value.big.length, 2e6);
});

pageTest('F227, F228: navigateTo pushes history and tells the path without the session; so does going back', async (fixture) => {
  const { server, page, until } = fixture;
  await open({ server, page }, { 'App.DEFAULT': '<b>1</b>' });
  await page.locator('b').waitFor();
  await page.evaluate(() => window.uiApp.navigateTo('/ship/3?x=1'));
  const urls = () => server.messages.filter((m) => m.data.varId === 1 && m.data.properties?.url).map((m) => m.data.properties.url);
  await until('the url', () => urls().length === 1);
  assert.equal(page.url(), `${server.url}/ship/3?x=1`);
  await page.evaluate((s) => window.uiApp.navigateTo(`/${s}/port`), SESSION);
  await page.goBack();
  await until('three urls', () => urls().length === 3);
  assert.deepEqual(urls().map((u) => u.replace(/\?.*/, '')), ['/ship/3', '/port', '/ship/3']);
});

pageTest('F229: several tabs show one session, whatever the query', async ({ server, page, context, until }) => {
  await open({ server, page }, { 'App.DEFAULT': '<b>1</b>' });
  const second = await context.newPage();
  await second.goto(server.url);
  await until('two sockets', () => server.sockets.length === 2);
  const third = await context.newPage();
  await third.goto(`${server.url}?conserve=true`);
  await until('three sockets', () => server.sockets.length === 3);
});

pageTest('S85: idle() resolves when all is answered and shown', async ({ server, page }) => {
  model(server, VALUES);
  await open({ server, page }, APP);
  await page.waitForFunction(() => window.uiApp?.getAppView().isRendered());
  await page.evaluate(() => window.uiApp.idle());
  assert.deepEqual(await page.locator('li').allTextContents(), ['1', '2']);
});

pageTest('S6: a server that sends heartbeats and falls silent is left', async ({ server, page, until }) => {
  await page.addInitScript(() => {
    const { now } = Date;
    window.skip = 0;
    Date.now = () => now() + window.skip;
  });
  await hurry(page);
  await open({ server, page }, { 'App.DEFAULT': '<b>1</b>' });
  await page.locator('b').waitFor();
  const silence = () => page.evaluate(() => {
    window.skip += 80000;
    document.dispatchEvent(new Event('visibilitychange'));
  });
  await silence();
  server.sockets.at(-1).send('[]');
  server.send(update(1, undefined, { probe: '1' }));
  await page.waitForFunction(() => window.uiStore.get(1).properties.probe);
  assert.equal(server.sockets.length, 1);
  await silence();
  await until('a new socket', () => server.sockets.length === 2);
});

pageTest('F215, F217: what was edited without a connection is there after it, in controls of every kind, ' +
  'and leaves with the next action', async (fixture) => {
  const { server, page, until } = fixture;
  const html = `
    <main>
      <input class="c" type="checkbox" ui-value="c">
      <select ui-value="s"><option>1<option>2</select>
      <textarea ui-value="t"></textarea>
      <button ui-action="go()">go</button>
      <input class="x" type="radio" name="r" value="x" ui-value="r">
      <input class="y" type="radio" name="r" value="y" ui-value="r">
      <input class="g" type="range" ui-value="g">
    </main>
  `;
  model(server, { c: false, s: '1', t: 'text', r: 'x', g: 10 });
  await hurry(page);
  await patient(page);
  await open(fixture, { 'App.DEFAULT': html });
  await shown(fixture);
  server.refuse = true;
  server.sockets.at(-1).terminate();
  await until('the loss', () => offline(page));
  await page.locator('.c').click();
  await page.locator('select').selectOption('2');
  await page.locator('textarea').fill('more text');
  await page.locator('.y').click();
  await page.locator('.g').fill('70');
  const before = server.messages.length;
  await renewed(fixture, async () => {
    server.refuse = false;
    await server.show({ 'App.DEFAULT': html });
  });
  const state = () => page.evaluate(() => {
    const q = (s) => document.querySelector(s);
    return [q('.c').checked, q('select').value, q('textarea').value, q('.x').checked, q('.y').checked, q('.g').value];
  });
  assert.deepEqual(await state(), [true, '2', 'more text', false, true, '70']);
  await page.locator('button').click();
  const values = () => server.messages.slice(before).filter((m) => m.type === 'update' && 'value' in m.data).map((m) => m.data.value);
  await until('the action', () => values().includes(null));
  assert.deepEqual(values(), ['70', true, '2', 'more text', 'y', null]); // the range had the focus, which a click takes from it
});
