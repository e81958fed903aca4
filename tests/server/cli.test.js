/** The command line as a whole (cli.md, top, C1, C3): help, usage errors, exit statuses, finding the server. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, realpathSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { APP, Program, makeSite, program, until } from './lib.js';

const COMMANDS = ['serve', 'repl', 'unload', 'sessions', 'reload', 'restart', 'new', 'check', 'version', 'help'];

const runtime = () => mkdtempSync(path.join(os.tmpdir(), 'lsess-run-'));

/** The program with an empty runtime folder: no server is running there, unless `env` says otherwise. */
const run = (args, { env = {}, ...more } = {}) =>
  spawnSync(program, args, {
    encoding: 'utf8',
    timeout: 20000,
    ...more,
    env: { ...process.env, XDG_RUNTIME_DIR: runtime(), LSESS_SOCKET: '', ...env },
  });

/** A server found by its site, in a runtime folder. */
async function serve(dir, folder, args = []) {
  const server = new Program(['serve', dir, '--port', '0', '--json-log', ...args], { env: { XDG_RUNTIME_DIR: folder, LSESS_SOCKET: '' } });
  server.ready = await until(() => server.events('ready')[0], 'the start');
  return server;
}

async function stop(server) {
  server.child.kill('SIGTERM');
  assert.equal((await server.result()).code, 0);
}

test('C1 lsess alone prints the list and exits 2; help, -h and --help print it and exit 0', () => {
  const alone = run([]);
  assert.equal(alone.status, 2);
  assert.equal(alone.stdout, '', 'it is talk, not data');
  for (const name of COMMANDS) assert.match(alone.stderr, new RegExp(`^  ${name} +[A-Z]`, 'm'));
  for (const args of [['help'], ['-h'], ['--help']]) {
    const { status, stdout, stderr } = run(args);
    assert.deepEqual([status, stderr], [0, '']);
    assert.equal(stdout, alone.stderr);
  }
});

test('C1 version, -V and --version', () => {
  for (const args of [['version'], ['-V'], ['--version']]) {
    const { status, stdout } = run(args);
    assert.equal(status, 0);
    assert.match(stdout, /^lsess \d+\.\d+\.\d+ \(Lua 5\.4\)\n$/);
  }
  const { version, lua } = JSON.parse(run(['version', '--json']).stdout);
  assert.match(version, /^\d+\.\d+\.\d+$/);
  assert.equal(lua, '5.4');
});

test('-h and --help of every command: usage on standard output, status 0, also after other options', () => {
  for (const name of COMMANDS) {
    for (const args of [[name, '-h'], [name, '--help'], ['help', name]]) {
      const { status, stdout, stderr } = run(args);
      assert.deepEqual([status, stderr], [0, ''], args.join(' '));
      assert.ok(stdout.startsWith(`usage: lsess ${name}`), stdout);
      assert.match(stdout, /^  -h, --help/m);
    }
  }
  assert.equal(run(['sessions', '--json', '-h']).status, 0);
  assert.equal(run(['unload', '-nh']).status, 0, 'bundled');
});

test('an unknown command is one line with the one that is meant, status 2', () => {
  const near = run(['sesions']);
  assert.equal(near.status, 2);
  assert.equal(near.stderr, 'lsess: there is no command "sesions"; did you mean `lsess sessions`?\n');
  assert.match(run(['frobnicate']).stderr, /^lsess: there is no command "frobnicate"; `lsess help` lists them\n$/);
  assert.match(run(['help', 'srve']).stderr, /did you mean serve\?/);
  assert.equal(run(['help', 'srve']).status, 2);
  assert.match(run(['--frob']).stderr, /^lsess: unknown option --frob/);
});

test('an unknown option is one line with a hint, status 2, in every command', () => {
  for (const name of COMMANDS) {
    for (const option of ['--frobnicate', '-Q']) {
      const { status, stdout, stderr } = run([name, option]);
      assert.deepEqual([status, stdout], [2, ''], name);
      assert.equal(stderr, `lsess ${name}: unknown option ${option} (see \`lsess ${name} --help\`)\n`);
    }
  }
  for (const [name, wrong, right] of [
    ['serve', '--prt', '--port'],
    ['serve', '--wach', '--watch'],
    ['repl', '--jsn', '--json'],
    ['unload', '--dryrun', '--dry-run'],
    ['new', '--tempate', '--template'],
  ]) {
    assert.match(run([name, wrong]).stderr, new RegExp(`unknown option ${wrong}; did you mean ${right}\\?`));
  }
});

test('options: values after = or a blank, letters bundle, -- ends them', () => {
  // Status 3 tells that the arguments were right: there is only no server.
  for (const args of [
    ['unload', '--session=1', 'x'],
    ['unload', '--session', '1', 'x'],
    ['unload', '-s1', 'x'],
    ['unload', '-ns', '1', 'x'],
    ['unload', '-ns1', 'x'],
    ['unload', 'x', '--json'],
    ['repl', '--', '-1'],
    ['restart', '--', '--json'],
  ])
    assert.equal(run(args).status, 3, args.join(' '));
  for (const [args, text] of [
    [['unload', '--session'], /--session wants a value: ID/],
    [['unload', '-s'], /-s wants a value/],
    [['unload', '--json=1', 'x'], /--json takes no value/],
    [['unload'], /name a module or a folder/],
    [['unload', '--list', 'x'], /--list takes no names/],
    [['restart'], /name a session/],
    [['repl', '1', '2'], /one session at a time/],
    [['sessions', 'x'], /takes no argument: x/],
    [['version', 'x'], /takes no argument/],
    [['check', 'a', 'b'], /one folder/],
    [['new'], /name the folder/],
    [['new', 'a', 'b'], /one folder/],
    [['help', 'new', 'check'], /one command at a time/],
  ]) {
    const { status, stderr } = run(args);
    assert.equal(status, 2, args.join(' '));
    assert.match(stderr, text);
    assert.equal(stderr.split('\n').length, 2, 'one line');
  }
});

test('no server: one line and status 3, of every command that talks to one', () => {
  for (const args of [['sessions'], ['repl', '-e', '1'], ['unload', 'x'], ['unload', '--list'], ['reload'], ['restart', '1']]) {
    const { status, stdout, stderr } = run(args, { cwd: os.tmpdir() });
    assert.deepEqual([status, stdout, stderr], [3, '', 'lsess: no server is running; start one with `lsess serve`\n'], args.join(' '));
  }
  const named = run(['sessions', '--socket', '/nowhere/lsess.sock']);
  assert.equal(named.status, 3);
  assert.match(named.stderr, /^lsess: no server listens on \/nowhere\/lsess\.sock: No such file or directory\n$/);
  assert.match(run(['sessions'], { env: { LSESS_SOCKET: '/nowhere/x.sock' } }).stderr, /\/nowhere\/x\.sock/);
});

test('C3 the server is found: --socket, LSESS_SOCKET, the site around the current folder, the only one; two are told apart', async () => {
  const folder = runtime();
  const first = makeSite({ 'lua/main.lua': APP, 'lua/deep/er/x.lua': '' });
  const second = makeSite({ 'lua/main.lua': APP });
  const env = { XDG_RUNTIME_DIR: folder };
  const one = await serve(first, folder);
  const which = (options = {}, args = []) => {
    const { status, stdout, stderr } = run(['repl', 'new', ...args, '-e', 'return 1'], { cwd: os.tmpdir(), env, ...options });
    const all = run(['sessions', '--json', ...args], { cwd: os.tmpdir(), env, ...options });
    return status === 0 ? new URL(JSON.parse(all.stdout)[0].url).port : `${status} ${stdout}${stderr}`;
  };
  const port = (server) => new URL(server.ready.url).port;
  assert.equal(which(), port(one), 'the only one');
  const two = await serve(second, folder);
  assert.notEqual(one.ready.socket, two.ready.socket);
  const both = run(['sessions'], { cwd: os.tmpdir(), env });
  assert.equal(both.status, 2);
  assert.match(both.stderr, /^lsess: 2 servers are running; say which/);
  for (const server of [one, two]) assert.ok(both.stderr.includes(`\n    --socket ${server.ready.socket}`), both.stderr);
  assert.equal(which({ cwd: first }), port(one), 'the site');
  assert.equal(which({ cwd: path.join(first, 'lua/deep/er') }), port(one), 'a folder in the site');
  assert.equal(which({ cwd: second }), port(two));
  assert.equal(which({ cwd: first, env: { ...env, LSESS_SOCKET: two.ready.socket } }), port(two), 'the environment wins over the folder');
  assert.equal(
    which({ env: { ...env, LSESS_SOCKET: two.ready.socket } }, ['--socket', one.ready.socket]),
    port(one),
    '--socket wins over all',
  );
  two.child.kill('SIGKILL');
  await two.ended;
  assert.ok(existsSync(two.ready.socket), 'it left its socket behind');
  assert.equal(which(), port(one), 'a socket that nobody listens on does not count');
  assert.equal(which({ cwd: second }), port(one));
  const again = await serve(second, folder);
  assert.equal(again.ready.socket, two.ready.socket, 'a stale socket is replaced');
  await stop(again);
  assert.ok(!existsSync(again.ready.socket));
  await stop(one);
});

test('C3 a live socket is an error that names the process', async () => {
  const folder = runtime();
  const dir = makeSite({ 'lua/main.lua': APP });
  const server = await serve(dir, folder);
  const { status, stderr } = run(['serve', dir, '--port', '0'], { env: { XDG_RUNTIME_DIR: folder } });
  assert.equal(status, 1);
  assert.ok(stderr.includes(`pid ${server.ready.pid}`), stderr);
  assert.equal(stderr.trim().split('\n').length, 1);
  await stop(server);
});

test('a socket path that is too long: one line, status 1 of serve and 3 of the others', () => {
  const long = path.join(realpathSync(os.tmpdir()), 'x'.repeat(120), 'lsess.sock');
  mkdirSync(path.dirname(long), { recursive: true });
  const serving = run(['serve', makeSite({ 'lua/main.lua': APP }), '--port', '0', '--socket', long]);
  assert.equal(serving.status, 1);
  assert.match(
    serving.stderr,
    new RegExp(`has ${long.length} bytes, and 107 are possible; name a shorter one with --socket: ${long}$`, 'm'),
  );
  assert.equal(serving.stderr.trim().split('\n').length, 1, serving.stderr);
  const asking = run(['sessions', '--socket', long]);
  assert.equal(asking.status, 3);
  assert.match(asking.stderr, /File name too long/);
});

test('a server that answers nonsense or hangs up is one line and status 3', async () => {
  const where = path.join(runtime(), 'odd.sock');
  const odd = net.createServer((socket) => {
    socket.on('data', () => socket.end('no JSON\n'));
    socket.on('error', () => {});
  });
  await new Promise((resolve) => odd.listen(where, resolve));
  const { code, output } = await new Program(['sessions', '--socket', where]).result();
  assert.equal(code, 3);
  assert.equal(output, `lsess: the server at ${where} has gone away\n`);
  odd.close();
});

test('colour only on a terminal: none in a pipe', async () => {
  const folder = runtime();
  const server = await serve(makeSite({ 'lua/main.lua': APP }), folder);
  const bad = run(['repl', 'new', '-e', 'error("x")'], { cwd: os.tmpdir(), env: { XDG_RUNTIME_DIR: folder } });
  assert.ok(!bad.stderr.includes('\x1b'), bad.stderr);
  const table = run(['sessions'], { cwd: os.tmpdir(), env: { XDG_RUNTIME_DIR: folder } });
  assert.ok(!table.stdout.includes('\x1b'));
  await stop(server);
});
