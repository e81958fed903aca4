/** WebSockets: handshake, frames, limits, order, closing (protocol.md section 3, P22–P23, P69, P111; frontend.md S6). */
import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { APP, Page, Server, until, within } from './lib.js';

let server;

before(async () => {
  server = await Server.start({ 'lua/main.lua': APP }, ['--max-frame', '1M', '--max-session-connections', '3', '-v']);
});

after(() => server.stop());

/** The request that asks for a WebSocket, with more header lines. */
const handshake = (id, more) =>
  `GET /ws/${id} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
  `Sec-WebSocket-Version: 13\r\n${more}\r\n`;

/** A client that writes frames byte by byte: [first byte, payload]. */
async function rawSocket(id, more = '') {
  const socket = net.connect(server.port, '127.0.0.1');
  const state = { socket, received: Buffer.alloc(0), over: false };
  socket.on('data', (chunk) => { state.received = Buffer.concat([state.received, chunk]); });
  socket.on('close', () => { state.over = true; });
  socket.on('error', () => { state.over = true; });
  socket.write(handshake(id, `${more}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n`));
  await until(() => state.received.includes('\r\n\r\n'), 'the handshake');
  state.head = state.received.subarray(0, state.received.indexOf('\r\n\r\n') + 4).toString();
  state.received = state.received.subarray(state.head.length);
  return state;
}

function frame(first, payload, { masked = true, claim } = {}) {
  const data = Buffer.from(payload);
  const len = claim ?? data.length;
  const mask = masked ? 0x80 : 0;
  const head =
    len < 126
      ? Buffer.from([first, mask | len])
      : len < 65536
        ? Buffer.from([first, mask | 126, len >> 8, len & 255])
        : Buffer.concat([
            Buffer.from([first, mask | 127]),
            (() => {
              const b = Buffer.alloc(8);
              b.writeBigUInt64BE(BigInt(len));
              return b;
            })(),
          ]);
  if (!masked) return Buffer.concat([head, data]);
  const key = Buffer.from([1, 2, 3, 4]);
  return Buffer.concat([head, key, data.map((byte, i) => byte ^ key[i & 3])]);
}

/** The close code at the end of what was received. */
const closeCode = (state) => {
  const at = state.received.lastIndexOf(0x88);
  return at >= 0 && state.received.length >= at + 4 ? state.received.readUInt16BE(at + 2) : undefined;
};

async function expectClose(state, code) {
  await until(() => closeCode(state) === code || state.over, `the close with ${code}`);
  assert.equal(closeCode(state), code);
  state.socket.destroy();
}

/** The server has seen the end of all connections of a session: their places are free. */
async function left(id) {
  const control = server.control();
  await until(async () => (await control.call('sessions')).sessions.find((row) => row.url.endsWith(id)).connections === 0, 'no connection');
  control.close();
}

const GET_APP = '{"userEvent":true,"messages":[{"type":"get","data":{"varIds":[1]}}]}';

test('P22 the handshake: accept key, no subprotocol; a longer path is the same', async () => {
  const id = await server.session();
  const state = await rawSocket(id);
  assert.match(state.head, /^HTTP\/1\.1 101 /);
  assert.match(state.head, /Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=/i);
  assert.doesNotMatch(state.head, /Sec-WebSocket-Protocol/i);
  state.socket.destroy();
  const page = await server.page(id, { path: `/ws/${id}/more/of/it` });
  await page.watchApp();
  await page.close();
});

test('P22 P22a handshakes that are not valid are a 4xx, and take no place of the session', async () => {
  const id = await server.session();
  const ask = (key) => server.raw(handshake(id, key === null ? '' : `Sec-WebSocket-Key: ${key}\r\n`), { half: true });
  for (let round = 0; round < 4; round++)
    for (const key of [
      null, '', 'x', 'dGhlIHNhbXBsZSBub25jZQ=', 'dGhlIHNhbXBsZSBub25jZQ==x', 'd'.repeat(24), 'd'.repeat(64),
      'd'.repeat(200), 'd'.repeat(5000),
    ])
      assert.equal((await ask(key)).status, 400, `${key}`);
  for (const more of [
    'Content-Length: 5\r\n',
    'Transfer-Encoding: chunked\r\n',
    'Sec-WebSocket-Protocol: chat\r\n',
    'Sec-WebSocket-Extensions: permessage-deflate\r\n',
  ]) {
    const state = await rawSocket(id, more);
    assert.match(state.head, / 101 /);
    assert.doesNotMatch(state.head, /permessage-deflate|Sec-WebSocket-Protocol/i);
    state.socket.destroy();
    await left(id);
  }
});

test('P22 an unknown id is refused with 404 before the upgrade', async () => {
  for (const id of ['0'.repeat(32), 'x', `${'0'.repeat(32)}/..`]) {
    const page = new Page(server, id);
    const { status } = await within(15000, page.refusal, 'the refusal');
    assert.ok(status === 404 || status === 301, `${id}: ${status}`);
  }
});

test('P23 Q3 a foreign Origin is refused with 403, the own one is accepted', async () => {
  const id = await server.session();
  for (const origin of ['http://evil.example', 'null', `http://127.0.0.1:${server.port + 1}`, `https://127.0.0.1:${server.port}`]) {
    const refusal = await within(15000, new Page(server, id, { headers: { Origin: origin } }).refusal, 'the refusal');
    assert.equal(refusal.status, 403, origin);
    assert.match(refusal.body, /--allow-origin/);
  }
  const page = await server.page(id, { headers: { Origin: server.url } });
  await page.close();
});

test('P22a a session may have so many connections; one more is 503 with the option in a line', async () => {
  const id = await server.session();
  const pages = [];
  for (let i = 0; i < 3; i++) pages.push(await server.page(id));
  const refusal = await within(15000, new Page(server, id).refusal, 'the refusal');
  assert.equal(refusal.status, 503);
  assert.match(refusal.body, /--max-session-connections/);
  await pages[0].close();
  await until(async () => {
    const page = new Page(server, id);
    const opened = await Promise.race([page.open.then(() => true, () => false), page.refusal.then(() => false)]);
    if (opened) pages[0] = page;
    return opened;
  }, 'a place that is free again');
  for (const page of pages) await page.close();
});

test('P22a the server may have so many; pages and files go on being answered', async () => {
  /* A server of its own: what the other tests leave behind would have places here. */
  const full = await Server.start({ 'lua/main.lua': APP }, ['--max-connections', '6']);
  const pages = [];
  for (let i = 0; i < 6; i++) pages.push(await full.page(await full.session()));
  for (let i = 0; i < 2; i++) {
    const refusal = await within(15000, new Page(full, await full.session()).refusal, 'the refusal');
    assert.equal(refusal.status, 503);
    assert.match(refusal.body, /--max-connections/);
  }
  assert.equal((await full.get('/lsess-client/generation')).status, 200);
  for (const page of pages) await page.close();
  await full.stop();
  assert.equal(full.logs().filter((text) => text.includes('the limit of --max-')).length, 1, 'told at most once a minute');
});

test('P22 a page that has gone before its handshake is looked at is no failure of the system', async () => {
  const one = await Server.start({ 'lua/main.lua': APP }, ['--http-workers', '1', '-v']);
  const id = await one.session();
  const connect = () => new Promise((resolve) => {
    const socket = net.connect(one.port, '127.0.0.1', () => resolve(socket)).on('error', () => {});
  });
  const first = await connect();
  first.write('GET / HT'); // the only worker waits for the rest of it
  const gone = await connect();
  await new Promise((resolve) => gone.write(handshake(id, 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'), resolve));
  gone.resetAndDestroy();
  first.destroy();
  await until(() => one.logs().some((text) => /gone before its handshake|^A page is refused|page connected/.test(text)), 'the word of it');
  assert.ok(!one.logs().some((text) => /No such file/.test(text)), one.logs().join('; '));
  await one.stop();
});

test('P39 nothing is sent on connect', async () => {
  const page = await server.page(await server.session());
  page.send(GET_APP);
  await page.message((m) => m.type === 'get');
  assert.equal(page.frames.length, 1);
  await page.close();
});

test('R53 a heartbeat of a page is answered at once, also while its session computes', async () => {
  const id = await server.session();
  const busy = await server.page(id), page = await server.page(id);
  await busy.watchApp();
  busy.create(2, 'sleep()', { access: 'action' });
  await page.watchApp();
  const from = page.frames.length;
  busy.send({ userEvent: true, messages: [{ type: 'update', data: { varId: 2, value: null } }] });
  page.send(GET_APP);
  page.send('{"type":"ping"}');
  await until(() => page.frames.length > from, 'an answer');
  assert.equal(page.frames[from], '[]');
  await until(() => page.frames.length > from + 1, 'the end of the action');
  await busy.close();
  await page.close();
});

test('R53 --heartbeat: a page is told of another time than the one that it knows', async () => {
  const told = async (options) => {
    const other = await Server.start({ 'lua/main.lua': APP }, options);
    const { body } = await other.get(`/${await other.session()}`);
    await other.stop();
    return body.match(/<meta name="ui-heartbeat" content="(\d+)">/)?.[1];
  };
  assert.equal(await told([]), undefined);
  assert.equal(await told(['--heartbeat', '20s']), undefined);
  assert.equal(await told(['--heartbeat', '3s']), '3000');
  assert.equal(await told(['--heartbeat', '0']), '0');
});

test('P36 binary frames, fragments and pings between them', async () => {
  const state = await rawSocket(await server.session());
  const binary = await server.page(await server.session());
  binary.send(Buffer.from(GET_APP));
  await binary.message((m) => m.type === 'get');
  await binary.close();
  const text = Buffer.from(GET_APP);
  state.socket.write(frame(0x01, text.subarray(0, 10)));
  state.socket.write(frame(0x00, text.subarray(10, 20)));
  state.socket.write(frame(0x89, 'here?'));
  await until(() => state.received.includes('here?'), 'the pong');
  assert.equal(state.received[0], 0x8a);
  const rest = frame(0x80, text.subarray(20));
  state.received = Buffer.alloc(0);
  for (const byte of rest) state.socket.write(Buffer.from([byte]));
  await until(() => state.received.includes('"variables"'), 'the answer to a fragmented message');
  state.socket.destroy();
});

test('P37 a message above the limit closes with 1009, before its bytes are read', async () => {
  const state = await rawSocket(await server.session());
  state.socket.write(frame(0x81, 'x'.repeat(100), { claim: 2 ** 40 }));
  await expectClose(state, 1009);
  const pieces = await rawSocket(await server.session());
  pieces.socket.write(frame(0x01, Buffer.alloc(700 * 1024, 32)));
  pieces.socket.write(frame(0x80, Buffer.alloc(100, 32), { claim: 700 * 1024 }));
  await expectClose(pieces, 1009);
  const page = await server.page(await server.session());
  page.send(`${' '.repeat(1024 * 1024 - GET_APP.length)}${GET_APP}`);
  await page.message((m) => m.type === 'get');
  await page.close();
  /* Announced and not sent: who still writes when the server has gone is told of that, and not of the code. */
  const over = await rawSocket(await server.session());
  over.socket.write(frame(0x81, 'x'.repeat(100), { claim: 1024 * 1024 + 1 }));
  await expectClose(over, 1009);
  await until(() => server.logs().some((text) => text.includes('--max-frame')), 'the record');
});

test('P37 invalid UTF-8 closes with 1007, also over a fragment border', async () => {
  const state = await rawSocket(await server.session());
  state.socket.write(frame(0x81, Buffer.from([0x22, 0xff, 0x22])));
  await expectClose(state, 1007);
  const split = await rawSocket(await server.session());
  split.socket.write(frame(0x01, Buffer.from('[{"type":"watch","id":1,"x":"\xc3', 'latin1')));
  split.socket.write(frame(0x80, Buffer.from('\xa9"},{"type":"get","varIds":[1]}]', 'latin1')));
  await until(() => split.received.includes('"variables"'), 'a letter in two fragments');
  split.socket.destroy();
});

test('protocol errors close with 1002', async () => {
  const cases = [
    frame(0x81, 'x', { masked: false }),
    frame(0xc1, 'x'),
    frame(0x83, 'x'),
    frame(0x8b, 'x'),
    frame(0x80, 'x'),
    frame(0x09, 'x'),
    frame(0x89, 'x'.repeat(126)),
    frame(0x88, 'x'),
    frame(0x88, Buffer.from([0, 5])),
    Buffer.concat([frame(0x01, 'x'), frame(0x81, 'y')]),
  ];
  for (const bytes of cases) {
    const state = await rawSocket(await server.session());
    state.socket.write(bytes);
    await expectClose(state, 1002);
  }
});

test('P41 frames of one connection are processed in order', async () => {
  const page = await server.page(await server.session());
  await page.watchApp();
  for (let i = 0; i < 400; i++)
    page.send({
      userEvent: true,
      messages: [
        { type: 'destroy', data: { varId: 1000 + i } },
        { type: 'update', data: { varId: 5000 + i, value: 1 } },
      ],
    });
  await until(() => page.messages().filter((m) => m.type === 'error').length === 400, 'all answers');
  const ids = page.messages().filter((m) => m.type === 'error').map((m) => m.data.varId);
  assert.deepEqual(ids, Array.from({ length: 400 }, (_, i) => 5000 + i));
  await page.close();
});

test('P40b more frames than may wait are slowed down, not lost', async () => {
  const page = await server.page(await server.session());
  await page.watchApp();
  page.create(2, 'count');
  page.create(3, 'bump()', { access: 'action' });
  page.create(4, 'sleep()', { access: 'action' });
  page.send({ userEvent: true, messages: [{ type: 'update', data: { varId: 4, value: null } }] });
  for (let i = 0; i < 1500; i++) page.send({ userEvent: false, messages: [{ type: 'update', data: { varId: 3, value: null } }] });
  await page.message((m) => m.data?.varId === 2 && m.data.value === 1500, 20000);
  await page.close();
});

test('P111 the variables of a closed connection are gone, its ids free', async () => {
  const id = await server.session();
  const first = await server.page(id);
  await first.watchApp();
  first.create(2, 'name');
  await first.message((m) => m.data?.varId === 2);
  await first.close(1001);
  const second = await server.page(id);
  await second.watchApp();
  second.create(2, 'name');
  await second.message((m) => m.type === 'update' && m.data.varId === 2 && m.data.value === 'North');
  assert.equal(second.messages().filter((m) => m.type === 'error').length, 0);
  await until(
    async () => (await (await server.fetch(`/${id}/variables.json`)).json()).length === 2,
    "the end of the first one's variables",
  );
  await second.close();
});

test('P111 a close frame is answered with its code', async () => {
  const state = await rawSocket(await server.session());
  const code = Buffer.alloc(2);
  code.writeUInt16BE(4321);
  state.socket.write(frame(0x88, code));
  await expectClose(state, 4321);
});

test('P56 two pages of one session both follow', async () => {
  const id = await server.session();
  const one = await server.page(id), two = await server.page(id);
  for (const page of [one, two]) {
    await page.watchApp();
    page.create(2, 'name');
    await page.message((m) => m.data?.varId === 2);
  }
  one.send({ userEvent: true, messages: [{ type: 'update', data: { varId: 2, value: 'East' } }] });
  await two.message((m) => m.data?.varId === 2 && m.data.value === 'East');
  await one.close();
  await two.close();
});

test('P42 a Lua error in one item leaves the session and the server alive', async () => {
  const page = await server.page(await server.session());
  await page.watchApp();
  page.create(2, 'nothing()', { access: 'action' });
  page.send({ userEvent: true, messages: [{ type: 'update', data: { varId: 2, value: null } }] });
  await page.message((m) => m.type === 'error');
  await page.eventTime();
  await page.close();
});

test('P120 random bytes and torn frames end only their own connection', async () => {
  const steady = await server.page(await server.session());
  await steady.eventTime();
  const id = await server.session();
  let seed = 7;
  const random = () => {
    seed = (seed * 1103515245 + 12345) & 0x7fffffff;
    return (seed >> 8) & 255;
  };
  for (let round = 0; round < 40; round++) {
    const state = await rawSocket(id);
    state.socket.write(
      round % 2
        ? Buffer.from(Array.from({ length: 200 }, random))
        : frame(0x81, Buffer.from(Array.from({ length: 60 }, () => random() & 127))),
    );
    state.socket.end(round % 3 ? frame(0x81, GET_APP).subarray(0, 9) : undefined);
    await until(() => state.over, 'the end of a connection');
  }
  await steady.eventTime();
  await steady.close();
});
