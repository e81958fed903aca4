/** The control socket (cli.md C3; quality.md Q3). */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { APP, Program, Server, makeSite, program, until } from './lib.js';

let server, control;

before(async () => {
  server = await Server.start(
    {
      'lua/main.lua': `
        ${APP}
        require("ship")
      `,
      'lua/ship.lua': 'Ship = session:prototype("Ship", { sail = 1 })',
    },
    ['--watch'],
  );
  control = server.control();
});

after(async () => {
  control.close();
  await server.stop();
  assert.equal(existsSync(server.socket), false, 'the socket file is removed');
});

test('C3 ping tells who it is', async () => {
  const { pid, url, dir, watching, version, heap } = await control.call('ping');
  assert.deepEqual({ pid, url, dir, watching }, { pid: server.pid, url: `${server.url}/`, dir: server.ready.dir, watching: true });
  assert.match(version, /^\d+\.\d+\.\d+/);
  // All of the program's memory, so also what a session holds. (A sanitizer has an allocator of its own, of which the C
  // library knows nothing.)
  if (process.env.ASAN_OPTIONS || process.env.TSAN_OPTIONS) return;
  const session = await server.session();
  await control.call('eval', { session, code: 'KEPT = string.rep("x", 8 << 20)' });
  assert.ok((await control.call('ping')).heap - heap >= 8 << 20);
  await control.call('eval', {
    session,
    code: `
      KEPT = nil
      collectgarbage()
      collectgarbage()
    `,
  });
  assert.ok((await control.call('ping')).heap - heap < 4 << 20);
});

test('Q3 the socket is 0600, by default in a folder 0700', async () => {
  assert.equal(statSync(server.socket).mode & 0o777, 0o600);
  const runtime = mkdtempSync(path.join(os.tmpdir(), 'lsess-run-'));
  const dir = makeSite({ 'lua/main.lua': '' });
  const run = new Program(['serve', dir, '--port', '0', '--json-log'], { env: { XDG_RUNTIME_DIR: runtime } });
  const ready = await until(() => run.events('ready')[0], 'the start');
  assert.equal(path.dirname(ready.socket), path.join(runtime, 'lsess'));
  assert.match(path.basename(ready.socket), new RegExp(`^${path.basename(dir)}-[0-9a-f]{6}\\.sock$`));
  assert.equal(statSync(path.dirname(ready.socket)).mode & 0o777, 0o700);
  const second = await new Program(['serve', dir, '--port', '0'], { env: { XDG_RUNTIME_DIR: runtime } }).result();
  assert.equal(second.code, 1);
  assert.ok(second.output.includes(String(ready.pid)), second.output);
  run.child.kill('SIGKILL');
  await run.ended;
  assert.ok(existsSync(ready.socket));
  const third = new Program(['serve', dir, '--port', '0', '--json-log'], { env: { XDG_RUNTIME_DIR: runtime } });
  await until(() => third.output.includes('"ready"'), 'a start over a stale socket');
  third.child.kill('SIGINT');
  assert.equal((await third.result()).code, 0);
});

/* --- the folder of the socket --- */

const folder = () => mkdtempSync(path.join(os.tmpdir(), 'lsess-run-'));

/** Serve and stop: the socket's folder, what was said about it, and whether a client in the same surroundings finds the server. */
async function placed(env, as = {}) {
  const dir = makeSite({ 'lua/main.lua': '' });
  let binary = program;
  if (as.uid) { /* what another user is to run and read has to be where it can be reached */
    binary = path.join(dir, 'lsess');
    copyFileSync(program, binary);
    chmodSync(binary, 0o755);
    chownSync(dir, as.uid, as.uid);
  }
  const settings = { env: { ...process.env, LSESS_SOCKET: '', ...env }, cwd: dir, ...as };
  const child = spawn(binary, ['serve', dir, '--port', '0', '--json-log'], { stdio: ['ignore', 'ignore', 'pipe'], ...settings });
  let output = '';
  child.stderr.on('data', (chunk) => { output += chunk; });
  let closed = false; // it has ended, and all that it said has come
  const ended = new Promise((resolve) => child.on('close', () => resolve(closed = true)));
  try {
    const records = await until(
      () =>
        (/"ready".*\n/.test(output) || closed) &&
        output
          .split('\n')
          .slice(0, -1)
          .filter((line) => line.startsWith('{'))
          .map((line) => JSON.parse(line)),
      'the start',
    );
    const socket = records.find((record) => record.event === 'ready')?.socket;
    if (!socket) return { output };
    const found = spawnSync(binary, ['sessions', '--json'], { encoding: 'utf8', timeout: 20000, ...settings });
    const { mode, uid } = statSync(path.dirname(socket));
    return {
      folder: path.dirname(socket),
      mode: mode & 0o777,
      uid,
      found: found.status,
      said: records.filter((record) => record.text?.includes('control socket')).map((record) => record.text),
    };
  } finally {
    child.kill('SIGTERM');
    await ended;
    rmSync(dir, { recursive: true, force: true });
  }
}

const root = process.getuid() === 0 ? false : 'only root can make what belongs to another user';

const premade = {
  'a folder with another mode': {
    make: (at) => {
      mkdirSync(at);
      chmodSync(at, 0o755);
    },
    fault: /mode 0700/,
  },
  'a folder that others may write into': {
    make: (at) => {
      mkdirSync(at);
      chmodSync(at, 0o777);
    },
    fault: /mode 0700/,
  },
  'a link': {
    make: (at) => {
      const other = folder();
      symlinkSync(other, at);
    },
    fault: /link/,
  },
  'a file': { make: (at) => writeFileSync(at, ''), fault: /no folder/ },
  'a folder of another user': {
    make: (at) => {
      mkdirSync(at, { mode: 0o700 });
      chownSync(at, 65534, 65534);
    },
    fault: /another user/,
    skip: root,
  },
  'XDG_RUNTIME_DIR of another user': {
    make: (at) => chownSync(path.dirname(at), 65534, 65534),
    fault: /another user/,
    skip: root,
  },
  'XDG_RUNTIME_DIR that others may write into': {
    make: (at) => chmodSync(path.dirname(at), 0o777),
    fault: /others may change/,
  },
};

for (const [name, { make, fault, skip }] of Object.entries(premade))
  test(
    `C3 Q3 ${name} is no place for the socket: it is said in one line, and another is taken, where clients look too`,
    { skip },
    async () => {
      const runtime = folder();
      const at = path.join(runtime, 'lsess');
      make(at);
      const before = existsSync(at) && statSync(at).mode;
      const got = await placed({ XDG_RUNTIME_DIR: runtime });
      assert.deepEqual([got.folder, got.mode, got.uid, got.found], [`/tmp/lsess-${process.getuid()}`, 0o700, process.getuid(), 0]);
      assert.equal(got.said.length, 1);
      assert.match(got.said[0], fault);
      assert.ok(got.said[0].includes(at) && got.said[0].includes(got.folder), got.said[0]);
      assert.equal(existsSync(at) && statSync(at).mode, before, 'what is not ours is left as it is');
      rmSync(runtime, { recursive: true });
    },
  );

test(
  'C3 Q3 with a folder in /tmp that another user has made, the socket is at home; with none left, one line says what to do',
  { skip: root },
  async () => {
    const uid = 64321;
    const [runtime, home, squatted] = [folder(), folder(), `/tmp/lsess-${uid}`];
    rmSync(squatted, { recursive: true, force: true });
    mkdirSync(squatted, { mode: 0o777 });
    chmodSync(squatted, 0o777);
    chownSync(home, uid, uid);
    const got = await placed({ XDG_RUNTIME_DIR: runtime, HOME: home }, { uid, gid: uid });
    assert.deepEqual([got.folder, got.mode, got.uid, got.found], [path.join(home, '.lsess'), 0o700, uid, 0]);
    assert.equal(got.said.length, 1);
    assert.ok(got.said[0].includes(runtime) && got.said[0].includes(squatted), got.said[0]);
    const { output } = await placed({ XDG_RUNTIME_DIR: runtime, HOME: runtime }, { uid, gid: uid });
    assert.match(output, /no folder for the control socket.*--socket/);
    for (const made of [runtime, home, squatted]) rmSync(made, { recursive: true });
  },
);

test('C3 no client talks to a server of another user', { skip: root }, async () => {
  const at = path.join(folder(), 'x.sock');
  chmodSync(path.dirname(at), 0o777);
  const listen = `
    const [, where] = process.argv;
    const server = require('net').createServer((socket) => socket.on('data', (data) => process.stdout.write(data)));
    server.listen(where, () => {
      require('fs').chmodSync(where, 0o777);
      process.stdout.write('ready ');
    });
  `;
  const other = spawn(process.execPath, ['-e', listen, at], { uid: 65534, gid: 65534, stdio: ['ignore', 'pipe', 'inherit'], cwd: '/' });
  let heard = '';
  other.stdout.on('data', (chunk) => { heard += chunk; });
  await until(() => heard.includes('ready'), 'the other user listens');
  const { status, stderr } = spawnSync(program, ['repl', '--socket', at, '-e', 'secret'], { encoding: 'utf8', timeout: 20000 });
  assert.equal(status, 3);
  assert.match(stderr, /the server at .*x\.sock is not yours; run this as the user who serves\n$/);
  other.kill();
  assert.equal(heard, 'ready ');
});

test('C3 eval: value, text, print events before the answer', async () => {
  const answer = await control.call('eval', {
    session: 'new',
    code: `
      print("ahoy")
      print("again")
      return {a = 1, b = {2, 3}}
    `,
  });
  assert.equal(answer.ok, true);
  assert.deepEqual(answer.json, { a: 1, b: [2, 3] });
  const events = control.events(answer.id);
  assert.deepEqual(events.map((e) => [e.event, e.text]), [['print', 'ahoy\n'], ['print', 'again\n']]);
  assert.ok(control.lines.indexOf(events[1]) < control.lines.indexOf(answer));
  const repl = await control.call('eval', { session: answer.session, code: '1 + 1, "x"', repl: true });
  assert.match(repl.text, /^2\t"?x"?$/);
  assert.equal((await control.call('eval', { session: answer.session, code: 'for i = 1, 3 do', repl: true })).incomplete, true);
});

test('C3 eval: errors have codes', async () => {
  for (const [code, name] of [['x =', 'syntax'], ['error("no")', 'lua-error']]) {
    const answer = await control.call('eval', { session: 'new', code });
    assert.equal(answer.ok, false);
    assert.equal(answer.error.code, name);
  }
  assert.equal((await control.call('eval', { session: '999', code: 'return 1' })).error.code, 'no-session');
  assert.equal((await control.call('eval', {})).error.code, 'bad-request');
});

test('C3 a member of another kind than a command needs is none: no other session is meant by it', async () => {
  const { session } = await control.call('eval', { session: 'new', code: 'KEPT = 1' });
  for (const [cmd, fields] of [
    ['restart', { session: ['999'] }],
    ['restart', { session: [session] }],
    ['eval', { code: ['return 1'] }],
    ['complete', { line: ['KEPT'] }],
    ['unload', { names: 'ship' }],
    ['unload', { names: ['ship', 5] }],
    ['eval', { code: 'KEPT = 2', session: [session] }],
    ['eval', { code: 'KEPT = 2', session: 5 }],
    ['unload', { names: ['ship'], sessions: session }],
    ['unload', { names: ['ship'], sessions: [Number(session)] }],
    ['state', { session: {} }],
  ]) {
    const answer = await control.call(cmd, fields);
    assert.equal(answer.error?.code, 'bad-request', `${cmd} ${JSON.stringify(fields)}: ${JSON.stringify(answer)}`);
  }
  assert.equal((await control.call('eval', { session, code: 'return KEPT' })).json, 1);
  assert.equal((await control.call('state', { session: null })).ok, true);
});

test('C3 interrupt ends a running evaluation', async () => {
  const { session } = await control.call('eval', { session: 'new', code: 'return 1' });
  const other = server.control();
  const running = other.call('eval', { session, code: 'print("in") while true do end' });
  await until(() => other.lines.some((line) => line.event === 'print'), 'the loop');
  assert.equal((await control.call('interrupt', { session })).ok, true);
  assert.equal((await running).error.code, 'interrupted');
  assert.equal((await control.call('eval', { session, code: 'return 1' })).ok, true);
  other.close();
});

test('C3 complete, sessions, state, unload, restart', async () => {
  const { session } = await control.call('eval', { session: 'new', code: 'return 1' });
  assert.ok((await control.call('complete', { session, line: 'Shi' })).completions.includes('Ship'));
  const { sessions } = await control.call('sessions');
  const row = sessions.find((one) => one.session === session);
  assert.match(row.url, /\/[0-9a-f]{32}$/);
  assert.equal(row.key, row.url.slice(-32, -24));
  assert.ok(row.memory > 1000 && row.modules >= 2 && row.connections === 0, JSON.stringify(row));
  const state = await control.call('state', { session });
  assert.equal(state.sessions.length, 1);
  assert.ok(state.sessions[0].modules.some((module) => module.key === 'lua/ship.lua' && module.hash));
  assert.ok(state.hotload.directories.length > 0);
  const dry = await control.call('unload', { names: ['lua/ship.lua'], sessions: [session], dry_run: true });
  assert.equal(dry.results.length, 1);
  assert.deepEqual(dry.results[0].modules, ['lua/ship.lua']);
  assert.deepEqual((await control.call('unload', { names: ['nothing'], sessions: [session] })).results, []);
  assert.equal((await control.call('unload', { names: ['lua/ship.lua'], sessions: [session] })).results[0].count, 1);
  assert.equal((await control.call('restart', { session: sessions.find((one) => one.session === session).key })).session, session);
  assert.ok((await control.call('state', { session })).sessions[0].modules.some((module) => module.key === 'lua/ship.lua'));
});

test('C3 watch streams reloads and errors; the terminal record has the failure', async () => {
  await server.session();
  const watcher = server.control();
  const { id } = await watcher.call('watch');
  writeFileSync(path.join(server.dir, 'lua/ship.lua'), 'Ship = session:prototype("Ship", { sail = 2 })\n');
  await until(() => watcher.events(id).find((e) => e.event === 'reload' && e.key === 'lua/ship.lua' && e.outcome === 'ok'), 'the reload');
  writeFileSync(path.join(server.dir, 'lua/ship.lua'), `
    local x = 1
    x.y.z = 2
  `);
  const problem = await until(() => watcher.events(id).find((e) => e.event === 'error'), 'the error');
  assert.match(problem.text, /ship\.lua:3/);
  const record = await until(() => server.events('reload').find((e) => e.failures.length > 0), 'the record');
  assert.equal(record.failures[0].key, 'lua/ship.lua');
  writeFileSync(path.join(server.dir, 'lua/ship.lua'), 'Ship = session:prototype("Ship", { sail = 1 })');
  await until(() => watcher.events(id).filter((e) => e.event === 'reload').at(-1).outcome === 'ok', 'the repair');
  watcher.close();
});

test('C3 watch streams the log, with the session that a record is about', async () => {
  const watcher = server.control();
  const { id } = await watcher.call('watch');
  const { session } = await control.call('eval', { session: 'new', code: 'session:setTimeout(function() error("mast broken") end, 1)' });
  const record = await until(() => watcher.events(id).find((e) => e.event === 'log' && e.text.includes('mast broken')), 'the record');
  assert.equal(record.session, session);
  assert.equal(record.level, 0);
  watcher.close();
});

test('C1 reload by name and of all, unchanged files are skipped and said to be', async () => {
  await server.session();
  const all = await control.call('reload');
  assert.ok(all.results.some((result) => result.key === 'lua/ship.lua' && result.outcome === 'skipped' && result.text));
  const one = await control.call('reload', { files: ['lua/ship.lua'] });
  assert.ok(one.results.length > 0 && one.results.every((result) => result.key === 'lua/ship.lua'));
  assert.equal((await control.call('reload', { files: ['lua/none.lua'] })).ok, false);
});

test('C3 bad requests get an error and the connection lives on', async () => {
  const own = server.control();
  own.write('nonsense\n[1]\n"x"\n{"id":1}\n{"id":"two","cmd":"nothing"}\n\n');
  await until(() => own.lines.length === 5, 'five answers');
  assert.deepEqual(
    own.lines.map((line) => line.error.code),
    ['bad-request', 'bad-request', 'bad-request', 'bad-request', 'unknown-command'],
  );
  assert.equal(own.lines[4].id, 'two');
  own.write(`{"id":9,"cmd":"eval","code":"${'x'.repeat(1200000)}"}\n`);
  await until(() => own.lines.some((line) => line.error?.code === 'too-long'), 'the refusal');
  assert.equal((await own.call('ping', { id: 12345678901234 })).ok, true);
  own.close();
});

test('C3 a client that goes away in the middle harms nobody', async () => {
  for (let i = 0; i < 20; i++) {
    const own = server.control();
    own.write('{"id":1,"cmd":"eval","session":"new","code":"for i = 1, 1000 do print(i) end"}\n{"id":');
    own.close();
  }
  assert.equal((await control.call('ping')).ok, true);
});

test('C3 a session that is busy does not hold up the lists', async () => {
  const { session } = await control.call('eval', { session: 'new', code: 'return 1' });
  const busy = server.control();
  const running = busy.call('eval', { session, code: 'print("in") while true do end' });
  await until(() => busy.lines.some((line) => line.event === 'print'), 'the loop');
  const { sessions } = await control.call('sessions');
  assert.equal(sessions.find((one) => one.session === session).busy, true);
  assert.equal((await control.call('state')).sessions.find((one) => one.session === session).busy, true);
  await control.call('interrupt', { session });
  await running;
  busy.close();
});

test('C3 a name that holds U+0000 names nothing else; code and error texts go through whole', async () => {
  const { session } = await control.call('eval', { session: 'new', code: 'return 1' });
  const ask = (code) => control.call('eval', { session, code });
  assert.equal((await control.call('eval', { session: `${session}\0x`, code: 'return 1' })).error.code, 'no-session');
  assert.equal((await control.call('ping\0x')).error.code, 'unknown-command');
  assert.deepEqual((await control.call('unload', { names: ['lua/ship.lua\0x'], dry_run: true })).results, []);
  assert.equal((await ask('return #"a\0b"')).json, 3);
  const { message } = (await ask('error("er\\0ror")')).error;
  assert.match(message, /er\ufffdror\nstack traceback:/);
  assert.match(
    (await ask('session:getAppVariable():updateProperties({ tone = "a\\0b" })')).error.message,
    /the value of the property 'tone' must not hold U\+0000/,
  );
  assert.match(
    (await ask('session:createVariable(1, {}, { ["to\\0ne"] = "a" })')).error.message,
    /the name of a property must not hold U\+0000/,
  );
  assert.match((await ask('session:registerStandardVariable("@a\\0b", 1)')).error.message, /must not hold U\+0000/);
  const unset = await ask(`
    session:getAppVariable():updateProperties({ pp = "1" })
    return session:getAppVariable():getProperty("pp\\0x") == nil
  `);
  assert.equal(unset.json, true);
  const loaded = await ask(`
    session:unloadModule("ship\\0x")
    session:unloadDirectory("lua\\0x", true)
    return package.loaded["ship"] ~= nil
  `);
  assert.equal(loaded.json, true);
});

test('C4 the program finds the server by its site', () => {
  const done = spawnSync(server.run.child.spawnfile, ['repl', '--socket', server.socket, '-e', 'print(6 * 7)'], { encoding: 'utf8' });
  assert.equal(done.status, 0, done.stderr);
  assert.match(done.stdout, /42/);
});

test('C3 without a descriptor left the server neither spins nor stays when it is to end', async () => {
  const few = await Server.start({ 'lua/main.lua': APP });
  assert.equal(spawnSync('prlimit', ['--pid', few.pid, '--nofile=48']).status, 0);
  const sockets = Array.from({ length: 60 }, () => net.connect(few.socket).on('error', () => {}));
  await until(() => readdirSync(`/proc/${few.pid}/fd`).length >= 48, 'the last descriptor');
  const ticks = () => readdirSync(`/proc/${few.pid}/task`)
    .map((task) => readFileSync(`/proc/${few.pid}/task/${task}/stat`, 'utf8'))
    .filter((stat) => stat.includes('(ls-control)'))
    .reduce((sum, stat) => sum + stat.split(') ')[1].split(' ').slice(11, 13).reduce((a, b) => a + Number(b), 0), 0);
  const before = ticks();
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.ok(ticks() - before < 10, `${ticks() - before} hundredths of a second`);
  const other = few.socket;
  await few.stop();
  assert.equal(existsSync(few.socket), false);
  sockets.forEach((socket) => socket.destroy());
});
