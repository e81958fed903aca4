/** What the server listens on besides one IPv4 address: IPv6, several --host, Unix sockets, TLS (net.md N2, N4, N5). */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync, existsSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, renameSync, rmSync, statSync, writeFileSync,
} from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import test from 'node:test';
import tls from 'node:tls';
import WebSocket from 'ws';
import { APP, Page, Program, Server, makeSite, program, until, within } from './lib.js';

const FILES = { 'lua/main.lua': APP, 'html/a.txt': 'text', 'html/large.bin': Buffer.alloc(3 << 20, 'x') };
const state = mkdtempSync(path.join(os.tmpdir(), 'lsess-t-'));
const env = { XDG_STATE_HOME: state };
const pem = path.join(state, 'lsess', 'https.pem');
test.after(() => rmSync(state, { recursive: true, force: true }));

/** A request by whatever way `where` says; the answer and its body. */
const ask = (where) => within(20000, new Promise((resolve, reject) => {
  (where.secure ? https : http).get({ headers: { Host: 'localhost' }, agent: false, rejectUnauthorized: false, ...where }, (response) => {
    const parts = [];
    response.on('data', (part) => parts.push(part));
    response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(parts) }));
    response.on('error', reject);
  }).on('error', reject);
}), 'an answer');

/** A server seen by another of its addresses. */
const by = (server, url) => Object.assign(Object.create(server), { url, port: Number(new URL(url).port) });

const RUN = { type: 'update', data: { varId: 1, properties: { lua: 'ran = true' } } };

test('N2 several --host on one port: pages and WebSockets over IPv6, and another address', async () => {
  const server = await Server.start(FILES, ['--host', '127.0.0.1', '--host', '::1', '--host', '127.0.0.2']);
  assert.deepEqual(server.ready.urls, [`http://[::1]:${server.port}/`, `http://127.0.0.2:${server.port}/`]);
  for (const url of [server.url, ...server.ready.urls.map((one) => one.slice(0, -1))]) {
    const at = by(server, url), id = (await at.session());
    const page = await at.page(id);
    await page.eventTime();
    assert.deepEqual(await page.ask(RUN), [], 'a program of the user who serves (P91a)');
    assert.equal(await (await at.fetch('/a.txt')).text(), 'text');
    const large = Buffer.from(await (await at.fetch('/large.bin')).arrayBuffer());
    assert.ok(large.equals(FILES['html/large.bin']));
    assert.equal(await page.close(), 1000);
  }
  await server.stop();
});

test('N2 N5 a link-local address is one of the interface that is named with it', async (t) => {
  const found = Object.entries(os.networkInterfaces()).flatMap(([name, list]) =>
    list.filter(({ address }) => /^fe80:/.test(address)).map(({ address }) => [address, name]))[0];
  if (!found) return t.skip('no interface has a link-local address');
  const [address, name] = found, host = found.join('%');
  for (const secure of [false, true]) {
    const server = await Server.start(FILES, ['--host', '127.0.0.1', '--host', host, ...(secure ? ['--https'] : [])], { env });
    assert.deepEqual(server.ready.urls, [`http${secure ? 's' : ''}://[${host}]:${server.port}/`]);
    for (const Host of [`[${address}]:${server.port}`, `[${host}]:${server.port}`]) {
      const answer = await ask({ secure, host, port: server.port, path: '/a.txt', headers: { Host } });
      assert.deepEqual([answer.status, String(answer.body)], [200, 'text'], Host);
    }
    await server.stop();
  }
  const names = spawnSync('openssl', ['x509', '-noout', '-ext', 'subjectAltName', '-in', pem], { encoding: 'utf8' }).stdout;
  assert.ok(!names.includes(name) && /IP Address:FE80:/.test(names), names);
  const none = ['--port', '0', '--host', 'fe80::1%nosuch'];
  const { code, output } = await new Program(['serve', makeSite(FILES), ...none]).result();
  assert.deepEqual([code, /The address 'fe80::1%nosuch' of --host cannot be resolved/.test(output)], [1, true], output);
});

test('N2 the head of an answer and the beginning of its file go out together, so carrying them is one turn', async () => {
  const server = await Server.start(FILES);
  const body = (bytes) => bytes.subarray(bytes.indexOf('\r\n\r\n') + 4);
  for (const [range, len] of [['5-20484', 20480], ['0-65535', 65536], ['0-65536', 65537], ['1-', (3 << 20) - 1]]) {
    const parts = [], socket = net.connect(server.port, '127.0.0.1').on('data', (part) => parts.push(part));
    socket.write(`GET /large.bin HTTP/1.1\r\nHost: localhost\r\nRange: bytes=${range}\r\n\r\n`);
    await until(() => body(Buffer.concat(parts)).length >= len, 'the whole answer');
    assert.ok(body(Buffer.concat(parts)).equals(FILES['html/large.bin'].subarray(0, len)), range);
    const { stdout } = spawnSync('ss', ['-tinH', `dport = :${server.port} and sport = :${socket.localPort}`], { encoding: 'utf8' });
    const packets = Number(/ data_segs_in:(\d+)/.exec(stdout ?? '')?.[1] ?? 1); // where the system tells
    assert.ok(len > 65000 || packets === 1, `${packets} packets`);
    socket.destroy();
  }
  await server.stop();
});

test('N2 P37 a message of some MB goes both ways over IPv6, and a page hears 1001 when the server stops', async () => {
  const server = await Server.start(FILES, ['--host', '::1']);
  assert.equal(server.ready.url, `http://[::1]:${server.port}/`);
  const page = await server.page(await server.session());
  await page.watchApp();
  page.create(2, 'name', { access: 'rw' });
  await page.message((m) => m.data?.varId === 2);
  const text = 'y'.repeat(5 << 20);
  await page.ask({ type: 'update', data: { varId: 2, value: text } });
  page.create(3, 'big()', { access: 'action' });
  const before = page.frames.length;
  await page.ask({ type: 'update', data: { varId: 3, value: null } });
  await until(() => page.frames.slice(before).some((frame) => frame.length > 4 << 20), 'a large update');
  server.run.child.kill('SIGTERM');
  assert.equal(await within(15000, page.closed, 'the close'), 1001);
  await server.run.result();
});

test('N2 a Unix socket: for this user alone, a dead one is replaced, a living one refused, gone at the end', async () => {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'lsess-t-')), file = path.join(dir, 'web.sock');
  const dies = `require('net').createServer().listen(${JSON.stringify(file)}, () => process.kill(process.pid, 'SIGKILL'))`;
  const dead = spawnSync(process.execPath, ['-e', dies]);
  assert.equal(dead.signal, 'SIGKILL');
  assert.ok(existsSync(file));
  const server = await Server.start(FILES, ['--host', `unix:${file}`]);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.deepEqual([server.ready.url, server.ready.urls], ['http://localhost/', [`unix:${file}`]]);
  const made = spawnSync('curl', ['-sS', '-m', '15', '-D', '-', '--unix-socket', file, 'http://localhost/'], { encoding: 'utf8' });
  assert.match(made.stdout, /^HTTP\/1.1 302 /, made.stderr);
  const id = /Location: \/([0-9a-f]+)/i.exec(made.stdout)[1];
  const frames = [], socket = new WebSocket(`ws+unix://${file}:/ws/${id}`, { headers: { Host: 'localhost', Origin: 'http://localhost' } });
  socket.on('message', (data) => frames.push(data.toString()));
  await within(15000, new Promise((resolve, reject) => socket.on('open', resolve).on('error', reject)), 'a WebSocket');
  socket.send(JSON.stringify([RUN, { type: 'get', data: { varIds: [1] } }]));
  await until(() => frames.join().includes('"get"'), 'an answer');
  assert.ok(!frames.join().includes('unauthorized'), 'whoever can open the socket is the user who serves, or root');
  const second = await new Program(['serve', server.dir, '--host', `unix:${file}`, '--socket', `${file}.control`]).result();
  assert.equal(second.code, 1);
  assert.match(second.output, /Another program listens on .*web\.sock; give --host another path\./);
  assert.equal((await ask({ socketPath: file, path: '/a.txt' })).status, 200);
  writeFileSync(path.join(dir, 'plain'), '');
  const plain = ['--host', `unix:${path.join(dir, 'plain')}`, '--socket', `${file}.control`];
  const third = await new Program(['serve', server.dir, ...plain]).result();
  assert.match(third.output, /is in the way: it is not a socket/);
  socket.close();
  await server.stop();
  assert.ok(!existsSync(file));
});

test('N2 the inner port is for what is carried alone', async () => {
  const server = await Server.start(FILES, ['--host', '::1']);
  const listening = readFileSync(`/proc/${server.pid}/net/tcp`, 'utf8').split('\n').map((line) => line.trim().split(/\s+/))
    .filter((row) => row[3] === '0A' && row[1]?.startsWith('0100007F:')).map((row) => parseInt(row[1].split(':')[1], 16));
  let refused = 0;
  for (const port of listening) {
    const answer = await ask({ host: '127.0.0.1', port, path: '/a.txt', headers: { Host: 'localhost' } }).catch(() => null);
    refused += answer?.status === 403 && /for the server itself/.test(String(answer.body));
  }
  assert.equal(refused, 1);
  await server.stop();
});

test('N2 Q3 another address with the port of what is carried is not taken for it', async () => {
  const server = await Server.start(FILES, ['--host', '::1']);
  const client = net.connect({ host: '::1', port: server.port }).on('error', () => {});
  client.write('GET /a.txt HTTP/1.1\r\n');
  const hex = (text) => parseInt(text.split(':')[1], 16);
  const link = (fd) => { try { return readlinkSync(`/proc/${server.pid}/fd/${fd}`); } catch { return ''; } };
  const carried = await until(() => {
    const own = readdirSync(`/proc/${server.pid}/fd`).map(link);
    const rows = readFileSync(`/proc/${server.pid}/net/tcp`, 'utf8').split('\n').map((line) => line.trim().split(/\s+/))
      .filter((row) => own.includes(`socket:[${row[9]}]`));
    const inner = rows.filter((row) => row[3] === '0A').map((row) => hex(row[1]));
    return rows.find((row) => row[3] === '01' && inner.includes(hex(row[2])));
  }, 'a connection to the inner port');
  const where = { host: '127.0.0.1', port: hex(carried[2]), localAddress: '127.0.0.2', localPort: hex(carried[1]) };
  assert.equal((await ask({ ...where, path: '/a.txt' })).status, 403);
  client.destroy();
  await server.stop();
});

// In a network of its own with 200 ports: who has ended a connection first holds its port for a minute.
test('N2 clients that come and go at a quick pace do not use up the ports of inner connections', async (t) => {
  const dir = makeSite(FILES), file = path.join(dir, 'web.sock');
  const script = `ip link set lo up && echo 40000 40199 >/proc/sys/net/ipv4/ip_local_port_range || exit 77
    "$0" serve . --port 0 --host unix:${file} --socket ${file}.control >&2 & server=$!
    for i in $(seq 200); do curl -s -o /dev/null --unix-socket ${file} http://localhost/healthz && break; sleep 0.1; done
    for i in $(seq 260); do
      curl -sS -m 15 -o /dev/null -w '%{http_code}\n' --unix-socket ${file} http://localhost/healthz
      sleep 0.005
    done
    kill $server; wait $server`;
  const { status, stdout, stderr } = spawnSync('unshare', ['-rn', 'bash', '-c', script, program],
    { cwd: dir, encoding: 'utf8', timeout: 60000 });
  if (status === 77 || /unshare/.test(stderr ?? 'unshare')) return t.skip('no network of its own may be made here');
  assert.equal(stdout.split('\n').filter((line) => line === '200').length, 260, stderr);
});

test('C2 N2 two names of one address are one; the address whose port is taken is named', async () => {
  const server = await Server.start(FILES, ['--host', '127.0.0.1', '--host', 'localhost', '--host', '127.0.0.1']);
  assert.deepEqual(server.ready.urls ?? [], []);
  assert.equal(await (await server.fetch('/a.txt')).text(), 'text');
  await server.stop();
  const all = await Server.start(FILES, ['--host', '127.0.0.1', '--host', '0.0.0.0']);
  assert.equal(await (await all.fetch('/a.txt')).text(), 'text');
  await all.stop();
  const other = net.createServer();
  await new Promise((resolve) => other.listen({ host: '::1', port: 0 }, resolve));
  const { port } = other.address();
  const hosts = ['--host', '127.0.0.1', '--host', '::1', '--port', String(port), '--strict-port'];
  const { code, output } = await new Program(['serve', makeSite(FILES), ...hosts]).result();
  assert.equal(code, 1);
  assert.match(output, new RegExp(`Port ${port} of ::1 is taken`));
  other.close();
});

/** What a client of TLS is given. */
const handshake = (server, options = {}) => within(20000, new Promise((resolve, reject) => {
  let ticket;
  const socket = tls.connect({ port: server.port, host: '127.0.0.1', rejectUnauthorized: false, ...options }, () => {
    const { fingerprint256: fingerprint } = socket.getPeerCertificate();
    const seen = { protocol: socket.getProtocol(), alpn: socket.alpnProtocol, reused: socket.isSessionReused(), fingerprint };
    const done = (session) => { socket.destroy(); resolve({ ...seen, session }); };
    if (!options.keep || ticket) done(ticket); else socket.once('session', done);
  });
  socket.once('session', (session) => { ticket = session; });
  socket.resume();
  socket.on('error', reject);
}), 'a handshake');

test('N5 --https makes a certificate once, keeps it for its user, and says its fingerprint', async () => {
  const server = await Server.start(FILES, ['--https'], { env });
  assert.match(server.url, /^https:\/\/127\.0\.0\.1:/);
  assert.equal(statSync(pem).mode & 0o777, 0o600);
  const seen = await handshake(server);
  assert.equal(seen.fingerprint, server.ready.fingerprint);
  const trusted = (host) => {
    const names = ['--cacert', pem, '--resolve', `localhost:${server.port}:127.0.0.1`];
    const options = ['-sS', '-m', '15', ...names, '-o', '/dev/null', '-w', '%{http_code}'];
    return spawnSync('curl', [...options, `https://${host}:${server.port}/healthz`], { encoding: 'utf8' }).stdout;
  };
  assert.equal(trusted('localhost'), '200');
  assert.equal(trusted('127.0.0.1'), '200');
  const page = new Page(server, (await ask({ ...tlsWay(server), path: '/' })).headers.location.split('/').pop());
  await page.opened();
  await page.eventTime();
  await page.close();
  await server.stop();
  const again = await Server.start(FILES, ['--https'], { env });
  assert.equal(again.ready.fingerprint, seen.fingerprint, 'the same one');
  await again.stop();
  chmodSync(pem, 0o644); // others may have read its key
  const third = await Server.start(FILES, ['--https'], { env });
  assert.notEqual(third.ready.fingerprint, seen.fingerprint);
  assert.equal(statSync(pem).mode & 0o777, 0o600);
  await third.stop();
});

test('N5 a kept certificate that is damaged or half written is set aside, and a new one made', async () => {
  const file = path.join(state, 'lsess', 'https.pem'), aside = `${file}.damaged`;
  const first = await Server.start(FILES, ['--https'], { env });
  const whole = readFileSync(file, 'utf8'), at = whole.indexOf('-----BEGIN CERTIFICATE');
  await first.stop();
  const foreign = spawnSync('openssl', ['genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256'], { encoding: 'utf8' }).stdout;
  for (const [what, text] of [
    ['empty', ''], ['cut in its key', whole.slice(0, 60)], ['cut in its certificate', whole.slice(0, at + 200)],
    ['with a damaged key', whole.replace(/(.{30})\n-----END P/, 'x\n-----END P')], ['with another key', foreign + whole.slice(at)],
  ]) {
    assert.notEqual(text, whole, what);
    writeFileSync(file, text, { mode: 0o600 });
    const server = await Server.start(FILES, ['--https'], { env });
    assert.equal((await handshake(server)).fingerprint, server.ready.fingerprint, what);
    assert.equal(readFileSync(aside, 'utf8'), text, what);
    assert.deepEqual([file, aside].map((one) => statSync(one).mode & 0o777), [0o600, 0o600], what);
    const lines = server.logs().filter((line) => /certificate/.test(line));
    assert.deepEqual(lines, [`The certificate ${file} cannot be used; it is kept as ${aside}, and a new one is made.`], what);
    await server.stop();
  }
  const again = await Server.start(FILES, ['--https'], { env });
  assert.deepEqual(again.logs().filter((line) => /certificate/.test(line)), []);
  await again.stop();
});

const tlsWay = (server, host = '127.0.0.1') => ({ secure: true, host, port: server.port, headers: { Host: `${host}:${server.port}` } });

const openssl = (server, ...options) =>
  spawnSync('openssl', ['s_client', '-connect', `127.0.0.1:${server.port}`, ...options], { input: '', encoding: 'utf8', timeout: 20000 });

test('N5 TLS 1.2 and 1.3, nothing older; ALPN is http/1.1; sessions are resumed', async () => {
  const server = await Server.start(FILES, ['--https'], { env });
  for (const [version, name] of [['TLSv1.2', '-tls1_2'], ['TLSv1.3', '-tls1_3']]) {
    const options = { minVersion: version, maxVersion: version };
    const first = await handshake(server, { ...options, ALPNProtocols: ['h2', 'http/1.1'], keep: true });
    assert.deepEqual([first.protocol, first.alpn, first.reused], [version, 'http/1.1', false]);
    assert.equal((await handshake(server, { ...options, session: first.session })).reused, true, `${version} resumed`);
    const client = openssl(server, name, '-alpn', 'http/1.1');
    assert.match(client.stdout, new RegExp(`${version.replace('.', '\\.')}, Cipher is`));
    assert.match(client.stdout, /ALPN protocol: http\/1\.1/);
  }
  await assert.rejects(handshake(server, { ALPNProtocols: ['h2'] }));
  const old = openssl(server, '-tls1_1', '-cipher', 'ALL:@SECLEVEL=0');
  assert.match(old.stdout, /Cipher is \(NONE\)/);
  assert.equal(spawnSync('curl', ['-sS', '-m', '5', `http://127.0.0.1:${server.port}/`]).status !== 0, true, 'not without TLS');
  assert.equal((await ask({ ...tlsWay(server), path: '/healthz' })).status, 200);
  await server.stop();
});

test('N5 N3 hundreds of handshakes that begin at once let a page have its turn between them', async () => {
  const server = await Server.start(FILES, ['--https'], { env });
  const hello = await new Promise((resolve, reject) => {
    const listening = net.createServer((socket) => socket.once('data', (data) => {
      socket.destroy();
      listening.close();
      resolve(data);
    })).listen(0, '127.0.0.1', () => tls.connect(listening.address().port, '127.0.0.1').on('error', () => {}));
    listening.on('error', reject);
  });
  const page = new Page(server, (await ask({ ...tlsWay(server), path: '/' })).headers.location.split('/').pop());
  await page.opened();
  await page.eventTime();
  /* As long as the others were answered, nobody else was: at most one event at the edge of them. */
  const turns = async () => {
    const sockets = [];
    for (let i = 0; i < 300; i++) {
      const socket = net.connect(server.port, '127.0.0.1');
      await within(20000, new Promise((resolve, reject) => { socket.on('connect', resolve).on('error', reject); }), 'a connection');
      sockets.push(socket);
    }
    const waiting = new Set(sockets);
    let events = 0;
    for (const socket of sockets) socket.once('data', () => waiting.delete(socket)).on('close', () => waiting.delete(socket)).write(hello);
    while (waiting.size > 0) {
      await page.eventTime();
      events += waiting.size > 0;
    }
    sockets.forEach((socket) => socket.destroy());
    return events;
  };
  await until(async () => (await turns()) >= 5, 'events of the page meanwhile', 60000);
  await page.close();
  await server.stop();
});

test('N5 a certificate that changes is taken up, and one that cannot be used is not', async () => {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'lsess-t-'));
  const [key, cert] = ['key', 'cert'].map((name) => path.join(dir, `${name}.pem`));
  const make = () => {
    const options = ['-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost'];
    const made = spawnSync('openssl', ['req', ...options, '-keyout', `${key}.new`, '-out', `${cert}.new`]);
    assert.equal(made.status, 0);
  };
  make();
  renameSync(`${key}.new`, key);
  renameSync(`${cert}.new`, cert);
  const server = await Server.start(FILES, ['--cert', cert, '--key', key]);
  const first = (await handshake(server)).fingerprint;
  make();
  renameSync(`${cert}.new`, cert); // its key is not there yet
  await until(async () => {
    assert.equal((await handshake(server)).fingerprint, first);
    return server.logs().some((text) => /The key '.*' of --key cannot be used.* The one of before stays in use\./.test(text));
  }, 'a line about the key');
  renameSync(`${key}.new`, key);
  const second = await until(async () => {
    const { fingerprint } = await handshake(server);
    return fingerprint !== first && fingerprint;
  }, 'the new certificate');
  writeFileSync(cert, 'nothing');
  await until(async () => {
    await handshake(server);
    return server.logs().some((text) => /The certificate '.*' of --cert cannot be used/.test(text));
  }, 'a line about the certificate');
  make();
  renameSync(`${cert}.new`, cert);
  const options = ['rsa', '-aes128', '-passout', 'pass:word', '-in', `${key}.new`, '-out', key];
  assert.equal(spawnSync('openssl', options).status, 0);
  await until(async () => {
    await handshake(server);
    return server.logs().some((text) => /of the certificate's key, without a password\..* stays in use/.test(text));
  }, 'a line about the password, and nobody is asked for it');
  rmSync(key);
  assert.equal(spawnSync('mkfifo', [key]).status, 0);
  await until(async () => {
    await handshake(server);
    return server.logs().some((text) => /or its key is no file any more\./.test(text));
  }, 'a line about the pipe');
  assert.equal((await handshake(server)).fingerprint, second);
  await server.stop();
});

test('N5 N4 a hello that is cut, garbage, and silence cost nobody anything, and end', async () => {
  const server = await Server.start(FILES, ['--https', '--http-workers', '2'], { env });
  const hello = await new Promise((resolve) => { // of a real client
    const trap = net.createServer((socket) => socket.once('data', (bytes) => {
      socket.destroy();
      trap.close();
      resolve(bytes);
    })).listen(0, '127.0.0.1', () => tls.connect({ port: trap.address().port, host: '127.0.0.1' }).on('error', () => {}));
  });
  const begun = performance.now();
  const ends = [];
  for (let i = 0; i < 60; i++) {
    const said = [hello.subarray(0, hello.length >> 1), Buffer.from([22, 3, 1]), Buffer.alloc(0)][i % 3];
    const socket = net.connect(server.port, '127.0.0.1', () => socket.write(said));
    socket.on('error', () => {});
    ends.push(new Promise((resolve) => socket.on('close', () => resolve(performance.now() - begun))));
    socket.resume();
  }
  for (let i = 0; i < 5; i++) assert.equal((await ask({ ...tlsWay(server), path: '/a.txt' })).status, 200);
  const times = await within(25000, Promise.all(ends), 'the ends');
  for (const ms of times) assert.ok(ms > 9000, `ended after ${ms} ms`);
  const garbage = net.connect(server.port, '127.0.0.1', () => garbage.write('GET / HTTP/1.0\r\n\r\n'));
  garbage.on('error', () => {});
  garbage.resume();
  await within(5000, new Promise((resolve) => garbage.on('close', resolve)), 'the end of who speaks no TLS');
  await server.stop();
});

const alone = !elsewhere() && 'this machine has one address';

test('N2 Q3 who comes by TLS from elsewhere is not here: the address of the connection counts', { skip: alone }, async () => {
  const server = await Server.start(FILES, ['--https', '--host', '0.0.0.0'], { env });
  const url = `https://${elsewhere()}:${server.port}`;
  const far = by(server, url);
  const id = (await ask({ ...tlsWay(server), path: '/' })).headers.location.split('/').pop();
  const page = new Page(far, id);
  await page.opened();
  assert.equal((await page.ask(RUN))[0].data.code, 'unauthorized');
  await page.close();
  const figures = (host) => ask({ ...tlsWay(server, host), path: '/metrics' });
  assert.equal((await figures('127.0.0.1')).status, 200);
  assert.equal((await figures(elsewhere())).status, 403);
  await server.stop();
});

function elsewhere() {
  return Object.values(os.networkInterfaces()).flat().find((one) => one.family === 'IPv4' && !one.internal)?.address;
}

test('N2 a half-closed request is answered whole; a reset one is forgotten; who does not read holds up nobody', async () => {
  const server = await Server.start(FILES, ['--host', '::1', '--http-workers', '4']);
  const connect = (more = {}) => net.connect({ port: server.port, host: '::1', ...more });
  const half = connect({ allowHalfOpen: true });
  half.end('GET /large.bin HTTP/1.1\r\nHost: localhost\r\n\r\n');
  let size = 0;
  half.on('data', (part) => { size += part.length; });
  await within(20000, new Promise((resolve, reject) => half.on('end', resolve).on('error', reject)), 'the answer');
  half.destroy();
  assert.ok(size > 3 << 20);
  const stuck = [];
  for (let i = 0; i < 2; i++) {
    const socket = connect();
    socket.pause();
    socket.on('error', () => {});
    socket.write('GET /large.bin HTTP/1.1\r\nHost: localhost\r\n\r\n');
    stuck.push(socket);
  }
  for (let i = 0; i < 20; i++) {
    const socket = connect();
    socket.on('error', () => {});
    socket.write('GET /large.bin HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await within(15000, new Promise((resolve) => socket.once('data', resolve)), 'the first bytes');
    socket.resetAndDestroy();
  }
  assert.equal((await server.fetch('/a.txt')).status, 200);
  for (const socket of stuck) socket.destroy();
  await server.stop();
});

test('N4 with descriptors used up, accepting goes on when one is free, and does not spin', async () => {
  const dir = makeSite(FILES);
  const server = await Server.start(dir, ['--host', '::1', '--max-connections', '4']);
  const limited = spawnSync('prlimit', ['--pid', String(server.pid), '--nofile=120:120']);
  if (limited.status !== 0) return server.stop();
  const sockets = [];
  for (let i = 0; i < 150; i++) {
    const socket = net.connect({ port: server.port, host: '::1' });
    socket.on('error', () => {});
    sockets.push(socket);
  }
  await until(() => server.logs().some((text) => /^Connections wait to be accepted: /.test(text)), 'a line');
  const ticks = () => {
    const fields = readFileSync(`/proc/${server.pid}/stat`, 'utf8').split(') ')[1].split(' ');
    return Number(fields[11]) + Number(fields[12]);
  };
  const before = ticks();
  await new Promise((resolve) => setTimeout(resolve, 1000));
  assert.ok(ticks() - before < 20, `${ticks() - before} ticks in a second`);
  for (const socket of sockets) socket.destroy();
  await until(async () => (await server.fetch('/a.txt').catch(() => ({}))).status === 200, 'an answer', 20000);
  await server.stop();
});

test('N4 half-open requests by what is carried keep nobody out', async () => {
  const server = await Server.start(FILES, ['--host', '::1', '--http-workers', '8']);
  const sockets = Array.from({ length: 60 }, () => net.connect({ port: server.port, host: '::1' }).on('error', () => {}));
  for (const socket of sockets) socket.write('GET / HTTP/1.1\r\nHost: local');
  await Promise.all(sockets.map((socket) => once(socket, 'connect')));
  const begun = performance.now();
  assert.equal((await server.fetch('/a.txt')).status, 200);
  assert.ok(performance.now() - begun < 20000, `after ${performance.now() - begun} ms; a head alone has 10 s`);
  for (const socket of sockets) socket.destroy();
  await server.stop();
});

test('C2 --host and --https: what is wrong is said', async () => {
  const fails = async (args, expected, settings = {}) => {
    const { code, output } = await new Program(['serve', makeSite(FILES), '--port', '0', ...args], settings).result();
    assert.notEqual(code, 0);
    assert.match(output, expected);
  };
  await fails(['--host', ''], /--host wants an address, a name, or unix:PATH/);
  await fails(['--host', `unix:/${'x'.repeat(120)}`], /has to have 1 to 107 bytes/);
  await fails(['--host', 'unix:/no/such/folder/web.sock'], /cannot be opened: No such file or directory/);
  await fails(['--https'], /--https wants a folder for its certificate/, { env: { XDG_STATE_HOME: '', HOME: '' } });
  await fails(['--https'], /A certificate for --https cannot be kept in \/proc\/lsess\/https\.pem/, { env: { XDG_STATE_HOME: '/proc' } });
});
