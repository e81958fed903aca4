/** Look-alikes of sites in use (tests/fixtures/sites) in the real program: the idioms of lua-api.md L148 to L150, over
 * a WebSocket, and saves that keep the state. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, before, test } from 'node:test';
import { Server, program, until } from './lib.js';

const fixtures = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../fixtures/sites');

/* The desk's page: variables by name. */
const SHOWN = {
  poll: [2, 'poll()', { priority: 'high' }],
  polls: [3, 'polls'],
  status: [4, 'status'],
  label: [5, 'label()'],
  palette: [6, 'palette()'],
  export: [7, 'export()'],
  folders: [8, 'folders()'],
  output: [9, 'console.output'],
  rows: [10, 'ships.items', { wrapper: 'lua.ViewList', itemWrapper: 'ShipRow' }],
  first: [12, null],
  title: [14, 'title', { access: 'rw' }],
  rename: [19, 'rename(_)', { access: 'action' }],
  addNote: [20, 'addNote(_)', { access: 'action' }],
  addColor: [21, 'addColor(_)', { access: 'action' }],
  save: [22, 'save()', { access: 'action' }],
  run: [23, 'console.run(_)', { access: 'action' }],
  launch: [24, 'ships.launch(_)', { access: 'action' }],
  sink: [25, 'ships.sink()', { access: 'action' }],
};

/** A page of the desk. */
class Desk {
  static async open(server) {
    const desk = new Desk();
    desk.server = server;
    desk.id = await server.session();
    desk.page = await server.page(desk.id);
    await desk.page.watchApp();
    for (const [id, where, more] of Object.values(SHOWN)) if (where) desk.page.create(id, where, more);
    desk.below(11, 10, 'items');
    await desk.settled();
    return desk;
  }

  below(id, parentId, where) {
    this.page.send({ userEvent: true, messages: [{ type: 'create', data: { id, parentId, properties: { path: where } } }] });
  }

  /** What was sent before has been handled, and its answers are here. */
  async settled() {
    const answers = () => this.page.messages().filter((m) => m.type === 'get').length;
    const before = answers();
    this.page.send({ type: 'get', data: { varIds: [1] } });
    await until(() => answers() > before, 'an answer to get');
  }

  /** The value that the page has of a variable. */
  value(name) {
    const [id] = SHOWN[name];
    return this.page.messages().filter((m) => m.type === 'update' && m.data.varId === id && 'value' in m.data).at(-1)?.data.value;
  }

  async update(name, value = null) {
    this.page.send({ userEvent: true, messages: [{ type: 'update', data: { varId: SHOWN[name][0], value } }] });
    await this.settled();
  }

  errors() {
    return this.page.messages().filter((m) => m.type === 'error');
  }

  /** What code gives in the session, by the desk's own console. */
  async ask(code) {
    await this.update('run', code);
    return this.value('output');
  }

  /** Save a file; the reload has been told and the page has what came of it. */
  async save(name, change) {
    const told = this.server.events('reload').length, file = path.join(this.server.dir, name), text = change(readFileSync(file, 'utf8'));
    assert.notEqual(text, readFileSync(file, 'utf8'), 'the edit changes something');
    writeFileSync(file, text);
    const record = await until(() => this.server.events('reload')[told], `the reload of ${name}`);
    await this.settled();
    return record;
  }
}

let server;

before(async () => {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'lsess-test-'));
  cpSync(path.join(fixtures, 'desk'), dir, { recursive: true, verbatimSymlinks: true });
  server = await Server.start(dir, ['--watch'], { cwd: dir });
});

after(() => server.stop());

test("L149 L148 a wrapped session.prototype, an Object of the site's own, dotted prototypes, a linked app: all declared once", async () => {
  const desk = await Desk.open(server);
  assert.equal(desk.value('label'), 'Desk desk: untitled');
  assert.equal(await desk.ask('table.concat(declared, " ")'), 'Object Desk Desk.Note Desk.Console Ships.Ship Ships');
  assert.equal(
    await desk.ask(
      'getmetatable(Desk) == Object and getmetatable(Desk.Note) == Object and getmetatable(Ships.Ship) == Object',
    ),
    'true',
  );
  assert.equal(await desk.ask('session:getApp() == desk and desk.console.type'), 'Desk.Console');
  assert.equal(await desk.ask('package.loaded["apps/ships/app.lua"] == require("ships") and require("ships") == Ships'), 'true');
  assert.equal(await desk.ask('package.loaded["lua/ships.lua"]'), 'nil');
  assert.deepEqual(desk.errors(), []);
});

test('L149 a getter with side effects at high priority: what it finds out is shown in the same batch', async () => {
  const desk = await Desk.open(server);
  const polls = desk.value('polls');
  assert.equal(desk.value('status'), '0 notes');
  const frames = desk.page.frames.length;
  await desk.update('addNote', 'call Ann');
  assert.equal(desk.value('status'), '1 notes');
  assert.ok(desk.value('polls') > polls);
  const batch = desk.page.frames
    .slice(frames)
    .map((frame) => JSON.parse(frame))
    .find((messages) => messages.some?.((m) => m.data?.varId === SHOWN.status[0]));
  assert.ok(
    batch.some((m) => m.data.varId === SHOWN.export[0]) && batch.some((m) => m.data.varId === SHOWN.polls[0]),
    'one frame has it all',
  );
  assert.equal(desk.value('export'), '[{"text":"call Ann"}]');
});

test('L13 L14 L149 settings in a file beside the site, read again by the next session; folders by io.popen', async () => {
  const desk = await Desk.open(server);
  assert.equal(desk.value('folders'), 'apps lua viewdefs');
  await desk.update('title', 'Harbour');
  await desk.update('addNote', 'ä "quoted"');
  await desk.update('save');
  const file = path.join(server.dir, 'settings.json');
  try {
    assert.deepEqual(JSON.parse(readFileSync(file, 'utf8')), { notes: [{ text: 'ä "quoted"' }], title: 'Harbour' });
    const next = await Desk.open(server);
    assert.equal(next.value('label'), 'Desk desk: Harbour');
    assert.equal(next.value('export'), '[{"text":"ä \\"quoted\\""}]');
  } finally {
    rmSync(file);
  }
});

test('L135 L143 L149 a console on loadstring: values, statements, and errors that name their place', async () => {
  const desk = await Desk.open(server);
  assert.equal(await desk.ask('1 + 1'), '2');
  assert.equal(await desk.ask('desk.title = "by console"'), 'nil');
  assert.equal(desk.value('label'), 'Desk desk: by console');
  assert.match(await desk.ask('x = 1 +'), /^error: .*:1: unexpected symbol near <eof>/);
  assert.match(await desk.ask('nobody.home'), /^error: .*:1: attempt to index a nil value \(global 'nobody'\)/);
  assert.match(await desk.ask('string.dump(print) or load(string.dump(function() end))'), /^error: .*unable to dump/);
  assert.match(await desk.ask('os.exit()'), /^error: .*os\.exit/);
  assert.match(await desk.ask('require("/etc/passwd")'), /^error: .*module name/);
  assert.match(await desk.ask('require("../lua/json")'), /^error: .*module name/);
  assert.deepEqual(desk.errors(), []);
});

test('L129 L130 L131 L149 a list with item presenters: rows, their numbers and their actions', async () => {
  const desk = await Desk.open(server);
  for (const name of ['Gull', 'Tern', 'Skua']) await desk.update('launch', name);
  desk.below(12, 11, '0.item.title()');
  desk.below(13, 11, '1.item.title()');
  desk.page.send({
    userEvent: true,
    messages: [
      { type: 'create', data: { id: 15, parentId: 11, properties: { path: '1.item.remove()', access: 'action' } } },
    ],
  });
  await desk.settled();
  assert.equal(desk.value('first'), '0. Gull');
  const second = () => desk.page.messages().filter((m) => m.type === 'update' && m.data.varId === 13).at(-1).data.value;
  assert.equal(second(), '1. Tern');
  await desk.update('sink');
  assert.equal(desk.value('first'), '0. Tern');
  assert.equal(second(), '1. Skua');
  desk.page.send({ userEvent: true, messages: [{ type: 'update', data: { varId: 15, value: null } }] });
  await desk.settled();
  assert.equal(await desk.ask('#ships.items .. ships.items[1].name'), '1Tern');
  assert.deepEqual(desk.errors().filter((m) => m.data.varId < 12), []);
});

test(
  'L131 L133 L144 an error in an action: who caused it is told without traceback, the log has it, changes made before stay',
  async () => {
    const desk = await Desk.open(server), other = await server.page(desk.id);
    await other.watchApp();
    await desk.update('rename', 'Pier');
    const line =
      readFileSync(path.join(server.dir, 'lua/main.lua'), 'utf8')
        .split('\n')
        .findIndex((text) => text.includes('cannot be saved')) + 1;
    const message = `lua/main.lua:${line}: 'Pier' cannot be saved`;
    assert.deepEqual(desk.errors().map((m) => [m.data.varId, m.data.code, m.data.description]), [[SHOWN.rename[0], 'lua-error', message]]);
    assert.deepEqual(other.messages().filter((m) => m.type === 'error'), []);
    assert.match(await until(() => server.logs().find((text) => text.includes(message)), 'the error in the log'), /stack traceback:/);
    assert.equal(desk.value('label'), 'Desk desk: Pier');
  },
);

test('L149 L150 LX36 a save of main.lua keeps the state, guards hold, and a wrapped method is not wrapped again', async () => {
  const desk = await Desk.open(server);
  await desk.update('addNote', 'kept');
  await desk.update('addColor', 'blue');
  await desk.update('title', 'kept as well');
  const counts = 'Desk.opened .. " " .. Object.made .. " " .. tostring(desk == session:getApp())';
  const before = await desk.ask(counts);
  const record = await desk.save('lua/main.lua', (text) =>
    text
      .replace('self:tostring() .. ": " .. self.title', '"[" .. self:tostring() .. "] " .. self.title')
      .replace('title = "untitled",', 'title = "untitled", owner = "Ann",'),
  );
  assert.deepEqual(record.results.map((result) => [result.key, result.outcome]), [['lua/main.lua', 'ok']]);
  assert.equal(desk.value('label'), '[Desk desk] kept as well');
  assert.equal(desk.value('palette'), 'red green blue', 'the content of a table default');
  assert.equal(desk.value('export'), '[{"text":"kept"}]');
  assert.equal(await desk.ask('desk.owner'), 'Ann');
  assert.equal(await desk.ask(counts), before);
  assert.equal(await desk.ask('declared[#declared]'), 'Desk.Console', 'declarations of the reload went through the one wrapper');
  for (let save = 0; save < 3; save++) await desk.save('lua/main.lua', (text) => `${text}-- save ${save}\n`);
  assert.equal(await desk.ask(`(function()
    local depth, f = 0, session.prototype
    while debug.getinfo(f, "S").what == "Lua" do
      depth = depth + 1
      for at = 1, 9 do
        local name, value = debug.getupvalue(f, at)
        if name == "declare" then f = value end
      end
    end
    return depth
  end)()`), '1', 'wrapped once');
  assert.deepEqual(desk.errors(), []);
});

test('L149 a module that others keep in locals: a save of it reaches them without running them again', async () => {
  const desk = await Desk.open(server);
  await desk.update('addNote', 'x');
  const before = await desk.ask('#declared .. " " .. tostring(require("json"))');
  const record = await desk.save('lua/json.lua', (text) =>
    text.replace('assert(ui.json_encode(value))', '"json " .. assert(ui.json_encode(value))'),
  );
  assert.deepEqual(record.results.map((result) => [result.key, result.outcome]), [['lua/json.lua', 'ok']]);
  assert.equal(desk.value('export'), 'json [{"text":"x"}]');
  assert.equal(await desk.ask('#declared .. " " .. tostring(require("json"))'), before, 'the same table, and main.lua has not run');
});

test('L148 L149 L150 an app that is reached by links: saves of its files keep ships, counters and rows', async () => {
  const desk = await Desk.open(server);
  for (const name of ['Gull', 'Tern']) await desk.update('launch', name);
  desk.below(12, 11, '0.item.title()');
  await desk.settled();
  assert.equal(desk.value('first'), '0. Gull');
  await desk.save('apps/ships/app.lua', (text) => text.replace('self.row.index ..', 'self.row.index + 1 ..'));
  assert.equal(desk.value('first'), '1. Gull', 'the row, an object made before, runs the new method');
  await desk.save('apps/ships/ship.lua', (text) => `
    ${text.replace('return session', 'local Ship = session').replace('number = 0', 'number = 0, flag = "red"')}
    function Ship:mutate() self.name = self.name:upper() end
    return Ship
  `);
  assert.equal(desk.value('first'), '1. GULL', 'mutate has run for ships launched before');
  assert.equal(await desk.ask('Ships.launched .. #ships.items .. ships.items[2].flag .. ships.items[2].number'), '22red2');
  assert.equal(await desk.ask('Ships.Ship == session:prototype("Ships.Ship") and getmetatable(ships.items[1]) == Ships.Ship'), 'true');
});

test('L43 L144 L145 a save that fails leaves everything as it was, and says where; the next one works', async () => {
  const desk = await Desk.open(server);
  await desk.update('launch', 'Gull');
  const broken = await desk.save('apps/ships/app.lua', (text) =>
    text.replace('function Ships:sink()', 'Ships.launched = -1\nerror("half way")\nfunction Ships:sink()'),
  );
  assert.match(broken.results[0].outcome, /fail/);
  const line =
    readFileSync(path.join(server.dir, 'apps/ships/app.lua'), 'utf8')
      .split('\n')
      .findIndex((text) => text.includes('half way')) + 1;
  assert.ok(await until(() => server.logs().find((text) => text.includes(`apps/ships/app.lua:${line}: half way`)), 'the error in the log'));
  assert.equal(await desk.ask('Ships.launched'), '1');
  await desk.save('apps/ships/app.lua', (text) => text.replace('error("half way")\n', '').replace('Ships.launched = -1\n', ''));
  await desk.update('launch', 'Tern');
  assert.equal(await desk.ask('Ships.launched .. ships.items[2].name'), '2Tern');
});

test('L52 L52a L53 L58 C5 unload names what goes, views of the app among it; required again the app and its views are back', async () => {
  const desk = await Desk.open(server);
  const control = server.control();
  const session = String((await control.call('sessions')).sessions.find((s) => s.url.endsWith(desk.id)).session);
  control.close();
  const unload = (...args) => {
    const { stdout, stderr } = spawnSync(
      program,
      ['unload', '--socket', server.socket, '--session', session, '--json', ...args],
      { encoding: 'utf8', timeout: 20000 },
    );
    assert.ok(stdout.startsWith('['), stderr);
    return JSON.parse(stdout)[0];
  };
  const views = ['ShipRow.list-item', 'Ships.DEFAULT'];
  assert.deepEqual(unload('--dry-run', 'apps/ships/ship.lua').viewdefs, [], 'another module of the app stays');
  const trial = unload('--dry-run', 'apps/ships');
  assert.deepEqual(
    [trial.modules, trial.prototypes, trial.presenters],
    [['apps/ships/app.lua', 'apps/ships/ship.lua'], ['Ships.Ship', 'Ships'], ['ShipRow']],
  );
  assert.deepEqual(trial.viewdefs.sort(), views);
  assert.deepEqual(trial.importers, ['lua/main.lua']);
  assert.equal(await desk.ask('type(package.loaded["ships"])'), 'table', 'a trial changes nothing');
  assert.deepEqual(unload('apps/ships').viewdefs.sort(), views);
  assert.equal(await desk.ask('type(package.loaded["ships"]) .. type(Ships)'), 'niltable', 'globals stay');
  const next = (await server.page(desk.id));
  await next.watchApp();
  const delivered = (page) =>
    Object.keys(
      Object.assign(
        {},
        ...page
          .messages()
          .filter((m) => m.data?.properties?.viewdefs)
          .map((m) => JSON.parse(m.data.properties.viewdefs)),
      ),
    );
  next.create(2, 'ships');
  await next.message((m) => m.data?.varId === 2 && m.data.value);
  assert.ok(!delivered(next).includes('Ships.DEFAULT'), 'a view of an app that is gone');
  assert.equal(await desk.ask('require("ships") == session:prototype("Ships") and not session.reloading'), 'true');
  await until(() => delivered(next).includes('Ships.DEFAULT'), 'the view, once the app is loaded again');
});

test('L5 L144 loops without end in code that a page runs: one error each, and the session answers', async () => {
  const limited = await Server.start(server.dir, ['--time-limit', '100ms', '--memory-limit', '8M'], { cwd: server.dir });
  try {
    /* What takes no time is over its limit as well when the machine holds it up: once again, then. */
    const desk = await until(() => Desk.open(limited).catch(() => null), 'a session', 30000);
    for (const code of [
      '(function() while true do pcall(error) end end)()',
      'setmetatable({}, {__index = function() while true do end end}).x',
      'coroutine.wrap(function() while true do end end)()',
    ]) {
      const from = desk.errors().length;
      await desk.update('run', code);
      assert.match(desk.errors().slice(from).map((m) => m.data.description).join(), /--time-limit/, code);
      await until(async () => await desk.ask('1 + 1') === '2', 'an answer of the session');
    }
    await until(
      async () => /^error: .*memory limit of 8388608 bytes \(--memory-limit\)/.test(await desk.ask('("x"):rep(1e9)')),
      'the limit of memory',
    );
  } finally {
    limited.run.child.kill('SIGTERM');
    await limited.run.result(20000);
  }
  assert.ok(existsSync(server.dir));
});
