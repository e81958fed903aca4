/** What strangers and hostile pages try, each attempt first shown, and a session beside it that goes on as before
 * (quality.md Q3; P19a, P23, P27, P120). */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, symlinkSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { APP, Page, Server, makeSite, within, writeSite } from './lib.js';

const SECRET = 'the-secret-of-the-harbour';

let server, steady, outside, id;

before(async () => {
  outside = mkdtempSync(path.join(os.tmpdir(), 'lsess-out-'));
  writeSite(outside, { 'secret.txt': SECRET, 'pub/ok.txt': 'listed' });
  const dir = makeSite({
    'lua/main.lua': `${APP}\n-- ${SECRET}`,
    'lua/deep/mod.lua': `-- ${SECRET}`,
    'lsess.lua': `return { static_roots = { "${outside}/pub" } } -- ${SECRET}`,
    '.env': SECRET,
    'apps/.git/config': SECRET,
    'html/index.html': '<!doctype html><html><head></head><body ui-app></body></html>',
    'html/ok.txt': 'fine',
    'html/.htpasswd': SECRET,
    'html/sub/.cache/x.txt': SECRET,
    'html/sub/page.txt': 'fine',
    'html/run.cgi': '#!/bin/sh\necho ran',
    'html/page.shtml': '<!--#exec cmd="echo ran" -->',
    'html/code.lp': '<? mg.write("ran") ?>',
    'html/script.lua': 'mg.write("ran")',
  });
  symlinkSync(outside, path.join(dir, 'html/out'));
  symlinkSync(path.join(outside, 'secret.txt'), path.join(dir, 'html/out.txt'));
  symlinkSync('../lua', path.join(dir, 'html/lua'));
  symlinkSync('../lua/main.lua', path.join(dir, 'html/main.txt'));
  symlinkSync('../.env', path.join(dir, 'html/env.txt'));
  symlinkSync('../apps', path.join(dir, 'html/apps'));
  symlinkSync('..', path.join(dir, 'html/up'));
  symlinkSync('loop', path.join(dir, 'html/loop'));
  symlinkSync(path.join(outside, 'pub'), path.join(dir, 'html/pub'));
  mkdirSync(path.join(dir, 'html/folder.txt'));
  execFileSync('mkfifo', [path.join(dir, 'html/pipe.txt')]);
  server = await Server.start(dir, ['-v', '-v']);
  id = await server.session();
  steady = await server.page(id);
  await steady.eventTime();
});

after(async () => {
  await steady.close();
  await server.stop();
});

const othersGoOn = () => steady.goesOn();

const OURS = () => [`127.0.0.1:${server.port}`, `localhost:${server.port}`];
const upgrade = (host, origin) =>
  [
    `GET /ws/${id} HTTP/1.1\r\n`,
    host === null ? '' : `Host: ${host}\r\n`,
    origin ? `Origin: ${origin}\r\n` : '',
    'Upgrade: websocket\r\nConnection: Upgrade\r\n',
    'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  ].join('');

/** The status of a raw request, and its first bytes. */
function first(text) {
  return within(20000, new Promise((resolve, reject) => {
    const socket = net.connect(server.port, '127.0.0.1', () => socket.write(text));
    let got = '';
    const done = () => {
      socket.destroy();
      resolve({ status: Number(got.split(' ')[1]), text: got });
    };
    socket.on('data', (chunk) => {
      got += chunk.toString('latin1');
      if (got.includes('\r\n\r\n')) setImmediate(done);
    });
    socket.on('close', done);
    socket.on('error', (problem) => { if (!got) reject(problem); }); // the end may come behind the answer, before all has been written
  }), 'an answer');
}

test('Q3 Host: a name that somebody else can point here is refused on every road', async () => {
  const strange = [
    'evil.example', `evil.example:${server.port}`, '127.0.0.1.evil.example', 'localhost.', 'localhost.evil',
    'xlocalhost', '127.0.0.1@evil.example', '127.1', '0x7f000001', '2130706433', '[::1', '[::1]x', '127.0.0.1:x',
    '127.0.0.1:80:90', '',
  ];
  for (const host of strange)
    for (const request of [
      `GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`,
      `GET /${id} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`,
      `GET /ok.txt HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`,
      `POST /api/get?session=${id} HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}`,
      upgrade(host),
    ]) {
      const answer = await first(request);
      assert.ok([400, 403].includes(answer.status), `${host}: ${answer.text}`);
      if (answer.status === 403) assert.match(answer.text, /--host or --allow-origin/);
      assert.ok(!answer.text.includes('ui-session') && !answer.text.includes('Location'), host);
    }
  assert.equal((await first('GET /ok.txt HTTP/1.0\r\n\r\n')).status, 403, 'none at all');
  for (const host of [...OURS(), '127.0.0.1', '[::1]', 'LocalHost'])
    assert.equal((await first(`GET /ok.txt HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)).status, 200, host);
  await othersGoOn();
});

test('Q3 P23 Origin: a page of another site can neither post nor open a WebSocket', async () => {
  const [ours] = OURS();
  const strange = [
    'http://evil.example', `http://evil.example:${server.port}`, 'null', 'file://', `https://${ours}`,
    `http://${ours}.evil.example`, `http://${ours}@evil.example`, `http://localhost:${server.port + 1}`,
    `http://${ours}/`, `${ours}`, `chrome-extension://${ours}`, `http://localhost:${server.port}`,
  ];
  for (const origin of strange) {
    const post = await first(
      `POST /api/update?session=${id} HTTP/1.1\r\nHost: ${ours}\r\nOrigin: ${origin}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}`,
    );
    const page = await first(upgrade(ours, origin));
    for (const answer of [post, page]) {
      assert.equal(answer.status, 403, `${origin}: ${answer.text}`);
      assert.match(answer.text, /--allow-origin/);
    }
  }
  assert.equal((await first(upgrade(ours, `http://${ours}`))).status, 101);
  assert.equal((await first(upgrade(ours))).status, 101, 'no browser: no Origin');
  const read = await server.get(`/${id}/variables.json`, { Origin: 'http://evil.example' });
  assert.equal(read.headers['access-control-allow-origin'], undefined, 'a browser does not let another site read it');
  const preflight = { Origin: 'http://evil.example', 'Access-Control-Request-Method': 'POST' };
  assert.equal((await server.get(`/api/get?session=${id}`, preflight, 'OPTIONS')).status, 403);
  await othersGoOn();
});

test('Q3 --allow-origin lets in what it names and nothing else', async () => {
  const site = await Server.start({ 'lua/main.lua': APP }, [
    '--allow-origin',
    'https://studio.example',
    '--allow-origin',
    'http://other.example:8000',
  ]);
  const own = await site.session();
  for (const [origin, status] of [
    ['https://studio.example', 200],
    ['http://other.example:8000', 200],
    ['http://studio.example', 403],
    ['https://studio.example:444', 403],
    ['http://other.example', 403],
    ['https://x.studio.example', 403],
  ]) {
    const answer = await site.fetch(`/api/get?session=${own}`, { method: 'POST', body: '{"varIds":[1]}', headers: { Origin: origin } });
    assert.equal(answer.status, status, origin);
  }
  assert.equal((await site.get('/', { Host: 'studio.example' })).status, 302);
  assert.equal((await site.get('/', { Host: 'example' })).status, 403);
  const page = await site.page(own, { headers: { Origin: 'https://studio.example' } });
  await page.watchApp();
  await page.close();
  await site.stop();
});

test('Q3 P19a static paths: no way to what is not served, however it is written', async () => {
  const wanted = ['lua/main.lua', 'lua/deep/mod.lua', 'lsess.lua', '.env', 'apps/.git/config'];
  const ways = (target) => [
    `/../${target}`, `/../../${target}`, `/%2e%2e/${target}`, `/%2E%2E%2F${target}`, `/..%2f${target}`,
    `/sub/../../${target}`, `/sub/..%2f..%2f${target}`, `/..;/${target}`, `/..\\${target}`, `/..%5c${target}`,
    `/%252e%252e/${target}`, `/%252e%252e%252f${target}`, `/%c0%ae%c0%ae/${target}`, `/%c0%ae%c0%ae%c0%af${target}`,
    `/.../${target}`, `/....//${target}`, `/./.././${target}`, `//..//${target}`, `/${target}`, `/up/${target}`,
    `/ok.txt/../../${target}`, `/ok.txt%00/../${target}`, `/up/./${target}`, `/up//${target}`, `/UP/${target}`,
    `/${id}/../../${target}`,
  ];
  const direct = [
    '/.htpasswd', '/sub/.cache/x.txt', '/%2ehtpasswd', '/sub/%2ecache/x.txt', '/out/secret.txt', '/out.txt',
    '/lua/main.lua', '/main.txt', '/env.txt', '/apps/.git/config', '/up/lua/main.lua', '/pub/../secret.txt',
    '/pub/..%2fsecret.txt', '/loop', '/loop/x', '/folder.txt', '/ok.txt/', '/ok.txt/x', '/ok.txt%20', '/ok.txt.',
    '/ok.txt::$DATA', '/ok.txt%0a', '/.', '/..',
  ];
  const follow = async (where) => {
    let answer = await first(`GET ${where} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
    for (let hops = 0; answer.status === 301 && hops < 5; hops++) {
      const to = /Location: (.*)\r/.exec(answer.text)[1];
      assert.match(to, /^(\/(?!\/)|[^/:]*\/$)/, `a redirect stays here: ${to}`);
      answer = await first(`GET ${to.startsWith('/') ? to : `/${to}`} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
    }
    return answer;
  };
  for (const where of [...wanted.flatMap(ways), ...direct]) {
    const answer = await follow(where);
    assert.ok([302, 400, 404].includes(answer.status) || (where.startsWith(`/${id}`) && answer.status === 200), `${where}: ${answer.text}`);
    assert.ok(!answer.text.includes(SECRET), where);
  }
  assert.equal((await server.get('/pub/ok.txt')).body, 'listed');
  assert.equal((await within(15000, server.get('/pipe.txt'), 'the refusal of a pipe')).status, 404);
  await othersGoOn();
});

test('Q3 nothing is run, listed, written or deleted', async () => {
  for (const where of ['/run.cgi', '/page.shtml', '/code.lp', '/script.lua']) {
    const answer = await server.get(where);
    assert.equal(answer.status, 200, where);
    assert.notEqual(answer.body.trim(), 'ran', where);
    assert.match(answer.body, /echo ran|mg\.write/, 'the file as it is');
  }
  for (const where of ['/sub/', '/sub', '/apps/', '/folder.txt/']) assert.equal((await server.get(where)).status, 404, where);
  for (const method of ['PUT', 'DELETE', 'MKCOL', 'PROPFIND', 'MOVE', 'TRACE', 'CONNECT', 'BREW'])
    for (const where of ['/ok.txt', '/new.txt', '/', `/${id}`]) {
      const { status, body } = await server.get(where, { 'X-Secret': SECRET }, method);
      assert.ok(status >= 400 && status < 600 && status !== 500, `${method} ${where}: ${status}`);
      assert.ok(!body.includes(SECRET), 'TRACE echoes nothing');
    }
  assert.equal((await server.get('/ok.txt')).body, 'fine');
  assert.equal((await server.get('/new.txt')).status, 404);
  await othersGoOn();
});

test('Q3 P27 session ids: 128 random bits, nothing near one is one, none in the log', async () => {
  const ids = [];
  for (let i = 0; i < 64; i++) ids.push(await server.session());
  assert.equal(new Set(ids).size, ids.length);
  const ones = ids
    .map((one) =>
      [...one].reduce((sum, digit) => sum + Number.parseInt(digit, 16).toString(2).replaceAll('0', '').length, 0),
    )
    .reduce((a, b) => a + b);
  assert.ok(Math.abs(ones - 4096) < 400, `${ones} of 8192 bits are set`); // nine standard deviations
  for (let place = 0; place < 32; place++) assert.ok(new Set(ids.map((one) => one[place])).size > 4, `digit ${place} varies`);
  for (const near of [
    ids[0].slice(0, 31),
    `${ids[0]}0`,
    `${ids[0].slice(0, 31)}${ids[0][31] === '0' ? '1' : '0'}`,
    ids[0].toUpperCase().replace(/^[0-9]*$/, 'X'),
    ids[0].slice(0, 8),
    '1',
    '*',
    '%25',
    `${ids[0].slice(0, 31)}%00`,
  ]) {
    const { status } = await server.get(`/${near}/variables.json`);
    assert.ok(status === 404 || status === 400, near);
    const refusal = await within(15000, new Page(server, near).refusal, 'the refusal');
    assert.ok(refusal.status >= 400, near);
  }
  const page = await server.page(ids[0]);
  await page.watchApp();
  await page.close();
  for (const one of ids) assert.ok(!server.logs().some((text) => text.includes(one)), 'no id in the log below debug');
  await othersGoOn();
});

test('P120 Q3 one session knows nothing of another, whatever ids it asks for', async () => {
  const victim = await server.page(await server.session());
  await victim.watchApp();
  victim.send({
    userEvent: true,
    messages: [{ type: 'update', data: { varId: 1, properties: { lua: `session:getApp().name = "${SECRET}"` } } }],
  });
  victim.create(2, 'name');
  await victim.message((m) => m.data?.varId === 2 && m.data.value === SECRET);
  const thief = await server.page(await server.session());
  const varIds = Array.from({ length: 200 }, (_, i) => i - 50).filter(Boolean).concat([1000000002, 2000000002]);
  thief.send({
    userEvent: true,
    messages: [
      { type: 'get', varIds },
      { type: 'getObjects', objIds: varIds },
      ...varIds.map((one) => ({ type: 'watch', id: one })),
    ],
  });
  await thief.message((m) => m.type === 'getObjects');
  assert.ok(!thief.frames.some((frame) => frame.includes(SECRET)));
  const rows = await (await server.fetch(`/${id}/variables.json`)).text();
  assert.ok(!rows.includes(SECRET));
  for (const page of [victim, thief]) await page.close();
});

test('Q3 values of pages become neither code nor paths nor formats nor file names', async () => {
  const page = await server.page(await server.session());
  await page.ask([{ type: 'watch', id: 1 }, { type: 'create', id: 2, parentId: 1, properties: { path: 'name' } }]);
  const evil = [
    '%s%s%s%n%n', '"..os.execute("touch /tmp/x").."', '{{name}}', '${name}', "'; DROP", '../../etc/passwd',
    '\u0000\u0001\u001b[31m', '</script><script>alert(1)</script>', '\\x00', '%00', 'a\r\nSet-Cookie: x=y',
  ];
  for (const value of evil) {
    assert.deepEqual(await page.ask({ type: 'update', id: 2, value }), []);
    assert.equal((await page.ask({ type: 'get', varIds: [2] }))[0].data.variables[0].value, value);
  }
  for (const where of [
    'os.execute("x")', 'name;x', '_G', 'name[1]', 'a b', '../..', '..', '%s%n', 'name\u0000', 'bump() bump()',
    'x".."',
  ]) {
    const answer = await page.ask({ type: 'create', id: 90, parentId: 1, properties: { path: where } });
    const value = answer.find((m) => 'value' in m.data)?.data.value ?? null;
    assert.ok(value === null || typeof value !== 'object', `${where}: ${JSON.stringify(answer)}`);
    await page.ask({ type: 'destroy', id: 90 });
  }
  for (const name of ['Content-Type', 'X-A']) assert.equal((await server.get(`/x%0d%0a${name}:%20evil//y`)).headers.x, undefined);
  const split = await server.get('/sub/..//a%0d%0aSet-Cookie:%20evil=1');
  assert.equal(split.headers['set-cookie'], undefined, 'no header can be smuggled into a redirect');
  await page.close();
  await othersGoOn();
});
