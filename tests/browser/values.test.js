/** `ui-value` and `ui-keypress` on native elements. */
import assert from 'node:assert/strict';
import { open, pageTest, quiet, useBrowser } from './lib/chromium.js';
import { model, update } from './lib/fake-server.js';

useBrowser();

/** Opens one viewdef whose values are `values`, and gives the ids of their variables by path. */
async function form(fixture, html, values) {
  const { server } = fixture;
  model(server, values);
  await open(fixture, { 'App.DEFAULT': html });
  const ids = {};
  for (const path of Object.keys(values)) ids[path] = (await server.created(path)).id;
  await quiet(fixture); // a busy machine reveals at the limit, before all values are there
  return ids;
}
const sent = (server, id) =>
  server.messages.filter((m) => m.type === 'update' && m.data.varId === id && 'value' in m.data).map((m) => m.data.value);

const KINDS = `
  <input class="text" ui-value="a">
  <input class="number" type="number" ui-value="n">
  <textarea ui-value="t"></textarea>
  <select ui-value="s"><option value="1">one<option value="2">two</select>
  <input class="check" type="checkbox" ui-value="c">
  <input class="check2" type="checkbox" ui-value="c2">
  <input class="r1" type="radio" name="r" value="x" ui-value="r">
  <input class="r2" type="radio" name="r" value="y" ui-value="r">
  <input class="range" type="range" ui-value="g">
  <progress max="10" ui-value="p"></progress>
  <output ui-value="o"></output>
  <li ui-value="li"></li>
  <button ui-value="b"></button>
  <span ui-value="arr"></span>
  <i ui-value="ref"></i>
  <u ui-value="none"></u>
  <input type="file" ui-value="f">
`;

pageTest('F89, F90, F91, F92: each kind of element shows a value where it can be seen', async (fixture) => {
  const { page } = fixture;
  await form(fixture, KINDS, {
    a: 'text', n: 5, t: 'area', s: 2, c: true, c2: 'false', r: 'y', g: 30, p: 4, o: 'out', li: 'item', b: '<b>label</b>',
    arr: [1, 'two'], ref: { x: 1 }, none: null, f: 'no.txt',
  });
  const got = await page.evaluate(() => {
    const q = (s) => document.querySelector(s);
    return [
      q('.text').value,
      q('.number').value,
      q('textarea').value,
      q('select').value,
      q('.check').checked,
      q('.check2').checked,
      q('.r1').checked,
      q('.r2').checked,
      q('.range').value,
      q('progress').value,
      q('output').value,
      q('li').textContent,
      q('button').textContent,
      q('span').textContent,
      q('i').textContent,
      q('u').textContent,
    ];
  });
  assert.deepEqual(got, ['text', '5', 'area', '2', true, false, false, true, '30', 4, 'out', 'item', '<b>label</b>', '1,two', '', '']);
});

pageTest('F89, F94: text commits on blur and sends the raw text; nothing is sent while typing', async (fixture) => {
  const { server, page, until } = fixture;
  const { a } = await form(fixture, '<input ui-value="a"><b>elsewhere</b>', { a: 'old' });
  await page.locator('input').click();
  await page.keyboard.type('er');
  assert.deepEqual(sent(server, a), []);
  await page.locator('b').click();
  await until('the commit', () => sent(server, a).length);
  assert.deepEqual(sent(server, a), ['older']);
});

pageTest('F89: check boxes commit their state, radios their value, selects and ranges on change', async (fixture) => {
  const { server, page, until } = fixture;
  const html = `
    <input class="c" type="checkbox" ui-value="c">
    <input class="r1" type="radio" name="r" value="x" ui-value="r">
    <input class="r2" type="radio" name="r" value="y" ui-value="q">
    <select ui-value="s"><option value="1">one<option value="2">two</select>
    <input class="g" type="range" ui-value="g">
  `;
  const ids = await form(fixture, html, { c: false, r: 'x', q: 'x', s: '1', g: 10 });
  await page.locator('.c').click();
  await page.locator('.r2').click();
  await page.locator('select').selectOption('2');
  await page.locator('.g').fill('60');
  await until('four commits', () => sent(server, ids.g).length);
  assert.deepEqual([ids.c, ids.r, ids.q, ids.s, ids.g].map((id) => sent(server, id)), [[true], [], ['y'], ['2'], ['60']]);
  await page.locator('.r1').click();
  await until('its commit', () => sent(server, ids.r).length);
  server.send(update(ids.r, 'y'), update(ids.q, 'y'));
  await until('the radio of the server', () => page.locator('.r2').isChecked());
});

pageTest('F89, F98: keypress commits while typing, and ui-keypress is the same', async (fixture) => {
  const { server, page, until } = fixture;
  const { a, b } = await form(fixture, '<input class="a" ui-value="a?keypress"><input class="b" ui-keypress="b">', { a: '', b: '' });
  await page.locator('.a').pressSequentially('hi');
  await page.locator('.b').pressSequentially('y');
  await until('commits', () => sent(server, b).length);
  assert.deepEqual(sent(server, a), ['h', 'hi']);
  assert.deepEqual(sent(server, b), ['y']);
  assert.equal(server.messages.find((m) => m.data.id === a).data.properties.keypress, undefined);
});

pageTest('F93: a value that is shown already is not assigned again', async (fixture) => {
  const { server, page, until } = fixture;
  const { a, b, z } = await form(fixture, '<p ui-value="a"></p><input ui-value="b"><u ui-value="z"></u>', { a: 'same', b: '7', z: 'y' });
  const count = await page.evaluate(() => {
    window.writes = 0;
    const observer = new MutationObserver((records) => { window.writes += records.length; });
    observer.observe(document.querySelector('p'), { childList: true, subtree: true, characterData: true });
    const input = document.querySelector('input');
    const { set, get } = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value');
    Object.defineProperty(input, 'value', {
      get() { return get.call(this); },
      set(v) {
        window.writes++;
        set.call(this, v);
      },
    });
    return window.writes;
  });
  assert.equal(count, 0);
  server.send(update(a, 'same'), update(b, 7), update(z, 'end'));
  await until('the end', async () => (await page.locator('u').textContent()) === 'end');
  assert.equal(await page.evaluate(() => window.writes), 0);
});

pageTest('F95, S21: focusing and leaving a field bound to a number or null sends nothing', async (fixture) => {
  const { server, page } = fixture;
  const html = `
    <input class="n" ui-value="n">
    <input class="z" ui-value="z">
    <input class="e" ui-value="e">
  `;
  const { n, z } = await form(fixture, html, { n: 5, z: null, e: '' });
  for (const name of ['.n', '.z', '.e', '.n']) await page.locator(name).focus();
  await page.locator('.e').fill('end');
  await page.locator('.n').focus();
  await server.received('the last edit', (m) => m.data.value === 'end');
  assert.deepEqual([sent(server, n), sent(server, z)], [[], []]);
});

pageTest('F96: an action on a check element owns the change, `commit` restores it', async (fixture) => {
  const { server, page, until } = fixture;
  const html = `
    <input class="a" type="checkbox" ui-value="a" ui-event-change="toggle()">
    <input class="b" type="checkbox" ui-value="b?commit" ui-event-change="flip()">
  `;
  const { a, b } = await form(fixture, html, { a: false, b: false });
  await page.locator('.a').click();
  await page.locator('.b').click();
  const flip = await server.created('flip()');
  const frame = await until('the second action', () => server.frames.find((f) => f.messages.some((m) => m.data.varId === flip.id)));
  // F118, F126: the value goes first
  assert.deepEqual(frame.messages, [update(b, true, undefined, 1), update(flip.id, null, undefined, 1)]);
  assert.deepEqual(sent(server, a), []);
});

pageTest('F97: ui-value-change sends its detail, on an element of any kind', async (fixture) => {
  const { server, page, until } = fixture;
  const { a } = await form(fixture, '<div ui-value="a?access=rw"></div>', { a: 1 });
  const change = { detail: { value: { deep: [1] } } };
  await page.locator('div').last().evaluate((e, init) => e.dispatchEvent(new CustomEvent('ui-value-change', init)), change);
  await until('the value', () => sent(server, a).length);
  assert.deepEqual(sent(server, a), [{ deep: [1] }]);
});

pageTest('F99, S66: a custom element gets its value again when it is defined, its children stay before', async (fixture) => {
  const { page, until } = fixture;
  const html = `
    <x-late ui-value="a"></x-late>
    <x-label ui-value="b"></x-label>
    <x-card ui-value="c"><b>kept</b></x-card>
    <x-never ui-value="d"></x-never>
  `;
  await form(fixture, html, { a: 3, b: 'text', c: 'no', d: 'plain' });
  assert.equal(await page.locator('x-card').innerHTML(), '<b>kept</b>');
  assert.equal(await page.locator('x-never').textContent(), 'plain');
  await page.evaluate(() => {
    customElements.define('x-late', class extends HTMLElement {
      #value = 'unset';
      get value() { return this.#value; }
      set value(v) {
        this.#value = v;
        this.setAttribute('shown', v);
      }
    });
    customElements.define('x-label', class extends HTMLElement {});
  });
  await until('the late value', async () => (await page.locator('x-late').getAttribute('shown')) === '3');
  assert.equal(await page.locator('x-late').textContent(), '');
  assert.equal(await page.locator('x-label').textContent(), 'text');
});

pageTest('F100, S63: a server value does not overwrite an edit; it is shown when the edit is given up', async (fixture) => {
  const { server, page, until } = fixture;
  const { a, z } = await form(fixture, '<input ui-value="a"><u ui-value="z"></u>', { a: 'old', z: '' });
  const input = page.locator('input');
  await input.click();
  await input.press('End');
  await page.keyboard.type('X');
  server.send(update(a, 'server'), update(z, '1'));
  await until('the frame', async () => (await page.locator('u').textContent()) === '1');
  assert.equal(await input.inputValue(), 'oldX');
  await page.keyboard.press('Backspace');
  await until('the server value', async () => (await input.inputValue()) === 'server');
  await page.keyboard.type('!');
  server.send(update(a, 'ignored'), update(z, '2'));
  await until('the frame', async () => (await page.locator('u').textContent()) === '2');
  await input.blur();
  await until('the commit', () => sent(server, a).length);
  assert.equal(await input.inputValue(), sent(server, a)[0]); // what was sent last is what holds
  server.send(update(a, 'after'));
  await until('an update after the commit', async () => (await input.inputValue()) === 'after');
});

pageTest('F100: the caret stays when a focused field without an edit is rewritten', async (fixture) => {
  const { server, page, until } = fixture;
  const { a } = await form(fixture, '<input ui-value="a">', { a: 'abcdef' });
  await page.locator('input').evaluate((e) => {
    e.focus();
    e.setSelectionRange(2, 4);
  });
  server.send(update(a, 'ABCDEFG'));
  await until('the value', async () => (await page.locator('input').inputValue()) === 'ABCDEFG');
  const caret = await page.locator('input').evaluate((e) => [e.selectionStart, e.selectionEnd, document.activeElement === e]);
  assert.deepEqual(caret, [2, 4, true]);
});

pageTest('F50, S22: an input bound to a getter is read-only and sends nothing', async (fixture) => {
  const { server, page } = fixture;
  const { 'full()': full } = await form(fixture, '<input ui-value="full()"><button ui-action="go()">go</button>', { 'full()': 'name' });
  assert.equal(await page.locator('input').getAttribute('readonly'), '');
  await page.locator('input').evaluate((e) => {
    e.value = 'changed';
    e.dispatchEvent(new Event('change'));
  });
  await page.locator('button').click();
  await server.received('the action', (m) => m.type === 'update' && m.data.value === null);
  assert.deepEqual(sent(server, full), []);
});

pageTest('F67, F70: default access of values by path and element', async (fixture) => {
  const { server } = fixture;
  const html = `
    <input ui-value="a">
    <p ui-value="b"></p>
    <input ui-value="c()">
    <input ui-value="d(_)">
    <input ui-value="e()?access=rw">
    <input type="checkbox" ui-value="f">
    <sl-option ui-value="g"></sl-option>
    <sl-input ui-value="h"></sl-input>
    <progress ui-value="i"></progress>
  `;
  await form(fixture, html, { i: 1 });
  const creates = server.messages.filter((m) => m.type === 'create').map((m) => m.data.properties);
  const access = Object.fromEntries(creates.map((properties) => [properties.path, properties.access]));
  assert.deepEqual(access, {
    a: undefined,
    b: 'r',
    'c()': 'r',
    'd(_)': 'w',
    'e()': 'rw',
    f: undefined,
    g: 'r',
    h: undefined,
    i: undefined,
  });
});

pageTest('F194, S62: a select keeps its server value while options come and go', async (fixture) => {
  const { server, page, until } = fixture;
  const known = [{ $type: 'Opt', code: 'a' }, { $type: 'Opt', code: 'b' }];
  const ref = model(server, { pick: 'b', options: known });
  const viewdefs = {
    'App.DEFAULT': `
      <select ui-value="pick" ui-viewlist="options"><option></option></select>
      <button ui-action="go()">go</button>
    `,
    'Opt.DEFAULT': '<option ui-attr-value="code" ui-value="code"></option>',
  };
  await open(fixture, viewdefs);
  await until('the choice', async () => (await page.locator('select').inputValue()) === 'b');
  const [pick, options] = [await server.created('pick'), await server.created('options')];
  server.send(update(options.id, []));
  await until('no options', async () => !(await page.locator('option').count()));
  server.send(update(options.id, known.map(ref)));
  await until('the choice again', async () => (await page.locator('select').inputValue()) === 'b');
  await page.locator('button').click();
  await server.received('the action', (m) => m.type === 'update' && m.data.value === null);
  assert.deepEqual(sent(server, pick.id), []);
});

pageTest('F196: a multiple select takes and sends arrays, compared by content', async (fixture) => {
  const { server, page, until } = fixture;
  const { a } = await form(fixture, '<select multiple ui-value="a"><option>x<option>y<option>z</select>', { a: ['x', 'z'] });
  const chosen = () => page.locator('select').evaluate((e) => [...e.selectedOptions].map((o) => o.value));
  assert.deepEqual(await chosen(), ['x', 'z']);
  await page.locator('select').focus();
  await page.locator('select').blur();
  await page.locator('select').selectOption(['y']);
  await until('the commit', () => sent(server, a).length);
  assert.deepEqual(sent(server, a), [['y']]);
});

pageTest('F100: text that an input method is composing is not changed under it', async (fixture) => {
  const { server, page, until } = fixture;
  const { a } = await form(fixture, '<input ui-value="a?keypress"><b ui-value="seen"></b>', { a: '', seen: '' });
  const { id: seen } = await server.created('seen');
  const input = page.locator('input');
  const devtools = await page.context().newCDPSession(page);
  await input.focus();
  for (const text of ['k', 'ka', 'kan']) {
    await devtools.send('Input.imeSetComposition', { text, selectionStart: text.length, selectionEnd: text.length });
    await until(`the commit of ${text}`, () => sent(server, a).at(-1) === text);
    server.send(update(a, text.toUpperCase()), update(seen, text));
    await page.getByText(text, { exact: true }).waitFor();
    assert.equal(await input.inputValue(), text);
  }
  await devtools.send('Input.insertText', { text: 'kan' });
  await until('the server’s spelling', async () => (await input.inputValue()) === 'KAN');
  await devtools.detach();
});

pageTest('F89, F49: a radio may be chosen again before the server has answered', async (fixture) => {
  const { server, page, until } = fixture;
  const html = `
    <input class="x" type="radio" name="r" value="x" ui-value="r">
    <input class="y" type="radio" name="r" value="y" ui-value="r">
  `;
  await form(fixture, html, { r: 'x' });
  const ids = [(await server.created('r', 0)).id, (await server.created('r', 1)).id];
  await page.locator('.y').click();
  await page.locator('.x').click();
  await until('both choices', () => ids.every((id) => sent(server, id).length));
  assert.deepEqual(ids.map((id) => sent(server, id)), [['x'], ['y']]);
});

pageTest('F89, F91: a value is shown again when its radio learns what it stands for, or its range how far it goes', async (fixture) => {
  const { server, page, until } = fixture;
  const html = `
    <input class="r" type="radio" ui-value="r" ui-attr-value="v">
    <input class="g" type="range" ui-value="g" ui-attr-min="min" ui-attr-max="max">
  `;
  await form(fixture, html, { r: 'x', v: 'x', g: 150, min: 120, max: 200 });
  const state = () => page.evaluate(() => [document.querySelector('.r').checked, document.querySelector('.g').value]);
  assert.deepEqual(await state(), [true, '150']);
  server.send(update((await server.created('v')).id, 'y'), update((await server.created('min')).id, 180));
  await until('the new attributes', async () => (await state()).join() === 'false,180');
  server.send(update((await server.created('v')).id, 'x'), update((await server.created('min')).id, 0));
  await until('the value again', async () => (await state()).join() === 'true,150');
  assert.ok(!server.messages.some((m) => m.type === 'update' && 'value' in m.data), 'nothing was edited');
});
