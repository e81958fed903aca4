/** What a save says of data: kept, taken, set aside, restored, given way (hotload.md H49, H97; page.md R18). */
import assert from 'node:assert/strict';
import { Live, MAIN, test } from './hotload.js';
import { Program, until } from './lib.js';

/** Of main.lua some places keep what the run has made of them, which is not what this is about. */
const FIGURES = ['taken', 'set_aside', 'restored', 'gave_way'];
const figures = (result) => FIGURES.map((name) => result[name]);

test('H97 R18 record, control socket and lsess reload say what was set aside and restored', async () => {
  const without = MAIN.replace(', count = 0', '');
  const live = await Live.start({}, { options: ['--watch', '-v'], paths: [] });
  await live.eval('session:getApp().count = 5 return true');
  const watching = (await live.control.call('watch')).id;
  const { record } = await live.save({ 'lua/main.lua': without });
  const [result] = record.results;
  assert.deepEqual(figures(result), [0, 1, 0, 0], JSON.stringify(result));
  assert.match(result.details, /values of "count" set aside in 1 instance/);
  const event = await until(() => live.control.events(watching).find((e) => e.event === 'reload'), 'the event');
  assert.deepEqual([event.session, event.key, ...figures(event)], ['1', 'lua/main.lua', 0, 1, 0, 0], JSON.stringify(event));
  assert.ok(!('losses' in event), 'nothing has given way');
  assert.equal(live.property('reload-losses'), undefined);
  const told = /^reload lua\/main\.lua: ok, .*set aside.*, data: (\d+ kept, )?1 set aside, /;
  await until(() => live.server.logs().some((text) => told.test(text)), 'the log');
  const back = await live.save({ 'lua/main.lua': MAIN });
  assert.deepEqual(figures(back.record.results[0]), [0, 0, 1, 0]);
  assert.equal(await live.eval('return session:getApp().count'), 5);
  const skipped = await live.control.call('reload');
  assert.ok(skipped.results.every((r) => r.outcome === 'skipped' && !('kept' in r)), JSON.stringify(skipped));
});

test('H97 R18 without --watch lsess reload says it in words', async () => {
  const live = await Live.start({}, { options: [], paths: [] });
  await live.eval('session:getApp().count = 5 return true');
  live.write({ 'lua/main.lua': MAIN.replace(', count = 0', '') });
  const reload = new Program(['reload', '--socket', live.server.socket]);
  const told = /^session 1: lua\/main\.lua ok: .*set aside in 1 instance.*, data: (\d+ kept, )?1 set aside$/m;
  assert.match((await reload.result()).output, told);
});

const of = (results, key) => results.find((result) => result.key === key);
const store = ({ items = '{}', limit = 10, more = '' } = {}) => `
local M = { items = ${items}, limit = ${limit} }
function M.add(row) M.items[#M.items + 1] = row end
${more}
return M
`;
const SITE = {
  'lua/store.lua': store(),
  'lua/main.lua': `
    store = require("store")
    if not session:getApp() then session:createAppVariable({ type = "App" }) end
  `,
};
const LOST = /^3 run-time rows of "(M\.)?items" gave way to your edit$/;

test('H49 H97 what the run had and an edit has replaced is named: record, log, control socket, page', async () => {
  const live = await Live.start(SITE, { paths: [] });
  const grow = 'for i = 1, 3 do store.add({ n = i }) end store.limit = 99 return true';
  await live.eval(grow);
  const other = await live.server.session(); // it has lost nothing
  await live.show(other);
  const watching = (await live.control.call('watch')).id;
  const unrelated = await live.save({ 'lua/store.lua': store({ more: 'M.version = 2' }) });
  const first = of(unrelated.record.results, 'lua/store.lua');
  assert.deepEqual([first.gave_way, 'losses' in first], [0, false], JSON.stringify(first));
  assert.deepEqual(await live.eval('return { #store.items, store.limit, store.version }'), [3, 99, 2]);
  assert.equal(live.property('reload-losses'), undefined);
  const { record } = await live.save({ 'lua/store.lua': store({ items: '{ { n = 7 } }', more: 'M.version = 2' }) });
  assert.deepEqual(await live.eval('return { store.items, store.limit }'), [[{ n: 7 }], 99]);
  const result = of(record.results, 'lua/store.lua');
  assert.deepEqual([result.kept, result.gave_way], [1, 1], JSON.stringify(result));
  assert.equal(result.losses.length, 1);
  assert.match(result.losses[0].text, LOST);
  assert.equal(result.losses[0].sessions, 1);
  const told = live.server.logs().filter((text) => text.startsWith('reload lua/store.lua: 3 run-time rows'));
  assert.equal(told.length, 1, 'level 0, once');
  assert.match(told[0], /in 1 of 2 sessions/);
  const event = await until(() => live.control.events(watching).find((e) => e.event === 'reload' && e.losses), 'the event');
  assert.equal(event.session, '1');
  assert.match(event.losses[0], LOST);
  const [loss, ...rest] = JSON.parse(live.property('reload-losses'));
  assert.deepEqual(rest, []);
  assert.equal(loss.key, 'lua/store.lua');
  assert.match(loss.text, LOST);
  assert.ok(Math.abs(loss.time - Date.now()) < 120000);
  assert.ok(!JSON.stringify(live.page.messages()).includes(live.dir), 'no absolute path');
  const late = await live.show(live.id);
  assert.ok(live.property('reload-losses', late), 'who comes later sees it');
  const stranger = await live.show(other);
  assert.equal(live.property('reload-losses', stranger), undefined);
  await live.save({ 'lua/store.lua': store({ items: '{ { n = 7 } }', more: 'M.version = 3' }) });
  assert.equal(live.property('reload-losses'), '', 'the file has run again');
});

test('H49 H97 lsess reload names what gave way, also as JSON', async () => {
  const live = await Live.start(SITE, { options: ['--watch', '--debounce', '60000'], paths: [] });
  const reload = async (...args) => {
    const { code, output } = await new Program(['reload', ...args, '--socket', live.server.socket, 'lua/store.lua']).result();
    assert.equal(code, 0, output);
    return output;
  };
  await live.eval('for i = 1, 3 do store.add({ n = i }) end return true');
  live.write({ 'lua/store.lua': store({ items: '{ { n = 7 } }' }) });
  assert.match(await reload(), /^session 1: lua\/store\.lua ok: .*data: .*1 gave way\n {2}3 run-time rows of "(M\.)?items" gave way/m);
  await live.eval('for i = 1, 3 do store.add({ n = i }) end return true');
  live.write({ 'lua/store.lua': store({ items: '{ { n = 8 } }' }) });
  const [result] = JSON.parse(await reload('--json'));
  assert.equal(result.gave_way, 1, JSON.stringify(result));
  assert.equal(result.losses.length, 1);
});

test('H49 H97 the terminal says it below the line of the save', async () => {
  const live = await Live.start(SITE, { paths: [] });
  const terminal = new Program(['serve', '--watch', '--port', '0', live.dir, '--socket', `${live.server.socket}.2`]);
  try {
    const [url] = await until(() => terminal.output.match(/http:\/\/[\d.:]+/), 'the address');
    await fetch(url, { redirect: 'manual' });
    const grow = new Program(['repl', '--socket', `${live.server.socket}.2`, '-e', 'for i = 1, 3 do store.add({ n = i }) end']);
    await grow.result();
    live.write({ 'lua/store.lua': store({ items: '{ { n = 7 } }' }) });
    const told = /lua\/store\.lua {2}1 session {2}.*data: .*1 gave way\n {2}lua\/store\.lua: 3 run-time rows/;
    await until(() => told.test(terminal.output), 'the line of the loss');
  } finally {
    terminal.child.kill('SIGTERM');
    await terminal.result();
  }
});
