/** A site that is not trusted (L13): what its lsess.lua may set, what each reader of files refuses, what Lua code
 * learns of the machine; and what is no regular file, in either mode. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { APP, Program, Server, makeSite, until, within, writeSite } from './lib.js';

const SECRET = 'the-secret-of-the-harbour';
const REFUSED = /outside of the site, which is turned off by --sandbox/;
const VIEW = '<template><b>view</b></template>';

let outside;
before(() => {
  outside = mkdtempSync(path.join(os.tmpdir(), 'lsess-out-'));
  writeSite(outside, {
    'secret.txt': SECRET,
    'wreck.lua': `return "${SECRET}"`,
    'views/Far.DEFAULT.html': `<template>${SECRET}</template>`,
    'app/init.lua': `return "${SECRET}"`,
  });
});
after(() => rmSync(outside, { recursive: true, force: true }));

const out = (name) => path.join(outside, name);
const fifo = (name) => execFileSync('mkfifo', [name]);
const unused = () => path.join(os.tmpdir(), `lsess-sandbox-${process.pid}-${Math.random()}.sock`);

/** A site with links: `links` is { 'lua/x.lua': target }. */
function siteWith(links, files = {}) {
  const dir = makeSite({ 'lua/main.lua': APP, ...files });
  for (const [name, target] of Object.entries(links)) {
    mkdirSync(path.dirname(path.join(dir, name)), { recursive: true });
    symlinkSync(target, path.join(dir, name));
  }
  return dir;
}

/** Evaluates Lua code in a session: its value, or the error's text. */
async function lua(server, code) {
  const control = server.control();
  const answer = await control.call('eval', { session: server.some ??= (await server.session(), '1'), code });
  control.close();
  return String(answer.ok ? answer.json : answer.error.message);
}

/** What a page is sent about its application's view. */
async function appOf(server) {
  const page = await server.page(await server.session());
  await page.watchApp();
  await page.eventTime();
  const text = page.frames.join('\n');
  await page.close();
  return text;
}

/* --- lsess.lua --- */

const REACHING = {
  allow_lua_property: 'true',
  allow_origin: '{"https://example.org"}',
  env: '{"HOME"}',
  host: '"0.0.0.0"',
  json_log: 'true',
  log_file: '"log"',
  max_sessions: '1',
  open: 'true',
  socket: '"s.sock"',
  static_roots: '{"/"}',
  time_limit: '"1h"',
  workers: '1',
  memory_limit: '"1G"',
  session_timeout: '"0"',
  cert: '"c.pem"',
  key: '"k.pem"',
  lua_path: '"system"',
};
const table = (keys) => `return { ${Object.entries(keys).map(([key, value]) => `${key} = ${value}`).join(', ')} }`;

for (const [how, args, more] of [['--sandbox', ['--sandbox'], {}], ['sandbox in the file itself', [], { sandbox: 'true' }]]) {
  test(`L13 ${how}: of the site's lsess.lua only what cannot reach outside is taken, the rest is one line that names it`, async () => {
    const dir = makeSite({
      'lua/main.lua': APP,
      'html/main.js': 'theirs',
      'lsess.lua': table({ ...REACHING, ...more, client: '"builtin"', debounce: '7', verbose: '1' }),
    });
    const server = await Server.start(dir, args);
    const lines = server.logs().filter((text) => text.includes('lsess.lua'));
    assert.equal(lines.length, 1);
    assert.deepEqual(lines[0].split(': ')[1].replace(/\.$/, '').split(', ').sort(), Object.keys(REACHING).sort());
    assert.match(server.url, /^http:\/\/127\.0\.0\.1:/);
    assert.notEqual((await server.get('/main.js')).body, 'theirs'); /* `client` was taken */
    assert.equal(existsSync(path.join(dir, 'log')), false);
    assert.equal(await lua(server, 'return tostring(os.getenv("HOME"))'), 'nil');
    assert.match(await lua(server, 'return io.open("x")'), /turned off by --sandbox/);
    await server.stop();
  });
}

test('L13 a file that --config names outside of the site is trusted, one inside is the site\'s', async () => {
  const dir = makeSite({ 'lua/main.lua': APP, 'other.lua': table({ env: '{"LSESS_TEST_A"}' }) });
  writeFileSync(out('mine.lua'), table({ env: '{"LSESS_TEST_A"}' }));
  for (const [file, expect] of [[out('mine.lua'), 'a'], [path.join(dir, 'other.lua'), 'nil']]) {
    const server = await Server.start(dir, ['--sandbox', '--config', file], { env: { LSESS_TEST_A: 'a' } });
    assert.equal(await lua(server, 'return tostring(os.getenv("LSESS_TEST_A"))'), expect, file);
    server.run.child.kill('SIGTERM');
    await server.run.result();
  }
  rmSync(dir, { recursive: true });
});

test('L13 an lsess.lua that leads out of the site is refused, and shows nothing of what it leads to', async () => {
  const texts = [];
  for (const target of [out('secret.txt'), out('nothing')]) {
    const dir = siteWith({ 'lsess.lua': target });
    const { code, output } = await new Program(['serve', dir, '--port', '0', '--sandbox', '--socket', unused()]).result();
    assert.equal(code, 1, output);
    assert.match(output, REFUSED);
    texts.push(output.replaceAll(dir, 'SITE'));
    rmSync(dir, { recursive: true });
  }
  assert.equal(texts[0], texts[1]);
});

test('L13 a link of the site that --config names is the site\'s, wherever it leads', async () => {
  writeFileSync(out('theirs.lua'), table({ env: '{"LSESS_TEST_A"}' }));
  const dir = siteWith({ 'mine.lua': out('theirs.lua') });
  const { code, output } = await new Program([
    'serve',
    dir,
    '--port',
    '0',
    '--sandbox',
    '--config',
    path.join(dir, 'mine.lua'),
    '--socket',
    unused(),
  ]).result();
  assert.equal(code, 1, output);
  assert.match(output, REFUSED);
  rmSync(dir, { recursive: true });
});

test('L13 C2 an lsess.lua cannot hold up the start: what may work for ever in one call is not there in the sandbox', async () => {
  for (const call of [
    '("a"):find("a")', '("a"):match("a")', '("a"):gmatch("a")', '("a"):gsub("a", "")', '("a"):rep(2)',
    'table.insert({}, 1)', 'table.remove({})', 'table.move({}, 1, 1, 2)',
  ]) {
    const dir = makeSite({ 'lua/main.lua': APP, 'lsess.lua': `local t = ${call} return {}` });
    const { code, output } = await new Program(['serve', dir, '--port', '0', '--sandbox', '--socket', unused()]).result(15000);
    assert.equal(code, 1, output);
    assert.match(output, /lsess.lua:1: attempt to call a nil value/, call);
    const trusted = await Server.start(dir);
    await trusted.stop();
  }
});

const LARGE = {
  'one text many times in a list': `
    local s, t = "x", {}
    for i = 1, 23 do s = s .. s end
    for i = 1, 30 do t[i] = s end
    return { allow_origin = t }
  `,
  'many keys, looked for in a large file': `
    local t = {}
    for i = 1, 2e5 do t["k" .. i] = 1 end
    return t --${'k'.repeat(9e5)}
  `,
  'a large key, looked for in a large file': `
    local s = "a "
    for i = 1, 18 do s = s .. s end
    return { [s] = 1 } --${'a '.repeat(5e5)}
  `,
};
for (const [what, text] of Object.entries(LARGE)) {
  test(`L13 C2 an lsess.lua cannot hold up the start nor fill the memory: ${what}`, async () => {
    const dir = makeSite({ 'lua/main.lua': APP, 'lsess.lua': text });
    const { code, output } = await new Program(['serve', dir, '--port', '0', '--sandbox', '--socket', unused()]).result(15000);
    assert.equal(code, 1, output);
    assert.match(output, /lsess.lua:(\d+:)? (its table is larger than 64 KiB|it took longer than a second)/);
    rmSync(dir, { recursive: true });
  });
}

/* --- one check for all readers --- */

test(
  'L13 require, dofile, loadfile and main.lua: a link out is refused, whether it leads to anything or not; one inside works',
  async () => {
    const dir = siteWith(
      {
        'lua/there.lua': out('wreck.lua'),
        'lua/absent.lua': out('absent.lua'),
        'lua/deep': outside,
        'lua/up': '../..',
        'lua/near.lua': '../apps/near.lua',
        'lua/same': '.',
      },
      { 'apps/near.lua': 'return "near"' },
    );
    symlinkSync(path.join(dir, 'apps/near.lua'), path.join(dir, 'lua/whole.lua'));
    const server = await Server.start(dir, ['--sandbox'], { cwd: dir });
    const same = async (call, there, absent) => {
      const texts = [];
      for (const name of [there, absent]) {
        const text = await lua(server, call.replace('NAME', name));
        assert.match(text, REFUSED, name);
        texts.push(text.replaceAll(name, 'X'));
      }
      assert.equal(texts[0], texts[1]);
    };
    await same('return require("NAME")', 'there', 'absent');
    await same('return require("deep.NAME")', 'wreck', 'buoys');
    for (const call of ['dofile', 'loadfile']) {
      await same(`return ${call}("NAME")`, out('wreck.lua'), out('absent.lua'));
      await same(`return ${call}("NAME")`, 'lua/there.lua', 'lua/absent.lua');
      await same(`return ${call}("NAME")`, '../there.lua', `lua/up/${path.basename(outside)}/wreck.lua`);
      await same(`return ${call}("NAME")`, outside, '/nowhere/at/all');
      await same(`return ${call}("NAME")`, '/root/secret', '/dev/null');
      assert.match(
        await lua(server, `return ${call}("lua/none.lua")`),
        call === 'dofile' ? /cannot open lua\/none.lua: No such file/ : /null|nil/,
      );
    }
    assert.match(await lua(server, 'return select(2, loadfile("lua/none.lua"))'), /cannot open lua\/none.lua: No such file/);
    for (const code of [
      'require("near")',
      'require("whole")',
      'dofile("lua/near.lua")',
      `dofile("${dir}/lua/whole.lua")`,
      'dofile("lua/same/same/near.lua")',
      'loadfile("lua/../apps/near.lua")()',
    ])
      assert.match(await lua(server, `return ${code}`), /near/, code);
    await server.stop();
    const link = siteWith({});
    renameSync(path.join(link, 'lua/main.lua'), path.join(link, 'first.lua'));
    symlinkSync(out('wreck.lua'), path.join(link, 'lua/main.lua'));
    const other = await Server.start(link, ['--sandbox']);
    assert.equal((await other.get('/')).status, 500);
    await until(() => other.logs().some((text) => REFUSED.test(text) && text.includes('lua/main.lua')), 'the refusal of main.lua');
    await other.stop();
  },
);

test('L13 L5 a path however long is refused at once', async () => {
  const server = await Server.start(siteWith({}), ['--sandbox', '--time-limit', '1s']);
  for (const part of ['./', 'lua/../', 'none/']) {
    const begun = performance.now();
    assert.match(await lua(server, `return dofile(("${part}"):rep(3e5))`), /File name too long/, part);
    assert.ok(performance.now() - begun < 10000, `${part} ${performance.now() - begun} ms`);
  }
  await server.stop();
});

test('L13 a file that is larger than any source is not read', async () => {
  const dir = siteWith({}, { 'lua/large.lua': '', 'html/index.html': '', 'viewdefs/App.DEFAULT.html': '' });
  for (const name of ['lua/large.lua', 'html/index.html', 'viewdefs/App.DEFAULT.html']) truncateSync(path.join(dir, name), 65 << 20);
  const server = await Server.start(dir, ['--sandbox', '--memory-limit', '0'], { cwd: dir });
  for (const code of ['require("large")', 'dofile("lua/large.lua")'])
    assert.match(await lua(server, `return ${code}`), /is larger than 67108864 bytes/, code);
  assert.ok((await server.get(`/${await server.session()}`)).body.length < 1e6, 'the page is not the file');
  await until(() => server.logs().some((text) => /App.DEFAULT.html.*is larger than/.test(text)), 'the view that is refused');
  await server.stop();
});

test('L13 a site that is itself reached through a link is served as its real folder', async () => {
  const dir = siteWith({}, { 'lua/mod.lua': 'return "here"', 'html/ok.txt': 'fine', 'lsess.lua': 'return { client = "builtin" }' });
  const link = `${dir}-link`;
  symlinkSync(dir, link);
  const server = await Server.start(link, ['--sandbox'], { cwd: link });
  assert.match(await lua(server, 'return require("mod") .. dofile("lua/mod.lua")'), /herehere/);
  assert.equal((await server.get('/ok.txt')).body, 'fine');
  await server.stop();
  rmSync(dir, { recursive: true, force: true });
});

test('L13 viewdefs: files and folders that lead out are named and not sent; links inside are', async () => {
  const dir = siteWith(
    {
      'viewdefs/App.DEFAULT.html': out('views/Far.DEFAULT.html'),
      'viewdefs/App.near.html': '../apps/near.html',
      'viewdefs/far': out('views'),
      'viewdefs/gone': out('gone'),
    },
    { 'apps/near.html': VIEW },
  );
  const server = await Server.start(dir, ['--sandbox']);
  const sent = await appOf(server);
  assert.ok(!sent.includes(SECRET), sent);
  assert.ok(sent.includes('App.near'), sent);
  await server.stop();
  for (const name of ['viewdefs/App.DEFAULT.html', 'viewdefs/far', 'viewdefs/gone'])
    assert.equal(server.logs().filter((text) => REFUSED.test(text) && text.includes(name)).length, 1, `${name}: ${server.run.output}`);
});

test('L13 static files: what leads out is not found, static_roots of the site\'s own lsess.lua or not', async () => {
  const dir = siteWith(
    { 'html/out': outside, 'html/out.txt': out('secret.txt'), 'html/none.txt': out('none'), 'html/near.txt': 'ok.txt' },
    { 'html/ok.txt': 'fine', 'lsess.lua': `return { static_roots = {"${outside}"} }` },
  );
  const server = await Server.start(dir, ['--sandbox']);
  for (const name of ['out/secret.txt', 'out', 'out/', 'out.txt', 'none.txt', 'out/none']) {
    const answer = await server.get(`/${name}`);
    assert.deepEqual([answer.status, answer.body], [404, 'Not found.\n'], name);
  }
  assert.equal((await server.get('/near.txt')).body, 'fine');
  await server.stop();
});

test('L13 hot reload: links out are neither walked nor watched, one that comes is named; links inside are followed', async () => {
  const dir = siteWith(
    { 'lua/far': outside, 'apps/far': out('app'), 'lua/near.lua': '../apps/near.lua' },
    {
      'apps/near.lua': 'near = 1',
      'lua/main.lua': `
        ${APP}
        require("near")
      `,
      'viewdefs/App.DEFAULT.html': VIEW,
    },
  );
  const server = await Server.start(dir, ['--sandbox', '--watch', '-v']);
  assert.equal(await lua(server, 'return near'), '1');
  symlinkSync(out('views'), path.join(dir, 'viewdefs/later'));
  symlinkSync(out('wreck.lua'), path.join(dir, 'lua/later.lua'));
  for (const name of ['viewdefs/later', 'lua/later.lua'])
    await until(
      () => server.logs().some((text) => REFUSED.test(text) && text.includes(name)),
      `the refusal of ${name}`,
    );
  const control = server.control();
  const { json } = await control.call('eval', { session: '1', code: 'return 1' });
  assert.equal(json, 1);
  const state = JSON.stringify(await control.call('state'));
  assert.ok(!state.includes(outside), state);
  symlinkSync(out('absent.lua'), path.join(dir, 'lua/never.lua'));
  for (const name of ['lua/later.lua', 'lua/never.lua', out('wreck.lua'), out('absent.lua')]) {
    const told = await control.call('reload', { files: [name] });
    assert.match(told.error?.message ?? JSON.stringify(told), REFUSED, name);
  }
  control.close();
  writeFileSync(path.join(dir, 'apps/near.lua'), 'near = 2');
  await until(async () => await lua(server, 'return near') === '2', 'the save behind a link inside');
  await server.stop();
});

test('L13 hot reload: a folder of views that becomes a link out is the same whatever lies there', async () => {
  writeSite(outside, { 'full/App.there.html': SECRET, 'empty/x': '' });
  const dir = siteWith(
    {},
    { 'viewdefs/full/App.there.html': VIEW, 'viewdefs/empty/App.none.html': VIEW, 'lua/main.lua': `${APP}\nlast = 1` },
  );
  const server = await Server.start(dir, ['--sandbox', '--watch']);
  await lua(server, 'return last');
  for (const name of ['full', 'empty']) {
    rmSync(path.join(dir, 'viewdefs', name), { recursive: true });
    symlinkSync(out(name), path.join(dir, 'viewdefs', name));
  }
  writeFileSync(path.join(dir, 'lua/main.lua'), `${APP}\nlast = 2`);
  await until(async () => await lua(server, 'return last') === '2', 'a save after them');
  const sent = await appOf(server);
  for (const text of [SECRET, 'App.there', 'App.none']) assert.ok(!sent.includes(text), sent);
  await server.stop();
});

test('L13 os.getenv answers what --env names, and nothing else', async () => {
  const env = { LSESS_TEST_A: 'a', LSESS_TEST_B: 'b', LSESS_ENV: '' };
  const code = 'return tostring(os.getenv("LSESS_TEST_A")) .. tostring(os.getenv("LSESS_TEST_B")) .. tostring(os.getenv("LSESS_TEST_C"))';
  for (const [args, more, expect] of [
    [['--sandbox'], {}, 'nilnilnil'],
    [['--sandbox', '--env', 'LSESS_TEST_A', '--env', 'LSESS_TEST_C'], {}, 'anilnil'],
    [['--sandbox'], { LSESS_ENV: 'LSESS_TEST_A,LSESS_TEST_B' }, 'abnil'],
    [[], {}, 'abnil'],
  ]) {
    const server = await Server.start({ 'lua/main.lua': APP }, args, { env: { ...env, ...more } });
    assert.ok((await lua(server, code)).includes(expect), args.join(' '));
    await server.stop();
  }
  const { code: status, output } = await new Program(['serve', outside, '--env', 'A=b']).result();
  assert.deepEqual([status, /--env wants the name of a variable/.test(output)], [2, true], output);
});

test('L29 without --sandbox links lead where they lead', async () => {
  const dir = siteWith({ 'lua/far.lua': out('wreck.lua'), 'viewdefs/App.DEFAULT.html': out('views/Far.DEFAULT.html') });
  const server = await Server.start(dir);
  assert.match(await lua(server, `return require("far") .. dofile("${out('wreck.lua')}")`), new RegExp(`${SECRET}${SECRET}`));
  assert.ok((await appOf(server)).includes(SECRET));
  await server.stop();
});

/* --- what is no regular file --- */

for (const mode of [['--sandbox'], []]) {
  test(`L13 H30 a FIFO in the place of a file holds up nobody${mode.length ? ', in the sandbox' : ''}`, async () => {
    const dir = siteWith({}, {
      'lua/used.lua': 'used = 1',
      'lua/main.lua': `
        ${APP}
        require("used")
      `,
    });
    mkdirSync(path.join(dir, 'viewdefs'));
    mkdirSync(path.join(dir, 'html'));
    for (const name of ['lua/pipe.lua', 'viewdefs/App.DEFAULT.html', 'html/index.html', 'html/pipe.txt']) fifo(path.join(dir, name));
    const server = await Server.start(dir, ['--watch', ...mode]);
    await until(() => server.logs().some((text) => /App.DEFAULT.html.*is not a regular file/.test(text)), 'the view that is refused');
    assert.match(await lua(server, 'return require("pipe")'), /'lua\/pipe.lua' cannot be read: is not a regular file/);
    assert.equal((await server.get('/pipe.txt')).status, 404);
    assert.equal((await server.get('/')).status, 302);
    rmSync(path.join(dir, 'lua/used.lua'));
    fifo(path.join(dir, 'lua/used.lua'));
    await until(
      () => server.logs().some((text) => /Hot reload: .*lua\/used.lua is not a regular file/.test(text)),
      'the save that is refused',
    );
    writeFileSync(path.join(dir, 'lua/main.lua'), `${APP}\nmore = 2`);
    await until(async () => await lua(server, 'return more') === '2', 'a save after it');
    await server.stop();
  });

  test(`C2 an lsess.lua that is a FIFO is one line and exit status 1${mode.length ? ', in the sandbox' : ''}`, async () => {
    const dir = siteWith({});
    fifo(path.join(dir, 'lsess.lua'));
    const { code, output } = await new Program(['serve', dir, '--port', '0', '--socket', unused(), ...mode]).result();
    assert.equal(code, 1, output);
    assert.match(output, /lsess.lua is not a regular file/);
    rmSync(dir, { recursive: true });
  });
}

test('L13 dofile and loadfile of a FIFO, a socket, a folder fail at once in the sandbox', async () => {
  const dir = siteWith({});
  fifo(path.join(dir, 'pipe'));
  const server = await Server.start(dir, ['--sandbox', '--time-limit', '0', '--socket', path.join(dir, 'sock')], { cwd: dir });
  server.socket = path.join(dir, 'sock');
  for (const name of ['pipe', 'lua', 'sock']) {
    assert.match(await lua(server, `return dofile("${name}")`), /cannot open .*(is not a regular file|No such device)/, name);
    assert.match(await lua(server, `return select(2, loadfile("${name}"))`), /cannot open/, name);
  }
  await server.stop();
});

/** No thread of a process runs or is about to: one that had something to do is inside of a call that waits. */
const isAsleep = (pid) =>
  readdirSync(`/proc/${pid}/task`).every((id) => /\) S /.test(readFileSync(`/proc/${pid}/task/${id}/stat`, 'utf8')));

const BLOCKING = {
  dofile: 'dofile(pipe)',
  'io.open': 'io.open(pipe)',
  'io.lines': 'for line in io.lines(pipe) do end',
  'a write into a full pipe': 'local f = io.open(pipe, "r+") f:write(("x"):rep(1e6))',
  'os.execute': 'os.execute("sleep 20")',
  'pcall in a loop': 'while true do pcall(dofile, pipe) end',
};
for (const [what, code] of Object.entries(BLOCKING)) {
  test(`C2 P35 a session inside of ${what} does not hold up the end of the server`, async () => {
    const dir = siteWith({});
    writeFileSync(path.join(dir, 'lua/main.lua'), `
      ${APP}
      function App:block()
        local pipe = "${dir}/pipe"
        print("blocks")
        ${code}
      end
    `);
    fifo(path.join(dir, 'pipe'));
    const server = await Server.start(dir, ['--time-limit', '0']);
    const page = await server.page(await server.session());
    await page.watchApp();
    page.create(9, 'block()', { access: 'action' });
    page.send({ userEvent: true, messages: [{ type: 'update', data: { varId: 9, value: null } }] });
    await until(() => server.logs().some((text) => text.includes('blocks')), 'the blocking call');
    await until(() => isAsleep(server.pid), 'the call itself');
    const begun = performance.now();
    server.run.child.kill('SIGTERM');
    /* A command that goes on has its streams: what counts is that the server itself has ended. */
    const status = await within(18000, new Promise((resolve) => { server.run.child.on('exit', resolve); }), 'the end of the server');
    const took = performance.now() - begun;
    if (status === 0) await until(() => /inside of a call which does not return/.test(server.run.output), 'the line about the call');
    const { output } = server.run;
    server.run.child.stdout.destroy();
    server.run.child.stderr.destroy();
    assert.equal(status, 0, output);
    assert.ok(took < 15000, `${took} ms`); /* it waits for four seconds at most, and the command takes twenty */
    assert.equal(existsSync(server.socket), false, 'the control socket is removed');
    rmSync(dir, { recursive: true });
  });
}

test('C2 P35 code that a session runs at its end, and that blocks, does not hold up the end of the server', async () => {
  const dir = siteWith({});
  writeFileSync(path.join(dir, 'lua/main.lua'), `
    ${APP}
    session:onDispose(function() dofile("${dir}/pipe") end)
  `);
  fifo(path.join(dir, 'pipe'));
  const server = await Server.start(dir);
  await server.session();
  server.run.child.kill('SIGTERM');
  const { code, output } = await server.run.result(20000);
  assert.equal(code, 0);
  assert.match(output, /inside of a call which does not return/);
  rmSync(dir, { recursive: true });
});
