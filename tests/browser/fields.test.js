/**
 * What fields do while the server is on its way to an answer, and where it does not take an edit:
 * nothing typed is lost, nothing refused stays (R8).
 */
import assert from 'node:assert/strict';
import { open, pageTest, patient, seen, shown, useBrowser } from './lib/chromium.js';
import { model, update } from './lib/fake-server.js';

useBrowser();

/** Opens one viewdef whose values are `values`. */
async function show(fixture, html, values, { unnumbered } = {}) {
  const { server, page } = fixture;
  if (!unnumbered) await patient(page);
  model(server, values);
  await open(fixture, { 'App.DEFAULT': `<main>${html}</main>` });
  await shown(fixture);
}
const writes = (server, id) =>
  server.messages.filter((m) => m.type === 'update' && m.data.varId === id && 'value' in m.data).map((m) => m.data);
const id = async (server, path, nth) => (await server.created(path, nth)).id;

pageTest('R8: writes are numbered per variable, actions too', async (fixture) => {
  const { server, page, until } = fixture;
  await show(fixture, '<input ui-value="a?keypress"><button ui-action="go()">go</button>', { a: '' });
  const [a, go] = [await id(server, 'a'), await id(server, 'go()')];
  await page.locator('input').pressSequentially('xy');
  await page.locator('button').click();
  await page.locator('button').click();
  await until('two actions', () => writes(server, go).length === 2);
  assert.deepEqual(writes(server, a), [{ varId: a, value: 'x', seq: 1 }, { varId: a, value: 'xy', seq: 2 }]);
  assert.deepEqual(writes(server, go).map(({ seq }) => seq), [1, 2]);
});

pageTest('R8, F100: an answer to an older write is not shown, the answer to the last one is', async (fixture) => {
  const { server, page, until } = fixture;
  await show(fixture, '<input ui-value="a?keypress">', { a: '' });
  const a = await id(server, 'a');
  const input = page.locator('input');
  await input.pressSequentially('abc');
  await until('three writes', () => writes(server, a).length === 3);
  server.numbered = false;
  server.send({ type: 'update', data: { varId: a, value: 'from elsewhere' } }, update(a, 'A', undefined, 1), update(a, 'AB', undefined, 2));
  await seen(fixture, 'one');
  assert.equal(await input.inputValue(), 'abc');
  await input.pressSequentially('d');
  server.send(update(a, 'ABC', undefined, 3));
  await seen(fixture, 'two');
  assert.equal(await input.inputValue(), 'abcd');
  server.send(update(a, 'ABCD', undefined, 4));
  await until('the answer', async () => (await input.inputValue()) === 'ABCD');
  server.send(update(a, 'later', undefined, 4));
  await until('what came later', async () => (await input.inputValue()) === 'later');
});

pageTest('R8, F103: what an attribute shows waits for the answers to the element’s own events', async (fixture) => {
  const { server, page, until } = fixture;
  await show(fixture, '<input ui-attr-value="v" ui-event-input="set(_)">', { v: '' });
  const [v, set] = [await id(server, 'v'), await id(server, 'set(_)')];
  server.numbered = false;
  await page.locator('input').pressSequentially('abc');
  await until('three writes', () => writes(server, set).length === 3);
  server.send(update(v, 'a'), update(set, undefined, undefined, 1));
  server.send(update(v, 'ab'), update(set, undefined, undefined, 2));
  await seen(fixture, 'one');
  assert.equal(await page.locator('input').inputValue(), 'abc');
  server.send(update(v, 'abc!'), update(set, undefined, undefined, 3));
  await until('the answer', async () => (await page.locator('input').inputValue()) === 'abc!');
});

pageTest('F100: a server that does not number its answers is believed after three seconds', async (fixture) => {
  const { server, page, until } = fixture;
  server.numbered = false;
  const html = `
    <input class="a" ui-value="a?keypress">
    <input class="b" type="checkbox" ui-value="b">
  `;
  await show(fixture, html, { a: '', b: false }, { unnumbered: true });
  const [a, b] = [await id(server, 'a'), await id(server, 'b')];
  const [text, box] = [page.locator('.a'), page.locator('.b')];
  await text.pressSequentially('x');
  await until('the write', () => writes(server, a).length);
  server.send(update(a, 'X'));
  await until('the answer', async () => (await text.inputValue()) === 'X');
  await text.pressSequentially('y');
  await until('the next write', () => writes(server, a).length === 2);
  server.send(update(a, 'XY'));
  await until('its answer', async () => (await text.inputValue()) === 'XY');
  await box.click();
  await until('the mark', () => writes(server, b).length);
  assert.equal(await box.isChecked(), true);
  server.send(update(b, false));
  await until('no mark', async () => !(await box.isChecked()));
});

pageTest('R8, S60: controls show what holds when the program does not take what was chosen', async (fixture) => {
  const { server, page, until } = fixture;
  const html = `
    <input class="m" type="radio" name="s" value="m" ui-value="size">
    <input class="l" type="radio" name="s" value="l" ui-value="size">
    <input class="c" type="checkbox" ui-value="c">
    <select ui-value="s"><option>m<option>l</select>
    <input class="o" type="checkbox" ui-value="o" ui-event-change="flip()">
    <input class="t" type="checkbox" ui-attr-checked="t" ui-event-change="toggle()">
    <label ui-event-click="outer()"><input class="n" type="checkbox" ui-attr-checked="n" ui-event-change="inner()">n</label>
    <input class="a" type="radio" name="p" value="a" ui-attr-checked="pa" ui-event-change="pick()">
    <input class="b" type="radio" name="p" value="b" ui-attr-checked="pb" ui-event-change="pick()">
  `;
  await show(fixture, html, { size: 'm', c: false, s: 'm', o: true, t: true, n: false, pa: true, pb: false });
  const state = async () => (await page.locator(':checked').evaluateAll((all) => all.map((e) => e.className || e.value))).join();
  const before = await state();
  assert.equal(before, 'm,m,o,t,a');
  const refused = { size: [await id(server, 'size', 1), 'm'], c: [await id(server, 'c'), false], s: [await id(server, 's'), 'm'] };
  for (const name of ['.l', '.c', '.o', '.t', '.n', '.b']) await page.locator(name).click();
  await page.locator('select').selectOption('l');
  for (const [name, [varId, value]] of Object.entries(refused)) {
    await until(`the write of ${name}`, () => writes(server, varId).length);
    server.send({ type: 'error', data: { varId, code: 'lua-error', description: 'sold out' } }, update(varId, value, undefined, 1));
  }
  await until('what holds', async () => (await state()) === before);
  await page.locator('.l.ui-error').waitFor(); // the answer with what holds does not hide why (F207)
  for (const name of ['.l', '.t']) await page.locator(name).click(); // and again
  await until('the second write', () => writes(server, refused.size[0]).length === 2);
  server.send(update(refused.size[0], 'm', undefined, 2));
  await until('what holds', async () => (await state()) === before);
});

pageTest('R8: of radios that were chosen one after the other the last one holds, whatever order the answers have', async (fixture) => {
  const { server, page, until } = fixture;
  const html = ['x', 'y', 'z'].map((v) => `<input class="${v}" type="radio" name="r" value="${v}" ui-value="r">`).join('');
  await show(fixture, html, { r: 'x' });
  const ids = await Promise.all([0, 1, 2].map((n) => id(server, 'r', n)));
  server.numbered = false;
  const marked = () => page.locator(':checked').evaluateAll((all) => all.map((e) => e.className).join());
  await page.locator('.y').click();
  await page.locator('.z').click();
  await until('both', () => writes(server, ids[2]).length);
  server.send(update(ids[0], 'y'), update(ids[1], 'y', undefined, 1), update(ids[2], 'y'));
  await seen(fixture, 'one');
  assert.equal(await marked(), 'z');
  server.send(update(ids[0], 'z'), update(ids[1], 'z', undefined, 1), update(ids[2], 'z', undefined, 1));
  await seen(fixture, 'two');
  assert.equal(await marked(), 'z');
});

pageTest('F95, R51: what changed without an event is no edit; a script that tells of its change makes one', async (fixture) => {
  const { server, page } = fixture;
  const html = `
    <input class="a" ui-value="a">
    <input class="b" ui-value="b">
    <input class="c" type="checkbox" ui-value="c">
    <button ui-action="go()">go</button>
  `;
  await show(fixture, html, { a: 'Ada', b: 'Bob', c: true });
  const ids = [await id(server, 'a'), await id(server, 'b'), await id(server, 'c')];
  await page.locator('.a').focus();
  await page.evaluate(() => {
    const [a, b, c] = ['a', 'b', 'c'].map((name) => document.querySelector(`.${name}`));
    a.value = ''; // as the browser empties, restores and fills in
    c.checked = false;
    b.value = 'filled in';
    b.dispatchEvent(new Event('change', { bubbles: true }));
  });
  await page.locator('button').click();
  await server.received('the action', (m) => m.type === 'update' && m.data.value === null);
  assert.deepEqual(ids.map((varId) => writes(server, varId).map(({ value }) => value)), [[], ['filled in'], []]);
});

pageTest('F95: resetting a form edits its fields, and what cannot be sent shows the value again', async (fixture) => {
  const { server, page, until } = fixture;
  const html = `
    <form>
      <input class="a" ui-value="a">
      <input class="c" type="checkbox" ui-value="c">
      <input class="x" type="radio" name="r" value="x" ui-value="r">
      <input class="y" type="radio" name="r" value="y" ui-value="r">
      <input class="d" type="radio" name="q" value="d" checked ui-value="q">
      <input class="e" type="radio" name="q" value="e" ui-value="q">
      <input class="g" ui-value="full()">
      <button type="reset">reset</button>
    </form>
    <button ui-action="go()">go</button>
  `;
  await show(fixture, html, { a: 'ann', c: true, r: 'x', q: 'e', full: 'text' });
  const ids = [await id(server, 'a'), await id(server, 'c'), await id(server, 'r'), await id(server, 'q', 0)];
  const sent = () => ids.map((varId) => writes(server, varId).map(({ value }) => value));
  await page.locator('[type=reset]').click();
  await until('the edits', () => writes(server, ids[3]).length);
  assert.deepEqual(sent(), [[''], [false], [], ['d']]);
  server.send(update(ids[0], ''), update(ids[1], false), update(ids[3], 'd'), update(await id(server, 'q', 1), 'd'));
  await seen(fixture, 'one');
  const states = (all) => all.map((e) => (/checkbox|radio/.test(e.type) ? e.checked : e.value));
  assert.deepEqual(await page.locator('form input').evaluateAll(states), ['', false, true, false, true, false, 'text']);
  await page.locator('[ui-action]').click();
  await server.received('the action', (m) => m.type === 'update' && m.data.value === null);
  assert.deepEqual(sent(), [[''], [false], [], ['d']]);
});

pageTest('F95: radios of which a reset marks none show the value again', async (fixture) => {
  const { server, page, until } = fixture;
  const html = `
    <form>
      <input type="radio" name="r" value="x" ui-value="r">
      <input type="radio" name="r" value="y" ui-value="r">
      <input ui-value="a">
      <button type="reset">reset</button>
    </form>
  `;
  await show(fixture, html, { r: 'y', a: 'ann' });
  const marked = () => page.locator('[type=radio]').evaluateAll((all) => all.map(({ checked }) => checked).join());
  await until('the value', async () => (await marked()) === 'false,true');
  await page.locator('[type=reset]').click();
  const a = await id(server, 'a');
  await until('the edit', () => writes(server, a).length);
  assert.equal(await marked(), 'false,true');
  assert.deepEqual(writes(server, await id(server, 'r')), []);
});

pageTest('F89: numbers and dates are sent when they are left or by Enter, with keypress at each key', async (fixture) => {
  const { server, page, until } = fixture;
  const html = `
    <input class="d" type="date" ui-value="d">
    <input class="n" type="number" ui-value="n">
    <input class="k" type="number" ui-value="k?keypress">
    <input class="x">
  `;
  await show(fixture, html, { d: '', n: 5, k: 1 });
  const [d, n, k] = [await id(server, 'd'), await id(server, 'n'), await id(server, 'k')];
  const values = (varId) => writes(server, varId).map(({ value }) => value);
  await page.locator('.d').focus();
  await page.keyboard.type('12252026');
  await page.locator('.n').focus();
  await until('the date', () => values(d).length);
  await page.keyboard.press('Control+A');
  await page.keyboard.type('12');
  await page.keyboard.press('Enter');
  await until('the number', () => values(n).length);
  await page.keyboard.type('3');
  await page.locator('.k').focus();
  await page.keyboard.press('End');
  await page.keyboard.type('23');
  await until('each key', () => values(k).length === 2);
  assert.deepEqual([values(d), values(n), values(k)], [['2026-12-25'], ['12', '123'], ['12', '123']]);
});

pageTest('F100: what is no number yet is neither sent nor overwritten', async (fixture) => {
  const { server, page, until } = fixture;
  const html = `
    <input class="n" type="number" step="any" ui-value="n?keypress">
    <input class="x">
    <button ui-action="go()">go</button>
  `;
  await show(fixture, html, { n: 5 });
  const n = await id(server, 'n');
  const field = page.locator('.n');
  const values = () => writes(server, n).map(({ value }) => value);
  const bad = () => field.evaluate((e) => e.validity.badInput);
  await field.focus();
  await page.keyboard.press('Control+A');
  await page.keyboard.press('Delete');
  await until('nothing', () => values().length === 1);
  server.send(update(n, 0)); // the program makes a number of it
  await page.keyboard.type('-');
  await until('a minus', bad);
  server.send(update(n, 3));
  await seen(fixture, 'one');
  await page.locator('button').click();
  await server.received('the action', (m) => m.type === 'update' && m.data.value === null);
  assert.equal(await bad(), true);
  await field.focus();
  await page.keyboard.press('End');
  await page.keyboard.type('7');
  await until('the number', () => values().length === 2);
  assert.deepEqual(values(), ['', '-7']);
  server.send(update(n, -8));
  await page.locator('.x').focus();
  await until('what the program made of it', async () => (await field.inputValue()) === '-8');
});

pageTest('T31: integers of 64 bits are shown digit by digit, and go back as they are', async (fixture) => {
  const { server, page, until } = fixture;
  const html = `
    <b ui-value="t"></b>
    <i ui-attr-data-id="a"></i>
    <input ui-value="f">
    <u ui-value="list"></u>
    <s ui-value="text"></s>
    <button ui-event-click="pick(_)" ui-event-click-value="9007199254740993">go</button>
  `;
  await show(fixture, html, { t: 0, a: 0, f: 0, list: 0, text: '' });
  const [t, a, f, list, text, pick] = await Promise.all(['t', 'a', 'f', 'list', 'text', 'pick(_)'].map((path) => id(server, path)));
  const raw = (varId, value) => `{"type":"update","data":{"varId":${varId},"value":${value}}}`;
  const updates = [
    raw(t, '-9223372036854775808'),
    raw(a, '9007199254740993'),
    raw(f, '9223372036854775807'),
    raw(list, '[9007199254740993,1.5]'),
    raw(text, '"12345678901234567890\\\\\\"12345678901234567890"'),
  ];
  server.sockets.at(-1).send(`[${updates}]`);
  await until('the digits', async () => (await page.locator('b').textContent()) === '-9223372036854775808');
  assert.equal(await page.locator('i').getAttribute('data-id'), '9007199254740993');
  assert.equal(await page.locator('input').inputValue(), '9223372036854775807');
  assert.equal(await page.locator('u').textContent(), '9007199254740993,1.5');
  assert.equal(await page.locator('s').textContent(), '12345678901234567890\\"12345678901234567890');
  const frames = [];
  server.sockets.at(-1).on('message', (data) => frames.push(String(data)));
  await page.locator('input').focus();
  await page.locator('button').click();
  await until('the click', () => frames.length === 1);
  await page.evaluate(([x, y]) => window.uiStore.update(x, window.uiStore.get(y).value), [f, list]);
  await until('both', () => frames.length === 2);
  assert.match(frames[0], new RegExp(`"varId":${pick},"value":9007199254740993,`));
  assert.match(frames[1], new RegExp(`"varId":${f},"value":\\[9007199254740993,1.5\\],`));
  assert.deepEqual(writes(server, f).length, 1);
});

pageTest('T31: a browser whose revivers see no source shows the digits as text, and other numbers stay numbers', async (fixture) => {
  const { page } = fixture;
  await page.addInitScript(() => {
    const { parse } = JSON;
    JSON.parse = (text, reviver) => parse(text, reviver && ((key, value) => reviver(key, value)));
  });
  await show(fixture, '<i></i>', {});
  const read = await page.evaluate(async () => {
    const { parse } = await import('/lsess-client/json.js');
    return parse(`[
      9223372036854775807, -9223372036854775808, 0.3333333333333333, -1.2345678901234567e-300, 1234567890123456,
      "1 12345678901234567890 \\" 12345678901234567890"
    ]`);
  });
  assert.deepEqual(read, [
    '9223372036854775807',
    '-9223372036854775808',
    0.3333333333333333,
    -1.2345678901234567e-300,
    1234567890123456,
    '1 12345678901234567890 " 12345678901234567890',
  ]);
});

pageTest('F89, F100: editable elements show text, keep their caret and send what was typed', async (fixture) => {
  const { server, page, until } = fixture;
  const html = `
    <p class="e" contenteditable ui-value="e?keypress"></p>
    <div class="l" contenteditable="plaintext-only" ui-value="l"></div>
    <i contenteditable="false" ui-value="n"></i>
    <input>
  `;
  await show(fixture, html, { e: 'abc', l: '', n: 'no' });
  const [e, l] = [await id(server, 'e'), await id(server, 'l')];
  const values = (varId) => writes(server, varId).map(({ value }) => value);
  assert.equal((await server.created('n')).properties.access, 'r');
  await page.locator('.e').focus();
  await page.keyboard.press('Home');
  await page.keyboard.press('ArrowRight');
  await page.keyboard.type('XY');
  await until('both', () => values(e).length === 2);
  server.send(update(e, 'AXYBC'));
  await until('the answer', async () => (await page.locator('.e').textContent()) === 'AXYBC');
  await page.keyboard.type('z');
  await until('the third', () => values(e).length === 3);
  await page.locator('.l').focus();
  await page.keyboard.type('one');
  await page.keyboard.press('Enter');
  await page.keyboard.type('two');
  server.send(update(l, 'other'));
  await seen(fixture, 'one');
  assert.deepEqual(values(l), []);
  await page.locator('input').focus();
  await until('the lines', () => values(l).length);
  assert.deepEqual([values(e), values(l)], [['aXbc', 'aXYbc', 'AXYzBC'], ['one\ntwo']]);
});
