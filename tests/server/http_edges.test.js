/** HTTP where others would read it differently: ranges to be ignored, heads with two readings, when a connection ends,
 * bodies that nobody reads (P19, P22a, P24, P25, P120, Q2). In raw bytes. */
import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { APP, Server, until, within } from './lib.js';

let server, id;
before(async () => {
  server = await Server.start({ 'lua/main.lua': APP, 'html/data.txt': '0123456789', 'html/empty.txt': '' });
  id = await server.session();
});
after(() => server.stop());

const HOST = 'Host: localhost\r\n';
const END = 'GET /data.txt HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n';

/** Everything that comes back on one connection whose own side stays open, until the server ends it. A reset behind the
 * answer is such an end: the server reads on for half a second, for which this process may have to wait for its
 * turn. */
function untilClosed(text, ms = 15000) {
  let got = '';
  const socket = net.connect(server.port, '127.0.0.1', () => socket.write(text));
  return within(ms, new Promise((resolve, reject) => {
    socket.on('data', (chunk) => { got += chunk.toString('latin1'); });
    socket.on('close', () => resolve(got));
    socket.on('error', (problem) => (got ? resolve(got) : reject(problem)));
  }), 'the end of the connection').finally(() => socket.destroy());
}
const statuses = (text) => [...text.matchAll(/HTTP\/1\.1 (\d+) /g)].map((match) => Number(match[1]));

test('P19 a Range that is not well formed, or names more than one part, is ignored whole', async () => {
  for (const range of [
    'bytes=3-1', 'bytes=1-+2', 'bytes=1--2', 'bytes=2-9x', 'bytes=0-99999999x', 'bytes=', 'bytes=-', 'bytes=--3',
    'bytes=-+3', 'bytes=- 3', 'bytes= 1-2', 'bytes=+1-2', 'bytes=-3x', 'bytes=-0x2', 'bytes=0x1-2', 'bytes=1 -2',
    'bytes=1- 2', 'bytes=1.5-2', 'bytes=1-2,', 'bytes=,1-2', 'bytes=1-2,4-5', 'bytes=1-2, 4-5', 'bytes=1',
    'bytes=18446744073709551615-1', 'items=1-2', 'bytes1-2', '1-2', 'bytes 1-2',
  ]) {
    const answer = await server.get('/data.txt', { Range: range });
    assert.deepEqual(
      [answer.status, answer.headers['content-length'], answer.body, answer.headers['content-range']],
      [200, '10', '0123456789', undefined],
      range,
    );
  }
});

test('P19 numbers of whatever size in a Range', async () => {
  const huge = '9'.repeat(40);
  for (const [range, body, span] of [
    [`bytes=2-${huge}`, '23456789', '2-9'],
    [`bytes=-${huge}`, '0123456789', '0-9'],
    ['bytes=9-9', '9', '9-9'],
    ['bytes=-1', '9', '9-9'],
    ['bytes=0-18446744073709551616', '0123456789', '0-9'],
    ['BYTES=1-2', '12', '1-2'],
    ['bytes=0004-0005', '45', '4-5'],
    ['bytes=8- ', '89', '8-9'],
    ['bytes=1-2 ', '12', '1-2'],
  ]) {
    const part = await server.get('/data.txt', { Range: range });
    assert.deepEqual(
      [part.status, part.body, part.headers['content-range'], part.headers['content-length']],
      [206, body, `bytes ${span}/10`, String(body.length)],
      range,
    );
  }
  for (const range of ['bytes=-0', 'bytes=-000', 'bytes=10-', `bytes=${huge}-`, `bytes=${huge}-${huge}`, 'bytes=10-20']) {
    const answer = await server.get('/data.txt', { Range: range });
    assert.deepEqual([answer.status, answer.headers['content-range'], answer.body], [416, 'bytes */10', ''], range);
  }
  for (const range of ['bytes=0-', 'bytes=-5', 'bytes=0-0'])
    assert.equal((await server.get('/empty.txt', { Range: range })).status, 416, range);
});

test('P22 a head with two readings is 400, and nothing that follows on its connection is answered', async () => {
  const post = `POST /api/get?session=${id} HTTP/1.1\r\n${HOST}`, body = '{"varIds":[1]}', length = `Content-Length: ${body.length}\r\n`;
  const faults = {
    'two Hosts': `GET /data.txt HTTP/1.1\r\n${HOST}Host: 127.0.0.1\r\n\r\n`,
    'two equal Hosts': `GET /data.txt HTTP/1.1\r\n${HOST}${HOST}\r\n`,
    'two lengths': `${post}${length}Content-Length: 5\r\n\r\n${body}`,
    'two equal lengths': `${post}${length}${length}\r\n${body}`,
    'two lengths in other letters': `${post}${length}content-length: ${body.length}\r\n\r\n${body}`,
    'a list of lengths': `${post}Content-Length: 14, 14\r\n\r\n${body}`,
    'a length and a coding': `${post}${length}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    'a coding and a length': `${post}Transfer-Encoding: chunked\r\n${length}\r\n0\r\n\r\n`,
    'two codings': `${post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    'an unknown coding': `${post}Transfer-Encoding: gzip\r\n\r\n0\r\n\r\n`,
    'a list of codings': `${post}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
    'no coding': `${post}Transfer-Encoding: identity\r\n\r\n`,
    'an empty coding': `${post}Transfer-Encoding:\r\n\r\n0\r\n\r\n`,
    'a coding in HTTP/1.0': `POST /api/get HTTP/1.0\r\n${HOST}Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    'a line that goes on': `${post} x: y\r\n${length}\r\n${body}`,
    'a line without a name': `${post}: y\r\n${length}\r\n${body}`,
    'a line that is no header': `${post}\xe9: y\r\n${length}\r\n${body}`,
    'a blank before the colon': `${post}Content-Length : ${body.length}\r\n\r\n${body}`,
    'a bare line feed': `GET /data.txt HTTP/1.1\nHost: localhost\n\n`,
    'more lines than are looked at': `${post}${Array.from({ length: 70 }, (_, i) => `X-${i}: 1\r\n`).join('')}${length}\r\n${body}`,
  };
  for (const value of [
    '+5', '-5', '0x10', '5 5', '5,', '5x', '', '٥', '1e1', '5.0', '9'.repeat(30), '18446744073709551621',
  ])
    faults[`Content-Length: ${value}`] = `${post}Content-Length: ${value}\r\n\r\n${body}`;
  for (const [name, text] of Object.entries(faults)) {
    const answer = await untilClosed(Buffer.from(text + END, 'latin1'));
    assert.deepEqual(statuses(answer), [400], `${name}: ${answer}`);
    assert.match(answer, /\r\nConnection: close\r\n/, name);
  }
  assert.deepEqual(
    statuses(await untilClosed(`${post}Content-Length: ${body.length}  \r\n\r\n${body}${END}`)),
    [200, 200],
    'blanks behind a length belong to no number',
  );
  assert.deepEqual(statuses(await untilClosed(`${post}Transfer-Encoding: Chunked\r\n\r\ne\r\n${body}\r\n0\r\n\r\n${END}`)), [200, 200]);
  const many = Array.from({ length: 61 }, (_, i) => `X-${i}: 1\r\n`).join('');
  assert.deepEqual(statuses(await untilClosed(`${post}${many}${length}\r\n${body}${END}`)), [200, 200], '63 lines are looked at');
});

test('P22 Q3 blanks and empty lines before a request get no answer to the request of another client', async () => {
  const few = await Server.start({ 'lua/main.lua': APP, 'html/data.txt': '0123456789' }, ['--max-connections', '1']);
  const first = `GET /nothing HTTP/1.1\r\n${HOST}X-Pad: ${'p'.repeat(300)}\r\n\r\n`;
  /* Two requests in one packet: the second one is moved in its thread's buffer, and leaves a copy there. */
  for (let i = 0; i < 300; i++) await few.raw(first + END, { half: true });
  for (let i = 0; i < 60; i++) {
    const answer = await few.raw(`${' '.repeat(first.length - 2)}\n\n`, { half: true });
    assert.equal(answer.status, 400);
  }
  for (const blank of ['\n\n', '\r\n\r\n', '  \r\n\r\n', '\r\n\n'])
    assert.equal((await few.raw(blank + END, { half: true })).status, 400, JSON.stringify(blank));
  await few.stop();
  assert.deepEqual(statuses(await untilClosed(`\r\n${END}`)), [200], 'one empty line');
});

test('P22a Connection: close ends the connection in whatever form it is said, and the answer says so', async () => {
  const head = (version, lines) => `GET /data.txt HTTP/${version}\r\n${HOST}${lines}\r\n`;
  for (const [version, lines] of [
    ['1.1', 'Connection: close\r\n'],
    ['1.1', 'connection: CLOSE\r\n'],
    ['1.1', 'Connection: keep-alive, close\r\n'],
    ['1.1', 'Connection: close, keep-alive\r\n'],
    ['1.1', 'Connection: TE,close\r\n'],
    ['1.1', 'Connection: keep-alive\r\nConnection: close\r\n'],
    ['1.1', 'Connection: close\r\nConnection: keep-alive\r\n'],
    ['1.1', 'Connection: TE\r\n'],
    ['1.0', ''],
    ['1.0', 'Connection: close\r\n'],
    ['1.0', 'Connection: TE\r\n'],
    ['1.0', 'Connection: keep-alive, close\r\n'],
  ]) {
    const answer = await untilClosed(head(version, lines) + END);
    assert.deepEqual(statuses(answer), [200], `${version} ${lines}`);
    assert.match(answer, /\r\nConnection: close\r\n/, lines);
    assert.doesNotMatch(answer, /keep-alive/i, lines);
  }
  for (const [version, lines] of [
    ['1.1', ''],
    ['1.1', 'Connection: keep-alive\r\n'],
    ['1.1', 'Connection: Keep-Alive, TE\r\n'],
    ['1.1', 'X-Connection: close\r\n'],
    ['1.1', 'Connection: keep-alive, x-close\r\n'],
    ['1.0', 'Connection: keep-alive\r\n'],
  ]) {
    const answer = await untilClosed(head(version, lines) + END);
    assert.deepEqual(statuses(answer), [200, 200], `${version} ${lines}`);
    assert.match(answer.slice(0, answer.indexOf('\r\n\r\n')), /\r\nConnection: keep-alive\r\n/, lines);
  }
  for (const where of ['/nothing', '/', `/${id}`, '/index.html', '/docs//x', '/api/get', `/ws/${id}`, '/%zz'])
    assert.match(
      await untilClosed(`GET ${where} HTTP/1.1\r\n${HOST}Connection: close\r\n\r\n`),
      /\r\nConnection: close\r\n/,
      where,
    );
});

test('P22a a refused request is answered at once, and what it still sends is not read on', async () => {
  const refused = {
    'another host': [403, `POST /api/get HTTP/1.1\r\nHost: evil.example\r\n`],
    'another origin': [403, `POST /api/get?session=${id} HTTP/1.1\r\n${HOST}Origin: http://evil.example\r\n`],
    'no session': [404, `POST /api/get?session=none HTTP/1.1\r\n${HOST}`],
    'a method': [405, `PUT /data.txt HTTP/1.1\r\n${HOST}`],
    'a file': [200, `GET /data.txt HTTP/1.1\r\n${HOST}`],
    'an address': [400, `POST /%zz HTTP/1.1\r\n${HOST}`],
    'too much': [413, `POST /api/get?session=${id} HTTP/1.1\r\n${HOST}`, '1'.padEnd(15, '0')],
  };
  for (const [name, [status, head, length = '100000']] of Object.entries(refused))
    for (const coding of [
      `Content-Length: ${length}\r\n\r\nx`,
      ...(name === 'too much' ? [] : ['Transfer-Encoding: chunked\r\n\r\n10\r\nx']),
    ]) {
      const since = performance.now();
      const answer = await untilClosed(head + coding);
      assert.deepEqual(statuses(answer), [status], name);
      assert.match(answer, /\r\nConnection: close\r\n/, name);
      /* What is read on has ten seconds. */
      assert.ok(performance.now() - since < 8000, `${name}: ${performance.now() - since} ms`);
    }
});

test('P22a an answer is not lost behind a body that nobody reads', async () => {
  const big = 'x'.repeat(4 << 20);
  for (const where of ['/api/get?session=none', '/data.txt']) {
    /* It is lost where this process does not come to read and write for the half second that the server gives it. */
    const answer = await until(
      () =>
        untilClosed(`POST ${where} HTTP/1.1\r\n${HOST}Content-Length: ${big.length}\r\n\r\n${big}`).catch((problem) => {
          if (!['ECONNRESET', 'EPIPE'].includes(problem.code)) throw problem;
        }),
      'an answer',
    );
    assert.deepEqual(statuses(answer), [where === '/data.txt' ? 405 : 404]);
  }
});

test('P22a Q2 refused requests whose bodies trickle keep nobody from being answered', async () => {
  const sockets = [];
  for (let i = 0; i < 270; i++) {
    const socket = net.connect(server.port, '127.0.0.1');
    socket.on('error', () => {});
    socket.write('POST /api/get HTTP/1.1\r\nHost: evil\r\nContent-Length: 100000\r\n\r\n');
    sockets.push(socket);
  }
  const trickle = setInterval(() => sockets.forEach((socket) => socket.write('x')), 100);
  try {
    assert.equal((await within(20000, server.get('/lsess-client/generation'), 'an answer to another client')).status, 200);
  } finally {
    clearInterval(trickle);
    sockets.forEach((socket) => socket.destroy());
  }
});

test('P120 what is no request at all gets a sentence of ours and no trace of the library', async () => {
  for (const text of [
    'GET\r\n\r\n',
    'GET / HTTP/3.7\r\nHost: localhost\r\n\r\n',
    '\x16\x03\x01\x02\x00\x01',
    'GET data.txt HTTP/1.1\r\nHost: localhost\r\n\r\n',
  ]) {
    const answer = await untilClosed(Buffer.from(text, 'latin1'), 15000);
    assert.match(answer, /^HTTP\/1\.1 (400|505) /, text.slice(0, 40));
    assert.match(answer, /\r\nConnection: close\r\n[^]*\r\n\r\nThe request is not well formed/, text.slice(0, 40));
    assert.match(answer, /\r\nX-Content-Type-Options: nosniff\r\n/, text.slice(0, 40));
  }
});
