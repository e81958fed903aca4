/** What proxies, balancers and health checks say to a server, and hear from it (N4, N20 to N23). In raw bytes. */
import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { APP, Page, Server, until, within, writeSite } from './lib.js';

let server;
before(async () => {
  server = await Server.start({ 'lua/main.lua': APP, 'html/data.txt': '0123456789' });
});
after(() => server.stop());

/** A connection: what has come on it, a wait for more, and its end. */
function connect(port = server.port) {
  const socket = net.connect(port, '127.0.0.1');
  const line = { text: '', socket, changed: () => {} };
  line.closed = new Promise((resolve) => socket.on('close', () => { line.over = true; line.changed(); resolve(); }));
  socket.on('error', () => {});
  socket.on('data', (chunk) => { line.text += chunk.toString('latin1'); line.changed(); });
  line.until = (condition, what) => within(15000, (async () => {
    while (!condition(line.text)) {
      if (line.over) throw new Error(`the connection ended: ${line.text}`);
      await new Promise((resolve) => { line.changed = resolve; });
    }
  })(), what);
  return line;
}

const bare = (first) => server.raw(`${first}\r\n\r\n`, { half: true });

test('N4 a connection is kept at least as long as the answer names', async () => {
  const line = connect(), request = 'GET /data.txt HTTP/1.1\r\nHost: localhost\r\n\r\n';
  line.socket.write(request);
  await line.until((text) => text.endsWith('0123456789'), 'the first answer');
  const since = performance.now(), [, seconds] = /\r\nKeep-Alive: timeout=(\d+)\r\n/.exec(line.text);
  await within(15000, line.closed, 'the end of the connection');
  assert.ok(performance.now() - since >= seconds * 1000, `${performance.now() - since} ms`);
});

test('N4 where few workers are left, answers end their connections', async () => {
  const few = await Server.start({ 'lua/main.lua': APP, 'html/data.txt': '0123456789' }, ['--max-connections', '1']);
  const lines = [];
  try {
    for (let i = 0; i < 24; i++) {
      const line = connect(few.port);
      lines.push(line);
      line.socket.write('GET /data.txt HTTP/1.1\r\nHost: localhost\r\n');
    }
    await within(15000, Promise.race(lines.map(async (line) => {
      line.socket.write('\r\n');
      await line.until((text) => text.includes('\r\nConnection: close\r\n'), 'an end');
    })), 'an answer that ends its connection');
  } finally {
    lines.forEach((line) => line.socket.destroy());
    await few.stop();
  }
});

test('N20 a client that expects 100-continue is told to go on', async () => {
  const id = await server.session(), body = '{"varIds":[1]}', line = connect();
  line.socket.write(`POST /api/get?session=${id} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n`);
  line.socket.write(`Expect: 100-continue\r\nContent-Length: ${body.length}\r\n\r\n`);
  await line.until((text) => text === 'HTTP/1.1 100 Continue\r\n\r\n', 'the invitation');
  line.socket.write(body);
  await within(15000, line.closed, 'the end');
  assert.match(line.text, /^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 200 OK\r\n[^]*"result"/);
});

test('N20 a refused request is not told to send its body', async () => {
  const line = connect();
  line.socket.write('POST /api/get?session=none HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n');
  await within(15000, line.closed, 'the end');
  assert.match(line.text, /^HTTP\/1.1 404 /);
});

test('N20 OPTIONS tells what an address takes, also of the server as a whole', async () => {
  for (const where of ['/', '/data.txt', '/api/get', '*']) {
    const allow = where === '/api/get' ? 'OPTIONS, POST' : 'GET, HEAD, OPTIONS';
    const answer = await server.get(where, {}, 'OPTIONS');
    const { allow: told, 'content-length': length } = answer.headers;
    assert.deepEqual([answer.status, told, answer.body, length], [204, allow, '', undefined], where);
  }
  assert.equal((await server.get('*', {}, 'GET')).status, 400);
  assert.equal((await server.get('http://other.example/', {}, 'GET')).status, 400);
});

test('N20 methods that are not known are answered with a sentence, TRACE with what is allowed', async () => {
  const trace = await server.get('/', {}, 'TRACE');
  assert.deepEqual([trace.status, trace.headers.allow], [405, 'GET, HEAD, OPTIONS']);
  const other = await server.get('/', {}, 'BREW');
  assert.deepEqual([other.status, other.body], [501, "There is no method 'BREW' here.\n"]);
});

test('N23 health checks in HTTP/1.0 need no Host', async () => {
  for (const first of ['OPTIONS / HTTP/1.0', 'HEAD / HTTP/1.0', 'HEAD /data.txt HTTP/1.0'])
    assert.match(String((await bare(first)).status), /^20[04]$/, first);
  for (const first of ['GET /data.txt HTTP/1.1', 'OPTIONS / HTTP/1.1', 'GET /data.txt HTTP/1.0'])
    assert.equal((await bare(first)).status, 403, first);
  const evil = await server.raw('HEAD /data.txt HTTP/1.0\r\nHost: evil.example\r\n\r\n', { half: true });
  assert.equal(evil.status, 403);
});

test('N20 a head that is too large is 431, an address that is too long 414, each with a sentence', async () => {
  const large = await server.get('/', { Cookie: 'a'.repeat(20000) });
  assert.equal(large.status, 431);
  assert.match(large.body, /^The header of the request is larger than 16 KiB\. .*cookies/);
  const long = await server.get(`/${'a'.repeat(5000)}`);
  assert.deepEqual([long.status, long.body], [414, 'The address is too long.\n']);
});

const GONE = 'f'.repeat(32);
const KEY = { 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==', 'Sec-WebSocket-Version': '13' };
const UPGRADE = { Connection: 'Upgrade', Upgrade: 'websocket', ...KEY };

test('R54 P8 an answer that a session is gone carries a mark, another 404 none', async () => {
  for (const [method, where, headers] of [
    ['GET', `/${GONE}`], ['HEAD', `/${GONE}`], ['GET', `/${GONE}/some/place`], ['GET', `/ws/${GONE}`, UPGRADE], ['POST', `/ws/${GONE}`],
    ['POST', `/api/get?session=${GONE}`],
  ]) {
    const answer = await server.get(where, headers, method);
    assert.deepEqual([answer.status, answer.headers['x-lsess']], [404, 'gone'], `${method} ${where}`);
  }
  for (const where of ['/nothing.txt', '/docs/'])
    assert.deepEqual([(await server.get(where)).status, (await server.get(where)).headers['x-lsess']], [404, undefined], where);
});

test('R54 a page may ask whether its WebSocket would be taken, and hears why not', async () => {
  const few = await Server.start({ 'lua/main.lua': APP }, ['--max-session-connections', '1']);
  const id = await few.session(), ask = async (headers) => {
    const answer = await few.get(`/ws/${id}`, headers, 'POST');
    return [answer.status, answer.headers['x-lsess'], answer.body];
  };
  assert.deepEqual(await ask({ Origin: few.url }), [204, 'ready', '']);
  assert.deepEqual(await ask({ Origin: 'https://tool.example' }), [403, 'refused',
    'Pages of https://tool.example are refused (Origin); start with --allow-origin https://tool.example\n']);
  const page = await few.page(id);
  const [status, mark, text] = await ask({ Origin: few.url });
  assert.deepEqual([status, mark], [503, 'refused']);
  assert.match(text, /--max-session-connections/);
  await page.close();
  await few.stop();
});

test('N20 Q3 each kind of refusal is told in the log, once a minute, with the option to use', async () => {
  const quiet = await Server.start({ 'lua/main.lua': APP }, ['--max-sessions', '1', '--max-connections', '1']);
  const id = await quiet.session(), page = await quiet.page(id), body = async (...request) => (await quiet.get(...request)).body.trim();
  const sentences = [
    await body('/', { Host: 'tool.example' }),
    await body(`/ws/${id}`, { Origin: 'https://tool.example', ...UPGRADE }),
    await body(`/ws/${id}`, { Connection: 'close', ...KEY }),
    await body('/', { 'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Dest': 'image' }),
    await body(`/ws/${id}`, { Origin: quiet.url, ...UPGRADE }),
  ];
  assert.equal(sentences[0], "The host name 'tool.example' is not served here (Host); " +
    'start with --host or --allow-origin, such as --allow-origin http://tool.example');
  assert.equal(sentences[1], 'Pages of https://tool.example are refused (Origin); start with --allow-origin https://tool.example');
  assert.equal(sentences[2], 'A WebSocket came without Upgrade: the proxy before this server has to pass Upgrade and Connection on.');
  assert.match(sentences[3], /--allow-origin .* --allow-frame/);
  assert.match(sentences[4], /the limit of --max-connections/);
  for (let i = 0; i < 20; i++) {
    assert.match(await body('/', { Host: `tool${i}.example` }), /is not served here/);
    assert.match(await body('/'), /the limit of --max-sessions/); // of the kind that has been told already
  }
  assert.deepEqual(quiet.logs().filter((line) => /Host|Origin|Upgrade|Pages of other|limit of/.test(line)), sentences);
  await page.close();
  await quiet.stop();
});

const PROXIED = {
  'X-Forwarded-For': '203.0.113.7', 'X-Forwarded-Host': 'tool.example', 'X-Forwarded-Proto': 'https',
};

/** What a server with these options answers to a request. */
async function asked(options, ...request) {
  const one = await Server.start({ 'lua/main.lua': APP }, options);
  try {
    return await one.get(...request);
  } finally {
    await one.stop();
  }
}

test('N20 Q3 a trusted proxy is believed: host, origin and cookies are the public ones', async () => {
  const behind = await Server.start({ 'lua/main.lua': APP }, ['--trust-proxy', '127.0.0.0/8']);
  for (const host of [undefined, 'tool.example']) {
    const headers = { ...PROXIED, ...(host ? { Host: host } : {}) };
    const root = await behind.get('/', headers), id = root.headers.location?.slice(1);
    assert.equal(root.status, 302, root.body);
    const page = await behind.get(`/${id}`, headers);
    assert.match(page.headers['set-cookie'], /^ui-session=\w+; Path=\/; SameSite=Lax; Secure, /);
    for (const [origin, status] of [
      ['https://tool.example', 204], ['https://tool.example:443', 204], ['https://TOOL.example', 204], ['http://tool.example', 403],
      ['https://tool.example:8443', 403], ['https://evil.example', 403], [behind.url, 403],
    ])
      assert.equal((await behind.get(`/ws/${id}`, { ...headers, Origin: origin }, 'POST')).status, status, origin);
  }
  const port = await behind.get('/', { ...PROXIED, 'X-Forwarded-Port': '8443', Origin: 'https://tool.example:8443' }, 'POST');
  assert.equal(port.status, 405);
  await behind.stop();
});

test('N20 Q3 nobody else is believed', async () => {
  const id = await server.session(), headers = { ...PROXIED, Forwarded: 'for=203.0.113.7;host=tool.example;proto=https' };
  assert.doesNotMatch((await server.get(`/${id}`, headers)).headers['set-cookie'], /Secure/);
  const refused = await server.get(`/ws/${id}`, { ...headers, Origin: 'https://tool.example' }, 'POST');
  assert.deepEqual([refused.status, refused.body], [403, 'Pages of https://tool.example are refused (Origin); start with ' +
    '--allow-origin https://tool.example, or, if 127.0.0.1 is a proxy of yours, with --trust-proxy 127.0.0.1\n']);
  assert.equal((await server.get('/', { ...headers, Host: 'tool.example' })).status, 403);
  const other = await asked(['--trust-proxy', '10.0.0.1', '--trust-proxy', '::1'], '/', { ...headers, Host: 'tool.example' });
  assert.equal(other.status, 403);
});

test('N20 Q3 a name that leads to our own port has not come by a proxy, whatever its headers say', async () => {
  const behind = await Server.start({ 'lua/main.lua': APP }, ['--trust-proxy', '127.0.0.1']);
  const host = `evil.example:${behind.port}`;
  for (const forwarded of [host, 'evil.example', 'localhost', 'tool.example'])
    assert.equal((await behind.get('/', { ...PROXIED, Host: host, 'X-Forwarded-Host': forwarded })).status, 403, forwarded);
  assert.equal((await behind.get('/', { Host: 'tool.example' })).status, 403);
  await behind.stop();
});

test('N20 Forwarded is believed with --trust-forwarded alone', async () => {
  const Forwarded = 'for=203.0.113.7;proto=https;host=tool.example', request = ['/', { Forwarded, Origin: 'https://tool.example' }, 'POST'];
  assert.equal((await asked(['--trust-proxy', '127.0.0.1'], ...request)).status, 403);
  assert.equal((await asked(['--trust-proxy', '127.0.0.1', '--trust-forwarded'], ...request)).status, 405);
});

test('N20 default ports make no difference in origins', async () => {
  for (const [allowed, origin, status] of [
    ['https://tool.example:443', 'https://tool.example', 405], ['https://tool.example', 'https://tool.example:443', 405],
    ['http://tool.example', 'http://tool.example:80', 405], ['https://tool.example', 'https://tool.example:80', 403],
  ])
    assert.equal((await asked(['--allow-origin', allowed], '/', { Origin: origin }, 'POST')).status, status, `${allowed} ${origin}`);
});

test('N20 P91a C2 a proxy at this machine makes nobody the user who serves', async () => {
  const behind = await Server.start({ 'lua/main.lua': APP }, ['--trust-proxy', '127.0.0.1']);
  assert.ok(behind.logs().some((line) => /may be a proxy's \(--trust-proxy\), so the property lua/.test(line)), behind.run.output);
  const page = await behind.page(await behind.session());
  const answer = await page.ask({ type: 'update', data: { varId: 1, properties: { lua: 'ran = true' } } });
  assert.ok(answer.some((m) => m.type === 'error' && m.data.code === 'unauthorized'), JSON.stringify(answer));
  await page.close();
  await behind.stop();
});

/** Follows the addresses that a browser would: the page's id, its document, its first module and a WebSocket, each
 * through `outside`, which turns a public path into what the proxy asks for. */
async function walk(at, outside, headers) {
  const browser = { ...headers, Accept: 'text/html,*/*' };
  const root = await at.get(outside('/tool/'), browser);
  assert.equal(root.status, 302, root.body);
  const where = new URL(root.headers.location, 'http://public/tool/').pathname;
  assert.match(where, /^\/tool\/[0-9a-f]{32}$/);
  for (const place of [where, `${where}/`, `${where}/a/b`, `${where}/any/deep/path`, `${where}/any/deep/path/`]) {
    const page = await at.get(outside(place), browser);
    assert.equal(page.status, 200);
    const entry = new URL(/src="([^"]*)"/.exec(page.body)[1], `http://public${place}`).pathname;
    assert.equal(entry, '/tool/main.js', page.body);
    assert.match((await at.get(outside(entry), headers)).body, /import /);
    const modules = [...page.body.matchAll(/modulepreload" href="([^"]*)"/g)].map((m) => new URL(m[1], `http://public${place}`).pathname);
    assert.ok(modules.length > 5);
    assert.ok(modules.every((module) => module.startsWith('/tool/lsess-client/')), modules.join());
  }
  const gone = await at.get(outside(`/tool/${GONE}/x`), headers);
  assert.equal(new URL(/href="([^"]*)"[^>]*>Start/.exec(gone.body)[1], `http://public/tool/${GONE}/x`).pathname, '/tool/');
  const socket = outside(`/tool/ws/${where.slice(6)}`), asked = await at.get(socket, headers, 'POST');
  assert.deepEqual([asked.status, asked.headers['x-lsess']], [204, 'ready']);
  const open = new Page({ url: `http://127.0.0.1:${at.port}` }, '', { path: socket, headers });
  await open.opened();
  await open.close();
  return { root, page: await at.get(outside(where), headers) };
}
const stripped = (where) => where.slice('/tool'.length), kept = (where) => where;

test('N21 a proxy that takes the prefix off and says nothing of it', async () => {
  const { page } = await walk(server, stripped, {});
  assert.match(page.headers['set-cookie'], /^ui-session=\w+; Path=\/; /);
});

test('N21 --base-path, with a proxy that takes it off and one that leaves it', async () => {
  for (const given of ['/tool', '/tool/']) {
    const behind = await Server.start({ 'lua/main.lua': APP, 'html/docs/index.html': 'docs' }, ['--base-path', given]);
    assert.match(behind.ready.url, /^http:\/\/127\.0\.0\.1:\d+\/tool\/$/);
    for (const outside of [stripped, kept]) {
      const { root, page } = await walk(behind, outside, {});
      assert.match(root.headers.location, /^\/tool\/[0-9a-f]{32}$/);
      assert.match(page.headers['set-cookie'], /^ui-session=\w+; Path=\/tool\/; SameSite=Lax, ui-session-\d+=\w+; Path=\/tool\/; /);
      const moved = [['//docs/', '/docs/'], ['/docs', '/docs/'], ['/api', '/api/'], ['/index.html', '/']];
      for (const [from, to] of moved.map((pair) => pair.map((where) => `/tool${where}`))) {
        const { location } = (await behind.get(outside(from))).headers;
        assert.equal(new URL(location, `http://public${from.replace('//', '/')}`).pathname, to, from);
      }
    }
    assert.equal((await behind.get('/tool')).headers.location, '/tool/');
    assert.equal((await behind.get('/toolbox')).status, 404);
    await behind.stop();
  }
});

test('N21 X-Forwarded-Prefix of a trusted proxy, and of nobody else', async () => {
  const behind = await Server.start({ 'lua/main.lua': APP }, ['--trust-proxy', '127.0.0.1']);
  for (const outside of [stripped, kept]) {
    const { root, page } = await walk(behind, outside, { 'X-Forwarded-Prefix': '/tool' });
    assert.match(root.headers.location, /^\/tool\//);
    assert.match(page.headers['set-cookie'], /Path=\/tool\/;/);
  }
  for (const prefix of ['//evil.example', 'evil', '/a;b', '/a/../b'])
    assert.match((await behind.get('/', { 'X-Forwarded-Prefix': prefix })).headers.location, /^\/[0-9a-f]{32}$/, prefix);
  await behind.stop();
  assert.match((await server.get('/', { 'X-Forwarded-Prefix': '/tool' })).headers.location, /^\/[0-9a-f]{32}$/);
});

test('N23 /healthz is for whoever asks, by whatever name, and makes no session', async () => {
  const checked = await Server.start({ 'lua/main.lua': APP }, ['--base-path', '/tool']);
  for (const request of [
    'GET /healthz HTTP/1.0\r\n\r\n', 'GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n', 'GET /tool/healthz HTTP/1.0\r\n\r\n',
    'GET /healthz HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n',
  ]) {
    const answer = await checked.raw(request, { half: true });
    assert.deepEqual([answer.status, answer.body], [200, 'ok'], request);
  }
  const head = await checked.get('/healthz', {}, 'HEAD');
  assert.deepEqual([head.status, head.body, head.headers['content-length']], [200, '', '2']);
  assert.equal((await checked.get('/healthz', {}, 'POST')).status, 405);
  assert.match((await checked.get('/metrics')).body, /^lsess_sessions 0$/m);
  await checked.stop();
});

/** Figures by name, of a text whose lines are well formed. */
function figures(text) {
  const lines = text.split('\n').filter((line) => line && !line.startsWith('#'));
  for (const line of lines) assert.match(line, /^lsess_[a-z_]+ [0-9.e+-]+$/);
  for (const [, name] of text.matchAll(/^lsess_([a-z_]+) /gm))
    assert.match(text, new RegExp(`^# TYPE lsess_${name} (gauge|counter)$`, 'm'));
  return Object.fromEntries(lines.map((line) => line.split(' ')).map(([name, value]) => [name.slice(6), Number(value)]));
}

test('N23 /metrics counts what happens', async () => {
  const watched = await Server.start({ 'lua/main.lua': APP }, ['--watch']);
  const look = async () => figures((await watched.get('/metrics')).body);
  const before = await look(), { page } = await watched.opened();
  await page.eventTime();
  const after = await look();
  assert.deepEqual([before.sessions, after.sessions, before.connections, after.connections], [0, 1, 0, 1]);
  assert.ok(after.detections_total > before.detections_total && after.detection_seconds_total > 0);
  assert.ok(after.queue_waits_total > 0 && after.sessions_memory_bytes > 10000 && after.memory_resident_bytes > 1e6);
  assert.equal(after.reloads_total, 0);
  writeSite(watched.dir, { 'lua/main.lua': `${APP}-- saved` });
  await until(async () => (await look()).reloads_total === 1, 'a reload that is counted');
  assert.ok((await look()).saves_total >= 1);
  await page.close();
  await until(async () => (await look()).connections === 0, 'the end of a connection that is counted');
  await watched.stop();
});

test('N23 /metrics is for this machine and for proxies that are trusted, not for whom these bring', async () => {
  assert.equal((await server.get('/metrics', { 'X-Forwarded-For': '127.0.0.1' })).status, 403);
  assert.equal((await server.get('/metrics', { Host: 'evil.example' })).status, 403);
  const behind = await Server.start({ 'lua/main.lua': APP }, ['--trust-proxy', '127.0.0.1', '--trust-proxy', '10.0.0.0/8']);
  for (const [client, status] of [['203.0.113.7', 403], ['10.1.1.1', 200], ['127.0.0.1', 200], ['127.0.0.1, 203.0.113.7', 403]])
    assert.equal((await behind.get('/metrics', { 'X-Forwarded-For': client })).status, status, client);
  assert.equal((await behind.get('/metrics')).status, 200);
  /* A proxy that does not say for whom it asks may ask for anybody. */
  for (const [name, value] of [['X-Forwarded-Proto', 'https'], ['X-Forwarded-For', ''], ['X-Forwarded-For', '203.0.113.9, unknown'],
    ['X-Real-IP', '203.0.113.9'], ['Via', '1.1 proxy'], ['Forwarded', 'for=203.0.113.9']])
    assert.equal((await behind.get('/metrics', { [name]: value })).status, 403, `${name}: ${value}`);
  await behind.stop();
});
