/** Containers that follow their output, and the marks of errors. */
import assert from 'node:assert/strict';
import { logged, open, pageTest, useBrowser } from './lib/chromium.js';
import { model, update, viewdefsOf } from './lib/fake-server.js';

useBrowser();
const BOX = 'style="height: 60px; overflow: auto"';
const ROW = { 'Row.DEFAULT': '<div style="height: 30px"><span ui-value="n"></span></div>' };
const atBottom = (page, selector) =>
  page.locator(selector).evaluate((e) => e.scrollHeight > e.clientHeight && e.scrollHeight - e.scrollTop - e.clientHeight < 2);

pageTest('F201, F202, F66: an update of a binding with scrollOnOutput scrolls its element', async ({ server, page, until }) => {
  model(server, { log: 'x' });
  await open({ server, page }, { 'App.DEFAULT': `<pre ${BOX} ui-value="log?scrollOnOutput"></pre>` });
  const { id } = await server.created('log');
  server.send(update(id, 'line\n'.repeat(40)));
  await until('the bottom', () => atBottom(page, 'pre'));
});

pageTest('F200, F203, F204, F205, F206: a list scrolls on first display and on output, unless its reader scrolled up', async (fixture) => {
  const { server, page, until } = fixture;
  const list = Array.from({ length: 9 }, (_, n) => ({ $type: 'Row', n }));
  const ref = model(server, { log: { $type: 'Log', list } });
  const viewdefs = {
    'App.DEFAULT': `<div class="box" ${BOX} ui-view="log?scrollOnOutput"></div>`,
    'Log.DEFAULT': '<section><div ui-viewlist="list"></div></section>',
    ...ROW,
  };
  await open({ server, page }, viewdefs);
  await page.getByText('8').waitFor();
  await until('the bottom at first', () => atBottom(page, 'section'));
  const { id } = await server.created('list');
  list.push({ $type: 'Row', n: 'ten' });
  server.send(update(id, list.map(ref)));
  await page.getByText('ten').waitFor();
  await until('the bottom again', () => atBottom(page, 'section'));
  await page.locator('section').evaluate((e) => new Promise((done) => {
    e.addEventListener('scroll', done, { once: true });
    e.scrollTop = 10;
  }));
  list.push({ $type: 'Row', n: 'eleven' });
  server.send(update(id, list.map(ref)));
  await page.getByText('eleven').waitFor({ state: 'visible' });
  assert.equal(await page.locator('section').evaluate((e) => e.scrollTop), 10);
});

pageTest('F200: the mark of a view is on its new root after each rendering', async ({ server, page, until }) => {
  model(server, { log: { $type: 'Log' } });
  const tall = (n) => `<section><p style="height: ${n}px">${n}</p></section>`;
  await open({ server, page }, { 'App.DEFAULT': `<div ${BOX} ui-view="log?scrollOnOutput"></div>`, 'Log.DEFAULT': tall(300) });
  await page.getByText('300').waitFor();
  server.send(viewdefsOf({ 'Log.DEFAULT': '<section><b ui-html="more"></b></section>' }));
  const { id } = await server.created('more');
  server.send(update(id, '<p style="height: 400px">tall</p>'));
  await until('the bottom', () => atBottom(page, 'section:has(b)')); // the old root stands beside the new one for a moment
});

pageTest('F207, F208, F210: errors mark the elements of any binding until an update or their end', async (fixture) => {
  const { server, page, until } = fixture;
  model(server, { a: 1, b: true, sub: { $type: 'Sub' } });
  const viewdefs = { 'App.DEFAULT': '<p><b ui-value="a" ui-class-x="b"></b><i ui-view="sub"></i></p>', 'Sub.DEFAULT': '<i>sub</i>' };
  await open({ server, page }, viewdefs);
  await page.getByText('sub').waitFor();
  const [a, b, sub] = [await server.created('a'), await server.created('b'), await server.created('sub')];
  const error = (varId, code) => ({ type: 'error', data: { varId, ...(code && { code }), description: `about ${varId}` } });
  server.send(error(a.id, 'path-failure'), error(b.id, 'lua-error'), error(sub.id));
  const marks = (e) => [e.classList.contains('ui-error'), e.getAttribute('ui-error-code'), e.getAttribute('ui-error-description')];
  const mark = (selector) => page.locator(selector).evaluate(marks);
  await until('a mark', async () => (await mark('b'))[0]);
  assert.deepEqual(await mark('b'), [true, 'lua-error', `about ${b.id}`]);
  assert.deepEqual(await mark('p > i'), [true, '', `about ${sub.id}`]);
  server.send(update(b.id, false));
  await until('the other error', async () => (await mark('b'))[1] === 'path-failure');
  server.send(update(a.id, undefined, { x: '1' }), update(sub.id, { obj: 3 }));
  await until('no marks', async () => !(await page.locator('.ui-error').count()));
  assert.deepEqual(await mark('b'), [false, null, null]);
  await logged(fixture, `variable ${a.id} path "a" elementId "${a.properties.elementId}"`); // F211
});

pageTest('F209, F211, S77: an error without variable is reported; nothing is logged otherwise', async ({ server, page, until, logs }) => {
  model(server, { a: 1 });
  await open({ server, page }, { 'App.DEFAULT': '<b ui-value="a"></b>' });
  await page.getByText('1').waitFor();
  assert.deepEqual(logs, []);
  server.send({ type: 'error', data: { code: 'lua-error', description: 'reload apps/x.lua: boom' } });
  await until('the report', () => logs.some((line) => line.includes('boom')));
  assert.equal(logs.length, 1);
});

pageTest('F101: a value that makes its element grow scrolls the container of its view, one in a field does not', async (fixture) => {
  const { server, page, until } = fixture;
  model(server, { log: { $type: 'Log', text: 'x', field: '' } });
  const viewdefs = {
    'App.DEFAULT': `<div ${BOX} ui-view="log?scrollOnOutput"></div>`,
    'Log.DEFAULT': `
      <section>
        <pre ui-value="text"></pre>
        <input ui-value="field">
      </section>
    `,
  };
  await open({ server, page }, viewdefs);
  const [text, field] = [await server.created('text'), await server.created('field')];
  await page.locator('pre').waitFor();
  server.send(update(text.id, 'line\n'.repeat(30)));
  await until('the bottom', () => atBottom(page, 'section'));
  await page.locator('section').evaluate((e) => { e.scrollTop = e.scrollHeight - e.clientHeight - 5; }); // still counts as following
  const before = await page.locator('section').evaluate((e) => e.scrollTop);
  server.send(update(field.id, 'new'));
  await until('the field', async () => (await page.locator('input').inputValue()) === 'new');
  assert.equal(await page.locator('section').evaluate((e) => e.scrollTop), before);
});

pageTest('F207, F83: a mark moves on to the new root of a view that renders again', async ({ server, page, until }) => {
  model(server, { sub: { $type: 'Sub' }, tip: 't' });
  await open({ server, page }, { 'App.DEFAULT': '<p><i ui-view="sub" ui-attr-title="tip"></i></p>', 'Sub.DEFAULT': '<i>old</i>' });
  await page.getByText('old').waitFor();
  server.send({ type: 'error', data: { varId: (await server.created('tip')).id, code: 'lua-error', description: 'd' } });
  await page.locator('i.ui-error').waitFor();
  server.send(viewdefsOf({ 'Sub.DEFAULT': '<b>new</b>' }));
  await page.locator('b.ui-error[ui-error-code="lua-error"]').waitFor();
  server.send(update((await server.created('tip')).id, 'u'));
  await until('no mark', async () => !(await page.locator('.ui-error').count()));
});
