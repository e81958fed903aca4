/** Who gets a session and whose it is: what counts as going to `/`, parts and frames of other sites' pages, room under
 * --max-sessions, headers of every answer, cookies of two servers on one host (P3, P5, P6, P9, P23, P25, Q2, Q3). */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { APP, Page, Server, within } from './lib.js';

const STUDIO = 'https://studio.example', DESK = 'http://desk.example:8000';
let server, listed;
before(async () => {
  const site = {
    'lua/main.lua': APP,
    'html/index.html': '<!doctype html><html><head><title>t</title></head><body ui-app></body></html>',
    'html/a.js': '1',
    'html/docs/index.html': '<p>docs',
  };
  server = await Server.start(site);
  listed = await Server.start(site, ['--allow-origin', STUDIO, '--allow-frame', DESK, '--allow-frame', 'https://other.example']);
});
after(() => Promise.all([server.stop(), listed.stop()]));

const count = async (at) => {
  const control = at.control();
  const { sessions } = await control.call('sessions');
  control.close();
  return sessions.length;
};
const fetched = (site, dest, more = {}) => ({
  'Sec-Fetch-Site': site,
  'Sec-Fetch-Mode': dest === 'document' || dest === 'iframe' ? 'navigate' : 'no-cors',
  'Sec-Fetch-Dest': dest,
  Accept: '*/*',
  ...more,
});

test('P3 Q3 only going to / makes a session', async () => {
  const goes = {
    'an address typed in': fetched('none', 'document'),
    'a link of another site': fetched('cross-site', 'document', { Referer: 'http://evil.test/' }),
    'a link of another port': fetched('same-site', 'document'),
    'a frame of an own page': fetched('same-origin', 'iframe'),
    'an old frame of an own page': fetched('same-origin', 'frame'),
    'an older browser': {
      Accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8',
      Referer: 'http://evil.test/',
    },
    'a program': {},
    curl: { Accept: '*/*' },
    'letters as they come': { Accept: 'Text/HTML' },
  };
  const stays = {
    'a picture': fetched('cross-site', 'image'),
    'a script': fetched('cross-site', 'script'),
    'a style': fetched('cross-site', 'style'),
    'a frame': fetched('cross-site', 'iframe'),
    'a frame of another port': fetched('same-site', 'iframe'),
    'an object': fetched('cross-site', 'object'),
    'something embedded': fetched('cross-site', 'embed'),
    'fetch()': fetched('cross-site', 'empty'),
    'a worker': fetched('cross-site', 'worker'),
    'a picture of another port': fetched('same-site', 'image'),
    'a picture of an own page': fetched('same-origin', 'image'),
    'an own fetch()': fetched('same-origin', 'empty'),
    'something new': fetched('none', 'telepathy'),
    'a page fetched in advance': fetched('cross-site', 'document', { 'Sec-Purpose': 'prefetch' }),
    'a page drawn in advance': fetched('none', 'document', { 'Sec-Purpose': 'prefetch;prerender' }),
    'a picture of an older browser': { Accept: 'image/avif,image/webp,*/*;q=0.8' },
    'a style of an older browser': { Accept: 'text/css,*/*;q=0.1' },
    'a script of an older browser': { Accept: '*/*', Referer: 'http://evil.test/' },
    'a program that wants no page': { Accept: 'application/json' },
    'nothing acceptable': { Accept: '' },
  };
  const before = await count(server);
  for (const [name, headers] of Object.entries(stays)) {
    const answer = await server.get('/', headers);
    assert.equal(answer.status, 403, name);
    assert.match(answer.body, /^[A-Z].*--allow-frame.*\.\n$/, name);
    assert.equal(answer.headers.location, undefined, name);
  }
  for (const method of ['HEAD', 'OPTIONS', 'POST', 'PUT']) await server.get('/', fetched('none', 'document'), method);
  assert.equal(await count(server), before);
  for (const [name, headers] of Object.entries(goes)) {
    const answer = await server.get('/', headers);
    assert.equal(answer.status, 302, name);
    /* A browser finds the way also below a path that nobody told the server of (N21). */
    assert.match(answer.headers.location, /text\/html/i.test(headers.Accept) ? /^\.\/[0-9a-f]{32}$/ : /^\/[0-9a-f]{32}$/, name);
  }
  assert.equal(await count(server), before + Object.keys(goes).length);
});

test('P23 Q3 nothing here is a part of another site\'s page, unless --allow-origin names it', async () => {
  for (const at of [server, listed]) {
    const id = await at.session();
    for (const where of [
      '/', `/${id}`, `/${id}/variables`, `/${id}/variables.json`, '/a.js', '/main.js', '/lsess-client/view.js',
      '/nothing', '/index.html', '/docs', `/ws/${id}`, '/api/get',
    ])
      for (const dest of ['image', 'script', 'empty', 'iframe', 'object', 'websocket']) {
        const answer = await at.get(where, fetched('cross-site', dest, { Referer: 'http://evil.test/x' }));
        assert.equal(answer.status, 403, `${where} ${dest}`);
        assert.match(answer.body, /--allow-origin/);
      }
    assert.equal((await at.get('/a.js', fetched('cross-site', 'document'))).status, 200, 'somebody follows a link');
    for (const site of ['same-origin', 'same-site', 'none'])
      assert.equal((await at.get('/a.js', fetched(site, 'script'))).status, 200, site);
    const studio = [
      await at.get('/a.js', fetched('cross-site', 'script', { Referer: `${STUDIO}/tool?x=1` })),
      await at.get('/a.js', fetched('cross-site', 'empty', { Origin: STUDIO })),
    ];
    for (const answer of studio) {
      assert.equal(answer.status, at === listed ? 200 : 403);
      assert.equal(answer.headers['cross-origin-resource-policy'], at === listed ? 'cross-origin' : 'same-origin');
    }
    for (const headers of [
      { Referer: `${STUDIO}.evil.test/` },
      { Referer: 'https://evil.test/https://studio.example/' },
      { Referer: 'http://studio.example/' },
      { Referer: `${STUDIO}:444/` },
      { Referer: `${STUDIO}@evil.test/` },
      { Origin: 'null' },
      { Origin: 'http://evil.test', Referer: `${STUDIO}/` },
      { Referer: '' },
    ]) {
      const answer = await at.get('/a.js', fetched('cross-site', 'script', headers));
      assert.deepEqual([answer.status, answer.headers['cross-origin-resource-policy']], [403, 'same-origin'], JSON.stringify(headers));
    }
  }
  const page = await listed.page(await listed.session(), { headers: { Origin: STUDIO, ...fetched('cross-site', 'websocket') } });
  await page.watchApp();
  await page.close();
});

test('Q3 a frame gets a session where --allow-frame names the page around it', async () => {
  for (const [referer, status] of [
    [`${DESK}/board`, 302],
    ['https://other.example/', 302],
    [null, 302],
    ['http://desk.example/', 403],
    ['http://evil.test/', 403],
    [`${DESK}0/`, 403],
  ])
    assert.equal(
      (await listed.get('/', fetched('cross-site', 'iframe', { Referer: referer }))).status,
      status,
      `${referer}`,
    );
  assert.equal((await listed.get('/', fetched('cross-site', 'image', { Referer: `${DESK}/board` }))).status, 403, 'it is for frames alone');
  const id = await listed.session();
  assert.equal((await listed.get(`/${id}`, fetched('cross-site', 'iframe', { Referer: `${DESK}/board` }))).status, 200);
  assert.equal((await server.get('/', fetched('cross-site', 'iframe', { Referer: `${DESK}/board` }))).status, 403);
});

test('Q3 every answer says what other sites may do with it, and pages who may frame them', async () => {
  for (const at of [server, listed]) {
    const id = await at.session();
    const frames = `frame-ancestors 'self'${at === listed ? ` ${DESK} https://other.example` : ''}`;
    const etag = (await at.get('/a.js')).headers.etag;
    const answers = [
      ['GET', '/'],
      ['HEAD', '/'],
      ['POST', '/'],
      ['GET', `/${id}`],
      ['HEAD', `/${id}`],
      ['GET', `/${id}/variables`],
      ['GET', `/${id}/variables.json`],
      ['GET', `/${id}/variables.json?diag=x`],
      ['GET', `/${'0'.repeat(32)}`],
      ['GET', '/a.js'],
      ['GET', '/a.js', { Range: 'bytes=0-0' }],
      ['GET', '/a.js', { Range: 'bytes=9-' }],
      ['GET', '/a.js', { 'If-None-Match': etag }],
      ['GET', '/docs'],
      ['GET', '/docs/'],
      ['GET', '/index.html'],
      ['GET', '/main.js'],
      ['GET', '/nothing'],
      ['GET', '//a.js'],
      ['GET', '/%zz'],
      ['GET', `/${'a'.repeat(9000)}`],
      ['GET', '/api/get'],
      ['POST', '/api/get'],
      ['POST', `/api/get?session=${id}`],
      ['POST', `/api/nosuch?session=${id}`],
      ['GET', `/ws/${id}`],
      ['GET', '/ws/none'],
      ['POST', '/api/open'],
      ['PUT', '/a.js'],
      ['GET', '/a.js', { Host: 'evil.example' }],
      ['POST', '/api/get', { Origin: 'http://evil.example' }],
      ['GET', '/', { Accept: 'image/png' }],
      ['GET', '/a.js', { 'Content-Length': '+1' }],
      ['GET\t', '/'],
      [
        'GET',
        `/ws/${id}`,
        {
          Upgrade: 'websocket',
          Connection: 'Upgrade',
          'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
          'Sec-WebSocket-Version': '12',
        },
      ],
      [
        'GET',
        `/ws/${id}`,
        {
          Upgrade: 'websocket',
          Connection: 'Upgrade',
          'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
          'Sec-WebSocket-Version': '13',
          Origin: 'http://evil.example',
        },
      ],
    ];
    const seen = new Set();
    for (const [method, where, headers] of answers) {
      const answer = await at.get(where, headers, method), name = `${method} ${where} ${JSON.stringify(headers)}: ${answer.status}`;
      seen.add(answer.status);
      assert.deepEqual(
        [
          answer.headers['cross-origin-resource-policy'],
          answer.headers['x-content-type-options'],
          answer.headers['referrer-policy'],
        ],
        ['same-origin', 'nosniff', 'same-origin'],
        name,
      );
      const html = (answer.headers['content-type'] ?? '').startsWith('text/html');
      assert.equal(answer.headers['content-security-policy'], html ? frames : undefined, name);
    }
    assert.deepEqual([...seen].sort(), [200, 206, 301, 302, 304, 400, 403, 404, 405, 414, 416, 426], 'all that is answered');
  }
  const broken = await Server.start({ 'lua/main.lua': 'error("x")' }, ['--watch']);
  assert.equal((await broken.get('/')).headers['content-security-policy'], "frame-ancestors 'self'");
  await broken.stop();
});

test('C2 allow_frame in lsess.lua', async () => {
  const site = await Server.start({ 'lua/main.lua': APP, 'lsess.lua': `return { allow_frame = { "${DESK}" } }` });
  assert.equal((await site.get(`/${await site.session()}`)).headers['content-security-policy'], `frame-ancestors 'self' ${DESK}`);
  await site.stop();
});

/** @param {Server} at */
const alive = async (at, id) => (await at.get(`/${id}/variables.json`)).status === 200;

test('Q2 P3 at --max-sessions the oldest session that no page ever joined makes room, one that was joined never does', async () => {
  const at = await Server.start({ 'lua/main.lua': APP }, ['--max-sessions', '4']);
  const first = await at.session(), socket = await at.session(), api = await at.session(), fourth = await at.session();
  const page = await at.page(socket);
  await page.watchApp();
  await page.close();
  assert.equal((await at.fetch(`/api/get?session=${api}`, { method: 'POST', body: '{"varIds":[1]}' })).status, 200);
  assert.equal((await at.get(`/${first}`)).status, 200, 'to look at a page is not to join it');
  const fifth = await at.session();
  assert.deepEqual(
    [
      await alive(at, first),
      await alive(at, socket),
      await alive(at, api),
      await alive(at, fourth),
      await alive(at, fifth),
    ],
    [false, true, true, true, true],
  );
  const late = new Page(at, first);
  assert.equal((await within(15000, late.refusal, 'the refusal')).status, 404);
  for (const id of [fourth, fifth]) {
    const joined = await at.page(id);
    await joined.close();
  }
  const full = await at.get('/');
  assert.equal(full.status, 503);
  assert.match(full.body, /4 sessions.*--max-sessions/);
  for (const id of [socket, api, fourth, fifth]) assert.ok(await alive(at, id));
  await at.stop();
});

test('Q2 a session that a tool works in makes no room', async () => {
  const at = await Server.start({ 'lua/main.lua': APP }, ['--max-sessions', '2']);
  const mine = await at.session();
  const control = at.control();
  await control.call('eval', { session: '1', code: 'kept = 1' });
  for (let i = 0; i < 5; i++) await at.session();
  assert.equal((await control.call('eval', { session: '1', code: 'return kept' })).json, 1);
  assert.ok(await alive(at, mine));
  control.close();
  await at.stop();
});

test('Q2 room is made for several at once, and what joins meanwhile stays', async () => {
  const at = await Server.start(
    {
      'lua/main.lua': `
        local over = os.clock() + 0.005
        while os.clock() < over do end
        ${APP}
      `,
    },
    ['--max-sessions', '8'],
  );
  const kept = [], pages = [];
  for (let i = 0; i < 3; i++) {
    kept.push(await at.session());
    pages.push(await at.page(kept[i]));
  }
  const racing = [];
  for (let round = 0; round < 6; round++) {
    const made = await Promise.all(Array.from({ length: 30 }, () => at.session()));
    /* Of those that are still there, some are joined while the next ones push them out: a page that was let in has a
     * session that goes on. */
    if (round < 2) racing.push(...made.slice(-1));
    await Promise.all(racing.slice(-1).map(async (id) => {
      const page = new Page(at, id);
      if (!await Promise.race([page.open.then(() => true, () => false), page.refusal.then(() => false)])) return;
      kept.push(id);
      pages.push(page);
    }));
  }
  for (const page of pages) await page.watchApp();
  for (const id of kept) assert.ok(await alive(at, id));
  assert.ok(await count(at) <= 8);
  for (const page of pages) await page.close();
  await at.stop();
});

test('P9 P25 two servers on one host do not take each other\'s sessions', async () => {
  const mine = await server.session(), other = await listed.session();
  const cookies = [...(await server.fetch(`/${mine}`)).headers.getSetCookie(), ...(await listed.fetch(`/${other}`)).headers.getSetCookie()];
  const jar = new Map(cookies.map((line) => line.split(';')[0].split('=')));
  assert.deepEqual(Object.fromEntries(jar), {
    'ui-session': other,
    [`ui-session-${server.port}`]: mine,
    [`ui-session-${listed.port}`]: other,
  });
  for (const line of cookies) assert.match(line, /; Path=\/; SameSite=Lax$/);
  const Cookie = [...jar].map((pair) => pair.join('=')).join('; ');
  const get = (at, headers, query = '') =>
    at.fetch(`/api/get${query}`, { method: 'POST', body: '{"varIds":[1]}', headers }).then((answer) => answer.status);
  assert.deepEqual([await get(server, { Cookie }), await get(listed, { Cookie })], [200, 200]);
  assert.equal(await get(server, { Cookie: `ui-session=${other}` }), 404, 'a session of the other server');
  assert.equal(await get(server, { Cookie: `ui-session=${mine}` }), 200, 'the plain one, where there is no other');
  assert.equal(
    await get(server, { Cookie: `ui-session-${server.port}=${'0'.repeat(32)}; ui-session=${mine}` }),
    404,
    'the one with the port goes before',
  );
  assert.equal(
    await get(server, { Cookie: `ui-session-${server.port}=${'0'.repeat(32)}` }, `?session=${mine}`),
    200,
    'the address goes before both',
  );
  assert.equal(
    await get(server, {
      Cookie: `xui-session=${mine}; ui-session-1=${mine}; ui-session-${server.port}0=${mine}; ui-session`,
    }),
    404,
  );
});
