/** No text of a page or a site speaks to the terminal of the person who serves, or passes for a line of the program's
 * (cli.md): each source of text with each class of character. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { makeSite, program, until, within } from './lib.js';
import { Terminal } from './terminal.js';

/** What is sent, as Lua writes it in a string, and what is to be read. */
const CLASSES = {
  bell: ['\\7', '\\x07'],
  escape: ['\\27[2J', '\\x1b[2J'],
  return: ['\\r', '\\x0d'],
  backspace: ['\\8', '\\x08'],
  delete: ['\\127', '\\x7f'],
  'first C1': ['\\194\\128', '\\u{80}'],
  CSI: ['\\194\\155', '\\u{9b}'],
  'last C1': ['\\194\\159', '\\u{9f}'],
  'Arabic mark': ['\\u{61c}', '\\u{61c}'],
  'left-to-right': ['\\u{200e}', '\\u{200e}'],
  'right-to-left': ['\\u{200f}', '\\u{200f}'],
  embedding: ['\\u{202a}', '\\u{202a}'],
  override: ['\\u{202e}', '\\u{202e}'],
  isolate: ['\\u{2066}', '\\u{2066}'],
  'end of isolate': ['\\u{2069}', '\\u{2069}'],
  'line separator': ['\\u{2028}', '\\u{2028}'],
  'paragraph separator': ['\\u{2029}', '\\u{2029}'],
  'no UTF-8': ['\\255', '\\xff'],
  'half a letter': ['\\195', '\\xc3'],
};
const ALL = Object.values(CLASSES).map(([sent]) => sent).join('.');
const SHOWN = Object.values(CLASSES).map(([, shown]) => shown).join('.');
/** Nothing of it is left: no control character but those that lay out a text, no mark, no line that is not ours. */
const HIDDEN = /[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufffd]/;
const FORGED = '\\n12:34:56 forged';

const MAIN = `
local all, forged = "${ALL}", "${FORGED}"
App = session:prototype("App", { name = "n" })
function App:print() print("print " .. all .. forged .. "\\0.") end
function App:write() io.write("write " .. all .. forged .. "\\n") end
function App:log() session:log("log " .. all .. forged) end
function App:ui() ui.log(0, "ui " .. all .. forged) end
function App:fail() error("fail " .. all .. forged, 0) end
function App:warn() warn("warn " .. all .. forged) end
function App:timer()
  session:setTimeout(function() error("timer " .. all .. forged, 0) end, 0)
end
function App:broken()
  return setmetatable({}, { __index = function() error("broken " .. all .. forged, 0) end })
end
session:createAppVariable(App:new{})
`;

let child, log = '', url, socket, dir;

before(async () => {
  dir = makeSite({ 'lua/main.lua': MAIN });
  socket = path.join(dir, 'c.sock');
  child = spawn(program, ['serve', '--watch', '-v', '--port', '0', '--socket', socket, dir], { stdio: ['ignore', 'ignore', 'pipe'] });
  child.stderr.setEncoding('latin1').on('data', (text) => { log += text; });
  await until(() => /press|Control:.*\n/.test(log), 'the start');
  url = /http:\/\/[^/]*\//.exec(log)[0];
});

after(async () => {
  const gone = new Promise((resolve) => child.on('exit', resolve));
  child.kill();
  await within(10000, gone);
});

const read = () => Buffer.from(log, 'latin1').toString('utf8');

/** What the log has from a text on, once its last part is there. */
async function logged(what, last = 'forged') {
  const from = () => read().slice(read().indexOf(`${what} `));
  await until(
    () => read().includes(`${what} `) && from().includes(last) && from().endsWith('\n'),
    `${what} in the log`,
  ).catch((problem) => {
    throw new Error(`${problem.message}; it is ${read()}`);
  });
  return from();
}

function isHarmless(text, what) {
  const found = HIDDEN.exec(text);
  assert.equal(found, null, found && `${what}: ${JSON.stringify(text.slice(found.index - 100, found.index + 50))}`);
  assert.ok(!/^\d\d:\d\d:\d\d forged/m.test(text), `${what}: a forged line in ${JSON.stringify(text)}`);
}

async function session() {
  const answer = await fetch(url, { redirect: 'manual', headers: { 'Sec-Fetch-Dest': 'document', Accept: 'text/html' } });
  return new URL(answer.headers.get('location'), url).pathname.slice(1); // a browser's is relative (N21)
}

const api = (id, type, body) => fetch(`${url}api/${type}?session=${id}&client=a`, { method: 'POST', body: JSON.stringify(body) });

test('C2 the log: print, io.write, session:log, ui.log, warn, errors of actions and timers', async () => {
  const id = await session();
  let next = 10;
  for (const what of ['print', 'write', 'log', 'ui', 'warn', 'fail', 'timer']) {
    const varId = next++;
    await api(id, 'create', { id: varId, parentId: 1, properties: { path: `${what}()`, access: 'action' } });
    await api(id, 'update', { id: varId, value: null });
    const text = await logged(what);
    const second = what === 'write' ? /^\d\d:\d\d:\d\d \[\d+\] $/ : /^ {4}$/; // io.write makes a record of each line
    assert.ok(text.startsWith(`${what} ${SHOWN}\n`), `${what}: ${JSON.stringify(text)}`);
    assert.match(text.split('\n')[1].replace(/12:34:56 forged.*/, ''), second);
  }
  isHarmless(read(), 'the log');
});

test('C2 the log: what a page calls an error, a type or a property', async () => {
  const id = await session();
  const all = '\x07\x1b[2J\r\x7f\x9b\u061c\u200e\u202e\u2066\u2028\u2029';
  await api(id, 'error', { varId: 1, code: `code${all}`, description: `page-error ${all}\n12:34:56 forged` });
  const text = await logged('page-error');
  assert.ok(
    text.startsWith(
      'page-error \\x07\\x1b[2J\\x0d\\x7f\\u{9b}\\u{61c}\\u{200e}\\u{202e}\\u{2066}\\u{2028}\\u{2029}\n    12:34:56 forged',
    ),
    JSON.stringify(text),
  );
  for (const name of [`p${all}`, 'path'])
    await api(id, 'create', {
      id: 90,
      parentId: 1,
      properties: { path: `name${all}\nforged`, type: all, [name]: all },
    });
  isHarmless(read(), 'the log');
});

test('H97 H98 a save: names of files, errors', async () => {
  const id = await session();
  const names = ['plain', 'bell\x07', 'esc\x1b[2J', 'line\n12:34:56 forged', 'c1\u009b', 'turn\u202e', 'sep\u2028'];
  for (const name of names) {
    const file = path.join(dir, 'viewdefs', `${name}.DEFAULT.html`);
    spawnSync('mkdir', ['-p', path.join(dir, 'viewdefs')]);
    writeFileSync(file, '<template><b ui-value="name"></template>');
    rmSync(file);
  }
  writeFileSync(path.join(dir, 'lua/main.lua'), `
    ${MAIN}
    error("saved ${ALL}${FORGED}", 0)
  `);
  await logged('saved', '\\xc3');
  writeFileSync(path.join(dir, 'lua/main.lua'), MAIN);
  assert.ok(id);
  isHarmless(read(), 'what a save prints');
});

test('C6 sessions, C1 check, C5 unload: tables and findings; --json keeps what it is', async () => {
  const id = await session();
  await api(id, 'create', { id: 10, parentId: 1, properties: { path: 'fail()', access: 'action' } });
  await api(id, 'update', { id: 10, value: null });
  const run = (...args) => spawnSync(program, args, { encoding: 'utf8', timeout: 20000, env: { ...process.env, LSESS_SOCKET: socket } });
  const table = run('sessions').stdout;
  const asked = SHOWN.replace('\\xff', '\ufffd').replace('\\xc3', '\ufffd'); // no UTF-8, no JSON
  assert.ok(table.includes(`fail ${asked}`), table);
  isHarmless(table.replaceAll('\ufffd', ''), 'sessions');
  assert.ok(JSON.parse(run('sessions', '--json').stdout).some((s) => (s.last_error ?? '').includes('\x1b[2J')), 'data stays as it is');
  const site = makeSite({
    'lua/main.lua': `error("checked ${ALL}${FORGED}", 0)`,
    'viewdefs/X\x1b[2J\u202e.DEFAULT.html': '<template><b ui-value="a b c"></template>',
  });
  const checked = run('check', site);
  assert.ok(`${checked.stdout}${checked.stderr}`.includes(SHOWN), checked.stdout);
  isHarmless(checked.stdout + checked.stderr, 'check');
  const missing = run('serve', `/nowhere\x1b[2J\u202e\n12:34:56 forged`);
  assert.equal(missing.status, 1);
  isHarmless(missing.stderr, 'an error of the program');
});

test('C4 the REPL: values, prints and errors on a terminal; elsewhere they are data', async () => {
  await session();
  const env = { ...process.env, LSESS_SOCKET: socket };
  const data = spawnSync(program, ['repl', '-e', 'print("\\27[2J") return "\\27[31m"'], { encoding: 'utf8', env, timeout: 20000 });
  assert.ok(data.stdout.includes('\x1b[2J') && data.stdout.includes('\x1b[31m'), JSON.stringify(data.stdout));
  const terminal = new Terminal({ cwd: dir, env: { LSESS_SOCKET: socket, NO_COLOR: '1' } });
  try {
    terminal.line(`${program} repl`);
    await terminal.shows(/lsess:\d+>/);
    terminal.line('print("p\\27[2J\\194\\155\\u{202e}")');
    await terminal.shows(/p\\x1b\[2J\\u\{9b\}\\u\{202e\}/);
    terminal.line('return "v\\27[2J\\194\\155\\u{202e}"');
    await terminal.shows(/v\\x1b\[2J\\u\{9b\}\\u\{202e\}/);
    terminal.line('error("e\\27[2J\\nlsess:1> forged", 0)');
    assert.match(await terminal.shows(/e\\x1b\[2J/), /\n {4}lsess:1> forged/);
  } finally {
    terminal.close?.();
  }
});
