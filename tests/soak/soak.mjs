// The soak test: `node tests/soak/soak.mjs [SECONDS]` (quality.md Q4). Many sessions with a page each live through
// events, good and broken saves of Lua and templates, lost connections, evaluations, restarts and sessions that time
// out, all at random and all at once, and every answer is compared with what a model says it must be. The time counts
// after a warm-up. At the end what the program has asked of the C library and the number of descriptors equal those
// after the warm-up, the log holds nothing unexpected, and a server killed in the middle leaves nothing that stops the
// next one.
//
//   SOAK_SESSIONS=200   sessions
//   SOAK_SEED=…         repeat a run's choices (their timing is the machine's)
//   SOAK_FIGURES=0      do not compare memory and descriptors (sanitizers keep what is freed)
import fs from 'node:fs';
import path from 'node:path';
import { Program, Server, until } from '../server/lib.js';

const seconds = Number(process.argv[2] ?? 60);
const sessionCount = Number(process.env.SOAK_SESSIONS ?? 200);
const figures = process.env.SOAK_FIGURES !== '0';
const seed = Number(process.env.SOAK_SEED ?? Date.now() % 1000000);
const DRIVERS = 12;
const TOLERANCE = 1.02;
/* What is resident is also what the C library keeps in pieces, which other work on the machine makes more or less of:
 * it has a bound a session that a leak of any size would pass in time, and nothing is compared. */
const RESIDENT_KIB_A_SESSION = 768;
const WARM_UP_MS = seconds * 1000 / 3;
/* Blocks that a thread keeps for itself count as handed out; without these the figure is what the server itself holds. */
const ENVIRONMENT = { GLIBC_TUNABLES: 'glibc.malloc.tcache_count=0' };
const REST_MS = figures ? 12000 : 0; // the server gives the memory of ended sessions back every 10 s

/* mulberry32: small, and the same on every machine. */
let state = seed;
function random() {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
}
const pick = (list) => list[Math.floor(random() * list.length)];

const MAIN = `
local part = require("part")
Row = session:prototype("Row", { n = 0 })
App = session:prototype("App", { count = 0, name = "North", rows = EMPTY })
function App:bump() self.count = self.count + 1 end
function App:fail() error("expected: fail()") end
function App:version() return part.version() end
function App:grow()
  self.rows = self.rows or {}
  if #self.rows > 20 then self.rows = {} end
  self.rows[#self.rows + 1] = session:create(Row, { n = #self.rows })
end
session:createAppVariable(session:create(App, { rows = {} }))
`;
const part = (version, tail = '') => `
local M = {}
function M.version() return ${version} end
${tail}
return M
`;
const view = (text, tail = '</div>') => `<template><div><b ui-value="name"></b>${text}${tail}</template>\n`;

/* --- what is counted --- */

const checks = new Map();
function check(what, good, detail = '') {
  const entry = checks.get(what) ?? { good: 0, bad: 0 };
  checks.set(what, entry);
  if (good) entry.good++;
  else if (++entry.bad <= 5) console.log(`FAILED ${what}: ${typeof detail === 'string' ? detail : JSON.stringify(detail)}`);
}
async function attempt(what, work) {
  try {
    await work();
    check(what, true);
  } catch (problem) {
    check(what, false, problem.message);
  }
}

/* --- one session and what is known of it --- */

const update = (varId, value = null) => ({ userEvent: true, messages: [{ type: 'update', data: { varId, value } }] });

class Tab {
  constructor(server, id) {
    Object.assign(this, { server, id, count: 0, name: 'North', busy: false });
  }

  async connect() {
    this.page = await this.server.page(this.id);
    await this.page.watchApp();
    const { page } = this;
    page.create(2, 'count');
    page.create(3, 'bump()', { access: 'action' });
    page.create(4, 'name');
    page.create(5, 'version()', { access: 'r' });
    page.create(6, 'rows?wrapper=lua.ViewList');
    page.create(7, 'grow()', { access: 'action' });
    page.create(8, 'fail()', { access: 'action' });
    await this.shows(2, this.count);
    await this.shows(4, this.name);
  }

  /** As sites' own clients come back from a connection that was cut: nothing is made again, the variables are handed over (P114). */
  async resume() {
    await until(
      async () => (await control.call('sessions')).sessions.find((s) => s.url.endsWith(this.id)).connections === 0,
      'the end of the old connection',
    );
    this.page = await this.server.page(this.id);
    this.page.send(update(3));
    this.count++;
    await this.shows(2, this.count);
  }

  /** The page's newest value of a variable is, or becomes, that. Frames before it are forgotten. */
  async shows(varId, value, ms = 20000) {
    const { page } = this;
    const last = () => page.messages().findLast((m) => m.type === 'update' && m.data.varId === varId && 'value' in m.data);
    await until(
      () => last()?.data.value === value,
      `session ${this.id.slice(0, 4)}: variable ${varId} = ${value} (is ${JSON.stringify(last()?.data.value)})`,
      ms,
    );
    this.forget();
  }

  forget() {
    if (this.page.frames.length > 50) {
      const kept = new Map();
      for (const m of this.page.messages()) if (m.type === 'update' && 'value' in m.data) kept.set(m.data.varId, m);
      this.page.frames = [JSON.stringify([...kept.values()])];
    }
  }

  /** Whatever has been sent before is handled: the answer to a question has come. */
  async settled() {
    const { page } = this;
    const before = page.frames.length;
    page.send({ type: 'get', data: { varIds: [2] } });
    await until(() => page.frames.slice(before).some((f) => f.includes('"type":"get"')), 'an answer to get');
    this.forget();
  }
}

/* --- what happens to it --- */

const actions = {
  async event(tab) {
    await attempt('events are answered with the value that the model has', async () => {
      const times = 1 + Math.floor(random() * 5);
      for (let i = 0; i < times; i++) tab.page.send(update(3));
      tab.count += times;
      await tab.shows(2, tab.count);
    });
  },
  async write(tab) {
    await attempt('written values arrive and are shown to all', async () => {
      tab.name = `name ${Math.floor(random() * 1e9)}`;
      tab.page.send(update(4, tab.name));
      await tab.settled();
      const { json } = await control.call('eval', { session: tab.id, code: 'return session:getApp().name' });
      if (json !== tab.name) throw new Error(`Lua has ${json}, the page wrote ${tab.name}`);
    });
  },
  async list(tab) {
    await attempt('lists grow', async () => {
      tab.page.send(update(7));
      await tab.settled();
    });
  },
  async fail(tab) {
    await attempt('an error is told and leaves the session working', async () => {
      tab.page.frames = [];
      tab.page.send(update(8));
      await tab.page.message((m) => m.type === 'error' && m.data.varId === 8 && m.data.code === 'lua-error');
      tab.page.send(update(3));
      await tab.shows(2, ++tab.count);
    });
  },
  async reconnect(tab) {
    await attempt('a page that comes back is up to date', async () => {
      if (random() < 0.5) {
        tab.page.socket.terminate();
        await tab.resume();
      } else {
        await tab.page.close(random() < 0.5 ? 1000 : 1001);
        await tab.connect();
      }
    });
  },
  async evaluate(tab) {
    await attempt('evaluations see and change the session', async () => {
      if (random() < 0.2) {
        const { ok, error } = await control.call('eval', { session: tab.id, code: 'local x = nil; return x.y' });
        if (ok || error.code !== 'lua-error') throw new Error(JSON.stringify(error));
      }
      const { json } = await control.call('eval', {
        session: tab.id,
        code: `
          print("x")
          local app = session:getApp()
          app.count = app.count + 10
          return app.count
        `,
      });
      if (json !== tab.count + 10) throw new Error(`Lua has ${json}, the model ${tab.count + 10}`);
      await tab.shows(2, tab.count += 10);
    });
  },
  async restart(tab) {
    await attempt('a restart begins anew, or goes on as before when main.lua fails; the page follows', async () => {
      const before = savesSurvived();
      const { ok, error } = await control.call('restart', { session: tab.id });
      if (!ok && !(mayBeBroken(before) && /lua\/part\.lua/.test(error.message))) throw new Error(JSON.stringify(error));
      if (ok) [tab.count, tab.name] = [0, 'North'];
      await tab.shows(2, tab.count);
      tab.page.send(update(3));
      await tab.shows(2, ++tab.count);
    });
  },
  async visit() {
    await attempt('a visitor gets a session, or the error of the file that is broken just now', async () => {
      const before = savesSurvived();
      const answer = await server.get('/');
      if (answer.status === 500 && mayBeBroken(before) && answer.body.includes('lua/part.lua')) return;
      if (answer.status !== 302) throw new Error(`${answer.status} ${answer.body}`);
      const page = await server.page(answer.headers.location.slice(1));
      await page.watchApp();
      page.socket.terminate();
    });
  },
};
const weights = [['event', 40], ['write', 12], ['list', 12], ['fail', 4], ['reconnect', 10], ['evaluate', 8], ['restart', 3], ['visit', 3]]
  .flatMap(([name, weight]) => Array(weight).fill(name));

/* --- saves --- */

let version = 0, brokenSaves = 0, brokenNow = false;
/** How many broken saves are over. */
const savesSurvived = () => brokenSaves - (brokenNow ? 1 : 0);
/** Can the file have been broken at some moment since `before` survived saves were counted? */
const mayBeBroken = (before) => brokenSaves > before;

/** By rename, as editors save: a session that is made in the middle of a plain write would run half a file, rightly. */
function writePart(text) {
  const file = path.join(server.dir, 'lua/part.lua');
  fs.writeFileSync(`${file}~`, text);
  fs.renameSync(`${file}~`, file);
}

const saves = {
  async good() {
    await attempt('a good save reaches a page', async () => {
      writePart(part(++version));
      await witness.shows(5, version);
      brokenNow = false;
    });
  },
  async broken() {
    await attempt('a broken save is told and changes nothing', async () => {
      const how = pick(['syntax', 'raise', 'cut']);
      brokenNow = true;
      brokenSaves++;
      const text = part(9999, how === 'syntax' ? 'x ==' : how === 'raise' ? 'error("expected: broken save")' : '');
      writePart(how === 'cut' ? text.slice(0, 25) : text);
      await witness.page.message((m) => m.type === 'error' && !m.data.varId && m.data.description.startsWith('reload lua/part.lua: '));
      witness.page.frames = witness.page.frames.filter((frame) => !frame.includes('"error"'));
      await saves.good();
    });
  },
  async template() {
    await attempt('a saved template reaches a page', async () => {
      const text = `v${++version}`;
      fs.writeFileSync(path.join(server.dir, 'viewdefs/App.DEFAULT.html'), random() < 0.2 ? view(text, '') : view(text));
      await until(() => witness.page.frames.some((f) => f.includes(text)), `the template ${text}`);
      witness.forget();
    });
  },
};

/* --- the run --- */

async function drive(stopped) {
  while (!stopped()) {
    const tab = pick(tabs);
    if (tab.busy) {
      await new Promise(setImmediate);
      continue;
    }
    tab.busy = true;
    await actions[pick(weights)](tab);
    tab.busy = false;
  }
}

async function save(stopped) {
  while (!stopped()) await saves[pick(['good', 'good', 'good', 'broken', 'template'])]();
}

/** All that happens at once, for some time. */
async function live(ms) {
  const end = performance.now() + ms;
  const stopped = () => performance.now() > end;
  await Promise.all([...Array(DRIVERS)].map(() => drive(stopped)).concat(save(stopped)));
}

/** Memory and descriptors at rest: everything has been answered, lists are empty (they hold what was asked for, and no
 * leak), garbage is collected, visitors have gone and what they had is given back. What the C library keeps of the most
 * visitors at once is made the same each time. */
async function measure() {
  for (const tab of tabs)
    await control.call('eval', {
      session: tab.id,
      code: `
        session:getApp().rows = {}
        collectgarbage()
        collectgarbage()
      `,
    });
  for (let i = 0; i < 8; i++) await Promise.all([...Array(16)].map(() => actions.visit()));
  await until(async () => (await control.call('sessions')).sessions.length === sessionCount, 'the end of the visitors\' sessions', 60000);
  for (const tab of [witness, ...tabs]) await tab.settled();
  control.lines.length = 0;
  // Sockets that were cut close a little later: what a listing of pages and the number of descriptors agree on is the state of rest.
  await until(
    async () => (await control.call('sessions')).sessions.every((s) => s.connections === 1),
    'the end of the sockets that were cut',
  );
  const figures = { heap: Infinity, rss: Infinity, descriptors: Infinity };
  const end = performance.now() + REST_MS;
  do {
    figures.heap = Math.min(figures.heap, (await control.call('ping')).heap >> 10);
    figures.rss = Math.min(figures.rss, Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${server.pid}/status`, 'utf8'))[1]));
    figures.descriptors = Math.min(figures.descriptors, fs.readdirSync(`/proc/${server.pid}/fd`).length);
    await new Promise((next) => setTimeout(next, Math.min(REST_MS, 100)));
  } while (performance.now() < end);
  return figures;
}

const EXPECTED = [/^x$/, /expected: /, /attempt to index a nil value \(local 'x'\)/, /lua\/part\.lua/, /viewdefs\/App\.DEFAULT\.html/];

async function crash() {
  await attempt('kill -9 leaves nothing that stops the next start', async () => {
    writePart(part(++version));
    server.run.child.kill('SIGKILL');
    await server.run.ended;
    if (!fs.existsSync(server.socket)) throw new Error('there is no stale socket to begin with');
    const next = new Program([
      'serve', server.dir, '--port', String(server.port), '--strict-port', '--watch', '--json-log', '--socket',
      server.socket,
    ]);
    try {
      await until(() => next.output.includes('"event":"ready"'), 'the next start');
      const answer = await server.session();
      if (!/^[0-9a-f]{32}$/.test(answer)) throw new Error(answer);
      next.child.kill('SIGTERM');
      const { code, output } = await next.result();
      if (code !== 0) throw new Error(output);
    } finally {
      next.child.kill('SIGKILL');
    }
  });
}

const server = await Server.start({ 'lua/main.lua': MAIN, 'lua/part.lua': part(0), 'viewdefs/App.DEFAULT.html': view('v0') },
  ['--watch', '--session-timeout', '8s', '--max-connections', '400', '-v'], { env: ENVIRONMENT });
process.on('exit', () => server.run.child.kill('SIGKILL')); // also when this ends by an error or a signal
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => process.exit(1));
const control = server.control();
const tabs = [];
console.log(`# ${sessionCount} sessions, ${seconds} s, seed ${seed}`);
while (tabs.length < sessionCount) {
  const batch = await Promise.all([...Array(Math.min(20, sessionCount - tabs.length))].map(async () => {
    const tab = new Tab(server, await server.session());
    await tab.connect();
    return tab;
  }));
  tabs.push(...batch);
}
const witness = tabs.shift(); // sees the saves, and nothing else happens to it
await live(WARM_UP_MS);
const early = await measure();
await live(seconds * 1000);
const late = await measure();
const both = (what) => `${early[what]} → ${late[what]}`;
console.log(`# in use ${both('heap')} KiB, resident ${both('rss')} KiB, descriptors ${both('descriptors')}`);
if (figures) {
  check('memory in use at the end equals that after the warm-up', late.heap <= early.heap * TOLERANCE, `${early.heap} → ${late.heap} KiB`);
  check('resident memory stays within its bound a session', late.rss <= sessionCount * RESIDENT_KIB_A_SESSION, `${late.rss} KiB`);
  check(
    'descriptors at the end equal those after the warm-up',
    late.descriptors <= early.descriptors * TOLERANCE,
    `${early.descriptors} → ${late.descriptors}`,
  );
}
for (const tab of tabs) await attempt('every session ends with the model\'s values', () => tab.shows(2, tab.count));
const surprises = server.events('log').filter((record) => record.level === 0 && !EXPECTED.some((expected) => expected.test(record.text)));
check('the log holds nothing unexpected', surprises.length === 0, surprises.slice(0, 3));
check('the server lives', server.run.child.exitCode === null && server.run.child.signalCode === null, server.run.output.slice(-2000));
for (const tab of tabs) tab.page.socket.terminate();
control.close();
await crash();
fs.rmSync(server.dir, { recursive: true, force: true });

let failed = 0;
for (const [what, { good, bad }] of checks) {
  console.log(`${bad ? 'not ok' : 'ok'} ${what} (${good}${bad ? `, failed ${bad}` : ''})`);
  failed += bad ? 1 : 0;
}
console.log(`${checks.size - failed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
