/** A page that is there before the app object: it is shown as soon as there is one, whoever makes it and wherever
 * main.lua comes from (P31, P71, H36, L32). */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { Server, until, writeSite } from './lib.js';

const MAIN = `
local App = session:prototype("App", { n = 0 })
function App:word() return "one" end
if not session:getApp() then session:createAppVariable(session:create(App, {})) end
`;
const LATER = `
App = session:prototype("App", { n = 0 })
function App:word() return "one" end
`;
const MAKE = 'session:createAppVariable(session:create(App, {}))';
const VIEW = { 'viewdefs/App.DEFAULT.html': '<template><b ui-value="word()"></b></template>' };
const NONE = { ...VIEW, 'lua/.keep': '' };

const elsewhere = (files) => {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'lsess-elsewhere-'));
  writeSite(dir, files);
  return dir;
};

async function control(server, cmd, fields) {
  const connection = server.control();
  const answer = await connection.call(cmd, fields);
  connection.close();
  assert.ok(answer.ok, JSON.stringify(answer));
  return answer;
}
const evaluate = (server, code) => control(server, 'eval', { session: '1', code });

/* name, files at first, what makes the app object, options */
const WAYS = [
  ['lua/main.lua comes', NONE, ({ dir }) => writeSite(dir, { 'lua/main.lua': MAIN })],
  ['lua/ comes with main.lua in it', VIEW, ({ dir }) => writeSite(dir, { 'lua/main.lua': MAIN })],
  [
    'lua/ is moved to its place',
    { ...VIEW, 'draft/main.lua': MAIN },
    ({ dir }) => renameSync(path.join(dir, 'draft'), path.join(dir, 'lua')),
  ],
  [
    'lua/ comes as a link',
    { ...VIEW, 'parts/main.lua': MAIN },
    ({ dir }) => symlinkSync('parts', path.join(dir, 'lua')),
  ],
  [
    'lua/ comes as a link to another place',
    VIEW,
    ({ dir }) => symlinkSync(elsewhere({ 'main.lua': MAIN }), path.join(dir, 'lua')),
  ],
  [
    'main.lua comes as a link',
    { ...NONE, 'parts/first.lua': MAIN },
    ({ dir }) => symlinkSync('../parts/first.lua', path.join(dir, 'lua/main.lua')),
  ],
  [
    'main.lua comes as a link to another place',
    NONE,
    ({ dir }) => symlinkSync(path.join(elsewhere({ 'first.lua': MAIN }), 'first.lua'), path.join(dir, 'lua/main.lua')),
  ],
  [
    'main.lua is a link whose file comes',
    NONE,
    ({ dir }) => writeSite(dir, { 'parts/first.lua': MAIN }),
    { link: ['../parts/first.lua', 'lua/main.lua'] },
  ],
  [
    'lua/ is a link whose folder comes',
    VIEW,
    ({ dir }) => writeSite(dir, { 'parts/main.lua': MAIN }),
    { link: ['parts', 'lua'] },
  ],
  [
    'lua/ goes and comes back with main.lua',
    NONE,
    async ({ dir }) => {
      rmSync(path.join(dir, 'lua'), { recursive: true });
      mkdirSync(path.join(dir, 'lua'));
      writeSite(dir, { 'lua/main.lua': MAIN });
    },
  ],
  [
    'main.lua is saved by renaming',
    NONE,
    ({ dir }) => {
      writeSite(dir, { 'lua/main.lua~new': MAIN });
      renameSync(path.join(dir, 'lua/main.lua~new'), path.join(dir, 'lua/main.lua'));
    },
  ],
  ['main.lua was empty', { ...VIEW, 'lua/main.lua': '' }, ({ dir }) => writeSite(dir, { 'lua/main.lua': MAIN })],
  [
    'main.lua comes with what it needs',
    NONE,
    ({ dir }) => writeSite(dir, {
      'lua/main.lua': `
        require("ships")
        ${MAKE}
      `,
      'lua/ships.lua': LATER,
    }),
  ],
  [
    'main.lua comes broken and is mended',
    NONE,
    async (server) => {
      for (const broken of ['local = 1', `${MAIN.replace('one', 'half')}error("half way")`]) {
        const before = server.events('reload').length;
        writeSite(server.dir, { 'lua/main.lua': broken });
        await until(() => server.events('reload').slice(before).some((r) => r.failures.length === 1), 'the failure');
      }
      writeSite(server.dir, { 'lua/main.lua': MAIN });
    },
  ],
  [
    'a module that main.lua needs comes',
    NONE,
    async (server) => {
      writeSite(server.dir, {
        'lua/main.lua': `
          require("ships")
          ${MAKE}
        `,
      });
      await until(() => server.events('reload').some((r) => r.failures.some(({ text }) => text.includes('ships'))), 'the failure');
      writeSite(server.dir, { 'lua/ships.lua': LATER });
    },
  ],
  [
    'a timer makes it',
    {
      ...VIEW,
      'lua/main.lua': `
        ${LATER}
        function soon()
          session:setTimeout(function() ${MAKE} end, 20)
        end
      `,
    },
    (server) => evaluate(server, 'soon()'),
  ],
  ['the shell makes it', { ...VIEW, 'lua/main.lua': LATER }, (server) => evaluate(server, MAKE)],
  [
    'a hook makes it when its module is unloaded',
    { ...VIEW, 'lua/main.lua': `${LATER}require("part")`, 'lua/part.lua': `session:onDispose(function() ${MAKE} end)` },
    (server) => control(server, 'unload', { session: '1', names: ['part'] }),
  ],
  [
    'a file is reloaded that makes it',
    { ...VIEW, 'lua/main.lua': `${LATER}require("part")`, 'lua/part.lua': '' },
    ({ dir }) => writeSite(dir, { 'lua/part.lua': MAKE }),
  ],
  [
    'restart, without --watch',
    NONE,
    (server) => {
      writeSite(server.dir, { 'lua/main.lua': MAIN });
      return control(server, 'restart', { session: '1' });
    },
    { options: [] },
  ],
  [
    'reload, without --watch',
    NONE,
    (server) => {
      writeSite(server.dir, { 'lua/main.lua': MAIN });
      return control(server, 'reload');
    },
    { options: [] },
  ],
];

const watch = { type: 'watch', data: { varId: 1 } };
const isApp = (m) => m.type === 'update' && m.data.varId === 1 && 'value' in m.data;
const app = (page) => page.message(isApp);

/** The page has been told all of variable 1, once, and can go on from there. */
async function shows(page) {
  const update = await app(page);
  assert.equal(update.data.properties.type, 'App');
  const views = page.messages().findIndex((m) => m.data.properties?.viewdefs?.includes('App.DEFAULT'));
  assert.ok(views >= 0 && views < page.messages().findIndex(isApp), 'views come first');
  const [word] = await page.ask({ type: 'create', data: { id: 2, parentId: 1, properties: { path: 'word()', access: 'r' } } });
  assert.equal(word.data.value, 'one');
  assert.equal(page.messages().filter(isApp).length, 1);
}

for (const [name, files, then, { options = ['--watch'], link } = {}] of WAYS)
  test(`P31 P71 H36 a page that is there first is shown the app object: ${name}`, { timeout: 60000 }, async () => {
    const server = await Server.start(files, options);
    if (link) symlinkSync(link[0], path.join(server.dir, link[1]));
    const id = await server.session();
    const pages = [await server.page(id), await server.page(id)];
    for (const page of pages)
      assert.deepEqual(
        (await page.ask(watch)).map((m) => [m.type, m.data.varId, m.data.code]),
        [['error', 1, 'not-found']],
        'P73',
      );
    await then(server);
    for (const page of pages) await shows(page);
    const next = await server.page(id);
    await next.ask(watch);
    assert.ok((await app(next)).data.value);
    await server.stop();
  });

test('P31 P71 a page that lost its app object by a restart is shown the next one', async () => {
  const server = await Server.start({ ...VIEW, 'lua/main.lua': MAIN });
  const page = await server.page(await server.session());
  await page.watchApp();
  writeSite(server.dir, { 'lua/main.lua': LATER });
  await control(server, 'restart', { session: '1' });
  await page.message((m) => m.type === 'destroy' && m.data.varId === 1);
  const before = page.messages().length;
  await evaluate(server, MAKE);
  await until(() => page.messages().slice(before).some((m) => m.data?.varId === 1 && m.data.value), 'the next app object');
  await server.stop();
});

test('P74 P73 who has taken the watch back is not told, and a watch of another unknown id waits for nothing', async () => {
  const server = await Server.start({ ...VIEW, 'lua/main.lua': LATER });
  const page = await server.page(await server.session());
  await page.ask([watch, { type: 'unwatch', data: { varId: 1 } }, { type: 'watch', data: { varId: 5 } }]);
  await evaluate(server, MAKE);
  assert.deepEqual(
    await page.ask({
      type: 'create',
      data: { id: 5, parentId: 1, nowatch: true, properties: { path: 'word()', access: 'r' } },
    }),
    [],
  );
  assert.deepEqual(page.messages().filter((m) => m.type === 'update'), []);
  await server.stop();
});

test('P31 P71 P118 a client of the API that watched first finds the app object at its next poll', async () => {
  const server = await Server.start({ ...VIEW, 'lua/main.lua': LATER });
  const id = await server.session();
  const post = async (what, body) =>
    (await server.fetch(`/api/${what}?session=${id}&client=a`, { method: 'POST', body: JSON.stringify(body) })).json();
  assert.match((await post('watch', { varId: 1 })).error, /no variable 1/);
  await evaluate(server, MAKE);
  const polled = await post('poll', { wait: '5s' });
  assert.ok(JSON.stringify(polled).includes('"type":"App"'), JSON.stringify(polled));
  await server.stop();
});
