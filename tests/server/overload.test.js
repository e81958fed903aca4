/** Attacks and overloads, each first shown, then the latency of another session beside it (P40a, P69, P22a, P118, P120; quality.md Q2). */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createWriteStream, readFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { APP, Server, until, within } from './lib.js';

let server, steady;

before(async () => {
  server = await Server.start({ 'lua/main.lua': APP }, [
    '--time-limit', '3s', '--max-outbox', '1M', '--workers', '2', '--max-sessions', '60', '--memory-limit', '64M',
  ]);
  steady = await server.page(await server.session());
  await steady.eventTime();
});

after(async () => {
  await steady.close();
  await server.stop();
});

const othersGoOn = () => steady.goesOn();

async function act(page, id, what) {
  await page.watchApp();
  page.create(id, what, { access: 'action' });
  page.send({ userEvent: true, messages: [{ type: 'update', data: { varId: id, value: null } }] });
}

/** A server whose pages can call `hang()`, which does not return from C. */
const startHanging = () => Server.start({ 'lua/main.lua': `${APP}
    function App:hang()
      print("it hangs")
      return (("a"):rep(100)):find((".-"):rep(60) .. "b")
    end` }, ['--time-limit', '1s', '--workers', '2']);

const hangs = (hung) => until(() => hung.logs().some((text) => /it hangs/.test(text)), 'the call');

test('P40a eight sessions that compute for ever, and two workers', async () => {
  const pages = [];
  for (let i = 0; i < 8; i++) pages.push(await server.page(await server.session()));
  const begun = performance.now();
  for (const page of pages) await act(page, 9, 'spin()');
  await othersGoOn();
  const ended = pages[0].messages().some((m) => m.type === 'error');
  assert.ok(!ended || performance.now() - begun > 3000, 'they are still computing');
  const problem = await pages[0].message((m) => m.type === 'error', 15000);
  assert.match(problem.data.description, /--time-limit/);
  await pages[0].eventTime(); /* the session that failed still answers */
  for (const page of pages) await page.close();
});

test('P40a six sessions in a blocking call', async () => {
  const pages = [];
  for (let i = 0; i < 6; i++) pages.push(await server.page(await server.session()));
  for (const page of pages) await act(page, 9, 'sleep()');
  await othersGoOn();
  for (const page of pages) await page.close();
});

test(
  'P40a L5 six sessions in a library call that does not return, two workers: the others go on, the log names session and ' +
    'function, and the server ends',
  async () => {
    const hung = await startHanging();
    const pages = [], other = await hung.page(await hung.session());
    await other.eventTime();
    for (let i = 0; i < 6; i++) pages.push(await hung.page(await hung.session()));
    for (const page of pages) await act(page, 9, 'hang()');
    const said = () => hung.logs().filter((text) => /a frame of a page has been running for 5 s, and is in string\.find/.test(text));
    await until(() => said().length === 6, 'a line for each', 60000);
    await other.goesOn();
    assert.equal((await hung.get('/')).status, 302, 'new sessions are made');
    const begun = performance.now();
    await hung.stop();
    assert.ok(performance.now() - begun < 10000, 'two seconds, and a busy machine');
  },
);

test('P40a more requests to a session that hangs than there are threads: they are refused, and others are served', async () => {
  const hung = await startHanging();
  const id = await hung.session(), other = await hung.session(), page = await hung.page(id);
  await act(page, 9, 'hang()');
  await hangs(hung);
  const asked = Array.from({ length: 280 }, () => hung.get(`/${id}/variables.json`));
  assert.equal((await hung.get(`/${other}`)).status, 200);
  for (const answer of await Promise.all(asked)) assert.equal(answer.status, 503);
  const answer = await hung.get(`/api/get?session=${id}`, { 'Content-Length': '0' }, 'POST');
  assert.equal(answer.status, 503);
  assert.match(answer.body, /busy/);
  await hung.stop();
});

test('P40a C3 commands to a session that hangs are refused', async () => {
  const hung = await startHanging();
  const id = await hung.session(), page = await hung.page(id);
  await act(page, 9, 'hang()');
  await hangs(hung);
  const control = await hung.control();
  for (const [cmd, fields] of [['restart', {}], ['eval', { code: 'return 1' }], ['unload', { names: ['main'] }]]) {
    const answer = await control.call(cmd, { session: id, sessions: [id], ...fields });
    assert.equal(answer.error?.code, 'busy', `${cmd}: ${JSON.stringify(answer)}`);
    assert.match(answer.error.message, /is busy with something else; the server's log says with what/);
  }
  control.close();
  await hung.stop();
});

test(
  'P40a L5 a library call that takes longer than the limit ends its entry when it returns, and the log says which and where',
  async () => {
    const slow = await Server.start({ 'lua/main.lua': `${APP}
      function App:read()
        io.open(FIFO):read("l")
        self.name = "went on"
      end` }, ['--time-limit', '1s']);
    const fifo = path.join(slow.dir, 'fifo');
    execFileSync('mkfifo', [fifo]);
    const id = await slow.session();
    const control = slow.control();
    await control.call('eval', { session: '1', code: `FIFO = "${fifo}"` });
    const page = await slow.page(id);
    await page.watchApp();
    page.create(2, 'name');
    await page.message((m) => m.data?.varId === 2);
    await act(page, 9, 'read()');
    const writer = createWriteStream(fifo); /* until somebody reads, opening it waits */
    await until(() => slow.logs().some((text) => /is in file\.read/.test(text)), 'the word while it runs', 60000);
    assert.ok(!page.messages().some((m) => m.type === 'error'));
    writer.end('line\n');
    const problem = await page.message((m) => m.type === 'error', 20000);
    assert.match(problem.data.description, /lua\/main\.lua:13: .*--time-limit/);
    await until(
      () => slow.logs().some((text) => /lua\/main\.lua:13: file\.read has returned after \d+\.\d s/.test(text)),
      'the word afterwards',
    );
    assert.ok(!page.messages().some((m) => m.data?.value === 'went on'));
    await page.eventTime();
    await page.close();
    await slow.stop();
  },
);

test('P40a timers that compute for ever', async () => {
  const control = server.control();
  const ids = [];
  for (let i = 0; i < 5; i++) {
    const { session } = await control.call('eval', { session: 'new', code: 'session:setImmediate(function() while true do end end)' });
    ids.push(session);
  }
  await othersGoOn();
  control.close();
});

test('Q2 a session that eats memory gets a Lua error that names the option', async () => {
  const control = server.control();
  const answer = await control.call('eval', {
    session: 'new',
    code: `
      local t = {}
      while true do t[#t + 1] = string.rep("x", 100000) .. #t end
    `,
  });
  assert.equal(answer.ok, false);
  assert.match(answer.error.message, /--memory-limit/);
  await othersGoOn();
  control.close();
});

test('P69 a page that does not read is dropped and blocks nobody', async () => {
  const id = await server.session();
  const page = await server.page(id);
  await page.watchApp();
  page.create(2, 'name');
  page.create(3, 'big()', { access: 'action' });
  await page.message((m) => m.data?.varId === 2);
  page.socket._socket.pause();
  await until(async () => {
    page.send({ userEvent: true, messages: [{ type: 'update', data: { varId: 3, value: null } }] });
    await steady.goesOn(1);
    return server.logs().some((text) => text.includes('--max-outbox'));
  }, 'the drop', 60000);
  page.socket.terminate();
  const again = await server.page(id);
  await again.watchApp();
  await again.close();
});

test('P69 one frame above the limit reaches a page that reads', async () => {
  const page = await server.page(await server.session());
  await page.watchApp();
  page.create(2, 'name');
  page.create(3, 'big()', { access: 'action' });
  page.send({ userEvent: true, messages: [{ type: 'update', data: { varId: 3, value: null } }] });
  await page.message((m) => m.data?.varId === 2 && m.data.value?.length > 4 * 1024 * 1024, 20000);
  await page.close();
});

test('Q2 more sessions than --max-sessions are 503 with the option in a line', async () => {
  let answer;
  await until(async () => {
    answer = await server.get('/');
    const id = answer.headers.location?.slice(1);
    if (id) await server.fetch(`/api/get?session=${id}`, { method: 'POST', body: '{"varIds":[1]}' });
    return answer.status === 503;
  }, 'the limit', 60000);
  assert.match(answer.body, /--max-sessions/);
  await othersGoOn();
});

test('P22a half-open requests and idle connections leave threads for others', async () => {
  const sockets = [];
  for (let i = 0; i < 20; i++) {
    const socket = net.connect(server.port, '127.0.0.1');
    socket.on('error', () => {});
    socket.write('GET / HTTP/1.1\r\nHost: local');
    sockets.push(socket);
  }
  assert.equal((await server.get('/lsess-client/generation')).status, 200);
  await othersGoOn();
  for (const socket of sockets) socket.destroy();
});

test('P120 garbage instead of HTTP', async () => {
  for (const text of [
    '\0\0\0\0',
    'GET\r\n\r\n',
    `GET / HTTP/1.1\r\n${'X: y\r\n'.repeat(500)}\r\n`,
    'GET / HTTP/1.1\r\nContent-Length: -5\r\n\r\n',
    `${'A'.repeat(70000)}\r\n\r\n`,
    'POST /api/get HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
  ])
    await server.raw(text);
  await othersGoOn();
});

test('Q1 connected pages that do nothing cost nothing', async () => {
  const quiet = await Server.start({ 'lua/main.lua': APP });
  const pages = [];
  for (let i = 0; i < 50; i++) pages.push(await quiet.page(await quiet.session()));
  for (const page of pages) await page.watchApp();
  const ticks = () =>
    readFileSync(`/proc/${quiet.pid}/stat`, 'utf8')
      .split(') ')[1]
      .split(' ')
      .slice(11, 13)
      .reduce((a, b) => a + Number(b), 0);
  let before = ticks();
  let since = performance.now();
  await until(() => {
    if (ticks() !== before) {
      before = ticks();
      since = performance.now();
    }
    return performance.now() - since > 3000;
  }, 'three seconds without a tick', 30000);
  for (const page of pages) await page.close();
  await quiet.stop();
});

test('C2 SIGTERM while a session computes ends within the two seconds', async () => {
  const busy = await Server.start({ 'lua/main.lua': APP }, ['--time-limit', '0']);
  const page = await busy.page(await busy.session());
  await act(page, 9, 'spin()');
  const begun = performance.now();
  busy.run.child.kill('SIGTERM');
  assert.equal(await within(15000, page.closed, 'the close'), 1001);
  assert.equal((await busy.run.result()).code, 0);
  assert.ok(performance.now() - begun < 10000);
});

test('C2 P35 SIGTERM while a page computes in one message after the other ends as fast, and in order', async () => {
  const busy = await Server.start({ 'lua/main.lua': APP }, ['--time-limit', '0']);
  const page = await busy.page(await busy.session());
  await page.watchApp();
  page.create(9, 'spin()', { access: 'action' });
  page.send({ userEvent: true, messages: Array(1000).fill({ type: 'update', data: { varId: 9, value: null } }) });
  const begun = performance.now();
  busy.run.child.kill('SIGTERM');
  assert.equal(await within(15000, page.closed, 'the close'), 1001);
  assert.equal((await busy.run.result()).code, 0);
  assert.ok(performance.now() - begun < 10000);
  assert.ok(!busy.logs().some((text) => text.includes('does not return')), busy.run.output);
});

test('L5 equal long texts in very many variables of one page do not hold up their session', async () => {
  const many = await Server.start({ 'lua/main.lua': `${APP}
    local app = session:getApp()
    app.text = ""
    function long() app.text = string.rep("x", 8 << 20) .. "-" end` }, ['--memory-limit', '128M']);
  const session = await many.session(), page = await many.page(session), control = many.control();
  await page.watchApp();
  for (let first = 10; first < 24000; first += 8000)
    await page.ask(
      Array.from({ length: 8000 }, (_, i) => ({
        type: 'create',
        data: { id: first + i, parentId: 1, properties: { path: 'text' } },
      })),
    );
  for (const code of ['long()', 'long()', 'return 1'])
    assert.equal((await within(10000, control.call('eval', { session, code }), code)).error, undefined);
  control.close();
  await many.stop();
});

test('P42 Lua that nests as deep as it may has the stack for it, however it is called', async () => {
  const deep = `
    local function f(n)
      return (string.gsub("a", "a", function() return f(n + 1) end))
    end
    local function g()
      pcall(g)
      error("x")
    end
    pcall(f, 1)
    pcall(g)
    local t = setmetatable({}, {__index = function(t, k) return t[k + 1] end})
    pcall(function() return t[1] end)
    return "alive"
  `;
  const control = server.control();
  const answer = await control.call('eval', { code: deep });
  assert.equal(answer.json, 'alive', JSON.stringify(answer));
  control.close();
  const site = await Server.start({
    'lua/main.lua': `
      ${APP}
      local function deep()
        ${deep}
      end
      function App:deep() self.name = deep() end
      assert(deep() == "alive")
    `,
  });
  const page = await site.page(await site.session());
  await page.watchApp();
  page.create(2, 'name');
  page.create(3, 'deep()', { access: 'action' });
  page.send({ userEvent: true, messages: [{ type: 'update', data: { varId: 3, value: null } }] });
  await page.message((m) => m.data?.varId === 2 && m.data.value === 'alive');
  await page.close();
  await site.stop();
});

test('P120 a thousand levels of nesting are an error, on every road', async () => {
  const nested = `${'['.repeat(100000)}${']'.repeat(100000)}`;
  const site = await Server.start({ 'lua/main.lua': APP });
  const id = await site.session();
  const page = await site.page(id);
  for (const text of [
    nested,
    `{"type":"update","id":1,"value":${nested}}`,
    `{"type":"update","id":1,"value":${'['.repeat(990)}${']'.repeat(990)}}`,
  ])
    page.send(text);
  await until(() => page.messages().filter((m) => m.type === 'error').length >= 3, 'three errors');
  for (const levels of [900, 990, 5000, 100000]) {
    const body = `{"varId":1,"value":${'['.repeat(levels)}${']'.repeat(levels)}}`;
    const { status } = await site.fetch(`/api/update?session=${id}`, { method: 'POST', body });
    assert.ok(status >= 200);
  }
  assert.equal((await site.get(`/${id}`)).status, 200);
  await page.close();
  await site.stop();
});

test('L145 a flood of equal errors is one record at once, and their number a second later', async () => {
  const fleet = Array.from({ length: 1000 }, () => '{ rows = { {}, {} } }').join(', ');
  const main = `
    ${APP}
    function App:fail() error("no wind") end
    App.fleet = { ${fleet} }
  `;
  const flooded = await Server.start({ 'lua/main.lua': main }, ['-v']);
  const page = await flooded.page(await flooded.session());
  await page.watchApp();
  const create = (id, properties) => ({ type: 'create', data: { id, parentId: 1, properties } });
  const rows = (first, path, more) => Array.from({ length: 1000 }, (_, i) => create(first + i, { path: path(i), ...more }));
  const told = async (wanted) => {
    const all = await until(() => {
      const texts = flooded.logs().filter((text) => wanted.test(text));
      return texts.some((text) => /\(\d+ more times\)/.test(text)) && texts;
    }, `the number of ${wanted}`);
    assert.ok(all.length < 20 && !/more times/.test(all[0]), `at once, and not all of them: ${all.length}`);
  };
  await page.ask(rows(10, () => 'fail()?access=r'));
  await told(/no wind/);
  await page.ask(rows(2000, (i) => `fleet.${i}.rows`, { keyed: 'true', key: 'id' }));
  await told(/^variable \d+: .*no 'id'|no 'id'/);
  await page.ask(
    rows(10, () => '').map((_, i) => ({
      type: 'error',
      data: { varId: 10 + i, code: 'render', description: 'no such element' },
    })),
  );
  await told(/no such element/);
  await page.close();
  await flooded.stop();
});

test('L145 a flood of errors that all differ is a few records a second and the number of the others; none is lost', async () => {
  const flooded = await Server.start({ 'lua/main.lua': `${APP}
    function App:fail(value) error("bad " .. value, 0) end` });
  const page = await flooded.page(await flooded.session());
  await page.watchApp();
  page.create(9, 'fail(_)', { access: 'action' });
  page.send({ userEvent: true, messages: Array.from({ length: 400 }, (_, i) => ({ type: 'update', data: { varId: 9, value: `k${i}` } })) });
  await page.eventTime();
  await page.close();
  await flooded.stop();
  const texts = flooded.logs().filter((text) => /bad k\d|^Others, after/.test(text));
  const counts = texts.map((text) => Number(/\((\d+) more times\)/.exec(text)?.[1] ?? 1));
  assert.equal(counts.reduce((sum, count) => sum + count), 400);
  assert.ok(texts.length < 300, `${texts.length} records`);
});

test('L145 a main.lua that fails at each visit is told once a second', async () => {
  const broken = await Server.start({ 'lua/main.lua': 'error("no harbor")' });
  const begun = performance.now();
  for (let i = 0; i < 30; i++) assert.equal((await broken.get('/')).status, 500);
  const seconds = Math.ceil((performance.now() - begun) / 1000) + 1;
  const all = () => broken.logs().filter((text) => text.includes('no harbor'));
  const number = () => all().reduce((sum, text) => sum + Number(/\((\d+) more times\)/.exec(text)?.[1] ?? 1), 0);
  await until(() => number() === 30, 'all are told of');
  assert.ok(all().length <= 2 * seconds, `${all().length} records in ${seconds} s`);
  await broken.stop();
});
