/** Sessions and pages over their lives: routing, creation and end, the listing, view definitions, disconnect and
 * reconnect, get and getObjects (sections 1, 2, 14, 15 and 16 of protocol.md). */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Server, makeSite, until, within } from './lib.js';

const MAIN = `
Harbor = session:prototype("Harbor", { name = "North", count = 0, boat = EMPTY })
Boat = session:prototype("Boat", { name = "Gull" })
function Harbor:bump() self.count = self.count + 1 end
function Harbor:launch() self.boat = session:create(Boat, {}) end
function Harbor:broken() error("mast broken") end
session:createAppVariable(session:create(Harbor, { boats = { { type = "Boat", name = "Gull", _secret = 1, shout = function() end } } }))
`;
const VIEW = '<template><b ui-value="name"></b></template>';
const INDEX = '<!doctype html><html><head><title>t</title></head><body ui-app></body></html>';

let server;

before(async () => {
  server = await Server.start({
    'lua/main.lua': MAIN,
    'viewdefs/Harbor.DEFAULT.html': VIEW,
    'viewdefs/deep/er/Boat.COMPACT.html': '<template><i></i></template>',
    'html/index.html': INDEX,
    'html/deadbeef.txt': 'static',
  });
});

after(() => server.stop());

const watch = { type: 'watch', data: { varId: 1 } };
const create = (id, where, more = {}, parentId = 1) => ({ type: 'create', data: { id, parentId, properties: { path: where, ...more } } });
const write = (varId, value) => ({ type: 'update', data: { varId, value } });
const lua = (code) => ({ type: 'update', data: { varId: 1, properties: { lua: code } } });
const viewdefsIn = (messages) => messages.map((m) => m.data.properties?.viewdefs).filter(Boolean).map((text) => JSON.parse(text));
const listing = async (id, where = server) => (await where.fetch(`/${id}/variables.json`)).json();

/** What the control socket knows of sessions, by internal id. */
async function rowOf(id, where = server) {
  const control = where.control();
  const { sessions } = await control.call('sessions');
  control.close();
  return sessions.find((row) => row.url.endsWith(id));
}

// --- routes and sessions ---

test('P1 routing: the root, /api/, /ws/, a live session, else a file', async () => {
  const id = await server.session();
  const answers = {
    '/': 302,
    [`/${id}`]: 200,
    [`/${id}/api/get`]: 200,
    [`/${id}/ws/x`]: 200,
    '/api/get': 405,
    '/ws/deadbeef.txt': 404,
    '/deadbeef.txt': 200,
    [`/x${id}`]: 404,
    [`/${id.toUpperCase()}`]: 404,
    [`/${id}0`]: 404,
    '/apix': 404,
    '/wsx': 404,
  };
  for (const [where, status] of Object.entries(answers)) assert.equal((await server.get(where)).status, status, where);
});

test('P17 a server without anything to show lists nothing', async () => {
  const site = await Server.start({ 'html/index.html': INDEX });
  const id = await site.session();
  const answer = await site.get(`/${id}/variables.json`);
  assert.deepEqual([answer.status, JSON.parse(answer.body), answer.headers['x-change-count']], [200, [], '0']);
  await site.stop();
});

test('P18 the listings of a session that has ended are 404', async () => {
  const site = await Server.start({ 'lua/main.lua': MAIN }, ['--session-timeout', '300ms']);
  const { id, page } = await site.opened(); /* which keeps it until it has been looked at */
  assert.equal((await site.get(`/${id}/variables.json`)).status, 200);
  await page.close();
  await until(async () => (await site.get(`/${id}`)).status === 404, 'the end of the session');
  for (const where of ['variables', 'variables.json']) assert.equal((await site.get(`/${id}/${where}`)).status, 404, where);
  await site.stop();
});

test('P21 the page is asked for again each time, named assets are not', async () => {
  const site = await Server.start({
    'lua/main.lua': MAIN,
    'html/index.html': INDEX,
    'html/docs/index.html': 'd',
    'html/app-0123456789ab.js': '1',
    'html/app.js': '1',
  });
  const id = await site.session();
  for (const where of [`/${id}`, '/docs/', '/app.js']) assert.equal((await site.get(where)).headers['cache-control'], 'no-cache', where);
  assert.match((await site.get('/app-0123456789ab.js')).headers['cache-control'], /max-age=[1-9]/);
  await site.stop();
});

test('P26 what the control socket does to a session is an item of its queue, between two frames', async () => {
  const id = await server.session();
  const own = await server.page(id);
  await own.ask([watch, create(2, 'count'), create(3, 'bump()', { access: 'action' })]);
  const { session } = await rowOf(id);
  const control = server.control();
  const asked = [];
  for (let i = 0; i < 50; i++) {
    own.send({ userEvent: true, messages: [write(3, null)] });
    asked.push(
      control.call('eval', {
        session,
        code: `
          local app = session:getApp()
          local before = app.count
          for i = 1, 2000 do app.count = before + 1 end
          return app.count - before
        `,
      }),
    );
  }
  assert.deepEqual((await Promise.all(asked)).map((answer) => answer.json), Array(50).fill(1));
  await own.message((m) => m.data?.varId === 2 && m.data.value === 100);
  control.close();
  await own.close();
});

test('P27 P28 Lua sees the short number alone, addresses the long id alone', async () => {
  const site = await Server.start({
    'lua/main.lua': `
      ${MAIN}
      session:getApp().name = session._sessionID
    `,
  });
  const id = await site.session(), next = await site.session();
  assert.match(id, /^[0-9a-f]{32}$/);
  assert.notEqual(id, next);
  for (const [one, number] of [[id, '1'], [next, '2']]) {
    const own = await site.page(one);
    assert.deepEqual((await own.ask([watch, create(2, 'name')])).at(-1), write(2, number));
    assert.ok(!own.frames.some((frame) => frame.includes(one)));
    await own.close();
  }
  assert.equal((await site.get('/1')).status, 404);
  assert.equal((await site.get('/ws/1')).status, 404);
  await site.stop();
});

test('P30 P31 a session is found only when main.lua has run; it makes variable 1, nobody else does', async () => {
  const sign = path.join(makeSite({}), 'go');
  const main = `
    io.stderr:write("begun " .. session._sessionID .. "\\n")
    local f
    while not f do f = io.open(os.getenv("SIGN")) end
    f:close()
    created = true
  `;
  const site = await Server.start({ 'lua/main.lua': main }, ['--time-limit', '0'], { env: { SIGN: sign } });
  const control = site.control();
  const waiting = site.session();
  await until(() => site.run.output.includes('begun 1'), 'the start of main.lua');
  assert.deepEqual((await control.call('sessions')).sessions, [], 'not yet');
  writeFileSync(sign, '');
  const id = await waiting;
  assert.equal((await site.get(`/${id}`)).status, 200);
  assert.deepEqual(await listing(id, site), [], 'no variable 1 without createAppVariable');
  assert.equal((await control.call('eval', { session: '1', code: 'return created' })).json, true);
  control.close();
  await site.stop();
  const none = await Server.start({ 'html/index.html': INDEX });
  assert.equal((await none.get(`/${await none.session()}`)).status, 200, 'no main.lua is no error');
  await none.stop();
});

test('P33 the end of a session: its timers stop, the id is unknown, the numbers begin with 1 again', async () => {
  const ticks = path.join(makeSite({}), 'ticks');
  const main = `
    ${MAIN}
    session:setInterval(function()
      local f = io.open(os.getenv("TICKS"), "a")
      f:write("x")
      f:close()
    end, 2)
  `;
  const site = await Server.start({ 'lua/main.lua': main }, ['--session-timeout', '300ms'], { env: { TICKS: ticks } });
  const { id, page } = await site.opened(); /* which keeps it until it has been looked at */
  await until(() => existsSync(ticks), 'a tick');
  await page.close();
  const control = site.control();
  await until(async () => (await control.call('sessions')).sessions.length === 0, 'the end of the session');
  const before = readFileSync(ticks, 'utf8').length;
  const again = await site.opened();
  assert.equal((await control.call('sessions')).sessions[0].session, '1');
  assert.notEqual(again.id, id);
  assert.equal((await site.get(`/${id}`)).status, 404);
  await until(() => readFileSync(ticks, 'utf8').length > before, 'the timer of the new session');
  await again.page.close();
  await until(async () => (await control.call('sessions')).sessions.length === 0, 'the end of the second');
  await until(async () => {
    const rest = readFileSync(ticks, 'utf8').length;
    for (let i = 0; i < 20; i++) await control.call('ping');
    return readFileSync(ticks, 'utf8').length === rest;
  }, 'the end of the ticks');
  control.close();
  await site.stop();
});

test('P35 C2 a server that stops closes pages with 1001 and loses nothing that it took', async () => {
  const site = await Server.start({
    'lua/main.lua': `
      ${MAIN}
      function Harbor:note()
        local f = io.open(self.file, "a")
        f:write("x")
        f:close()
      end
    `,
  });
  const own = await site.page(await site.session());
  const file = path.join(site.dir, 'notes.txt');
  await own.ask([watch, lua(`session:getApp().file = ${JSON.stringify(file)}`), create(2, 'note()', { access: 'action' })]);
  await own.ask(Array.from({ length: 20 }, () => write(2, null)));
  site.run.child.kill('SIGTERM');
  assert.equal(await within(10000, own.closed, 'the close'), 1001);
  assert.equal((await site.run.result()).code, 0);
  assert.ok(!existsSync(site.socket), 'the control socket is gone');
  assert.equal(readFileSync(file, 'utf8').length, 20);
});

// --- connections ---

test('P38 P58 frames of one connection are whole, however many threads have something for it', async () => {
  const id = await server.session();
  const own = await server.page(id);
  await own.ask([watch, create(2, 'count'), create(3, 'name')]);
  const { session } = await rowOf(id);
  const controls = Array.from({ length: 4 }, () => server.control());
  const code = (k, i) => `
    local app = session:getApp()
    app.count = app.count + 1
    app.name = string.rep("${k}", ${20000 + i})
  `;
  const asked = controls.flatMap((control, k) =>
    Array.from({ length: 25 }, (_, i) => control.call('eval', { session, code: code(k, i) })),
  );
  await Promise.all(asked);
  await own.message((m) => m.data?.varId === 2 && m.data.value === 100);
  assert.ok(
    own
      .messages()
      .filter((m) => m.type === 'update')
      .every((m) => m.data.varId !== 3 || /^(North|0+|1+|2+|3+)$/.test(m.data.value)),
  );
  for (const control of controls) control.close();
  await own.close();
});

test('P40 P16 the listing is taken between items, never in the middle of one', async () => {
  const id = await server.session();
  const own = await server.page(id);
  await own.ask([watch, create(2, 'count'), create(3, 'name')]);
  const seen = [];
  for (let i = 0; i < 20; i++) {
    own.send({
      userEvent: true,
      messages: [
        lua(`
          local app = session:getApp()
          for i = 1, 20000 do
            app.count = i
            app.name = "n" .. i
          end
          app.count = ${i}
          app.name = "n${i}"
        `),
      ],
    });
    seen.push(listing(id));
  }
  for (const rows of await Promise.all(seen)) {
    const [count, name] = [2, 3].map((one) => rows.find((row) => row.clientId === one).value);
    assert.ok(name === `n${count}` || (name === 'North' && count === 0), `${count} ${name}`);
  }
  await own.close();
});

test('P68 P113 what is meant for a page that has left is dropped; whoever knows the id may come', async () => {
  const id = await server.session();
  const own = await server.page(id);
  await own.ask([watch, create(2, 'count'), create(3, 'bump()', { access: 'action' })]);
  for (let i = 0; i < 50; i++) own.send({ messages: [write(3, null)] });
  own.socket.close();
  await within(10000, own.closed, 'the close');
  const next = await server.page(id, { headers: { Cookie: 'ui-session=another' } });
  assert.deepEqual((await next.ask([watch, create(2, 'count')])).at(-1), write(2, 50));
  await next.close();
});

// --- view definitions ---

test('P104 P105 P107 P110 templates come as one property of variable 1, first, once a connection', async () => {
  const id = await server.session();
  const own = await server.page(id), other = await server.page(id);
  const first = await own.ask([create(2, 'name'), watch]);
  const [sent] = viewdefsIn(first);
  assert.deepEqual(
    [sent['Harbor.DEFAULT'], sent['Boat.COMPACT']],
    [VIEW, '<template><i></i></template>'],
    'sub-folders too, the key is the file name',
  );
  assert.equal(first[0].data.varId, 1);
  assert.ok('viewdefs' in first[0].data.properties, 'before every other update');
  assert.equal(typeof first[0].data.properties.viewdefs, 'string');
  assert.deepEqual(viewdefsIn(await own.ask(watch)), [], 'a repeated watch brings what is due only');
  assert.deepEqual(
    viewdefsIn(await own.ask([{ type: 'unwatch', id: 1 }, { type: 'unwatch', id: 1 }, watch])).length,
    1,
    'one that begins to watch again gets all',
  );
  assert.deepEqual(Object.keys(viewdefsIn(await other.ask(watch))[0]).sort(), Object.keys(sent).sort(), 'P107: each connection by itself');
  assert.ok(!(await listing(id))[0].properties.viewdefs, 'P110: the property is empty again');
  for (const page of [own, other]) await page.close();
});

test('P106 P109 without hot reload files are looked for when a type appears, not at each batch', async () => {
  const site = await Server.start({ 'lua/main.lua': MAIN, 'viewdefs/Harbor.DEFAULT.html': VIEW });
  const own = await site.page(await site.session());
  await own.ask([watch, create(2, 'launch()', { access: 'action' }), create(3, 'boat')]);
  writeFileSync(path.join(site.dir, 'viewdefs/Harbor.DEFAULT.html'), '<template><p>changed</p></template>');
  writeFileSync(path.join(site.dir, 'viewdefs/Boat.DEFAULT.html'), '<template><u></u></template>');
  assert.deepEqual(await own.ask([]), []);
  const answer = await own.ask(write(2, null));
  assert.deepEqual(viewdefsIn(answer), [{ 'Boat.DEFAULT': '<template><u></u></template>' }]);
  assert.equal(answer[0].data.varId, 1, 'in the same batch, before the value that needs it');
  assert.equal(answer[1].data.properties.type, 'Boat');
  await own.close();
  await site.stop();
});

test('P109 with hot reload a changed template comes by itself to those who had it', async () => {
  const site = await Server.start({ 'lua/main.lua': MAIN, 'viewdefs/Harbor.DEFAULT.html': VIEW }, ['--watch']);
  const id = await site.session();
  const own = await site.page(id), stranger = await site.page(id);
  await own.ask(watch);
  const from = own.frames.length;
  writeFileSync(path.join(site.dir, 'viewdefs/Harbor.DEFAULT.html'), '<template><p>changed</p></template>');
  await until(() => own.frames.slice(from).some((frame) => frame.includes('changed')), 'the template');
  assert.deepEqual(await stranger.ask([]), [], 'one that never watched variable 1 gets nothing');
  for (const page of [own, stranger]) await page.close();
  await site.stop();
});

test('P108 PX15 a type is a literal: no wildcard, no way out of the folder', async () => {
  const site = await Server.start({
    'lua/main.lua': MAIN,
    'viewdefs/Harbor.DEFAULT.html': VIEW,
    'Out.DEFAULT.html': '<template>stolen</template>',
  });
  const own = await site.page(await site.session());
  await own.ask([watch, create(2, 'boat'), create(3, 'boats.0')]);
  writeFileSync(path.join(site.dir, 'viewdefs/Late.DEFAULT.html'), '<template>late</template>');
  const names = ['*', 'L*', '?ate', '../Out', '..', '/', `${site.dir}/Out`, '[L]ate', '{Late,Out}', 'x'.repeat(5000)];
  for (const name of names) {
    const answer = await own.ask([
      lua(`session:getApp().boat = { type = ${JSON.stringify(name)} }`),
      { type: 'update', data: { varId: 3, properties: { type: name } } },
    ]);
    assert.deepEqual(viewdefsIn(answer), [], name);
  }
  assert.deepEqual(viewdefsIn(await own.ask(lua('session:getApp().boat = { type = "Late" }'))), [
    { 'Late.DEFAULT': '<template>late</template>' },
  ]);
  await own.close();
  await site.stop();
});

// --- disconnect and reconnect ---

test('P111 P112 P115 a page that closes takes what it made, and harms no other', async () => {
  const id = await server.session();
  const one = await server.page(id), two = await server.page(id);
  for (const own of [one, two]) await own.ask([watch, create(2, 'boats.0'), create(3, 'name', {}, 2)]);
  assert.equal((await listing(id)).length, 5);
  await one.close();
  await until(async () => (await listing(id)).length === 3, 'the clean-up');
  assert.deepEqual(await two.ask([]), [], 'no notices');
  assert.deepEqual(await two.ask([write(3, 'Tern'), create(4, 'boats.0.name')]), [write(4, 'Tern')]);
  const again = await server.page(id);
  assert.deepEqual((await again.ask([watch, create(2, 'boats.0.name')])).at(-1), write(2, 'Tern'), 'P112: ids from 2 again');
  assert.equal((await again.ask(create(3, 'name', {}, 4)))[0].data.code, 'bad-parent', 'P115: 4 is of another page');
  assert.equal((await again.ask(write(4, 'x')))[0].data.code, 'not-found');
  for (const own of [two, again]) await own.close();
});

test('P12 P115 the listing tells equal ids of two pages apart', async () => {
  const id = await server.session();
  const one = await server.page(id), two = await server.page(id);
  await one.ask([watch, create(2, 'name')]);
  await two.ask([watch, create(2, 'count')]);
  const rows = await listing(id);
  assert.deepEqual(rows.map((row) => [row.id, row.conn, row.clientId]), [[1, undefined, undefined], [2, 1, 2], [2000000002, 2, 2]]);
  assert.deepEqual(rows[0].childIds, [2, 2000000002]);
  for (const own of [one, two]) await own.close();
});

test('P114 PX42 a page whose connection broke goes on where it stopped', async () => {
  const id = await server.session();
  const own = await server.page(id);
  await own.ask([watch, create(2, 'name'), create(3, 'count'), create(4, 'bump()', { access: 'action' })]);
  own.socket.terminate();
  await until(async () => (await rowOf(id)).connections === 0, 'the loss');
  const control = server.control();
  await control.call('eval', { session: (await rowOf(id)).session, code: 'session:getApp().name = "meanwhile"' });
  control.close();
  const next = await server.page(id);
  const answer = await next.ask(write(4, null));
  assert.deepEqual(answer.filter((m) => m.type === 'error'), []);
  assert.deepEqual([2, 3].map((one) => answer.find((m) => m.data.varId === one)?.data.value), ['meanwhile', 1]);
  await next.close();
});

test('P114 a page that begins afresh, or two that broke, adopt nothing', async () => {
  const id = await server.session();
  const lost = [await server.page(id), await server.page(id)];
  for (const own of lost) await own.ask([watch, create(2, 'name')]);
  for (const own of lost) own.socket.terminate();
  await until(async () => (await rowOf(id)).connections === 0, 'the loss');
  const next = await server.page(id);
  assert.equal((await next.ask(write(2, 'x')))[0].data.code, 'not-found', 'the wrong row must never be acted on');
  assert.deepEqual((await next.ask([watch, create(2, 'count')])).at(-1), write(2, 0));
  await next.close();
});

// --- get and getObjects ---

test('P116 PX43 get: values and properties in the order asked, unknown ids one error each', async () => {
  const own = await server.page(await server.session());
  await own.ask([watch, create(2, 'name', { label: 'x' }), create(3, 'boats')]);
  const answer = await own.ask({ type: 'get', varIds: [3, 50, 2, 51] });
  const got = answer.find((m) => m.type === 'get').data.variables;
  assert.deepEqual(got.map((row) => row.id), [3, 2]);
  assert.deepEqual(got[1], { id: 2, value: 'North', properties: { label: 'x', path: 'name' } });
  assert.deepEqual(
    answer.filter((m) => m.type === 'error').map((m) => [m.data.varId, m.data.code]),
    [
      [50, 'not-found'],
      [51, 'not-found'],
    ],
  );
  await own.close();
});

test('P117 getObjects: own fields without functions and private names; unknown ones one error each', async () => {
  const own = await server.page(await server.session());
  const { obj } = (await own.ask([watch, create(2, 'boats')])).at(-1).data.value[0];
  const answer = await own.ask({ type: 'getObjects', objIds: [obj, 99999] });
  assert.deepEqual(answer.find((m) => m.type === 'getObjects').data.objects, [{ obj, value: { name: 'Gull', type: 'Boat' } }]);
  assert.deepEqual(answer.filter((m) => m.type === 'error').map((m) => m.data.code), ['not-found']);
  await own.close();
});
