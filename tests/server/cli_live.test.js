/** The commands that look into a running server: sessions, reload, restart, unload (cli.md C1, C5, C6; hotload.md H35, H69). */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { Program, Server, program, until, writeSite } from './lib.js';
import { Terminal } from './terminal.js';

const MAIN = `
Harbor = session:prototype("Harbor", { name = "North", count = 0 })
function Harbor:bump() self.count = self.count + 1 end
require("fleet")
if not session:getApp() then session:createAppVariable(Harbor:new{ ship = Ship:new{ name = "Gull" } }) end
`;
const FLEET = `
Ship = session:prototype("Ship", { name = "" })
ui.registerPresenter("ShipRow", { new = function() return {} end })
ui.registerWrapper("ShipWrap", { new = function() return {} end })
session:setInterval(function() end, 100000)
loads = (loads or 0) + 1
return { version = 1 }
`;
const FILES = {
  'lua/main.lua': MAIN,
  'lua/plain.lua': 'return 1',
  'apps/fleet/app.lua': FLEET,
  'apps/fleet/viewdefs/Ship.DEFAULT.html': '<template><b ui-value="name"></b></template>',
  'lua/fleet.lua': 'return require("apps.fleet.app")',
};

let server, id;

const run = (args, options = {}) =>
  spawnSync(program, args, {
    encoding: 'utf8',
    timeout: 20000,
    ...options,
    env: { ...process.env, LSESS_SOCKET: server.socket, ...options.env },
  });
const lua = (session, code) => run(['repl', session, '-e', code]).stdout.trimEnd();

before(async () => {
  server = await Server.start(FILES);
});

after(() => server.stop());

beforeEach(async () => {
  writeSite(server.dir, FILES);
  id = await server.session();
});

const vended = async () => String((await server.control().call('sessions')).sessions.find((s) => s.url.endsWith(id)).session);

test('C6 sessions: an aligned table with all columns', async () => {
  const page = await server.page(id);
  await page.watchApp();
  const name = await vended();
  lua(name, 'Harbor.name = "x"');
  const { status, stdout } = run(['sessions']);
  assert.equal(status, 0);
  const [head, ...rows] = stdout.trimEnd().split('\n');
  assert.match(head, /^SESSION +AGE +TABS +VARIABLES +MEMORY +MODULES +URL +LAST ERROR$/);
  const row = rows.find((line) => line.includes(id));
  assert.match(row, new RegExp(`^ *${name} +\\d+s +1 +1 +\\d+K +3 {2}${server.url}/${id}$`));
  assert.equal(row.indexOf('http'), head.indexOf('URL'), 'columns are aligned');
  for (const column of ['SESSION', 'AGE', 'TABS', 'VARIABLES', 'MEMORY', 'MODULES'])
    assert.match(row[head.indexOf(column) + column.length - 1], /\S/, column);
  await page.close();
});

test('C6 sessions --json: what the table shows, for programs', async () => {
  const { status, stdout } = run(['sessions', '--json']);
  assert.equal(status, 0);
  const session = JSON.parse(stdout).find((s) => s.url === `${server.url}/${id}`);
  assert.equal(session.key, id.slice(0, 8));
  for (const name of ['age_ms', 'idle_ms', 'connections', 'variables', 'memory', 'modules'])
    assert.equal(typeof session[name], 'number', name);
  assert.equal(session.modules, 3);
  assert.equal(session.last_error, '');
});

test('C1 sessions: the last error, its first line, and a session that is busy', async () => {
  const name = await vended();
  lua(name, 'session:setImmediate(function() error("no wind") end)');
  await until(() => run(['sessions']).stdout.split('\n').some((line) => line.includes(id) && /repl:1: no wind$/.test(line)), 'the error');
  const loop = new Program(['repl', '--socket', server.socket, name, '-e', 'while true do end']);
  await until(() => run(['sessions']).stdout.split('\n').some((line) => line.includes(id) && / busy +- +- /.test(line)), 'the busy row');
  loop.child.kill('SIGINT');
  await loop.result();
});

test('C6 sessions --watch refreshes each second, on a terminal in place; Ctrl-C leaves', async () => {
  const terminal = new Terminal({ columns: 160 });
  terminal.line(`${program} sessions --socket ${server.socket} --watch`);
  await terminal.shows(new RegExp(id));
  const next = await server.session();
  const screen = await terminal.shows(new RegExp(next));
  assert.equal(screen.match(/SESSION/g).length, 1, 'the screen was cleared');
  terminal.press('C-c');
  terminal.line('echo left');
  await terminal.shows(/^left$/m);
  terminal.close();
  const stream = new Program(['sessions', '--socket', server.socket, '--watch', '--json']);
  await until(() => stream.output.split('\n').length > 2, 'the second line');
  for (const line of stream.output.trimEnd().split('\n').slice(0, 2)) assert.ok(JSON.parse(line).length > 0);
  stream.child.kill('SIGTERM');
  await stream.ended;
});

test('C6 sessions without any: a word what to do, an empty array for programs, status 0', async () => {
  const empty = await Server.start({ 'lua/main.lua': '' });
  const env = { LSESS_SOCKET: empty.socket };
  assert.deepEqual(
    [run(['sessions'], { env }).status, run(['sessions'], { env }).stdout],
    [0, "no session is live; open the site's page to make one\n"],
  );
  assert.equal(run(['sessions', '--json'], { env }).stdout, '[]\n');
  await empty.stop();
});

test('C1 H35 reload without --watch: changed files run, unchanged ones are skipped and said to be', async () => {
  const name = await vended();
  writeSite(server.dir, { 'lua/main.lua': MAIN.replace('self.count + 1', 'self.count + 10') });
  const all = run(['reload']);
  assert.equal(all.status, 0, all.stderr);
  assert.match(all.stdout, new RegExp(`^session ${name}: lua/main\\.lua ok`, 'm'));
  assert.match(all.stdout, new RegExp(`^session ${name}: apps/fleet/app\\.lua skipped: unchanged$`, 'm'));
  lua(name, 'session:getApp():bump()');
  assert.equal(lua(name, 'session:getApp().count'), '10');
  writeSite(server.dir, { 'lua/main.lua': MAIN });
  for (const [args, cwd] of [
    [['lua/main.lua'], server.dir],
    [[path.join(server.dir, 'lua/main.lua')], '/'],
    [['main.lua'], path.join(server.dir, 'lua')],
    [['lua/main.lua'], '/'],
  ]) {
    const one = run(['reload', ...args], { cwd });
    assert.equal(one.status, 0, one.stderr);
    assert.match(one.stdout, new RegExp(`^session ${name}: lua/main\\.lua (ok|skipped: unchanged)`, 'm'));
    assert.ok(!one.stdout.includes('fleet'), 'only what was named');
  }
  const json = JSON.parse(run(['reload', '--json']).stdout);
  assert.ok(json.some((r) => r.session === name && r.key === 'lua/main.lua' && r.outcome === 'skipped' && r.text === 'unchanged'));
});

test('C1 reload: a file that fails is told with its place, status 1, the old code goes on', async () => {
  const name = await vended();
  writeSite(server.dir, { 'lua/main.lua': `${MAIN}\nfunction Harbor:bump( end` });
  const { status, stderr } = run(['reload', 'lua/main.lua']);
  assert.equal(status, 1);
  assert.match(stderr, new RegExp(`^session ${name}: lua/main\\.lua failed: .*7:`, 'm'));
  assert.equal(run(['reload', '--json', 'lua/main.lua']).status, 1);
  lua(name, 'session:getApp():bump()');
  assert.equal(lua(name, 'session:getApp().count'), '1');
  const missing = run(['reload', 'nowhere.lua']);
  assert.equal(missing.status, 1);
  assert.match(missing.stderr, /^lsess: There is no file nowhere\.lua in this site\.\n$/);
});

test('H69 restart: same id and URL, new state, the page follows', async () => {
  const name = await vended();
  const page = await server.page(id);
  await page.watchApp();
  page.create(2, 'count');
  await page.message((m) => m.data?.varId === 2 && m.data.value === 0);
  lua(name, 'session:getApp().count = 7');
  await page.message((m) => m.data?.varId === 2 && m.data.value === 7);
  const { status, stdout } = run(['restart', name]);
  assert.deepEqual([status, stdout], [0, `session ${name} has started anew\n`]);
  await until(() => page.messages().filter((m) => m.data?.varId === 2).at(-1).data.value === 0, 'the page to follow');
  assert.equal(lua(id.slice(0, 8), 'session._sessionID'), name);
  assert.equal((await server.get(`/${id}`)).status, 200);
  assert.deepEqual(JSON.parse(run(['restart', '--json', id.slice(0, 8)]).stdout).session, name);
  await page.close();
});

test('H69 restart: a main.lua that fails leaves the session as it was, status 1; one failure does not stop the others', async () => {
  const name = await vended();
  const other = await server.session();
  lua(name, 'session:getApp().count = 7');
  writeSite(server.dir, { 'lua/main.lua': 'error("no wind")' });
  const { status, stderr } = run(['restart', name]);
  assert.equal(status, 1);
  assert.match(stderr, /^lsess: .*lua\/main\.lua:1: no wind/);
  assert.equal(lua(name, 'session:getApp().count'), '7');
  writeSite(server.dir, FILES);
  const mixed = run(['restart', '999', other.slice(0, 8)]);
  assert.equal(mixed.status, 1);
  assert.match(mixed.stderr, /999/);
  assert.match(mixed.stdout, new RegExp(`session ${other.slice(0, 8)} has started anew`));
});

test('C5 unload --dry-run tells what would go and changes nothing', async () => {
  const name = await vended();
  const dry = run(['unload', '--dry-run', 'apps/fleet', '-s', name]);
  assert.equal(dry.status, 0, dry.stderr);
  assert.match(dry.stdout, new RegExp(`^session ${name}: apps/fleet would go\n`));
  for (const line of [
    /^ {2}modules +1 {2}apps\/fleet\/app\.lua$/m, /^ {2}prototypes +1 {2}Ship$/m,
    /^ {2}presenter types +1 {2}ShipRow$/m, /^ {2}wrappers +1 {2}ShipWrap$/m, /^ {2}timers +1$/m,
    /^ {2}still refer to it:$/m, /^ +instances +1$/m, /^ +importers +1 {2}lua\/fleet\.lua$/m,
  ])
    assert.match(dry.stdout, line);
  assert.equal(lua(name, 'package.loaded["apps/fleet/app.lua"].version'), '1');
  assert.equal(lua(name, 'loads'), '1');
});

test('C5 unload: prints per session what went; require loads it anew; nothing else goes', async () => {
  const name = await vended();
  const gone = run(['unload', 'apps/fleet', '--session', name]);
  assert.equal(gone.status, 0, gone.stderr);
  assert.match(gone.stdout, new RegExp(`^session ${name}: apps/fleet is unloaded\n`));
  assert.match(gone.stdout, /^ {2}prototypes +1 {2}Ship$/m);
  assert.equal(lua(name, 'package.loaded["apps/fleet/app.lua"]'), 'nil');
  assert.equal(lua(name, 'session:getApp().ship.name'), 'Gull', 'instances live on');
  assert.equal(lua(name, 'require("apps.fleet.app").version, loads'), '1\t2', 'a first load again');
  const again = run(['unload', 'apps/fleet/app.lua', '--session', name]);
  assert.match(again.stdout, /^ {2}modules +1 {2}apps\/fleet\/app\.lua$/m);
  const twice = run(['unload', 'apps/fleet/app.lua', '--session', name]);
  assert.deepEqual([twice.status, twice.stdout], [1, '']);
  assert.equal(twice.stderr, 'lsess: no loaded module matches apps/fleet/app.lua; `lsess unload --list` names those that are loaded\n');
});

test('C5 unload: all sessions by default, --json, names that were required, no such session', async () => {
  const other = await server.session();
  const all = run(['unload', '--json', 'fleet']);
  assert.equal(all.status, 0, all.stderr);
  const results = JSON.parse(all.stdout);
  const sessions = (await server.control().call('sessions')).sessions;
  for (const key of [id, other]) {
    const name = sessions.find((s) => s.url.endsWith(key)).session;
    const result = results.find((r) => r.session === name);
    assert.deepEqual(result.modules, ['lua/fleet.lua']);
    for (const member of ['prototypes', 'presenters', 'wrappers', 'viewdefs', 'importers'])
      assert.ok(Array.isArray(result[member]), member);
    for (const member of ['timers', 'watches', 'instances', 'variables', 'heap_bytes'])
      assert.equal(typeof result[member], 'number', member);
  }
  const wrong = run(['unload', 'fleet', '-s', '999']);
  assert.equal(wrong.status, 1);
  assert.match(wrong.stderr, /^lsess: There is no session '999'; `lsess sessions` lists them\.\n$/);
  const none = run(['unload', '--json', 'nothing']);
  assert.deepEqual([none.status, none.stdout], [1, '[]\n']);
});

test('C5 unload --list: what is loaded, for people and programs', async () => {
  const name = await vended();
  assert.equal(run(['unload', '--list', '-s', name]).stdout, 'apps/fleet/app.lua\nlua/fleet.lua\nlua/main.lua\n');
  lua(name, 'require("plain")');
  assert.ok(run(['unload', '-l']).stdout.split('\n').includes('lua/plain.lua'));
  const [listed] = JSON.parse(run(['unload', '-l', '--json', '-s', name]).stdout);
  assert.equal(listed.session, name);
  assert.deepEqual(listed.modules.sort(), ['apps/fleet/app.lua', 'lua/fleet.lua', 'lua/main.lua', 'lua/plain.lua']);
  assert.equal(run(['unload', '-l', '-s', '999']).status, 1);
});
