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
