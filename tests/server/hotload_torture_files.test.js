/** The torture table of hot reload, second part: edits of templates, and edits as they come from links, folders, tools and branches. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  closeSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { MAIN, lib, torture, view, views } from './hotload.js';
import { until, writeSite } from './lib.js';

const VIEW = 'viewdefs/App.DEFAULT.html';
const text = 'require("lib").text()';
const LIB_OK = { outcomes: { 'lua/lib.lua': 'ok' } };
const NOTHING = { outcomes: {} };

/* --- templates --- */

torture('case 50: H74 H75 a template is edited: it is pushed, and nothing else', {
  paths: ['count'],
  state: 'runs',
  before: 1,
  after: 1,
  edit: { [VIEW]: view('second') },
  out: NOTHING,
  frames: 1,
  views: { 'App.DEFAULT': view('second') },
});
torture('case 51: H72 H75 a template and the code that it shows are saved together: one frame', {
  paths: ['text()'],
  state: text,
  before: 'a',
  after: 'b',
  edit: { 'lua/lib.lua': lib('b'), [VIEW]: view('second') },
  done: (r) => r.files.length === 2,
  out: LIB_OK,
  frames: 1,
  shows: { 2: 'b' },
  views: { 'App.DEFAULT': view('second') },
});
torture('case 52: H77 a template is new: sessions that have a variable of its type get it', {
  state: 'runs',
  before: 1,
  after: 1,
  edit: { 'viewdefs/App.CARD.html': view('card') },
  out: NOTHING,
  frames: 1,
  views: { 'App.CARD': view('card') },
});
torture('case 53: H78 a template is emptied: the old one stays in use and the page is told', {
  state: 'runs',
  before: 1,
  after: 1,
  edit: { [VIEW]: '' },
  out: { failures: [/^App\.DEFAULT\.html: the file is empty$/] },
  frames: 1,
  mended: { [VIEW]: view('second') },
  then: 1,
  also: (live) => assert.match(live.property('reload-error'), /empty/),
});
torture('case 54: H79 H76 a template is deleted and comes back as it was', {
  state: 'runs',
  before: 1,
  after: 1,
  edit: (live) => unlinkSync(live.file(VIEW)),
  out: NOTHING,
  frames: 0,
  also: async (live) => assert.deepEqual((await live.save({ [VIEW]: view('first') })).frames, []),
});
torture('case 55: H76 an older template takes the place of a newer one', {
  state: 'runs',
  before: 1,
  after: 1,
  out: NOTHING,
  frames: 1,
  views: { 'App.DEFAULT': view('of old') },
  edit: (live) => {
    writeFileSync(live.file('old.tmp'), view('of old'));
    utimesSync(live.file('old.tmp'), 946684800, 946684800);
    renameSync(live.file('old.tmp'), live.file(VIEW));
  },
});

/* --- saves --- */

torture('case 56: H35 a save without a change runs nothing and sends nothing', {
  paths: ['text()'],
  arrange: 'total = 3',
  state: `{ ${text}, runs, total }`,
  before: ['a', 1, 3],
  after: ['a', 1, 3],
  edit: { 'lua/lib.lua': lib('a'), 'lua/main.lua': MAIN },
  done: (r) => r.files.includes('lua/main.lua'),
  out: {},
  frames: 0,
});
torture('case 57: H25 two saves within one window are one reload with the last text', {
  options: ['--debounce', '80'],
  files: {
    'lua/lib.lua': `
      loads = (loads or 0) + 1
      ${lib('a')}
    `,
  },
  paths: ['text()'],
  state: `{ ${text}, loads }`,
  before: ['a', 1],
  after: ['c', 2],
  edit: (live) =>
    live.still(() => {
      for (const word of ['b', 'c']) live.write({
        'lua/lib.lua': `
          loads = (loads or 0) + 1
          ${lib(word)}
        `,
      });
    }),
  out: LIB_OK,
  frames: 1,
  shows: { 2: 'c' },
});
torture('case 58: H21 a file is replaced by rename', {
  paths: ['text()'],
  state: text,
  before: 'a',
  after: 'b',
  edit: (live) => live.replace('lua/lib.lua', lib('b')),
  out: LIB_OK,
  frames: 1,
  shows: { 2: 'b' },
});
torture('case 59: H29 a writer pauses in the middle of a save: its first half, valid Lua, is not run', {
  files: { 'lua/lib.lua': lib('a') },
  paths: ['text()'],
  state: `{ ${text}, half or false }`,
  before: ['a', false],
  after: ['b', false],
  edit: async (live) => {
    const file = openSync(live.file('lua/lib.lua'), 'w');
    writeSync(file, 'half = true\n');
    live.write({ 'viewdefs/App.CARD.html': view('meanwhile') });
    let written = performance.now();
    await until(() => {
      /* However long the burst takes, the writer does not seem to have given up (H29: 500 ms). */
      if (performance.now() > written + 100) {
        writeSync(file, '--\n');
        written = performance.now();
      }
      return views(live.page.messages())['App.CARD'];
    }, 'a burst that was due meanwhile');
    writeSync(file, `half = nil\n${lib('b')}`);
    closeSync(file);
  },
  done: (r) => r.files.includes('lua/lib.lua'),
  out: LIB_OK,
  frames: 2,
  shows: { 2: 'b' },
  views: { 'App.CARD': view('meanwhile') },
});
torture('case 60: H30 a file is emptied and filled again, by two openings', {
  paths: ['text()'],
  state: text,
  before: 'a',
  after: 'b',
  edit: (live) => {
    live.write({ 'lua/lib.lua': '' });
    live.write({ 'lua/lib.lua': lib('b') });
  },
  out: LIB_OK,
  frames: 1,
  shows: { 2: 'b' },
});
torture('case 61: H58 binary rubbish takes the place of a file', {
  paths: ['text()'],
  state: text,
  before: 'a',
  after: 'a',
  edit: { 'lua/lib.lua': Buffer.from([0x1b, 0x4c, 0x75, 0x61, 0, 0xff, 0xfe, 0x0a, 0]) },
  out: { outcomes: { 'lua/lib.lua': 'failed' }, failures: [/^lua\/lib\.lua:1: a compiled chunk/] },
  frames: 1,
  mended: { 'lua/lib.lua': lib('b') },
  then: 'b',
});
torture('case 62: H21 section 14: a loaded file is deleted, its code stays; it comes back with another text', {
  paths: ['text()'],
  state: text,
  before: 'a',
  after: 'a',
  edit: (live) => unlinkSync(live.file('lua/lib.lua')),
  out: NOTHING,
  frames: 0,
  mended: { 'lua/lib.lua': lib('b') },
  then: 'b',
});
torture('case 63: section 14: another file takes the name of a loaded one', {
  files: { 'lua/other.lua': lib('other') },
  paths: ['text()'],
  state: text,
  before: 'a',
  after: 'other',
  out: LIB_OK,
  frames: 1,
  shows: { 2: 'other' },
  edit: (live) => renameSync(live.file('lua/other.lua'), live.file('lua/lib.lua')),
});
torture('case 64: H36 section 14: a loaded file is renamed together with the require of it', {
  paths: ['text()'],
  state: text,
  before: 'a',
  after: 'a',
  done: (r) => r.files.includes('lua/main.lua'),
  out: { outcomes: { 'lua/main.lua': 'ok' } },
  frames: 1,
  shows: { 2: 'new' },
  together: true,
  edit: (live) =>
    live.still(() => {
      renameSync(live.file('lua/lib.lua'), live.file('lua/words.lua'));
      writeSite(live.dir, { 'lua/words.lua': lib('new'), 'lua/main.lua': MAIN.replace('require("lib")', 'require("words")') });
    }),
});

/* --- links and folders --- */

const linked = {
  'apps/one/part.lua': lib('one'),
  'apps/two/part.lua': lib('two'),
  'lua/main.lua': MAIN.replace('require("lib")', 'require("part")'),
};
const link = (live) => {
  symlinkSync('../apps/one/part.lua', live.file('link.tmp'));
  renameSync(live.file('link.tmp'), live.file('lua/part.lua'));
};
torture('case 65: H17 a link is re-pointed: the module takes its new key and keeps its table', {
  files: { ...linked, 'lua/part.lua': lib('plain') },
  paths: ['text()'],
  arrange: async (live) => {
    await live.after(() => link(live));
    await live.eval('was = require("part") return true');
  },
  state: '{ was.text(), rawequal(was, require("part")) }',
  before: ['one', true],
  after: ['two', true],
  edit: (live) => {
    symlinkSync('../apps/two/part.lua', live.file('lua/part.lua.new'));
    renameSync(live.file('lua/part.lua.new'), live.file('lua/part.lua'));
  },
  done: (r) => r.sessions > 0,
  out: { outcomes: { 'apps/two/part.lua': 'ok' } },
  frames: 1,
  shows: { 2: 'two' },
  also: async (live) =>
    assert.deepEqual((await live.state()).symlinkTargets, [
      { path: live.file('lua/part.lua'), target: live.file('apps/two/part.lua') },
    ]),
});
torture('case 66: H14 H16 the target of a link is saved: one reload', {
  files: { ...linked, 'lua/part.lua': lib('plain') },
  paths: ['text()'],
  arrange: (live) => live.after(() => link(live)),
  state: 'require("part").text()',
  before: 'one',
  after: 'edited',
  edit: { 'apps/one/part.lua': lib('edited') },
  out: { outcomes: { 'apps/one/part.lua': 'ok' } },
  frames: 1,
  shows: { 2: 'edited' },
});
const fleet = (name, n) => ({ [`${name}/a.lua`]: `return { n = ${n} }`, [`${name}/b.lua`]: `return { n = ${n} }` });
const FLEET = {
  ...fleet('lua/fleet', 1),
  'lua/main.lua': `
    ${MAIN}
    local a, b = require("fleet.a"), require("fleet.b")
    function App:sum() return a.n + b.n end
  `,
};
torture('case 67: H13 section 14: a folder is swapped for another by rename: one step', {
  files: { ...FLEET, ...fleet('next', 10) },
  paths: ['sum()'],
  state: 'session:getApp():sum()',
  before: 2,
  after: 20,
  edit: (live) => {
    renameSync(live.file('lua/fleet'), live.file('last'));
    renameSync(live.file('next'), live.file('lua/fleet'));
  },
  done: (r) => r.sessions > 0,
  out: { outcomes: { 'lua/fleet/a.lua': 'ok', 'lua/fleet/b.lua': 'ok' } },
  frames: 1,
  shows: { 2: 20 },
  mended: fleet('lua/fleet', 100),
  then: 200,
});
torture('case 68: H13 HX3 a folder is deleted and made again', {
  files: FLEET,
  paths: ['sum()'],
  state: 'session:getApp():sum()',
  before: 2,
  after: 6,
  edit: (live) =>
    live.still(() => {
      rmSync(live.file('lua/fleet'), { recursive: true });
      writeSite(live.dir, fleet('lua/fleet', 3));
    }),
  done: (r) => r.sessions > 0,
  out: { outcomes: { 'lua/fleet/a.lua': 'ok', 'lua/fleet/b.lua': 'ok' } },
  frames: 1,
  shows: { 2: 6 },
  mended: fleet('lua/fleet', 4),
  then: 8,
});
torture('case 69: H6 H9 H33 a folder of new files is moved into the site: they are inert until they are required', {
  files: {
    'next/x.lua': `
      moved_in = true
      return { n = 1 }
    `,
  },
  state: '{ moved_in or false }',
  before: [false],
  after: [false],
  edit: (live) => renameSync(live.file('next'), live.file('lua/next')),
  out: NOTHING,
  frames: 0,
  mended: { 'lua/lib.lua': lib('a', 'require("next.x")\n') },
  then: [true],
});

/* --- many at once --- */

const names = Array.from({ length: 32 }, (_, i) => `m${String(i + 1).padStart(2, '0')}`);
const many = (n) =>
  Object.fromEntries(
    names.map((name) => [`lua/${name}.lua`, `
      log = log or {}
      log[#log + 1] = "${name}"
      return { n = ${n} }
    `]),
  );
const SUM = {
  ...many(1),
  'lua/main.lua': `
    ${MAIN}
    local all = {}
    for i = 1, 32 do all[i] = require(("m%02d"):format(i)) end
    function App:sum()
      local n = 0
      for i = 1, 32 do n = n + all[i].n end
      return n
    end
  `,
};
torture('case 70: H27 H37 H72 a burst over 32 files is one step and one frame, each file once', {
  files: SUM,
  paths: ['sum()'],
  arrange: 'log = {}',
  state: '{ session:getApp():sum(), #log }',
  before: [32, 0],
  after: [160, 32],
  edit: many(5),
  done: (r) => r.files.length === 32,
  out: { outcomes: Object.fromEntries(names.map((name) => [`lua/${name}.lua`, 'ok'])) },
  frames: 1,
  shows: { 2: 160 },
});
const git = (live, ...args) =>
  execFileSync(
    'git',
    [
      '-c',
      'user.name=t',
      '-c',
      'user.email=t@t',
      '-c',
      'init.defaultBranch=main',
      '-c',
      'commit.gpgsign=false',
      ...args,
    ],
    {
      cwd: live.dir,
      env: { ...process.env, GIT_CONFIG_NOSYSTEM: '1', HOME: live.dir },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  ).toString();
torture('case 71: H84 timeline D: git switches the branch: folders go and come, one step and one frame', {
  files: { ...FLEET, ...many(1) },
  paths: ['sum()', 'text()'],
  together: true,
  arrange: async (live) => {
    git(live, 'init', '-q');
    git(live, 'add', '-A');
    git(live, 'commit', '-qm', 'one');
    git(live, 'checkout', '-qb', 'two');
    const told = live.records().length;
    live.write({
      ...fleet('lua/fleet', 7),
      ...many(2),
      'lua/lib.lua': lib('of two'),
      [VIEW]: view('of two'),
      'lua/only_two.lua': 'return 1',
    });
    await until(() => live.records().slice(told).some((r) => r.files.includes('lua/lib.lua')), 'the save on the other branch');
    git(live, 'add', '-A');
    git(live, 'commit', '-qm', 'two');
  },
  state: `{ session:getApp():sum(), ${text} }`,
  before: [14, 'of two'],
  after: [2, 'a'],
  edit: (live) => git(live, 'checkout', '-q', 'main'),
  done: (r) => r.files.includes('lua/lib.lua') && r.files.includes('lua/fleet/a.lua'),
  out: { outcomes: { 'lua/fleet/a.lua': 'ok', 'lua/fleet/b.lua': 'ok', 'lua/lib.lua': 'ok' } },
  frames: 1,
  shows: { 2: 2, 3: 'a' },
  views: { 'App.DEFAULT': view('first') },
});
torture('case 72: H58 conflict markers of a merge do no harm', {
  paths: ['text()'],
  state: text,
  before: 'a',
  after: 'a',
  edit: (live) => appendFileSync(live.file('lua/lib.lua'), '<<<<<<< HEAD\nreturn 1\n=======\nreturn 2\n>>>>>>> two\n'),
  out: { outcomes: { 'lua/lib.lua': 'failed' }, failures: [/^lua\/lib\.lua:\d+:/] },
  frames: 1,
  mended: { 'lua/lib.lua': lib('b') },
  then: 'b',
});
torture('case 73: H8 H36 a folder that did not exist is made for a file that was required in vain', {
  state: '{ found and found.n or 0 }',
  before: [0],
  after: [4],
  arrange: async (live) => {
    await live.save({
      'lua/lib.lua': `
        found = require("deep.down.part")
        ${lib('b')}
      `,
    });
  },
  edit: (live) => {
    mkdirSync(live.file('lua/deep/down'), { recursive: true });
    live.write({ 'lua/deep/down/part.lua': 'return { n = 4 }' });
  },
  out: { outcomes: { 'lua/deep/down/part.lua': 'first', 'lua/lib.lua': 'ok' }, cleared: ['lua/lib.lua'] },
  frames: 1,
  also: (live) => assert.equal(live.property('reload-error'), ''),
});
