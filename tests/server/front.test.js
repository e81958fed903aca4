/** Connections that hold no thread (net.md: N1, N4, N6, N11), against the program. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import net from 'node:net';
import { test } from 'node:test';
import { APP, Program, Server, makeSite, program, until, within } from './lib.js';

const KEY = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n';
const upgrade = (id, more = '') =>
  `GET /ws/${id} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n${KEY}${more}\r\n`;

/** A connection on which `bytes` are sent at once; `received` grows. */
function dial(server, bytes) {
  const socket = net.connect(server.port, '127.0.0.1');
  const line = { socket, received: Buffer.alloc(0), over: false };
  socket.on('data', (chunk) => { line.received = Buffer.concat([line.received, chunk]); });
  socket.on('error', () => {});
  socket.on('close', () => { line.over = true; });
  socket.write(bytes);
  return line;
}

/** A message as one frame whose mask is zero. */
const frame = (text) =>
  Buffer.concat([Buffer.from([0x81, 0x80 | 126, text.length >> 8, text.length & 255, 0, 0, 0, 0]), Buffer.from(text)]);
const GET = frame('{"userEvent":true,"messages":[{"type":"get","data":{"varIds":[1]}}]}');

const threads = (server) => readdirSync(`/proc/${server.pid}/task`).length;

test('N1 the number of threads does not depend on that of pages', async () => {
  const server = await Server.start({ 'lua/main.lua': APP }, ['--http-workers', '4', '--max-session-connections', '0']);
  const ids = [await server.session(), await server.session()];
  const few = await server.page(ids[0]);
  await few.watchApp();
  const before = threads(server), lines = [];
  for (let i = 0; i < 300; i++) lines.push(dial(server, Buffer.concat([Buffer.from(upgrade(ids[i % 2])), GET])));
  for (const line of lines) await until(() => line.received.includes('"variables"'), 'the answer to what came with the handshake');
  assert.ok(threads(server) <= before + 2, `${threads(server)} threads, ${before} before`);
  assert.ok(threads(server) <= 24);
  assert.equal((await server.get('/lsess-client/generation')).status, 200);
  await few.eventTime();
  for (const line of lines) line.socket.destroy();
  await few.close();
  await server.stop();
});

test('N1 P22 a handshake behind other requests of its connection, and frames behind it, are taken', async () => {
  const server = await Server.start({ 'lua/main.lua': APP });
  const id = await server.session();
  const file = 'GET /lsess-client/generation HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n';
  const line = dial(server, Buffer.concat([Buffer.from(file + file + upgrade(id)), GET, GET]));
  await until(() => line.received.toString('latin1').split('"variables"').length === 3, 'two answers');
  assert.equal(line.received.toString('latin1').split('HTTP/1.1 200 OK').length, 3);
  assert.equal(line.received.toString('latin1').split('HTTP/1.1 101 ').length, 2);
  line.socket.destroy();
  await server.stop();
});

test('N10 P22 lists of a handshake may stand in several lines', async () => {
  const server = await Server.start({ 'lua/main.lua': APP });
  const id = await server.session();
  for (const [one, several] of [['Connection: Upgrade', 'Connection: keep-alive\r\nConnection: Upgrade'],
    ['Upgrade: websocket', 'Upgrade: other/1\r\nUpgrade: websocket']]) {
    const line = dial(server, upgrade(id).replace(one, several));
    await until(() => line.received.includes('\r\n\r\n') || line.over, 'an answer');
    assert.match(line.received.toString(), /^HTTP\/1\.1 101 /, several);
    line.socket.destroy();
  }
  await server.stop();
});

test('N11 S6 a silent page is pinged, and one that misses pings is ended', async () => {
  const server = await Server.start({ 'lua/main.lua': APP }, ['--ping', '200ms', '-v']);
  const page = await server.page(await server.session()); // which answers by itself
  const line = dial(server, upgrade(await server.session()));
  await until(() => line.received.includes(Buffer.from([0x89, 0])) && line.received.includes('[]'), 'a ping');
  await until(() => line.over, 'the end of one that says nothing');
  await until(() => server.logs().some((text) => text.includes('answers no pings')), 'the record');
  await until(() => page.frames.filter((text) => text === '[]').length >= 8, 'more than a silent one gets');
  assert.equal(page.socket.readyState, 1);
  await page.close();
  await server.stop();
});

test('N11 S6 a page is ended for pings that it has missed, and not for the time that the program stood still', async () => {
  const server = await Server.start({ 'lua/main.lua': APP }, ['--ping', '300ms']);
  const line = dial(server, upgrade(await server.session()));
  await until(() => line.received.includes('HTTP/1.1 101 '), 'the handshake');
  process.kill(server.pid, 'SIGSTOP');
  await new Promise((resolve) => setTimeout(resolve, 1500));
  process.kill(server.pid, 'SIGCONT');
  await until(() => line.over, 'the end');
  assert.equal(line.received.toString('latin1').split('\x89\0').length - 1, 2);
  await server.stop();
});

test('N6 messages are compressed for who is not on this machine, unless --no-deflate', async () => {
  const away = 'Sec-WebSocket-Extensions: permessage-deflate\r\nX-Forwarded-For: 203.0.113.9\r\n';
  const here = 'Sec-WebSocket-Extensions: permessage-deflate\r\n';
  for (const [options, more, compressed] of [[[], away, true], [[], here, false], [['--no-deflate'], away, false]]) {
    const server = await Server.start({ 'lua/main.lua': APP }, ['--trust-proxy', '127.0.0.1', ...options]);
    const line = dial(server, upgrade(await server.session(), more));
    await until(() => line.received.includes('\r\n\r\n'), 'the answer');
    assert.match(line.received.toString('latin1'), /^HTTP\/1\.1 101 /);
    assert.equal(line.received.includes('permessage-deflate'), compressed, JSON.stringify([options, more]));
    line.socket.destroy();
    await server.stop();
  }
});

test('N4 where descriptors are few, connections that say nothing take none from pages, and delay nobody', async () => {
  const dir = makeSite({ 'lua/main.lua': APP, 'html/a.txt': 'a' });
  const command = 'ulimit -n 64; exec "$0" serve "$1" --port 0 --json-log --socket "$1/c.sock"';
  const run = new Program([], {}, ['bash', '-c', command, program, dir]);
  const { url } = await until(() => run.events('ready')[0], 'the start');
  const server = Object.assign(new Server(), { run, dir, url: url.replace(/\/$/, ''), port: Number(new URL(url).port) });
  const id = await server.session();
  const pages = Array.from({ length: 28 }, () => dial(server, upgrade(id)));
  for (const page of pages) await until(() => page.received.includes('HTTP/1.1 101 '), 'a page');
  const silent = Array.from({ length: 60 }, () => dial(server, ''));
  await until(() => silent.every(({ socket }) => !socket.connecting), 'the connections');
  const ticks = () => {
    const fields = readFileSync(`/proc/${run.child.pid}/stat`, 'utf8').split(') ')[1].split(' ');
    return Number(fields[11]) + Number(fields[12]);
  };
  const before = ticks(), begun = performance.now();
  assert.equal((await server.get('/a.txt')).body, 'a');
  assert.ok(performance.now() - begun < 5000, `${performance.now() - begun} ms`);
  await new Promise((resolve) => setTimeout(resolve, 1000 - Math.min(1000, performance.now() - begun))); // the time that is looked at
  assert.ok(ticks() - before < 30, `${ticks() - before} ticks`);
  for (const page of pages) assert.equal(page.over, false);
  for (const { socket } of [...silent, ...pages]) socket.destroy();
  await server.stop();
});

test('N4 fewer pages are taken where the system allows few files, and that is said', async () => {
  const dir = makeSite({ 'lua/main.lua': APP });
  const command = 'ulimit -n 600; exec "$0" serve "$1" --port 0 --socket "$1/c.sock"';
  const child = spawn('bash', ['-c', command, program, dir], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => { output += text; });
  await until(() => /At most 300 pages can be connected, not 10000: .* 600 files open \(ulimit -n\)/.test(output), 'the line');
  await until(() => output.includes('Local:'), 'the start');
  const ended = new Promise((resolve) => child.on('close', resolve));
  child.kill('SIGTERM');
  await within(15000, ended, 'the end');
});
