/** Frames, the outgoing queue, and the variables of the page. */
import assert from 'node:assert/strict';
import { logged, open, pageTest, useBrowser } from './lib/chromium.js';
import { model, update } from './lib/fake-server.js';

useBrowser();
const text = (page, selector) => page.locator(selector).textContent();
const shows = (until, page, selector, expected) =>
  until(`${selector} to show ${expected}`, async () => (await text(page, selector)) === expected);

pageTest('F15, F16, F45, R8: the first frame is one watch of variable 1 that names client, tab and place, ' +
  'with userEvent (F34a)', async ({ server, page, until }) => {
  const loaded = async (url) => {
    const before = server.frames.length;
    await page.goto(url);
    await until('a frame', () => server.frames.length > before);
    const { at, ...frame } = server.frames[before];
    assert.ok(at > 0);
    return frame;
  };
  const first = await loaded(server.url);
  const { tab } = first.messages[0].data.client;
  assert.match(tab, /^[0-9a-f]{32}$/);
  assert.deepEqual(first, { userEvent: true, messages: [{ type: 'watch', data: { varId: 1, client: { v: 1, tab, url: '/' } } }] });
  const again = await loaded(`${server.url}/a/b?c=1#d`);
  assert.deepEqual(again.messages[0].data.client, { v: 1, tab, url: '/a/b?c=1#d' }, 'a tab keeps its token');
});

pageTest('F17, F19, F20, F57: odd and failing messages stop nothing else', async ({ server, page, until, logs }) => {
  model(server, { a: 'x' });
  await open({ server, page }, { 'App.DEFAULT': '<p ui-value="a"></p>' });
  const a = await server.created('a');
  await shows(until, page, 'p', 'x');
  await page.evaluate((id) => window.uiStore.watch(id, () => { throw new Error('observer broke'); }), a.id);
  server.sockets.at(-1).send('[]');
  server.sockets.at(-1).send('{"result":{}}');
  const odd = [{ error: 'bare text' }, { type: 'strange' }, null, update(a.id, 'y'), { ...update(a.id, 'z'), more: 1 }];
  server.sockets.at(-1).send(JSON.stringify(odd));
  await shows(until, page, 'p', 'z');
  await logged({ logs }, 'bare text');
  await logged({ logs }, 'observer broke', 2);
});

pageTest('F23, F51, F52: null is a value, an update without value changes nothing that is shown', async ({ server, page, until }) => {
  await open({ server, page }, { 'App.DEFAULT': '<p ui-value="a"></p><input ui-value="b">' });
  const [a, b] = [await server.created('a'), await server.created('b')];
  server.send(update(a.id, 'text'), update(b.id, 'field'));
  await shows(until, page, 'p', 'text');
  server.send(update(a.id, undefined, { label: 'l' }), update(b.id, undefined, { 'label:high': 'm' }));
  await until('the property', () => page.evaluate((id) => window.uiStore.get(id).properties.label === 'm', b.id));
  assert.equal(await text(page, 'p'), 'text');
  assert.equal(await page.locator('input').inputValue(), 'field');
  server.send(update(a.id, null));
  await shows(until, page, 'p', '');
});

pageTest('F24, F25: an empty property is removed, a priority suffix is stripped', async ({ server, page, until }) => {
  await open({ server, page }, { 'App.DEFAULT': '<p ui-value="a"></p>' });
  const { id } = await server.created('a');
  server.send(update(id, 1, { 'x:low': '1', 'y:medium': '2' }));
  await until('properties', () => page.evaluate((v) => window.uiStore.get(v).properties.y === '2', id));
  server.send(update(id, undefined, { x: '' }));
  await until('removal', () => page.evaluate((v) => !('x' in window.uiStore.get(v).properties), id));
});

pageTest('F32, F34, F49: quiet updates leave together after about 10 ms without userEvent, equal ones not at all', async (fixture) => {
  const { server, page, until } = fixture;
  await open({ server, page }, { 'App.DEFAULT': '<input ui-value="a"><input ui-value="b">' });
  const [a, b] = [await server.created('a'), await server.created('b')];
  server.send(update(a.id, '1'), update(b.id, '2'));
  await until('values', async () => (await page.locator('input').nth(1).inputValue()) === '2');
  const before = server.frames.length;
  await page.evaluate(([x, y]) => {
    window.uiStore.update(x, '1');
    window.uiStore.update(x, 'one');
    window.uiStore.update(y, 'two');
  }, [a.id, b.id]);
  await until('the frame', () => server.frames.length > before);
  const { userEvent, messages } = server.frames[before];
  assert.equal(userEvent, false);
  assert.deepEqual(messages, [update(a.id, 'one', undefined, 1), update(b.id, 'two', undefined, 1)]);
});

pageTest('F32: a frame leaves no later than 50 ms after its first message, however busy the queue is', async ({ server, page, until }) => {
  await open({ server, page }, { 'App.DEFAULT': '<input ui-value="a">' });
  const { id } = await server.created('a');
  const before = server.frames.length;
  await page.evaluate((v) => new Promise((done) => {
    let n = 0;
    const timer = setInterval(() => {
      window.uiStore.update(v, `v${++n}`);
      if (n < 40) return;
      clearInterval(timer);
      done();
    }, 4);
  }), id);
  await until('several frames', () => server.frames.length - before >= 2);
});

pageTest('F33, F34a, F36: an action leaves at once with what waited, ' +
  'and creates leave with the frame that caused them', async (fixture) => {
  const { server, page, until } = fixture;
  const viewdefs = {
    'App.DEFAULT': `
      <input ui-value="a">
      <button ui-action="go()">go</button>
      <div ui-view="sub"></div>
    `,
    'Sub.DEFAULT': '<i ui-value="deep"></i>',
  };
  await open({ server, page }, viewdefs);
  const [a, go, sub] = [await server.created('a'), await server.created('go()'), await server.created('sub')];
  await until('the app to be seen', () => page.locator('input').isVisible());
  await page.evaluate((id) => {
    window.uiStore.update(id, 'edited');
    document.querySelector('button').click();
  }, a.id);
  const action = await until('the action', () => server.frames.find((f) => f.messages.some((m) => m.data.varId === go.id)));
  assert.equal(action.userEvent, true);
  assert.deepEqual(action.messages, [update(a.id, 'edited', undefined, 1), update(go.id, null, undefined, 1)]);
  server.send(update(sub.id, { obj: 9 }, { type: 'Sub' }));
  const isDeep = (m) => m.data.properties?.path === 'deep';
  const deep = await until('the nested create', () => server.frames.find((f) => f.messages.some(isDeep)));
  assert.equal(deep.userEvent, true);
  assert.deepEqual(deep.messages.map((m) => m.type), ['create', 'update']);
});

pageTest('F37: leaving the page commits the edit in progress', async ({ server, page, until }) => {
  await open({ server, page }, { 'App.DEFAULT': '<input ui-value="a">' });
  const { id } = await server.created('a');
  await page.locator('input').fill('half');
  assert.ok(!server.messages.some((m) => m.data.value === 'half'));
  await page.goto('about:blank');
  await until('the edit', () => server.messages.some((m) => m.data.varId === id && m.data.value === 'half'));
});

pageTest('F38, F39, F42, F43, F44, F46: records, ids and creates are as specified; nothing is watched twice', async ({ server, page }) => {
  await open({ server, page }, { 'App.DEFAULT': '<p ui-value="a?x=1"></p><div ui-view="v"></div><ul ui-viewlist="l"></ul>' });
  await server.created('a');
  const creates = server.messages.filter((m) => m.type === 'create').map((m) => m.data);
  assert.deepEqual(creates.map((c) => c.id), [2, 3, 4]);
  for (const create of creates) {
    assert.deepEqual(Object.keys(create), ['id', 'parentId', 'properties']);
    assert.ok(await page.locator(`#${create.properties.elementId}`).count(), create.properties.elementId);
  }
  const record = await page.evaluate(() => {
    const { widget, ...others } = window.uiStore.get(2);
    window.uiStore.watch(2, () => {});
    return { ...others, element: widget.getElement().localName };
  });
  assert.deepEqual(record, {
    varId: 2,
    parentId: 1,
    properties: { path: 'a', access: 'r', x: '1', elementId: creates[0].properties.elementId },
    element: 'p',
  });
  assert.equal(server.messages.filter((m) => m.type === 'watch').length, 1);
});

pageTest('F48, F50: an own update is stored without calling observers, and a read-only variable is never written', async (fixture) => {
  const { server, page, until } = fixture;
  await open({ server, page }, { 'App.DEFAULT': '<p ui-value="a?access=rw"></p><b ui-value="b"></b><i ui-value="end"></i>' });
  const [a, b] = [await server.created('a'), await server.created('b')];
  const seen = await page.evaluate(([x, y]) => {
    let calls = 0;
    window.uiStore.watch(x, () => calls++);
    window.uiStore.update(x, 'own');
    window.uiStore.update(y, 'refused');
    return [calls, window.uiStore.get(x).value];
  }, [a.id, b.id]);
  assert.deepEqual(seen, [0, 'own']);
  await until('the update', () => server.messages.some((m) => m.data.varId === a.id && m.data.value === 'own'));
  assert.ok(!server.messages.some((m) => m.data.value === 'refused'));
});

pageTest('F54, F56, S17: one destroy ends a subtree; what was in flight is ignored', async ({ server, page, until }) => {
  model(server, { sub: { $type: 'Sub', inner: { $type: 'Inner', t: 'deep' } } });
  const viewdefs = {
    'App.DEFAULT': '<div ui-view="sub"></div>',
    'Sub.DEFAULT': '<p ui-view="inner"></p>',
    'Inner.DEFAULT': '<b ui-value="t"></b>',
  };
  await open({ server, page }, viewdefs);
  await page.getByText('deep').waitFor();
  const [sub, inner, t] = [await server.created('sub'), await server.created('inner'), await server.created('t')];
  server.send(update(sub.id, null, { type: '' }));
  await until('the destroy', () => server.messages.some((m) => m.type === 'destroy'));
  assert.deepEqual(server.messages.filter((m) => m.type === 'destroy').map((m) => m.data.varId), [inner.id]);
  server.send(update(t.id, 'ghost'), { type: 'error', data: { varId: t.id, code: 'x', description: 'y' } });
  server.send(update(sub.id, undefined, { probe: '1' }));
  await until('the probe', () => page.evaluate((id) => window.uiStore.get(id).properties.probe, sub.id));
  assert.equal(await page.evaluate((id) => window.uiStore.get(id), t.id), undefined);
});

pageTest('F55: a destroy of a variable in use counts as null without type', async ({ server, page, until }) => {
  model(server, { a: 'x', sub: { $type: 'Sub' } });
  await open({ server, page }, { 'App.DEFAULT': '<p ui-value="a"></p><div ui-view="sub"></div>', 'Sub.DEFAULT': '<em>here</em>' });
  await page.getByText('here').waitFor();
  const [a, sub] = [await server.created('a'), await server.created('sub')];
  server.send(...[a.id, sub.id, 777].map((varId) => ({ type: 'destroy', data: { varId } })));
  await until('emptiness', async () => (await text(page, 'p')) === '' && !(await page.locator('em').count()));
});

pageTest('F53, F82: a binding is in its null state until the server answers', async ({ server, page }) => {
  const viewdefs = {
    'App.DEFAULT': `
      <p ui-value="a">old</p>
      <b class="c d" ui-class-c="x"></b>
      <a href="#x" ui-attr-href="y"></a>
      <s style="color: red" ui-style-color="z"></s>
      <u ui-html="h">old</u>
      <input value="old" ui-value="v">
    `,
  };
  await open({ server, page }, viewdefs);
  await server.created('h');
  await page.locator('b').waitFor({ state: 'attached' });
  assert.equal(await text(page, 'p'), '');
  assert.match((await page.locator('b').getAttribute('class')) ?? '', /^d( |$)/);
  assert.equal(await page.locator('a').getAttribute('href'), null);
  assert.equal(await page.locator('s').evaluate((e) => e.style.color), '');
  assert.equal(await page.locator('u').innerHTML(), '');
  assert.equal(await page.locator('input').inputValue(), '');
});

pageTest('F58: viewdefs in the same update go before its value', async ({ server, page, until }) => {
  await page.goto(server.url);
  await until('the watch', () => server.frames.length);
  server.send(update(1, { obj: 1 }, { type: 'One', viewdefs: JSON.stringify({ 'One.DEFAULT': '<template><p>one frame</p></template>' }) }));
  await page.getByText('one frame').waitFor();
});

pageTest('S16: rendering and removing leaves as many variables and widgets as before', async ({ server, page, until }) => {
  model(server, { sub: { $type: 'Sub', list: [1, 2, 3], t: 'deep' } });
  const viewdefs = {
    'App.DEFAULT': '<div ui-view="sub"></div>',
    'Sub.DEFAULT': `
      <b ui-value="t" ui-class-x="t"></b>
      <ul ui-viewlist="list"><li></li></ul>
    `,
  };
  await open({ server, page }, viewdefs);
  await page.getByText('deep').waitFor();
  const sub = await server.created('sub');
  server.send(update(sub.id, null, { type: '' }));
  await until('removal', async () => !(await page.locator('b').count()));
  assert.deepEqual(await page.evaluate(() => window.uiStore.count()), { variables: 2, widgets: 0 });
});

pageTest('F18, F21, F22: outgoing messages have the specified shapes and types only', async ({ server, page, until }) => {
  const viewdefs = {
    'App.DEFAULT': `
      <input ui-value="a">
      <button ui-action="go()">go</button>
      <div ui-view="v"></div>
    `,
    'Sub.DEFAULT': '<template></template><b></b>',
    'One.DEFAULT': '<i>1</i>',
  };
  await open({ server, page }, viewdefs);
  const [a, v] = [await server.created('a'), await server.created('v')];
  const error = { type: 'error', data: { varId: a.id, code: 'path-failure', description: 'nil' } };
  server.send(update(v.id, { obj: 2 }, { type: 'One' }), error);
  await page.getByText('1').waitFor();
  server.send(update(v.id, null));
  await page.locator('input').fill('x');
  await page.locator('[ui-action]').click();
  await until('the action', () => server.messages.some((m) => 'value' in m.data && m.data.value === null));
  const shapes = new Set(server.messages.map(({ type, data }) => `${type}: ${Object.keys(data)}`));
  assert.deepEqual([...shapes].sort(), [
    'create: id,parentId,properties', 'error: varId,code,description', 'update: varId,properties',
    'update: varId,value,seq', 'watch: varId,client',
  ]);
});

pageTest('F26: values of every kind are kept as they are', async ({ server, page, until }) => {
  await open({ server, page }, { 'App.DEFAULT': '<b ui-value="a"></b>' });
  const { id } = await server.created('a');
  const values = [
    ['s', 's'],
    [1.5, '1.5'],
    [true, 'true'],
    [{ obj: 3 }, ''],
    [['x', 2, { obj: 3 }], 'x,2,'],
    [{ odd: 1 }, '{"odd":1}'],
    [null, ''],
  ];
  for (const [value, shown] of values) {
    const kind = typeof value + shown;
    server.send(update(id, value, { kind }));
    await page.waitForFunction(([v, k]) => window.uiStore.get(v).properties.kind === k, [id, kind]);
    assert.deepEqual(await page.evaluate((v) => window.uiStore.get(v).value, id), value);
    await shows(until, page, 'b', shown);
  }
});

pageTest('F31, F41, F47: messages keep their order, an id is usable at once, ' +
  'and a drop is one destroy without unwatch', async ({ server, page, until }) => {
  await open({ server, page }, { 'App.DEFAULT': '<b ui-value="a"></b>' });
  await server.created('a');
  const from = server.messages.length;
  const [parent, child] = await page.evaluate(() => {
    const { uiStore } = window;
    const outer = uiStore.create({ parentId: 1, properties: { path: 'p' } });
    const inner = uiStore.create({ parentId: outer, properties: { path: 'q' } });
    uiStore.update(inner, 7);
    uiStore.destroy(outer);
    return [outer, inner];
  });
  await until('the destroy', () => server.messages.some((m) => m.type === 'destroy'));
  const order = server.messages.slice(from).map((m) => [m.type, m.data.id ?? m.data.varId]);
  assert.deepEqual(order, [['create', parent], ['create', child], ['update', child], ['destroy', parent]]);
  assert.ok(!server.messages.some((m) => m.type === 'unwatch'));
});

pageTest('F34a, F33: what a frame causes leaves with it, also when an action in between has sent what waited before', async (fixture) => {
  const { server, page, until } = fixture;
  await open(fixture, { 'App.DEFAULT': '<div><button ui-action="go()">go</button><b ui-value="a"></b></div>' });
  const { id } = await server.created('a');
  await page.evaluate(() => {
    for (let i = 0; i < 20; i++) window.uiStore.update(1, undefined, { count: String(i) });
    const button = document.querySelector('button');
    button.parentElement.addEventListener('ui-removed', () => button.click());
    const { uiApp } = window;
    uiApp.getBinding().getView(uiApp.getAppView().elementId).forceRender();
  });
  await until('the new create', () => server.messages.some((m) => m.type === 'create' && m.data.properties.path === 'a' && m.data.id > id));
});
