/** Events, keyboard combinations and actions. */
import assert from 'node:assert/strict';
import { logged, open, pageTest, shown, useBrowser } from './lib/chromium.js';
import { model, update } from './lib/fake-server.js';

useBrowser();

/** Opens one viewdef and waits until it is to be seen. */
async function show(fixture, html, values = {}) {
  model(fixture.server, values);
  await open(fixture, { 'App.DEFAULT': html });
  await shown(fixture);
}
const updates = (server) => server.messages.filter((m) => m.type === 'update' && 'value' in m.data);
/** The paths and values that were sent, in order. */
const sent = (server) => {
  const pathOf = (id) => server.messages.find((m) => m.data.id === id).data.properties.path;
  return updates(server).map((m) => [pathOf(m.data.varId), m.data.value]);
};
/** The frame that brought the first update of a variable. */
const frameWith = (server, id) => server.frames.find((f) => f.messages.some((m) => m.type === 'update' && m.data.varId === id));

pageTest('F113, F67: an event sends null at once as a user event; its access is action, its priority low', async (fixture) => {
  const { server, page, until } = fixture;
  await show(fixture, '<b ui-event-dblclick="go()">x</b><input ui-event-change="changed">');
  const go = await server.created('go()');
  assert.deepEqual([go.properties.access, go.properties.priority], ['action', 'low']);
  await page.locator('b').dblclick();
  const frame = await until('the event', () => server.frames.find((f) => f.messages[0].data.varId === go.id));
  assert.equal(frame.userEvent, true);
  assert.deepEqual(frame.messages, [update(go.id, null, undefined, 1)]);
  await page.locator('input').fill('q');
  await page.locator('input').blur();
  await until('the other', () => updates(server).length === 2);
  assert.deepEqual(sent(server)[1], ['changed', null]);
});

pageTest('F114, F115, S70: (_) receives the current value, -value a constant', async (fixture) => {
  const { server, page, until } = fixture;
  const html = `
    <input class="a" ui-event-input="typed(_)">
    <input class="b" type="checkbox" ui-event-change="set(_)">
    <b ui-event-click="none(_)">x</b>
    <i ui-event-click="tab" ui-event-click-value="0">0</i>
    <u ui-event-click="name" ui-event-click-value="Nemo">n</u>
    <s ui-event-click="plain">p</s>
  `;
  await show(fixture, html);
  await page.locator('.a').fill('q');
  await page.locator('.b').click();
  for (const name of ['b', 'i', 'u', 's']) await page.locator(name).click();
  await until('six events', () => updates(server).length === 6);
  assert.deepEqual(sent(server), [['typed(_)', 'q'], ['set(_)', true], ['none(_)', null], ['tab', 0], ['name', 'Nemo'], ['plain', null]]);
  assert.ok(!server.messages.some((m) => m.data.properties?.path === 'Nemo'));
});

pageTest('F116: a click triggers bound ancestors too, innermost first, and keeps its default', async (fixture) => {
  const { server, page, until } = fixture;
  await show(fixture, '<div ui-event-click="outer()"><label ui-event-click="inner()">x<input type="checkbox"></label></div>');
  await page.locator('label').click();
  await until('events', () => updates(server).length >= 2);
  assert.deepEqual(sent(server).slice(0, 2), [['inner()', null], ['outer()', null]]);
  assert.equal(await page.locator('input').isChecked(), true);
});

pageTest('F116, F117: ui-action prevents the default, lets the event bubble, and sends null or the value for (_)', async (fixture) => {
  const { server, page, until } = fixture;
  const html = `
    <div ui-event-click="outer()"><a href="/elsewhere" ui-action="go()">go</a></div>
    <button value="v" ui-action="take(_)">take</button>
    <p ui-action="none(_)">n</p>
  `;
  await show(fixture, html);
  await page.locator('a').click();
  await page.locator('button').click();
  await page.locator('p').click();
  await until('actions', () => updates(server).length === 4);
  assert.deepEqual(sent(server), [['go()', null], ['outer()', null], ['take(_)', 'v'], ['none(_)', null]]);
  assert.equal(page.url(), server.url);
});

pageTest('F118, F119: an action carries the edit of its element first, then other edits in document order, ' +
  'in one frame', async (fixture) => {
  const { server, page, until } = fixture;
  const html = `
    <input class="a" ui-value="a">
    <input class="b" ui-value="b" ui-event-keypress-enter="send()">
    <input class="c" ui-value="c">
  `;
  await show(fixture, html, { a: '', b: '', c: '' });
  await page.evaluate(() => {
    for (const [name, text] of [['c', '3'], ['a', '1']]) {
      const input = document.querySelector(`.${name}`);
      input.value = text;
      input.dispatchEvent(new Event('input', { bubbles: true }));
    }
  });
  await page.locator('.b').pressSequentially('2');
  await page.keyboard.press('Enter');
  const send = await server.created('send()');
  const frame = await until('the action', () => frameWith(server, send.id));
  assert.equal(frame.userEvent, true);
  assert.deepEqual(frame.messages.map((m) => m.data.value), ['2', '1', '3', null]);
});

pageTest('F120, F121, F122, F123: keyboard combinations match exactly', async (fixture) => {
  const { server, page, until } = fixture;
  const names = ['enter', 'ctrl-enter', 'shift-tab', 'escape', 'left', 'up', 'space', 'a', 'delete', 'f2', 'alt-shift-x', '-', 'ctrl--'];
  const bindings = names.map((name, i) => `ui-event-keypress-${name}="k${i}(_)"`).join(' ');
  await show(fixture, `<input ${bindings} ui-event-keypress-home="last" ui-event-keypress-end="fin()">`);
  const input = page.locator('input');
  const presses = [
    'Enter', 'Control+Enter', 'Escape', 'ArrowLeft', 'ArrowUp', 'Space', 'a', 'Delete', 'F2', 'Alt+Shift+X', '-',
    'Control+-', 'Home', 'End',
  ];
  for (const press of ['Shift+Enter', 'Control+Shift+Enter', 'b', 'Control+a', ...presses]) await input.press(press);
  await until('all of them', () => updates(server).length >= presses.length);
  const key = (name) => (name === '-' || name === 'ctrl--' ? '-' : name.split('-').at(-1));
  const pressed = names.filter((name) => name !== 'shift-tab').map((name) => [`k${names.indexOf(name)}(_)`, key(name)]);
  assert.deepEqual(sent(server), [...pressed, ['last', 'home'], ['fin()', null]]);
  assert.equal((await server.created('last')).properties.access, undefined);
  assert.equal((await server.created('fin()')).properties.access, 'action');
});

pageTest('F67: a keypress path with () is an action even if it says otherwise', async (fixture) => {
  await show(fixture, '<input ui-event-keypress-enter="go()?access=r">');
  assert.equal((await fixture.server.created('go()')).properties.access, 'action');
});

pageTest('F124: keys of an input method are ignored', async (fixture) => {
  const { server, page, until } = fixture;
  await show(fixture, '<input ui-event-keypress-enter="go(_)">');
  await page.locator('input').evaluate((e) => {
    e.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', isComposing: true }));
    e.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', keyCode: 229 }));
    e.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter' }));
  });
  await until('one event', () => updates(server).length);
  assert.equal(updates(server).length, 1);
});

pageTest('F125: combinations with ctrl prevent the default, plain keys never', async (fixture) => {
  const { page } = fixture;
  await show(fixture, '<input ui-event-keypress-ctrl-s="save()" ui-event-keypress-enter="send()">');
  const prevented = await page.locator('input').evaluate((e) => {
    const isPrevented = (init) => !e.dispatchEvent(new KeyboardEvent('keydown', { ...init, cancelable: true }));
    return [isPrevented({ key: 's', ctrlKey: true }), isPrevented({ key: 'Enter' })];
  });
  assert.deepEqual(prevented, [true, false]);
});

pageTest('F126: listeners of one element fire in binding order, so the value goes first', async (fixture) => {
  const { server, page, until } = fixture;
  await show(fixture, '<select ui-event-change="changed()" ui-value="s"><option>a<option>b</select>', { s: 'a' });
  await page.locator('select').selectOption('b');
  const changed = await server.created('changed()');
  const frame = await until('the event', () => frameWith(server, changed.id));
  assert.deepEqual(frame.messages.map((m) => m.data.value), ['b', null]);
});

pageTest('S71, S75, S72: self, stop and prevent, links to nowhere, and forms that must not reload the page', async (fixture) => {
  const { server, page, until } = fixture;
  const html = `
    <div ui-event-click="all()">
      <p ui-event-click="own()?self">text <b>inner</b></p>
      <i ui-event-click="quiet()?stop">q</i>
    </div>
    <a href="#" ui-event-click="link()">link</a>
    <form><input class="f" ui-value="f"></form>
  `;
  await show(fixture, html, { f: '' });
  await page.locator('b').click();
  await page.locator('i').click();
  await page.locator('a').click();
  await page.locator('.f').fill('word');
  await page.locator('.f').press('Enter');
  await until('the form field', () => sent(server).some(([path]) => path === 'f'));
  assert.deepEqual(sent(server), [['all()', null], ['quiet()', null], ['link()', null], ['f', 'word']]);
  assert.equal(page.url(), server.url);
});

pageTest('F69: an illegal access is reported and skips that one binding', async (fixture) => {
  const { server, page } = fixture;
  const html = `
    <b ui-value="a(_)?access=r">x</b>
    <i ui-value="b()?access=w"></i>
    <u ui-value="c?access=odd"></u>
    <s ui-value="d"></s>
    <p ui-view="e(_)"></p>
  `;
  await show(fixture, html, { d: 'fine' });
  await page.getByText('fine').waitFor();
  assert.deepEqual(server.messages.filter((m) => m.type === 'create').map((m) => m.data.properties.path), ['d']);
  await logged(fixture, 'does not allow access', 4);
});

pageTest('F123: a key without a name, as the filling in of a form sends it, matches nothing and fails nowhere', async (fixture) => {
  const { server, page, until, logs } = fixture;
  await show(fixture, '<input ui-event-keypress-enter="go()">');
  await page.locator('input').evaluate((e) => e.dispatchEvent(new Event('keydown')));
  await page.locator('input').press('Enter');
  await until('the key', () => updates(server).length);
  assert.deepEqual(sent(server), [['go()', null]]);
  assert.deepEqual(logs, []);
});

pageTest('F115: a key sends the text of its -value attribute', async (fixture) => {
  const { server, page, until } = fixture;
  await show(fixture, '<input ui-event-keypress-enter="tab" ui-event-keypress-enter-value="2">');
  await page.locator('input').press('Enter');
  await until('the key', () => updates(server).length);
  assert.deepEqual(sent(server), [['tab', 2]]);
});

pageTest('S72: a button may close the dialog around its form', async (fixture) => {
  const { page, until } = fixture;
  await show(fixture, '<dialog open><form><button formmethod="dialog">close</button></form></dialog>');
  await page.locator('button').click();
  await until('a closed dialog', () => page.evaluate(() => !document.querySelector('dialog').open));
});

pageTest('F114, F196: (_) receives all that is chosen in a multiple select, and the value of a radio', async (fixture) => {
  const { server, page, until } = fixture;
  const html = `
    <select multiple ui-event-change="many(_)"><option>1<option>2<option>3</select>
    <input type="radio" value="x" ui-event-change="one(_)">
  `;
  await show(fixture, html);
  await page.locator('select').selectOption(['2', '3']);
  await page.locator('input').click();
  await until('both', () => updates(server).length === 2);
  assert.deepEqual(sent(server), [['many(_)', ['2', '3']], ['one(_)', 'x']]);
});

pageTest('F121, F125: a shortcut is known by the place of its key where the letters are not Latin', async (fixture) => {
  const { server, page } = fixture;
  await show(fixture, '<input ui-event-keypress-ctrl-s="save()" ui-event-keypress-s="plain()">');
  const press = (event) => page.evaluate((init) => {
    const pressed = new KeyboardEvent('keydown', { bubbles: true, cancelable: true, ...init });
    return document.querySelector('input').dispatchEvent(pressed);
  }, event);
  assert.equal(await press({ key: 'ы', code: 'KeyS', ctrlKey: true }), false, 'the browser’s own shortcut is off');
  assert.equal(await press({ key: 'ы', code: 'KeyS' }), true, 'a letter is a letter');
  assert.equal(await press({ key: 'o', code: 'KeyS', ctrlKey: true }), true, 'another Latin layout');
  assert.equal(await press({ key: 's', code: 'Semicolon', ctrlKey: true }), false);
  await fixture.until('both', () => sent(server).length === 2);
  assert.deepEqual(sent(server), [['save()', null], ['save()', null]]);
});
