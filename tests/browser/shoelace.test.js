/** The real Shoelace, served from the site and loaded early or late (F192 to F199). */
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { open, pageTest, quiet, settled, useBrowser } from './lib/chromium.js';
import { model, PAGE, update } from './lib/fake-server.js';

useBrowser();
const FOLDER = fileURLToPath(new URL('../node_modules/@shoelace-style/shoelace/cdn/', import.meta.url));
const LIBRARY = `
  <link rel="stylesheet" href="/shoelace/themes/light.css">
  <script type="module" src="/shoelace/shoelace.js"></script>
`;
const options = { page: PAGE.replace('</head>', `${LIBRARY}</head>`), mounts: { '/shoelace/': FOLDER } };
const late = { mounts: options.mounts };

/** Waits until the content is shown and the library has taken it over. */
async function ready(fixture) {
  await settled(fixture);
  await fixture.page.waitForFunction(() => !document.querySelector(':not(:defined)'));
  await quiet(fixture);
}
async function show(fixture, viewdefs, values = {}) {
  model(fixture.server, values);
  await open(fixture, typeof viewdefs === 'string' ? { 'App.DEFAULT': viewdefs } : viewdefs);
}
const sent = ({ messages }) => {
  const pathOf = (id) => messages.find((m) => m.data.id === id).data.properties.path;
  return messages.filter((m) => m.type === 'update' && 'value' in m.data).map((m) => [pathOf(m.data.varId), m.data.value]);
};

pageTest('F89, F199: values show in Shoelace elements that are defined seconds after binding', async (fixture) => {
  const { page, until } = fixture;
  const html = `
    <main>
      <sl-input ui-value="t"></sl-input>
      <sl-range min="0" max="10" ui-value="n"></sl-range>
      <sl-checkbox ui-value="c">c</sl-checkbox>
      <sl-switch ui-value="c">s</sl-switch>
      <sl-rating ui-value="r"></sl-rating>
      <sl-progress-bar ui-value="p"></sl-progress-bar>
      <sl-radio-group ui-value="g"><sl-radio value="a">A</sl-radio><sl-radio value="b">B</sl-radio></sl-radio-group>
      <sl-badge ui-value="t"></sl-badge>
    </main>
  `;
  await show(fixture, html, { t: 'text', n: 4, c: true, r: 3, p: 60, g: 'b' });
  await page.waitForFunction(() => window.uiApp?.getAppView().isRendered());
  await page.addScriptTag({ type: 'module', url: '/shoelace/shoelace.js' });
  await ready(fixture);
  const state = () => page.evaluate(() => {
    const q = (name) => document.querySelector(`sl-${name}`);
    const values = ['input', 'range', 'rating', 'progress-bar', 'radio-group'].map((name) => q(name).value);
    return [...values, q('checkbox').checked, q('switch').checked, q('badge').textContent];
  });
  await until('the values', async () => JSON.stringify(await state()) === JSON.stringify(['text', 4, 3, 60, 'b', true, true, 'text']));
  await page.getByRole('textbox').click();
  await page.locator('sl-badge').click();
  assert.deepEqual(sent(fixture.server), []);
}, late);

pageTest('F89, F118, F197: Shoelace fields commit on sl-change, or with Enter before the action', async (fixture) => {
  const { server, page, until } = fixture;
  const html = `
    <main>
      <sl-input class="a" ui-value="a" ui-event-keypress-enter="send()"></sl-input>
      <sl-input class="k" ui-value="k?keypress"></sl-input>
      <sl-checkbox ui-value="c">check</sl-checkbox>
      <sl-switch ui-value="s" ui-event-sl-change="toggle()">switch</sl-switch>
      <sl-rating ui-value="r"></sl-rating>
      <sl-button ui-action="go()">go</sl-button>
    </main>
  `;
  await show(fixture, html, { a: '', k: '', c: false, s: false, r: 1 });
  await ready(fixture);
  await page.locator('.a').getByRole('textbox').fill('words');
  await page.keyboard.press('Enter');
  await until('the action', () => sent(server).length >= 2);
  assert.deepEqual(sent(server), [['a', 'words'], ['send()', null]]);
  assert.equal(server.frames.find((f) => f.messages.some((m) => m.data.value === 'words')).messages.length, 2);
  await page.locator('.k').getByRole('textbox').pressSequentially('xy');
  await page.locator('sl-checkbox').click();
  await page.locator('sl-switch').click();
  await page.locator('sl-rating').click();
  await page.locator('sl-button').click();
  await until('all of them', () => sent(server).some(([path]) => path === 'go()'));
  assert.deepEqual(sent(server).slice(2), [
    ['k', 'x'],
    ['k', 'xy'],
    ['c', true],
    ['toggle()', null],
    ['r', 3],
    ['go()', null],
  ]); // F96: toggle() owns the switch
}, options);

pageTest('F192, F193, F194, F195: a select of options from a wrapped list shows its value and label, ' +
  'and sends only what the user picks', async (fixture) => {
  const { server, page, until } = fixture;
  const item = (code, label) => ({ $type: 'lua.ViewListItem', item: { $type: 'Choice', code, label } });
  const choices = { $type: 'lua.ViewList', items: [item('a', 'Alpha'), item('b', 'Beta')] };
  const viewdefs = {
    'App.DEFAULT': `
      <main>
        <sl-select ui-value="picked">
          <span ui-view="choices()?wrapper=lua.ViewList" ui-namespace="pick"></span>
        </sl-select>
        <sl-button ui-action="go()">go</sl-button>
      </main>
    `,
    'lua.ViewList.DEFAULT': '<div ui-viewlist="items"></div>',
    'lua.ViewListItem.pick': '<sl-option ui-attr-value="item.code"><b ui-value="item.label"></b></sl-option>',
  };
  await show(fixture, viewdefs, { picked: 'b', choices });
  await ready(fixture);
  const label = () => page.locator('sl-select').evaluate((e) => [e.value, e.displayLabel]);
  await until('the label', async () => (await label()).join() === 'b,Beta');
  const name = await server.created('item.label', 1);
  server.send(update(name.id, 'Bravo'));
  await until('the new label', async () => (await label()).join() === 'b,Bravo');
  assert.deepEqual(sent(server), []);
  await page.locator('sl-select').click();
  await page.locator('sl-option').first().click();
  await until('the pick', () => sent(server).length);
  assert.deepEqual(sent(server), [['picked', 'a']]);
  await until('the list to be closed', () => page.locator('sl-select').evaluate((e) => e.listbox.hidden));
  server.send(update((await server.created('picked')).id, null));
  await until('no selection', async () => (await label()).join() === ',');
  await page.locator('sl-button').click();
  await until('the action', () => sent(server).length === 2);
  assert.deepEqual(sent(server)[1], ['go()', null]);
}, options);

pageTest('F196: a multiple select takes and sends arrays', async (fixture) => {
  const { server, page, until } = fixture;
  const html = `
    <main>
      <sl-select multiple ui-value="many">
        <sl-option value="a">A</sl-option>
        <sl-option value="b">B</sl-option>
      </sl-select>
    </main>
  `;
  await show(fixture, html, { many: ['b'] });
  await ready(fixture);
  await until('the value', () => page.locator('sl-select').evaluate((e) => JSON.stringify(e.value) === '["b"]'));
  await page.locator('sl-select').click();
  await page.locator('sl-option').first().click();
  await until('the pick', () => sent(server).length);
  assert.deepEqual(sent(server)[0][1].sort(), ['a', 'b']);
}, options);

pageTest('F198: attributes and events of dialogs, checks and buttons', async (fixture) => {
  const { server, page, until } = fixture;
  const html = `
    <main>
      <sl-dialog ui-attr-open="open" ui-event-sl-after-hide="closed()">text</sl-dialog>
      <sl-checkbox ui-attr-checked="on" ui-event-sl-change="flip()">c</sl-checkbox>
      <sl-button ui-attr-variant="look" ui-attr-disabled="off" ui-event-click="hit()">b</sl-button>
    </main>
  `;
  await show(fixture, html, { open: true, on: true, look: 'primary', off: false });
  await ready(fixture);
  await until('the dialog', () => page.locator('sl-dialog').evaluate((e) => e.open));
  assert.equal(await page.locator('sl-checkbox').evaluate((e) => e.checked), true);
  server.send(update((await server.created('open')).id, false));
  await until('the end of the dialog', () => sent(server).some(([path]) => path === 'closed()'));
  await page.locator('sl-checkbox').click();
  await page.locator('sl-button').click();
  await until('events', () => sent(server).length === 3);
  assert.deepEqual(sent(server).map(([path]) => path), ['closed()', 'flip()', 'hit()']);
  assert.equal(await page.locator('sl-button').evaluate((e) => e.variant), 'primary');
}, options);

pageTest('F178: an edit that a re-render keeps is still one: it is not overwritten, and it leaves with the field', async (fixture) => {
  const { server, page, until } = fixture;
  const view = (text) => `<main><sl-input ui-value="a"></sl-input><b>${text}</b></main>`;
  await show(fixture, view('one'), { a: 'Ann' });
  await ready(fixture);
  await page.getByRole('textbox').click();
  await page.keyboard.press('End');
  await page.keyboard.type('!!');
  server.send(update(1, undefined, { viewdefs: JSON.stringify({ 'App.DEFAULT': `<template>${view('two')}</template>` }) }));
  await page.getByText('two').waitFor();
  await ready(fixture);
  const value = () => page.locator('sl-input').evaluate((e) => e.value);
  await until('the edit', async () => (await value()) === 'Ann!!');
  server.send(update((await server.created('a', 1)).id, 'Bob'), update(1, undefined, { mark: 'sent' }));
  await page.waitForFunction(() => window.uiStore.get(1).properties.mark === 'sent');
  assert.equal(await value(), 'Ann!!');
  await page.getByText('two').click();
  await until('the edit to be sent', () => sent(server).length);
  assert.deepEqual(sent(server), [['a', 'Ann!!']]);
}, options);
