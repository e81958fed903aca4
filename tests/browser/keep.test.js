/** What a person did in a page stays when its content is replaced: by a save, and after a reconnect. */
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { logged, open, pageTest, patient, renewed, shown, useBrowser } from './lib/chromium.js';
import { model, PAGE, viewdefsOf } from './lib/fake-server.js';

useBrowser();
const SHOELACE = fileURLToPath(new URL('../node_modules/@shoelace-style/shoelace/cdn/', import.meta.url));
const withShoelace = {
  page: PAGE.replace('</head>', '<script type="module" src="/shoelace/shoelace.js"></script></head>'),
  mounts: { '/shoelace/': SHOELACE },
};

async function show(fixture, viewdefs, values = {}) {
  await patient(fixture.page);
  model(fixture.server, values);
  await open(fixture, viewdefs);
  await shown(fixture);
}

/** The two ways in which content is replaced; each also once more, so that what was put back is known to be the person's. */
const WAYS = {
  'a save': (fixture, viewdefs) => renewed(fixture, () => fixture.server.send(viewdefsOf(viewdefs))),
  'a reconnect': (fixture, viewdefs) => renewed(fixture, async () => {
    const { server, page } = fixture;
    server.refuse = true; // or the notice may be gone before it is looked for
    server.sockets.at(-1).terminate();
    await page.locator('#ui-notice').waitFor();
    server.refuse = false;
    await page.evaluate(() => dispatchEvent(new Event('online')));
    await server.show(viewdefs);
  }),
};
const inBothWays = (title, run, options) => {
  for (const [name, replace] of Object.entries(WAYS)) pageTest(`${title}, over ${name}`, (fixture) => run(fixture, replace), options);
};
/** Numbers its copies, so that each is another text. */
const numbered = (html) => {
  let n = 0;
  return () => ({ 'App.DEFAULT': `<main><i>${++n}</i>${html}</main>` });
};

inBothWays('F178, F215: controls, details, files, edited text with its caret, sizes and accordions stay ' +
  'as they were left', async (fixture, replace) => {
  const { page } = fixture;
  const viewdefs = numbered(`
    <select class="one"><option>a<option>b<option>c</select>
    <select class="many" multiple><option>a<option selected>b<option>c</select>
    <details class="shut" open><summary>s</summary>t</details>
    <details class="open"><summary>s</summary>t</details>
    <details name="g" open><summary>first</summary>t</details>
    <details name="g"><summary>second</summary>t</details>
    <input type="file" multiple>
    <input class="text" value="given">
    <input type="checkbox" checked>
    <textarea>long</textarea>
    <div class="rich" contenteditable>plain <b>bold</b></div>
  `);
  await show(fixture, viewdefs());
  await page.locator('.one').selectOption('b');
  await page.locator('.many').selectOption(['a', 'c']);
  for (const summary of ['.shut summary', '.open summary', 'details[name] + details[name] summary']) await page.locator(summary).click();
  const files = [1, 2].map((n) => ({ name: `${n}.txt`, mimeType: 'text/plain', buffer: Buffer.from('x') }));
  await page.locator('[type=file]').setInputFiles(files);
  await page.locator('.text').fill('typed');
  await page.locator('[type=checkbox]').uncheck();
  await page.locator('textarea').evaluate((e) => { e.style.height = '90px'; });
  await page.locator('b').click();
  await page.evaluate(() => getSelection().collapse(document.querySelector('b').firstChild, 2));
  await page.keyboard.type('!');
  const state = () => page.evaluate(() => {
    const q = (s) => document.querySelector(s);
    return [
      q('.one').value,
      [...q('.many').selectedOptions].map((o) => o.value).join(),
      ...[...document.querySelectorAll('details')].map((e) => e.open),
      q('[type=file]').files.length,
      q('.text').value,
      q('[type=checkbox]').checked,
      q('textarea').style.height,
      q('.rich').innerHTML,
      document.activeElement.className,
      getSelection().anchorNode.data,
      getSelection().anchorOffset,
    ];
  });
  const left = ['b', 'a,c', false, true, false, true, 2, 'typed', false, '90px', 'plain <b>bo!ld</b>', 'rich', 'bo!ld', 3];
  assert.deepEqual(await state(), left);
  for (const time of ['once', 'twice']) {
    await replace(fixture, viewdefs());
    assert.deepEqual(await state(), left, time);
  }
});

inBothWays('F178: dialogs over the page, others, and popovers stay open, with the focus and the text in them', async (fixture, replace) => {
  const { page } = fixture;
  const viewdefs = numbered(`
    <dialog class="modal">m <input></dialog>
    <dialog class="plain">p</dialog>
    <dialog class="shut" open>s</dialog>
    <p popover>pop</p>
    <button popovertarget="menu">b</button>
    <p id="menu" popover="manual">menu</p>
  `);
  await show(fixture, viewdefs());
  await page.locator('[popovertarget]').click();
  await page.evaluate(() => {
    document.querySelector('.plain').show();
    document.querySelector('.shut').close();
    document.querySelector('.modal').showModal();
    document.querySelector('p[popover]').showPopover();
  });
  await page.locator('input').fill('abc');
  const state = () => page.evaluate(() => {
    const q = (s) => document.querySelector(s);
    return [
      q('.modal').matches(':modal'),
      q('.plain').matches('[open]'),
      q('.plain').matches(':modal'),
      q('.shut').matches('[open]'),
      q('p[popover]').matches(':popover-open'),
      q('#menu').matches(':popover-open'),
      q('input').matches(':focus'),
      q('input').value,
    ];
  });
  const left = [true, true, false, false, true, true, true, 'abc'];
  assert.deepEqual(await state(), left);
  for (const time of ['once', 'twice']) {
    await replace(fixture, viewdefs());
    assert.deepEqual(await state(), left, time);
  }
});

pageTest('F178: what a new text brings stays where nobody has changed anything', async (fixture) => {
  const { page } = fixture;
  const html = (n) => `
    <main>
      <i>${n}</i>
      <details ${n > 1 ? 'open' : ''}><summary>s</summary>t</details>
      <select><option ${n > 1 ? '' : 'selected'}>a<option ${n > 1 ? 'selected' : ''}>b</select>
      <input class="text" value="v${n}">
      <input type="checkbox" ${n > 1 ? 'checked' : ''}>
      <div contenteditable>text ${n}</div>
      <dialog ${n > 1 ? 'open' : ''}>d</dialog>
    </main>
  `;
  await show(fixture, { 'App.DEFAULT': html(1) });
  const state = () => page.evaluate(() => {
    const q = (s) => document.querySelector(s);
    return [
      q('details').open,
      q('select').value,
      q('.text').value,
      q('[type=checkbox]').checked,
      q('[contenteditable]').textContent,
      q('dialog').open,
    ];
  });
  assert.deepEqual(await state(), [false, 'a', 'v1', false, 'text 1', false]);
  await WAYS['a save'](fixture, { 'App.DEFAULT': html(2) });
  assert.deepEqual(await state(), [true, 'b', 'v2', true, 'text 2', true]);
});

pageTest('F178: an element’s counterpart is the one that is most like it, wherever it has moved', async (fixture) => {
  const { page } = fixture;
  const entry = (name) => `
    <details><summary>${name}</summary>${name}</details>
    <label>${name}<input placeholder="${name}"></label>
  `;
  await show(fixture, { 'App.DEFAULT': `<main>${entry('one')}${entry('two')}</main>` });
  await page.getByText('two', { exact: true }).first().click();
  await page.locator('[placeholder=two]').fill('typed');
  const state = () => page.evaluate(() => [...document.querySelectorAll('details, input')].map((e) => (e.open ?? false) || e.value || ''));
  assert.deepEqual(await state(), ['', '', true, 'typed']);
  await WAYS['a save'](fixture, { 'App.DEFAULT': `<main>${entry('new')}${entry('two')}${entry('one')}</main>` });
  assert.deepEqual(await state(), ['', '', true, 'typed', '', '']);
  await WAYS['a save'](fixture, { 'App.DEFAULT': `<main>${entry('one')}</main>` });
  assert.deepEqual(await state(), ['', ''], 'its counterpart is gone');
});

pageTest('R1, F215: what was done in a row is found in the row of the same object after a reconnect', async (fixture) => {
  const { page } = fixture;
  const viewdefs = {
    'App.DEFAULT': '<main><ul ui-viewlist="rows"><li></li></ul></main>',
    'Row.DEFAULT': `
      <li>
        <b ui-value="name"></b>
        <details><summary>s</summary>t</details>
        <input class="free">
        <input class="bound" ui-value="note">
      </li>
    `,
  };
  const rows = ['a', 'b', 'c'].map((name) => ({ $type: 'Row', name, note: name }));
  await show(fixture, viewdefs, { rows });
  const row = (name) => page.locator('li', { has: page.locator('b', { hasText: name }) });
  await row('b').locator('summary').click();
  await row('b').locator('.free').fill('for b');
  await row('c').locator('.bound').focus();
  await page.keyboard.type('!');
  rows.splice(0, 3, rows[2], rows[1]);
  await WAYS['a reconnect'](fixture, viewdefs);
  const state = await page.evaluate(() => [...document.querySelectorAll('li')].map((li) => [
    li.querySelector('b').textContent,
    li.querySelector('details').open,
    li.querySelector('.free').value,
    li.querySelector('.bound').value,
    li.contains(document.activeElement),
  ]));
  assert.deepEqual(state, [
    ['c', false, '', 'c!', true],
    ['b', true, 'for b', 'b', false],
  ]);
});

pageTest('R1, R8, F217: an edit that was begun in one object reaches that object, ' +
  'also if another is in its place after a reconnect', async (fixture) => {
  const { server, page, until } = fixture;
  const viewdefs = { 'App.DEFAULT': '<main><input ui-value="chosen.name"></main>' };
  const values = { chosen: { name: 'first' } };
  let of = 71;
  server.react = (frame) => {
    for (const { data } of frame.messages.filter((m) => m.type === 'create')) {
      server.send({ type: 'update', data: { varId: data.id, value: values.chosen.name, of } });
    }
  };
  await patient(page);
  await open(fixture, viewdefs);
  await shown(fixture);
  await until('the value', async () => (await page.locator('input').inputValue()) === 'first');
  await page.locator('input').focus();
  await page.keyboard.press('End');
  await page.keyboard.type('!');
  of = 72;
  values.chosen = { name: 'second' };
  await WAYS['a reconnect'](fixture, viewdefs);
  const { data } = await server.received('the edit', (m) => m.type === 'update' && 'value' in m.data);
  assert.deepEqual([data.value, data.of], ['first!', 71]);
  server.send({ type: 'update', data: { varId: data.varId, value: 'second', seq: data.seq, of } });
  await until('the other object’s value', async () => (await page.locator('input').inputValue()) === 'second');
});

pageTest('R1, F215: an edit in a row whose object is gone is put into no other row', async (fixture) => {
  const { page, until } = fixture;
  const viewdefs = {
    'App.DEFAULT': '<main><ul ui-viewlist="rows"><li></li></ul></main>',
    'Row.DEFAULT': '<li><input ui-value="note"></li>',
  };
  const values = { rows: [{ $type: 'Row', note: 'a' }] };
  await show(fixture, viewdefs, values);
  await page.locator('input').focus();
  await page.keyboard.type('!');
  values.rows = [{ $type: 'Row', note: 'b' }];
  await WAYS['a reconnect'](fixture, viewdefs);
  await until('the value', async () => (await page.locator('input').inputValue()) === 'b');
  await logged(fixture, 'lost its place');
});

pageTest('R1, F178: an edit is put back only into a field of the same path', async (fixture) => {
  const { page } = fixture;
  await show(fixture, { 'App.DEFAULT': '<main><input ui-value="a"></main>' }, { a: 'first', b: 'second' });
  await page.locator('input').focus();
  await page.keyboard.type('!');
  await WAYS['a save'](fixture, { 'App.DEFAULT': '<main><input ui-value="b"></main>' });
  await fixture.until('the value', async () => (await page.locator('input').inputValue()) === 'second');
});

inBothWays('F178: widgets of a library keep their tab, their open parts and the text in them', async (fixture, replace) => {
  const { page, until } = fixture;
  const viewdefs = numbered(`
    <sl-tab-group>
      <sl-tab slot="nav" panel="p1">1</sl-tab>
      <sl-tab slot="nav" panel="p2">2</sl-tab>
      <sl-tab-panel name="p1">one</sl-tab-panel>
      <sl-tab-panel name="p2">two</sl-tab-panel>
    </sl-tab-group>
    <sl-details summary="S">text</sl-details>
    <sl-input></sl-input>
    <sl-checkbox>c</sl-checkbox>
    <sl-tree>
      <sl-tree-item class="branch">b<sl-tree-item>leaf</sl-tree-item></sl-tree-item>
    </sl-tree>
  `);
  await show(fixture, viewdefs());
  await until('the first tab', () => page.evaluate(() => document.querySelector('sl-tab').active));
  await page.locator('sl-tab').nth(1).click();
  await page.locator('sl-details').evaluate((e) => { e.open = true; });
  await page.locator('.branch').evaluate((e) => { e.expanded = true; });
  await page.locator('sl-checkbox').click();
  await page.locator('sl-input input').fill('typed');
  const state = () => page.evaluate(() => {
    const q = (s) => document.querySelector(s);
    return [
      [...document.querySelectorAll('sl-tab, sl-tab-panel')].map((e) => e.active).join(),
      q('sl-details').open,
      q('.branch').expanded,
      q('sl-checkbox').checked,
      q('sl-input').value,
      document.activeElement.localName,
    ].join(' ');
  });
  const left = 'false,true,false,true true true true typed sl-input';
  assert.equal(await state(), left);
  for (const time of ['once', 'twice']) {
    await replace(fixture, viewdefs());
    await until(`all of it ${time}`, async () => (await state()) === left);
  }
}, withShoelace);

pageTest('F178: a tab that a new text chooses is shown if nobody has chosen another', async (fixture) => {
  const { page, until } = fixture;
  const html = (n) => ({
    'App.DEFAULT': `
      <main>
        <i>${n}</i>
        <sl-tab-group>
          <sl-tab slot="nav" panel="p1">1</sl-tab>
          <sl-tab slot="nav" panel="p2" ${n > 1 ? 'active' : ''}>2</sl-tab>
          <sl-tab-panel name="p1">one</sl-tab-panel>
          <sl-tab-panel name="p2">two</sl-tab-panel>
        </sl-tab-group>
      </main>
    `,
  });
  await show(fixture, html(1));
  await until('the first tab', () => page.evaluate(() => document.querySelector('sl-tab').active));
  for (let frames = 0; frames < 12; frames++) await page.evaluate(() => new Promise((done) => requestAnimationFrame(done)));
  await WAYS['a save'](fixture, html(2));
  await until('the chosen tab', () => page.evaluate(() => document.querySelector('sl-tab-group').activeTab?.panel === 'p2'));
}, withShoelace);
