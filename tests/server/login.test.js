/** Logins with name and password (N22). */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import WebSocket from 'ws';
import { APP, Program, Server, makeSite, until, within } from './lib.js';

const folder = mkdtempSync(path.join(os.tmpdir(), 'lsess-login-')), file = path.join(folder, 'passwords');
const NORTH = '$2y$04$abcdefghijklmnopqrstuuPitAGi3LMuFGND4ZvOvQRADtVMUiie.'; // north star
const SOUTH = '$2b$04$abcdefghijklmnopqrstuuqtICzFzLh0LVKzy9UDbOdIoMOCshIvy'; // south
const BOB = '$6$rounds=1000$saltsalt$hSxNsmxiskiAde18jn37ePUOePL6glXq4cjMbZxQw0ZQTFA3Ydjcz9vyVFC0LKEc7WRpsUGMg2Jk27Doj/1Fs/'; // pässword:x
const CAR = '$5$rounds=1000$saltsalt$Y06XECcaMmoDtgVLp9HM7MrUrpA1toP5Dcc2cJYCAT/'; // five
const USERS = `# people\nann:${NORTH}\n\nbob:${BOB}:more\r\ncar:${CAR}\n`;
const basic = (name, password) => ({ Authorization: `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}` });
const ANN = basic('ann', 'north star');
const BOBS = basic('bob', 'pässword:x');
const from = (address) => ({ 'X-Forwarded-For': address });

let server;
before(async () => {
  writeFileSync(file, USERS);
  server = await Server.start({ 'lua/main.lua': APP, 'html/a.txt': 'a' }, ['--auth', file, '--trust-proxy', '127.0.0.1']);
});
after(() => server.stop());

let next = 1;
/** An address that nobody has used before. */
const somebody = () => from(`198.51.100.${next++}`);
const cookieOf = (answer) => /lsess-login-\d+=[^;]+/.exec(answer.headers['set-cookie'] ?? '')?.[0];

test('N22 everything but the health check asks who it is', async () => {
  for (const request of ['GET /', 'GET /a.txt', 'POST /api/get', 'GET /metrics', 'OPTIONS /', 'GET /ws/x', 'GET /main.js', 'GET /none']) {
    const [method, where] = request.split(' ');
    const answer = await server.get(where, somebody(), method);
    assert.deepEqual([answer.status, answer.headers['www-authenticate']], [401, 'Basic realm="lsess", charset="UTF-8"'], where);
    assert.equal(cookieOf(answer), undefined);
  }
  assert.equal((await server.get('/healthz')).status, 200);
  assert.deepEqual(server.events('log').filter(({ text }) => /session created/.test(text)), []);
});

test('N22 each kind of hash, and a cookie that counts from then on', async () => {
  for (const [name, password] of [['ann', 'north star'], ['bob', 'pässword:x'], ['car', 'five']]) {
    const answer = await server.get('/a.txt', { ...somebody(), ...basic(name, password) });
    assert.deepEqual([answer.status, answer.body], [200, 'a'], name);
    assert.match(answer.headers['set-cookie'], new RegExp(`^lsess-login-${server.port}=[0-9a-f.]+; Path=/; HttpOnly; SameSite=Lax$`));
    const again = await server.get('/a.txt', { ...somebody(), Cookie: cookieOf(answer) });
    assert.deepEqual([again.status, again.headers['set-cookie']], [200, undefined]);
  }
  const secure = await server.get('/a.txt', { ...somebody(), ...ANN, 'X-Forwarded-Proto': 'https', 'X-Forwarded-Prefix': '/tool' });
  assert.match(secure.headers['set-cookie'], /; Path=\/tool\/; HttpOnly; SameSite=Lax; Secure$/);
});

test('N22 what is wrong is refused, whatever is wrong with it', async () => {
  for (const headers of [
    basic('ann', 'north'), basic('ann', ''), basic('', ''), basic('ann', `north star${'x'.repeat(60)}`),
    basic('dan', 'north star'), basic('ANN', 'north star'),
    basic('ann', 'five'), basic('ann', 'north star\0x'), { Authorization: 'Basic' }, { Authorization: 'Basic !!!' },
    { Authorization: 'Bearer x' },
    { Authorization: `Basic ${'YW5u'.repeat(1000)}` }, { Authorization: 'Basic YW5u' }, basic('n'.repeat(70), 'x'), basic('ann', NORTH),
  ]) {
    const answer = await server.get('/a.txt', { ...somebody(), ...headers });
    assert.equal(answer.status, 401, headers.Authorization.slice(0, 60));
    assert.match(answer.body, /^A login from 198\.51\.100\.\d+ has failed: the name or the password is wrong\.\n$/);
  }
});

test('N22 a cookie that has been altered, is another server\'s, or nonsense counts for nothing', async () => {
  const [name, value] = cookieOf(await server.get('/a.txt', { ...somebody(), ...ANN })).split('=');
  const [until_, user, signature] = value.split('.');
  const bob = Buffer.from('bob').toString('hex');
  const altered = signature.replace(/^./, (digit) => (digit === '0' ? '1' : '0'));
  for (const other of [
    `${Number(until_) + 1}.${user}.${signature}`, `${until_}.${bob}.${signature}`, `${until_}.${user}.${altered}`,
    `${until_}.${user}.`, `${until_}.${user}`, `${until_}..${signature}`, '..', '', `1.${user}.${signature}`,
    `${until_}.${user}.${signature}00`,
    `${until_}.${'61'.repeat(64)}.${signature}`, `${until_}.6.${signature}`, `${until_}.zz.${signature}`, `-1.${user}.${signature}`,
  ])
    assert.equal((await server.get('/a.txt', { ...somebody(), Cookie: `${name}=${other}` })).status, 401, other);
  const second = await Server.start({ 'lua/main.lua': APP, 'html/a.txt': 'a' }, ['--auth', file]);
  assert.equal((await second.get('/a.txt', { Cookie: `lsess-login-${second.port}=${value}` })).status, 401);
  await second.stop();
});

/** How a handshake ends. */
function handshake(id, headers) {
  const socket = new WebSocket(`${server.url.replace('http', 'ws')}/ws/${id}`, { headers: { Origin: server.url, ...headers } });
  return within(15000, new Promise((resolve) => {
    socket.on('open', () => { socket.close(); resolve(101); });
    socket.on('unexpected-response', (request, response) => resolve(response.statusCode));
    socket.on('error', () => {});
  }), 'the handshake');
}

test('N22 a WebSocket comes in by the cookie or by name and password', async () => {
  const root = await server.get('/', { ...somebody(), ...ANN }), id = root.headers.location.slice(1);
  assert.equal(await handshake(id, somebody()), 401);
  assert.equal(await handshake(id, { ...somebody(), Cookie: cookieOf(root) }), 101);
  assert.equal(await handshake(id, { ...somebody(), ...ANN }), 101);
  /* The cookie of the last one went with nobody else's answer. */
  for (let i = 0; i < 40; i++) assert.equal(cookieOf(await server.get('/a.txt', somebody())), undefined);
});

test('N22 after five failures within a minute an address waits, and no other one', async () => {
  const guesser = somebody();
  for (let i = 0; i < 5; i++) assert.equal((await server.get('/a.txt', { ...guesser, ...basic('ann', `${i}`) })).status, 401);
  const refused = await server.get('/a.txt', { ...guesser, ...ANN });
  assert.equal(refused.status, 429);
  assert.ok(Number(refused.headers['retry-after']) > 0 && Number(refused.headers['retry-after']) <= 60);
  assert.match(refused.body, /^Too many logins from 198\.51\.100\.\d+ have failed; try again in \d+ s\.\n$/);
  const other = await server.get('/a.txt', { ...somebody(), ...ANN });
  assert.equal(other.status, 200);
  assert.equal((await server.get('/a.txt', { ...guesser, Cookie: cookieOf(other) })).status, 200);
  const six = Array.from({ length: 5 }, (_, i) => from(`2001:db8:1:2::${i}`));
  for (const address of six) assert.equal((await server.get('/a.txt', { ...address, ...basic('ann', 'x') })).status, 401);
  assert.equal((await server.get('/a.txt', { ...from('2001:db8:1:2:ffff::'), ...ANN })).status, 429);
  assert.equal((await server.get('/a.txt', { ...from('2001:db8:1:3::'), ...ANN })).status, 200);
  const lines = server.logs().filter((line) => /^A login from|^Too many logins/.test(line));
  assert.equal(lines.length, 1, lines.join('\n'));
});

test('N22 a success ends the count; guesses at once are counted too', async () => {
  const clumsy = somebody();
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 4; i++) assert.equal((await server.get('/a.txt', { ...clumsy, ...basic('ann', `${i}`) })).status, 401);
    assert.equal((await server.get('/a.txt', { ...clumsy, ...ANN })).status, 200);
  }
  const crowd = somebody();
  const guess = async () => (await server.get('/a.txt', { ...crowd, ...basic('ann', 'x') })).status;
  const statuses = await Promise.all(Array.from({ length: 30 }, guess));
  assert.ok(statuses.filter((status) => status === 401).length <= 5, statuses.join());
});

test('N22 many that are right at once are no failures', async () => {
  const team = somebody();
  for (let round = 0; round < 5; round++) {
    const statuses = await Promise.all(Array.from({ length: 8 }, async () => (await server.get('/a.txt', { ...team, ...BOBS })).status));
    assert.deepEqual(statuses, Array(8).fill(200));
  }
});

test('N22 the file is read again when it changes: a new password ends what the old one has opened', async () => {
  const own = path.join(folder, 'own');
  writeFileSync(own, `ann:${NORTH}\ncar:${CAR}\n`);
  const changing = await Server.start({ 'lua/main.lua': APP, 'html/a.txt': 'a' }, ['--auth', own, '--trust-proxy', '127.0.0.1']);
  const status = async (headers) => (await changing.get('/a.txt', { ...somebody(), ...headers })).status;
  const ann = { Cookie: cookieOf(await changing.get('/a.txt', { ...somebody(), ...ANN })) };
  const car = { Cookie: cookieOf(await changing.get('/a.txt', { ...somebody(), ...basic('car', 'five') })) };
  writeFileSync(`${own}.new`, `ann:${SOUTH}\ncar:${CAR}\n`);
  renameSync(`${own}.new`, own);
  await until(async () => (await status(ann)) === 401, 'the end of the old cookie');
  assert.deepEqual([await status(ANN), await status(basic('ann', 'south')), await status(car)], [401, 200, 200]);
  writeFileSync(own, 'ann:$apr1$x$y\n');
  const told = () => changing.logs().some((line) => /\$apr1\$.*What it said before still counts/.test(line));
  await until(() => status(car).then(told), 'a line about the file');
  assert.equal(await status(car), 200);
  writeFileSync(own, `ann:${SOUTH}\n`);
  await until(async () => (await status(car)) === 401, 'the end of a user');
  await changing.stop();
});

test('N22 a file that cannot be read any more is told once a minute, and what it said still counts', async () => {
  const own = path.join(folder, 'lost'), other = net.createServer();
  writeFileSync(own, `car:${CAR}\n`);
  const server = await Server.start({ 'lua/main.lua': APP, 'html/a.txt': 'a' }, ['--auth', own]);
  const status = async (headers) => (await server.get('/a.txt', { ...somebody(), ...headers })).status;
  const lines = () => server.logs().filter((line) => /--auth .*What it said before still counts\./.test(line));
  rmSync(own);
  await new Promise((resolve) => { other.listen(own, resolve); });
  for (let i = 0; i < 5; i++) assert.equal(await status(basic('car', 'five')), 200);
  await until(() => lines().length > 0, 'a line about the file');
  await new Promise((resolve) => { other.close(resolve); });
  assert.equal(spawnSync('mkfifo', [own]).status, 0);
  assert.equal(await status(basic('car', 'five')), 200, 'nobody waits for a pipe');
  rmSync(own);
  writeFileSync(own, `ann:${SOUTH}\n`);
  await until(async () => (await status(basic('ann', 'south'))) === 200, 'the file of now');
  assert.equal(lines().length, 1, lines().join('\n'));
  await server.stop();
});

test('N22 a file that cannot be used ends the start, with what to do', async () => {
  const site = makeSite({ 'lua/main.lua': APP });
  for (const [text, hint] of [
    ['ann:$apr1$salt$hash\n', /passwords2:1: the hash of 'ann' is Apache's MD5 \(\$apr1\$\), .*`htpasswd -B` or `mkpasswd -m sha-512`/],
    [`ann:${NORTH}\nbob:{SHA}x\n`, /passwords2:2: the hash of 'bob' is of another kind/],
    ['ann:plain\n', /of another kind/], ['ann:$y$j9T$x\n', /of another kind/],
    ['ann\n', /passwords2:1: a line is NAME:HASH/], ['# nobody\n', /names no user/],
  ]) {
    const bad = path.join(folder, 'passwords2');
    writeFileSync(bad, text);
    const { code, output } = await new Program(['serve', site, '--port', '0', '--auth', bad]).result();
    assert.equal(code, 1, output);
    assert.match(output, hint);
  }
  const { code, output } = await new Program(['serve', site, '--port', '0', '--auth', path.join(folder, 'none')]).result();
  assert.deepEqual([code, /cannot be read: No such file/.test(output)], [1, true], output);
  chmodSync(folder, 0o700);
});
