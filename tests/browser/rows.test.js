/** Rows follow their objects: what a person did to one stays with it, and what is written reaches what was shown (page.md R1 to R8). */
import assert from 'node:assert/strict';
import { open, pageTest, quiet, settled, useBrowser } from './lib/chromium.js';
import { model, update } from './lib/fake-server.js';
import { siteTest } from './lib/site.js';
import { until } from './lib/until.js';

useBrowser();

const LIST = '<ul class="list" ui-viewlist="list"><li></li></ul>';
const ONE = '<p><input ui-value="name"><button ui-action="go()">go</button></p>';
const FORM = '<li><b ui-value="name"></b><input ui-value="name"></li>';
const WITH_BUTTON = '<li><b ui-value="name"></b><input ui-value="name"><button ui-action="drop()">x</button></li>';

/** Shows the view of one object that has a name. */
async function one(fixture) {
  model(fixture.server, { current: { $type: 'One', name: 'ann' } });
  await open(fixture, { 'App.DEFAULT': '<div ui-view="current"></div>', 'Row.DEFAULT': FORM, 'One.DEFAULT': ONE });
  await quiet(fixture);
}

/** Shows a list of rows with these names; the result makes the value of the list from names, sends it, and finds what rows are made of. */
async function list(fixture, names, row = FORM, { app = LIST, more = {} } = {}) {
  const { server, page, until } = fixture;
  const objects = Object.fromEntries(names.map((name) => [name, { $type: 'Row', name }]));
  const ref = model(server, { list: names.map((name) => objects[name]), ...more });
  await open(fixture, { 'App.DEFAULT': app, 'Row.DEFAULT': row, 'One.DEFAULT': ONE });
  await quiet(fixture);
  const { id } = await server.created('list');
  const value = (name) => (name in objects || /^[a-z]+$/.test(name) ? ref(objects[name] ??= { $type: 'Row', name }) : name);
  const texts = () => page.locator('.list > * > b').allTextContents();
  return {
    id,
    path: (name) => `#${ref(objects[name]).obj}`,
    send: (...wanted) => server.send(update(id, wanted.map(value))),
    shows: (...wanted) => until(`the rows ${wanted}`, async () => (await texts()).join() === wanted.join()),
    texts,
    row: (name) => page.locator('.list > *').filter({ has: page.locator(`b:text-is("${name}")`) }),
    /** The variable of a row's field, which has the path of the text before it. */
    async field(name) {
      const row = await server.created(`#${ref(objects[name]).obj}`);
      return server.messages.filter((m) => m.data.parentId === row.id && m.data.properties.path === 'name')[1].data.id;
    },
    /** The variable of the row, and one below it by path. */
    async variable(name, path) {
      const row = await server.created(`#${ref(objects[name]).obj}`);
      if (!path) return row.id;
      const isIt = ({ type, data }) => type === 'create' && data.parentId === row.id && data.properties.path === path;
      return (await server.received(path, isIt)).data.id;
    },
  };
}
const sent = (server, from = 0) => server.messages.slice(from).map(({ type, data: { varId, value, of } }) => (
  { type, varId, ...(value !== undefined && { value }), ...(of !== undefined && { of }) }
));

pageTest('R1, R4: rows are bound by object, the second place of one and what is no object by position', async (fixture) => {
  const { server, page, until } = fixture;
  const l = await list(fixture, ['ann', 'bob']);
  server.send(update(l.id, [{ obj: 900 }, 'text', { obj: 900 }, null]));
  await until('four rows', async () => (await page.locator('li').count()) === 4);
  await server.created('3');
  await quiet(fixture);
  const creates = server.messages.filter((m) => m.type === 'create' && m.data.parentId === l.id).map((m) => m.data.properties.path);
  assert.deepEqual(creates, [l.path('ann'), l.path('bob'), '#900', '1', '2', '3']);
  const before = server.messages.length;
  server.send(update(l.id, ['text', { obj: 900 }, { obj: 900 }, null]));
  await server.created('0');
  await quiet(fixture);
  const changes = server.messages.slice(before).map((m) => m.data.properties?.path ?? m.type);
  assert.deepEqual(changes, ['destroy', '0', 'name', 'name', 'update'], 'row 1 goes, 0 comes, #900 moves, 2 and 3 stay');
  for (const value of ['no list', null, 7]) {
    server.send(update(l.id, [{ obj: 901 }]));
    await until('a row', async () => (await page.locator('li').count()) === 1);
    server.send(update(l.id, value));
    await until('none', async () => (await page.locator('li').count()) === 0);
  }
});

pageTest('R4: the key that an author names travels as a property, and rows are found as any', async (fixture) => {
  await list(fixture, ['ann'], FORM, { app: LIST.replace('"list">', '"list?key=id">') });
  const { properties } = await fixture.server.created('list');
  assert.deepEqual([properties.key, properties.keyed], ['id', 'true']);
});

pageTest('R5: the fewest nodes move, and that with focus does not', async (fixture) => {
  const { page } = fixture;
  await list(fixture, []);
  const bad = await page.evaluate(async () => {
    const { rising } = await import('/lsess-client/list.js');
    const brute = (ranks, pins) => { // the longest rising subset of all subsets that hold the pins
      let best = 0;
      for (let set = 0; set < 1 << ranks.length; set++) {
        const chosen = ranks.filter((_, i) => set & (1 << i));
        const rises = chosen.every((rank, i) => !i || chosen[i - 1] < rank);
        if (rises && pins.every((pin) => chosen.includes(pin))) best = Math.max(best, chosen.length);
      }
      return best;
    };
    for (let run = 0; run < 400; run++) {
      const ranks = Array.from({ length: run % 9 }, (_, i) => 2 * i);
      for (let i = ranks.length - 1; i > 0; i--) {
        const j = Math.floor(Math.random() * (i + 1));
        [ranks[i], ranks[j]] = [ranks[j], ranks[i]];
      }
      const pins = ranks.length && run % 2 ? [ranks[run % ranks.length]] : [];
      const found = rising(ranks, pins);
      const inOrder = ranks.filter((rank) => found.has(rank));
      const rises = inOrder.every((rank, i) => !i || inOrder[i - 1] < rank);
      const good = rises && found.size === brute(ranks, pins) && pins.every((pin) => found.has(pin));
      if (!good) return { ranks, pins, found: [...found] };
    }
    return null;
  });
  assert.equal(bad, null);
});

for (const how of ['moveBefore', 'insertBefore']) {
  pageTest(`R5: rows stand in the order of the list by ${how}, whichever come, go and move at once`, async (fixture) => {
    const { page } = fixture;
    if (how === 'insertBefore') await page.addInitScript(() => { delete Element.prototype.moveBefore; });
    const l = await list(fixture, ['ann', 'bob']);
    l.send('bob', 'cyd', 'ann');
    await l.shows('bob', 'cyd', 'ann');
    const all = 'abcdefgh'.split('');
    for (let run = 0; run < 40; run++) {
      const now = all.filter(() => Math.random() < 0.6).sort(() => Math.random() - 0.5);
      l.send(...now);
      await l.shows(...now);
    }
  });

  pageTest(`R5: a reordering by ${how} sends nothing, and rows keep what a person did to them`, async (fixture) => {
    const { server, page, until } = fixture;
    if (how === 'insertBefore') await page.addInitScript(() => { delete Element.prototype.moveBefore; });
    const row = `
      <li>
        <b ui-value="name"></b>
        <input ui-value="name">
        <details><summary>more</summary>text</details>
        <textarea style="height: 40px"></textarea>
        <input type="radio" name="chosen">
        <select><option>1<option>2</select>
        <div class="over" popover="manual">over</div>
      </li>
    `;
    const l = await list(fixture, ['ann', 'bob', 'cyd', 'dan'], row);
    await l.row('bob').locator('input').first().click();
    await page.keyboard.type('XY');
    await page.keyboard.press('ArrowLeft');
    await page.evaluate(() => {
      window.moved = new Set();
      window.nodes = [...document.querySelectorAll('.list > li')];
      const area = (i) => window.nodes[i].querySelector('textarea');
      for (const i of [0, 3]) {
        area(i).value = 'line\n'.repeat(50);
        area(i).scrollTop = 100 + i;
        window.nodes[i].querySelector('details').open = true;
        window.nodes[i].querySelector('select').value = '2';
      }
      window.nodes[3].querySelector('[type=radio]').checked = true;
      window.nodes[0].querySelector('.over').showPopover();
      window.nodes[1].querySelector('input').focus();
      new MutationObserver((records) => {
        for (const r of records) for (const node of r.addedNodes) window.moved.add(node);
      }).observe(document.querySelector('.list'), { childList: true });
    });
    const before = server.messages.length;
    l.send('dan', 'cyd', 'bob', 'ann');
    await l.shows('dan', 'cyd', 'bob', 'ann');
    const state = await page.evaluate(() => {
      const { nodes } = window;
      const input = nodes[1].querySelector('input');
      return {
        same: [3, 2, 1, 0].every((old, now) => document.querySelectorAll('.list > li')[now] === nodes[old]),
        moved: nodes.map((node) => window.moved.has(node)),
        focus: document.activeElement === input, text: input.value, caret: input.selectionStart,
        scrolls: nodes.map((node) => node.querySelector('textarea').scrollTop),
        open: nodes.map((node) => node.querySelector('details').open),
        chosen: nodes.map((node) => node.querySelector('select').value),
        radios: nodes.map((node) => node.querySelector('[type=radio]').checked),
        over: nodes.map((node) => node.querySelector('.over').matches(':popover-open')),
      };
    });
    assert.deepEqual(state, {
      same: true,
      moved: [true, false, true, true],
      focus: true,
      text: 'bobXY',
      caret: 4,
      scrolls: [100, 0, 0, 103],
      open: [true, false, false, true],
      chosen: ['2', '1', '1', '2'], radios: [false, false, false, true], over: [true, false, false, false],
    });
    await quiet(fixture);
    assert.deepEqual(sent(server, before), []);
    await page.evaluate(() => window.nodes[1].querySelector('input').blur());
    await until('the edit', () => sent(server, before).length);
    assert.deepEqual(sent(server, before), [{ type: 'update', varId: await l.field('bob'), value: 'bobXY' }]);
  });

  pageTest(`R5: by ${how} one row that goes far is one move, and rows of several roots move whole`, async (fixture) => {
    const { page } = fixture;
    if (how === 'insertBefore') await page.addInitScript(() => { delete Element.prototype.moveBefore; });
    const names = Array.from({ length: 26 }, (_, i) => String.fromCharCode(97 + i));
    const l = await list(fixture, names, '<div><b ui-value="name"></b></div>text<i></i>');
    await page.evaluate(() => {
      window.moves = 0;
      new MutationObserver((records) => {
        for (const r of records) window.moves += r.addedNodes.length;
      }).observe(document.querySelector('.list'), { childList: true });
    });
    const order = [...names.slice(1), 'a'];
    l.send(...order);
    await l.shows(...order);
    assert.equal(await page.evaluate(() => window.moves), 3, 'the nodes of one row');
    const nodes = await page.evaluate(() => [...document.querySelector('.list').childNodes].map((node) => node.nodeName).join(''));
    assert.equal(nodes, 'DIV#textI'.repeat(26));
  });
}

pageTest('R5: what plays or is loaded in a row goes on where the browser can move nodes', async (fixture) => {
  const { page, until } = fixture;
  const l = await list(fixture, ['ann', 'bob', 'cyd'], '<li><b ui-value="name"></b><iframe srcdoc="x"></iframe></li>');
  await until('their content', () => page.evaluate(() => {
    const documents = [...document.querySelectorAll('iframe')].map((frame) => frame.contentDocument);
    return documents.every(({ readyState, body }) => readyState === 'complete' && body.textContent === 'x');
  }));
  await page.evaluate(() => document.querySelectorAll('iframe').forEach((frame, i) => { frame.contentWindow.mark = i; }));
  l.send('cyd', 'bob', 'ann');
  await l.shows('cyd', 'bob', 'ann');
  assert.deepEqual(await page.evaluate(() => [...document.querySelectorAll('iframe')].map((frame) => frame.contentWindow.mark)), [2, 1, 0]);
});

pageTest('R5: an option that moves stays the chosen one', async (fixture) => {
  const { page, until } = fixture;
  await page.addInitScript(() => { delete Element.prototype.moveBefore; });
  const select = '<select class="list" ui-viewlist="list"><option></option></select>';
  const l = await list(fixture, ['ann', 'bob', 'cyd'], '<option ui-value="name" ui-attr-value="name"></option>', { app: select });
  const marked = (all) => all.map((option) => `${option.value}${option.selected ? '*' : ''}`).join();
  const options = () => page.locator('option').evaluateAll(marked);
  await page.locator('select').selectOption('cyd');
  l.send('cyd', 'bob', 'ann');
  await until('the new order', async () => (await options()) === 'cyd*,bob,ann');
});

pageTest('R1, R2, R5: rows come and go among others, and an edit in one that goes is sent before it', async (fixture) => {
  const { server, page } = fixture;
  const l = await list(fixture, ['ann', 'bob', 'cyd']);
  await page.evaluate(() => { window.cyd = document.querySelectorAll('.list > li')[2]; });
  await l.row('bob').locator('input').fill('bobby');
  const before = server.messages.length;
  l.send('eve', 'cyd', 'fay', 'gil', 'ann');
  await l.shows('eve', 'cyd', 'fay', 'gil', 'ann');
  assert.equal(await page.evaluate(() => window.cyd === document.querySelectorAll('.list > li')[1]), true);
  const field = await l.field('bob');
  const messages = sent(server, before);
  assert.deepEqual(messages.filter((m) => m.type !== 'create' && m.varId !== undefined).slice(0, 2), [
    { type: 'update', varId: field, value: 'bobby' }, { type: 'destroy', varId: await l.variable('bob') }]);
  assert.equal(messages.filter((m) => m.type === 'destroy').length, 1);
});

pageTest('R1: focus in a row that goes passes to the next row, and to no control of it', async (fixture) => {
  const { page, until } = fixture;
  const l = await list(fixture, ['ann', 'bob', 'cyd']);
  await l.row('bob').locator('input').focus();
  l.send('ann', 'cyd');
  await l.shows('ann', 'cyd');
  const focused = () => page.evaluate(() => {
    const { activeElement: element } = document;
    return `${element.localName} ${element.querySelector('b')?.textContent ?? ''}`;
  });
  assert.equal(await focused(), 'li cyd');
  await page.keyboard.type('lost');
  assert.equal(await l.row('cyd').locator('input').inputValue(), 'cyd', 'the rest of a word goes into no other object');
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.closest('li').querySelector('b').textContent), 'cyd');
  assert.equal(await page.locator('[tabindex]').count(), 0);
  l.send('ann');
  await until('the row before', async () => (await focused()) === 'li ann');
  l.send();
  await until('the list', async () => (await page.evaluate(() => document.activeElement.className)) === 'list');
});

const STYLE = `
  <style>
    .fade { transition: opacity 250ms }
    .fade.ui-enter, .fade.ui-leave { opacity: 0 }
    @keyframes in { from { opacity: 0 } }
    .anim.ui-enter { animation: in 600ms }
    .slow { transition: opacity 5s }
    .slow.ui-leave { opacity: 0 }
  </style>
`;
/** Notes with which classes transitions and animations of rows begin and end. */
const watchClasses = (page) => page.evaluate(() => {
  window.ended = [];
  // The row's text comes with a later message, which may be after that: it is read when the row is asked for.
  const note = ({ type, target }) => window.ended.push([type, target, target.className.replace('ui-view', '').trim()]);
  for (const type of ['transitionend', 'animationstart', 'animationend']) document.addEventListener(type, note);
});
const ended = (page) => page.evaluate(() =>
  window.ended.map(([type, target, classes]) => `${type} ${target.textContent.trim()} ${classes}`));

pageTest('R6: rows that come later enter by a transition or an animation; those of the first showing do not', async (fixture) => {
  const { page, until } = fixture;
  await page.addInitScript(() => {
    window.entered = 0;
    new MutationObserver((records) => {
      window.entered += records.filter(({ target }) => target.classList.contains('ui-enter')).length;
    }).observe(document, { subtree: true, attributes: true, attributeFilter: ['class'] });
    const add = DOMTokenList.prototype.add;
    DOMTokenList.prototype.add = function (...words) {
      if (words.includes('ui-enter')) window.entered++;
      return add.apply(this, words);
    };
  });
  const l = await list(fixture, ['ann', 'bob'], '<li class="fade"><b ui-value="name"></b></li>', { app: `${STYLE}${LIST}` });
  assert.equal(await page.evaluate(() => window.entered), 0);
  await watchClasses(page);
  l.send('ann', 'cyd', 'bob');
  await l.shows('ann', 'cyd', 'bob');
  await until('the transition', async () => (await ended(page)).includes('transitionend cyd fade'));
  assert.deepEqual(await ended(page), ['transitionend cyd fade']);
  assert.equal(await page.locator('.ui-enter').count(), 0);
});

pageTest('R6: the class of a row that enters stays as long as an animation that it starts', async (fixture) => {
  const { page, until } = fixture;
  const l = await list(fixture, ['ann'], '<li class="anim"><b ui-value="name"></b></li>', { app: `${STYLE}${LIST}` });
  await watchClasses(page);
  l.send('ann', 'bob');
  await l.shows('ann', 'bob');
  await until('the end', () => page.evaluate(() => window.ended.length === 2 && !document.querySelector('.ui-enter')));
  assert.deepEqual(await ended(page), ['animationstart bob anim ui-enter', 'animationend bob anim']);
});

pageTest('R6: a row that leaves is inert and cannot be found, and goes when its transition ends, ' +
  'after 300 ms at most, at once without one', async (fixture) => {
  const { page, server, until } = fixture;
  const row = '<li class="fade"><b id="mine" ui-value="name"></b><input type="radio" name="r"></li>';
  const l = await list(fixture, ['ann', 'bob', 'cyd', 'dan'], row, { app: `${STYLE}${LIST}` });
  await watchClasses(page);
  await l.row('bob').locator('[type=radio]').check();
  await page.evaluate(() => new MutationObserver((_, observer) => { // it is there for a quarter of a second only
    const leaving = document.querySelector('.ui-leave');
    if (!leaving) return;
    observer.disconnect();
    const radio = leaving.querySelector('[type=radio]');
    window.leaving = {
      inert: leaving.inert,
      ids: leaving.querySelectorAll('[id]').length,
      grouped: radio.name === 'r',
      checked: radio.checked,
      plays: leaving.getAnimations().length,
      rows: leaving.parentNode.children.length,
    };
  }).observe(document.body, { subtree: true, childList: true, attributes: true }));
  l.send('ann', 'cyd', 'dan');
  await until('it leaves', () => page.evaluate(() => window.leaving));
  assert.deepEqual(await page.evaluate(() => window.leaving), { inert: true, ids: 0, grouped: false, checked: true, plays: 1, rows: 4 });
  await server.received('its end', (m) => m.type === 'destroy');
  await l.shows('ann', 'cyd', 'dan');
  const leaves = async (name, style, ...left) => {
    await page.evaluate(([name, style]) => {
      const row = [...document.querySelectorAll('.list > li')].find((li) => li.textContent.includes(name));
      row.classList.replace('fade', style);
      window.states = [];
      new MutationObserver((_, observer) => {
        window.states.push(row.isConnected);
        if (!row.isConnected) observer.disconnect();
      }).observe(document.body, { subtree: true, childList: true, attributes: true });
    }, [name, style]);
    l.send(...left);
    await l.shows(...left);
    return page.evaluate(() => window.states.slice(-2));
  };
  assert.deepEqual(await leaves('cyd', 'slow', 'ann', 'dan'), [true, false]); // a transition of 5 s
  assert.equal((await leaves('dan', 'none', 'ann')).at(-1), false);
  assert.equal(await page.evaluate(() => window.states.includes(true) && window.states.indexOf(false) > 1), false, 'in one task');
});

pageTest('R8: an edit begun in one object is sent to that, when the place passes to another; so is a click', async (fixture) => {
  const { server, page, until } = fixture;
  await one(fixture);
  const [current, name, go] = [await server.created('current'), await server.created('name'), await server.created('go()')];
  const told = (varId, of, value) => ({ type: 'update', data: { varId, of, ...(value !== undefined && { value }) } });
  server.send(told(name.id, 11, 'ann'), told(go.id, 11));
  await until('the name', async () => (await page.locator('input').inputValue()) === 'ann');
  await page.locator('input').fill('anna');
  const before = server.messages.length;
  server.send(update(current.id, { obj: 12 }), told(name.id, 12, 'bob'), told(go.id, 12));
  await until('the other name', async () => (await page.locator('input').inputValue()) === 'bob');
  await until('the edit', () => server.messages.length > before);
  assert.deepEqual(sent(server, before), [{ type: 'update', varId: name.id, value: 'anna', of: 11 }]);
  // The same name in both objects: nothing but `of` is told.
  await page.locator('input').fill('bobby');
  server.send(told(name.id, 13), told(go.id, 13));
  await until('what it has', async () => (await page.locator('input').inputValue()) === 'bob');
  await page.locator('button').click();
  await server.received('the action', (m) => m.data.varId === go.id && m.data.value === null);
  await page.locator('input').fill('carl');
  await page.locator('input').blur();
  await server.received('the last edit', (m) => m.data.value === 'carl');
  assert.deepEqual(sent(server, before).slice(1), [
    { type: 'update', varId: name.id, value: 'bobby', of: 12 },
    { type: 'update', varId: go.id, value: null, of: 13 },
    { type: 'update', varId: name.id, value: 'carl', of: 13 },
  ]);
});

pageTest('R1, R8: an edit is sent before its view shows nothing or another type', async (fixture) => {
  const { server, page, until } = fixture;
  await one(fixture);
  const current = await server.created('current');
  for (const [i, [value, properties]] of [[{ obj: 50 }, { type: 'Row' }], [null, { type: '' }]].entries()) {
    const name = server.messages.filter((m) => m.type === 'create' && m.data.properties.path === 'name').at(-1).data.id;
    server.send({ type: 'update', data: { varId: name, value: 'x', of: 40 + i } });
    await until('x', async () => (await page.locator('input').inputValue()) === 'x');
    await page.locator('input').fill(`typed ${i}`);
    const before = server.messages.length;
    server.send(update(current.id, value, properties));
    await server.received('its end', (m) => m.type === 'destroy' && m.data.varId === name);
    const messages = sent(server, before);
    assert.deepEqual(messages[0], { type: 'update', varId: name, value: `typed ${i}`, of: 40 + i });
    await quiet(fixture);
  }
});

const gone = (varId) => ({ type: 'error', data: { varId, code: 'gone', description: 'object 5 is gone' } });

pageTest('R1: a row whose object is gone disappears, and what was typed into it is told', async (fixture) => {
  const { server, page, until, logs } = fixture;
  const l = await list(fixture, ['ann', 'bob', 'cyd'], WITH_BUTTON);
  server.numbered = false; // writes are answered here
  await l.row('bob').locator('input').fill('bobby');
  await l.row('bob').locator('input').blur();
  const write = await server.received('the edit', (m) => m.data.value === 'bobby');
  server.send(gone(write.data.varId));
  await l.shows('ann', 'cyd');
  assert.match(await page.locator('#ui-loss').textContent(), /bobby/);
  assert.equal(await page.locator('.ui-error').count(), 0);
  await page.locator('#ui-loss').click();
  await until('it closes', async () => !(await page.locator('#ui-loss').count()));
  await l.row('cyd').locator('button').click();
  const click = await server.received('the click', (m) => m.data.value === null);
  server.send(gone(click.data.varId));
  await l.shows('ann');
  assert.equal(await page.locator('#ui-loss').count(), 1);
  const before = logs.length;
  server.send(gone(click.data.varId), update(l.id, undefined, { x: 'y' }));
  await until('the frame', () => page.evaluate((id) => window.uiStore.get(id).properties.x, l.id));
  assert.deepEqual(logs.slice(before), [], 'a row that has left is no news');
  // The list may have it again, and an edit whose row has left meanwhile is told too.
  l.send('ann', 'bob');
  await l.shows('ann', 'bob');
  await l.row('bob').locator('input').fill('late');
  l.send('ann');
  const late = await server.received('the late edit', (m) => m.data.value === 'late');
  server.send(gone(late.data.varId));
  await page.getByText('late').waitFor();
});

pageTest('R1, R8: a write whose row leaves with the answer to the one before is told too, when it has come too late', async (fixture) => {
  const { server, page } = fixture;
  const l = await list(fixture, ['ann', 'bob'], WITH_BUTTON);
  server.numbered = false; // writes are answered here
  const drop = await l.variable('bob', 'drop()');
  await l.row('bob').locator('button').dblclick();
  await server.received('the second click', (m) => m.data.varId === drop && m.data.seq === 2);
  server.send(update(l.id, [{ obj: Number(l.path('ann').slice(1)) }]), update(drop, undefined, undefined, 1));
  await l.shows('ann');
  assert.equal(await page.locator('#ui-loss').count(), 0);
  server.send(update(drop, undefined, undefined, 2), gone(drop));
  await page.locator('#ui-loss').waitFor();
});

pageTest('R1: an edit of a place whose object is gone is told, the place shows what it has now, and no row goes', async (fixture) => {
  const { server, page, until } = fixture;
  const l = await list(fixture, ['ann'], '<li><b ui-value="name"></b><input ui-value="boss.name"></li>');
  const boss = await l.variable('ann', 'boss.name');
  server.send({ type: 'update', data: { varId: boss, of: 30, value: 'zoe' } });
  await until('the boss', async () => (await page.locator('input').inputValue()) === 'zoe');
  await page.locator('input').fill('zoo');
  await page.locator('input').blur();
  const write = await server.received('the edit', (m) => m.data.value === 'zoo');
  assert.equal(write.data.of, 30);
  server.send({ type: 'update', data: { varId: boss, of: 31, value: 'yan', seq: write.data.seq } }, gone(boss)); // the answer, and then why
  await until('the new boss', async () => (await page.locator('input').inputValue()) === 'yan');
  assert.match(await page.locator('#ui-loss').textContent(), /zoo/);
  assert.deepEqual(await l.texts(), ['ann']);
});

pageTest('R8: a tab whose token another one has taken makes a new one and begins anew', async (fixture) => {
  const { server, until } = fixture;
  const l = await list(fixture, ['ann']);
  server.send({ type: 'error', data: { code: 'replaced', description: 'another tab' } });
  const watches = () => server.messages.filter((m) => m.type === 'watch').map((m) => m.data.client.tab);
  await until('the second watch', () => watches().length === 2);
  const [first, second] = watches();
  assert.match(second, /^[0-9a-f]{32}$/);
  assert.notEqual(first, second);
  await server.show({});
  await settled(fixture);
  await l.shows('ann');
});

// The real program.

const SITE = {
  'lua/main.lua': `
local Item = session:prototype("Item", { name = "", age = 0 })
local App = session:prototype("App", { items = EMPTY, current = EMPTY, cut = "", clicks = "" })
local all = {}
function Item:remove()
  local app = session:getApp()
  for i, item in ipairs(app.items) do
    if item == self then return table.remove(app.items, i) end
  end
end
function Item:pick() session:getApp().current = self end
function App:name() return self.current and self.current.name end
function App:sort() table.sort(self.items, function(a, b) return a.name < b.name end) end
function App:names()
  local names = {}
  for i, item in ipairs(all) do names[i] = item.name end
  return table.concat(names, ",")
end
function App:hit() self.clicks = self.clicks .. self.current.name .. ";" end
if not session:getApp() then
  local app = session:create(App, { items = {} })
  for _, name in ipairs { "ann", "bob", "cyd" } do
    local item = session:create(Item, { name = name })
    all[#all + 1], app.items[#app.items + 1] = item, item
  end
  app.current = app.items[1]
  session:createAppVariable(app)
end`,
  'viewdefs/App.DEFAULT.html': `
    <template>
      <main>
        <div class="rows" ui-viewlist="items"></div>
        <div class="wrapped" ui-view="items?wrapper=lua.ViewList"></div>
        <div class="one" ui-view="current"></div>
        <input class="path" ui-value="current.name">
      </main>
    </template>
  `,
  'viewdefs/Item.DEFAULT.html': `
    <template>
      <section>
        <b ui-value="name"></b>
        <input ui-value="name">
        <button ui-action="remove()">x</button>
      </section>
    </template>
  `,
  'viewdefs/Item.list-item.html': '<template><p><i ui-value="name"></i><input ui-value="name"></p></template>',
};
const app = 'local app = session:getApp() ';
const names = (site) => site.lua('return session:getApp():names()');
const texts = (page, selector) => page.locator(selector).allTextContents().then((all) => all.join());

siteTest('R1, R5: typing in a row goes on while the list is sorted, and its edit reaches its object, ' +
  'in a raw and in a wrapped list', SITE, async ({ site, page }) => {
  await page.goto(site.origin);
  for (const [list, text] of [['.rows', 'b'], ['.wrapped', 'i']]) {
    await until('the rows', async () => (await texts(page, `${list} ${text}`)).split(',').length === 3);
    const field = page.locator(`${list} input`).nth(1);
    const handle = await field.elementHandle();
    await field.click();
    await page.keyboard.press('End');
    await page.keyboard.type('-');
    await site.lua(`${app} table.sort(app.items, function(a, b) return a.name > b.name end)`);
    await until('the order', async () => (await texts(page, `${list} ${text}`)).startsWith('cyd'));
    await page.keyboard.type('x');
    assert.equal(await handle.evaluate((input) => document.activeElement === input && input.isConnected), true);
    await page.keyboard.press('Tab');
    await site.lua(`${app} table.sort(app.items, function(a, b) return a.name < b.name end)`);
    await until('the first order', async () => (await texts(page, `${list} ${text}`)).startsWith('ann'));
    for (const field of ['.rows input', '.wrapped input']) {
      await until(`the edit in ${field}`, async () => /^bob(-x)+$/.test(await page.locator(field).nth(1).inputValue()));
    }
  }
  await until('both edits', async () => (await names(site)) === 'ann,bob-x-x,cyd');
});

siteTest('R1, R2: what is typed in a row that another removes reaches its object, ' +
  'and a click on a row that is gone removes no other', SITE, async (fixture) => {
  const { site, page, context } = fixture;
  await page.goto(site.origin);
  const other = await context.newPage();
  await other.goto(site.origin + new URL(page.url()).pathname);
  for (const one of [page, other]) await until('the rows', async () => (await texts(one, '.rows b')) === 'ann,bob,cyd');
  await page.locator('.rows input').nth(1).fill('bobby');
  await other.locator('.rows section').nth(1).locator('button').click();
  await until('it goes', async () => (await texts(page, '.rows b')) === 'ann,cyd');
  await until('the edit', async () => (await names(site)) === 'ann,bobby,cyd');
  await until('it goes there', async () => (await texts(other, '.rows b')) === 'ann,cyd');
  await other.locator('.rows section').nth(1).locator('button').click();
  await until('one left', async () => (await texts(page, '.rows b')) === 'ann');
});

const ALONE = {
  'lua/main.lua': `
local Item = session:prototype("Item", { name = "" })
local App = session:prototype("App", { current = EMPTY })
function App:renew() self.current = session:create(Item, { name = "eve" }) end
if not session:getApp() then
  session:createAppVariable(session:create(App, { current = session:create(Item, { name = "ann" }) }))
end`,
  'viewdefs/App.DEFAULT.html': '<template><main ui-view="current"></main></template>',
  'viewdefs/Item.DEFAULT.html': '<template><section><b ui-value="name"></b><input ui-value="name"></section></template>',
};

siteTest('R1, R8: an edit whose object nothing holds any more is written nowhere, and the page says so', ALONE, async ({ site, page }) => {
  await page.goto(site.origin);
  await until('ann', async () => (await texts(page, 'b')) === 'ann');
  await page.locator('input').click();
  await page.keyboard.press('End');
  await page.keyboard.type(' lost');
  await site.lua('session:getApp():renew()');
  await until('eve', async () => (await texts(page, 'b')) === 'eve');
  await until('the notice', async () => (await texts(page, '#ui-loss')).includes('ann lost'));
  assert.equal(await site.lua('return session:getApp().current.name'), 'eve');
  assert.equal(await page.locator('input').inputValue(), 'eve');
});

siteTest('R1, R8: an edit begun in one object is that object’s when a view or a path passes to another', SITE, async ({ site, page }) => {
  await page.goto(site.origin);
  for (const [selector, value] of [['.path', 'path'], ['section.one input', 'view']]) {
    await site.lua(`${app} app.current = app.items[1]`);
    const field = page.locator(selector);
    await until('the first', async () => /^(ann|path)$/.test(await field.inputValue()));
    await field.fill(value);
    await site.lua(`${app} app.current = app.items[2]`);
    await until('the second', async () => (await field.inputValue()) === 'bob');
    await until('the edit', async () => (await names(site)) === `${value},bob,cyd`);
  }
  // Nothing is there any more.
  await page.locator('.path').fill('lost');
  await site.lua(`${app} app.current = nil`);
  await until('the last edit', async () => (await names(site)) === 'view,lost,cyd');
});

const GONE = {
  'lua/main.lua': `
local Boss = session:prototype("Boss", { name = "" })
local Item = session:prototype("Item", { name = "", boss = EMPTY })
local App = session:prototype("App", { items = EMPTY })
if not session:getApp() then
  local app = session:create(App, { items = {} })
  for i, name in ipairs { "ann", "bob", "cyd" } do
    app.items[i] = session:create(Item, { name = name, boss = session:create(Boss, { name = "boss of " .. name }) })
  end
  session:createAppVariable(app)
end`,
  'viewdefs/App.DEFAULT.html': '<template><div class="rows" ui-viewlist="items"></div></template>',
  'viewdefs/Item.DEFAULT.html': `
    <template>
      <section>
        <b ui-value="name"></b>
        <input class="name" ui-value="name">
        <input class="boss" ui-value="boss.name">
      </section>
    </template>
  `,
};

siteTest('R1: what was typed for an object that is gone is told, ' +
  'and only the row goes whose own object that was', GONE, async ({ site, page }) => {
  await page.goto(site.origin);
  await until('the rows', async () => (await texts(page, '.rows b')) === 'ann,bob,cyd');
  const loss = page.locator('#ui-loss');
  await page.locator('.boss').nth(1).fill('for nobody');
  await site.lua(`${app} app.items[2].boss = nil collectgarbage()`);
  await until('the notice', async () => /for nobody/.test(await loss.textContent()));
  await page.evaluate(() => window.uiApp.idle());
  assert.equal(await texts(page, '.rows b'), 'ann,bob,cyd');
  await page.locator('.name').nth(0).fill('ann after all');
  await site.lua(`${app} table.remove(app.items, 1) collectgarbage()`);
  await until('the second notice', async () => /ann after all/.test(await loss.textContent()));
  assert.equal(await texts(page, '.rows b'), 'bob,cyd');
});

const ORDERED = {
  order: 'ann\nbob\ncyd\n',
  'viewdefs/App.DEFAULT.html': '<template><main class="rows" ui-viewlist="items"></main></template>',
  'viewdefs/Item.DEFAULT.html': SITE['viewdefs/Item.DEFAULT.html'],
};

siteTest('R1: rows end with a restart, ' +
  'and what was being typed in one goes to no object that has its number', ORDERED, async ({ site, page }) => {
  await site.write('lua/main.lua', `
local app = { type = "App", items = {} }
for name in io.lines(${JSON.stringify(`${site.folder}/order`)}) do
  table.insert(app.items, { type = "Item", name = name })
end
function app:names()
  local names = {}
  for i, item in ipairs(self.items) do names[i] = item.name end
  return table.concat(names, ",")
end
session:createAppVariable(app)
`);
  await page.goto(site.origin);
  await until('the rows', async () => (await texts(page, '.rows b')) === 'ann,bob,cyd');
  await page.locator('.rows input').first().click();
  await page.keyboard.type('half');
  await site.write('order', 'cyd\nbob\nann\n');
  await site.restart();
  await until('the rows anew', async () => (await texts(page, '.rows b')) === 'cyd,bob,ann');
  await page.keyboard.type('more');
  await page.keyboard.press('Tab');
  await page.evaluate(() => window.uiApp.idle());
  assert.equal(await names(site), 'cyd,bob,ann');
  await page.locator('.rows input').first().fill('cy');
  await page.keyboard.press('Tab');
  await until('the edit', async () => (await names(site)) === 'cy,bob,ann');
});
