/** The REST interface (P24, P25, P116–P119). */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { APP, Server, until } from './lib.js';

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

test('P118 at most 16 polls wait at once; a further one is answered', async () => {
  const clients = Array.from({ length: 20 }, (_, i) => `many${i}`);
  for (const client of clients) {
    await post('create', { id: 7, parentId: 1, properties: { path: 'count' } }, { client });
    await post('poll', {}, { client });
  }
  const answers = [];
  const all = clients.map((client) => post('poll', { wait: '60s' }, { client }).then(({ json }) => answers.push(json.result.length)));
  await until(() => answers.length >= 4, 'four answers at once');
  assert.equal((await server.get('/lsess-client/generation')).status, 200);
  assert.deepEqual(answers, [0, 0, 0, 0], 'those that found no place');
  const page = await server.page(id);
  await page.eventTime(); // what the others wait for
  await Promise.all(all);
  assert.deepEqual(answers.slice(4), Array(16).fill(1));
  await page.close();
});
