/** Who uses what in hot reload: unloading, the end of sessions, what the administration is shown, start and stop
 * (hotload.md sections 17 and 18). */
import assert from 'node:assert/strict';
import { readdirSync, readlinkSync, rmSync, symlinkSync } from 'node:fs';
import { FILES, Live, MAIN, TOGETHER, lib, test, values, view } from './hotload.js';
import { Server, makeSite, until, writeSite } from './lib.js';

const FLEET = { 'apps/fleet/ship.lua': 'ship = (ship or 0) + 1', 'apps/fleet/dock.lua': 'dock = (dock or 0) + 1' };
/** A site that reaches the fleet through a link in lua/. */
const linked = () => {
  const dir = makeSite({ ...FILES, ...FLEET });
  symlinkSync('../apps/fleet', `${dir}/lua/fleet`);
  return dir;
};
const uses = async (live, name) => (await live.state()).directories.find((d) => d.path === live.file(name))?.uses ?? 0;

test(
  'H101 the listing of the administration: modules and failures of each session, watched folders with uses, links, what is pending',
  async () => {
    const live = await Live.start(linked());
    await live.server.session();
    await live.eval('require("fleet.ship") return true', '1');
    await live.save({ 'lua/lib.lua': 'return {' });
    const state = await live.control.call('state');
    assert.deepEqual(state.sessions.map((s) => s.session), ['1', '2']);
    const module = (at, key) => state.sessions[at].modules.find((m) => m.key === key);
    assert.equal(module(0, 'apps/fleet/ship.lua').ok, true);
    assert.match(String(module(0, 'apps/fleet/ship.lua').hash), /^[0-9a-f]{8,}$/);
    assert.ok(Math.abs(module(0, 'lua/lib.lua').time - Date.now()) < 600000);
    assert.equal(module(1, 'apps/fleet/ship.lua'), undefined);
    for (const session of state.sessions) {
      assert.equal(session.modules.find((m) => m.key === 'lua/lib.lua').ok, false);
      assert.deepEqual(session.failures.map((f) => [f.key, f.line]), [['lua/lib.lua', 1]]);
    }
    assert.deepEqual(state.hotload.symlinkTargets, [{ path: live.file('lua/fleet'), target: live.file('apps/fleet') }]);
    assert.deepEqual(state.hotload.pendingReloads, []);
    assert.ok(state.hotload.directories.every((d) => d.uses > 0 && d.polled === false));
    for (const name of ['lua', 'apps', 'apps/fleet', 'viewdefs'])
      assert.ok(
        state.hotload.directories.some((d) => d.path === live.file(name)),
        name,
      );
  },
);

test('H90 H92 a module unloaded in one session goes on in another; it counts again when it is required again', async () => {
  const live = await Live.start(linked());
  await live.server.session();
  const trees = await uses(live, 'apps/fleet');
  for (const session of ['1', '2']) await live.eval('require("fleet.ship") return true', session);
  const both = await uses(live, 'apps/fleet');
  assert.ok((await live.control.call('unload', { names: ['fleet.ship'], sessions: ['1'] })).ok);
  assert.ok(both > trees);
  assert.equal(await uses(live, 'apps/fleet'), both, 'what another session needs stays');
  const one = await live.save({ 'apps/fleet/ship.lua': 'ship = 10' });
  assert.equal(one.record.sessions, 1);
  assert.deepEqual([await live.eval('return ship', '1'), await live.eval('return ship', '2')], [1, 10]);
  await live.eval('require("fleet.ship") return true', '1');
  assert.equal(await uses(live, 'apps/fleet'), both);
  assert.equal((await live.save({ 'apps/fleet/ship.lua': 'ship = 20' })).record.sessions, 2);
  assert.ok((await live.control.call('unload', { names: ['fleet.ship'] })).ok);
  await until(async () => (await uses(live, 'apps/fleet')) === trees, 'the release of the last use');
});

test('H91 unloading a folder does it for each module in it, however the folder is reached', async () => {
  const live = await Live.start(linked(), { options: TOGETHER });
  await live.eval(`
    require("fleet.ship")
    require("fleet.dock")
    return true
  `);
  const before = await uses(live, 'apps/fleet');
  const answer = await live.control.call('unload', { names: ['apps/fleet'], sessions: ['1'] });
  assert.ok(answer.ok, JSON.stringify(answer));
  assert.ok((await uses(live, 'apps/fleet')) < before);
  const { record } = await live.save(
    { 'apps/fleet/ship.lua': 'ship = 10', 'apps/fleet/dock.lua': 'dock = 10' },
    { match: (r) => r.files.length === 2 },
  );
  assert.equal(record.sessions, 0);
  assert.deepEqual(await live.eval('return { ship, dock }'), [1, 1]);
});

test('H93 H90 a session that ends releases its uses', async () => {
  const live = await Live.start(linked(), { options: ['--watch', '--session-timeout', '4s'] }); /* the time that a page has to come */
  const before = await uses(live, 'apps/fleet');
  const page = await live.server.page(await live.server.session());
  await live.eval('require("fleet.ship") return true', '2');
  assert.ok((await uses(live, 'apps/fleet')) > before);
  await page.close();
  await until(async () => (await live.control.call('state')).sessions.length === 1, 'the end of the session that no page shows', 20000);
  await until(async () => (await uses(live, 'apps/fleet')) === before, 'the end of its uses');
  assert.deepEqual((await live.save({ 'lua/lib.lua': lib('b') })).frames.map(values), [{ 4: 'b' }]);
});

test('H55 variables, watches, connections and object ids are the same after a reload', async () => {
  const live = await Live.start(
    {
      'lua/main.lua': `
        ${MAIN}
        if not session.reloading then
          local app = session:getApp()
          app.items = { { type = "Item", n = 1 }, { type = "Item", n = 2 } }
        end
      `,
    },
    { paths: ['count', 'items'] },
  );
  const list = async () => JSON.stringify(live.page.messages().filter((m) => m.type === 'update' && m.data.varId === 3).at(-1).data.value);
  const before = await list();
  await live.save({
    'lua/main.lua': `
      ${MAIN.replace('one', 'two')}
      if not session.reloading then local app = session:getApp() end
    `,
  });
  await live.barrier();
  assert.equal(await list(), before);
  await live.eval('session:getApp().count = 9 return true');
  await until(() => live.value(2) === 9, 'the page follows its variables');
  assert.equal(live.page.messages().filter((m) => m.type === 'destroy').length, 0);
});

test('C1 H2 reload without names covers all that sessions have loaded, with and without --watch', async () => {
  for (const options of [[], ['--watch', '--debounce', '60000']]) {
    const live = await Live.start(linked(), { options, paths: ['text()'] });
    await live.eval('require("fleet.ship") return true');
    /* Asked before the server sees the files: a burst is due after a second at the latest (H28), whatever --debounce says. */
    const answer = await live.still(() => {
      writeSite(live.dir, { 'lua/lib.lua': lib('b'), 'apps/fleet/ship.lua': 'ship = 50', 'viewdefs/App.DEFAULT.html': view('second') });
      return live.control.call('reload');
    });
    assert.deepEqual(Object.fromEntries(answer.results.map((r) => [r.key, r.outcome])), {
      'apps/fleet/ship.lua': 'ok',
      'lua/lib.lua': 'ok',
      'lua/main.lua': 'skipped',
    });
    /* Where nothing is watched no texts are remembered: functions follow the file, and data stays the run's (H49). */
    assert.equal(await live.eval('return ship'), options.length > 0 ? 50 : 1);
    await until(() => live.value(2) === 'b', 'the page');
    const again = await live.control.call('reload');
    assert.ok(again.results.every((r) => r.outcome === 'skipped' && r.text === 'unchanged'), JSON.stringify(again));
    await live.stop();
  }
});

test('C1 H17 reload without --watch follows a link that was re-pointed, in sessions that run too', async () => {
  const dir = linked();
  writeSite(dir, { 'apps/navy/ship.lua': 'function sail() return "navy" end' });
  const live = await Live.start(dir, { options: [] });
  await live.eval('require("fleet.ship") return true');
  rmSync(`${dir}/lua/fleet`);
  symlinkSync('../apps/navy', `${dir}/lua/fleet`);
  const answer = await live.control.call('reload');
  assert.deepEqual(answer.results.filter((r) => r.outcome === 'ok').map((r) => r.key), ['apps/navy/ship.lua']);
  assert.equal(await live.eval('return sail()'), 'navy');
  const again = await live.control.call('reload');
  assert.ok(again.results.every((r) => r.outcome === 'skipped'), JSON.stringify(again));
  await live.stop();
});

test('H94 H95 H1 watches are there before the first session, and stopping takes them away at once', async () => {
  const inotify = (pid) =>
    readdirSync(`/proc/${pid}/fd`).some((fd) => {
      try {
        return readlinkSync(`/proc/${pid}/fd/${fd}`).includes('inotify');
      } catch {
        return false;
      }
    });
  const live = await Live.start({
    'lua/main.lua': `
      ${MAIN}
      local f = io.open("${makeSite({})}/x", "r")
    `,
  });
  assert.ok(inotify(live.server.pid));
  live.write({ 'lua/lib.lua': lib('b') });
  const begun = performance.now();
  await live.stop();
  assert.ok(performance.now() - begun < 10000, 'the end');
  const byEnvironment = await Live.start({}, { options: [], settings: { env: { LSESS_WATCH: '1' } } });
  assert.deepEqual((await byEnvironment.save({ 'lua/lib.lua': lib('b') })).frames.map(values), [{ 4: 'b' }]);
  const off = await Server.start(FILES);
  try {
    assert.ok(!inotify(off.pid), 'H2: no kernel watch without it');
  } finally {
    await off.stop();
  }
});

test('H42 H65 H39 the memory limit is reached while a file is reloaded: that transaction fails, the session goes on', async () => {
  const live = await Live.start({}, { options: ['--watch', '--memory-limit', '16M'] });
  const { record } = await live.save({
    'lua/lib.lua': lib('b', `
      local t = {}
      for i = 1, 1e8 do t[i] = ("x"):rep(1000) .. i end
    `),
  });
  assert.match(record.failures[0].text, /^lua\/lib\.lua.*memory limit/);
  assert.equal(live.value(4), 'a');
  assert.deepEqual((await live.save({ 'lua/lib.lua': lib('c') })).frames.map(values), [{ 4: 'c' }]);
});
