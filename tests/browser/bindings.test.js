/** Paths, the binding pass, attributes, classes, styles, HTML and code. */
import assert from 'node:assert/strict';
import { logged, open, pageTest, quiet, shown, useBrowser } from './lib/chromium.js';
import { model, update, viewdefsOf } from './lib/fake-server.js';

useBrowser();

async function show(fixture, viewdefs, values = {}) {
  model(fixture.server, values);
  await open(fixture, typeof viewdefs === 'string' ? { 'App.DEFAULT': viewdefs } : viewdefs);
  await shown(fixture);
}
const creates = (server) => server.messages.filter((m) => m.type === 'create').map((m) => m.data.properties);

pageTest('F59, F60, F61: paths are passed on verbatim', async (fixture) => {
  const paths = ['a.b.0.c()', 'items[0]', 'pick(3)', '!flag', '..name', '@app.x', ' spaced '];
  await show(fixture, paths.map((path) => `<b ui-value="${path}"></b>`).join(''));
  assert.deepEqual(creates(fixture.server).map((p) => p.path), paths);
});

pageTest('F62, F65: queries are decoded and forwarded, local ones stay here, a second ? ends them', async (fixture) => {
  const html = `
    <b ui-value="a?x=1&y&z=a+b%21&scrollOnOutput?q=9"></b>
    <i ui-class-c="b?wrapper=W&keypress"></i>
    <p ui-view="c?itemWrapper=P&scrollOnOutput"></p>
    <ul ui-viewlist="d?wrapper=W&create=C&other=1&scrollOnOutput"></ul>
  `;
  await show(fixture, html);
  const [a, b, c, d] = creates(fixture.server).map(({ elementId, ...others }) => others);
  assert.deepEqual(a, { path: 'a', x: '1', y: 'true', z: 'a b!', access: 'r' });
  assert.deepEqual(b, { path: 'b', wrapper: 'W', access: 'r' });
  assert.deepEqual(c, { path: 'c', itemWrapper: 'P', access: 'r' });
  assert.deepEqual(d, { path: 'd', other: '1', keyed: 'true', access: 'r' });
});

pageTest('F63, F85: empty paths and unknown ui- attributes make no variable', async (fixture) => {
  const html = `
    <b ui-value="" ui-class="x" ui-attr="y" ui-content="z" ui-disabled="q" ui-repeat="r" ui-class-c="?x=1"></b>
    <p ui-view=""><i ui-value="inside"></i></p>
    <ul ui-viewlist=""><li ui-value="also"></li></ul>
  `;
  await show(fixture, html);
  assert.deepEqual(creates(fixture.server).map((p) => p.path), ['inside', 'also']);
});

pageTest('F71, F72, F73, F74: ids are vended, author ids stay, roots get theirs', async (fixture) => {
  const { page } = fixture;
  const html = `
    <style></style>
    <div><b id="kept" ui-value="a"></b><i ui-value="b"></i><u>free</u></div>
    <p id="second"></p>
  `;
  await show(fixture, html, { a: 1, b: 2 });
  const ids = await page.evaluate(() => [...document.querySelectorAll('body > style, body > div, body > p, b, i, u')].map((e) => e.id));
  assert.deepEqual([ids[1], ids[2], ids[4], ids[5]], ['app', 'kept', '', 'second']);
  for (const id of [ids[0], ids[3]]) assert.match(id, /^ui-\d+$/);
  assert.equal(new Set(ids).size, 6);
});

pageTest('F74: the ids of a viewdef’s top-level elements stay, so that what names them finds them', async (fixture) => {
  const { page } = fixture;
  const form = `
    <label for="mail">Mail</label>
    <input id="mail" list="known" ui-value="mail">
    <datalist id="known"><option>a@example.org</datalist>
  `;
  const viewdefs = { 'App.DEFAULT': '<main><div ui-view="form"></div></main>', 'Form.DEFAULT': form };
  await show(fixture, viewdefs, { form: { $type: 'Form', mail: '' } });
  await page.locator('label').click();
  assert.equal(await page.evaluate(() => document.activeElement.localName), 'input');
  assert.equal(await page.evaluate(() => document.querySelector('input').list?.id), 'known');
  assert.equal(await page.evaluate(() => window.uiApp.getBinding().getView(document.querySelector('label').id).isRendered()), true);
});

pageTest('F75, S37: values go to the element of the binding, also where ids are duplicated', async (fixture) => {
  const { page } = fixture;
  const viewdefs = { 'App.DEFAULT': '<ul ui-viewlist="list"><li></li></ul>', 'Row.DEFAULT': '<li><b id="name" ui-value="name"></b></li>' };
  await show(fixture, viewdefs, { list: ['x', 'y'].map((name) => ({ $type: 'Row', name })) });
  assert.deepEqual(await page.locator('b').allTextContents(), ['x', 'y']);
});

pageTest('F77, F78, F81: variables are made in the order of the document, for one element its values first; ' +
  'equal paths are variables of their own', async (fixture) => {
  const html = `
    <b ui-html="h" ui-code="c" ui-action="go()" ui-event-click="e()" ui-style-color="s" ui-class-x="k"
        ui-attr-title="t" ui-value="k"></b>
    <p ui-view="v" ui-class-y="after"></p>
    <ul ui-viewlist="l"></ul>
    <i ui-value="last"></i>
  `;
  await show(fixture, html);
  assert.deepEqual(creates(fixture.server).map((p) => p.path), ['k', 't', 'k', 's', 'e()', 'go()', 'c', 'h', 'v', 'after', 'l', 'last']);
});

pageTest('F79, F80: bindings on a host belong to the outer view, its content to the inner one', async (fixture) => {
  const { server } = fixture;
  const viewdefs = { 'App.DEFAULT': '<div ui-view="sub" ui-class-on="flag"></div>', 'Sub.DEFAULT': '<p><b ui-value="t"></b></p>' };
  await show(fixture, viewdefs, { sub: { $type: 'Sub', t: 'inner' }, flag: true });
  assert.equal((await server.created('flag')).parentId, 1);
  assert.equal((await server.created('t')).parentId, (await server.created('sub')).id);
});

pageTest('F83, S38: bindings on a view host act on the primary root, again after each rendering', async (fixture) => {
  const { server, page, until } = fixture;
  const viewdefs = {
    'App.DEFAULT': `
      <div class="items" ui-class-on="flag" ui-attr-title="tip" ui-event-click="hit()" ui-view="sub"
          ui-value="wrong" ui-html="wrong"></div>
    `,
    'Sub.DEFAULT': '<style>p { margin: 0 }</style><p>one</p>',
  };
  await show(fixture, viewdefs, { sub: { $type: 'Sub' }, flag: true, tip: 'tip' });
  const root = page.locator('p');
  const state = () => root.evaluate((e) => [e.textContent, e.classList.contains('on'), e.classList.contains('items'), e.title]);
  assert.deepEqual(await state(), ['one', true, true, 'tip']);
  assert.equal(creates(server).filter((p) => p.path === 'wrong').length, 0);
  await logged(fixture, 'contradicts', 2);
  server.send(viewdefsOf({ 'Sub.DEFAULT': '<script>1</script><p>two</p>' }));
  await page.getByText('two').waitFor();
  await page.locator('.ui-obsolete-view').first().waitFor({ state: 'detached' });
  assert.deepEqual(await state(), ['two', true, true, 'tip']);
  await root.click();
  const hit = await server.created('hit()');
  await until('the event', () => server.messages.some((m) => m.type === 'update' && m.data.varId === hit.id));
  assert.equal(server.messages.filter((m) => m.type === 'update' && m.data.varId === hit.id).length, 1);
});

pageTest('F86: elements that scripts or ui-html add are not bound', async (fixture) => {
  const { server, page } = fixture;
  await show(fixture, '<div ui-html="h"></div>', { h: '<b ui-value="never">x</b>' });
  await page.evaluate(() => document.querySelector('div').insertAdjacentHTML('beforeend', '<i ui-value="nor">y</i>'));
  assert.deepEqual(creates(server).map((p) => p.path), ['h']);
});

pageTest('F87: bindings work on SVG elements, views need HTML hosts', async (fixture) => {
  const { page } = fixture;
  await show(fixture, '<svg width="9" height="9"><circle ui-attr-r="r" ui-class-big="r"></circle><g ui-view="v"></g></svg>', { r: 4 });
  assert.deepEqual(await page.locator('circle').evaluate((e) => [e.getAttribute('r'), e.classList.contains('big')]), ['4', true]);
  await logged(fixture, 'needs an HTML element');
});

pageTest('F102, F103: attributes follow presence, form controls their properties too', async (fixture) => {
  const { server, page, until } = fixture;
  const html = `
    <b ui-attr-a="t" ui-attr-b="f" ui-attr-c="z" ui-attr-d="e" ui-attr-e="n"></b>
    <input type="checkbox" ui-attr-checked="c">
    <details ui-attr-open="t"></details>
    <input class="v" ui-attr-value="w">
  `;
  await show(fixture, html, { t: true, f: false, z: 0, e: '', n: null, c: true, w: 'first' });
  const attributes = await page.locator('b').evaluate((x) => ['a', 'b', 'c', 'd', 'e'].map((name) => x.getAttribute(name)));
  assert.deepEqual(attributes, ['true', null, '0', '', null]);
  assert.equal(await page.locator('details').getAttribute('open'), 'true');
  const check = page.locator('input').first();
  assert.equal(await check.isChecked(), true);
  await check.click();
  const [c, w] = [await server.created('c'), await server.created('w')];
  await page.locator('.v').fill('typed');
  server.send(update(c.id, false), update(w.id, 'second'));
  server.send(update(c.id, true));
  await until('the property', () => check.isChecked());
  assert.equal(await page.locator('.v').inputValue(), 'second');
});

pageTest('F104, S48: ui-attr-class and ui-attr-style keep toggles and the client’s own classes', async (fixture) => {
  const { server, page, until } = fixture;
  const html = `
    <b class="old hidden" style="margin: 1px" ui-attr-class="cls" ui-class-hidden="h" ui-class-on="o"
        ui-attr-style="css" ui-style-color="col" ui-value="cls">x</b>
  `;
  await show(fixture, html, { cls: 'new two', h: false, o: 'yes', css: 'padding: 2px', col: 'red' });
  const cls = await server.created('cls');
  const state = () => page.locator('b').evaluate((e) => {
    const names = [...e.classList].filter((name) => !name.startsWith('ui-view'));
    return [names.sort().join(' '), e.style.padding, e.style.color, e.style.margin];
  });
  assert.deepEqual(await state(), ['new on two', '2px', 'red', '']);
  server.send({ type: 'error', data: { varId: cls.id, code: 'x', description: 'y' } });
  await page.locator('b.ui-error').waitFor();
  const attr = server.messages.filter((m) => m.type === 'create' && m.data.properties.path === 'cls').map((m) => m.data.id);
  const css = await server.created('css');
  server.send(update(attr[1], 'three'), update(css.id, 'padding: 3px'));
  await until('the style', async () => (await state())[1] === '3px');
  assert.equal((await state())[2], 'red');
});

pageTest('F105: ui-attr-id renames an element without breaking its bindings', async (fixture) => {
  const { server, page, until } = fixture;
  await show(fixture, '<p><b ui-attr-id="id" ui-value="v"></b></p>', { id: 'renamed', v: 'one' });
  const v = await server.created('v');
  server.send(update(v.id, 'two'));
  await until('the value', async () => (await page.locator('#renamed').textContent()) === 'two');
});

pageTest('F106, F107, F84, S83: classes by truthiness, styles and custom properties, and ?not', async (fixture) => {
  const { page } = fixture;
  const html = `
    <b class="base" ui-class-a="t" ui-class-b="z" ui-class-c="e" ui-class-d="s" ui-class-f="z?not"
        ui-style-color="col" ui-style---gap="gap" ui-style-margin="n" style="margin: 1px">x</b>
  `;
  await show(fixture, html, { t: true, z: 0, e: '', s: 'x', col: 'red', gap: 4, n: null });
  const [classes, ...styles] = await page.locator('b').evaluate(
    ({ classList, style }) => [[...classList], style.color, style.getPropertyValue('--gap'), style.margin],
  );
  assert.deepEqual(classes.filter((name) => !name.startsWith('ui-')).sort(), ['a', 'base', 'd', 'f']);
  assert.deepEqual(styles, ['red', '4', '']);
});

pageTest('F108, F109, F110: ui-code runs on every delivered value, with element, value, variable and store', async (fixture) => {
  const { server, page, until } = fixture;
  const code = 'element.title = [value.length, variable.varId, store === window.uiStore, window.uiApp === uiApp].join()';
  await show(fixture, '<b ui-code="c"></b><i ui-code="bad"></i>', { c: code, bad: 'throw new Error("in code")' });
  const c = await server.created('c');
  await until('the code', async () => (await page.locator('b').getAttribute('title')) === `${code.length},${c.id},true,true`);
  await logged(fixture, 'in code');
  await server.received('the report', (m) => m.type === 'error' && m.data.varId === 1 && m.data.description.includes('App.DEFAULT'));
  await page.evaluate(() => { window.runs = 0; });
  server.send(update(c.id, 'window.runs++'));
  server.send(update(c.id, undefined, { x: '1' }), update(c.id, null), update(c.id, ''));
  server.send(update(c.id, 'window.runs++'));
  await until('two runs', () => page.evaluate(() => window.runs === 2));
});

pageTest('F111: ui-html sets HTML with working inline handlers; scripts in it do not run', async (fixture) => {
  const { server, page, until } = fixture;
  const h = '<button onclick="window.hit = !!window.uiApp">b</button><script>window.ran = true</script>';
  await show(fixture, '<div ui-html="h"></div>', { h });
  await page.locator('button').click();
  assert.deepEqual(await page.evaluate(() => [window.hit, window.ran]), [true, undefined]);
  server.send(update((await server.created('h')).id, null));
  await until('emptiness', async () => (await page.locator('button').count()) === 0);
});

pageTest('F112: ui-html?replace replaces the element, whatever the HTML holds', async (fixture) => {
  const { server, page, until } = fixture;
  await show(fixture, '<p>before<b id="spot" ui-html="h?replace" ui-class-on="o"></b>after</p>', { h: null, o: true });
  const h = await server.created('h');
  const html = async () => (await page.locator('p').innerHTML()).replace(/ui-\d+/g, 'N');
  const becomes = (expected) => until(expected, async () => (await html()) === expected);
  await becomes('before<span style="display: none" id="spot" class="on"></span>after');
  server.send(update(h.id, 'x<i>1</i><u>2</u><!--c-->y'));
  await becomes('beforex<i id="spot" class="on">1</i><u id="N">2</u><!--c-->yafter');
  server.send(update(h.id, 'only text'));
  await becomes('before<span id="spot" class="on">only text</span>after');
});

pageTest('F112, F144: a replaced root goes with its view', async (fixture) => {
  const { server, page, until } = fixture;
  const viewdefs = { 'App.DEFAULT': '<div ui-view="sub"></div>', 'Sub.DEFAULT': '<b ui-html="h?replace"></b>' };
  await show(fixture, viewdefs, { sub: { $type: 'Sub', h: '<i>1</i>text<i>2</i>' } });
  await until('both', async () => (await page.locator('i').count()) === 2);
  server.send(update((await server.created('sub')).id, null));
  await until('none', async () => !(await page.locator('i').count()));
  assert.ok(!(await page.locator('body').textContent()).includes('text'));
});

pageTest('F64, F68: path properties reach the server, and w and action variables take no values', async (fixture) => {
  const { server, page, until } = fixture;
  const html = `
    <b ui-value="a?priority=high&create=T&inactive=1&label=x"></b>
    <input ui-value="w(_)">
    <i ui-value="end"></i>
  `;
  await show(fixture, html, { end: 1 });
  const { elementId, ...a } = (await server.created('a')).properties;
  assert.deepEqual(a, { path: 'a', access: 'r', priority: 'high', create: 'T', inactive: '1', label: 'x' });
  const [w, end] = [await server.created('w(_)'), await server.created('end')];
  await page.locator('input').fill('typed');
  server.send(update(w.id, null), update(end.id, 2)); // what ends an error of such a variable (P101) is no value
  await until('the end', async () => (await page.locator('i').textContent()) === '2');
  assert.equal(await page.locator('input').inputValue(), 'typed');
});

pageTest('F76: a widget knows its variables by the names of their attributes', async (fixture) => {
  const names = ['ui-value', 'ui-attr-title', 'ui-class-x', 'ui-style-color', 'ui-event-click', 'ui-action', 'ui-code', 'ui-html'];
  await show(fixture, `<p><b id="w" ${names.map((n, i) => `${n}="p${i}"`).join(' ')}></b><i id="k" ui-keypress="q"></i></p>`);
  const ids = await fixture.page.evaluate((list) => list.map((n) => window.uiApp.getBinding().getWidget('w').getVariableId(n)), names);
  assert.deepEqual(ids, await Promise.all(names.map(async (_, i) => (await fixture.server.created(`p${i}`)).id)));
  assert.equal(await fixture.page.evaluate(() => window.uiApp.getBinding().getWidget('k').hasBinding('ui-value')), true);
});

pageTest('F88, F157: the end of a view removes listeners, marks and variables', async (fixture) => {
  const { server, page, until } = fixture;
  const viewdefs = {
    'App.DEFAULT': '<div ui-view="sub"></div><b ui-value="end"></b>',
    'Sub.DEFAULT': '<p><i ui-event-click="hit()" ui-value="t">x</i></p>',
  };
  await show(fixture, viewdefs, { sub: { $type: 'Sub', t: 'text' } });
  const old = await page.locator('i').elementHandle();
  const [hit, sub, t] = [await server.created('hit()'), await server.created('sub'), await server.created('t')];
  server.send({ type: 'error', data: { varId: t.id, code: 'c', description: 'd' } });
  await page.locator('i.ui-error').waitFor();
  server.send(update(sub.id, null));
  await until('the removal', async () => !(await page.locator('i').count()));
  await old.evaluate((e) => e.click());
  server.send(update((await server.created('end')).id, 'end'));
  await page.getByText('end').waitFor();
  assert.equal(await old.evaluate((e) => e.classList.contains('ui-error')), false);
  await quiet(fixture);
  assert.ok(!server.messages.some((m) => m.type === 'update' && m.data.varId === hit.id));
  assert.deepEqual(server.messages.filter((m) => m.type === 'destroy').map((m) => m.data.varId).sort(), [hit.id, t.id].sort());
});

pageTest('F112, F83, F150, F152: a replaced root has the looks, the mark and the bindings of its view’s host', async (fixture) => {
  const { server, page, until } = fixture;
  const viewdefs = {
    'App.DEFAULT': '<main><div class="host" style="color: red" ui-class-on="flag" ui-view="sub"></div></main>',
    'Sub.DEFAULT': '<b ui-html="h?replace"></b>',
  };
  await show(fixture, viewdefs, { flag: true, sub: { $type: 'Sub', h: '<i>1</i>' } });
  const looks = () => page.locator('i').evaluate((e) => [e.className, e.style.color, e.getAttribute('ui-viewdef')]);
  await page.getByText('1').waitFor();
  assert.deepEqual(await looks(), ['host on', 'red', 'Sub.DEFAULT']);
  server.send(update((await server.created('h')).id, '<i>2</i>'));
  await page.getByText('2').waitFor();
  assert.deepEqual(await looks(), ['host on', 'red', 'Sub.DEFAULT']);
  server.send(update((await server.created('flag')).id, false));
  await until('the class to go', async () => (await looks())[0] === 'host');
});

pageTest('F103: ui-attr-open opens a dialog, over the page with ui-modal, and really closes it', async (fixture) => {
  const { server, page, until } = fixture;
  const html = (n) => ({
    'App.DEFAULT': `
      <main>
        <i>${n}</i>
        <dialog class="modal" ui-modal ui-attr-open="a" ui-event-close="closed()">m <input></dialog>
        <dialog class="plain" ui-attr-open="b">p</dialog>
      </main>
    `,
  });
  await show(fixture, html(1), { a: true, b: false });
  const state = () => page.evaluate(() => ['.modal', '.plain'].map((selector) => {
    const dialog = document.querySelector(selector);
    return [dialog.matches(':modal'), dialog.open].join();
  }));
  await until('the modal dialog', async () => (await state()).join(' ') === 'true,true false,false');
  assert.equal(await page.evaluate(() => document.activeElement.localName), 'input');
  server.send(viewdefsOf(html(2)));
  await page.getByText('2').waitFor();
  await until('the modal dialog again', async () => (await state()).join(' ') === 'true,true false,false');
  await page.keyboard.press('Escape');
  await server.received('what Escape does', (m) => m.type === 'update' && 'value' in m.data);
  const id = async (path, nth) => (await server.created(path, nth)).id;
  server.send(update(await id('a', 1), false), update(await id('b', 1), true));
  await until('the other', async () => (await state()).join(' ') === 'false,false false,true');
  server.send(update(await id('a', 1), true));
  await until('both', async () => (await state()).join(' ') === 'true,true false,true');
  await page.evaluate(() => document.querySelector('.plain').close());
  await page.evaluate(() => document.querySelector('.plain').showModal()); // by a script
  server.send(update(await id('a', 1), null), update(await id('b', 1), null));
  await until('none', async () => (await state()).join(' ') === 'false,false false,false');
});

pageTest('F102, F106, F107, F113: names of attributes, classes, properties and events are taken as they are written', async (fixture) => {
  const { server, page } = fixture;
  const html = `
    <main>
      <svg ui-attr-viewBox="box"></svg>
      <i ui-class-isActive="on" ui-style---myTint="tint"></i>
      <b ui-event-somethingNew="heard()" ui-event-otherThing="took" ui-event-otherThing-value="7">b</b>
      <u ui-event-keypress-Enter="entered(_)" tabindex="0"></u>
    </main>
  `;
  await show(fixture, html, { box: '0 0 9 9', on: true, tint: 'red' });
  const named = await page.evaluate(() => [
    document.querySelector('svg').getAttribute('viewBox'),
    document.querySelector('i').className,
    document.querySelector('i').style.getPropertyValue('--myTint'),
  ]);
  assert.deepEqual(named, ['0 0 9 9', 'isActive', 'red']);
  await page.evaluate(() => ['somethingNew', 'otherThing'].forEach((type) => document.querySelector('b').dispatchEvent(new Event(type))));
  await page.locator('u').press('Enter');
  const sent = () => server.messages.filter((m) => m.type === 'update' && 'value' in m.data).map((m) => m.data.value);
  await fixture.until('all three', () => sent().length === 3);
  assert.deepEqual(sent(), [null, 7, 'enter']);
});
