/** The torture table of hot reload: kinds of edit made to Lua while the program runs, each with the state before and
 * after it, its record and the number of frames that a page gets. Edits that come as files, folders and tools do are in
 * hotload_torture_files.test.js. */
import assert from 'node:assert/strict';
import { lib, MAIN, torture } from './hotload.js';
import { until } from './lib.js';

/** A main.lua with one prototype, whose instance is the app. */
const app = (fields, methods = '', more = '') => `
App = session:prototype("App", { ${fields} })
${methods}
if not session.reloading then session:createAppVariable(session:create(App, {})) end
${more}
`;
const main = (fields, methods, more) => ({ 'lua/main.lua': app(fields, methods, more) });
/** The default main.lua requires lib; `app().x` is a field of the app object. */
const APP = 'session:getApp()';
const ok = (key) => ({ outcomes: { [key]: 'ok' } });
const MAIN_OK = ok('lua/main.lua'), LIB_OK = ok('lua/lib.lua');

/** The page has been told that this gave way to the edit, and nothing else. */
const lost = (live, text) => assert.deepEqual(JSON.parse(live.property('reload-losses')).map((loss) => loss.text), [text]);

/* --- fields --- */

torture('case 1: L88 H70 a field is added: instances show its default', {
  files: main('name = "North"'),
  paths: ['title'],
  state: `tostring(${APP}.title)`,
  before: 'nil',
  after: 'Captain',
  edit: main('name = "North", title = "Captain"'),
  out: { ...MAIN_OK, details: /^App \+1 field, 1 instance migrated$/ },
  frames: 1,
  shows: { 2: 'Captain' },
});
torture('case 2: L85 H54 R18 a field is removed: instances lose what they held', {
  files: main('name = "North", title = "Captain"'),
  paths: ['title'],
  arrange: `${APP}.title = "Admiral"`,
  state: `tostring(${APP}.title)`,
  before: 'Admiral',
  after: 'nil',
  edit: main('name = "North"'),
  out: { ...MAIN_OK, details: /^App -1 field, values of "title" set aside in 1 instance, 1 instance migrated$/ },
  frames: 1,
  shows: { 2: null },
});
torture('case 3: L88 H70 the default of a field changes: only who still shows the default follows', {
  files: main('name = "North"', '', 'if not session.reloading then own = session:create(App, { name = "own" }) end'),
  paths: ['name'],
  state: `{ ${APP}.name, own.name }`,
  before: ['North', 'own'],
  after: ['South', 'own'],
  edit: main('name = "South"', '', 'if not session.reloading then own = session:create(App, { name = "own" }) end'),
  out: { ...MAIN_OK, details: /^App: defaults changed, 2 instances migrated$/ },
  frames: 1,
  shows: { 2: 'South' },
});
torture('case 4: L97 H39 H54 a field is renamed with mutate: instances carry its value over', {
  files: main('captain = "nobody"'),
  paths: ['master'],
  arrange: `${APP}.captain = "Ann"`,
  state: `{ ${APP}.captain or false, ${APP}.master or false }`,
  before: ['Ann', false],
  after: [false, 'Ann'],
  edit: main('master = "nobody"', 'function App:mutate() self.master = self.captain end'),
  out: { ...MAIN_OK, details: /App \+1 -1 fields.*1 instance migrated/ },
  frames: 1,
  shows: { 2: 'Ann' },
});
torture('case 5: H61 L100 mutate fails for one instance of three: the others are migrated, the next save mends it', {
  files: main(
    'old = 0',
    '',
    `
      if not session.reloading then
        three = {}
        for i = 1, 3 do three[i] = session:create(App, { old = i }) end
      end
    `,
  ),
  state: '{ three[1].young or false, three[2].young or false, three[3].young or false, three[2].old or false }',
  before: [false, false, false, 2],
  after: [1, false, 3, 2],
  edit: main(
    'young = EMPTY',
    `
      function App:mutate()
        if self.old == 2 then error("not this one") end
        self.young = self.old
      end
    `,
  ),
  out: { ...MAIN_OK, details: /3 instances migrated/ },
  frames: 0,
  mended: main('young = EMPTY', 'function App:mutate() self.young = self.old end'),
  then: [1, 2, 3, false],
});
torture('case 6: H55 a field moves to a base prototype: instances keep what they hold', {
  files: main('name = "x", size = 1'),
  arrange: `${APP}.size = 9`,
  state: `{ ${APP}.size, rawequal(getmetatable(${APP}), App) or rawequal(getmetatable(${APP}).__index, App) }`,
  before: [9, true],
  after: [9, true],
  edit: {
    'lua/main.lua': `
      Base = session:prototype("Base", { size = 1 })
      App = session:prototype("App", { name = "x" }, Base)
      if not session.reloading then session:createAppVariable(session:create(App, {})) end
    `,
  },
  out: { ...MAIN_OK, details: /^App -1 field, 1 instance migrated$/ },
  frames: 0,
});

/* --- methods --- */

const says = (text) => `function App:say() return "${text}" end`;
torture('case 7: H70 H66 a method changes: its result is shown at once', {
  files: main('n = 0', says('one')),
  paths: ['say()'],
  arrange: `${APP}.n = 4`,
  state: `{ ${APP}:say(), ${APP}.n }`,
  before: ['one', 4],
  after: ['two', 4],
  edit: main('n = 0', says('two')),
  out: MAIN_OK,
  frames: 1,
  shows: { 2: 'two' },
});
torture('case 8: H70 a method is added for which a page was waiting', {
  files: main('n = 0'),
  paths: ['say()'],
  state: `type(${APP}.say)`,
  before: 'nil',
  after: 'function',
  edit: main('n = 0', says('at last')),
  out: MAIN_OK,
  frames: 1,
  shows: { 2: 'at last' },
});
torture('case 9: H51 a method is removed: it is gone, and the record names it', {
  files: main('n = 0', says('one')),
  state: `type(${APP}.say)`,
  before: 'function',
  after: 'nil',
  edit: main('n = 0'),
  out: { ...MAIN_OK, details: /^1 method removed \(say\)$/ },
  frames: 0,
});
torture('case 10: H51 a method is renamed: the old name does not live on', {
  files: main('n = 0', says('one')),
  state: `{ type(App.say), type(App.tell) }`,
  before: ['function', 'nil'],
  after: ['nil', 'function'],
  edit: main('n = 0', 'function App:tell() return "one" end'),
  out: { ...MAIN_OK, details: /1 method removed \(say\)/ },
  frames: 0,
});
torture('case 11: H51 H47 a method under the guard stays', {
  files: main('n = 0', `if not session.reloading then ${says('once')} end`),
  state: `${APP}:say()`,
  before: 'once',
  after: 'once',
  edit: main('n = 0', `if not session.reloading then ${says('again')} end`),
  out: MAIN_OK,
  frames: 0,
});
const derived = (methods) => `
require("base")
App = session:prototype("App", {}, Base)
${methods}
if not session.reloading then session:createAppVariable(session:create(App, {})) end
`;
torture('case 12: H51 an overriding method is removed: the inherited one shows', {
  files: {
    'lua/base.lua': `
      Base = session:prototype("Base", {})
      function Base:say() return "base" end
    `,
    'lua/main.lua': derived(says('own')),
  },
  paths: ['say()'],
  state: `${APP}:say()`,
  before: 'own',
  after: 'base',
  edit: { 'lua/main.lua': derived('') },
  out: { ...MAIN_OK, details: /method removed \(say\)/ },
  frames: 1,
  shows: { 2: 'base' },
});
torture('case 13: H49 a method that the run has replaced follows the file again', {
  files: main('n = 0', says('one')),
  paths: ['say()'],
  arrange: 'App.say = function() return "patched" end',
  state: `${APP}:say()`,
  before: 'patched',
  after: 'two',
  edit: main('n = 0', says('two')),
  out: MAIN_OK,
  frames: 1,
  shows: { 2: 'two' },
});
torture('case 14: L75 H52 a prototype is no longer declared: instances live on, the record says so once', {
  files: main(
    'n = 0',
    '',
    `
      Ship = session:prototype("Ship", { speed = 3 })
      if not session.reloading then ship = session:create(Ship, {}) end
    `,
  ),
  state: 'ship.speed',
  before: 3,
  after: 3,
  edit: main('n = 1'),
  out: { ...MAIN_OK, details: /Ship is no longer declared/ },
  frames: 0,
});

/* --- file-level locals --- */

const counter = (start, word) => ({
  'lua/lib.lua': `
    local count = ${start}
    local M = {}
    function M.up()
      count = count + 1
      return count
    end
    function M.text() return "${word} " .. count end
    return M
  `,
});
const up3 = 'for i = 1, 3 do require("lib").up() end';
torture('case 15: H56 a local keeps what the run has counted', {
  files: counter(0, 'a'),
  paths: ['text()'],
  arrange: up3,
  state: 'require("lib").text()',
  before: 'a 3',
  after: 'b 3',
  edit: counter(0, 'b'),
  out: LIB_OK,
  frames: 1,
  shows: { 2: 'b 3' },
});
torture('case 16: H56 H49 a local whose value was edited follows the file', {
  files: counter(0, 'a'),
  paths: ['text()'],
  arrange: up3,
  state: 'require("lib").text()',
  before: 'a 3',
  after: 'a 10',
  edit: counter(10, 'a'),
  out: LIB_OK,
  frames: 1,
  shows: { 2: 'a 10' },
});
torture('case 17: H56 a callback of the old version and the new code share the local', {
  files: counter(0, 'a'),
  arrange: 'old = require("lib").up',
  state: '{ old(), require("lib").up() }',
  before: [1, 2],
  after: [3, 4],
  edit: counter(0, 'b'),
  out: LIB_OK,
  frames: 0,
});
torture('case 18: H56 a local function changes: new code calls the new one', {
  files: {
    'lua/lib.lua': `
      local function word() return "one" end
      return { text = function() return word() end }
    `,
  },
  paths: ['text()'],
  state: 'require("lib").text()',
  before: 'one',
  after: 'two',
  edit: {
    'lua/lib.lua': `
      local function word() return "two" end
      return { text = function() return word() end }
    `,
  },
  out: LIB_OK,
  frames: 1,
  shows: { 2: 'two' },
});
const cache = (word) => ({
  'lua/lib.lua': `
    local cache = {}
    return {
      put = function(x) cache[#cache + 1] = x end,
      all = function() return cache end,
      text = function() return "${word}" end,
    }
  `,
});
torture('case 19: H56 a local table stays the same table with its content', {
  files: cache('a'),
  arrange: 'require("lib").put("x"); was = require("lib").all()',
  state: '{ require("lib").all()[1], rawequal(was, require("lib").all()) }',
  before: ['x', true],
  after: ['x', true],
  edit: cache('b'),
  out: LIB_OK,
  frames: 0,
});

/* --- globals --- */

torture('case 20: H49 a global keeps the value of the run', {
  files: { 'lua/lib.lua': `total = 0\n${lib('a')}` },
  arrange: 'total = 7',
  paths: ['text()'],
  state: 'total',
  before: 7,
  after: 7,
  edit: { 'lua/lib.lua': `total = 0\n${lib('b')}` },
  out: LIB_OK,
  frames: 1,
  shows: { 2: 'b' },
});
torture('case 21: H49 a global whose value was edited follows the file', {
  files: { 'lua/lib.lua': `total = 0\n${lib('a')}` },
  arrange: 'total = 7',
  state: 'total',
  before: 7,
  after: 10,
  edit: { 'lua/lib.lua': `total = 10\n${lib('a')}` },
  out: LIB_OK,
  frames: 1,
  also: (live) => lost(live, `the run's value of "total" gave way to your edit`),
});
torture('case 22: H49 a global function changes', {
  files: main('n = 0', `
    function word() return "one" end
    function App:say() return word() end
  `),
  paths: ['say()'],
  state: 'word()',
  before: 'one',
  after: 'two',
  edit: main('n = 0', `
    function word() return "two" end
    function App:say() return word() end
  `),
  out: MAIN_OK,
  frames: 1,
  shows: { 2: 'two' },
});
torture('case 23: H53 a global that the file no longer sets stays', {
  files: { 'lua/lib.lua': `total = 5\n${lib('a')}` },
  state: 'total',
  before: 5,
  after: 5,
  edit: { 'lua/lib.lua': lib('a') },
  out: LIB_OK,
  frames: 0,
});
const boat = (word) => ({
  'lua/lib.lua': `
    Boat = { type = "Boat" }
    Boat.__index = Boat
    function Boat:say() return "${word}" end
    ${lib('a')}
  `,
});
torture('case 24: H48 a hand-made class in a global: its instances get the new methods', {
  files: boat('one'),
  arrange: 'b = setmetatable({}, Boat); was = Boat',
  state: '{ b:say(), rawequal(was, Boat) }',
  before: ['one', true],
  after: ['two', true],
  edit: boat('two'),
  out: LIB_OK,
  frames: 0,
});
torture('case 25: H49 a static of a prototype keeps what was counted', {
  files: main('n = 0', 'App.made = 0'),
  arrange: 'App.made = 3',
  state: 'App.made',
  before: 3,
  after: 3,
  edit: main('n = 0', `
    App.made = 0
    ${says('new')}
  `),
  out: MAIN_OK,
  frames: 0,
});

/* --- values of modules --- */

torture('case 26: H48 a function of a library changes: importers hold the same table', {
  paths: ['text()'],
  arrange: 'was = require("lib")',
  state: '{ was.text(), rawequal(was, require("lib")) }',
  before: ['a', true],
  after: ['b', true],
  edit: { 'lua/lib.lua': lib('b') },
  out: LIB_OK,
  frames: 1,
  shows: { 2: 'b' },
});
torture('case 27: H51 a function of a library is removed', {
  files: { 'lua/lib.lua': lib('a', 'function M.more() end\n') },
  state: 'type(require("lib").more)',
  before: 'function',
  after: 'nil',
  edit: { 'lua/lib.lua': lib('a') },
  out: { ...LIB_OK, details: /1 method removed \(more\)/ },
  frames: 0,
});
torture("case 28: H49 data in a module table: the run's stays, the edited one follows, what others added stays", {
  files: { 'lua/lib.lua': lib('a', 'M.limit, M.count = 5, 0\n') },
  arrange: 'local m = require("lib") m.count, m.added = 3, "x"',
  state: '(function(m) return { m.limit, m.count, m.added } end)(require("lib"))',
  before: [5, 3, 'x'],
  after: [6, 3, 'x'],
  edit: { 'lua/lib.lua': lib('a', 'M.limit, M.count = 6, 0\n') },
  out: LIB_OK,
  frames: 0,
});
torture('case 29: H49 a table nested in a module table is edited', {
  files: { 'lua/lib.lua': lib('a', 'M.colours = { "red" }\n') },
  arrange: 'require("lib").colours[2] = "run"',
  state: 'table.concat(require("lib").colours, " ")',
  before: 'red run',
  after: 'red blue green',
  edit: { 'lua/lib.lua': lib('a', 'M.colours = { "red", "blue", "green" }\n') },
  out: LIB_OK,
  frames: 1,
  also: (live) => lost(live, '1 run-time row of "M.colours" gave way to your edit'),
});
torture('case 30: H50 the value of a module is no table: who required it runs again in the same step', {
  files: {
    'lua/limit.lua': 'return 5',
    'lua/lib.lua': `
      local limit = require("limit")
      return { text = function() return limit end }
    `,
  },
  paths: ['text()'],
  state: 'require("lib").text()',
  before: 5,
  after: 6,
  edit: { 'lua/limit.lua': 'return 6' },
  out: { outcomes: { 'lua/limit.lua': 'ok', 'lua/lib.lua': 'ok' } },
  frames: 1,
  shows: { 2: 6 },
});
torture('case 31: H48 the metatable of a module changes', {
  files: {
    'lua/lib.lua':
      'return setmetatable({ text = function() return "a" end }, { __call = function() return "one" end })',
  },
  arrange: 'was = require("lib")',
  state: 'was()',
  before: 'one',
  after: 'two',
  edit: {
    'lua/lib.lua':
      'return setmetatable({ text = function() return "a" end }, { __call = function() return "two" end })',
  },
  out: LIB_OK,
  frames: 0,
});

/* --- requires --- */

torture('case 32: H33 H35 H44 a file is split: the new part is loaded once, for the first time', {
  paths: ['text()'],
  state: '{ loads or 0, flag == nil and "none" or tostring(flag) }',
  before: [0, 'none'],
  after: [1, 'false'],
  edit: {
    'lua/part.lua': `
      loads = (loads or 0) + 1
      flag = session.reloading
      return { word = "from part" }
    `,
    'lua/lib.lua': `
      local part = require("part")
      return { text = function() return part.word end }
    `,
  },
  done: (r) => r.files.includes('lua/lib.lua'),
  out: { details: [] },
  frames: 1,
  shows: { 2: 'from part' },
});
torture('case 33: H60 a require is removed: the module stays what it was', {
  files: {
    'lua/part.lua': `
      part_loaded = true
      return {}
    `,
    'lua/lib.lua': `
      require("part")
      ${lib('a')}
    `,
  },
  paths: ['text()'],
  state: '{ part_loaded, package.loaded.part ~= nil }',
  before: [true, true],
  after: [true, true],
  edit: { 'lua/lib.lua': lib('b') },
  out: LIB_OK,
  frames: 1,
  shows: { 2: 'b' },
});
torture('case 34: H36 H63 a require of a missing file fails; when the file comes both run', {
  state: '{ require("lib").text(), late or false }',
  before: ['a', false],
  after: ['a', false],
  edit: {
    'lua/lib.lua': `
      late = require("late").word
      ${lib('b')}
    `,
  },
  out: { outcomes: { 'lua/lib.lua': 'failed' }, failures: [/lua\/lib\.lua:2:.*late/] },
  frames: 1,
  mended: { 'lua/late.lua': 'return { word = "here" }' },
  then: ['b', 'here'],
});
torture('case 35: H37 two files that require each other are edited together', {
  files: {
    'lua/one.lua': `
      local M = {}
      function M.two() return require("two").n end
      M.n = 1
      return M
    `,
    'lua/two.lua': `
      local one = require("one")
      return { n = 2, one = function() return one.n end }
    `,
    'lua/main.lua': app('n = 0', '', 'require("two")'),
  },
  state: '{ require("one").two(), require("two").one() }',
  before: [2, 1],
  after: [20, 10],
  edit: {
    'lua/two.lua': `
      local one = require("one")
      return { n = 20, one = function() return one.n end }
    `,
    'lua/one.lua': `
      local M = {}
      function M.two() return require("two").n end
      M.n = 10
      return M
    `,
  },
  done: (r) => r.files.length === 2,
  out: { outcomes: { 'lua/one.lua': 'ok', 'lua/two.lua': 'ok' } },
  frames: 0,
});

/* --- registrations --- */

const loud = (mark) => ({
  'lua/lib.lua': `
    Loud = Loud or {}
    Loud.__index = Loud
    function Loud.new(_, variable) return setmetatable({ of = variable }, Loud) end
    function Loud:text() return self.of.getValue() .. "${mark}" end
    ui.registerWrapper("Loud", Loud)
    ${lib('a')}
  `,
});
const wrap = async (live) => {
  live.page.create(20, 'name', { wrapper: 'Loud' });
  live.page.send({ userEvent: true, messages: [{ type: 'create', data: { id: 21, parentId: 20, properties: { path: 'text()' } } }] });
  await until(() => live.value(21) === 'North!', 'the wrapped value');
};
torture('case 36: H52 L122 a wrapper changes: the objects that it has made follow', {
  files: loud('!'),
  arrange: wrap,
  state: 'type(Loud)',
  before: 'table',
  after: 'table',
  edit: loud('?'),
  out: LIB_OK,
  frames: 1,
  shows: { 21: 'North?' },
});
const making = async (live) => {
  live.page.create(30, 'made', { create: 'Row' });
  await live.barrier();
};
torture('case 37: H52 L121 a presenter is no longer registered: the next one cannot be made', {
  files: {
    'lua/lib.lua': `
      ui.registerPresenter("Row", { label = "row" })
      ${lib('a')}
    `,
  },
  arrange: making,
  state: `${APP}.made and ${APP}.made.label or "none"`,
  before: 'row',
  after: 'none',
  edit: async (live) => {
    await live.save({
      'lua/lib.lua': `
        ui.registerPresenter("Column", { label = "column" })
        ${lib('b')}
      `,
    });
    await live.eval(`${APP}.made = nil return true`);
    live.page.create(31, 'made', { create: 'Row' });
    await live.barrier();
    live.page.create(32, 'other', { create: 'Column' });
    await live.barrier();
  },
  out: LIB_OK,
  frames: 3,
  shows: { 30: null, 31: null, 32: { obj: 4 } },
  also: async (live) => assert.equal(await live.eval(`return ${APP}.other.label`), 'column'),
});

/* --- errors --- */

torture('case 38: H58 H63 a syntax error touches nothing; the good version is taken up', {
  paths: ['count', 'text()'],
  arrange: `${APP}.count = 5`,
  state: `{ ${APP}.count, require("lib").text() }`,
  before: [5, 'a'],
  after: [5, 'a'],
  edit: { 'lua/lib.lua': 'local M = {\nfunction M.text() return "b" end\nreturn M' },
  out: { outcomes: { 'lua/lib.lua': 'failed' }, failures: [/^lua\/lib\.lua:2: /] },
  frames: 1,
  also: (live) => assert.match(live.property('reload-error'), /^lua\/lib\.lua:2: /),
  mended: { 'lua/lib.lua': lib('c') },
  then: [5, 'c'],
});
torture('case 39: H59 an error half-way: what its first half did is taken back', {
  files: main('n = 1', says('one')),
  paths: ['n', 'say()'],
  arrange: `${APP}.n = 8; held = 1`,
  state: `{ ${APP}.n, ${APP}:say(), held, fresh == nil }`,
  before: [8, 'one', 1, true],
  after: [8, 'one', 1, true],
  edit: main(
    'k = 2',
    `
      ${says('two')}
      held, fresh = 2, 2
      session:setInterval(function() held = 99 end, 1)
      error("half-way")
    `,
  ),
  out: { outcomes: { 'lua/main.lua': 'failed' }, failures: [/^lua\/main\.lua:\d+: half-way$/] },
  frames: 1,
  mended: main('n = 1', says('three')),
  then: [8, 'three', 1, true],
});
torture('case 40: H63 H35 after an error the version of before comes back: nothing runs and the error is over', {
  state: '{ runs, require("lib").text() }',
  before: [1, 'a'],
  after: [1, 'a'],
  arrange: async (live) => {
    await live.save({ 'lua/lib.lua': 'return nil + 1' });
  },
  edit: { 'lua/lib.lua': lib('a') },
  out: { outcomes: { 'lua/lib.lua': 'skipped' }, cleared: ['lua/lib.lua'] },
  frames: 1,
  also: (live) => assert.equal(live.property('reload-error'), ''),
});
torture('case 41: H41 an endless loop at the top level is ended and taken back', {
  options: ['--time-limit', '300ms'],
  paths: ['text()'],
  state: 'require("lib").text()',
  before: 'a',
  after: 'a',
  edit: {
    'lua/lib.lua': `
      while true do end
      ${lib('b')}
    `,
  },
  out: { outcomes: { 'lua/lib.lua': 'failed' }, failures: [/lua\/lib\.lua:2:.*time/] },
  frames: 1,
  mended: { 'lua/lib.lua': lib('c') },
  then: 'c',
});
torture('case 42: H64 one file of a burst fails: the others are taken up in the same frame', {
  files: {
    'lua/good.lua': 'return { n = 1 }',
    'lua/main.lua': app(
      'n = 0',
      `
        local lib, good = require("lib"), require("good")
        function App:text() return lib.text() end
        function App:good() return good.n end
      `,
    ),
  },
  paths: ['text()', 'good()'],
  state: `{ ${APP}:text(), ${APP}:good() }`,
  before: ['a', 1],
  after: ['a', 2],
  edit: { 'lua/lib.lua': 'return {', 'lua/good.lua': 'return { n = 2 }' },
  done: (r) => r.files.length === 2,
  out: { outcomes: { 'lua/lib.lua': 'failed', 'lua/good.lua': 'ok' }, failures: [/lua\/lib\.lua:1:/] },
  frames: 1,
  shows: { 3: 2 },
});
torture('case 42b: H64 a file of a burst fails: what requires it runs with its old version, and the record says so', {
  paths: ['text()'],
  state: `{ ${APP}:text(), runs }`,
  before: ['a', 1],
  after: ['a', 2],
  edit: (live) => live.write({ 'lua/lib.lua': 'return {', 'lua/main.lua': `${MAIN}-- edited\n` }),
  done: (r) => r.files.length === 2,
  out: {
    outcomes: { 'lua/lib.lua': 'failed', 'lua/main.lua': 'ok' },
    details: /^with the old version of lua\/lib\.lua$/m,
    failures: [/lua\/lib\.lua:1:/],
  },
  frames: 1,
});
torture('case 43: H62 H68 a dispose hook fails: the reload goes on and says so', {
  files: { 'lua/lib.lua': lib('a', 'session:onDispose(function() error("hook") end)\n') },
  paths: ['text()'],
  state: 'require("lib").text()',
  before: 'a',
  after: 'b',
  edit: { 'lua/lib.lua': lib('b') },
  out: { ...LIB_OK, details: /dispose hooks called, 1 failed/ },
  frames: 1,
  shows: { 2: 'b' },
});
torture('case 44: H41 L100 mutate loops without end for one instance: it is ended, the reload stands', {
  options: ['--time-limit', '300ms'],
  files: main('old = 0'),
  paths: ['say()'],
  state: `type(${APP}.say)`,
  before: 'nil',
  after: 'function',
  edit: main('young = 0', `
    ${says('in force')}
    function App:mutate() while true do end end
  `),
  out: { ...MAIN_OK, details: /App \+1 -1 fields/ },
  frames: 1,
  shows: { 2: 'in force' },
});

/* --- what goes on meanwhile --- */

const FIRES_ONCE = `
  fired, flag = fired or 0, flag or false
  if not session.reloading then
    session:setTimeout(function()
      fired = fired + 1
      flag = session.reloading
    end, 300)
  end
`;

torture('case 45: H57 H43 a save with timers pending: they fire once, with the flag down', {
  files: {
    'lua/main.lua': app('n = 0', '', FIRES_ONCE),
  },
  /* On a machine that is busy the timer fires before the save. */
  paths: ['n'],
  state: '{ fired <= 1, flag }',
  before: [true, false],
  after: [true, false],
  edit: {
    'lua/main.lua': app('n = 5', '', FIRES_ONCE),
  },
  out: { ...MAIN_OK, details: /defaults changed/ },
  frames: 1,
  shows: { 2: 5 },
  also: async (live) => {
    await until(async () => (await live.eval('return fired')) > 0, 'the timer');
    assert.deepEqual(await live.eval('return { fired, flag }'), [1, false]);
  },
});

torture('case 46: H42 H39 a save during a running action waits for its end', {
  options: ['--time-limit', '0'],
  paths: ['text()'],
  arrange: async (live) => {
    await live.eval(`
      gate = "${live.file('gate')}"
      function App:slow()
        self.seen = self:text()
        io.open(gate .. "-in", "w"):close()
        while not io.open(gate) do end
        self.seen = self.seen .. self:text()
      end
      return true
    `);
  },
  state: `${APP}.seen or ""`,
  before: '',
  after: 'aa',
  edit: async (live) => {
    live.page.create(40, 'slow()', { access: 'action' });
    live.page.send({ userEvent: true, messages: [{ type: 'update', data: { varId: 40, value: null } }] });
    await live.appears('gate-in');
    await live.handedOut(() => live.write({ 'lua/lib.lua': lib('b') }));
    live.write({ gate: '' });
  },
  out: LIB_OK,
  frames: 1,
  shows: { 2: 'b' },
});
torture('case 47: H67 what the module keeps outlives the edit', {
  files: { 'lua/lib.lua': lib('a', 'box = session:keep("box", { n = 1 })\n') },
  arrange: 'box.n = 5; was = box',
  state: '{ box.n, rawequal(was, box) }',
  before: [5, true],
  after: [5, true],
  edit: { 'lua/lib.lua': lib('a', 'box = session:keep("box", { n = 2 })\n') },
  out: LIB_OK,
  frames: 0,
});
torture('case 48: H54 instances that the new text makes at load time are migrated with the others', {
  files: main('old = 1'),
  state: `{ ${APP}.young or false, extra and extra.young or false }`,
  before: [false, false],
  after: ['old', 'old'],
  edit: main('young = EMPTY', `
    extra = session:create(App, {})
    function App:mutate() self.young = "old" end
  `),
  out: { ...MAIN_OK, details: /2 instances migrated/ },
  frames: 0,
});
torture('case 49: H34 H33 two sessions, one of which has loaded the file', {
  files: { 'lua/extra.lua': 'word = "one"' },
  arrange: async (live) => {
    await live.server.session();
    await live.eval('require("extra") return true', '1');
  },
  state: 'word',
  before: 'one',
  after: 'two',
  edit: { 'lua/extra.lua': 'word = "two"' },
  out: ok('lua/extra.lua'),
  frames: 0,
  also: async (live, { record }) => {
    assert.equal(record.sessions, 1);
    assert.equal(await live.eval('return tostring(word)', '2'), 'nil');
  },
});
