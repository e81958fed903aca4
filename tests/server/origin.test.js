/** Who may run code, see source lines and open the editor (P91a, L140, H100, C2, Q3): every such power by every way in.
 * Header sets are what the proxies were seen to send with their usual configuration. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from './lib.js';
import { outcomes, poll, post, powers, served } from './powers.js';

const TOOL = 'https://tool.example';
const FOR = { 'X-Forwarded-For': '203.0.113.7' };
const forwarded = { ...FOR, 'X-Forwarded-Host': 'tool.example', 'X-Forwarded-Proto': 'https' };

/** What arrives of a page of https://tool.example, or of a program that says what is best for it; `host` is the server's own. */
const PROXIES = {
  'nginx as usually configured': () => ({
    Host: 'tool.example',
    'X-Real-IP': '203.0.113.7',
    ...FOR,
    'X-Forwarded-Proto': 'https',
  }),
  'nginx with X-Real-IP alone': () => ({ Host: 'tool.example', 'X-Real-IP': '203.0.113.7' }),
  'Apache mod_proxy': (host) => ({
    Host: host,
    ...FOR,
    'X-Forwarded-Host': 'tool.example',
    'X-Forwarded-Server': 'tool.example',
  }),
  Caddy: () => ({ Host: 'tool.example', ...forwarded, 'Accept-Encoding': 'gzip' }),
  Traefik: () => ({
    Host: 'tool.example',
    ...forwarded,
    'X-Forwarded-Port': '443',
    'X-Forwarded-Server': 'a1b2c3',
    'X-Real-Ip': '203.0.113.7',
  }),
  'HAProxy with option forwardfor': () => ({ Host: 'tool.example', 'x-forwarded-for': '203.0.113.7' }),
  'a proxy by the book': () => ({ Host: 'tool.example', Via: '1.1 gate', Forwarded: 'for=203.0.113.7' }),
};

const all = (word, but = {}) => ({ ...Object.fromEntries(Object.keys(powers).map((name) => [name, word])), ...but });
const LUA = { 'the property lua over a WebSocket': 'allowed', 'the property lua over the API': 'allowed' };

test('P91a H100 C2 Q3 a page that comes straight from this machine may everything, a page that came by a proxy nothing', async () => {
  const at = await served();
  for (const name of ['127.0.0.1', 'localhost'])
    assert.deepEqual(
      await outcomes(at, { Host: `${name}:${at.server.port}`, Origin: `http://${name}:${at.server.port}` }),
      all('allowed'),
      name,
    );
  for (const [name, headers] of Object.entries(PROXIES)) {
    assert.deepEqual(await outcomes(at, { ...headers(at.host), Origin: TOOL }), all('refused'), name);
    assert.deepEqual(
      await outcomes(at, { ...headers(at.host), Host: at.host, Origin: at.origin }),
      all('refused'),
      `${name}, with the best Host and Origin`,
    );
  }
  assert.deepEqual(await outcomes(at, { Host: at.host, Origin: TOOL }), all('refused'), 'a plain proxy_pass');
  const many = Object.fromEntries(Array.from({ length: 70 }, (_, i) => [`X-Pad-${i}`, '1']));
  assert.deepEqual(await outcomes(at, { Host: at.host, Origin: at.origin, ...many, ...FOR }), all(400), 'more headers than are looked at');
  assert.equal(
    (await post(at, `/api/open?session=${at.id}`, { Origin: at.origin }, '{"key":"lua/main.lua"}', '1.0')).status,
    403,
    'HTTP/1.0, which no browser speaks',
  );
  assert.equal((await post(at, `/api/open?session=${at.id}`, {}, '{"key":"lua/main.lua"}')).status, 403, 'no Origin');
  for (const host of ['rebound.example', '0.0.0.0', '192.0.2.1'])
    assert.deepEqual(
      await outcomes(at, { Host: `${host}:${at.server.port}`, Origin: `http://${host}:${at.server.port}` }),
      all('refused'),
      host,
    );
  const control = at.server.control();
  assert.equal((await control.call('eval', { session: '1', code: 'return ran' })).json, 4, 'nothing ran that was refused');
  control.close();
  await at.server.stop();
});

test(
  'P91a Q3 an --allow-origin of another machine turns all of it off, which is said; --allow-lua-property turns it on again',
  async () => {
    const off = await served(['--allow-origin', 'http://localhost:3000', '--allow-origin', TOOL]);
    const said = off.server.logs().filter((text) => text.includes(TOOL));
    assert.equal(said.length, 1);
    assert.match(said[0], /lua, source excerpts .*editor are off .*--allow-lua-property/);
    for (const [name, headers] of Object.entries(PROXIES))
      assert.deepEqual(await outcomes(off, { ...headers(off.host), Origin: TOOL }), all('refused'), name);
    assert.deepEqual(await outcomes(off, { Host: off.host, Origin: TOOL }), all('refused'), 'a plain proxy_pass');
    assert.deepEqual(await outcomes(off, { Origin: off.origin }), all('refused'), 'a page of this machine');
    await off.server.stop();

    const on = await served(['--allow-origin', TOOL, '--allow-lua-property']);
    assert.ok(!on.server.logs().some((text) => text.includes(TOOL)));
    assert.deepEqual(await outcomes(on, { Origin: on.origin }), all('allowed'));
    for (const [name, headers] of Object.entries(PROXIES))
      assert.deepEqual(await outcomes(on, { ...headers(on.host), Origin: TOOL }), all('refused', LUA), name);
    await on.server.stop();

    const local = await served(['--allow-origin', 'http://localhost:3000']);
    assert.ok(!local.server.logs().some((text) => /are off/.test(text)));
    assert.deepEqual(await outcomes(local, { Origin: 'http://localhost:3000' }), all('allowed'), 'another server of this machine');
    await local.server.stop();
  },
);

test('P91a H100 Q3 a server that others can reach allows nothing, whoever asks', async () => {
  for (const [options, expected] of [
    [[], all('refused')],
    [['--allow-lua-property'], all('refused', LUA)],
    [['--no-allow-lua-property'], all('refused')],
  ]) {
    const at = await served(['--host', '0.0.0.0', ...options]);
    assert.deepEqual(await outcomes(at, { Origin: at.origin }), expected, options.join(' '));
    assert.deepEqual(await outcomes(at, { ...FOR, Origin: at.origin }), expected, options.join(' '));
    await at.server.stop();
  }
});

test('Q3 --no-allow-lua-property takes away the property lua alone', async () => {
  const at = await served(['--no-allow-lua-property']);
  assert.deepEqual(
    await outcomes(at, { Origin: at.origin }),
    all('allowed', { 'the property lua over a WebSocket': 'refused', 'the property lua over the API': 'refused' }),
  );
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
