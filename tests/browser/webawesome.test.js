/** Web Awesome, as one of the libraries that the client knows by the properties of their elements alone (R36). */
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { open, pageTest, quiet, settled, useBrowser } from './lib/chromium.js';
import { model, PAGE, update } from './lib/fake-server.js';

useBrowser();
const FOLDER = fileURLToPath(new URL('../node_modules/@awesome.me/webawesome/dist-cdn/', import.meta.url));
const PARTS = ['input', 'textarea', 'checkbox', 'switch', 'select', 'option', 'radio-group', 'radio', 'slider'];
const LIBRARY = PARTS.map((name) => `<script type="module" src="/webawesome/components/${name}/${name}.js"></script>`).join('');
const options = { page: PAGE.replace('</head>', `${LIBRARY}</head>`), mounts: { '/webawesome/': FOLDER } };

async function show(fixture, html, values) {
  const { server, page } = fixture;
  model(server, values);
  await open(fixture, { 'App.DEFAULT': `<main>${html}</main>` });
  await settled(fixture);
  await page.waitForFunction(() => !document.querySelector(':not(:defined)'));
  await quiet(fixture);
}
const id = async (server, path) => (await server.created(path)).id;
const writes = (server, varId) =>
  server.messages.filter((m) => m.type === 'update' && m.data.varId === varId && 'value' in m.data).map((m) => m.data.value);

pageTest('R36, F89: fields show and send their value, boxes and switches whether they are marked', async (fixture) => {
  const { server, page, until } = fixture;
  const html = `
    <wa-input class="a" ui-value="a"></wa-input>
    <wa-textarea ui-value="t"></wa-textarea>
    <wa-checkbox ui-value="c">c</wa-checkbox>
    <wa-switch class="s" ui-value="s">s</wa-switch>
    <wa-radio-group ui-value="g">
      <wa-radio class="one" value="1">1</wa-radio>
      <wa-radio class="two" value="2">2</wa-radio>
    </wa-radio-group>
    <wa-slider ui-value="n" min="0" max="10"></wa-slider>
    <wa-select ui-value="o"><wa-option value="x">X</wa-option><wa-option value="y">Y</wa-option></wa-select>
    <b>elsewhere</b>
  `;
  await show(fixture, html, { a: 'text', t: 'area', c: true, s: false, g: 2, n: 4, o: 'y' });
  const state = () => page.evaluate(() => {
    const q = (name) => document.querySelector(`wa-${name}`);
    const values = ['input', 'textarea', 'radio-group', 'slider', 'select'].map((name) => q(name).value);
    return [...values, q('checkbox').checked, q('switch').checked];
  });
  await until('the values', async () => JSON.stringify(await state()) === JSON.stringify(['text', 'area', '2', 4, 'y', true, false]));
  const ids = Object.fromEntries(await Promise.all(['a', 'c', 's', 'g'].map(async (path) => [path, await id(server, path)])));
  await page.locator('.a input').click();
  await page.keyboard.press('End');
  await page.keyboard.type('!');
  server.send(update(ids.a, 'from elsewhere')); // half-typed text is not overwritten (F100)
  await page.locator('wa-checkbox').click();
  await page.locator('.s').click();
  await page.locator('.one').click();
  await until('all', () => writes(server, ids.g).length);
  assert.deepEqual(Object.values(ids).map((varId) => writes(server, varId)), [['text!'], [false], [true], ['1']]);
  server.send(update(ids.c, true), update(ids.s, false), update(ids.g, '2')); // refused (S60)
  await until('what holds', async () => JSON.stringify((await state()).slice(2)) === JSON.stringify(['2', 4, 'y', true, false]));
}, options);

pageTest('R36, F114: a box that an attribute marks stays the program’s after clicks, and its event sends the mark', async (fixture) => {
  const { server, page, until } = fixture;
  await show(fixture, '<wa-checkbox ui-attr-checked="on" ui-event-change="set(_)">c</wa-checkbox>', { on: true });
  const [on, set] = [await id(server, 'on'), await id(server, 'set(_)')];
  const box = page.locator('wa-checkbox');
  await box.click();
  await until('the event', () => writes(server, set).length);
  assert.deepEqual(writes(server, set), [false]);
  await until('what holds', () => box.evaluate((e) => e.checked)); // the program did not take it
  server.send(update(on, false));
  await until('the program’s change', () => box.evaluate((e) => !e.checked));
  server.send(update(on, true));
  await until('the next', () => box.evaluate((e) => e.checked));
}, options);
