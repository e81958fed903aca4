/** HTTP: routes, sessions' pages, static files, refusals (protocol.md sections 1 and 2, frontend.md F8–F11, quality.md Q3). */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { APP, Server, makeSite, until, writeSite } from './lib.js';

let server, outside;

before(async () => {
  outside = mkdtempSync(path.join(os.tmpdir(), 'lsess-out-'));
  writeSite(outside, { 'pub/a.txt': 'outside, listed', 'pub/.hidden': 'no', 'secret/b.txt': 'outside, not listed' });
  const dir = makeSite({
    'lua/main.lua': APP,
    'html/index.html': '<!doctype html><html><head><title>t</title></head><body ui-app></body></html>',
    'html/docs/index.html': '<p>docs</p>',
    'html/empty/keep.txt': 'x',
    'html/a.js': 'export const a = 1;\n',
    'html/data.txt': '0123456789',
    'html/.secret': 'no',
    'html/sub/.git/config': 'no',
    'html/main-deadbeef.js': 'site file',
    'html/über uns.txt': 'ü',
    'apps/shop/style.css': 'b{}',
    'apps/.private/x.txt': 'no',
    'lsess.lua': `return { static_roots = { "${outside}/pub" } }`,
  });
  symlinkSync('../apps/shop', path.join(dir, 'html/shop'));
  symlinkSync('../lua', path.join(dir, 'html/code'));
  symlinkSync('../lsess.lua', path.join(dir, 'html/config.txt'));
  symlinkSync('../apps/.private', path.join(dir, 'html/private'));
  symlinkSync(path.join(outside, 'pub'), path.join(dir, 'html/pub'));
  symlinkSync(path.join(outside, 'secret'), path.join(dir, 'html/secret'));
  mkdirSync(path.join(dir, 'html/deep'));
  symlinkSync(path.join(outside, 'pub'), path.join(dir, 'html/deep/pub'));
  server = await Server.start(dir);
});

after(() => server.stop());

const sessions = async () => {
  const control = server.control();
  const { sessions: list } = await control.call('sessions');
  control.close();
  return list.length;
};

test('P3 GET / makes a session and answers 302 without a cookie', async () => {
  const answer = await server.get('/');
  assert.equal(answer.status, 302);
  assert.match(answer.headers.location, /^\/[0-9a-f]{32}$/);
  assert.equal(answer.headers['set-cookie'], undefined);
});

test('P5 every GET / makes a new session, also with a cookie', async () => {
  const id = await server.session();
  const again = await server.get('/', { Cookie: `ui-session=${id}` });
  assert.equal(again.status, 302);
  assert.notEqual(again.headers.location, `/${id}`);
});

test('P6 other methods on / make no session', async () => {
  const count = await sessions();
  const head = await server.get('/', {}, 'HEAD');
  assert.equal(head.status, 200);
  assert.equal(head.body, '');
  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH']) assert.equal((await server.get('/', {}, method)).status, 405, method);
  assert.equal((await server.get('/', {}, 'OPTIONS')).status, 204);
  assert.equal(await sessions(), count);
});

/* The plain one is what sites' client reads, the other one is this server's alone. */
const cookies = (id) => `ui-session=${id}; Path=/; SameSite=Lax, ui-session-${server.port}=${id}; Path=/; SameSite=Lax`;

test('P8 P9 PX46 session pages: index with the id in it, cookie, no-cache', async () => {
  const id = await server.session();
  for (const where of [`/${id}`, `/${id}/`, `/${id}/any/page`]) {
    const answer = await server.get(where);
    assert.equal(answer.status, 200, where);
    assert.equal(answer.headers['content-type'], 'text/html; charset=utf-8');
    assert.equal(answer.headers['set-cookie'], cookies(id));
    assert.equal(answer.headers['cache-control'], 'no-cache');
    assert.ok(answer.body.includes(`<head><meta name="ui-session" content="${id}">`));
    assert.equal(answer.headers['referrer-policy'], 'same-origin');
  }
});

test('P9 the cookie comes with a 304 too, whose ETag covers the id', async () => {
  const id = await server.session(), other = await server.session();
  const first = await server.get(`/${id}`);
  const again = await server.get(`/${id}`, { 'If-None-Match': first.headers.etag });
  assert.equal(again.status, 304);
  assert.equal(again.headers['set-cookie'], cookies(id));
  assert.equal(again.body, '');
  assert.equal((await server.get(`/${other}`, { 'If-None-Match': first.headers.etag })).status, 200);
});

test('P8 F219 an id that is not live is 404 with a page that links to /', async () => {
  const gone = `/${'0123456789abcdef'.repeat(2)}`;
  const page = await server.get(gone);
  assert.equal(page.status, 404);
  assert.match(page.body, /href="\.\/"/);
  assert.equal((await server.get(gone, {}, 'HEAD')).status, 404);
  assert.equal((await server.get(`${gone}/variables`)).status, 404);
  assert.equal((await server.get(`${gone}/variables.json`)).status, 404);
});

test('P10 P12 the variable browser and its listing set no cookie', async () => {
  const id = await server.session();
  const page = await server.get(`/${id}/variables`);
  assert.equal(page.status, 200);
  assert.equal(page.headers['content-type'], 'text/html; charset=utf-8');
  assert.equal(page.headers['set-cookie'], undefined);
  const listing = await server.get(`/${id}/variables.json`);
  assert.equal(listing.status, 200);
  assert.match(listing.headers['content-type'], /^application\/json/);
  assert.match(listing.headers['x-change-count'], /^\d+$/);
  assert.equal(listing.headers['set-cookie'], undefined);
  const rows = JSON.parse(listing.body);
  assert.equal(rows[0].id, 1);
  assert.equal(rows[0].type, 'App');
});

test('P15 a diag that is no number is refused', async () => {
  const id = await server.session();
  assert.equal((await server.get(`/${id}/variables.json?diag=2`)).status, 200);
  for (const level of ['x', '', '-1', '1.5', '%zz', '9'.repeat(40)])
    assert.equal((await server.get(`/${id}/variables.json?diag=${level}`)).status, 400, level);
});

test('P2 paths are decoded once and redirected to the canonical form', async () => {
  for (const [asked, to] of [
    ['//a.js', '/a.js'],
    ['/docs/../a.js', '/a.js'],
    ['/./a.js', '/a.js'],
    ['/x/%2e%2e/a.js', '/a.js'],
    ['/api', '/api/'],
    ['/ws', '/ws/'],
    ['/docs//?q=1', '/docs/?q=1'],
    ['//evil.example/', '/evil.example/'],
    ['/../../etc/passwd', '/etc/passwd'],
  ]) {
    const answer = await server.get(asked);
    assert.equal(answer.status, 301, asked);
    assert.equal(answer.headers.location, to, asked);
  }
  assert.equal((await server.get('/%252e%252e/a.js')).status, 404);
});

test('Q3 NUL, bad escapes and encoded tricks are refused', async () => {
  for (const asked of ['/a.js%00.txt', '/%', '/%zz', '/%2']) assert.equal((await server.get(asked)).status, 400, asked);
  for (const asked of ['/..%5c..%5clua/main.lua', '/%c0%ae%c0%ae/lua/main.lua']) assert.equal((await server.get(asked)).status, 404, asked);
  assert.equal((await server.get(`/${'a'.repeat(9000)}`)).status, 414);
});

test('P19 F10 content types follow the extension', async () => {
  const types = {
    'a.js': 'text/javascript; charset=utf-8',
    'data.txt': 'text/plain; charset=utf-8',
    'shop/style.css': 'text/css; charset=utf-8',
  };
  for (const [name, type] of Object.entries(types)) {
    const answer = await server.get(`/${name}`);
    assert.equal(answer.status, 200, name);
    assert.equal(answer.headers['content-type'], type);
    assert.equal(answer.headers['x-content-type-options'], 'nosniff');
  }
  assert.equal((await server.get('/%C3%BCber%20uns.txt')).status, 200);
});

test('P19 HEAD, conditional requests and single ranges', async () => {
  const full = await server.get('/data.txt');
  assert.equal(full.headers['content-length'], '10');
  const head = await server.get('/data.txt', {}, 'HEAD');
  assert.equal(head.status, 200);
  assert.equal(head.headers['content-length'], '10');
  assert.equal(head.body, '');
  assert.equal((await server.get('/data.txt', { 'If-None-Match': full.headers.etag })).status, 304);
  assert.equal((await server.get('/data.txt', { 'If-None-Match': '"x", *' })).status, 304);
  assert.equal((await server.get('/data.txt', { 'If-Modified-Since': full.headers['last-modified'] })).status, 304);
  assert.equal((await server.get('/data.txt', { 'If-Modified-Since': 'Thu, 01 Jan 1970 00:00:10 GMT' })).status, 200);
  for (const [range, body, span] of [
    ['bytes=2-4', '234', '2-4'],
    ['bytes=7-', '789', '7-9'],
    ['bytes=-3', '789', '7-9'],
    ['bytes=0-99', '0123456789', '0-9'],
  ]) {
    const part = await server.get('/data.txt', { Range: range });
    assert.equal(part.status, 206, range);
    assert.equal(part.body, body);
    assert.equal(part.headers['content-range'], `bytes ${span}/10`);
  }
  const beyond = await server.get('/data.txt', { Range: 'bytes=10-' });
  assert.equal(beyond.status, 416);
  assert.equal(beyond.headers['content-range'], 'bytes */10');
  assert.equal((await server.get('/data.txt', { Range: 'bytes=0-1,3-4' })).status, 200);
  assert.equal((await server.get('/data.txt', { Range: 'bytes=0-1', 'If-Range': '"other"' })).body, '0123456789');
});

test('P19 folders: index.html answers, no listing', async () => {
  assert.equal((await server.get('/docs/')).body, '<p>docs</p>');
  const slash = await server.get('/docs');
  assert.equal(slash.status, 301);
  assert.equal(new URL(slash.headers.location, `${server.url}/docs`).pathname, '/docs/');
  const index = await server.get('/docs/index.html');
  assert.equal(index.status, 301);
  assert.equal(new URL(index.headers.location, `${server.url}/docs/index.html`).pathname, '/docs/');
  assert.equal((await server.get('/empty/')).status, 404);
  assert.equal((await server.get('/empty')).status, 404);
});

test('P20 /index.html shows no page without a session', async () => {
  const answer = await server.get('/index.html');
  assert.equal(answer.status, 301);
  assert.equal(answer.headers.location, './');
});

test('P19a links inside the site and listed folders are served, all else is not', async () => {
  assert.equal((await server.get('/shop/style.css')).status, 200);
  assert.equal((await server.get('/pub/a.txt')).body, 'outside, listed');
  for (const hidden of [
    '/.secret', '/sub/.git/config', '/code/main.lua', '/config.txt', '/private/x.txt', '/pub/.hidden',
    '/secret/b.txt', '/deep/pub/a.txt', '/lsess.lua', '/lua/main.lua',
  ])
    assert.equal((await server.get(hidden)).status, 404, hidden);
});

test('P19 an html folder that comes while the server runs is served', async () => {
  const late = await Server.start({ 'lua/main.lua': APP });
  try {
    assert.equal((await late.get('/a.txt')).status, 404);
    writeSite(late.dir, { 'html/a.txt': 'here', 'html/index.html': '<!doctype html><body ui-app>late</body>' });
    assert.equal((await late.get('/a.txt')).body, 'here');
    assert.match((await late.get(`/${await late.session()}`)).body, /late/);
  } finally {
    await late.stop();
  }
});

test('P19 methods other than GET and HEAD on files are refused', async () => {
  for (const method of ['PUT', 'DELETE', 'POST', 'PROPFIND', 'MKCOL']) {
    const { status } = await server.get('/a.js', {}, method);
    assert.ok(status === 405 || status === 501 || status === 400, `${method}: ${status}`);
  }
  assert.equal((await server.get('/a.js')).body, 'export const a = 1;\n');
});

test('F11 the built-in client answers where the site has no file', async () => {
  const entry = await server.get('/main-0a1b2c3d.js');
  assert.equal(entry.status, 200);
  assert.match(entry.body, /lsess-client\/view\.js/);
  assert.equal((await server.get('/main-deadbeef.js')).body, 'site file');
  assert.equal((await server.get('/main.js')).status, 200);
  const worker = await server.get('/worker-1.js');
  assert.equal(worker.status, 200);
  assert.equal(worker.body, '');
  assert.equal((await server.get('/sub/main-1.js')).status, 404);
  assert.equal((await server.get('/lsess-client/nothing.js')).status, 404);
  assert.equal((await server.get('/lsess-client/generation')).body, '0\n');
});

test('F11 modules go compressed to browsers that take it', async () => {
  const plain = await server.get('/lsess-client/view.js');
  const packed = await server.get('/lsess-client/view.js', { 'Accept-Encoding': 'gzip, br' });
  assert.equal(plain.headers['content-encoding'], undefined);
  assert.equal(packed.headers['content-encoding'], 'gzip');
  assert.equal(packed.headers.vary, 'Accept-Encoding');
  assert.equal(gunzipSync(Buffer.from(packed.body, 'latin1')).toString('latin1'), plain.body);
  assert.equal((await server.get('/lsess-client/view.js', { 'If-None-Match': packed.headers.etag })).status, 304);
});

test('Q3 Host must be ours: DNS rebinding is refused with the option that allows it', async () => {
  for (const host of ['evil.example', 'evil.example:80', 'localhost.evil.example', '']) {
    const answer = await server.get('/', { Host: host });
    assert.ok(answer.status === 403 || answer.status === 400, `${host}: ${answer.status}`);
    if (answer.status === 403) assert.match(answer.body, /--allow-origin/);
  }
  for (const host of ['localhost', 'LOCALHOST:1', '127.0.0.1', '10.1.2.3:99', '[::1]:8080'])
    assert.equal((await server.get('/a.js', { Host: host })).status, 200, host);
});

test('Q3 a POST of a foreign origin is refused', async () => {
  const id = await server.session();
  const own = await server.fetch(`/api/get?session=${id}`, { method: 'POST', body: '{"varIds":[1]}', headers: { Origin: server.url } });
  assert.equal(own.status, 200);
  const foreign = await server.get(`/api/get?session=${id}`, { Origin: 'http://evil.example' }, 'POST');
  assert.equal(foreign.status, 403);
  assert.match(foreign.body, /--allow-origin/);
  assert.equal((await server.get(`/api/get?session=${id}`, { Origin: 'null' }, 'POST')).status, 403);
});

test('P22 /ws/ without an upgrade is a 4xx', async () => {
  const id = await server.session();
  assert.equal((await server.get(`/ws/${id}`)).status, 400);
  assert.equal((await server.get('/ws/unknown')).status, 404);
});

test('keep-alive: several requests on one connection', async () => {
  const one = `GET /data.txt HTTP/1.1\r\nHost: localhost\r\n\r\n`;
  const answer = await server.raw(`${one}${one}GET /data.txt HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
  assert.equal(answer.body.match(/0123456789/g).length, 3);
  assert.equal(answer.headers['keep-alive'], 'timeout=1', 'clients send nothing into the end of an idle connection');
});

test('P4 a main.lua that raises is a 500 and leaves nothing', async () => {
  const broken = await Server.start({ 'lua/main.lua': 'error("mast broken")' });
  const answer = await broken.get('/');
  assert.equal(answer.status, 500);
  assert.match(answer.headers['content-type'], /text\/plain/);
  assert.match(answer.body, /mast broken/);
  const control = broken.control();
  assert.deepEqual((await control.call('sessions')).sessions, []);
  control.close();
  writeFileSync(path.join(broken.dir, 'lua/main.lua'), APP);
  const id = await broken.session();
  const again = broken.control();
  assert.equal((await again.call('sessions')).sessions[0].session, '1', `P27: the number was not used up (${id})`);
  again.close();
  await until(() => broken.logs().some((text) => text.includes('mast broken')), 'L34: it is in the log');
  await broken.stop();
});

test('L34 with hot reload the page shows message and traceback', async () => {
  const broken = await Server.start({
    'lua/main.lua': `
      local function deep() error("mast <broken>") end
      deep()
    `,
  }, ['--watch']);
  const answer = await broken.get('/');
  assert.equal(answer.status, 500);
  assert.match(answer.headers['content-type'], /text\/html/);
  assert.match(answer.body, /mast &lt;broken&gt;/);
  assert.match(answer.body, /main\.lua:2/);
  await broken.stop();
});
