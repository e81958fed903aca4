// The benchmark: `make bench`, or `make bench BENCH="start save"` for some figures. Prints a table and writes
// build/bench.json.
//
// BASE=PROGRAM names another build, which the rows of lists are compared with, taking turns.
//
// Each figure stands beside a floor measured in the same run, so that the ratio means something on any machine
// (quality.md Q1). Benchmarks are never tests: they report.
import { spawn, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import readline from 'node:readline';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const top = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const build = path.resolve(top, process.env.B || 'build');
const program = process.env.PROGRAM ? path.resolve(process.env.PROGRAM) : path.join(build, 'lsess');
const wire = path.join(build, 'bench/wire');
const temporary = fs.mkdtempSync(path.join(os.tmpdir(), 'lsess-bench-'));

/** @typedef {{name: string, value: number, unit: string, floor?: number, ratio?: number, target?: string,
 *   met?: boolean, min?: number, max?: number, runs?: number}} Row */
/** What goes into the file: each row has all of these fields, and null stands where nothing is to be said, for not
 * everything has a floor, or a target.
 * @type {Record<keyof Row, string | number | boolean | null>[]} */
const table = [];

/** Run a program, rows are its JSON lines. @returns {any[]} */
function rows(file, ...args) {
  const out = execFileSync(...command(file, args.map(String)), { maxBuffer: 1 << 28, stdio: ['ignore', 'pipe', 'inherit'] });
  return out.toString().split('\n').filter((line) => line.startsWith('{')).map((line) => JSON.parse(line));
}

/** Where a client waits for each answer, one of the two works at a time. On one processor the time is that of the work;
 * on two it is also that of waking the other one, which changes by the factor of three from run to run, as the kernel
 * chooses. */
let together = false;
const processor = /Cpus_allowed_list:\s+(\d+)/.exec(fs.readFileSync('/proc/self/status', 'utf8'))[1];
/** @param {string} file @param {string[]} args @returns {[string, string[]]} */
const command = (file, args) => (together ? ['taskset', ['-c', processor, file, ...args]] : [file, args]);
/** @param {() => Promise<void>} fn its servers and clients run on one processor */
async function onOneProcessor(fn) {
  together = true;
  try { await fn(); } finally { together = false; }
}

/** A copy of the contact demo whose main.lua ends with `extra`. */
function site(name, extra = '', files = {}) {
  const dir = path.join(temporary, name);
  fs.cpSync(path.join(top, 'templates/sites/contacts'), dir, { recursive: true });
  fs.appendFileSync(path.join(dir, 'lua/main.lua'), `
    local app = session:getApp()
    ${extra}
  `);
  for (const [file, text] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(dir, file)), { recursive: true });
    fs.writeFileSync(path.join(dir, file), text);
  }
  return dir;
}

/** Ends a program that may have ended by itself already: nothing would tell of that a second time, and node would end without a word. */
async function ended(child, signal) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill(signal);
  await gone;
}

/** Below those that the system gives to clients, of which thousands are still waiting after a figure. */
const somePort = () => 20000 + Math.floor(Math.random() * 12000);

/** Start a server, run `fn` with its port and process, stop it. */
async function serving(dir, options, fn, which = program) {
  const args = ['serve', dir, '--port', '0', '--json-log', ...options];
  const child = spawn(...command(which, args), { stdio: ['ignore', 'ignore', 'pipe'], cwd: temporary });
  let text = '';
  const ready = new Promise((resolve, reject) => {
    child.stderr.on('data', (chunk) => {
      text += chunk;
      const line = text.split('\n').find((l) => l.includes('"event":"ready"'));
      if (line) resolve(JSON.parse(line));
    });
    child.on('exit', () => reject(new Error(`server ended: ${text}`)));
  });
  try {
    const { url } = await ready;
    return await fn(Number(new URL(url).port), child);
  } finally {
    child.removeAllListeners('exit');
    await ended(child, 'SIGTERM');
  }
}

async function echoing(fn) {
  const port = somePort();
  const child = spawn(...command(path.join(build, 'bench/echo'), [`127.0.0.1:${port}`, '256']), { stdio: 'ignore' });
  try {
    for (let tries = 0; ; tries++) {
      try {
        await fetch(`http://127.0.0.1:${port}/`, { redirect: 'manual' });
        break;
      } catch {
        if (tries > 500) throw new Error('echo server does not start');
      }
    }
    return await fn(port, child);
  } finally {
    await ended(child, 'SIGTERM');
  }
}

/** The echo over lib/front alone. */
async function echo_front(fn) {
  const port = somePort();
  const child = spawn(path.join(build, 'bench/echo_front'), [String(port)], { stdio: 'ignore' });
  await new Promise((resolve) => setTimeout(resolve, 300));
  try {
    return await fn(port, child);
  } finally {
    await ended(child, 'SIGKILL');
  }
}

/** Open as many pages, look at the server, close them. @returns {Promise<Row[]>} memory, threads, work, time */
async function holding(what, port, count, server, window = 10) {
  const client = spawn(wire, [what, String(port), String(count)], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = readline.createInterface({ input: client.stdout })[Symbol.asyncIterator]();
  const next = async () => JSON.parse((await lines.next()).value);
  await next();
  const before = resident(server.pid);
  client.stdin.write('\n');
  const opened = await next();
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const memory = (resident(server.pid) - before) / count, started = ticks(server.pid);
  const threads = Number(/Threads:\s+(\d+)/.exec(fs.readFileSync(`/proc/${server.pid}/status`, 'utf8'))[1]);
  await new Promise((resolve) => setTimeout(resolve, window * 1000));
  const work = ticks(server.pid) - started;
  client.stdin.end();
  await once(client, 'exit');
  const pages = `${count} idle pages`;
  return [
    { name: `${pages}: memory beside a session`, value: memory, unit: 'KiB' },
    { name: `${pages}: threads`, value: threads, unit: '' },
    { name: `${pages}: ${window} s`, value: work, unit: 'ticks' },
    { name: `${pages}: opened in`, value: opened.value, unit: 's' },
  ];
}

/** @param {Row} row @param {{floor?: number, target?: string, limit?: number, ratioLimit?: number, atLeast?: boolean}} judge */
function add(row, { floor, target, limit, ratioLimit, atLeast } = {}) {
  const ratio = row.ratio ?? (floor === undefined ? undefined : row.value / floor);
  const judged = ratioLimit === undefined ? row.value : ratio;
  const bound = ratioLimit === undefined ? limit : ratioLimit;
  const met = bound === undefined ? undefined : atLeast ? judged >= bound : judged <= bound;
  const { name, value, unit, min = value, max = value, runs = 1 } = row;
  table.push({ name, value, unit, floor: floor ?? null, ratio: ratio ?? null, target: target ?? null, met: met ?? null, min, max, runs });
  const show = (n) => (n === undefined ? '' : n >= 100 ? n.toFixed(0) : n.toPrecision(3));
  const verdict = met === undefined ? '' : met ? 'met' : 'NOT MET';
  console.log(
    `${name.padEnd(44)} ${show(value).padStart(9)} ${unit.padEnd(12)} floor ${show(floor).padStart(8)}  ` +
      `ratio ${show(ratio).padStart(6)}  ${(target ?? '').padEnd(26)} ${verdict}`,
  );
}

/** One row out of several runs: the one in the middle, with the least and the most. @param {Row[]} runs @returns {Row} */
function middle(runs) {
  const sorted = [...runs].sort((a, b) => a.value - b.value);
  return { ...sorted[sorted.length >> 1], min: sorted[0].value, max: sorted[sorted.length - 1].value, runs: sorted.length };
}

/** Rows of `times` runs of `fn`, by place: [[first of each], [second of each], …]. @param {() => Promise<Row[]>} fn */
async function repeat(times, fn) {
  const runs = [];
  for (let i = 0; i < times; i++) runs.push(await fn());
  return runs[0].map((_, place) => runs.map((row) => row[place]));
}

/** Round trip of frames of these sizes against the echo, in ms. */
async function echoTime(sizes, runs) {
  const [echo] = await echoing(async (port) => rows(wire, 'echo', port, sizes.in, sizes.out, runs));
  return echo.value / 1000;
}

/** User and system time of a process in clock ticks, resident set in KiB. */
function ticks(pid) {
  const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return Number(stat[11]) + Number(stat[12]);
}
function resident(pid) {
  return Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))[1]);
}

const roundtrip = `
app.bench = {}
for i = 1, 500 do app.bench[i] = { name = "name " .. i } end
app.echo = function(self) return self.query end
app.count = 0
app.add = function(self) self.count = self.count + 1 end`;
const save = `
package.loaded.bench_app = app
local m = require("m")
app.number = function() return m.number() end`;
const module = (n) => `
local M = {}
function M.number() return ${n} end

return M
`;
const list = (items) => `
app.list = {}
for i = 1, ${items} do app.list[i] = { type = "Item", name = "item " .. i } end
app.append = function(self) table.insert(self.list, { type = "Item", name = "new" }) end
app.dropFirst = function(self) table.remove(self.list, 1) end
app.reverse = function(self)
  local l, n = self.list, #self.list
  for i = 1, n // 2 do l[i], l[n + 1 - i] = l[n + 1 - i], l[i] end
end`;
const many = `
app.many = {}
for i = 1, 25000 do app.many[i] = { type = "Thing", name = "thing " .. i } end`;

/** Each figure under the word that selects it. @type {Record<string, () => Promise<void>>} */
const figures = {
  async start() {
    const dir = site('start');
    const [floor] = rows(wire, 'start', path.join(build, 'bench/echo'), '{port}', 256);
    const start = (which) => rows(wire, 'start', which, 'serve', dir, '--port', '{port}', '--strict-port');
    const [own, answered] = start(program), base = process.env.BASE && start(path.resolve(process.env.BASE))[1];
    add(own, { floor: floor.value, target: '<= 5 ms', limit: 5 });
    add(answered, base ? { floor: base.value, target: '<= 0.7 x the other build', ratioLimit: 0.7 } : {});
  },
  async save() {
    const dir = site('save', save, { 'lua/m.lua': module(1) });
    await serving(dir, ['--watch'], async (port) => {
      const [own] = rows(wire, 'save', port, path.join(dir, 'lua/m.lua'), 60);
      add(own, { floor: 5, target: 'p50 <= 8 ms (window of 5 ms)', limit: 8 });
      add({ name: 'save to socket, p95', value: own.p95, unit: 'ms' }, { floor: 5, target: 'p95 <= 15 ms', limit: 15 });
    });
  },
  roundtrip: () =>
    onOneProcessor(async () => {
      const detect = path.join(build, 'bench/detect');
      const [property] = rows(detect, 'floor', 500);
      const dir = site('roundtrip', roundtrip);
      const [, own, echo] = (await repeat(5, async () => {
        const [frames, row] = await serving(dir, [], async (port) => rows(wire, 'roundtrip', port, 500));
        return [frames, row, ...(await echoing(async (port) => rows(wire, 'echo', port, frames.in, frames.out)))];
      })).map(middle);
      const floor = echo.value + (500 * property.value) / 1000;
      add(own, { floor, target: 'p50 <= 1.3 x floor', ratioLimit: 1.3 });
    }),
  async events() {
    const measure = async (port, child, what, seconds) => {
      const before = ticks(child.pid);
      const [row] = rows(wire, what, port, 50, seconds);
      return [row, { name: 'processor time per event', unit: 'us', value: ((ticks(child.pid) - before) * 10000) / (row.value * seconds) }];
    };
    const [floor, floorCost] = (await repeat(3, () => echoing((port, child) => measure(port, child, 'echo-events', 2)))).map(middle);
    const dir = site('events', roundtrip);
    const [own, cost] = (await repeat(3, () => serving(dir, [], (port, child) => measure(port, child, 'events', 2)))).map(middle);
    add(
      { ...own, name: 'events per second, 50 sessions' },
      { floor: floor.value, target: '>= 0.7 x echo', ratioLimit: 0.7, atLeast: true },
    );
    add(cost, { floor: floorCost.value, target: '<= 1.4 x echo', ratioLimit: 1.4 });
  },
  list: () =>
    onOneProcessor(async () => {
      for (const items of [2000, 10000]) {
        const limit = items === 2000 ? 0.6 : 3; // five times as long, five times the time: no step is worse than linear
        const dir = site(`list-${items}`, list(items));
        const found = (await repeat(3, () => serving(dir, [], async (port) => rows(wire, 'list', port, 60, items)))).map(middle);
        for (let i = 0; i < found.length; i += 2)
          add(found[i + 1], { floor: await echoTime(found[i], 200), target: `<= ${limit} ms`, limit });
      }
    }),
  async show() {
    const dir = site('show', many);
    const [sizes, own] = await repeat(5, () => serving(dir, [], async (port) => rows(wire, 'show', port, 25000)));
    add(middle(own), { floor: sizes[0].value * (await echoTime(sizes[0], 200)), target: '<= 250 ms', limit: 250 });
  },
  async sessions() {
    const dir = site('sessions');
    const [floor] = (await repeat(3, () => echoing(async (port) => rows(wire, 'sessions', port, 1000)))).map(middle);
    const [own, memory] = (await repeat(3, () => serving(dir, [], async (port, child) => {
      rows(wire, 'sessions', port, 200);
      const before = resident(child.pid);
      const [row] = rows(wire, 'sessions', port, 1000);
      return [row, { name: 'memory per session', unit: 'KiB', value: (resident(child.pid) - before) / 1000 }];
    }))).map(middle);
    add(own, { floor: floor.value, target: '>= 2,500 a second', limit: 2500, atLeast: true });
    add(memory, { floor: 20, target: '<= 96 KiB', limit: 96 });
  },
  /* A page makes as many variables in its session as it may, and goes on sending; how long does another session's page
   * wait for its answers? */
  async beside() {
    const { default: WebSocket } = await import('ws');
    const open = async (port) => {
      const answer = await fetch(`http://127.0.0.1:${port}/`, { redirect: 'manual', headers: { accept: 'text/html' } });
      const socket = new WebSocket(`ws://127.0.0.1:${port}/ws${answer.headers.get('location')}`);
      await once(socket, 'open');
      return socket;
    };
    const ask = (socket, messages) => {
      const answered = once(socket, 'message');
      socket.send(JSON.stringify({ userEvent: true, messages: [messages].flat() }));
      return answered;
    };
    const create = (id, where, more = {}) => ({ type: 'create', data: { id, parentId: 1, properties: { path: where, ...more } } });
    const bump = { type: 'update', data: { varId: 3, value: null } };
    const p99 = async (socket, times) => {
      const taken = [];
      for (let i = 0; i < times; i++) {
        const start = performance.now();
        await ask(socket, bump);
        taken.push(performance.now() - start);
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
      return taken.sort((a, b) => a - b)[Math.floor(times * 0.99)];
    };
    const measure = (which) => serving(site('beside', roundtrip), [], async (port) => {
      const calm = await open(port), hostile = await open(port);
      await ask(calm, [{ type: 'watch', data: { varId: 1 } }, create(2, 'count'), create(3, 'add()', { access: 'action' })]);
      await p99(calm, 200);
      const alone = await p99(calm, 1000);
      await ask(hostile, [{ type: 'watch', data: { varId: 1 } }, create(2, 'count'), create(3, 'add()', { access: 'action' })]);
      for (let first = 4; first < 99990; first += 9000)
        await ask(hostile, Array.from({ length: Math.min(9000, 99990 - first) }, (_, i) => create(first + i, 'query', { access: 'r' })));
      let going = true;
      const flood = (async () => { while (going) await ask(hostile, [bump, { type: 'get', data: { varIds: [2] } }]); })();
      const beside = await p99(calm, 1000);
      going = false;
      await flood;
      for (const socket of [calm, hostile]) socket.terminate();
      return { name: 'p99 beside 100,000 variables', unit: 'ms', value: beside, alone };
    }, which);
    const runs = [];
    for (let i = 0; i < 3; i++) runs.push(await measure());
    const own = middle(runs);
    add(own, { floor: own.alone, target: '<= 1.5 x alone', ratioLimit: 1.5 });
  },
  async fanout() {
    const dir = site('fanout', save, { 'lua/m.lua': module(1) });
    await serving(dir, ['--watch', '--max-connections', '1100', '--max-sessions', '0'], async (port) => {
      const [own] = rows(wire, 'fanout', port, path.join(dir, 'lua/m.lua'), 1000, 5);
      add({ ...own, name: 'fan-out to 1,000 sessions' }, { target: '<= 150 ms', limit: 150 });
    });
  },
  async burst() {
    const names = Array.from({ length: 30 }, (_, i) => `m${String(i + 1).padStart(2, '0')}`);
    const extra = `
      local mods = {}
      for i = 1, 30 do mods[i] = require(("m%02d"):format(i)) end
      app.number = function()
        local n = 0
        for i = 1, 30 do n = n + mods[i].number() end
        return n
      end
    `;
    const dir = site('burst', extra, Object.fromEntries(names.map((n) => [`lua/${n}.lua`, module(1)])));
    await serving(dir, ['--watch'], async (port) => {
      const [own] = rows(wire, 'burst', port, path.join(dir, 'lua'), 30, 20);
      add(own, { floor: 20, target: '<= 35 ms (window of 20 ms)', limit: 35 });
    });
  },
  async idle() {
    await serving(site('idle'), ['--watch'], async (port, child) => {
      const { default: WebSocket } = await import('ws');
      const pages = [];
      for (let i = 0; i < 200; i++) {
        const answer = await fetch(`http://127.0.0.1:${port}/`, { redirect: 'manual' });
        const socket = new WebSocket(`ws://127.0.0.1:${port}/ws${answer.headers.get('location')}`);
        await once(socket, 'open');
        socket.send('{"type":"watch","data":{"varId":1}}');
        await once(socket, 'message');
        pages.push(socket);
      }
      await new Promise((resolve) => setTimeout(resolve, 1000));
      const before = ticks(child.pid);
      await new Promise((resolve) => setTimeout(resolve, 10000));
      add({ name: 'idle: 200 pages, 10 s', value: ticks(child.pid) - before, unit: 'ticks' }, { target: '0 ticks', limit: 0 });
      for (const socket of pages) socket.terminate();
    });
  },
  /* Many pages that do nothing: what each takes beside its session, how many threads, and whether anything runs. */
  async pages() {
    const options = ['--max-connections', '10100', '--max-sessions', '0'];
    for (const [count, ping] of [[2000, '0'], [2000, '20s'], [10000, '0']]) {
      const [floor] = ping === '0' ? await echo_front((port, child) => holding('idle-echo', port, count, child)) : [];
      const dir = path.join(top, 'templates/sites/blank');
      const [memory, threads, work, opened] = await serving(dir, [...options, '--ping', ping], (port, child) =>
        holding('idle', port, count, child, ping === '0' ? 10 : 20)); // each is pinged once in 20 s
      if (ping !== '0') {
        add({ ...work, name: `${work.name}, pings on` }, { target: '<= 0.2 % of a core', limit: 4 });
        continue;
      }
      add(memory, { floor: floor.value, target: '<= 8 KiB', limit: 8 });
      add(threads, { target: '<= 48', limit: 48 });
      add(work, { target: '0 ticks', limit: 0 });
      add(opened, count === 10000 ? { target: '<= 10 s', limit: 10 } : {});
    }
  },
  /* One session runs items of 100 ms, one after the other: another one's answers (net.md N3). */
  async slow() {
    const dir = site('slow', `
      app.count, app.add = 0, function(self) self.count = self.count + 1 end
      local turns, begun = 0, os.clock()
      repeat
        for i = 1, 100000 do turns = turns + 1 end
      until os.clock() - begun > 0.1
      app.dwell = function(self)
        local done = 0
        for i = 1, turns do done = done + 1 end
        self.count = self.count + done
      end
    `);
    const runs = await repeat(3, () => serving(dir, [], async (port) => {
      const [alone, beside] = rows(wire, 'beside', port, 1000);
      return [{ ...beside, ratio: beside.value / alone.value, floor: alone.value }];
    }));
    const own = middle(runs[0]);
    add(own, { floor: own.floor, target: '<= 2 x alone', ratioLimit: 2 });
  },
  /* A file of 20 KB by what the loop carries, beside the same one without: one after the other on one connection (net.md 4). */
  async carried() {
    const dir = site('carried', '', { 'html/file.bin': 'x'.repeat(20480) });
    const count = 5000;
    process.env.XDG_STATE_HOME = temporary; // where the certificate is kept
    const get = (url) => {
      const begun = performance.now();
      execFileSync('curl', ['-sk', '-o', '/dev/null', `${url}file.bin?[1-${count}]`]);
      return (count * 1000) / (performance.now() - begun);
    };
    const own = (name, value) => ({ name, value, unit: '/s' });
    const runs = await repeat(5, () => serving(dir, ['--host', '127.0.0.1', '--host', '::1'], async (plain) => {
      const secure = ['--https', '--socket', path.join(temporary, 'carried.sock')];
      const tls = await serving(dir, secure, async (port) => get(`https://127.0.0.1:${port}/`));
      const [direct, six] = [get(`http://127.0.0.1:${plain}/`), get(`http://[::1]:${plain}/`)];
      return [
        { ...own('file of 20 KB over IPv6, by the loop', six), floor: direct, ratio: six / direct },
        { ...own('file of 20 KB over TLS, by the loop', tls), floor: direct, ratio: tls / direct },
      ];
    }));
    for (const run of runs) {
      const one = middle(run);
      add(one, { floor: one.floor, target: '>= 0.6 x civetweb alone', ratioLimit: 0.6, atLeast: true });
    }
  },
  async size() {
    const stripped = path.join(temporary, 'stripped');
    execFileSync('strip', ['-o', stripped, program]);
    add({ name: 'program, stripped', value: fs.statSync(stripped).size / 1024, unit: 'KiB' }, { target: '<= 800 KiB', limit: 800 });
    const dir = path.join(top, 'templates/client');
    const bytes = fs
      .readdirSync(dir)
      .filter((f) => f.endsWith('.js'))
      .reduce((sum, f) => sum + gzipSync(fs.readFileSync(path.join(dir, f)), { level: 9 }).length, 0);
    add({ name: 'browser client, gzip -9', value: bytes / 1024, unit: 'KiB' }, { target: '<= 24 KiB', limit: 24 });
  },
};

// Figures that other programs measure: each prints rows, with their targets.
for (const name of ['detect', 'hotload', 'reload']) {
  if (!fs.existsSync(path.join(top, `tests/bench/${name}.c`))) continue;
  figures[name] = async () => {
    for (const { floor, target, limit, ratioLimit, ...row } of rows(path.join(build, 'bench', name))) {
      const bare = typeof target === 'number'; // a ratio where there is a floor, else a value in the row's unit
      if (!bare) add(row, { floor: floor ?? undefined, target, limit, ratioLimit });
      else if (floor) add(row, { floor, target: `<= ${target} x floor`, ratioLimit: target });
      else add(row, { target: `<= ${target} ${row.unit}`, limit: target });
    }
  };
}
if (fs.existsSync(path.join(top, 'tests/bench/saves.mjs'))) {
  for (const name of ['unchanged', 'migration', 'data', 'load']) {
    figures[name] = async () => (await import('./saves.mjs'))[name]({ add, site, serving, ticks, program, temporary });
  }
}
if (fs.existsSync(path.join(top, 'tests/bench/browser.mjs'))) {
  figures.browser = async () => {
    const { measure } = await import('./browser.mjs');
    await measure({ add, site, serving, save, module, base: process.env.BASE && path.resolve(process.env.BASE) });
  };
}

const wanted = process.argv.slice(2);
const names = wanted.length ? wanted : Object.keys(figures);
try {
  for (const name of names) {
    if (!figures[name]) throw new Error(`no figure is called ${name}; there are ${Object.keys(figures).join(' ')}`);
    try {
      await figures[name]();
    } catch (problem) {
      console.log(`${name.padEnd(44)} could not be measured: ${String(problem.message).split('\n')[0]}`);
      process.exitCode = 1;
    }
  }
} finally {
  fs.rmSync(temporary, { recursive: true, force: true });
}
fs.mkdirSync(build, { recursive: true });
fs.writeFileSync(path.join(build, 'bench.json'), JSON.stringify(table, null, 1) + '\n');
