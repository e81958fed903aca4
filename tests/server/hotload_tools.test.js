/** Hot reload with the tools that people use (hotload.md section 15), and with what goes wrong on disks: the whole program, real files. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { test as plain } from 'node:test';
import { FILES, Live, MAIN, TOGETHER, lib, test, values, view, views } from './hotload.js';
import { Program, makeSite, until, writeSite } from './lib.js';
import { Terminal } from './terminal.js';

const VIEW = 'viewdefs/App.DEFAULT.html';
const have = (tool) => spawnSync('sh', ['-c', `command -v ${tool}`]).status === 0;
const shell = (live, command) =>
  execFileSync('sh', ['-c', command], {
    cwd: live.dir,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      HOME: live.dir,
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_AUTHOR_NAME: 't',
      GIT_AUTHOR_EMAIL: 't@t',
      GIT_COMMITTER_NAME: 't',
      GIT_COMMITTER_EMAIL: 't@t',
    },
  }).toString();

/** One save of a loaded file and one of a sent view file: each one record, one frame, the final text, no error. */
async function saves(live, name, save) {
  for (const [file, old, wanted] of [['lua/lib.lua', lib('old'), 'new'], [VIEW, view('old'), view('new')]]) {
    await live.save({ [file]: old });
    const { frames, records } = await live.after(() => save(file), { match: (r) => r.sessions + r.pages > 0 });
    assert.equal(records.length, 1, `${name}: ${JSON.stringify(records)}`);
    assert.deepEqual(records[0].failures, [], name);
    assert.equal(frames.length, 1, name);
    if (file === VIEW) assert.equal(views(frames[0])['App.DEFAULT'].trimEnd(), wanted, name); /* editors end the last line */
    else assert.deepEqual(values(frames[0]), { 4: wanted }, name);
  }
  assert.equal(live.property('reload-error') ?? '', '', name);
}

const EMACS_EDIT = `
  (progn
    (find-file (car command-line-args-left))
    (insert " ")
    (delete-char -1)
    (replace-string "old" "new")
    (do-auto-save)
    (save-buffer))
`;
const COMMANDS = {
  'vim, default': ['vim', "vim -N -u NONE -i NONE -n -es -c 'set backup writebackup' -c '%s/old/new/' -c wq F"],
  'vim with a swap file': ['vim', "vim -N -u NONE -i NONE -es -c '%s/old/new/' -c wq F"],
  'vim with copied back-ups': [
    'vim',
    "vim -N -u NONE -i NONE -es -c 'set backup backupcopy=yes' -c '%s/old/new/' -c wq F",
  ],
  emacs: ['emacs', `emacs -Q --batch --eval '${EMACS_EDIT}' F`],
  'sed -i': ['sed', 'sed -i s/old/new/ F'],
  'perl -i': ['perl', 'perl -pi -e s/old/new/ F'],
  'shell >': ['sh', 'sed s/old/new/ F > t.tmp && cat t.tmp > F'],
  'cp -p of an older file': ['cp', 'sed s/old/new/ F > t.tmp && touch -d 2001-01-01 t.tmp && cp -p t.tmp F'],
  'mv over it': ['mv', 'sed s/old/new/ F > t.tmp && mv t.tmp F'],
  rsync: [
    'rsync',
    'mkdir -p s && sed s/old/new/ F > s/$(basename F) && touch -d 2001-01-01 s/$(basename F) && rsync -t s/$(basename F) $(dirname F)/',
  ],
  'rsync in place': [
    'rsync',
    'mkdir -p s && sed s/old/new/ F > s/$(basename F) && rsync --inplace --ignore-times s/$(basename F) $(dirname F)/',
  ],
  tar: [
    'tar',
    'mkdir -p s/$(dirname F) && sed s/old/new/ F > s/F && touch -d 2001-01-01 s/F && tar -C s -cf - F | tar -xf -',
  ],
};
for (const [name, [tool, command]] of Object.entries(COMMANDS)) {
  test(`H76 H21 section 15: ${name}`, async (context) => {
    if (!have(tool)) return context.skip(`${tool} is not installed`);
    const live = await Live.start();
    await saves(live, name, (file) => shell(live, command.replaceAll('F', file)));
  });
}

test('H20 section 15: a person works in nano, vim and emacs: locks, swap files and back-ups cause nothing', async (context) => {
  if (!['nano', 'vim', 'emacs'].every(have)) return context.skip('needs nano, vim and emacs');
  const live = await Live.start();
  const terminal = new Terminal({ cwd: live.dir, columns: 100, rows: 30 });
  const act = async (start, shown, keys, leave) => {
    await live.save({ 'lua/lib.lua': lib('old') });
    terminal.line(start);
    await until(() => terminal.screen().includes(shown), `${start}: ${shown}`, 20000);
    const { records, frames } = await live.after(async () => {
      for (const key of keys) {
        if (key.startsWith('=')) terminal.type(key.slice(1));
        else terminal.press(key);
      }
      await until(() => readFileSync(live.file('lua/lib.lua'), 'utf8').includes('new'), `${start}: the save`, 20000);
    });
    assert.deepEqual(records.map((r) => [r.files, r.sessions, r.failures]), [[['lua/lib.lua'], 1, []]], start);
    assert.deepEqual(frames.map(values), [{ 4: 'new' }], start);
    for (const key of leave) terminal.press(key);
    await until(() => terminal.screen().trimEnd().endsWith('$'), `${start}: the end`, 20000);
  };
  try {
    await act('clear; nano -I lua/lib.lua', 'return "old"', ['C-\\', '=old', 'Enter', '=new', 'Enter', 'a', 'C-o', 'Enter'], ['C-x']);
    await act('clear; vim -N -u NONE -i NONE lua/lib.lua', 'return "old"', ['=:%s/old/new/', 'Enter', '=:w', 'Enter'], [':', 'q', 'Enter']);
    await act(
      'clear; emacs -Q -nw lua/lib.lua',
      'return "old"',
      ['M-<', 'M-%', '=old', 'Enter', '=new', 'Enter', '=!', 'C-x', 'C-s'],
      ['C-x', 'C-c'],
    );
  } finally {
    terminal.close();
  }
});

test('H84 section 15: git checkout, stash and rebase, with a conflict on the way', async (context) => {
  if (!have('git')) return context.skip('git is not installed');
  const live = await Live.start();
  shell(live, 'git init -q -b main && git add -A && git commit -qm a');
  const step = (command) => live.after(() => shell(live, command), { match: (r) => r.files.includes('lua/lib.lua') });
  await live.save({ 'lua/lib.lua': lib('b') });
  assert.equal((await step('git stash -q')).frames.length, 1);
  assert.equal(live.value(4), 'a');
  assert.equal((await step('git stash pop -q')).frames.length, 1);
  assert.equal(live.value(4), 'b');
  shell(live, 'git checkout -qb two && git commit -qam b && git config advice.detachedHead false');
  await step('git checkout -q main');
  assert.equal(live.value(4), 'a');
  await live.save({ 'lua/lib.lua': lib('c') });
  shell(live, 'git commit -qam c');
  const conflict = await step('git rebase two >/dev/null 2>&1; true');
  assert.ok(conflict.record.failures.length === 1 || live.value(4) === 'b', JSON.stringify(conflict.record));
  await until(() => /lua\/lib\.lua:\d+:/.test(live.property('reload-error') ?? ''), 'the conflict markers are told about');
  assert.match(await live.eval('return session:getApp():text()'), /^[abc]$/, 'and do no harm');
  await step('git rebase --abort');
  await until(() => live.property('reload-error') === '' && live.value(4) === 'c', 'all is well again');
});

test('H27 section 15: rsync of a whole tree is one step', async (context) => {
  if (!have('rsync')) return context.skip('rsync is not installed');
  const live = await Live.start({}, { options: TOGETHER });
  shell(live, `
    set -e
    mkdir -p ../next-$$
    cp -r lua viewdefs ../next-$$/
    mv ../next-$$ next
    sed -i 's/"a"/"b"/' next/lua/lib.lua
    sed -i s/one/two/ next/lua/main.lua
    sed -i s/first/second/ next/${VIEW}
  `);
  const { frames } = await live.after(() => shell(live, 'rsync -ac next/lua next/viewdefs .'), { match: (r) => r.files.length === 3 });
  assert.deepEqual(frames.map(values), [{ 3: 'two 0', 4: 'b' }]);
  assert.deepEqual(frames.map(views), [{ 'App.DEFAULT': view('second') }]);
});

test('H17 section 15: ln -sfn, in either of its two ways', async () => {
  const live = await Live.start({
    'apps/a/words.lua': lib('of a'),
    'apps/b/words.lua': lib('of b'),
    'lua/main.lua': MAIN.replace('require("lib")', 'require("words.words")'),
    'lua/words/words.lua': lib('plain'),
  });
  for (const [command, word] of [
    ['rm -r lua/words && ln -s ../apps/a lua/words', 'of a'],
    ['ln -sfn ../apps/b lua/words', 'of b'],
    ['ln -s ../apps/a w.tmp && mv -T w.tmp lua/words', 'of a'],
  ]) {
    const { frames } = await live.after(() => shell(live, command), { match: (r) => r.sessions > 0 });
    assert.deepEqual(frames.map(values), [{ 4: word }], command);
  }
});

/* --- what goes wrong on disks --- */

test('H85 more events than the kernel\'s queue holds: said once, nothing lost', async () => {
  const live = await Live.start();
  mkdirSync(live.file('lua/many'));
  await until(async () => (await live.state()).directories.some((d) => d.path === live.file('lua/many')), 'the watch of the new folder');
  const limit = Number(readFileSync('/proc/sys/fs/inotify/max_queued_events', 'utf8'));
  const { frames } = await live.after(() => live.still(() => {
    for (let i = 0; i * 2 < limit + 2000; i++) {
      writeFileSync(live.file(`lua/many/f${i}.txt`), '');
    }
    writeSite(live.dir, { 'lua/lib.lua': lib('b'), [VIEW]: view('second') });
  }), { match: (r) => r.files.includes('lua/lib.lua') });
  assert.deepEqual(frames.map(values), [{ 4: 'b' }]);
  assert.deepEqual(frames.map(views), [{ 'App.DEFAULT': view('second') }]);
  assert.equal(live.server.logs().filter((text) => /queue has overflowed/.test(text)).length, 1);
  assert.equal((await live.save({ 'lua/lib.lua': lib('c') })).frames.length, 1, 'and works again');
});

test('H87 --poll: the same without events: saves, renames, links, new folders', async () => {
  const live = await Live.start({ 'apps/a/part.lua': lib('part') }, { options: ['--watch', '--poll', '20'] });
  assert.ok((await live.state()).directories.every((d) => d.polled));
  assert.deepEqual((await live.save({ 'lua/lib.lua': lib('bb') })).frames.map(values), [{ 4: 'bb' }]);
  assert.deepEqual((await live.after(() => live.replace('lua/lib.lua', lib('ccc')))).frames.map(values), [{ 4: 'ccc' }]);
  const linked = await live.after(() => {
    symlinkSync('../apps/a/part.lua', live.file('lua/l.tmp'));
    renameSync(live.file('lua/l.tmp'), live.file('lua/lib.lua'));
  }, { match: (r) => r.sessions > 0 });
  assert.deepEqual(linked.frames.map(values), [{ 4: 'part' }]);
  assert.deepEqual((await live.save({ 'apps/a/part.lua': lib('edited') })).frames.map(values), [{ 4: 'edited' }]);
  const { record } = await live.save(
    {
      'lua/new/deep/x.lua': 'found = true',
      'lua/main.lua': `
        ${MAIN}
        require("new.deep.x")
      `,
    },
    { match: (r) => r.sessions > 0 },
  );
  assert.deepEqual(record.failures, []);
  await live.save({ 'lua/new/deep/x.lua': 'found = "again"' }, { match: (r) => r.sessions > 0 });
  assert.equal(await live.eval('return found'), 'again');
});

test('H13 H8 the root is deleted and made again, and renamed away and back', async () => {
  const live = await Live.start();
  rmSync(live.dir, { recursive: true });
  await until(async () => !(await live.state()).directories.some((d) => d.path.startsWith(live.dir)), 'the end of its watches');
  assert.equal(await live.eval('return session:getApp():text()'), 'a', 'sessions live on');
  const back = await live.after(() => live.write({ ...FILES, 'lua/lib.lua': lib('back') }), { match: (r) => r.sessions > 0 });
  assert.deepEqual(back.frames.map(values), [{ 4: 'back' }]);
  assert.equal((await live.save({ 'lua/lib.lua': lib('more') })).frames.length, 1);
  renameSync(live.dir, `${live.dir}.away`);
  try {
    writeFileSync(`${live.dir}.away/lua/lib.lua`, lib('edited away'));
    const again = await live.after(() => renameSync(`${live.dir}.away`, live.dir), { match: (r) => r.sessions > 0 });
    assert.deepEqual(again.frames.map(values), [{ 4: 'edited away' }]);
  } finally {
    rmSync(`${live.dir}.away`, { recursive: true, force: true });
  }
});

test('H4 names with spaces, line breaks and bytes that are no UTF-8', async () => {
  const live = await Live.start();
  const names = [
    Buffer.from('with space.lua'),
    Buffer.from('line\nbreak.lua'),
    Buffer.from('\'quote"d.lua'),
    Buffer.from('latin\xe9.lua', 'latin1'),
    Buffer.from('größe.lua'),
  ];
  const at = (name) => Buffer.concat([Buffer.from(live.file('lua/')), name]);
  const lua = (name) => `"${[...name].map((byte) => `\\${String(byte).padStart(3, '0')}`).join('')}"`;
  for (const name of names) {
    writeFileSync(at(name), 'odd = 1');
    await live.eval(`require(${lua(name.subarray(0, -4))}) return odd`);
    const { record } = await live.after(() => writeFileSync(at(name), 'odd = 2'), { match: (r) => r.sessions > 0 });
    assert.deepEqual(record.failures, [], name.toString('latin1'));
    assert.equal(await live.eval('return odd'), 2);
    const broken = await live.after(() => writeFileSync(at(name), 'odd = = 3'), { match: (r) => r.failures.length > 0 });
    assert.equal(broken.record.failures[0].sessions, 1);
    await live.after(() => unlinkSync(at(name)));
  }
});

test('H32 a file that cannot be read is reported once and taken up when it can be', async () => {
  const live = await Live.start({}, { options: TOGETHER });
  const told = () => live.server.logs().filter((text) => /lib\.lua cannot be read|lib\.lua.*larger/.test(text)).length;
  /* What a person without privileges meets as "permission denied" is for root a file that is too large: both are files
   * that cannot be taken. */
  const huge = Buffer.alloc((64 << 20) + 1, 32);
  /* A disk may keep the writer waiting for so long that what is there would be taken for the whole. */
  live.still(() => writeFileSync(live.file('lua/lib.lua'), huge));
  await until(() => told() === 1, 'the report');
  await live.after(() => live.write({ 'lua/lib.lua': huge, 'lua/beside.lua': 'return 1' }));
  assert.equal(told(), 1);
  assert.equal(live.value(4), 'a');
  assert.deepEqual((await live.save({ 'lua/lib.lua': lib('b') })).frames.map(values), [{ 4: 'b' }]);
});

test('H89 10,000 folders: the watches grow with folders, a save in the last one is seen', async () => {
  const live = await Live.start();
  for (let i = 0; i < 100; i++) for (let j = 0; j < 100; j++) mkdirSync(live.file(`lua/d${i}/e${j}`), { recursive: true });
  await until(async () => (await live.state()).directories.length >= 10100, 'all watches', 60000);
  live.write({ 'lua/d99/e99/last.lua': 'last = 1' });
  await live.eval('require("d99.e99.last") return last');
  await live.after(() => live.write({ 'lua/d99/e99/last.lua': 'last = 2' }), { match: (r) => r.sessions > 0 });
  assert.equal(await live.eval('return last'), 2);
  const before = (await live.state()).directories.length;
  rmSync(live.file('lua/d50'), { recursive: true });
  await until(async () => (await live.state()).directories.length === before - 101, 'the end of the watches of deleted folders', 60000);
});

/* --- what is told --- */

plain('H97 H98 the terminal: one line a save, the place of an error with a caret, and that it is over', async () => {
  const dir = makeSite(FILES);
  const run = new Program(['serve', dir, '--port', '0', '--watch', '--socket', `${dir}.sock`]);
  try {
    const url = (await until(() => /(http:\/\/[^\s]+\/)/.exec(run.output), 'the ready line'))[1];
    await fetch(url, { redirect: 'manual' });
    const told = async (files, pattern) => {
      const from = run.output.length;
      for (const [name, text] of Object.entries(files)) {
        if (text === null) unlinkSync(`${dir}/${name}`);
        else writeFileSync(`${dir}/${name}`, text);
      }
      await until(() => pattern.test(run.output.slice(from)), `${pattern} in ${run.output}`);
    };
    const LINE = '\\d\\d:\\d\\d:\\d\\d  lua/lib\\.lua  ';
    await told({ 'lua/lib.lua': lib('b') }, new RegExp(`${LINE}1 session  \\d+\\.\\d ms\\n`));
    await told(
      { 'lua/lib.lua': 'local M = {}\nM.x = = 1\nreturn M' },
      new RegExp(
        `${LINE}1 session failed  .*\\n  lua/lib\\.lua:2: unexpected symbol near '='\\n` +
          ' +1 \\| local M = \\{\\}\\n +2 \\| M\\.x = = 1\\n +\\|     +\\^',
      ),
    );
    await told({ 'lua/lib.lua': lib('b') }, new RegExp(`${LINE}error cleared`));
    await told({ 'lua/lib.lua': `${lib('b')} ` }, new RegExp(`${LINE}1 session`));
    await told({ 'lua/lib.lua': `${lib('b')} ` }, new RegExp(`${LINE}unchanged`));
    await told({ 'lua/lib.lua': lib('c', 'error("first line")\n') }, new RegExp(`${LINE}1 session failed[^]*first line`));
    await told({ 'lua/lib.lua': lib('d') }, new RegExp(`${LINE}1 session  .*error cleared`));
    await told({ 'lua/lib.lua': lib('d', 'function M.more() end\n') }, new RegExp(`${LINE}1 session`));
    await told({ 'lua/lib.lua': lib('d') }, new RegExp(`${LINE}1 session  .*1 method removed \\(more\\)`));
    await told({ 'lua/nobody.lua': 'return 1' }, /lua\/nobody\.lua  no session has loaded it/);
    await told({ [VIEW]: '' }, /App\.DEFAULT\.html  not taken up.*\n +App\.DEFAULT\.html: the file is empty/);
    await told({ 'lua/lib.lua': null }, new RegExp(`${LINE}deleted, its code stays`));
  } finally {
    run.child.kill('SIGKILL');
    rmSync(dir, { recursive: true, force: true });
  }
});
