/** Who may do what, as lsess-serve(1) has it under SECURITY CONSIDERATIONS (Q3, P91a, H100, C2, C3): each cell of its
 * table is tried here, and one that is not is a failure. Below it, what the user's own programs may, and what is said
 * about sites of other users. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { APP, Server, makeSite, program, until } from './lib.js';
import { open, outcomes, post, powers, served } from './powers.js';

const NOBODY = 65534;
const manual = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../man/lsess-serve.1');
const needsRoot = process.getuid() === 0 ? false : 'only root can run a program as another user';

/** What the page says: { who: { what: text } }. */
function readTable() {
  const text = readFileSync(manual, 'utf8');
  const from = text.indexOf('.Bl -column', text.indexOf('.Sh SECURITY'));
  const rows = text
    .slice(from, text.indexOf('.El', from))
    .split('\n')
    .filter((line) => line.startsWith('.It '))
    .map((line) =>
      line
        .slice(4)
        .split(' Ta ')
        .map((cell) => cell.trim()),
    );
  const [, ...whos] = rows.shift();
  return Object.fromEntries(whos.map((who, i) => [who, Object.fromEntries(rows.map(([what, ...cells]) => [what, cells[i]]))]));
}

/* --- those who ask --- */

let at, sandboxed, control, observer, written = 0;
let name = 'North'; /* the state: one property of the object of variable 1 */
const relays = [];

/** What goes to the server through a program of another user: the server as seen from there. */
async function asOther(at, uid = NOBODY) {
  const relay = `require('net').createServer({ allowHalfOpen: true }, (near) => {
    const far = require('net').connect({ port: ${at.server.port}, host: '127.0.0.1', allowHalfOpen: true });
    near.pipe(far).pipe(near);
    near.on('error', () => far.destroy());
    far.on('error', () => near.destroy());
  }).listen(0, '127.0.0.1', function () { console.log(this.address().port); })`;
  const child = spawn(process.execPath, ['-e', relay], { uid, gid: uid, cwd: '/', stdio: ['ignore', 'pipe', 'inherit'] });
  relays.push(child);
  let said = '';
  child.stdout.on('data', (chunk) => { said += chunk; });
  const port = Number(await until(() => said.trim(), 'the port of the other user'));
  const url = at.server.url.replace(/\d+$/, port);
  return { ...at, server: Object.assign(Object.create(at.server), { port, url }), host: `127.0.0.1:${port}`, origin: url };
}

const EVIL = 'https://evil.example';

/* `program`: no browser keeps an answer from it. */
const asking = {
  'other uid': async () => {
    const from = await asOther(at);
    return { at: from, headers: { Host: from.host, Origin: from.origin }, program: true };
  },
  'other origin': () => ({
    at,
    headers: { Host: at.host, Origin: EVIL, Referer: `${EVIL}/`, 'Sec-Fetch-Site': 'cross-site' },
  }),
  proxy: () => ({
    at,
    headers: { Host: at.host, Origin: at.origin, 'X-Forwarded-For': '203.0.113.7', 'X-Real-IP': '203.0.113.7' },
    program: true,
  }),
  /* A page of ours in another's frame does what it does anywhere, once the browser shows it. */
  'framed page': async () => {
    let shown = false;
    for (const site of ['cross-site', 'same-site']) {
      const { status, headers } = await at.server.get(`/${at.id}`, {
        Accept: 'text/html',
        Referer: `${EVIL}/`,
        'Sec-Fetch-Site': site,
        'Sec-Fetch-Mode': 'navigate',
        'Sec-Fetch-Dest': 'iframe',
      });
      shown ||= status === 200 && !/frame-ancestors 'self'/.test(headers['content-security-policy'] ?? '');
    }
    return { at, headers: { Host: at.host, Origin: at.origin }, program: true, unseen: !shown };
  },
};
const actors = {};
const actor = async (who) => (actors[who] ??= await asking[who]());

/* --- what is tried over HTTP --- */

/** One word for several ways to the same thing. */
function together(ways) {
  const words = new Set(ways.map((way) => (way === 'allowed' || way === true ? 'yes' : 'no')));
  assert.equal(words.size, 1, `it depends on the way: ${JSON.stringify(ways)}`);
  return [...words][0];
}

async function power(who, pattern) {
  const { at: from, headers, unseen } = await actor(who);
  if (unseen) return 'no';
  const names = Object.keys(powers).filter((name) => pattern.test(name));
  assert.ok(names.length > 0);
  const ways = [];
  for (const name of names) ways.push(await powers[name]({ ...from, client: `c${Math.random()}`.slice(0, 16) }, headers));
  return together(ways);
}

/** Of a session whose address is known. */
async function readState(who) {
  const { at: from, headers, program: plain, unseen } = await actor(who);
  if (unseen) return 'no';
  const { status, headers: answer, body } = await from.server.get(`/${at.id}/variables.json`, headers);
  const page = await open(from, headers);
  const seen = typeof page !== 'number' && Boolean(await page.watchApp());
  if (seen) await page.close();
  return together([
    status === 200 &&
      body.includes(JSON.stringify(name)) &&
      (Boolean(plain) || 'access-control-allow-origin' in answer),
    seen,
  ]);
}


async function writeState(who) {
  const { at: from, headers, unseen } = await actor(who);
  if (unseen) return 'no';
  const ways = [];
  const arrived = (text) => observer.messages().some((m) => m.data?.varId === 2 && m.data.value === text);
  for (const way of ['socket', 'api']) {
    const text = `written ${++written}`;
    const messages = [
      { type: 'create', data: { id: 5, parentId: 1, properties: { path: 'name', access: 'rw' } } },
      { type: 'update', data: { varId: 5, value: text } },
    ];
    const client = `w${written}`;
    let accepted;
    if (way === 'socket') {
      const page = await open(from, headers);
      accepted = typeof page !== 'number';
      if (accepted) {
        await page.ask(messages);
        await page.close();
      }
    } else {
      accepted = true;
      for (const { type, data } of messages) {
        const where = `/api/${type}?session=${at.id}&client=${client}`;
        accepted &&= (await post(from, where, headers, JSON.stringify(data))).status === 200;
      }
    }
    if (accepted) {
      await until(() => arrived(text), `what ${who} has written by ${way}`);
      name = text;
    }
    ways.push(accepted);
  }
  /* Nothing of what was refused has come. */
  await observer.ask({ type: 'get', data: { varIds: [2] } });
  assert.equal(arrived(`written ${written}`), ways.at(-1));
  return together(ways);
}

const sessions = async () => (await control.call('sessions')).sessions.length;

async function makeSessions(who) {
  const { at: from, program: plain, headers } = await actor(who);
  const get = async (more) => {
    const count = await sessions();
    const { status } = await from.server.get('/', { ...headers, Origin: null, ...more });
    const made = (await sessions()) > count;
    assert.equal(status === 302, made, String(status));
    return made;
  };
  const asPage = async (site, mode, dests, more) => {
    for (const dest of dests)
      if (await get({ Referer: `${EVIL}/`, 'Sec-Fetch-Site': site, 'Sec-Fetch-Mode': mode, 'Sec-Fetch-Dest': dest, ...more })) return true;
    return false;
  };
  if (plain && who !== 'framed page') return (await get({ Accept: 'text/html' })) ? 'yes' : 'no';
  /* Another port of the same host is the same site. */
  for (const site of ['cross-site', 'same-site']) {
    if (await asPage(site, 'navigate', ['iframe', 'frame', 'object', 'embed'], { Accept: 'text/html' })) return 'yes';
    if (
      who !== 'framed page' &&
      (await asPage(site, 'no-cors', ['image', 'script', 'style', 'empty', 'font', 'video'], { Accept: '*/*' }))
    )
      return 'yes';
  }
  return who !== 'framed page' && (await asPage('cross-site', 'navigate', ['document'], { Accept: 'text/html' })) ? 'by a link' : 'no';
}

/** There is no request that stops the server; a signal and the control socket are the system's to refuse. */
async function stopServer(who) {
  const { at: from, headers } = await actor(who);
  for (const where of ['/api/stop', '/api/shutdown', '/stop', '/quit'])
    for (const method of ['POST', 'GET', 'DELETE'])
      assert.notEqual(
        Math.floor((await from.server.get(`${where}?session=${at.id}`, headers, method)).status / 100),
        2,
        `${method} ${where}`,
      );
  if (who === 'other uid') {
    const attempt = `
      const [, pid, socket] = process.argv;
      try {
        process.kill(Number(pid), 'SIGTERM');
        console.log('killed');
      } catch (e) {
        console.log(e.code);
      }
      require('net').connect(socket, () => console.log('connected')).on('error', (e) => console.log(e.code));
    `;
    const { stdout } = spawnSync(process.execPath, ['-e', attempt, String(at.server.pid), at.server.socket], {
      uid: NOBODY,
      gid: NOBODY,
      cwd: '/',
      encoding: 'utf8',
      timeout: 20000,
    });
    assert.equal(stdout, 'EPERM\nEACCES\n');
  }
  assert.equal((await control.call('ping')).ok, true);
  return at.server.run.child.exitCode === null ? 'no' : 'yes';
}

/* --- what is tried by the code of a site --- */

/** Run as code of a site in a session of its own; what it returns, or the error. */
async function run(server, code, session = 'new') {
  const talk = server.control();
  try {
    const answer = await talk.call('eval', { session, code });
    return answer.ok ? answer.json : answer.error.message;
  } finally {
    talk.close();
  }
}

const shell = (server, line) => run(server, `
  local pipe = io.popen([==[${line}]==])
  local text = pipe:read("a")
  pipe:close()
  return text
`);
const repl = (server, session, code) => shell(server, `"${program}" repl --socket "${server.socket}" ${session} -e '${code}' 2>&1`);

const bySite = {
  'run code': async () => ((await shell(at.server, 'echo ran')) === 'ran\n' ? 'yes' : 'no'),
  'read source': async () =>
    (await run(at.server, `return io.open("${at.server.dir}/lua/main.lua"):read("a")`)).includes('prototype')
      ? 'yes'
      : 'no',
  'open editor': async () =>
    (await run(at.server, 'return os.execute("true") and "opened"')) === 'opened' ? 'yes' : 'no',
  'read state': async () => ((await repl(at.server, 1, 'return treasure')).includes('gold') ? 'yes' : 'no'),
  'write state': async () => {
    await repl(at.server, 1, 'mark = 7');
    return (await run(at.server, 'return mark', '1')) === 7 ? 'yes' : 'no';
  },
  'make sessions': async () => {
    const count = await sessions();
    await repl(at.server, 'new', 'return 1');
    return (await sessions()) === count + 2 ? 'yes' : 'no'; /* its own and the one that it has made */
  },
  'stop the server': async () => {
    const server = await Server.start({ 'lua/main.lua': APP });
    run(server, `os.execute("kill -TERM ${server.pid}")`).catch(() => {});
    const { code } = await server.run.result();
    return code === 0 ? 'yes' : 'no';
  },
};

/** Every one of these says no: by an error, by false, or by nothing. */
async function refused(code, session) {
  const text = await run(
    sandboxed,
    `
      local function try(what)
        local ok, value = pcall(what)
        return ok and value ~= nil and value ~= false
      end
      ${code}
    `,
    session,
  );
  assert.equal(typeof text, 'boolean', String(text));
  return text ? 'yes' : 'no';
}

const ANY_PROGRAM = `
  try(function() return os.execute("true") end)
  or try(function() return io.popen("true") end)
  or try(function() return require("socket") end)
  or try(function() return package.loadlib("libc.so.6", "*") end)
`;

const bySandboxed = {
  'run code': () => refused(`return ${ANY_PROGRAM}`),
  'read source': () =>
    refused(`
      local file = "${sandboxed.dir}/lua/main.lua"
      return try(function() return io.open(file) end)
        or try(function() return io.lines(file) end)
        or try(function() return io.input(file) end)
        or try(function() return debug.getinfo(1) end)
    `),
  'open editor': () => refused(`return ${ANY_PROGRAM}`),
  /* All that can be reached from its own globals has nothing of another session. */
  'read state': async () => {
    await run(sandboxed, 'treasure = "another session\'s " .. "gold" return 1', '1');
    const own = await run(sandboxed, 'mine = "own" return mine');
    const found = await run(sandboxed, `
      local seen, todo = {}, {_G, getmetatable(""), session}
      while #todo > 0 do
        local at = table.remove(todo)
        if type(at) == "string" and at:find("another session's gold", 1, true) then return "found" end
        if type(at) == "table" and not seen[at] then
          seen[at] = true
          for key, value in next, at do
            todo[#todo + 1] = key
            todo[#todo + 1] = value
          end
          todo[#todo + 1] = getmetatable(at)
        end
      end
      return "nothing"
    `);
    return found !== 'nothing' ? 'yes' : own === 'own' ? 'own' : 'no';
  },
  'write state': async () => {
    assert.equal(await run(sandboxed, 'own = 1 return own'), 1);
    await run(sandboxed, `
      treasure = "taken"
      string.rep = nil
      table.insert = nil
      getmetatable("").__index = nil
      session.prototype = nil
    `);
    const left = await run(
      sandboxed,
      'return treasure ~= "taken" and ("x"):rep(2) == "xx" and table.insert ~= nil and session.prototype ~= nil',
      '1',
    );
    return left === true ? 'own' : 'yes';
  },
  'make sessions': async () => {
    const talk = sandboxed.control();
    const count = async () => (await talk.call('sessions')).sessions.length;
    const before = await count();
    const can = await refused(`return ${ANY_PROGRAM}`);
    assert.equal(await count(), before + 1, 'the one in which it was tried');
    talk.close();
    return can;
  },
  'stop the server': async () => {
    const can = await refused(`return try(os.exit) or ${ANY_PROGRAM}`);
    await run(sandboxed, 'while true do end');
    await run(sandboxed, `
      local all = {}
      while true do all[#all + 1] = ("x"):rep(1000000) .. #all end
    `);
    assert.equal(await run(sandboxed, 'return 1 + 1', '1'), 2);
    return sandboxed.run.child.exitCode === null ? can : 'yes';
  },
};

const overHttp = {
  'run code': (who) => power(who, /property lua/),
  'read source': (who) => power(who, /source lines/),
  'open editor': (who) => power(who, /editor/),
  'read state': readState,
  'write state': writeState,
  'make sessions': makeSessions,
  'stop the server': stopServer,
};

const cells = {
  ...Object.fromEntries(
    Object.keys(asking).map((who) => [
      who,
      Object.fromEntries(Object.keys(overHttp).map((what) => [what, () => overHttp[what](who)])),
    ]),
  ),
  'site code': bySite,
  sandboxed: bySandboxed,
};

before(async () => {
  at = await served();
  control = at.server.control();
  await run(at.server, 'treasure = "gold" return 1', '1');
  observer = await at.server.page(at.id);
  await observer.watchApp();
  observer.create(2, 'name');
  await observer.message((m) => m.data?.varId === 2);
  sandboxed = await Server.start({ 'lua/main.lua': APP }, ['--sandbox', '--time-limit', '3s', '--memory-limit', '16M']);
  await sandboxed.session();
});

after(async () => {
  for (const relay of relays) relay.kill();
  await observer.close();
  control.close();
  await at.server.stop();
  await sandboxed.stop();
});

/* --- the table --- */

const table = readTable();

test('Q3 the table of lsess-serve(1) and the tests below have the same cells', () => {
  const shape = (of) => Object.fromEntries(Object.entries(of).map(([who, row]) => [who, Object.keys(row).sort()]).sort());
  assert.deepEqual(shape(table), shape(cells));
});

for (const [who, row] of Object.entries(table))
  for (const [what, expected] of Object.entries(row))
    test(`Q3 ${who}, ${what}: ${expected}`, { skip: who === 'other uid' && needsRoot }, async () => {
      assert.equal(await cells[who]?.[what]?.(), expected);
    });

/* --- beside it --- */

test('Q3 P91a H100 C2 the user who serves, for comparison: all of it', async () => {
  for (const [name, said] of Object.entries(await outcomes(at, { Host: at.host, Origin: at.origin }))) assert.equal(said, 'allowed', name);
});

test('Q3 P91a with --cert the program at the other end of the TLS connection counts', { skip: needsRoot }, async () => {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'lsess-t-'));
  const [key, cert] = [path.join(dir, 'key.pem'), path.join(dir, 'cert.pem')];
  const made = spawnSync('openssl', [
    'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost', '-keyout', key, '-out',
    cert,
  ]);
  assert.equal(made.status, 0, String(made.stderr));
  const server = await Server.start({ 'lua/main.lua': APP }, ['--cert', cert, '--key', key]);
  const id = await new Promise((resolve, reject) =>
    https
      .get(`${server.url}/`, { rejectUnauthorized: false, headers: { Accept: 'text/html' } }, (response) => {
        response.resume();
        resolve(response.headers.location.split('/').pop());
      })
      .on('error', reject),
  );
  const own = { server, id, host: `127.0.0.1:${server.port}`, origin: server.url };
  const lua = (from) => powers['the property lua over a WebSocket'](from, { Host: from.host, Origin: from.origin });
  assert.equal(await lua(own), 'allowed');
  assert.equal(await lua(await asOther(own)), 'refused');
  await server.stop();
});

/* NOBODY is also what users without a name in a user namespace look like. */
const namesAll = /^\s*0\s+0\s+4294967295\n$/.test(readFileSync('/proc/self/uid_map', 'utf8')) ? false : 'not all users have names here';

for (const [uid, third, skip] of [
  [64321, NOBODY, needsRoot],
  [NOBODY, 64321, needsRoot || namesAll],
])
  test(
    `Q3 a server of another user (${uid}) gives that user everything, and root as well, and a third nothing`,
    { skip },
    async () => {
      const dir = makeSite({ 'lua/main.lua': APP });
      const binary = path.join(dir, 'lsess');
      const socket = path.join(dir, 'control.sock');
      copyFileSync(program, binary);
      chmodSync(binary, 0o755);
      chownSync(dir, uid, uid);
      const child = spawn(binary, ['serve', dir, '--port', '0', '--json-log', '--socket', socket], {
        uid,
        gid: uid,
        cwd: dir,
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      relays.push(child);
      let said = '';
      child.stderr.on('data', (chunk) => { said += chunk; });
      const server = Object.create(Server.prototype);
      server.url = (
        await until(
          () => said.includes('"ready"') && JSON.parse(said.split('\n').find((line) => line.includes('"ready"'))),
          'the start',
        )
      ).url.replace(/\/$/, '');
      server.port = Number(new URL(server.url).port);
      const { headers } = await server.get('/', { Accept: 'text/html' });
      const own = { server, id: headers.location.split('/').pop(), host: `127.0.0.1:${server.port}`, origin: server.url };
      const lua = (from) => powers['the property lua over a WebSocket'](from, { Host: from.host, Origin: from.origin });
      assert.equal(await lua(own), 'allowed', 'root');
      assert.equal(await lua(await asOther(own, uid)), 'allowed', 'the user who serves');
      assert.equal(await lua(await asOther(own, third)), 'refused', 'another user');
      child.kill('SIGTERM');
      await new Promise((resolve) => child.on('exit', resolve));
      rmSync(dir, { recursive: true });
    },
  );

/* In a user namespace that knows no user, all users are one. */
const namespaces = spawnSync('unshare', ['-U', 'true']).status === 0 ? false : 'this system lets nobody make a user namespace';

for (const [form, options] of Object.entries({ json: ['--json-log'], text: [] }))
  test(
    `C2 Q3 where the kernel does not tell who it is, the start line has a token, and whoever brings it may (${form})`,
    { skip: namespaces },
    async () => {
      const dir = makeSite({ 'lua/main.lua': APP });
      const [browser, opened] = [path.join(dir, 'browser'), path.join(dir, 'opened')];
      writeFileSync(browser, `#!/bin/sh\necho "$1" >"${opened}"\n`, { mode: 0o755 });
      const args = ['-U', program, 'serve', dir, '--port', '0', '--open', '--socket', path.join(dir, 's'), ...options];
      const child = spawn('unshare', args, { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, BROWSER: browser } });
      relays.push(child);
      let said = '';
      child.stderr.on('data', (chunk) => { said += chunk; });
      const [, url, token] = await until(() => /(http:\/\/127\.0\.0\.1:\d+)\/\?t=([0-9a-f]{32})["\s]/.exec(said), 'the start line');
      assert.match(said, /does not tell which user/);
      const server = Object.assign(Object.create(Server.prototype), { url, port: Number(new URL(url).port) });
      const granted = await server.get(`/?t=${token}`, { Accept: 'text/html' });
      assert.match(granted.headers.location, /^\.\/[0-9a-f]{32}$/);
      const cookie = granted.headers['set-cookie'].split(';')[0];
      assert.equal(granted.headers['set-cookie'], `lsess-token-${server.port}=${token}; Path=/; HttpOnly; SameSite=Strict`);
      const at = { server, id: granted.headers.location.split('/').pop(), host: `127.0.0.1:${server.port}`, origin: url, client: 'a' };
      const own = { Host: at.host, Origin: at.origin };
      for (const name of Object.keys(powers).filter((name) => /property lua/.test(name))) {
        assert.equal(await powers[name](at, own), 'refused', name);
        assert.equal(await powers[name](at, { ...own, Cookie: `${cookie.slice(0, -1)}x` }), 'refused', name);
        assert.equal(await powers[name](at, { ...own, Cookie: `ui-session=${at.id}; ${cookie}` }), 'allowed', name);
        assert.equal(await powers[name](at, { ...own, Cookie: cookie, 'X-Forwarded-For': '203.0.113.7' }), 'refused', name);
      }
      assert.equal(
        await until(() => existsSync(opened) && readFileSync(opened, 'utf8').trim(), 'the browser'),
        `${url}/`,
        'others can read what a program is started with',
      );
      child.kill('SIGTERM');
      assert.equal(await new Promise((resolve) => child.on('exit', resolve)), 0);
      rmSync(dir, { recursive: true });
    },
  );

test('Q3 as root, a site of another user is served with one line that says whose code will run as root', { skip: needsRoot }, async () => {
  const about = (server) => server.logs().filter((text) => /runs? as root/.test(text));
  const own = await Server.start({ 'lua/main.lua': APP });
  assert.deepEqual(about(own), []);
  await own.stop();
  for (const below of ['.', 'lua']) {
    const dir = makeSite({ 'lua/main.lua': APP });
    chownSync(path.join(dir, below), NOBODY, NOBODY);
    const server = await Server.start(dir);
    assert.equal(about(server).length, 1);
    assert.match(about(server)[0], /belongs to the user nobody \(uid 65534\).*nobody writes there runs as root/);
    assert.ok(about(server)[0].startsWith(path.join(dir, below)), about(server)[0]);
    await server.stop();
  }
});
