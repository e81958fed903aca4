/** Each limit of quality.md Q2 that a page can reach: it is first reached, the message names the limit and its option,
 * and a session beside it goes on as before (P22a, P25, P37, P40b, P69, P118). */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import { APP, Page, Server, makeSite, until, within } from './lib.js';

const MAIN = `
${APP}
function App:eat()
  local t = {}
  while true do t[#t + 1] = string.rep("x", 100000) .. #t end
end
function App:timers()
  for i = 1, 100 do session:setTimeout(function() end, 100000) end
end
function App:grow()
  self.name = string.rep("y", 200000) .. self.count
  self.count = self.count + 1
end
`;

const watch = { type: 'watch', data: { varId: 1 } };
const create = (id, where, more = {}) => ({ type: 'create', data: { id, parentId: 1, properties: { path: where, ...more } } });
const act = (varId, value = null) => ({ type: 'update', data: { varId, value } });

/** A server with a session that has nothing to do with what goes on. */
async function serve(options, { files = {}, env = {} } = {}) {
  const server = await Server.start(makeSite({ 'lua/main.lua': MAIN, ...files }), options, { env });
  const steady = await server.page(await server.session());
  await steady.eventTime();
  return {
    server,
    othersGoOn: () => steady.goesOn(),
    async stop() {
      await steady.close();
      await server.stop();
    },
  };
}

/** The error of one action, in a session of its own that still answers afterwards. */
async function errorOf(server, where) {
  const page = await server.page(await server.session());
  await page.ask([watch, create(2, 'count'), create(3, where, { access: 'action' }), create(4, 'bump()', { access: 'action' })]);
  const error = (await page.ask(act(3))).find((m) => m.type === 'error');
  assert.ok((await page.ask(act(4))).some((m) => m.data.varId === 2), 'the session that failed still answers');
  await page.close();
  return error?.data;
}

/** What reaching each limit looks like: option, a small value, how it is reached and what must then be seen. */
const LIMITS = {
  'time-limit': ['200ms', async ({ server }) => assert.match((await errorOf(server, 'spin()')).description, /time limit.*--time-limit/)],
  'memory-limit': ['4M', async ({ server }) => assert.match((await errorOf(server, 'eat()')).description, /memory.*--memory-limit/)],
  'max-timers': ['50', async ({ server }) => assert.match((await errorOf(server, 'timers()')).description, /timers.*--max-timers/)],
  'max-variables': ['20', async ({ server }) => {
    const page = await server.page(await server.session());
    const answer = await page.ask([watch, ...Array.from({ length: 30 }, (_, i) => create(i + 2, 'name'))]);
    const errors = answer.filter((m) => m.type === 'error');
    assert.equal(errors.length, 11);
    for (const { data } of errors) {
      assert.equal(data.code, 'internal');
      assert.match(data.description, /variables.*--max-variables/);
      assert.ok(data.varId > 20);
    }
    const freed = await page.ask([{ type: 'destroy', id: 2 }, create(40, 'count')]);
    assert.ok(freed.some((m) => m.data.varId === 40 && m.data.value === 0), 'a place that is free again');
    await page.close();
  }],
  'max-properties': ['5', async ({ server }) => {
    const page = await server.page(await server.session());
    const many = (count) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`p${i}`, 'v']));
    const answer = await page.ask([watch, create(2, 'name', many(5)), create(3, 'name', many(4))]);
    const update = await page.ask({ type: 'update', data: { varId: 3, properties: { p1: 'w', more: 'v' } } });
    for (const [messages, id] of [[answer, 2], [update, 3]]) {
      const [error, ...more] = messages.filter((m) => m.type === 'error');
      assert.deepEqual([error.data.varId, error.data.code, more], [id, 'internal', []]);
      assert.match(error.data.description, /more than 5 properties.*--max-properties/);
    }
    const { variables } = (await page.ask({ type: 'get', data: { varIds: [3] } })).find((m) => m.type === 'get').data;
    assert.equal(variables[0].properties.p1, 'v', 'nothing of a refused update is done');
    assert.ok(
      (await page.ask({ type: 'update', data: { varId: 3, properties: { p1: '', more: 'v' } } })).every(
        (m) => m.type !== 'error',
      ),
      'a removed one makes room',
    );
    await page.close();
  }],
  'max-frame': ['10K', async ({ server }) => {
    const page = await server.page(await server.session());
    let reason;
    page.socket.on('close', (code, text) => { reason = text.toString(); });
    await page.ask(watch);
    page.send(' '.repeat(10241));
    assert.equal(await within(10000, page.closed, 'the close'), 1009);
    assert.match(reason, /--max-frame/);
    await until(() => server.logs().some((text) => text.includes('--max-frame')), 'the record');
    const response = await server.fetch(`/api/get?session=${await server.session()}`, { method: 'POST', body: ' '.repeat(10241) });
    assert.equal(response.status, 413);
    assert.match((await response.json()).error, /--max-frame/);
  }],
  'max-messages': ['100', async ({ server }) => {
    const page = await server.page(await server.session());
    const refused = async (frame) => {
      page.send(frame);
      return (await page.ask([])).filter((m) => m.type === 'error').map((m) => m.data);
    };
    assert.deepEqual(await refused([watch, ...Array(100).fill({ type: 'unwatch', varId: 1 })]), [
      {
        code: 'too-large',
        description: 'the frame has more than 100 messages, the limit of --max-messages; nothing of it has been done',
      },
    ]);
    assert.match((await refused(`{"type":"get","varIds":[${'1,'.repeat(2000000)}1]}`))[0].description, /1000000 values.*--max-messages/);
    const errors = await refused(Array(100).fill({ type: 'dance' }));
    assert.deepEqual(
      errors,
      Array(32).fill({ code: 'unknown-type', description: 'unknown message type: dance' }),
      'a flood of equal errors is told by a few of them',
    );
    await page.close();
  }],
  'max-outbox': ['300K', async ({ server, othersGoOn }) => {
    const id = await server.session();
    const page = await server.page(id);
    await page.ask([watch, create(2, 'name'), create(3, 'grow()', { access: 'action' })]);
    page.socket._socket.pause();
    await until(async () => {
      for (let i = 0; i < 20; i++) page.send({ userEvent: true, messages: [act(3)] });
      await othersGoOn();
      return server.logs().some((text) => text.includes('--max-outbox'));
    }, 'the drop', 60000);
    page.socket.terminate();
    const again = await server.page(id);
    assert.ok(
      (await again.ask([watch, create(2, 'name')])).some((m) => m.data.varId === 2 && m.data.value.startsWith('yyy')),
      'it comes again and is brought up to date',
    );
    await again.close();
    const other = await server.session();
    const asker = await server.page(other);
    const asked = async (message) => (await asker.ask(message)).filter((m) => m.type !== 'update');
    await asker.ask([watch, ...[13, 14, 15, 16].map((n) => create(n, 'count', { mark: 'm'.repeat(100000) }))]);
    const variables = (await asked({ type: 'get', varIds: Array(100000).fill(13) }))[0].data.variables;
    assert.equal(variables.length, 1, 'an id counts once');
    const [{ data }, ...more] = await asked({ type: 'get', varIds: [999, 13, 14, 15, 16] });
    assert.equal(data.code, 'too-large', 'an answer beyond the limit is an error, and nothing else of it is sent');
    assert.match(data.description, /307200 bytes.*--max-outbox/);
    assert.equal(more.length, 0);
    const listing = await server.get(`/${other}/variables.json`);
    assert.equal(listing.status, 500);
    assert.match(JSON.parse(listing.body).error, /too large.*--max-outbox/);
    const api = async (type, body) => {
      const where = `/api/${type}?session=${other}&client=a`;
      return (await server.fetch(where, { method: 'POST', body: JSON.stringify(body) })).json();
    };
    for (const n of [21, 22, 23, 24]) await api('create', { id: n, parentId: 1, properties: { path: 'count', mark: 'm'.repeat(100000) } });
    assert.match((await api('get', { varIds: [21, 22, 23, 24] })).error, /too-large.*--max-outbox/);
    assert.equal((await api('get', { varIds: Array(1000).fill(21) })).result.variables.length, 1);
    await asker.close();
  }],
  'max-connections': ['3', async ({ server }) => {
    const pages = [await server.page(await server.session()), await server.page(await server.session())];
    const { status, body } = await within(10000, new Page(server, await server.session()).refusal, 'the refusal');
    assert.deepEqual([status, body], [503, 'The server has 3 connections, the limit of --max-connections.\n']);
    await until(() => server.logs().some((text) => text.includes('--max-connections')), 'the record');
    for (const page of pages) await page.close();
  }],
  'max-session-connections': ['2', async ({ server }) => {
    const id = await server.session();
    const pages = [await server.page(id), await server.page(id)];
    const { status, body } = await within(10000, new Page(server, id).refusal, 'the refusal');
    assert.deepEqual([status, body], [503, 'The session has 2 connections, the limit of --max-session-connections.\n']);
    for (const page of pages) await page.close();
  }],
  'max-sessions': ['3', async ({ server }) => {
    await server.joined();
    await server.joined();
    const answer = await server.get('/');
    assert.equal(answer.status, 503);
    assert.match(answer.body, /3 sessions.*--max-sessions/);
    const control = server.control();
    assert.match((await control.call('eval', { session: 'new', code: 'return 1' })).error.message, /--max-sessions/);
    control.close();
  }],
};

for (const [option, [value, reach]] of Object.entries(LIMITS)) {
  test(`Q2 --${option} is an error that names the limit and its option; others go on`, async () => {
    const site = await serve([`--${option}`, value]);
    await reach(site);
    await site.othersGoOn();
    await site.stop();
  });

  test(`Q2 C2 ${option} from lsess.lua and from the environment`, async () => {
    const key = option.replaceAll('-', '_');
    const plain = /^\d+$/.test(value) ? value : `"${value}"`;
    const file = await serve([], { files: { 'lsess.lua': `return { ${key} = ${plain} }` } });
    await reach(file);
    await file.stop();
    const environment = await serve([], {
      files: { 'lsess.lua': `return { ${key} = ${plain.replace(/\d+/, '9000')} }` },
      env: { [`LSESS_${key.toUpperCase()}`]: value },
    });
    await reach(environment);
    await environment.stop();
  });
}

test('Q2 0 turns a limit off', async () => {
  const off = Object.keys(LIMITS).filter((option) => option !== 'max-connections').flatMap((option) => [`--${option}`, '0']);
  const site = await serve(off);
  const id = await site.server.session();
  const pages = [];
  for (let i = 0; i < 40; i++) pages.push(await site.server.page(id));
  const answer = await pages[0].ask([
    watch,
    create(2, 'timers()', { access: 'action' }),
    ...Array.from({ length: 120 }, () => act(2)),
    create(3, 'name'),
  ]);
  assert.deepEqual(answer.filter((m) => m.type === 'error'), []);
  for (const page of pages) await page.close();
  await site.stop();
});

test('L5 Q2 what is not of the Lua heap counts against --memory-limit as well, and is given back', async () => {
  const site = await serve(['--memory-limit', '16M']);
  const { server } = site;
  const control = server.control();
  const memory = async () => (await control.call('sessions')).sessions.find((row) => row.session === '2').memory;
  const id = await server.session();
  const page = await server.page(id);
  await page.ask(watch);
  const before = await memory();
  const junk = 'x'.repeat(1024 * 1024);
  let made = 2, error;
  for (; !error; made++) {
    assert.ok(made < 40, 'the limit is reached');
    // There is no room for the variable, or, as it may come in other pieces each time, none for the frame: that is not answered.
    page.create(made, 'name', { junk });
    const answer = await page.message((m) => m.type === 'error' || m.data.varId === made);
    error = answer.type === 'error' && answer;
  }
  assert.match(error.data.description, /memory limit of 16777216 bytes.*--memory-limit/);
  const kept = await until(async () => {
    const bytes = await memory();
    return bytes > 10 << 20 && bytes;
  }, 'what is kept is counted');
  assert.ok(kept <= (16 << 20) + 65536, `${kept} bytes are kept`);
  page.frames = [];
  page.send([
    { type: 'update', data: { varId: 2, value: 'changed' } },
    { type: 'update', data: { varId: 2, properties: { big: junk.repeat(6) } } },
  ]);
  await page.message((m) => m.type === 'error' && /^a message was not taken: .*--memory-limit/.test(m.data.description));
  await page.ask(Array.from({ length: made - 2 }, (_, i) => ({ type: 'destroy', data: { varId: i + 2 } })));
  const again = await page.ask(create(50, 'name', { junk }));
  assert.ok(again.some((m) => m.data.varId === 50 && m.data.value !== 'changed'), 'there is room again, and nothing of the frame was done');
  await page.close();
  await until(async () => await memory() < before + 300000, 'what the page kept is no longer counted');
  control.close();
  await site.othersGoOn();
  await site.stop();
});

/** The head of a masked text frame, whose mask is zero. */
function frameHead(len, first = 0x81) {
  const head = Buffer.alloc(14);
  head[0] = first;
  head[1] = 0x80 | 127;
  head.writeBigUInt64BE(BigInt(len), 2);
  return head;
}

test('L5 Q2 half of a message, timers, watches, problems and stamps of views count against --memory-limit', async () => {
  const site = await serve(['--memory-limit', '16M'], { files: { 'viewdefs/App.DEFAULT.html': '<template><p></p></template>' } });
  const { server } = site;
  const control = server.control();
  const id = await server.session();
  const page = await server.page(id);
  await page.ask(watch);
  const { session } = (await control.call('sessions')).sessions.find((row) => row.session !== '1');
  const run = async (code) => Number((await control.call('eval', { session, code })).json);
  const outside = async () => { /* of Lua's heap */
    const heap = await run('return collectgarbage("count")');
    return (await control.call('sessions')).sessions.find((row) => row.session === session).memory - heap * 1024;
  };
  const before = await outside();
  const rises = (most) => until(async () => await outside() > before + most, `${most} bytes more are counted`);
  const falls = () => until(async () => await outside() < before + 20000, 'they are counted no longer');

  const wire = page.socket._socket, half = Buffer.alloc(4 << 20, ' ');
  wire.write(frameHead(8 << 20));
  wire.write(half);
  await rises(4 * 1000000);
  await site.othersGoOn();
  wire.write(half);
  await falls();

  const other = await server.page(id);
  await other.ask(watch);
  /* So much that neither a message of 12 MiB nor 10 MiB of one have room beside it. */
  const whole = Buffer.alloc(12 << 20, ' '), most = 7 << 20;
  wire.write(frameHead(whole.length));
  wire.write(whole.subarray(0, most));
  await rises(7 * 1000000);
  other.socket._socket.write(Buffer.concat([frameHead(whole.length), whole]));
  await other.message((m) => m.type === 'error' && /^a message was not taken: .*--memory-limit/.test(m.data.description));
  assert.ok((await other.ask(create(20, 'name'))).some((m) => m.data.varId === 20), 'what follows it is read');
  other.socket._socket.write(Buffer.concat([frameHead(10 << 20, 0x01), whole]));
  assert.equal(await within(20000, other.closed, 'the close'), 1009, 'a piece of a message for which there is no room');
  wire.write(whole.subarray(most));
  await falls();

  await run('for i = 1, 5000 do session:setTimeout(print, 1e9) end');
  await rises(5000 * 200);
  await run('for i = 1, 1e4 do session:clearTimeout(i) end');
  await falls();
  await run(`
    handles = {}
    for i = 1, 3000 do handles[i] = session:watchVariable(1, math.abs) end
  `);
  await rises(3000 * 40);
  await run(`
    for i = 3000, 1, -1 do session:unwatch(handles[i]) end
    handles = nil
  `);
  const kept = await outside();
  page.send({ type: 'error', data: { varId: 1, code: 'bad-viewdef', description: `App.DEFAULT: ${'x'.repeat(1 << 20)}` } });
  await until(async () => await outside() > kept + (3 << 20), 'the text as problem, as property and as it was sent');
  control.close();
  await page.close();
  await site.othersGoOn();
  await site.stop();
});

test('P40b 16 MiB of frames wait at most; the rest is not read, nothing is lost', async () => {
  const site = await serve([]);
  const { server } = site;
  const page = await server.page(await server.session());
  await page.ask([watch, create(2, 'count'), create(3, 'bump()', { access: 'action' })]);
  const control = server.control();
  const { sessions } = await control.call('sessions');
  /* The session is held by somebody else, so that frames wait in its queue while the page's own thread reads. */
  const sign = path.join(server.dir, 'go');
  const session = sessions.find((row) => row.connections === 1 && row.session !== '1').session;
  control.write(
    `${JSON.stringify({
      id: 'held',
      cmd: 'eval',
      session,
      code: `
        print("in")
        os.execute("while [ ! -e ${sign} ]; do sleep 0.02; done")
      `,
    })}\n`,
  );
  await until(() => control.lines.some((line) => line.event === 'print'), 'the blocking call');
  const padding = 'p'.repeat(1024 * 1024);
  const frame = JSON.stringify({ userEvent: false, padding, messages: [act(3)] });
  let sent = 0;
  const sending = (async () => {
    for (; sent < 120; sent++) await new Promise((resolve) => page.socket.send(frame, resolve));
  })();
  try {
    await until(async () => {
      const before = sent;
      for (let i = 0; i < 5; i++) await site.othersGoOn();
      return sent > 5 && sent === before;
    }, 'the moment when no more is read', 60000);
    assert.ok(sent < 60, `${sent} MiB were taken, the kernel's buffers included`);
  } finally {
    writeFileSync(sign, ''); /* or its shell would outlive the server, and keep this file from ending */
  }
  await control.answer('held', 30000);
  await within(30000, sending, 'the rest');
  await page.message((m) => m.data?.varId === 2 && m.data.value === 120, 30000);
  control.close();
  await page.close();
  await site.stop();
});

test('P40b Q2 a page that floods its session is slowed down and holds up nobody', async () => {
  const site = await serve([]);
  const page = await site.server.page(await site.server.session());
  await page.ask([watch, create(2, 'count'), create(3, 'bump()', { access: 'action' })]);
  for (let i = 0; i < 20000; i++) page.send({ userEvent: false, messages: [act(3)] });
  await site.othersGoOn();
  await page.message((m) => m.data?.varId === 2 && m.data.value === 20000, 60000);
  await page.close();
  await site.stop();
});

test('P69 Q2 a page of the same session that stops reading does not hold up the others', async () => {
  const site = await serve(['--max-outbox', '1M']);
  const { server } = site;
  const id = await server.session();
  const deaf = await server.page(id), reader = await server.page(id);
  await deaf.ask([watch, create(2, 'name')]);
  await reader.ask([watch, create(2, 'count'), create(3, 'grow()', { access: 'action' })]);
  deaf.socket._socket.pause();
  for (let i = 1; !server.logs().some((text) => text.includes('--max-outbox')); i++) {
    assert.ok(i < 500, 'it is dropped in the end');
    reader.send({ userEvent: true, messages: [act(3)] });
    await reader.message((m) => m.data?.varId === 2 && m.data.value === i);
  }
  await site.othersGoOn();
  deaf.socket.terminate();
  await reader.close();
  await site.stop();
});

test('N4 Q2 many more half-open requests and silent connections than there are threads keep nobody out', async () => {
  const site = await serve([]);
  const { server } = site;
  for (const text of ['GET / HTTP/1.1\r\nHost: local', '']) {
    const sockets = Array.from({ length: 200 }, () => {
      const socket = net.connect(server.port, '127.0.0.1');
      socket.on('error', () => {});
      if (text) socket.write(text);
      return socket;
    });
    await Promise.all(sockets.map((socket) => once(socket, 'connect')));
    await site.othersGoOn();
    const begun = performance.now();
    assert.equal((await server.get('/lsess-client/generation')).status, 200);
    assert.ok(performance.now() - begun < 8000, `after ${performance.now() - begun} ms; a head alone has 10 s`);
    await site.othersGoOn();
    for (const socket of sockets) socket.destroy();
  }
  await site.stop();
});

test('N4 heads that have not come while they waited for a worker do not hold it as long again', async () => {
  const site = await serve(['--http-workers', '4']);
  const { server } = site;
  const sockets = Array.from({ length: 120 }, () => net.connect(server.port, '127.0.0.1').on('error', () => {}));
  for (const socket of sockets) socket.write('GET / HTTP/1.1\r\nHost: local');
  await Promise.all(sockets.map((socket) => once(socket, 'connect')));
  const begun = performance.now();
  assert.equal((await server.get('/lsess-client/generation')).status, 200);
  assert.ok(performance.now() - begun < 8000, `after ${performance.now() - begun} ms; half a second for each would be 15 s`);
  for (const socket of sockets) socket.destroy();
  await site.stop();
});

test('N4 a head that comes slowly is taken while there are workers enough', async () => {
  const site = await serve([]);
  const socket = net.connect(site.server.port, '127.0.0.1');
  let answer = '';
  socket.on('data', (data) => (answer += data));
  const closed = once(socket, 'close');
  for (const part of ['GET /lsess-client/generation HT', 'TP/1.1\r\nHost: 127.', '0.0.1\r\nConnection: close\r\n', '\r\n']) {
    socket.write(part);
    await new Promise((resolve) => setTimeout(resolve, 400)); // what is tried is a slow line
  }
  await within(15000, closed, 'the end');
  assert.match(answer, /^HTTP\/1\.1 200 /);
  await site.stop();
});

test('P24 P25 Q2 clients of the API count as connections: so many tokens a session', async () => {
  const site = await serve(['--max-session-connections', '3']);
  const { server } = site;
  const id = await server.session();
  const post = async (client) => {
    const response = await server.fetch(`/api/get?session=${id}&client=${client}`, { method: 'POST', body: '{"varIds":[1]}' });
    return { status: response.status, json: await response.json() };
  };
  for (const client of ['a', 'b', 'c']) assert.equal((await post(client)).status, 200);
  const refused = await post('d');
  assert.equal(refused.status, 503);
  assert.match(refused.json.error, /--max-session-connections/);
  assert.equal((await post('a')).status, 200, 'those that are there go on');
  assert.equal(
    (await (await server.fetch(`/api/get?session=${id}`, { method: 'POST', body: '{"varIds":[1]}' })).json()).result
      .variables.length,
    1,
    'a single request too',
  );
  await site.othersGoOn();
  await site.stop();
});

test('P118 Q2 a client of the API that never polls is forgotten when too much waits for it', async () => {
  const site = await serve(['--max-outbox', '1M']);
  const { server } = site;
  const id = await server.session();
  const post = async (type, body) => {
    const where = `/api/${type}?session=${id}&client=deaf`;
    return (await server.fetch(where, { method: 'POST', body: JSON.stringify(body) })).json();
  };
  await post('create', { id: 2, parentId: 1, properties: { path: 'name' } });
  const page = await server.page(id);
  await page.ask([watch, create(2, 'count'), create(3, 'grow()', { access: 'action' })]);
  for (let i = 1; !server.logs().some((text) => text.includes('does not poll')); i++) {
    assert.ok(i < 50, 'it is forgotten in the end');
    page.send({ userEvent: true, messages: [act(3)] });
    await page.message((m) => m.data?.varId === 2 && m.data.value === i);
  }
  assert.ok(server.logs().some((text) => text.includes('--max-outbox')));
  await site.othersGoOn();
  assert.match((await post('update', { varId: 2, value: 'x' })).error, /no variable 2/, 'it begins afresh');
  await page.close();
  await site.stop();
});

test('Q2 after a page that filled its session has left, names that only it used are given back', async () => {
  const filled = await Server.start({ 'lua/main.lua': APP }, ['--memory-limit', '16M']), id = await filled.session();
  const page = await filled.page(id), control = filled.control();
  const memory = async () => (await control.call('sessions')).sessions[0].memory;
  await page.watchApp();
  const create = (n) => ({ type: 'create', data: { id: n, parentId: 1, properties: { path: `no${n}${'q'.repeat(300)}.x.y` } } });
  for (let k = 0; k < 20; k++) page.send({ userEvent: true, messages: Array.from({ length: 500 }, (_, i) => create(10 + k * 500 + i)) });
  await page.message((m) => m.type === 'error' && /--memory-limit/.test(m.data.description));
  await page.close();
  await until(async () => await memory() < 1 << 20, 'a small session');
  control.close();
  await filled.stop();
});

test('Q2 after a page has left, what it used is given back', async () => {
  const server = await Server.start({ 'lua/main.lua': APP });
  const id = await server.session();
  const control = server.control();
  const session = async () => (await control.call('sessions')).sessions[0];
  const resident = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))[1]) / 1024;
  const visit = async (count, path) => {
    const page = await server.page(id);
    await page.ask(watch);
    for (let from = 2; from < count; from += 9000) {
      const places = Array.from({ length: Math.min(9000, count) }, (_, i) =>
        create(from + i, from + i > 2 ? path(from + i) : 'name', { mark: 'm'.repeat(20) }),
      );
      await page.ask(places);
    }
    await page.ask({ type: 'update', id: 2, value: 'x'.repeat(count * 100) });
    await page.ask({ type: 'update', id: 2, value: Array.from({ length: count }, (_, i) => ({ key: `text ${i}` })) });
    await page.ask({ type: 'update', id: 2, value: 'North' });
    const most = resident();
    await page.close();
    await until(async () => (await session()).connections === 0, 'its end');
    return most;
  };
  await visit(10, () => 'count');
  const before = resident(), small = (await session()).memory;
  /* The C library keeps 128 KiB at the end of the heap of each thread that was busy, however small the program is. */
  const kept = 2;
  for (const path of [() => 'count', (i) => `field${i}`]) {
    const most = await visit(100000, path);
    assert.ok(most > before + 60, `a page that needs much: ${before} to ${most} MiB`);
    await until(() => resident() < before + kept, `less than ${before + kept} MiB after ${most}`, 30000);
    const { memory } = await session();
    assert.ok(memory < small + (128 << 10), `${small} bytes are kept again and little more: ${memory}`);
  }
  control.close();
  await server.stop();
});
