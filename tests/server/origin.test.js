/** Who may run code, see source lines and open the editor (P91a, L140, H100, C2, Q3): every such power by every way in. Header sets are what the proxies were
 * seen to send with their usual configuration. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { APP, Page, Server, until, within, writeSite } from './lib.js';

const TOOL = 'https://tool.example';
const FOR = { 'X-Forwarded-For': '203.0.113.7' };
const forwarded = { ...FOR, 'X-Forwarded-Host': 'tool.example', 'X-Forwarded-Proto': 'https' };

/** What arrives of a page of https://tool.example, or of a program that says what is best for it; `host` is the server's own. */
const PROXIES = {
  'nginx as usually configured': () => ({ Host: 'tool.example', 'X-Real-IP': '203.0.113.7', ...FOR, 'X-Forwarded-Proto': 'https' }),
  'nginx with X-Real-IP alone': () => ({ Host: 'tool.example', 'X-Real-IP': '203.0.113.7' }),
  'Apache mod_proxy': (host) => ({ Host: host, ...FOR, 'X-Forwarded-Host': 'tool.example', 'X-Forwarded-Server': 'tool.example' }),
  Caddy: () => ({ Host: 'tool.example', ...forwarded, 'Accept-Encoding': 'gzip' }),
  Traefik: () => ({ Host: 'tool.example', ...forwarded, 'X-Forwarded-Port': '443', 'X-Forwarded-Server': 'a1b2c3', 'X-Real-Ip': '203.0.113.7' }),
  'HAProxy with option forwardfor': () => ({ Host: 'tool.example', 'x-forwarded-for': '203.0.113.7' }),
  'a proxy by the book': () => ({ Host: 'tool.example', Via: '1.1 gate', Forwarded: 'for=203.0.113.7' }),
};

const powers = {
  'the property lua over a WebSocket': async (at, headers) => {
    const page = await open(at, headers);
    if (typeof page === 'number') return page;
    const answer = await page.ask({ type: 'update', data: { varId: 1, properties: { lua: 'ran = (ran or 0) + 1' } } });
    await page.close();
    return answer.some((m) => m.type === 'error' && m.data.code === 'unauthorized') ? 'refused' : 'allowed';
  },
  'the property lua over the API': async (at, headers) => {
    const answer = await post(at, `/api/update?session=${at.id}&client=${at.client}`, headers, '{"varId":1,"properties":{"lua":"ran = (ran or 0) + 1"}}');
    return answer.status !== 200 ? answer.status : answer.body.includes('--allow-lua-property') ? 'refused' : 'allowed';
  },
  'source lines over a WebSocket': async (at, headers) => {
    const page = await open(at, headers);
    if (typeof page === 'number') return page;
    const answer = await page.ask([{ type: 'watch', data: { varId: 1 } }, { type: 'get', data: { varIds: [1] } }]);
    await page.close();
    return shownOr(answer);
  },
  'source lines over the API': async (at, headers) => {
    const answer = await post(at, `/api/watch?session=${at.id}&client=${at.client}`, headers, '{"varId":1}');
    return answer.status === 200 ? shownOr(await poll(at, headers)) : answer.status;
  },
  'opening the editor': async (at, headers) => {
    const { status } = await post(at, `/api/open?session=${at.id}`, headers, '{"key":"lua/main.lua","line":1}');
    return status === 204 ? 'allowed' : status;
  },
};

/** An open page, or the status of the refusal. */
function open(at, headers) {
  const page = new Page(at.server, at.id, { headers });
  return within(10000, Promise.race([page.open.then(() => page), page.refusal.then(({ status }) => status)]), 'the handshake');
}

/** Everybody is told that something is wrong, some are shown the lines. */
function shownOr(messages) {
  const text = JSON.stringify(messages);
  assert.match(text, /reload-error/);
  assert.equal(text.includes('reload-detail'), text.includes('SECRET'));
  return text.includes('SECRET') ? 'allowed' : 'refused';
}

function post(at, where, headers, body, version = '1.1') {
  const lines = Object.entries({ Host: at.host, 'Content-Length': body.length, Connection: 'close', ...headers }).map(([name, value]) => `${name}: ${value}\r\n`).join('');
  return at.server.raw(`POST ${where} HTTP/${version}\r\n${lines}\r\n${body}`);
}

const poll = async (at, headers) => JSON.parse((await post(at, `/api/poll?session=${at.id}&client=${at.client}`, headers, '{}')).body).result;

/** A server with one session whose last save failed. */
async function served(options = [], env = {}) {
  const server = await Server.start({ 'lua/main.lua': `${APP}require("lib")`, 'lua/lib.lua': 'return 1' }, ['--watch', ...options], { env: { LSESS_EDITOR: 'true', ...env } });
  const here = server.url.replace('0.0.0.0', '127.0.0.1');
  server.url = here;
  const at = { server, id: await server.session(), host: new URL(here).host, origin: here, client: 'a' };
  writeSite(server.dir, { 'lua/lib.lua': 'SECRET = = 1' });
  const page = await server.page(at.id);
  await page.watchApp();
  await page.message((m) => m.data?.properties?.['reload-error']);
  await page.close();
  return at;
}

/** What each power says; a refusal of the whole request is one as well. */
async function outcomes(at, headers) {
  const said = {};
  at.client = `c${Math.random()}`.slice(0, 16);
  for (const [name, power] of Object.entries(powers)) {
    const outcome = await power(at, headers);
    said[name] = outcome === 403 ? 'refused' : outcome;
  }
  return said;
}

const all = (word, but = {}) => ({ ...Object.fromEntries(Object.keys(powers).map((name) => [name, word])), ...but });
const LUA = { 'the property lua over a WebSocket': 'allowed', 'the property lua over the API': 'allowed' };

test('P91a H100 C2 Q3 a page that comes straight from this machine may everything, a page that came by a proxy nothing', async () => {
  const at = await served();
  for (const name of ['127.0.0.1', 'localhost'])
    assert.deepEqual(await outcomes(at, { Host: `${name}:${at.server.port}`, Origin: `http://${name}:${at.server.port}` }), all('allowed'), name);
  for (const [name, headers] of Object.entries(PROXIES)) {
    assert.deepEqual(await outcomes(at, { ...headers(at.host), Origin: TOOL }), all('refused'), name);
    assert.deepEqual(await outcomes(at, { ...headers(at.host), Host: at.host, Origin: at.origin }), all('refused'), `${name}, with the best Host and Origin`);
  }
  assert.deepEqual(await outcomes(at, { Host: at.host, Origin: TOOL }), all('refused'), 'a plain proxy_pass');
  const many = Object.fromEntries(Array.from({ length: 70 }, (_, i) => [`X-Pad-${i}`, '1']));
  assert.deepEqual(await outcomes(at, { Host: at.host, Origin: at.origin, ...many, ...FOR }), all('refused', { 'the property lua over a WebSocket': 400, 'source lines over a WebSocket': 400 }), 'more headers than are looked at');
  assert.equal((await post(at, `/api/open?session=${at.id}`, { Origin: at.origin }, '{"key":"lua/main.lua"}', '1.0')).status, 403, 'HTTP/1.0, which no browser speaks');
  assert.equal((await post(at, `/api/open?session=${at.id}`, {}, '{"key":"lua/main.lua"}')).status, 403, 'no Origin');
  for (const host of ['rebound.example', '0.0.0.0', '192.0.2.1'])
    assert.deepEqual(await outcomes(at, { Host: `${host}:${at.server.port}`, Origin: `http://${host}:${at.server.port}` }), all('refused'), host);
  const control = at.server.control();
  assert.equal((await control.call('eval', { session: '1', code: 'return ran' })).json, 4, 'nothing ran that was refused');
  control.close();
  await at.server.stop();
});

test('P91a Q3 an --allow-origin of another machine turns all of it off, which is said; --allow-lua-property turns it on again', async () => {
  const off = await served(['--allow-origin', 'http://localhost:3000', '--allow-origin', TOOL]);
  const said = off.server.logs().filter((text) => text.includes(TOOL));
  assert.equal(said.length, 1);
  assert.match(said[0], /lua, source excerpts .*editor are off .*--allow-lua-property/);
  for (const [name, headers] of Object.entries(PROXIES)) assert.deepEqual(await outcomes(off, { ...headers(off.host), Origin: TOOL }), all('refused'), name);
  assert.deepEqual(await outcomes(off, { Host: off.host, Origin: TOOL }), all('refused'), 'a plain proxy_pass');
  assert.deepEqual(await outcomes(off, { Origin: off.origin }), all('refused'), 'a page of this machine');
  await off.server.stop();

  const on = await served(['--allow-origin', TOOL, '--allow-lua-property']);
  assert.ok(!on.server.logs().some((text) => text.includes(TOOL)));
  assert.deepEqual(await outcomes(on, { Origin: on.origin }), all('allowed'));
  for (const [name, headers] of Object.entries(PROXIES)) assert.deepEqual(await outcomes(on, { ...headers(on.host), Origin: TOOL }), all('refused', LUA), name);
  await on.server.stop();

  const local = await served(['--allow-origin', 'http://localhost:3000']);
  assert.ok(!local.server.logs().some((text) => /are off/.test(text)));
  assert.deepEqual(await outcomes(local, { Origin: 'http://localhost:3000' }), all('allowed'), 'another server of this machine');
  await local.server.stop();
});

test('P91a H100 Q3 a server that others can reach allows nothing, whoever asks', async () => {
  for (const [options, expected] of [[[], all('refused')], [['--allow-lua-property'], all('refused', LUA)], [['--no-allow-lua-property'], all('refused')]]) {
    const at = await served(['--host', '0.0.0.0', ...options]);
    assert.deepEqual(await outcomes(at, { Origin: at.origin }), expected, options.join(' '));
    assert.deepEqual(await outcomes(at, { ...FOR, Origin: at.origin }), expected, options.join(' '));
    await at.server.stop();
  }
});

test('Q3 --no-allow-lua-property takes away the property lua alone', async () => {
  const at = await served(['--no-allow-lua-property']);
  assert.deepEqual(await outcomes(at, { Origin: at.origin }), all('allowed', { 'the property lua over a WebSocket': 'refused', 'the property lua over the API': 'refused' }));
  await at.server.stop();
});

test('H100 what waits for a client of the API is not handed to one that may see less', async () => {
  const at = await served();
  const own = { Origin: at.origin };
  assert.equal((await post(at, `/api/watch?session=${at.id}&client=shared`, own, '{"varId":1}')).status, 200);
  at.client = 'shared';
  assert.ok(!JSON.stringify(await poll(at, { ...own, ...FOR })).includes('SECRET'));
  await until(async () => JSON.stringify(await poll(at, own)).includes('SECRET'), 'it is still there for the one that asked');
  await at.server.stop();
});
