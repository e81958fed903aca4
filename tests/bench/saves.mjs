// Figures of saves that are not a matter of frames: what an unchanged save costs, and the migration of many instances.
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';

const INSTANCES = 10000, SAVES = 200;

const median = (numbers) => [...numbers].sort((a, b) => a - b)[numbers.length >> 1];

/** What `lsess reload` and `lsess repl` print, as JSON. */
function ask(program, socket, ...args) {
  return JSON.parse(
    execFileSync(program, [args[0], '--json', '--socket', socket, ...args.slice(1)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    }).toString(),
  );
}

async function session(port) {
  const answer = await fetch(`http://127.0.0.1:${port}/`, { redirect: 'manual' });
  await answer.arrayBuffer();
  return answer.headers.get('location');
}

/** @param {{add: Function, site: Function, serving: Function, ticks: Function, program: string, temporary: string}} bench */
export async function migration({ add, site, serving, program, temporary }) {
  const ship = (field, old) => `
    Ship = session:prototype("BenchShip", { ${field} = 0 })
    function Ship:mutate() self.${field} = self.${old} end
  `;
  const dir = site(
    'migration',
    `
      require("ship")
      fleet = fleet or {}
      for i = #fleet + 1, ${INSTANCES} do fleet[i] = session:create(Ship, { captain = i }) end
    `,
    { 'lua/ship.lua': ship('captain', 'master') },
  );
  const socket = path.join(temporary, 'migration.sock');
  await serving(dir, ['--socket', socket, '--time-limit', '0'], async (port) => {
    await session(port);
    const took = [];
    for (let run = 0; run < 9; run++) {
      fs.writeFileSync(path.join(dir, 'lua/ship.lua'), run % 2 ? ship('captain', 'master') : ship('master', 'captain'));
      const [result] = ask(program, socket, 'reload', 'lua/ship.lua');
      if (result.outcome !== 'ok' || !result.details.includes(`${INSTANCES} instances migrated`)) throw new Error(JSON.stringify(result));
      took.push(result.ms);
    }
    const loop = `
      local begun = os.clock()
      for _, s in ipairs(fleet) do
        s.other = s.master
        s.master = nil
      end
      for _, s in ipairs(fleet) do
        s.master = s.other
        s.other = nil
      end
      return (os.clock() - begun) * 500
    `;
    const floors = Array.from({ length: 9 }, () => Number(execFileSync(program, ['repl', '--socket', socket, '-e', loop]).toString()));
    add(
      { name: `migration of ${INSTANCES.toLocaleString('en')} instances`, value: median(took), unit: 'ms' },
      { floor: median(floors), target: '<= 20 ms (2 ms for 1,000)', limit: 20 },
    );
  });
}

/** @param {{add: Function, site: Function, serving: Function, ticks: Function}} bench */
export async function unchanged({ add, site, serving, ticks }) {
  const dir = site('unchanged'), file = path.join(dir, 'lua/main.lua'), text = fs.readFileSync(file);
  const { default: WebSocket } = await import('ws');
  await serving(dir, ['--watch'], async (port, child) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/ws${await session(port)}`);
    await once(socket, 'open');
    socket.send('{"type":"watch","data":{"varId":1}}');
    await once(socket, 'message');
    let frames = 0;
    socket.on('message', () => frames++);
    const before = ticks(child.pid);
    for (let i = 0; i < SAVES; i++) {
      fs.writeFileSync(file, text);
      await new Promise((resolve) => setTimeout(resolve, 12)); // longer than the window, so that each save is one
    }
    const cost = ((ticks(child.pid) - before) * 10) / SAVES;
    socket.terminate();
    add({ name: 'unchanged save: frames', value: frames, unit: 'frames' }, { target: '0', limit: 0 });
    add({ name: 'unchanged save: processor time', value: cost, unit: 'ms' }, { target: '<= 1 ms (no VM touched)', limit: 1 });
  });
}

const ENTRIES = 1000000;

/** Ways in which a module comes to a million entries: what its text says, and what the run does once it is loaded. */
const forms = {
  'integers of the file': [`for i = 1, ${ENTRIES} do M.data[i] = i end`, ''],
  'rows of the file': [`for i = 1, ${ENTRIES / 10} do M.data[i] = { i, 2, 3, 4, 5, 6, 7, 8, 9, 10 } end`, ''],
  'integers of the run': ['', `for i = 1, ${ENTRIES} do m.data[i] = i end`],
  'rows of the run': ['', `for i = 1, ${ENTRIES / 10} do m.data[i] = { i, 2, 3, 4, 5, 6, 7, 8, 9, 10 } end`],
};

/** A save of a file whose module holds a million entries, nothing of them edited: until the frame is there.
 * @param {{add: Function, site: Function, serving: Function, program: string}} bench */
export async function data({ add, site, serving, program }) {
  const { default: WebSocket } = await import('ws');
  for (const [form, [fill, run]] of Object.entries(forms)) {
    const text = (n) => `local M = { data = {} }\n${fill}\nfunction M.number() return ${n} end\nreturn M\n`;
    const extra = `local m = require("m")\n${run}\napp.number = function() return m.number() end\n`;
    const dir = site(`data-${form}`, extra, { 'lua/m.lua': text(1) });
    const own = await serving(dir, ['--watch', '--memory-limit', '2G', '--time-limit', '0'], async (port) => {
      const socket = new WebSocket(`ws://127.0.0.1:${port}/ws${await session(port)}`);
      await once(socket, 'open');
      const shown = (n) => new Promise((resolve) => {
        const look = (frame) => {
          if (!String(frame).includes(`"value":${n}`)) return;
          socket.off('message', look);
          resolve(performance.now());
        };
        socket.on('message', look);
      });
      let seen = shown(1);
      socket.send('{"type":"create","data":{"id":2,"parentId":1,"properties":{"path":"number()","access":"r"}}}');
      await seen;
      const took = [];
      for (let i = 0; i < 15; i++) {
        await new Promise((resolve) => setTimeout(resolve, 300)); // what follows the frame is over
        seen = shown(7000 + i);
        const begun = performance.now();
        fs.writeFileSync(path.join(dir, 'lua/m.lua'), text(7000 + i));
        took.push((await seen) - begun);
      }
      socket.terminate();
      return took;
    }, program);
    const timed = `local begun = os.clock() ${text(1).replace('return M\n', '')} print((os.clock() - begun) * 1000)`;
    const floors = Array.from({ length: 5 }, () => Number(execFileSync('lua5.4', ['-e', timed]).toString()));
    add(
      { name: `save beside 10^6 ${form}`, value: median(own), unit: 'ms', min: Math.min(...own), max: Math.max(...own), runs: own.length },
      { floor: Math.min(...floors), target: '<= 60 ms', limit: 60 },
    );
  }
}

/** First load of a module with 100,000 entries, beside a bare Lua that loads it: time of the processor.
 * @param {{add: Function, site: Function, serving: Function, program: string, temporary: string}} bench */
export async function load({ add, site, serving, program, temporary }) {
  const literal = Array.from({ length: 100000 }, (_, i) => `  word_${i} = "the text number ${i}",`).join('\n');
  for (const [form, text] of Object.entries({
    'written out': `return {\n${literal}\n}\n`,
    'rows made by a loop': 'local M = {}\nfor i = 1, 20000 do M[i] = { id = i, name = "n" .. i, a = 1, b = "x" } end\nreturn M\n',
    'integers made by a loop': 'local M = {}\nfor i = 1, 100000 do M[i] = i end\nreturn M\n',
  })) {
    const probe = 'local begun = os.clock()\nlocal m = require("m")\ntook = (os.clock() - begun) * 1000\n';
    const dir = site(`load-${form}`, probe, { 'lua/m.lua': text });
    const alone = `package.path = ${JSON.stringify(path.join(dir, 'lua/?.lua'))} ${probe} print(took)`;
    const bare = () => Number(execFileSync('lua5.4', ['-e', alone]).toString());
    const own = [], floor = [];
    for (let i = 0; i < 7; i++) { // a server each: a second session would find the text compiled
      const socket = path.join(temporary, `load-${i}.sock`);
      await serving(dir, ['--watch', '--socket', socket], async (port) => {
        await session(port);
        own.push(Number(execFileSync(program, ['repl', '--socket', socket, '-e', 'return took']).toString()));
      }, program);
      floor.push(bare());
    }
    add(
      { name: `first load, 10^5 entries ${form}`, value: Math.min(...own), unit: 'ms', max: Math.max(...own), runs: own.length },
      { floor: Math.min(...floor), target: '<= 1.2 x bare Lua', ratioLimit: 1.2 },
    );
  }
}
