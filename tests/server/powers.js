/** The powers of the user who serves (P91a, L140, H100, C2, Q3), by every way in: run code, see source lines, open the editor. */
import assert from 'node:assert/strict';
import { APP, Page, Server, within, writeSite } from './lib.js';

export const powers = {
  'the property lua over a WebSocket': async (at, headers) => {
    const page = await open(at, headers);
    if (typeof page === 'number') return page;
    const answer = await page.ask({ type: 'update', data: { varId: 1, properties: { lua: 'ran = (ran or 0) + 1' } } });
    await page.close();
    return answer.some((m) => m.type === 'error' && m.data.code === 'unauthorized') ? 'refused' : 'allowed';
  },
  'the property lua over the API': async (at, headers) => {
    const answer = await post(
      at,
      `/api/update?session=${at.id}&client=${at.client}`,
      headers,
      '{"varId":1,"properties":{"lua":"ran = (ran or 0) + 1"}}',
    );
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
export function open(at, headers) {
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

export function post(at, where, headers, body, version = '1.1') {
  const lines = Object.entries({ Host: at.host, 'Content-Length': body.length, Connection: 'close', ...headers })
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('');
  return at.server.raw(`POST ${where} HTTP/${version}\r\n${lines}\r\n${body}`);
}

export const poll = async (at, headers) =>
  JSON.parse((await post(at, `/api/poll?session=${at.id}&client=${at.client}`, headers, '{}')).body).result;

/** A server with one session whose last save failed. */
export async function served(options = [], env = {}) {
  const server = await Server.start(
    { 'lua/main.lua': `${APP}pcall(require, "lib")`, 'lua/lib.lua': 'return 1' },
    ['--watch', ...options],
    { env: { LSESS_EDITOR: 'true', ...env } },
  );
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
export async function outcomes(at, headers) {
  const said = {};
  at.client = `c${Math.random()}`.slice(0, 16);
  for (const [name, power] of Object.entries(powers)) {
    const outcome = await power(at, headers);
    said[name] = outcome === 403 ? 'refused' : outcome;
  }
  return said;
}
