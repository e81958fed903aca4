/** What a save says of data: kept, taken, set aside, restored, given way (hotload.md H49, H97; page.md R18). */
import assert from 'node:assert/strict';
import { Live, MAIN, test } from './hotload.js';
import { Program, until } from './lib.js';

/** Of main.lua some places keep what the run has made of them, which is not what this is about. */
const FIGURES = ['taken', 'set_aside', 'restored', 'gave_way'];
const figures = (result) => FIGURES.map((name) => result[name]);

test('H97 R18 record, control socket and lsess reload say what was set aside and restored', async () => {
  const without = MAIN.replace(', count = 0', '');
  const live = await Live.start({}, { options: ['--watch', '-v'], paths: [] });
  await live.eval('session:getApp().count = 5 return true');
  const watching = (await live.control.call('watch')).id;
  const { record } = await live.save({ 'lua/main.lua': without });
  const [result] = record.results;
  assert.deepEqual(figures(result), [0, 1, 0, 0], JSON.stringify(result));
  assert.match(result.details, /values of "count" set aside in 1 instance/);
  const event = await until(() => live.control.events(watching).find((e) => e.event === 'reload'), 'the event');
  assert.deepEqual([event.session, event.key, ...figures(event)], ['1', 'lua/main.lua', 0, 1, 0, 0], JSON.stringify(event));
  assert.ok(!('losses' in event), 'nothing has given way');
  assert.equal(live.property('reload-losses'), undefined);
  const told = /^reload lua\/main\.lua: ok, .*set aside.*, data: (\d+ kept, )?1 set aside, /;
  await until(() => live.server.logs().some((text) => told.test(text)), 'the log');
  const back = await live.save({ 'lua/main.lua': MAIN });
  assert.deepEqual(figures(back.record.results[0]), [0, 0, 1, 0]);
  assert.equal(await live.eval('return session:getApp().count'), 5);
  const skipped = await live.control.call('reload');
  assert.ok(skipped.results.every((r) => r.outcome === 'skipped' && !('kept' in r)), JSON.stringify(skipped));
});

test('H97 R18 without --watch lsess reload says it in words', async () => {
  const live = await Live.start({}, { options: [], paths: [] });
  await live.eval('session:getApp().count = 5 return true');
  live.write({ 'lua/main.lua': MAIN.replace(', count = 0', '') });
  const reload = new Program(['reload', '--socket', live.server.socket]);
  const told = /^session 1: lua\/main\.lua ok: .*set aside in 1 instance.*, data: (\d+ kept, )?1 set aside$/m;
  assert.match((await reload.result()).output, told);
});
