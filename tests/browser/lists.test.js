/** Scripts of viewdefs, lists, and the work that changes cost. */
import assert from 'node:assert/strict';
import { logged, open, pageTest, patient, quiet, shown, useBrowser } from './lib/chromium.js';
import { model, update, viewdefsOf } from './lib/fake-server.js';

useBrowser();

async function show(fixture, viewdefs, values = {}) {
  await patient(fixture.page);
  const ref = model(fixture.server, values);
  await open(fixture, viewdefs);
  await shown(fixture);
  return ref;
}
const creates = (server) => server.messages.filter((m) => m.type === 'create').map((m) => m.data);
const rows = (...names) => names.map((name) => ({ $type: 'Row', name }));
const ROWS = { 'App.DEFAULT': '<ul ui-viewlist="list"><li></li></ul>', 'Row.DEFAULT': '<li ui-value="name"></li>' };

pageTest('F166, F167, F168, F169, S30, S32: scripts at any depth run once, in document order, revealed, ' +
  'with all attributes', async (fixture) => {
  const { page, server } = fixture;
  await page.addInitScript(() => { window.ran = []; });
  server.files['/lib.js'] = 'window.ran.push("src")';
  const viewdefs = {
    'App.DEFAULT': `
      <script id="first" data-x="1">
        window.ran.push("a:" + !!document.querySelector("b")?.offsetParent + !!window.uiApp);
        function helper() {}
      </script>
      <div ui-view="sub"></div>
      <script type="text/javascript">window.ran.push("c" + typeof helper)</script>
    `,
    'Sub.DEFAULT': `
      <b>seen</b>
      <script>window.ran.push("b:" + document.currentScript.getAttribute("type"))</script>
      <script type="application/json">{"not": "code"}</script>
      <script type="text/template">window.ran.push("never")</script>
    `,
  };
  await show(fixture, viewdefs, { sub: { $type: 'Sub' } });
  assert.deepEqual(await page.evaluate(() => window.ran), ['a:truetrue', 'b:null', 'cfunction']);
  assert.equal(await page.locator('script[data-x]').getAttribute('ui-viewdef'), 'App.DEFAULT');
  assert.equal(await page.locator('script[type="application/json"]').textContent(), '{"not": "code"}');
});

pageTest('F167: files, modules and errors of scripts', async (fixture) => {
  const { page, server, until } = fixture;
  server.files['/lib.js'] = 'window.fromFile = document.currentScript.getAttribute("class")';
  const viewdefs = {
    'App.DEFAULT': `
      <div>x</div>
      <script src="/lib.js" class="c"></script>
      <script type="module">window.mod = import.meta.url.length > 0</script>
      <script>nothing.here</script>
      <script>window.after = 1</script>
    `,
  };
  await show(fixture, viewdefs);
  await until('the file', () => page.evaluate(() => window.fromFile?.startsWith('c') && window.mod && window.after));
  const isReport = ({ type, data }) => type === 'error' && data.varId === 1 && /App\.DEFAULT/.test(data.description);
  await server.received('the report', (m) => isReport(m) && m.data.description.includes('nothing'));
  await logged(fixture, 'script-error in viewdef App.DEFAULT');
});

pageTest('F170, F152: scripts run again when their view renders again, and nothing is undone', async (fixture) => {
  const { page, server, until } = fixture;
  await show(fixture, { 'App.DEFAULT': '<script>window.runs = (window.runs ?? 0) + 1; uiApp.helper = () => 7</script><b>1</b>' });
  server.send(viewdefsOf({ 'App.DEFAULT': '<script>window.runs += 10</script><i>2</i>' }));
  await page.locator('i').waitFor();
  await until('the second run', () => page.evaluate(() => window.runs === 11 && uiApp.helper() === 7));
  assert.equal(await page.locator('body > script[ui-viewdef="App.DEFAULT"]').count(), 1); // activation keeps the mark
  server.send(viewdefsOf({ 'App.DEFAULT': '<u>3</u>' }));
  await page.locator('u').waitFor();
  await shown(fixture);
  assert.equal(await page.locator('body > script[ui-viewdef]').count(), 0);
});

pageTest('F109, F166: ui-code runs after the scripts of its view', async (fixture) => {
  const { page } = fixture;
  const viewdefs = {
    'App.DEFAULT': `
      <div ui-code="c">x</div>
      <script>document.querySelector("div").mark = function () { this.title = "marked" }</script>
    `,
  };
  await show(fixture, viewdefs, { c: 'element.mark()' });
  assert.equal(await page.locator('div').getAttribute('title'), 'marked');
});

pageTest('F179, F182, F183, F186, F27, R1: a list shows one view per element and follows the array', async (fixture) => {
  const { page, server, until } = fixture;
  const abc = rows('a', 'b', 'c');
  const viewdefs = {
    'App.DEFAULT': `
      <ul ui-viewlist="list">
        junk
        <li class="ex" style="color: red" ui-namespace="n" id="x"></li>
        <li>dropped</li>
      </ul>
    `,
    'Row.DEFAULT': '<li class="row" ui-value="name"></li>',
  };
  const ref = await show(fixture, viewdefs, { list: abc });
  assert.deepEqual(await page.locator('li').allTextContents(), ['a', 'b', 'c']);
  const looks = ({ classList, style }) => [classList.contains('ex'), classList.contains('row'), style.color];
  assert.deepEqual(await page.locator('li').first().evaluate(looks), [true, true, 'red']);
  const list = await server.created('list');
  assert.equal(list.properties.access, 'r');
  const items = creates(server).filter((c) => c.parentId === list.id);
  assert.deepEqual(items.map(({ properties: { elementId, ...p } }) => p), abc.map((row) => ({ path: `#${ref(row).obj}`, namespace: 'n' })));
  server.send(update(list.id, [ref(abc[0])]));
  await until('one', async () => (await page.locator('li').count()) === 1);
  await quiet(fixture);
  assert.deepEqual(server.messages.filter((m) => m.type === 'destroy').map((m) => m.data.varId), items.slice(1).map((c) => c.id));
  server.send(update(list.id, { obj: 5 }));
  await until('none', async () => (await page.locator('ul').innerHTML()) === '');
});

pageTest('F137, F184: item namespaces, fallback and ui-item-wrapper', async (fixture) => {
  const { server } = fixture;
  const [x, y] = rows('x', 'y');
  const viewdefs = {
    ...ROWS,
    'App.DEFAULT': `
      <ul ui-viewlist="a" ui-namespace="own" ui-item-wrapper="W"></ul>
      <div ui-namespace="up"><ul ui-viewlist="b?fallbackNamespace=fb&itemless=1"></ul></div>
    `,
  };
  const ref = await show(fixture, viewdefs, { a: [x], b: [y] });
  const items = creates(server).filter((c) => c.properties.path.startsWith('#')).map(({ properties: { elementId, ...p } }) => p);
  assert.deepEqual(items, [
    { path: `#${ref(x).obj}`, namespace: 'own', wrapper: 'W' },
    { path: `#${ref(y).obj}`, namespace: 'up', fallbackNamespace: 'fb' },
  ]);
});

pageTest('F180, F185, S54, R3: a wrapper is dropped, itemWrapper makes a wrapped list with its items', async (fixture) => {
  const { server } = fixture;
  await show(fixture, { 'App.DEFAULT': '<ul ui-viewlist="a?wrapper=lua.ViewList"></ul><ul ui-viewlist="crew?itemWrapper=P"></ul>' });
  const [a, crew, items] = creates(server);
  assert.deepEqual(a.properties, { path: 'a', access: 'r', keyed: 'true', elementId: a.properties.elementId });
  const { elementId } = crew.properties;
  assert.deepEqual(crew.properties, { path: 'crew', access: 'r', keyed: 'true', wrapper: 'lua.ViewList', itemWrapper: 'P', elementId });
  assert.equal(items.parentId, crew.id);
  assert.deepEqual(items.properties, { path: 'items', access: 'r', keyed: 'true', fallbackNamespace: 'list-item', elementId });
});

pageTest('F188, F190: items of one type are not rebuilt, lists nest', async (fixture) => {
  const { page, server, until } = fixture;
  const row = { $type: 'Row', name: 'a', kids: [1, 2].map((n) => ({ $type: 'Kid', n })) };
  const viewdefs = {
    ...ROWS,
    'Row.DEFAULT': '<li><b ui-value="name"></b><ol ui-viewlist="kids"></ol></li>',
    'Kid.DEFAULT': '<i ui-value="n"></i>',
  };
  const ref = await show(fixture, viewdefs, { list: [row] });
  assert.deepEqual(await page.locator('i').allTextContents(), ['1', '2']);
  const kept = await page.locator('b').elementHandle();
  const [item, name] = [await server.created(`#${ref(row).obj}`), await server.created('name')];
  server.send(update(item.id, { obj: 77 }), update(name.id, 'new'));
  await until('the name', async () => (await page.locator('b').textContent()) === 'new');
  assert.equal(await kept.evaluate((e) => e.isConnected), true);
});

pageTest('F191: items take part in hot reload and report their viewdef', async (fixture) => {
  const { page, server } = fixture;
  await show(fixture, ROWS, { list: rows('a', 'b') });
  await fixture.until('both keys', () => server.messages.filter((m) => m.data.properties?.viewdef === 'Row.DEFAULT').length === 2);
  server.send(viewdefsOf({ 'Row.DEFAULT': '<li><em ui-value="name"></em></li>' }));
  await page.locator('em').first().waitFor();
  await shown(fixture);
  assert.deepEqual(await page.locator('li').allTextContents(), ['a', 'b']);
});

pageTest('S57, S55: plain values show as text, a child with ui-empty shows while there is nothing', async (fixture) => {
  const { page, server, until } = fixture;
  const viewdefs = { 'App.DEFAULT': '<ul ui-viewlist="list"><li class="x"></li><p ui-empty>nothing here</p></ul>' };
  await show(fixture, viewdefs, { list: ['one', 2] });
  assert.deepEqual(await page.locator('li').allTextContents(), ['one', '2']);
  assert.equal(await page.locator('p').isVisible(), false);
  server.send(update((await server.created('list')).id, []));
  await until('the empty text', () => page.locator('p').isVisible());
});

pageTest('F189: removing 1,000 items is one operation, adding them is one too', async (fixture) => {
  const { page, server, until } = fixture;
  await show(fixture, { 'App.DEFAULT': '<ul ui-viewlist="list"><li></li></ul>' }, { list: [] });
  await page.evaluate(() => {
    window.records = [];
    const observer = new MutationObserver((records) => {
      for (const { addedNodes, removedNodes } of records) window.records.push([addedNodes.length, removedNodes.length]);
    });
    observer.observe(document.querySelector('ul'), { childList: true });
  });
  const { id } = await server.created('list');
  server.send(update(id, Array(1000).fill(1)));
  await until('rows', async () => (await page.locator('li').count()) === 1000);
  await shown(fixture); // rows that nobody has seen yet go one by one
  server.send(update(id, []));
  await until('no rows', async () => (await page.locator('li').count()) === 0);
  assert.deepEqual(await page.evaluate(() => window.records), [[1000, 0], [0, 1000]]);
  await until('the destroys', () => server.messages.filter((m) => m.type === 'destroy').length === 1000);
});

pageTest('F52, F93: one changed text among 5,000 bindings touches one node', async (fixture) => {
  const { page, server, until } = fixture;
  const values = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`v${i}`, i]));
  await show(fixture, { 'App.DEFAULT': Object.keys(values).map((path) => `<b ui-value="${path}"></b>`).join('') }, values);
  await page.evaluate(() => {
    window.touched = [];
    const observer = new MutationObserver((records) => window.touched.push(...records.map((r) => r.type)));
    observer.observe(document.body, { childList: true, subtree: true, characterData: true, attributes: true });
  });
  server.send(update((await server.created('v4321')).id, 'changed'));
  await page.getByText('changed', { exact: true }).waitFor();
  await until('the record', () => page.evaluate(() => window.touched.length));
  assert.deepEqual(await page.evaluate(() => window.touched), ['characterData']);
});

pageTest('Q1: 1,000 list items first shown (a figure, not a limit)', async (fixture) => {
  const { page, server } = fixture;
  model(server, { list: rows(...Array.from({ length: 1000 }, (_, i) => `row ${i}`)) });
  await page.addInitScript(() => {
    new MutationObserver(() => {
      const all = document.querySelectorAll('li[ui-viewdef]').length === 1000 && !document.querySelector('.ui-new-view');
      if (all) window.shownAt ??= performance.now();
    }).observe(document, { childList: true, subtree: true, attributes: true, attributeFilter: ['class'] });
  });
  await page.goto(server.url);
  const start = await page.evaluate(() => performance.now());
  await server.show(ROWS);
  const shown = (await page.waitForFunction(() => window.shownAt).then((h) => h.jsonValue())) - start;
  console.log(`# 1,000 list items first shown after ${shown.toFixed(0)} ms`);
  assert.equal(await page.locator('li').count(), 1000);
});

pageTest('S57, F145: an exemplar’s content stays until its item has a type', async (fixture) => {
  const { page, server, until } = fixture;
  await open(fixture, { 'App.DEFAULT': '<ul ui-viewlist="list"><li>loading</li></ul>', 'Row.DEFAULT': '<li>row</li>' });
  server.send(update((await server.created('list')).id, [{ obj: 1 }, 'text']));
  const [first, second] = [await server.created('#1'), await server.created('1')];
  server.send(update(first.id, { obj: 1 }), update(second.id, 'text'));
  await until('the text', async () => (await page.locator('li').allTextContents()).join() === 'loading,text');
  server.send(update(first.id, { obj: 1 }, { type: 'Row' }), update(second.id, null));
  await shown(fixture);
  await until('the row', async () => (await page.locator('li').allTextContents()).join() === 'row,');
  assert.equal(await page.locator('li').count(), 2);
});
