/** An endless loop does not hide its own fix: what runs is ended for the save of a file that it is in (page.md R17). */
import assert from 'node:assert/strict';
import { existsSync, renameSync, symlinkSync } from 'node:fs';
import { Live, test } from './hotload.js';
import { Server, makeSite, until, writeSite } from './lib.js';

/** Where the time limit is too long for a test, only the save ends what runs. */
const LONG = ['--time-limit', '100s'];
const WATCH = ['--watch', ...LONG];

/** A loop that a file `mark` announces; `body` is what it does all the time. */
const loop = (body = '') => `io.open(MARK, "w"):close() while true do ${body} end`;
const main = (more) => `
  App = App or session:prototype("App", { n = 0 })
  MARK = "MARKFILE"
  if GLOBAL_PART == nil then GLOBAL_PART = require("part") end
  function App:run() return GLOBAL_PART.run(self) end
  function App:word() return GLOBAL_PART.word end
  function App:bump() self.n = self.n + 1 end
  ${more ?? ''}
  if not session.reloading then session:createAppVariable(session:create(App, {})) end
`;
const part = (word, run = 'return 1', more = '') => `
  local part = { word = "${word}" }
  function part.run(self) ${run} end
  ${more}
  return part
`;

/** A server with one page that shows n, word() and what `paths` says as variables 2, 3, 4 … */
async function start(run, { more = '', extra = '', options = WATCH, paths = [], files = {} } = {}) {
  const dir = makeSite({});
  const at = (text) => text.replaceAll('MARKFILE', `${dir}/mark`);
  writeSite(dir, { 'lua/main.lua': at(main(more)), 'lua/part.lua': part('old', run, extra), ...files });
  const live = await Live.start(dir, { options, paths: ['n', 'word()', ...paths] });
  live.main = (text) => at(main(text));
  return live;
}

function act(live, id) {
  live.page.send({ userEvent: true, messages: [{ type: 'update', data: { varId: id, value: null } }] });
}

const errors = (live) => live.page.messages().filter((m) => m.type === 'error').map((m) => m.data);
const shows = (live, id, value) => until(() => live.value(id) === value, `variable ${id}: ${value}`, 30000);
const interrupted = (live, pattern = /part\.lua/) =>
  until(() => live.server.logs().some((text) => text.includes('interrupted by the save of') && pattern.test(text)), 'the record', 20000);

test('R17 an action: the save ends it with an error that says so, and goes before what waits', async () => {
  const live = await start(loop());
  live.page.create(10, 'run()', { access: 'action' });
  live.page.create(11, 'bump()', { access: 'action' });
  act(live, 10);
  await live.appears('mark');
  for (let i = 0; i < 5; i++) act(live, 11);
  writeSite(live.dir, { 'lua/part.lua': part('new') });
  await shows(live, 3, 'new');
  await shows(live, 2, 5);
  const { varId, description } = errors(live)[0];
  assert.equal(varId, 10);
  assert.match(description, /^lua\/part\.lua:3: interrupted by the save of lua\/part\.lua/);
  const first = (id, value) => live.page.frames.findIndex((frame) =>
    [JSON.parse(frame)].flat().some((m) => m.type === 'update' && m.data.varId === id && m.data.value === value));
  assert.ok(first(3, 'new') < first(2, 1), 'the save came first');
});

test('R17 with the usual time limit the fix is there within a second', async () => {
  const live = await start(loop(), { options: ['--watch', '--time-limit', '5s'] });
  live.page.create(10, 'run()', { access: 'action' });
  const took = [];
  while (took.length < 5 && !took.some((ms) => ms < 1000)) {
    const word = `new${took.length}`;
    act(live, 10);
    await live.appears('mark');
    const begun = performance.now();
    writeSite(live.dir, { 'lua/part.lua': part(word, loop()) });
    await shows(live, 3, word);
    took.push(performance.now() - begun);
    await live.eval('os.remove(MARK) return true');
  }
  assert.ok(took.some((ms) => ms < 1000), `${took} ms`);
});

/** What runs for ever, and how it is set off; mended by a save of lua/part.lua unless `save` says otherwise. */
const KINDS = {
  'a loop that catches its errors': { run: loop('pcall(function() while true do end end)') },
  'a coroutine in a coroutine': { run: `coroutine.wrap(function() local c = coroutine.create(function() while true do end end)
    io.open(MARK, "w"):close() coroutine.resume(c) end)()` },
  'a coroutine of another file': { run: 'OTHER()', more: `function OTHER() coroutine.wrap(function() ${loop()} end)() end` },
  'a function that another file calls all the time': {
    run: 'return 1', more: `function App:run() ${loop('for i = 1, 1000 do GLOBAL_PART.run(self) end')} end` },
  'a deep recursion above it': { run: 'DEEP(20000)', more: `function DEEP(n) if n == 0 then ${loop()} end DEEP(n - 1) return n end` },
  'a function of the library': {
    run: `local list = {} for i = 1, 3000000 do list[i] = (i * 7919) % 3000017 end
      io.open(MARK, "w"):close() while true do table.sort(list) table.concat(list) end` },
  'a timer': { run: loop(), set: 'session:setImmediate(function() GLOBAL_PART.run() end)' },
  'an interval': { run: loop(), set: 'session:setInterval(function() GLOBAL_PART.run() end, 10)' },
  'a getter': { run: 'if GO then ' + loop() + ' end return 1', paths: ['run()'], set: 'session:setImmediate(function() GO = true end)' },
  'a constructor': {
    run: 'return 1',
    extra: `P = session:prototype("P", {}) function P:new() if GO then ${loop()} end return session:create(P, {}) end`,
    set: 'GO = true session:setImmediate(function() P:new() end)' },
};

for (const [kind, { run, set, ...rest }] of Object.entries(KINDS)) {
  test(`R17 ${kind}`, async () => {
    const live = await start(run, rest);
    if (set) {
      await live.eval(`${set} return true`);
    } else {
      live.page.create(10, 'run()', { access: 'action' });
      act(live, 10);
    }
    await live.appears('mark');
    writeSite(live.dir, { 'lua/part.lua': part('new', 'return 2', rest.extra?.replace(/GO/, 'false')) });
    await shows(live, 3, 'new');
    await interrupted(live);
    if (rest.paths) await shows(live, 4, 2);
    await live.eval('session:getApp():bump() return true');
    await shows(live, 2, 1);
  });
}

test('R17 H41 H59 the top level of a file that is loaded again: all is as it was, then the fix runs', async () => {
  const live = await start('return 1');
  const { record } = await live.after(
    async () => {
      writeSite(live.dir, { 'lua/part.lua': part('bad', 'return 1', `EXTRA = true session.mark = 1 ${loop()}`) });
      await live.appears('mark');
      writeSite(live.dir, { 'lua/part.lua': part('new') });
    },
    { match: (r) => r.failures.length === 0 },
  );
  assert.equal(record.results[0].outcome, 'ok');
  await shows(live, 3, 'new');
  assert.equal(await live.eval('return EXTRA == nil and session.mark == nil'), true);
  assert.match(live.records()[0].failures[0].text, /interrupted by the save of lua\/part\.lua/);
  assert.equal(live.property('reload-error') ?? '', '');
});

test('R17 H41 the same, and the text of before comes back', async () => {
  const live = await start('return 1');
  writeSite(live.dir, { 'lua/part.lua': part('bad', 'return 1', loop()) });
  await live.appears('mark');
  writeSite(live.dir, { 'lua/part.lua': part('old') });
  await until(() => live.records().length === 2, 'both records', 30000);
  await live.eval('session:getApp():bump() return true');
  await shows(live, 2, 1);
  assert.equal(live.value(3), 'old');
  assert.equal(live.property('reload-error') ?? '', '');
});

test('R17 H41 L100 mutate: the instances are brought up to date by the fix', async () => {
  const live = await start('return 1', { extra: 'P = session:prototype("P", { a = 1 })' });
  await live.eval('made = session:create(P, {}) return true');
  const next = (body) => part('new', 'return 1', `P = session:prototype("P", { a = 1, b = 2 }) function P:mutate() ${body} end`);
  writeSite(live.dir, { 'lua/part.lua': next(loop()) });
  await live.appears('mark');
  writeSite(live.dir, { 'lua/part.lua': next('self.done = true') });
  await until(async () => (await live.eval('return made.done')) === true, 'the migration', 30000);
  await shows(live, 3, 'new');
});

test('R17 L34 P4 main.lua of a session that is being made, and what it requires', async () => {
  for (const bad of ['lua/main.lua', 'lua/part.lua']) {
    const dir = makeSite({});
    const at = (text) => text.replaceAll('MARKFILE', `${dir}/mark`);
    const good = { 'lua/main.lua': at(main()), 'lua/part.lua': part('new') };
    writeSite(dir, { ...good, [bad]: at(`MARK = "MARKFILE" ${loop()}`) });
    const server = await Server.start(dir, WATCH);
    const made = server.session();
    await until(() => existsSync(`${dir}/mark`), 'the loop');
    writeSite(dir, { [bad]: good[bad] });
    const page = await server.page(await made);
    await page.watchApp();
    await page.close();
    await server.stop();
  }
});

test('R17 C1 lsess reload without --watch, of what has another text only', async () => {
  const live = await start(loop(), { options: LONG });
  live.page.create(10, 'run()', { access: 'action' });
  act(live, 10);
  await live.appears('mark');
  const control = live.server.control();
  const all = live.control.call('reload');
  writeSite(live.dir, { 'lua/part.lua': part('new') });
  const named = control.call('reload', { files: ['lua/part.lua'] });
  const answers = await Promise.all([all, named]);
  control.close();
  assert.ok(answers.some((a) => a.results?.some((r) => r.key === 'lua/part.lua' && r.outcome === 'ok')), JSON.stringify(answers));
  /* Functions follow the file; data is the run's where no texts are remembered (H49). */
  assert.deepEqual(await live.eval('local part = require("part") return { part.run(), part.word }'), [1, 'old']);
  await interrupted(live);
});

test('R17 H35 a save that changes nothing, or a file that is not on the stack, ends nothing', async () => {
  const run = loop('if io.open(MARK .. "-go") then return end');
  const live = await start(run, { files: { 'lua/other.lua': 'return 1' }, more: 'require("other")' });
  live.page.create(10, 'run()', { access: 'action' });
  act(live, 10);
  await live.appears('mark');
  await live.handedOut(() => writeSite(live.dir, { 'lua/part.lua': part('old', run) }));
  await live.handedOut(() => writeSite(live.dir, { 'lua/other.lua': 'return 2' }));
  const until500 = performance.now() + 500;
  await until(() => performance.now() > until500, 'time in which it could have been ended');
  writeSite(live.dir, { 'mark-go': '' });
  await until(() => live.records().some((r) => r.files.includes('lua/other.lua')), 'the end of the loop');
  assert.deepEqual(errors(live), []);
});

test('R17 H17 a link that leads to another file now', async () => {
  const dir = makeSite({});
  const at = (text) => text.replaceAll('MARKFILE', `${dir}/mark`);
  writeSite(dir, {
    'lua/main.lua': at(main()), 'apps/a/part.lua': part('old', loop()), 'apps/b/part.lua': part('new', 'return 2'),
  });
  symlinkSync('../apps/a/part.lua', `${dir}/lua/part.lua`);
  const live = await Live.start(dir, { options: WATCH, paths: ['n', 'word()'] });
  live.page.create(10, 'run()', { access: 'action' });
  act(live, 10);
  await live.appears('mark');
  symlinkSync('../apps/b/part.lua', `${dir}/lua/next.lua`);
  renameSync(`${dir}/lua/next.lua`, `${dir}/lua/part.lua`);
  await interrupted(live);
  await live.eval('session:getApp():bump() return true');
  await shows(live, 2, 1);
  assert.equal(await live.eval('return require("part").word'), 'new');
});

test('R17 one bad getter in 1,000 rows costs one time limit', async () => {
  const rows = (body) => part('new', 'return 1', `
    Row = session:prototype("Row", { id = 0 })
    function Row:bad() TRIES = (TRIES or 0) + 1 ${body} end
    function Row:made() return self.closure() end
    function Row:good() return self.id end`);
  const live = await start('return 1', {
    options: ['--watch', '--time-limit', '1s'],
    more: 'function App:list() return ROWS end',
    files: { 'lua/part.lua': rows('while true do end') },
  });
  await live.eval('ROWS = {} for i = 1, 1000 do ROWS[i] = session:create(Row, { id = i }) end return true');
  const messages = [];
  live.page.create(100, 'list()');
  for (let i = 0; i < 1000; i++) {
    messages.push({ type: 'create', data: { id: 1000 + i, parentId: 100, properties: { path: `${i}.bad()` } } });
    messages.push({ type: 'create', data: { id: 3000 + i, parentId: 100, properties: { path: `${i}.good()` } } });
  }
  for (const { data } of [...messages]) messages.push({ type: 'watch', data: { varId: data.id } });
  const begun = performance.now();
  live.page.send(messages);
  await until(() => live.value(3999) === 1000, 'the last row', 60000);
  await until(() => errors(live).filter((e) => e.varId >= 1000 && e.varId < 2000).length >= 1000, 'an error for each row', 60000);
  assert.ok(performance.now() - begun < 30000, 'not a time limit for each');
  for (const { description } of errors(live))
    assert.match(description, /--time-limit\); it is not called again until its file is saved/);
  assert.equal(await live.eval('return TRIES'), 1, 'it ran once');
  await live.eval('session:getApp():bump() return true');
  assert.equal(await live.eval('return TRIES'), 1, 'also in later batches');
  writeSite(live.dir, { 'lua/part.lua': rows('return self.id + 1') });
  await shows(live, 1999, 1001);
});
