/** Viewdefs, namespaces, rendering, revealing, clearing and hot reload. */
import assert from 'node:assert/strict';
import { logged, open, pageTest, quiet, settled, shown, useBrowser } from './lib/chromium.js';
import { model, PAGE, update, viewdefsOf } from './lib/fake-server.js';

useBrowser();

async function show(fixture, viewdefs, values = {}) {
  model(fixture.server, values);
  await open(fixture, viewdefs);
  await shown(fixture);
}
/** Lets hidden content wait for its limit until `passLimit()` says that it is over, so that it can be looked at. */
const holdLimit = (page) => page.addInitScript(() => {
  const { setTimeout, clearTimeout } = window;
  const held = new Map();
  window.setTimeout = (run, ms, ...more) => {
    const id = setTimeout(run, ms === 100 ? 1e9 : ms, ...more);
    if (ms === 100) held.set(id, run);
    return id;
  };
  window.clearTimeout = (id) => {
    held.delete(id);
    clearTimeout(id);
  };
  window.passLimit = () => held.forEach((run, id) => {
    window.clearTimeout(id);
    run();
  });
});
/** The body without scripts, ids and the classes of the client. */
const body = (page) => page.evaluate(() => {
  const copy = document.body.cloneNode(true);
  for (const e of copy.querySelectorAll('script')) e.remove();
  return copy.innerHTML.replace(/ (ui-viewdef|id)="[^"]*"/g, '').replace(/ class=""/g, '').trim();
});
const reload = async (fixture, viewdefs, selector) => {
  fixture.server.send(viewdefsOf(viewdefs));
  await fixture.page.locator(selector).first().waitFor({ state: 'attached' });
  await settled(fixture);
  await quiet(fixture);
};

pageTest('F127, F128: viewdefs add up, as text or object; types may hold dots', async (fixture) => {
  const { server, page } = fixture;
  const viewdefs = { 'App.DEFAULT': '<div ui-view="a"></div><div ui-view="b"></div>' };
  await show(fixture, viewdefs, { a: { $type: 'Fleet.Ship' }, b: { $type: 'Fleet' } });
  server.send(update(1, undefined, { viewdefs: '' }));
  server.send(update(1, undefined, { viewdefs: { 'Fleet.Ship.DEFAULT': '<template><b>ship</b></template>' } }));
  server.send(viewdefsOf({ 'Fleet.DEFAULT': '<i>fleet</i>' }));
  await page.getByText('ship').waitFor();
  await page.getByText('fleet').waitFor();
  const keys = await page.evaluate(() => window.uiApp.getViewdefStore().getKeys().sort());
  assert.deepEqual(keys, ['App.DEFAULT', 'Fleet.DEFAULT', 'Fleet.Ship.DEFAULT']);
});

pageTest('F129, F130, F158: one template, comments around it, or none at all', async (fixture) => {
  const { page } = fixture;
  const viewdefs = {
    'App.DEFAULT': `
      <!-- c -->
      <template><table><tbody ui-viewlist="rows"><tr></tr></tbody></table></template>
      <!-- d -->
    `,
    'Row.DEFAULT': '<template><tr><td ui-value="n"></td></tr></template>',
  };
  await show(fixture, viewdefs, { rows: [{ $type: 'Row', n: 1 }, { $type: 'Row', n: 2 }] });
  assert.deepEqual(await page.locator('table > tbody > tr > td').allTextContents(), ['1', '2']);
});

pageTest('F131, S45: an invalid viewdef is reported to person and server, the older one stays', async (fixture) => {
  const { server, page } = fixture;
  await show(fixture, { 'App.DEFAULT': '<b>good</b>' });
  server.send(viewdefsOf({
    'App.DEFAULT': '<template><b>x</b></template><p></p>',
    nodot: '<b></b>',
    'T.DEFAULT': 'only text<!--<template-->',
  }));
  for (const key of ['App.DEFAULT', 'nodot', 'T.DEFAULT']) {
    const isReport = ({ type, data }) => type === 'error' && data.code === 'bad-viewdef' && data.varId === 1;
    await server.received(key, (m) => isReport(m) && m.data.description.startsWith(key));
  }
  assert.equal(await page.getByText('good').count(), 1);
  await logged(fixture, 'bad-viewdef in App.DEFAULT');
});

pageTest('F134, F135, F136, F138, F139, F141: namespaces are inherited and looked up', async (fixture) => {
  const { server } = fixture;
  const viewdefs = {
    'App.DEFAULT': `
      <i>first root</i>
      <div ui-namespace="near">
        <p class="own" ui-view="a" ui-namespace="COMPACT"></p>
        <p ui-view="b"></p>
      </div>
      <p ui-view="c"></p>
      <p ui-view="d?namespace=seed&fallbackNamespace=fb"></p>
    `,
    'Sub.near': '<p ui-view="e"></p>', 'Sub.DEFAULT': '<p>default</p>', 'Sub.COMPACT': '<p>compact</p>', 'Sub.outer': '<p>outer</p>',
  };
  await show(fixture, viewdefs, { a: { $type: 'Sub' }, b: { $type: 'Sub' }, c: { $type: 'Sub' }, d: { $type: 'Other' } });
  const of = async (path) => {
    const { namespace, fallbackNamespace } = (await server.created(path)).properties;
    return [namespace, fallbackNamespace];
  };
  assert.deepEqual(await of('a'), ['COMPACT', undefined]);
  assert.deepEqual(await of('b'), ['near', undefined]);
  assert.deepEqual(await of('c'), ['outer', undefined]);
  assert.deepEqual(await of('d'), ['outer', 'fb']);
  assert.deepEqual(await of('e'), ['near', undefined]);
  const told = new Map(server.messages.filter((m) => m.data.properties?.viewdef).map((m) => [m.data.varId, m.data.properties.viewdef]));
  const used = async (path) => told.get((await server.created(path)).id);
  assert.deepEqual([await used('a'), await used('b'), await used('c')], ['Sub.COMPACT', 'Sub.near', 'Sub.outer']);
}, { page: PAGE.replace('ui-app', 'ui-app ui-namespace="outer"') });

pageTest('F142, F150, F151, F140, F152: roots take over the host’s looks, the first root is marked', async (fixture) => {
  const { page } = fixture;
  const viewdefs = {
    'App.DEFAULT': '<div class="c" style="color: red" slot="s" title="t" data-x="1" ui-namespace="n" ui-view="sub"></div>',
    'Sub.DEFAULT': '<style></style><section class="own" style="margin: 0;" title="mine">x</section>',
  };
  await show(fixture, viewdefs, { sub: { $type: 'Sub' } });
  const section = await page.locator('section').evaluate((e) => [
    [...e.classList].filter((c) => !c.startsWith('ui-')).join(' '),
    e.getAttribute('style'),
    e.slot,
    e.title,
    e.dataset.x,
    e.hasAttribute('ui-namespace'),
  ]);
  assert.deepEqual(section, ['own c', 'margin: 0; color: red', 's', 'mine', '1', false]);
  assert.equal(await page.locator('body > style').getAttribute('ui-viewdef'), 'Sub.DEFAULT');
  assert.equal(await page.locator('[ui-app]').count(), 0);
});

pageTest('F144, F150: shared elements: the looks of outer hosts reach the innermost root, ' +
  'and all its roots go with the outer view', async (fixture) => {
  const { server, page, until } = fixture;
  const viewdefs = {
    'App.DEFAULT': '<div class="a" ui-view="one" ui-class-on="flag"></div>',
    'One.DEFAULT': '<div class="b" ui-view="two"></div>',
    'Two.DEFAULT': '<b>1</b> text <i>2</i>',
  };
  await show(fixture, viewdefs, { one: { $type: 'One', two: { $type: 'Two' } }, flag: true });
  assert.deepEqual(await page.locator('b').evaluate((e) => [...e.classList].filter((c) => !c.startsWith('ui-')).sort()), ['a', 'b', 'on']);
  const [one, two] = [await server.created('one'), await server.created('two')];
  assert.equal(one.properties.elementId, two.properties.elementId);
  assert.equal(await page.locator('b').getAttribute('id'), one.properties.elementId);
  server.send(update(one.id, null));
  await until('the placeholder', async () => (await body(page)) === '<div class="a on" ui-view="one" ui-class-on="flag"></div>');
});

pageTest('F145: placeholder content is not bound and goes at the first rendering', async (fixture) => {
  const { server, page } = fixture;
  const viewdefs = { 'App.DEFAULT': '<div ui-view="sub">loading <b ui-value="no"></b><p ui-view="nor"></p></div>' };
  await show(fixture, viewdefs, { sub: { $type: 'Sub' } });
  assert.equal(await page.getByText('loading').count(), 1);
  server.send(viewdefsOf({ 'Sub.DEFAULT': '<i>there</i>' }));
  await page.getByText('there').waitFor();
  await settled(fixture);
  assert.equal(await page.getByText('loading').count(), 0);
  assert.deepEqual(server.messages.filter((m) => m.type === 'create').map((m) => m.data.properties.path), ['sub']);
});

pageTest('F146, F154, F171: a new object of one type renders nothing, a new type does, when it has a viewdef', async (fixture) => {
  const { server, page, until } = fixture;
  await show(fixture, { 'App.DEFAULT': '<div ui-view="sub"></div>', 'One.DEFAULT': '<b>one</b>' }, { sub: { $type: 'One' } });
  const { id } = await server.created('sub');
  await page.evaluate(() => { window.old = document.querySelector('b'); });
  server.send(
    update(id, { obj: 50 }),
    update(id, undefined, { viewdef: 'One.DEFAULT' }),
    update(id, { obj: 51 }, { type: 'Two', probe: '1' }),
  );
  await until('the type', () => page.evaluate((v) => window.uiStore.get(v).properties.probe, id));
  assert.equal(await page.evaluate(() => window.old.isConnected && window.old.className.includes('obsolete')), false);
  assert.equal(await page.locator('b').count(), 1);
  server.send(viewdefsOf({ 'Two.DEFAULT': '<i>two</i>' }));
  await page.getByText('two').waitFor();
  await settled(fixture);
  assert.equal(await page.locator('b').count(), 0);
});

pageTest('F147, S15: a re-render destroys the old content’s variables, and only those', async (fixture) => {
  const { server, page } = fixture;
  const viewdefs = {
    'App.DEFAULT': '<div ui-view="sub"></div>',
    'One.DEFAULT': '<b ui-value="x" ui-class-c="y"></b><p ui-view="z"></p>',
    'Zed.DEFAULT': '<u ui-value="q"></u>',
    'Two.DEFAULT': '<i ui-value="x"></i>',
  };
  await show(fixture, viewdefs, { sub: { $type: 'One', x: 1, y: 2, z: { $type: 'Zed' } } });
  const ids = await Promise.all(['x', 'y', 'z'].map(async (path) => (await server.created(path)).id));
  const sub = await server.created('sub');
  server.send(update(sub.id, { obj: 60 }, { type: 'Two' }));
  await server.created('x', 1);
  assert.deepEqual(server.messages.filter((m) => m.type === 'destroy').map((m) => m.data.varId), ids);
  assert.equal(await page.evaluate((id) => !!window.uiStore.get(id), sub.id), true);
});

pageTest('F147, F153: the key in use is told once per change', async (fixture) => {
  const { server } = fixture;
  await show(fixture, { 'App.DEFAULT': '<b>1</b>' });
  const keys = () => server.messages.filter((m) => m.type === 'update' && m.data.varId === 1).map((m) => m.data.properties);
  assert.deepEqual(keys(), [{ viewdef: 'App.DEFAULT' }]);
  await reload(fixture, { 'App.DEFAULT': '<i>2</i>' }, 'i');
  assert.deepEqual(keys(), [{ viewdef: 'App.DEFAULT' }]);
});

pageTest('F148, S41: text and comments at the top level go with their view', async (fixture) => {
  const { page } = fixture;
  await show(fixture, { 'App.DEFAULT': 'text <!-- c --><b>1</b> tail' });
  for (const n of [2, 3]) await reload(fixture, { 'App.DEFAULT': `text <!-- c --><b class="n${n}">${n}</b> tail` }, `.n${n}`);
  assert.equal((await body(page)).replace(/\s+/g, ' '), 'text <!-- c --><b class="n3">3</b> tail');
});

pageTest('F149, S43: a viewdef without elements is reported and shows an empty placeholder', async (fixture) => {
  const { page } = fixture;
  const viewdefs = { 'App.DEFAULT': '<div class="h" ui-view="sub"></div>', 'Sub.DEFAULT': '<template>just text</template>' };
  await show(fixture, viewdefs, { sub: { $type: 'Sub' } });
  assert.equal(await page.locator('div.h').count(), 1);
  await logged(fixture, 'no root element');
});

pageTest('F155: another namespace of a rendered view renders its viewdef', async (fixture) => {
  const { server, page } = fixture;
  const viewdefs = { 'App.DEFAULT': '<div ui-view="sub"></div>', 'Sub.DEFAULT': '<b>big</b>', 'Sub.COMPACT': '<i>small</i>' };
  await show(fixture, viewdefs, { sub: { $type: 'Sub' } });
  server.send(update((await server.created('sub')).id, undefined, { namespace: 'COMPACT' }));
  await page.getByText('small').waitFor();
});

pageTest('F156: styles of a viewdef hold while it is there', async (fixture) => {
  const { page } = fixture;
  await show(fixture, { 'App.DEFAULT': '<style>b { color: rgb(1, 2, 3) }</style><b>x</b>' });
  assert.equal(await page.locator('b').evaluate((e) => getComputedStyle(e).color), 'rgb(1, 2, 3)');
  await reload(fixture, { 'App.DEFAULT': '<b class="now">x</b>' }, '.now');
  assert.notEqual(await page.locator('b').evaluate((e) => getComputedStyle(e).color), 'rgb(1, 2, 3)');
});

pageTest('F159, F160, F161: old content stays, inert and without ids, until the new is complete or 100 ms have passed', async (fixture) => {
  const { server, page, until } = fixture;
  await show(fixture, { 'App.DEFAULT': '<div><b id="name" ui-value="t" ui-event-click="hit()">x</b></div>' }, { t: 'old' });
  server.react = undefined; // answers nothing from here on
  const t = await server.created('t');
  const seen = await page.evaluate(() => {
    window.history_ = [];
    window.limits = [];
    const { setTimeout } = window;
    window.setTimeout = (run, ms, ...more) => {
      if (ms > 50) {
        window.limits.push(ms);
        window.history_.push(performance.now());
      }
      return setTimeout(run, ms, ...more);
    };
    new MutationObserver(() => {
      const [old, now] = ['.ui-obsolete-view', '.ui-new-view'].map((s) => document.querySelector(`body > ${s}`));
      if (old && now) {
        window.history_.push([old.querySelectorAll('[id]').length, old.id, getComputedStyle(old).display, getComputedStyle(now).display]);
        old.querySelector('b').click();
      } else if (!old && !now) {
        window.history_.push(performance.now());
      }
    }).observe(document.body, { childList: true, subtree: true, attributes: true, attributeFilter: ['class'] });
  });
  assert.equal(seen, undefined);
  server.send(viewdefsOf({ 'App.DEFAULT': '<div><i id="name" ui-value="t">y</i></div>' }));
  await server.created('t', 1);
  server.send(update(t.id, 'late'));
  await until('the reveal', () => page.evaluate(() => window.history_.length > 1 && typeof window.history_.at(-1) === 'number'));
  const [begun, first, ...rest] = await page.evaluate(() => window.history_);
  assert.deepEqual(first, [0, '', 'block', 'none']);
  const shown = rest.at(-1) - begun;
  assert.ok(shown >= 80, `revealed after ${shown} ms`); // how much later than 100 is the machine's affair
  assert.deepEqual(await page.evaluate(() => window.limits), [100]);
  const hit = await server.created('hit()');
  assert.ok(!server.messages.some((m) => m.type === 'update' && m.data.varId === hit.id));
});

pageTest('F162, S39: content is revealed as soon as all creates below it are answered', async (fixture) => {
  const { server, page, until } = fixture;
  await page.addInitScript(() => {
    const { setTimeout } = window;
    window.setTimeout = (run, ms, ...more) => setTimeout(run, ms === 100 ? 1e8 : ms, ...more); // no reveal by the limit
  });
  await page.goto(server.url);
  await server.show({
    'App.DEFAULT': `
      <p ui-value="a"></p>
      <div ui-view="sub"></div>
      <button ui-action="go()">go</button>
    `,
    'Sub.DEFAULT': '<b ui-value="deep"></b>',
  });
  const [a, sub] = [await server.created('a'), await server.created('sub')];
  server.send(update(a.id, 'one'));
  await until('the value', async () => (await page.locator('p').textContent()) === 'one');
  assert.equal(await page.locator('p').isVisible(), false);
  server.send(update(sub.id, { obj: 2 }, { type: 'Sub' }));
  const deep = await server.created('deep');
  assert.equal(await page.locator('p').isVisible(), false);
  server.send({ type: 'error', data: { varId: deep.id, code: 'path-failure', description: 'no' } });
  await page.locator('p').waitFor({ state: 'visible' });
  assert.equal(await page.locator('[ui-app]').count(), 0);
});

pageTest('F163, F164: two renderings before the reveal leave one, and a destroyed view leaves nothing', async (fixture) => {
  const { server, page, until } = fixture;
  await holdLimit(page);
  await show(fixture, { 'App.DEFAULT': '<div ui-view="sub"></div>', 'Sub.DEFAULT': '<b>0</b>' }, { sub: { $type: 'Sub' } });
  server.react = undefined;
  await page.evaluate(() => { window.ran = []; });
  server.send(viewdefsOf({ 'Sub.DEFAULT': '<b class="n" ui-value="t">1</b><script>window.ran.push(1)</script>' }));
  server.send(viewdefsOf({ 'Sub.DEFAULT': '<b class="n" ui-value="t">2</b><script>window.ran.push(2)</script>' }));
  await server.created('t', 1);
  assert.equal(await page.locator('b.n').count(), 1);
  assert.equal(await page.locator('.ui-obsolete-view').count(), 1);
  await page.evaluate(() => window.passLimit());
  await settled(fixture);
  assert.deepEqual(await page.evaluate(() => window.ran), [2]);
  server.send(viewdefsOf({ 'Sub.DEFAULT': '<b ui-value="t">3</b>' }));
  await server.created('t', 2);
  server.send(update((await server.created('sub')).id, null));
  await until('emptiness', async () => (await body(page)) === '<div ui-view="sub"></div>');
});

pageTest('F172, F173, F174: clearing puts an empty copy of the host in place, and a type brings the view back', async (fixture) => {
  const { server, page, until } = fixture;
  const viewdefs = {
    'App.DEFAULT': `
      <table>
        <tbody><tr class="r" style="color: red" ui-view="row"></tr></tbody>
      </table>
    `,
    'Row.DEFAULT': '<tr><td>x</td></tr>',
  };
  await show(fixture, viewdefs, { row: { $type: 'Row' } });
  const { id, properties } = await server.created('row');
  server.send(update(id, { obj: 3 }, { type: '' }));
  await until('the placeholder', () => page.locator('tbody').evaluate((e) => e.children.length === 1 && !e.querySelector('td')));
  assert.deepEqual(await page.locator('tr').evaluate((e) => [e.id, e.className, e.style.color]), [properties.elementId, 'r', 'red']);
  await server.received('the empty key', (m) => m.data.varId === id && m.data.properties?.viewdef === '');
  server.send(update(id, { obj: 3 }, { type: 'Row' }));
  await page.locator('td').waitFor();
});

pageTest('F175, F177, S35, S46: a changed text renders its views again, outermost only; the same text does nothing', async (fixture) => {
  const { server, page } = fixture;
  const viewdefs = {
    'App.DEFAULT': '<ul ui-viewlist="list"><li></li></ul>',
    'Row.DEFAULT': '<li ui-view="inner"></li>',
    'Inner.DEFAULT': '<li><b>a</b></li><li>z</li>',
  };
  await show(fixture, viewdefs, { list: [1, 2].map(() => ({ $type: 'Row', inner: { $type: 'Inner' } })) });
  await page.evaluate(() => { window.old = document.querySelector('b'); });
  server.send(viewdefsOf({ 'Inner.DEFAULT': '<li><b>a</b></li><li>z</li>' }));
  await reload(fixture, { 'Inner.DEFAULT': '<li><i>n</i></li><li>z</li>' }, 'i');
  assert.equal(await page.locator('li').count(), 4);
  assert.equal(await page.locator('b').count(), 0);
  const before = server.messages.length;
  await reload(fixture, { 'Inner.DEFAULT': '<li><u>m</u></li>', 'Row.DEFAULT': '<li ui-view="inner" class="new"></li>' }, 'u');
  assert.equal(await page.locator('li.new').count(), 2);
  assert.equal(server.messages.slice(before).filter((m) => m.type === 'create').length, 2);
});

pageTest('F176: an added key that a live view would prefer is used', async (fixture) => {
  const { page } = fixture;
  const viewdefs = { 'App.DEFAULT': '<div ui-namespace="SHORT" ui-view="sub"></div>', 'Sub.DEFAULT': '<b>long</b>' };
  await show(fixture, viewdefs, { sub: { $type: 'Sub' } });
  await reload(fixture, { 'Sub.SHORT': '<i>short</i>' }, 'i');
  assert.equal(await page.locator('b').count(), 0);
});

pageTest('F178, S40: hot reload keeps focus, caret, uncommitted text, scroll positions and open details', async (fixture) => {
  const { server, page } = fixture;
  const html = (extra) => `
    <main>
      ${extra}
      <div class="scroll" style="height: 60px; overflow: auto"><p style="height: 500px"></p></div>
      <details><summary>s</summary>d</details>
      <input class="a" ui-value="a">
      <input id="named" ui-value="b">
      <input class="free">
    </main>
  `;
  await show(fixture, { 'App.DEFAULT': html('') }, { a: 'first', b: 'second' });
  await page.locator('summary').click();
  await page.locator('.free').fill('unbound');
  await page.evaluate(() => { document.querySelector('.scroll').scrollTop = 120; });
  await page.locator('#named').click();
  await page.keyboard.type('XY');
  await page.locator('#named').evaluate((e) => e.setSelectionRange(3, 5));
  await reload(fixture, { 'App.DEFAULT': html('<h2>new</h2><input class="new">') }, 'h2');
  const kept = await page.evaluate(() => {
    const named = document.querySelector('#named');
    return [
      document.activeElement === named,
      named.value,
      named.selectionStart,
      named.selectionEnd,
      document.querySelector('.scroll').scrollTop,
      document.querySelector('details').open,
      document.querySelector('.a').value,
    ];
  });
  assert.deepEqual(kept, [true, 'secondXY', 3, 5, 120, true, 'first']);
  await page.locator('.a').focus();
  await server.received('the kept edit', (m) => m.type === 'update' && m.data.value === 'secondXY');
});

pageTest('S84: documents hear ui-ready, ui-rendered and ui-removed', async (fixture) => {
  const { page } = fixture;
  await page.addInitScript(() => {
    window.heard = [];
    const hear = ({ type, detail }) => window.heard.push([type, detail]);
    for (const type of ['ui-ready', 'ui-rendered', 'ui-removed']) document.addEventListener(type, hear, true);
  });
  await show(fixture, { 'App.DEFAULT': '<b>1</b>' });
  await reload(fixture, { 'App.DEFAULT': '<i>2</i>' }, 'i');
  assert.deepEqual(await page.evaluate(() => window.heard), [
    ['ui-ready', null],
    ['ui-rendered', 'App.DEFAULT'],
    ['ui-removed', 'App.DEFAULT'],
    ['ui-rendered', 'App.DEFAULT'],
  ]);
});

pageTest('F133: a delivery is stored as a whole before views are retried and rendered again', async (fixture) => {
  const { server, page } = fixture;
  await show(fixture, { 'App.DEFAULT': '<div ui-view="a"></div>' }, { a: { $type: 'A', b: { $type: 'B' } } });
  server.send(viewdefsOf({
    'A.DEFAULT': '<section ui-view="b"></section>',
    'B.DEFAULT': '<b>whole</b>',
    'App.DEFAULT': '<main><div ui-view="a"></div></main>',
  }));
  await page.locator('main').getByText('whole').waitFor();
  await quiet(fixture);
  assert.equal(server.messages.filter((m) => m.type === 'error').length, 0);
});

pageTest('F143: the variable of a view has path, element id, forwarded properties and access', async (fixture) => {
  const { server } = fixture;
  await show(fixture, { 'App.DEFAULT': '<div id="place" ui-view="a.b?wrapper=W&create=C&x=1"></div>' });
  const { properties } = await server.created('a.b');
  assert.deepEqual(properties, { path: 'a.b', elementId: 'place', access: 'r', wrapper: 'W', create: 'C', x: '1' });
});

pageTest('F165: the client’s classes have the names that sites know', async (fixture) => {
  const { server, page, until } = fixture;
  await holdLimit(page);
  await show(fixture, { 'App.DEFAULT': '<b>1</b>' });
  server.react = undefined; // no answer: the reveal waits for its limit
  server.send(viewdefsOf({ 'App.DEFAULT': '<i ui-value="never"></i>' }));
  for (const one of ['b.ui-obsolete-view', 'i.ui-new-view']) await until(one, async () => (await page.locator(one).count()) === 1);
  await page.evaluate(() => window.passLimit());
  await settled(fixture);
  assert.equal(await page.locator('i').getAttribute('class'), ''); // the client leaves nothing of its own behind
});

pageTest('F178, F160: a choice among radios that no value is bound to stays through a hot reload', async (fixture) => {
  const { page } = fixture;
  const html = (tag) => `
    <main>
      <${tag}></${tag}>
      <input class="one" type="radio" name="r" checked>
      <input class="two" type="radio" name="r">
    </main>
  `;
  await show(fixture, { 'App.DEFAULT': html('b') });
  await page.locator('.two').click();
  await reload(fixture, { 'App.DEFAULT': html('i') }, 'i');
  assert.deepEqual(await page.evaluate(() => ['.one', '.two'].map((s) => document.querySelector(s).checked)), [false, true]);
});
