/** lsess serve: options, environment, lsess.lua, ports, start lines, signals, https (cli.md C2; hotload.md H1). */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import https from 'node:https';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { APP, Page, Program, Server, makeSite, program, until, within, writeSite } from './lib.js';
import { Terminal } from './terminal.js';

const site = () => makeSite({ 'lua/main.lua': APP });
const unused = () => path.join(mkdtempSync(path.join(os.tmpdir(), 'lsess-s-')), 'c.sock');

/** Run until it ends by itself. */
const fails = (args, options) => new Program(['serve', ...args], options).result();

test('C2 values that are no values are usage errors, exit status 2', async () => {
  const dir = site();
  const cases = [
    ['--port', '70000'],
    ['--port', '-1'],
    ['--port', '8o80'],
    ['--port='],
    ['--debounce', '5ms'],
    ['--session-timeout', '5'],
    ['--session-timeout', '5d'],
    ['--memory-limit', '1T'],
    ['--memory-limit', '-1'],
    ['--time-limit', 'soon'],
    ['--workers', '0'],
    ['--max-connections', '0'],
    ['--max-frame', '1.5M'],
    ['--max-messages', '1K'],
    ['--allow-origin', 'example.org'],
    ['--allow-origin', 'https://example.org/'],
    ['--allow-frame', 'https://example.org/'],
    ['--trust-proxy', 'host.example'],
    ['--trust-proxy', '10.0.0.0/33'],
    ['--trust-forwarded'],
    ['--auth-header', 'Remote-User'],
    ['--base-path', 'tool'],
    ['--base-path', '//evil.example'],
    ['--base-path', '/a/../b'],
    ['--allow-frame', "https://a;script-src 'none'"],
    ['--allow-frame', 'https://*.example.org'],
    ['--client', 'other'],
    ['--cert', 'x.pem'],
    ['--nonsense'],
    ['-x'],
    ['--no-watch'],
    ['--watch=1'],
    ['second', 'third'],
    ['--port'],
  ];
  for (const args of cases) {
    const { code, output } = await fails([...(args[0] === 'second' ? [] : [dir]), ...args]);
    assert.equal(code, 2, `${args.join(' ')}: ${output}`);
    assert.equal(output.trim().split('\n').length, 1, output);
  }
});

test('C2 -h prints usage and exits 0; every option of the synopsis is there', async () => {
  const { code, output } = await fails(['-h']);
  assert.equal(code, 0);
  for (const name of [
    'dir', 'host', 'port', 'watch', 'open', 'socket', 'debounce', 'poll', 'session-timeout', 'heartbeat', 'memory-limit',
    'time-limit', 'workers', 'max-frame', 'max-messages', 'max-outbox', 'max-connections', 'max-session-connections',
    'max-sessions', 'max-variables', 'max-properties', 'max-timers', 'allow-origin', 'allow-frame',
    'trust-proxy', 'trust-forwarded', 'auth-header', 'auth', 'base-path',
    '[no-]allow-lua-property', 'sandbox', 'env', 'client', 'strict-port', 'keep-removed-methods', 'cert', 'key',
    'log-file', 'json-log', 'config',
  ])
    assert.ok(output.includes(`--${name}`), name);
});

test('C2 a folder that is no site, or not there, is one line and exit status 1', async () => {
  const empty = mkdtempSync(path.join(os.tmpdir(), 'lsess-e-'));
  const file = path.join(mkdtempSync(path.join(os.tmpdir(), 'lsess-f-')), 'a.html');
  writeFileSync(file, '');
  for (const [dir, reason] of [
    [empty, /is not a site: it has no html/],
    [path.join(empty, 'nowhere'), /does not exist/],
    [file, /is not a folder/],
  ]) {
    const { code, output } = await fails([dir, '--socket', unused()]);
    assert.equal(code, 1, output);
    assert.equal(output.trim().split('\n').length, 1, output);
    assert.ok(output.includes(dir));
    assert.match(output, reason);
  }
});

test('C2 without a folder: the current one when it is a site, else the demo', async () => {
  const dir = site();
  const here = await Server.start(null, [], { cwd: dir });
  assert.equal(here.ready.dir, dir);
  here.dir = mkdtempSync(path.join(os.tmpdir(), 'lsess-n-'));
  await here.stop();
  const elsewhere = mkdtempSync(path.join(os.tmpdir(), 'lsess-d-'));
  const demo = await Server.start(null, [], { cwd: elsewhere });
  assert.equal(demo.ready.dir, null);
  const id = await demo.session();
  assert.equal((await demo.get(`/${id}`)).status, 200);
  const page = await demo.page(id);
  await page.watchApp();
  await page.close();
  demo.dir = elsewhere;
  await demo.stop();
  rmSync(dir, { recursive: true });
});

test('C2 the start lines', async () => {
  const dir = site();
  const run = new Program(['serve', dir, '--port', '0', '--watch', '--socket', unused()]);
  await until(() => run.output.includes('Control:'), 'the start lines');
  assert.match(run.output, /lsess \d+\.\d+\.\d+ {2}ready in \d+ ms/);
  assert.match(run.output, /Local: {4}http:\/\/127\.0\.0\.1:\d+\//);
  assert.match(run.output, /Site: .*\(1 Lua file, \d+ viewdefs?, watching\)/);
  assert.doesNotMatch(run.output, /\x1b\[/, 'no colour where there is no terminal');
  run.child.kill('SIGINT');
  assert.equal((await run.result()).code, 0);
});

test('C2 keys on a terminal: h, u, o, s, r, q, each with enter; colour there, unless NO_COLOR', async () => {
  const dir = makeSite({ 'lua/main.lua': APP });
  const opened = path.join(dir, 'opened'), browser = path.join(dir, 'browser');
  writeFileSync(browser, `#!/bin/sh\necho "$1" >${opened}\n`, { mode: 0o755 });
  const terminal = new Terminal({ cwd: dir, env: { BROWSER: browser }, columns: 120 });
  try {
    const start = async (before) => {
      terminal.clear();
      terminal.line(`${before} ${program} serve --port 0 --socket ${unused()}`);
      const screen = await terminal.shows(/press h \+ enter for help/);
      assert.match(screen, /Site: {5}\. {2}\(1 Lua file, 0 viewdefs\)/);
      return { url: screen.match(/http:\S+/)[0], coloured: terminal.tmux('capture-pane', '-e', '-p').includes('\x1b[') };
    };
    const press = async (key, pattern) => {
      terminal.clear();
      terminal.line(key);
      return terminal.shows(pattern);
    };
    const { url, coloured } = await start('');
    assert.ok(coloured, 'colour on a terminal');
    const help = await press('h', /q {2}quit/);
    for (const key of ['h', 'r', 'u', 'o', 's', 'q']) assert.match(help, new RegExp(`^  ${key}  \\w`, 'm'));
    await press('u', new RegExp(`Local: +${url}`));
    await press('s', /no sessions/);
    await fetch(url, { redirect: 'manual' });
    await press('s', /^ {2}1 +http:\S+ {2}0 pages, 1 variable, \d+ KiB$/m);
    await press('o', /./);
    await until(() => existsSync(opened) && readFileSync(opened, 'utf8') === `${url}\n`, 'the browser');
    writeSite(dir, { 'lua/main.lua': `${APP}\nextra = 1` });
    await press('r', /lua\/main\.lua {2}1 session {2}[\d.]+ ms/);
    terminal.line('quit is a word and no key');
    await press('q', /^\$ *$/m);
    await press('echo "status $?"', /^status 0$/m);
    assert.ok(!(await start('NO_COLOR=1')).coloured);
    terminal.press('C-c');
    await terminal.shows(/^\$ *$/m); // on a line of its own
  } finally {
    terminal.close();
  }
});

test('C2 a save prints one line, an error prints its excerpt and caret, once', async () => {
  const dir = makeSite({
    'lua/main.lua': `
      require("ship")
      ${APP}
    `,
    'lua/ship.lua': 'x = 1\n',
    'viewdefs/App.DEFAULT.html': '<template><b ui-value="name"></b></template>',
  });
  const run = new Program(['serve', dir, '--port', '0', '--watch', '--socket', unused()]);
  const url = await until(() => run.output.match(/http:\S+/)?.[0], 'the address');
  await fetch(url, { redirect: 'manual' });
  writeSite(dir, { 'lua/ship.lua': 'x = 2\n' });
  const line = /^\d\d:\d\d:\d\d {2}lua\/ship\.lua {2}1 session {2}[\d.]+ ms {2}data: 1 taken$/m;
  await until(() => line.test(run.output), 'the line of a save');
  writeSite(dir, {
    'lua/ship.lua': `
      local fine = 1
      missing.field = 2
    `,
  });
  await until(() => run.output.includes('^'), 'the caret');
  const lines = run.output.split('\n');
  const at = lines.findIndex((line) => line.includes('^'));
  assert.match(lines[at - 3], /lua\/ship\.lua:3: /);
  assert.match(lines[at - 2], /2 \| +local fine = 1$/);
  assert.match(lines[at - 1], /3 \| +missing\.field = 2$/);
  assert.equal(lines[at].indexOf('^'), lines[at - 1].indexOf('missing'));
  writeSite(dir, { 'lua/ship.lua': 'x = 3\n' });
  await until(() => (run.output.match(/ship\.lua {2}1 session/g) ?? []).length >= 3, 'the repair');
  assert.equal(run.output.match(/missing\.field/g).length, 1, 'told once');
  run.child.kill('SIGTERM');
  assert.equal((await run.result()).code, 0);
});

test('C2 a port that is taken moves on and says so; --strict-port ends with 1', async () => {
  const dir = site();
  const blocker = net.createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => blocker.once('listening', resolve));
  const { port } = blocker.address();
  const run = new Program(['serve', dir, '--port', String(port), '--socket', unused()]);
  await until(() => run.output.includes('Control:'), 'the start');
  assert.match(run.output, new RegExp(`port ${port} is taken`));
  const used = Number(run.output.match(/127\.0\.0\.1:(\d+)/)[1]);
  assert.ok(used > port && used <= port + 20);
  run.child.kill('SIGINT');
  await run.result();
  const { code, output } = await fails([dir, '--port', String(port), '--strict-port', '--socket', unused()]);
  assert.equal(code, 1);
  assert.equal(output.trim().split('\n').length, 1);
  assert.ok(output.includes(String(port)));
  blocker.close();
});

test('C2 priority: flag, environment, lsess.lua, default', async () => {
  const dir = makeSite({
    'lua/main.lua': APP,
    'lsess.lua': `
      local mb = 2 ^ 20 // 1 | 0
      return { watch = true, max_frame = 2048, max_sessions = 2, session_timeout = "1h" }
    `,
  });
  const fromFile = await Server.start(dir);
  assert.equal(fromFile.ready.watching, true);
  await fromFile.joined();
  await fromFile.joined();
  assert.equal((await fromFile.get('/')).status, 503);
  fromFile.run.child.kill('SIGTERM');
  await fromFile.run.result();
  const fromEnvironment = await Server.start(dir, [], { env: { LSESS_WATCH: '0', LSESS_MAX_SESSIONS: '3' } });
  assert.equal(fromEnvironment.ready.watching, false);
  for (let i = 0; i < 3; i++) await fromEnvironment.joined();
  assert.equal((await fromEnvironment.get('/')).status, 503);
  fromEnvironment.run.child.kill('SIGTERM');
  await fromEnvironment.run.result();
  const fromFlag = await Server.start(dir, ['--hotload', '--max-sessions=1'], { env: { LSESS_WATCH: 'false', LSESS_MAX_SESSIONS: '3' } });
  assert.equal(fromFlag.ready.watching, true);
  await fromFlag.joined();
  assert.equal((await fromFlag.get('/')).status, 503);
  await fromFlag.stop();
});

test('H1 hot reload is off by default', async () => {
  const server = await Server.start({ 'lua/main.lua': APP });
  assert.equal(server.ready.watching, false);
  await server.stop();
});

test('C2 lsess.lua: unknown keys and wrong types name key and line, exit status 1', async () => {
  const cases = [
    ['return {\n  por = 1 }', /lsess\.lua:2: .*'por'.*'port'/],
    ['return {\n\n watch = "yes" }', /lsess\.lua:3: .*'watch'/],
    ['return { port = 99999 }', /:1: .*'port'/],
    ['return { config = "x.lua" }', /:1: there is no setting 'config'$/m],
    ['return { dir = "." }', /:1: there is no setting 'dir'$/m],
    ['return { allow_origin = { "https://a.example/b" } }', /:1: 'allow_origin' wants an origin/],
    ['return { max_frame = "big" }', /'max_frame'/],
    ['return { static_roots = { 1 } }', /static_roots/],
    ['return 5', /must return a table/],
    ['port = 3000', /lsess\.lua: it sets globals, .*must return a table/],
    ['return {', /lsess\.lua:1/],
    ['return { port = io.open("x") }', /io/],
    ['return { port = os.time() }', /os/],
    ['return require("x")', /require/],
    ['while true do end', /lsess\.lua:1: .*longer than/],
    ['local a = ("x"):rep(20000000) while true do local b = a .. a end', /longer than/],
    ['local s = ("x"):rep(40000000) return s .. s', /memory/],
  ];
  for (const [text, message] of cases) {
    const dir = makeSite({ 'lua/main.lua': APP, 'lsess.lua': text });
    /* A machine that has something else to do for a second makes any of them too long: once again, then. */
    const { code, output } = await until(async () => {
      const end = await fails([dir, '--socket', unused()]);
      return (message.test(end.output) || !/longer than/.test(end.output)) && end;
    }, text, 60000);
    assert.equal(code, 1, `${text}: ${output}`);
    assert.match(output, message);
    rmSync(dir, { recursive: true });
  }
  const overridden = makeSite({ 'lua/main.lua': APP, 'lsess.lua': 'return {\n max_frame = "big" }' });
  assert.match(
    (await fails([overridden, '--max-frame', '1M', '--socket', unused()])).output,
    /:2: 'max_frame' wants/,
    'a value that does not count is judged too',
  );
  const astray = makeSite({ 'lua/main.lua': APP });
  symlinkSync('nowhere.lua', path.join(astray, 'lsess.lua'));
  const unread = await fails([astray, '--socket', unused()]);
  assert.deepEqual([unread.code, unread.output.trim().split('\n').length], [1, 1], unread.output);
  assert.match(unread.output, /lsess\.lua: No such file/, 'a link to nowhere is not an absent file');
  assert.equal((await fails([site()], { env: { LSESS_PORT: 'x' } })).code, 2);
  assert.equal((await fails([site(), '--config', '/nonexistent.lua'])).code, 1);
});

test('C2 Ctrl-C ends a lsess.lua that is stuck where no time limit reaches', async () => {
  const dir = makeSite({ 'lua/main.lua': APP, 'lsess.lua': 'return { host = ("a"):rep(50):match(("a?"):rep(50) .. ("a"):rep(50)) }' });
  const run = new Program(['serve', dir, '--port', '0', '--socket', unused()]);
  // Processor time tells that the search has begun; it would take hours.
  await until(() => readFileSync(`/proc/${run.child.pid}/stat`, 'utf8').split(' ')[13] > 5, 'the search');
  run.child.kill('SIGINT');
  assert.equal((await run.result()).signal, 'SIGINT');
});

test('C2 --config names another file, whose paths are beside it', async () => {
  const other = mkdtempSync(path.join(os.tmpdir(), 'lsess-c-'));
  writeFileSync(path.join(other, 'my.lua'), 'return { log_file = "my.log", verbose = 1 }');
  const server = await Server.start({ 'lua/main.lua': APP }, ['--config', path.join(other, 'my.lua')]);
  await server.session();
  await until(
    () =>
      existsSync(path.join(other, 'my.log')) &&
      readFileSync(path.join(other, 'my.log'), 'utf8').includes('session created'),
    'the log',
  );
  await server.stop();
});

test('Q3 no session id is in a log above debug', async () => {
  const server = await Server.start({ 'lua/main.lua': APP }, ['-v']);
  const id = await server.session();
  const page = await server.page(id);
  await page.watchApp();
  await page.close();
  await until(() => server.logs().some((text) => text.includes('disconnected')), 'the record');
  assert.ok(!server.run.output.includes(id.slice(0, 8)));
  await server.stop();
});

test('C2 SIGINT and SIGTERM close pages with 1001 and exit 0', async () => {
  for (const signal of ['SIGINT', 'SIGTERM']) {
    const server = await Server.start({ 'lua/main.lua': APP });
    const page = await server.page(await server.session());
    await page.watchApp();
    server.run.child.kill(signal);
    assert.equal(await within(15000, page.closed, 'the close'), 1001);
    assert.equal((await server.run.result()).code, 0);
    assert.equal(existsSync(server.socket), false);
  }
});

test('C2 a second SIGINT leaves at once', async () => {
  /* Inside of a call that does not return, the session holds up the end for four seconds; with status 0, when no second signal comes. */
  const dir = site(), pipe = path.join(dir, 'pipe');
  spawnSync('mkfifo', [pipe]);
  writeSite(dir, {
    'lua/main.lua': `
      ${APP}
      function App:block() io.open("${pipe}") end
    `,
  });
  const server = await Server.start(dir);
  const page = await server.page(await server.session());
  await page.watchApp();
  page.create(2, 'block()', { access: 'action' });
  page.send({ userEvent: true, messages: [{ type: 'update', data: { varId: 2, value: null } }] });
  const control = server.control();
  await until(async () => (await control.call('sessions')).sessions[0].busy, 'the call');
  control.close();
  server.run.child.kill('SIGINT');
  await within(15000, page.closed, 'the close');
  server.run.child.kill('SIGINT');
  const { code } = await server.run.result();
  assert.equal(code, 130);
  rmSync(dir, { recursive: true });
});

test('C2 SIGHUP takes up what was saved, without --watch', async () => {
  const server = await Server.start({
    'lua/main.lua': `
      require("ship")
      ${APP}
    `,
    'lua/ship.lua': 'function x() return 1 end',
  });
  await server.session();
  writeSite(server.dir, { 'lua/ship.lua': 'function x() return 2 end' });
  server.run.child.kill('SIGHUP');
  await until(() => server.events('reload').some((record) => record.sessions === 1), 'the reload');
  const control = server.control();
  assert.equal((await control.call('eval', { code: 'return x()' })).json, 2);
  control.close();
  await server.stop();
});

test('P32 P29 a session without pages ends after its time, one with a page does not', async () => {
  const server = await Server.start({ 'lua/main.lua': APP }, ['--session-timeout', '400ms']);
  const { id: kept, page } = await server.opened(), lost = await server.session();
  await until(async () => (await server.get(`/${lost}`)).status === 404, 'the end of the session');
  assert.equal((await server.get(`/${kept}`)).status, 200);
  await page.close();
  await until(async () => (await server.get(`/${kept}`)).status === 404, 'the end of the other');
  const again = await server.opened();
  const control = server.control();
  assert.equal((await control.call('sessions')).sessions[0].session, '1', `P27 counting starts again (${again.id})`);
  control.close();
  await again.page.close();
  await server.stop();
});

test('C2 https and wss with --cert and --key; the cookie is Secure', async () => {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'lsess-t-'));
  const made = spawnSync('openssl', [
    'req',
    '-x509',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-days',
    '2',
    '-subj',
    '/CN=localhost',
    '-keyout',
    path.join(dir, 'key.pem'),
    '-out',
    path.join(dir, 'cert.pem'),
  ]);
  assert.equal(made.status, 0, String(made.stderr));
  const server = await Server.start({ 'lua/main.lua': APP }, ['--cert', path.join(dir, 'cert.pem'), '--key', path.join(dir, 'key.pem')]);
  assert.match(server.url, /^https:/);
  const get = (where) => new Promise((resolve, reject) => https.get(server.url + where, { rejectUnauthorized: false }, (response) => {
    response.resume();
    response.on('end', () => resolve(response));
  }).on('error', reject));
  const id = (await get('/')).headers.location.slice(1);
  for (const line of (await get(`/${id}`)).headers['set-cookie']) assert.match(line, /; Secure$/);
  const page = new Page(server, id, {});
  await page.opened();
  await page.eventTime();
  const run = { type: 'update', data: { varId: 1, properties: { lua: 'ran = true' } } };
  assert.deepEqual(await page.ask(run), [], 'a page of this machine may run code (P91a)');
  const proxied = new Page(server, id, { headers: { 'X-Forwarded-For': '127.0.0.1' } });
  await proxied.opened();
  assert.equal((await proxied.ask(run))[0].data.code, 'unauthorized');
  await proxied.close();
  page.create(7, 'name');
  page.create(8, 'big()', { access: 'action' });
  page.send({ userEvent: true, messages: [{ type: 'update', data: { varId: 8, value: null } }] });
  await page.message((m) => m.data?.varId === 7 && m.data.value?.length > 4 * 1024 * 1024, 20000);
  await page.close();
  await server.stop();
});

test('C2 LSESS_EDITOR: a page of the same origin opens a file of the site, by key and line, without a shell', async () => {
  const tool = mkdtempSync(path.join(os.tmpdir(), 'lsess-ed-'));
  const log = path.join(tool, 'log');
  writeFileSync(path.join(tool, 'editor'), `#!/bin/sh\nfor a in "$@"; do printf '%s\\n' "$a" >> ${log}.tmp; done\nmv ${log}.tmp ${log}\n`);
  chmodSync(path.join(tool, 'editor'), 0o755);
  const files = { 'lua/main.lua': APP, 'lua/a b$(x).lua': 'x = 1' };
  const server = await Server.start(files, ['--watch'], { env: { LSESS_EDITOR: `${tool}/editor -g {file}:{line} ;touch` } });
  const id = await server.session();
  const open = (body, { session = id, origin = server.url } = {}) =>
    server.fetch(`/api/open?session=${session}`, {
      method: 'POST',
      body: JSON.stringify(body),
      headers: { Origin: origin },
    });
  assert.equal((await open({ key: 'lua/a b$(x).lua', line: 7 })).status, 204);
  await until(() => existsSync(log), 'the editor');
  assert.deepEqual(readFileSync(log, 'utf8').split('\n'), ['-g', `${server.ready.dir}/lua/a b$(x).lua:7`, ';touch', '']);
  for (const key of ['../x', '/etc/passwd', 'lua/none.lua', '', 'lua', '../../../../../etc/passwd'])
    assert.equal((await open({ key, line: 1 })).status, 404, key);
  assert.equal((await open({ key: 'lua/main.lua' }, { origin: 'http://evil.example' })).status, 403);
  assert.equal((await open({ key: 'lua/main.lua' }, { session: '0'.repeat(32) })).status, 404);
  await server.stop();
  const unwatched = await Server.start({ 'lua/main.lua': APP }, [], { env: { LSESS_EDITOR: 'true' } });
  const answer = await unwatched.fetch(`/api/open?session=${await unwatched.session()}`, {
    method: 'POST',
    body: '{"key":"lua/main.lua"}',
  });
  assert.equal(answer.status, 403);
  await unwatched.stop();
});

test('H36 a start that failed is tried again after the next save: the generation rises', async () => {
  const server = await Server.start({ 'lua/main.lua': 'error("no")' }, ['--watch']);
  assert.equal((await server.get('/')).status, 500);
  const before = Number((await server.get('/lsess-client/generation')).body);
  writeSite(server.dir, { 'lua/main.lua': APP });
  await until(async () => Number((await server.get('/lsess-client/generation')).body) > before, 'the next generation');
  assert.equal((await server.get('/')).status, 302);
  await server.stop();
});

test('P91a Q3 the lua property works on loopback and can be switched off', async () => {
  for (const [options, allowed] of [[[], true], [['--no-allow-lua-property'], false]]) {
    const server = await Server.start({ 'lua/main.lua': APP }, options);
    const page = await server.page(await server.session());
    await page.watchApp();
    page.create(2, 'name');
    page.send({
      userEvent: true,
      messages: [{ type: 'update', data: { varId: 1, properties: { lua: 'session:getApp().name = "by code"' } } }],
    });
    if (allowed) await page.message((m) => m.data?.varId === 2 && m.data.value === 'by code');
    else await page.message((m) => m.type === 'error' && m.data.code === 'unauthorized');
    await page.close();
    await server.stop();
  }
});
