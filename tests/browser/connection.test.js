/** Loss and return of the connection, tabs, and the page-level interface. */
import assert from 'node:assert/strict';
import { open, pageTest, patient, quiet, renewed, shown, useBrowser } from './lib/chromium.js';
import { model, PAGE, SESSION, update } from './lib/fake-server.js';

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
  await page.locator('#ui-notice', { hasText: 'takes no further page' }).waitFor();
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

/** Ends the session while its pages are open. */
const endSession = (server) => {
  server.alive = false;
  for (const socket of server.sockets) socket.terminate();
};

pageTest('F219, R54: that a session is gone is said plainly, nothing is asked any more, and one click starts again', async (fixture) => {
  const { server, page, until } = fixture;
  await hurry(page);
  await open(fixture, { 'App.DEFAULT': '<b>1</b>' });
  await page.locator('b').waitFor();
  const from = server.requests.length;
  endSession(server);
  await page.locator('#ui-notice', { hasText: 'This session is gone' }).waitFor();
  assert.equal(await offline(page), true);
  assert.equal(await page.locator('b').textContent(), '1');
  await page.evaluate(() => {
    dispatchEvent(new Event('online'));
    document.dispatchEvent(new Event('visibilitychange'));
  });
  assert.equal(await page.getByText('Copy what was not sent').isVisible(), false);
  await page.getByText('Start again').click();
  await until('the start page', () => page.url() === `${server.origin}/`);
  assert.deepEqual(server.requests.slice(from).filter((r) => /^\w+ \/[^.]*$/.test(r)), [`POST /ws/${SESSION}`, 'GET /']);
});

pageTest('R54: text that was typed and not sent stays on the page and can be copied', async (fixture) => {
  const { server, page, context } = fixture;
  model(server, { a: 'value', b: 'other', c: false });
  await hurry(page);
  const html = '<main><input ui-value="a"><textarea ui-value="b"></textarea><input type="checkbox" ui-value="c"></main>';
  await open(fixture, { 'App.DEFAULT': html });
  await shown(fixture);
  await page.locator('input').first().click();
  await page.keyboard.type('!edit');
  endSession(server);
  await page.getByText('Copy what was not sent').waitFor();
  await page.locator('textarea').first().fill('two\nlines');
  await page.getByText('Copy what was not sent').click();
  await context.grantPermissions(['clipboard-read']);
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), 'value!edit\n\ntwo\nlines');
  assert.equal(await page.locator('input').first().inputValue(), 'value!edit');
  await page.locator('input').first().fill('value');
  await page.locator('textarea').first().fill('other');
  await page.getByText('Copy what was not sent').waitFor({ state: 'hidden' });
});

pageTest('F217, R54: text that was sent on a dead connection is an edit again', async (fixture) => {
  const { server, page } = fixture;
  const values = { a: 'value', b: 'other' };
  const html = '<main><input ui-value="a"><input ui-value="b"></main>';
  model(server, values);
  await hurry(page);
  await patient(page);
  await open(fixture, { 'App.DEFAULT': html });
  await shown(fixture);
  const field = (n) => page.locator('input').nth(n);
  const edit = async (n, text) => {
    await field(n).fill(text);
    await field(n).blur();
    await server.received('the write', (m) => m.data.value === text);
  };
  await edit(0, 'lost');
  await edit(1, 'handled'); // but its answer is not heard
  values.b = 'handled';
  await renewed(fixture, async () => {
    server.sockets.at(-1).terminate();
    await server.show({ 'App.DEFAULT': html });
  });
  assert.deepEqual([await field(0).inputValue(), await field(1).inputValue()], ['lost', 'handled']);
  const before = server.messages.length;
  await field(1).focus();
  await field(1).blur();
  await field(0).focus();
  await field(0).blur();
  const again = () => server.messages.slice(before).filter((m) => 'value' in m.data).map((m) => m.data.value);
  await fixture.until('the edit', () => again().length);
  assert.deepEqual(again(), ['lost']);
  endSession(server); // its answer was not heard
  await page.getByText('Copy what was not sent').waitFor();
});

pageTest('R54: the tabs of a session that is gone land in one new session; where something is not sent a tab waits', async (fixture) => {
  const { server, page, context, until } = fixture;
  model(server, { a: 'value' });
  const html = { 'App.DEFAULT': '<input ui-value="a">' };
  await hurry(page);
  await open(fixture, html);
  const others = [await context.newPage(), await context.newPage()];
  for (const other of others) {
    await hurry(other);
    await open({ server, page: other }, html);
    await other.locator('input').waitFor();
  }
  await others[1].locator('input').click();
  await others[1].keyboard.type('!edit');
  server.next = 'fedcba9876543210fedcba9876543210';
  endSession(server);
  for (const each of [page, ...others]) await each.locator('#ui-notice', { hasText: 'This session is gone' }).waitFor();
  const url = `${server.origin}/${server.next}`;
  await page.getByText('Start again').click();
  await until('the first', () => page.url() === url);
  await until('the one that follows', () => others[0].url() === url);
  assert.equal(await others[1].locator('input').inputValue(), 'value!edit');
  await others[1].getByText('Start again').click();
  await until('the one that waited', () => others[1].url() === url);
  assert.equal(server.requests.filter((r) => r === 'GET /').length, 1);
});

pageTest('R54: tabs that start again at the same time begin one session', async (fixture) => {
  const { server, page, context, until } = fixture;
  await hurry(page);
  await open(fixture, { 'App.DEFAULT': '<b>1</b>' });
  const other = await context.newPage();
  await hurry(other);
  await open({ server, page: other }, { 'App.DEFAULT': '<b>1</b>' });
  server.next = 'fedcba9876543210fedcba9876543210';
  endSession(server);
  await Promise.all([page, other].map((each) => each.getByText('Start again').click()));
  for (const each of [page, other]) await until('the new session', () => each.url() === `${server.origin}/${server.next}`);
  assert.equal(server.requests.filter((r) => r === 'GET /').length, 1);
});

for (const status of [404, 502, 503, 200]) {
  pageTest(`R54: ${status} of a proxy says nothing of the session: the page waits until the server is there again`, async (fixture) => {
    const { server, page } = fixture;
    await hurry(page);
    model(server, VALUES);
    await open(fixture, APP);
    await shown(fixture);
    await renewed(fixture, async () => {
      server.proxied = status;
      server.sockets.at(-1).terminate();
      await page.locator('#ui-notice', { hasText: 'The server cannot be reached. Trying again' }).waitFor();
      server.proxied = 0;
      await server.show(APP);
    });
  });
}

pageTest('R54: where no WebSocket comes through although the server would take one, the notice tells of the proxy', async (fixture) => {
  const { server, page } = fixture;
  await hurry(page);
  await open({ server, page }, { 'App.DEFAULT': '<b>1</b>' });
  await page.locator('b').waitFor();
  server.upgrade = (request, socket) => void socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n');
  server.sockets.at(-1).terminate();
  await page.locator('#ui-notice', { hasText: 'has to pass Upgrade and Connection on. Trying again' }).waitFor();
});

pageTest('N21: every address begins with the prefix that the page came by', async (fixture) => {
  const { server, page, until } = fixture;
  model(server, VALUES);
  await hurry(page);
  await open(fixture, APP);
  await shown(fixture);
  await page.evaluate(() => window.uiApp.navigateTo('/ship/3?x=1'));
  assert.equal(page.url(), `${server.url}/ship/3?x=1`);
  await page.evaluate((s) => window.uiApp.navigateTo(`/${s}/port`), SESSION);
  assert.equal(page.url(), `${server.url}/port`);
  const urls = () => server.messages.flatMap((m) => m.data.properties?.url ?? m.data.client?.url ?? []);
  await until('the places', () => urls().length === 3);
  assert.deepEqual(urls(), ['/', '/ship/3?x=1', '/port']);
  server.next = 'fedcba9876543210fedcba9876543210';
  endSession(server);
  await page.getByText('Start again').click();
  await until('the new session', () => page.url() === `${server.origin}/tool/${server.next}`);
  assert.deepEqual(server.requests.filter((r) => !/^\w+ \/tool\//.test(r) && !r.includes('favicon')), []);
}, { prefix: '/tool' });

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

/** Says to the page how often it asks whether the server is there. */
const HEARTBEAT = (ms) => ({ page: PAGE.replace('<title>', `<meta name="ui-heartbeat" content="${ms}"><title>`) });

pageTest('R53: an idle page pings; two that are missed end the connection', async (fixture) => {
  const { server, page, until } = fixture;
  await hurry(page);
  await open(fixture, { 'App.DEFAULT': '<b>1</b>' });
  await until('pings that are answered', () => server.pings >= 4);
  assert.equal(server.sockets.length, 1);
  assert.ok(server.frames.every(({ messages }) => messages.length), 'no other frame');
  server.deaf = true;
  const from = server.pings;
  await until('a new socket', () => server.sockets.length === 2);
  assert.ok(server.pings - from <= 3, `${server.pings - from} pings`);
}, HEARTBEAT(200));

pageTest('R53: 0 turns it off', async (fixture) => {
  const { server, page } = fixture;
  await page.addInitScript(() => {
    window.periods = [];
    window.setInterval = (run, ms) => window.periods.push(ms);
  });
  await open(fixture, { 'App.DEFAULT': '<b>1</b>' });
  await page.locator('b').waitFor();
  assert.deepEqual(await page.evaluate(() => window.periods), []);
}, HEARTBEAT(0));

pageTest('R52, S6: a page that is looked at again asks whether the server is there, or has another connection soon', async (fixture) => {
  const { server, page, until } = fixture;
  await page.addInitScript(() => {
    const { now } = Date;
    window.skip = 0;
    Date.now = () => now() + window.skip;
  });
  model(server, VALUES);
  await patient(page);
  await open(fixture, APP);
  await shown(fixture);
  await page.evaluate(() => {
    const look = () => { window.noticed ||= !!document.getElementById('ui-notice'); };
    new MutationObserver(look).observe(document.body, { childList: true });
  });
  const comeBack = () => page.evaluate(() => {
    window.skip += 80000;
    document.dispatchEvent(new Event('visibilitychange'));
  });
  await comeBack();
  await until('an answer', () => server.pings === 1);
  server.send(update(1, undefined, { probe: '1' }));
  await page.waitForFunction(() => window.uiStore.get(1).properties.probe);
  assert.equal(server.sockets.length, 1);
  server.deaf = true;
  await renewed(fixture, async () => {
    const from = performance.now();
    await comeBack();
    await until('a new socket', () => server.sockets.length === 2);
    assert.ok(performance.now() - from < 2000, 'within a second, on a machine that has other work');
    await server.show(APP);
  });
  assert.ok(!await page.evaluate(() => window.noticed), 'without a word');
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
