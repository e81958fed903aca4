/** What the hot reload tests share: a watched site with one page, and saves that are followed to their end. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test as run } from 'node:test';
import { Server, until, writeSite } from './lib.js';

/** What the running test has started. */
const running = new Set();

/** A test that ends what it has started: well when it passes, at once when it fails. */
export function test(name, body) {
  run(name, { timeout: 120000 }, async (context) => {
    try {
      await body(context);
      for (const live of [...running]) await live.stop();
    } finally {
      for (const live of running) live.kill();
      running.clear();
    }
  });
}

/** A site whose app has a library, fields, methods and instances. `runs` counts executions of main.lua. */
export const MAIN = `
runs = (runs or 0) + 1
App = session:prototype("App", { name = "North", count = 0 })
local lib = require("lib")
function App:label() return "one " .. self.count end
function App:text() return lib.text() end
function App:bump() self.count = self.count + 1 end
if not session.reloading then session:createAppVariable(session:create(App, {})) end
`;
export const lib = (text, more = '') => `
local M = {}
function M.text() return "${text}" end
${more}
return M
`;
export const view = (text) => `<template><b>${text}</b></template>`;
/** Options of a site whose files are saved several at a time, and must be taken up in one step: the server's threads
 * may have to wait for their turn for longer than the usual windows last (H23). */
export const TOGETHER = ['--watch', '--debounce', '200'];
export const FILES = { 'lua/main.lua': MAIN, 'lua/lib.lua': lib('a'), 'viewdefs/App.DEFAULT.html': view('first') };

export class Live {
  /** A server that watches, one session with a page that shows `paths` as variables 2, 3, … */
  static async start(files = {}, { options = ['--watch'], paths = ['count', 'label()', 'text()'], settings } = {}) {
    const live = new Live();
    live.server = await Server.start(typeof files === 'string' ? files : { ...FILES, ...files }, options, settings);
    running.add(live);
    live.dir = live.server.dir;
    live.paths = paths;
    live.id = await live.server.session();
    live.page = await live.show(live.id);
    live.control = live.server.control();
    return live;
  }

  /** A page of a session that shows the paths. */
  async show(id) {
    const page = await this.server.page(id);
    await page.watchApp();
    this.paths.forEach((where, at) => page.create(at + 2, where));
    await this.barrier(page);
    return page;
  }

  /** Everything sent before has been handled and its answers are here. */
  async barrier(page = this.page) {
    const asked = (page.asked ?? 0) + 1;
    page.asked = asked;
    page.send({ type: 'get', data: { varIds: [1] } });
    await until(() => page.messages().filter((m) => m.type === 'get').length >= asked, 'an answer to get');
  }

  /** The page's frames since `from`, without the barriers' answers. */
  frames(from = 0, page = this.page) {
    return page.frames.slice(from).map((frame) => [JSON.parse(frame)].flat()).filter((messages) => messages[0]?.type !== 'get');
  }

  records() {
    return this.server.events('reload');
  }

  /** Do something to files, wait until it has been told about and pages have everything: the record, the frames that came of it, and all
   * that was told meanwhile. */
  async after(action, { match = () => true, page = this.page } = {}) {
    await this.barrier(page);
    const from = page.frames.length, told = this.records().length;
    await action();
    const record = await until(() => this.records().slice(told).find(match), 'the record of a save', 20000);
    await this.barrier(page);
    return { record, frames: this.frames(from, page), records: this.records().slice(told) };
  }

  save(files, options) {
    return this.after(() => this.write(files), options);
  }

  file(name) {
    return path.join(this.dir, name);
  }

  /** Several files come together. */
  write(files) {
    if (Object.keys(files).length > 1) this.still(() => writeSite(this.dir, files));
    else writeSite(this.dir, files);
  }

  /** What `change` does to files is one moment for the server, which stands still meanwhile, however long this process
   * has to wait in the middle of it.
   * @returns what `change` returns */
  still(change) {
    const { child } = this.server.run;
    const end = performance.now() + 10000;
    child.kill('SIGSTOP');
    try {
      while (!/^\d+ \(.*\) T /.test(readFileSync(`/proc/${child.pid}/stat`, 'utf8')))
        assert.ok(performance.now() < end, 'the server stands still');
      return change();
    } finally {
      child.kill('SIGCONT');
    }
  }

  appears(name) {
    return until(() => existsSync(this.file(name)), name);
  }

  /** Do something to files, wait until sessions have been given it, busy ones as well. */
  async handedOut(action) {
    const generation = async () => (await this.server.get('/lsess-client/generation')).body;
    const before = await generation();
    action();
    await until(async () => await generation() !== before, 'the end of the window');
  }

  /** Saves as most editors do it: a temporary file that takes the place of the old one. */
  replace(name, text) {
    writeFileSync(this.file(`${name}.tmp`), text);
    renameSync(this.file(`${name}.tmp`), this.file(name));
  }

  async eval(code, session) {
    const answer = await this.control.call('eval', session === undefined ? { code } : { code, session });
    if (!answer.ok) throw new Error(JSON.stringify(answer));
    return answer.json;
  }

  /** Properties of variable 1 as the page has them now. */
  property(name, page = this.page) {
    return page.messages().reduce((value, m) => m.data?.properties?.[name] ?? value, undefined);
  }

  /** Present value of a variable as the page has it. */
  value(id, page = this.page) {
    return page.messages().filter((m) => m.type === 'update' && m.data.varId === id && 'value' in m.data).at(-1)?.data.value;
  }

  async state() {
    return (await this.control.call('state')).hotload;
  }

  async stop() {
    running.delete(this);
    this.control?.close();
    await this.server.stop();
  }

  kill() {
    this.control?.close();
    this.server.run.child.kill('SIGKILL');
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** One frame's updates: { varId: value }. */
export const values = (frame) =>
  Object.fromEntries(
    frame.filter((m) => m.type === 'update' && 'value' in m.data).map((m) => [m.data.varId, m.data.value]),
  );
export const views = (frame) =>
  Object.assign(
    {},
    ...frame.filter((m) => m.data?.properties?.viewdefs).map((m) => JSON.parse(m.data.properties.viewdefs)),
  );

/** A row of the torture table: a kind of edit, made to a running program, with what was so before it and what is so after it.
 *
 *  files     over FILES
 *  paths     what the page shows as variables 2, 3, …
 *  arrange   Lua that changes state at run time; or a function of the test
 *  state     Lua expression, asked `before` and `after`
 *  edit      files to write, or a function of the test
 *  done      which record ends it; the first when absent
 *  together  the edit is a function that changes several files, which must be taken up in one step
 *  out       record of it: outcome of each file, `details` and `failures` as patterns in order, `cleared`
 *  frames    how many the page gets; `shows` what they hold: { varId: value }; `views` their view definitions
 *  mended    files of a second save after which everything is well; `then` is the state after it */
export function torture(kind, row) {
  test(kind, async () => {
    const together = row.together || [row.edit, row.mended ?? {}].some((files) => Object.keys(files).length > 1);
    const live = await Live.start(row.files, {
      paths: row.paths ?? [],
      options: [...(together ? TOGETHER : ['--watch']), ...(row.options ?? [])],
    });
    if (typeof row.arrange === 'string') await live.eval(`${row.arrange} return true`);
    else await row.arrange?.(live);
    const state = async () => (row.state ? live.eval(`return ${row.state}`) : undefined);
    assert.deepEqual(await state(), row.before, 'before');
    const said = await live.after(() => (typeof row.edit === 'function' ? row.edit(live) : live.write(row.edit)), { match: row.done });
    assert.deepEqual(await state(), row.after, 'after');
    judge(said.record, row.out ?? {});
    assert.equal(said.frames.length, row.frames, `frames ${JSON.stringify(said.frames)}`);
    assert.deepEqual(Object.assign({}, ...said.frames.map(values)), row.shows ?? {}, 'what the frames show');
    assert.deepEqual(Object.assign({}, ...said.frames.map(views)), row.views ?? {}, 'view definitions');
    await row.also?.(live, said);
    if (!row.mended) return;
    const { record } = await live.save(row.mended);
    assert.deepEqual(record.failures, []);
    assert.deepEqual(await state(), row.then, 'after mending');
    assert.equal(live.property('reload-error') ?? '', '', 'nothing is wrong any more');
  });
}

/** The record against what a row says of it. */
function judge(record, { outcomes, details = [], failures = [], cleared = [] }) {
  const text = JSON.stringify(record);
  if (outcomes) assert.deepEqual(Object.fromEntries(record.results.map((r) => [r.key, r.outcome])), outcomes, text);
  const told = record.results.map((r) => r.details ?? '').join('\n');
  for (const pattern of [details].flat()) assert.match(told, pattern);
  if ([details].flat().length === 0) assert.equal(told.trim(), '', 'details');
  assert.equal(record.failures.length, failures.length, text);
  failures.forEach((pattern, at) => assert.match(record.failures[at].text, pattern));
  assert.deepEqual(record.cleared, cleared, text);
}
