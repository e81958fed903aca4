/** The REST interface (P24, P25, P116–P119). */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { APP, Server, until, within } from './lib.js';

let server, id;

before(async () => {
  server = await Server.start({ 'lua/main.lua': APP }, ['--max-frame', '64K']);
  id = await server.session();
});

after(() => server.stop());

async function post(type, body, { client, session = id, headers = {} } = {}) {
  const query = [session && `session=${session}`, client && `client=${client}`].filter(Boolean).join('&');
  const response = await server.fetch(`/api/${type}${query && `?${query}`}`, {
    method: 'POST',
    body: typeof body === 'string' ? body : JSON.stringify(body),
    headers,
  });
  return { status: response.status, type: response.headers.get('content-type'), json: JSON.parse(await response.text()) };
}

test('P24 other methods are 405, bad JSON is 400, an unknown type is 500', async () => {
  const get = await server.get(`/api/get?session=${id}`);
  assert.equal(get.status, 405);
  assert.equal(get.headers.allow, 'OPTIONS, POST');
  assert.ok(JSON.parse(get.body).error);
  for (const body of ['', '{', 'nonsense', '{"varIds":[1]} x']) {
    const answer = await post('get', body);
    assert.equal(answer.status, 400, body);
    assert.match(answer.type, /^application\/json/);
    assert.ok(answer.json.error);
  }
  for (const type of ['nonsense', '']) {
    const answer = await post(type, {});
    assert.equal(answer.status, 500, type);
    assert.ok(answer.json.error);
  }
});

test('P24 the type of the URL wins', async () => {
  assert.equal((await post('get', { type: 'destroy', varIds: [1] })).json.result.variables[0].id, 1);
});

test('P24 a body above the size of a frame is 413', async () => {
  assert.equal((await post('get', `{"x":"${'y'.repeat(70000)}"}`)).status, 413);
  const chunks = 'Transfer-Encoding: chunked\r\n\r\n' + `2000\r\n${'z'.repeat(0x2000)}\r\n`.repeat(10) + '0\r\n\r\n';
  const head = `POST /api/get?session=${id} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n`;
  assert.equal((await server.raw(head + chunks, { half: true })).status, 413);
});

test('P25 the session comes from the parameter, else the cookie, else 404', async () => {
  assert.equal((await post('get', { varIds: [1] }, { session: '', headers: { Cookie: `a=b; ui-session=${id}; c=d` } })).status, 200);
  for (const options of [
    { session: '' },
    { session: '0'.repeat(32) },
    { session: 'x' },
    { session: '0'.repeat(32), headers: { Cookie: `ui-session=${id}` } },
  ]) {
    const answer = await post('get', { varIds: [1] }, options);
    assert.equal(answer.status, 404);
    assert.ok(answer.json.error);
  }
});

test('P25 parameters are read by their whole names, and refused when they are not well formed', async () => {
  const cookie = { Cookie: `ui-session=${id}` };
  const ask = async (query, headers) =>
    (await server.fetch(`/api/get?${query}`, { method: 'POST', body: '{"varIds":[1]}', headers })).status;
  assert.equal(await ask('mysession=x&xclient=%zz', cookie), 200);
  for (const [query, status] of [
    ['session=%zz', 404],
    ['session=', 404],
    [`session=${id}&client=%zz`, 400],
    [`session=${id}&client=${'t'.repeat(200)}`, 400],
    [`session=${id}&client=a%00b`, 400],
    [`client=t%20t&session=${id}`, 200],
    [`session=${id}&client=`, 200],
  ])
    assert.equal(await ask(query, cookie), status, query);
});

test('P116 P119 get puts its data into result', async () => {
  const { status, json } = await post('get', { varIds: [1] });
  assert.equal(status, 200);
  assert.equal(json.result.variables[0].properties.type, 'App');
});

test('P25 a token keeps its variables between requests; without one they end', async () => {
  assert.equal((await post('create', { id: 2, parentId: 1, properties: { path: 'name' } }, { client: 'tool' })).status, 200);
  const again = await post('create', { id: 2, parentId: 1, properties: { path: 'name' } }, { client: 'tool' });
  assert.ok(again.json.error, 'the id is in use');
  assert.ok(!(await post('create', { id: 2, parentId: 1, properties: { path: 'name' } })).json.error);
  assert.ok(!(await post('create', { id: 2, parentId: 1, properties: { path: 'name' } })).json.error);
});

test('P118 poll: what waits at once, each message once', async () => {
  await post('create', { id: 5, parentId: 1, properties: { path: 'count' } }, { client: 'poller' });
  const first = await post('poll', {}, { client: 'poller' });
  const messages = [first.json, ...(first.json.pending ? [] : [])].flatMap((answer) => answer.result);
  assert.ok(Array.isArray(messages));
  assert.deepEqual((await post('poll', {}, { client: 'poller' })).json, { result: [] });
});

test('P118 poll with wait is answered as soon as something comes', async () => {
  await post('create', { id: 6, parentId: 1, properties: { path: 'count' } }, { client: 'waiter' });
  await post('poll', {}, { client: 'waiter' });
  const waiting = post('poll', { wait: '60s' }, { client: 'waiter' }); // longer than any request of these tests may take
  const page = await server.page(id);
  await page.eventTime();
  const { json } = await waiting;
  assert.ok(json.result.some((m) => m.type === 'update' && m.data.varId === 6), JSON.stringify(json));
  await page.close();
});

test('P118 a wait ends with an empty list', async () => {
  const begun = performance.now();
  assert.deepEqual((await post('poll', { wait: '150ms' }, { client: 'idle' })).json, { result: [] });
  assert.ok(performance.now() - begun >= 140);
});

test('P118 N1 polls that wait hold no thread, and each is answered when something comes', async () => {
  const few = await Server.start({ 'lua/main.lua': APP }, ['--http-workers', '2', '--max-session-connections', '100']);
  const session = await few.session();
  const ask = async (type, body, client) => {
    const response = await few.fetch(`/api/${type}?session=${session}&client=${client}`, { method: 'POST', body: JSON.stringify(body) });
    return { connection: response.headers.get('connection'), ...(await response.json()) };
  };
  const clients = Array.from({ length: 60 }, (_, i) => `many${i}`);
  for (const client of clients) {
    await ask('create', { id: 7, parentId: 1, properties: { path: 'count' } }, client);
    await ask('poll', {}, client);
  }
  const answers = [];
  const all = clients.map((client) => ask('poll', { wait: '60s' }, client).then((answer) => answers.push(answer)));
  const page = await few.page(session);
  for (let i = 0; i < 20; i++) assert.equal((await few.get('/lsess-client/generation')).status, 200);
  assert.equal(answers.length, 0);
  await page.eventTime(); // what the others wait for
  await Promise.all(all);
  for (const { connection, result } of answers) assert.deepEqual([connection, result.length], ['close', 1]);

  await page.close();
  const taken = () => readdirSync(`/proc/${few.pid}/fd`).filter((fd) => Number(fd) >= 512).length;
  await until(() => taken() === 0, 'the end of all');
  const last = ask('poll', { wait: '60s' }, 'many0');
  await until(() => taken() === 1, 'one that waits');
  const stopped = few.stop();
  assert.deepEqual((await last).result, [], 'when the server stops');
  await stopped;
});

test('P118 no message is lost to a poll whose client has gone', async () => {
  await post('create', { id: 8, parentId: 1, properties: { path: 'count' } }, { client: 'leaving' });
  await post('poll', {}, { client: 'leaving' });
  const body = '{"wait":"60s"}';
  const text = `POST /api/poll?session=${id}&client=leaving HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  for (let round = 0; round < 3; round++) {
    const socket = net.connect(Number(new URL(server.url).port), '127.0.0.1');
    let answer = '';
    socket.on('data', (data) => (answer += data));
    socket.end(text); // sends no more, which is all that can be told of one that has gone
    await within(15000, once(socket, 'close'), 'the end');
    assert.match(answer, /^HTTP\/1\.1 200 OK\r\n[^]*Connection: close\r\n[^]*\r\n\r\n\{"result":\[\]\}$/);
  }
  const page = await server.page(id);
  await page.eventTime();
  await page.close();
  const { json } = await post('poll', { wait: '60s' }, { client: 'leaving' });
  assert.ok(json.result.some((m) => m.type === 'update' && m.data.varId === 8), JSON.stringify(json));
});
