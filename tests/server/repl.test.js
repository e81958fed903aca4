/** lsess repl (cli.md C4): in a terminal, from arguments, from a pipe, against a live session with a page. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { Program, Server, program, until } from './lib.js';
import { Terminal } from './terminal.js';

const MAIN = `
Boat = session:prototype("Boat", { name = "" })
Boat.__index = Boat
Harbor = session:prototype("Harbor", { name = "North", seen = 0 })
function Harbor:launch(name)
  local b = Boat:new{ name = name, home = self }
  self.boats[#self.boats + 1] = b
  return b
end
function Harbor:label()
  return "Harbor " .. self.name
end
harbor = Harbor:new{ boats = {} }
harbor:launch("Gull")
session:createAppVariable(harbor)
`;

let server, id, terminal;

const run = (args, options = {}) =>
  spawnSync(program, ['repl', '--socket', server.socket, ...args], {
    encoding: 'utf8',
    timeout: 20000,
    maxBuffer: 1 << 26,
    ...options,
  });

/** The shell on session 1, ready for an entry. */
async function shell(args = '1', options = {}) {
  terminal = new Terminal({ cwd: server.dir, ...options });
  terminal.line(`${program} repl --socket ${server.socket} ${args}`);
  await terminal.shows(/^lsess:\d+> *$/m);
  return terminal;
}

/** An entry, and the screen when its prompt is back. */
async function entry(text, prompt = /^lsess:\d+>$/) {
  terminal.clear();
  terminal.line(text);
  let screen;
  await until(() => {
    screen = terminal.screen().trimStart();
    return screen.includes(text) && prompt.test(screen.split('\n').at(-1).trimEnd());
  }, `the prompt after ${text}`).catch((problem) => { throw new Error(`${problem.message}:\n${screen}`); });
  return screen.split('\n').slice(1, -1).map((line) => line.trimEnd()).join('\n');
}

/** A session computes. */
async function isBusy(at) {
  const control = at.control();
  await until(async () => (await control.call('sessions')).sessions.some((s) => s.busy), 'the session to be busy');
  control.close();
}

before(async () => {
  server = await Server.start({ 'lua/main.lua': MAIN }, ['--watch']);
  id = await server.session();
});

afterEach(() => {
  terminal?.close();
  terminal = null;
});

after(() => server.stop());

test('C4 values: expressions without return, several in a row, _, tables two levels deep with types, cycles marked', async () => {
  await shell();
  assert.equal(await entry('1 + 1'), '2');
  assert.equal(await entry('_ * 21'), '42');
  assert.match(await entry('1, "two", nil, true'), /^1\ttwo\tnil\ttrue$|^1 +two +nil +true$/);
  assert.equal(await entry('x = 5'), '');
  assert.equal(await entry('x'), '5');
  assert.equal(await entry('local y = 1'), '');
  assert.equal(await entry('y'), 'nil', 'locals do not persist');
  const shown = await entry('harbor');
  assert.match(shown, /^Harbor \{/);
  assert.match(shown, /boats = \{Boat \{…\}\}/);
  await entry('loop = {} loop.me = loop');
  assert.match(await entry('loop'), /^\{me = .*cycle|^\{me = </);
  const long = (await entry('local t = {} for i = 1, 5000 do t[i] = i end return t')).replace(/\n/g, '');
  assert.ok(long.length < 500, long);
  assert.match(long, /4980|4,980|more/);
  assert.equal(await entry('print("ahoy", 1) io.write("no newline\\n")'), 'ahoy    1\nno newline');
  assert.equal(await entry('"grüße ➜"'), 'grüße ➜', 'characters of several bytes can be typed');
});

test('C4 a table that is wider than the terminal has a line for each element, whatever the width; in a pipe it is one line', async () => {
  const code = '{ name = "Gull", crew = { "Ann", "Bo" }, hold = { { 1 }, "a long line of freight", "another one" } }';
  const flat = '{crew = {"Ann", "Bo"}, hold = {{…}, "a long line of freight", "another one"}, name = "Gull"}';
  await shell('1', { columns: 120 });
  assert.equal(await entry(code), flat);
  terminal.resize(50, 40);
  /* tmux tells the window's width before the terminal has it. */
  const tty = terminal.tmux('display-message', '-p', '#{pane_tty}').trim();
  await until(() => spawnSync('stty', ['-F', tty, 'size'], { encoding: 'utf8' }).stdout.trim() === '40 50', 'the narrow window');
  terminal.clear();
  terminal.line('hold = { { 1 }, "a long line of freight", "another" }');
  terminal.line('{ crew = { "Ünn" }, hold = hold }');
  const screen = await terminal.shows(/^\}$/m);
  assert.match(screen, /^\{\n {2}crew = \{"Ünn"\},\n {2}hold = \{\n {4}\{…\},\n {4}"a long line of freight",\n {4}"another"\n {2}\}\n\}$/m);
  assert.match(await entry('{1, 2}, 3'), /^\{1, 2\} +3$/);
  assert.equal(run(['1', '-e', `return ${code}`]).stdout, `${flat}\n`);
});

test('C4 an incomplete chunk continues; Ctrl-C gives it up; Ctrl-D leaves with 0', async () => {
  await shell();
  assert.equal(await entry('for i = 1, 2 do', /^lsess:1>>$/), '');
  assert.equal(await entry('print("row " .. i)', /^lsess:1>>$/), '');
  assert.equal(await entry('end'), 'row 1\nrow 2');
  await entry('function half(', /^lsess:1>>$/);
  terminal.press('C-c');
  await terminal.shows(/\^C\s*\nlsess:1>\s*$/);
  assert.equal(await entry('1'), '1', 'what was given up is gone');
  terminal.press('C-d');
  await terminal.shows(/\$ *$/);
  terminal.line('echo status $?');
  await terminal.shows(/^status 0$/m);
});

test('C4 an error shows message and traceback, and nothing else changes', async () => {
  await shell();
  const shown = await entry('local function deep() error("no wind") end deep()');
  assert.match(shown, /^repl:1: no wind\nstack traceback:\n/);
  assert.match(shown, /in local 'deep'|in upvalue 'deep'|in function/);
  assert.match(await entry('for for'), /^repl:1: .*for/);
  assert.equal(await entry('harbor.name'), 'North');
});

test('C4 Ctrl-C interrupts an endless loop; the session lives on', async () => {
  const control = server.control();
  assert.ok((await control.call('sessions')).sessions[0].idle_ms >= 0);
  control.close();
  await shell();
  terminal.clear();
  terminal.line('started = true while true do end');
  await isBusy(server);
  terminal.press('C-c');
  await terminal.shows(/repl:1: interrupted/);
  assert.equal(await entry('started'), 'true');
});

test('C4 completion: one candidate is inserted, several are listed, methods and fields through metatables', async () => {
  await shell();
  terminal.type('harb');
  terminal.press('Tab');
  await terminal.shows(/^lsess:1> harbor$/m);
  terminal.type(':la');
  terminal.press('Tab');
  await terminal.shows(/label.*launch|launch.*label/s);
  terminal.type('b');
  terminal.press('Tab');
  await terminal.shows(/lsess:1> harbor:label$/m);
  terminal.type('()');
  terminal.press('Enter');
  await terminal.shows(/^Harbor North\nlsess:1>$/m); /* Ctrl-C is a key where a line is edited, and a signal before */
  terminal.press('C-c');
  terminal.type('.mo');
  terminal.press('Tab');
  await terminal.shows(/lsess:1> \.modules$/m);
  terminal.press('C-c');
  await entry('many = {} for i = 1000, 1300 do many["key" .. i] = i end');
  terminal.clear();
  terminal.type('many.key');
  terminal.press('Tab');
  terminal.press('Tab');
  terminal.press('Tab');
  await terminal.shows(/… and \d+ more\nlsess:1> many\.key1$/m);
  terminal.press('C-c');
  await entry('gull = harbor.boats[1]');
  terminal.type('gull.na');
  terminal.press('Tab');
  await terminal.shows(/^lsess:1> gull\.name$/m);
  terminal.press('C-c');
  await entry('for number, skipper in ipairs(harbor.boats) do', /^lsess:1>>$/);
  terminal.type('print(skip');
  terminal.press('Tab');
  await terminal.shows(/^lsess:1>> print\(skipper$/m);
});

test('C4 history is kept between shells, arrows and Ctrl-R find it', async () => {
  await shell();
  await entry('first_entry = 11');
  await entry('second_entry = 22');
  terminal.press('Up');
  await terminal.shows(/^lsess:1> second_entry = 22$/m);
  terminal.press('C-c');
  await terminal.shows(/^lsess:1>\s*$/m);
  terminal.press('C-d');
  await terminal.shows(/\$ *$/);
  const file = path.join(terminal.home, 'state', 'lsess', 'history');
  assert.ok(existsSync(file));
  assert.match(readFileSync(file, 'utf8'), /first_entry/);
  terminal.clear();
  terminal.line(`${program} repl --socket ${server.socket} 1`);
  await terminal.shows(/^lsess:1>\s*$/m);
  terminal.press('C-r');
  terminal.type('first');
  await terminal.shows(/first_entry = 11/);
  terminal.press('Enter');
  await terminal.shows(/^lsess:1>\s*$/m);
  assert.equal(await entry('first_entry'), '11');
});

test('C4 a change of the window, and a stop and fg, leave one prompt with the line', async () => {
  await shell();
  terminal.type('1 + ');
  await terminal.shows(/lsess:1> 1 \+/);
  terminal.resize(70, 30);
  terminal.type('2');
  await terminal.shows(/^lsess:1> 1 \+ 2$/m);
  terminal.press('C-z');
  await terminal.shows(/Stopped/);
  terminal.line('fg');
  await terminal.shows(/fg\n.*repl.*\n(.*\n)?lsess:1> 1 \+ 2\s*$/);
  terminal.press('Enter');
  const screen = await terminal.shows(/lsess:1> 1 \+ 2\n3\nlsess:1>\s*$/);
  assert.ok(!/lsess:1> lsess:1>/.test(screen), screen);
});

test('C4 dot commands', async () => {
  await server.session();
  await shell();
  const help = await entry('.help');
  for (const name of [
    '.help', '.sessions', '.use ID', '.vars [PATH]', '.modules', '.reload [FILE]', '.unload NAME', '.source NAME',
    '.time EXPR', '.quit',
  ])
    assert.ok(help.includes(name), name);
  assert.match(await entry('.sessions'), /^\* +1 .*\n +2 /);
  assert.equal(await entry('.use 2'), '');
  assert.match(terminal.screen(), /^lsess:2> *$/m);
  await entry('.use 1');
  assert.match(await entry('.vars'), /^Harbor \{/);
  assert.equal(await entry('.vars name'), 'North');
  assert.equal(await entry('.vars boats[1].name'), 'Gull');
  assert.equal(await entry('.vars boats['), 'the expression is not complete');
  assert.equal(await entry('.time for'), 'the expression is not complete');
  assert.equal(await entry('.modules'), '  lua/main.lua');
  assert.equal(await entry('.reload'), '  lua/main.lua skipped: unchanged');
  assert.match(
    await entry('.source harbor.label'),
    /^lua\/main\.lua:10\n +10 {2}function Harbor:label\(\)\n +11 {4}return "Harbor " \.\. self\.name\n +12 {2}end$/,
  );
  assert.match(await entry('.source print'), /not defined in a file/);
  assert.match(await entry('.time 6 * 7'), /^42\n\d+\.\d{3} ms$/);
  assert.match(await entry('.unload nothing'), /no loaded module matches nothing/);
  assert.match(await entry('.bogus'), /there is no command \.bogus/);
  terminal.line('.quit');
  await terminal.shows(/\$ *$/);
});

test('C4 an assignment is seen by a page at once', async () => {
  const page = await server.page(id);
  await page.watchApp();
  page.create(2, 'name');
  await page.message((m) => m.data?.varId === 2 && m.data.value === 'North');
  await shell();
  await entry('harbor.name = "South"');
  await page.message((m) => m.type === 'update' && m.data.varId === 2 && m.data.value === 'South');
  assert.equal(run(['1', '-e', 'harbor.name = "North"']).status, 0);
  await until(
    () =>
      page
        .messages()
        .filter((m) => m.data?.varId === 2)
        .map((m) => m.data.value)
        .join() === 'North,South,North',
    'the way back',
  );
  await page.close();
});

test('C4 a result of 10 MB is cut with a count, at the terminal and in a pipe', async () => {
  const { stdout, status } = run(['1', '-e', 'string.rep("x", 10 * 1024 * 1024)']);
  assert.equal(status, 0);
  assert.ok(stdout.length < 1.1e6, String(stdout.length));
  assert.match(stdout, /… \(\d+ bytes more\)\n$/);
  await shell('1', { columns: 120, rows: 120 });
  assert.match((await entry('string.rep("y", 10 * 1024 * 1024)')).replace(/\n/g, ''), /y… \(\d+ bytes more\)$/);
});

test('C4 -e: several in order, the first failure ends with 1, values plainly', () => {
  const good = run(['1', '-e', 'a = 2', '-e', 'a * 2', '-ereturn a, "x"', '--execute=print("p")']);
  assert.deepEqual([good.status, good.stdout, good.stderr], [0, '4\n2\tx\np\n', '']);
  const bad = run(['1', '-e', '1', '-e', 'error("boo")', '-e', '2']);
  assert.equal(bad.status, 1);
  assert.equal(bad.stdout, '1\n');
  assert.match(bad.stderr, /^repl:1: boo\nstack traceback:/);
  assert.equal(run(['1', '-e', 'for i = 1, 2 do']).status, 1);
});

test('C4 standard input that is no terminal is one chunk', () => {
  const good = run(['1'], {
    input: `
      local t = {}
      for i = 1, 3 do
        t[i] = i
      end
      print(#t)
      return t, "end"
    `,
  });
  assert.deepEqual([good.status, good.stdout, good.stderr], [0, '3\n{1, 2, 3}\tend\n', '']);
  const bad = run(['1'], {
    input: `
      print(1)
      error("boo")
      print(2)
    `,
  });
  assert.equal(bad.status, 1);
  assert.equal(bad.stdout, '1\n');
  assert.match(bad.stderr, /^repl:3: boo/);
  const half = run(['1'], { input: 'for i = 1,' });
  assert.equal(half.status, 1);
  assert.match(half.stderr, /not complete/);
  assert.equal(run(['1'], { input: '' }).status, 0);
  const cut = run(['1'], { input: 'print(1)\0print(2)\nprint(3)' });
  assert.deepEqual([cut.status, cut.stdout], [1, ''], 'nothing is run up to a zero byte');
  assert.match(cut.stderr, /zero byte/);
});

test('C4 --json: answers and events, one a line', () => {
  const { stdout, status } = run(['1', '--json', '-e', 'print("p") return { k = 1 }', '-e', 'error("boo", 0)']);
  const lines = stdout.trim().split('\n').map((line) => JSON.parse(line));
  assert.equal(status, 1);
  assert.deepEqual(lines.map((l) => l.event ?? l.json ?? l.error.code), ['print', { k: 1 }, 'lua-error']);
});

test('C4 which session: by id, by prefix, new, the only one, the one active last', async () => {
  const other = await Server.start({ 'lua/main.lua': 'session:createAppVariable({ type = "A" })' });
  const ask = (...args) =>
    spawnSync(program, ['repl', '--socket', other.socket, ...args, '-e', 'session._sessionID'], {
      encoding: 'utf8',
      timeout: 20000,
    });
  const none = ask();
  assert.equal(none.status, 1);
  assert.match(none.stderr, /no session is live.*repl new/);
  const first = await other.session();
  assert.deepEqual([ask().stdout, ask().stderr], ['1\n', ''], 'the only one needs no word');
  const second = await other.session();
  assert.equal(ask(first.slice(0, 8)).stdout, '1\n');
  assert.equal(ask(second.slice(0, 8)).stdout, '2\n');
  ask('1');
  const chosen = ask();
  assert.equal(chosen.stdout, '1\n', 'the one active last');
  assert.match(chosen.stderr, /^session 1, the one active last of 2/);
  assert.equal(ask('new').stdout, '3\n');
  const wrong = ask('77');
  assert.equal(wrong.status, 1);
  assert.match(wrong.stderr, /^lsess: .*77/);
  await other.stop();
});

test('C4 the server going away ends the shell with status 3 and one line, at the prompt and during an entry', async () => {
  for (const busy of [false, true]) {
    const doomed = await Server.start({ 'lua/main.lua': 'session:createAppVariable({ type = "A" })' }, ['--time-limit', '0']);
    await doomed.session();
    terminal = new Terminal();
    terminal.line(`${program} repl --socket ${doomed.socket} 1`);
    await terminal.shows(/^lsess:1>\s*$/m);
    if (busy) {
      terminal.line('while true do end');
      await isBusy(doomed);
    }
    doomed.run.child.kill('SIGKILL');
    await terminal.shows(/lsess: the server at \S+ has gone\s+away[^$]*\$$/); /* what is typed before the end of the shell is lost */
    terminal.line('echo status $?');
    await terminal.shows(/^status 3$/m);
    terminal.close();
  }
});

test('C4 Ctrl-C during -e interrupts the entry and ends with 1', async () => {
  const looping = new Program(['repl', '--socket', server.socket, '1', '-e', 'while true do end', '-e', 'print("not reached")']);
  await isBusy(server);
  looping.child.kill('SIGINT');
  const { code, output } = await looping.result();
  assert.equal(code, 1);
  assert.match(output, /^repl:1: interrupted/);
  assert.ok(!output.includes('not reached'));
});

test('C4 a second Ctrl-C leaves an entry that cannot be interrupted; the session finishes it', async () => {
  await shell();
  terminal.clear();
  const sign = path.join(server.dir, 'sign');
  terminal.line(`os.execute("while ! test -e '${sign}'; do sleep 0.05; done")`);
  try {
    await isBusy(server);
    terminal.press('C-c');
    await terminal.shows(/\^C/);
    /* The terminal shows ^C, the shell ends its line once it has seen the signal; before, two would be one. */
    await until(() => terminal.tmux('display-message', '-p', '#{cursor_x}').trim() === '0', 'the end of the line of ^C');
    terminal.press('C-c');
    await terminal.shows(/lsess: session 1 cannot be interrupted at this moment[^$]*\$$/);
    terminal.line('echo status $?');
    await terminal.shows(/^status 1$/m);
  } finally {
    writeFileSync(sign, '');
  }
  assert.equal(run(['1', '-e', '"still here"']).stdout, 'still here\n');
});

test('C4 a save between two entries: the shell sees the new code', async () => {
  await shell();
  assert.equal(await entry('harbor:label()'), 'Harbor North');
  writeFileSync(path.join(server.dir, 'lua/main.lua'), MAIN.replace('"Harbor "', '"Port "'));
  await until(() => run(['1', '-e', 'harbor:label()']).stdout === 'Port North\n', 'the reload');
  assert.equal(await entry('harbor:label()'), 'Port North');
});
