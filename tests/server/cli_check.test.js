/** lsess check (cli.md C1, C6): each kind of finding with its place, nothing found where nothing is wrong, --json, exit statuses. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, symlinkSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { makeSite, program } from './lib.js';

const fixtures = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../fixtures/sites');

const MAIN = `local Item = require("item")
App = session:prototype("App", { name = "", items = EMPTY })
function App:size() return #self.items end
function App:add() table.insert(self.items, Item:new()) end
if not session:getApp() then session:createAppVariable(App:new()) end
`;
const ITEM = `
local Item = session:prototype("Item", { title = "" })
function Item:go() end
return Item
`;
const VIEW = '<template>\n  <b ui-value="name"></b>\n  <p ui-view="items?wrapper=lua.ViewList"></p>\n</template>\n';
const GOOD = {
  'lua/main.lua': MAIN,
  'lua/item.lua': ITEM,
  'viewdefs/App.DEFAULT.html': VIEW,
  'viewdefs/Item.list-item.html': '<template><b ui-value="title"></b></template>',
};

const check = (dir, ...args) => spawnSync(program, ['check', dir, ...args], { encoding: 'utf8', timeout: 20000 });

/** The same findings as lines and as JSON; the site is the good one with `files` laid over it. */
function findings(files) {
  const dir = makeSite({ ...GOOD, ...files });
  const plain = check(dir), json = check(dir, '--json');
  const found = JSON.parse(json.stdout);
  assert.equal(plain.status, found.length ? 1 : 0, plain.stdout);
  assert.equal(json.status, plain.status);
  assert.equal(json.stderr, '', 'one document and nothing beside it');
  const place = ({ file, line }) => (line ? `${file}:${line}` : file);
  const lines = found.map((one) => `${place(one)}: ${one.message}${one.related ? ` (${place(one.related)})` : ''}\n`);
  if (found.length) assert.equal(plain.stdout, lines.join(''));
  for (const { file } of found) assert.ok(!path.isAbsolute(file), file);
  return lines.map((line) => line.trimEnd());
}

/** A view of App with one line of markup, its second. */
const view = (markup) => ({ 'viewdefs/App.DEFAULT.html': `<template>\n  ${markup}\n</template>\n` });

test('C1 a site that is right: what was read, exit status 0, [] for programs', () => {
  const dir = makeSite(GOOD);
  const { status, stdout, stderr } = check(dir);
  assert.deepEqual([status, stdout, stderr], [0, '2 Lua files, 2 views: nothing is wrong\n', '']);
  assert.equal(check(dir, '--json').stdout, '[]\n');
  assert.equal(check(makeSite({ 'lua/main.lua': '' })).stdout, '1 Lua file, 0 views: nothing is wrong\n');
});

test('C1 sites written in every idiom have no finding', () => {
  const sites = readdirSync(fixtures);
  assert.ok(sites.length > 0);
  for (const name of sites) {
    const { status, stdout, stderr } = check(path.join(fixtures, name));
    assert.equal(status, 0, `${name}: ${stdout}${stderr}`);
  }
});

test('C1 Lua that does not compile, that raises, and requires that find nothing', () => {
  assert.deepEqual(findings({ 'lua/broken.lua': 'local a = 1\nlocal x = = 1\n' }), ["lua/broken.lua:2: unexpected symbol near '='"]);
  assert.deepEqual(findings({
    'lua/main.lua': `
      ${MAIN}
      local x = {}
      x.y.z = 2
    `,
  }), ["lua/main.lua:9: attempt to index a nil value (field 'y')"]);
  const late = `
    -- require("commented")
    local text = "require('quoted')"
    return function()
      local function own(require) return require("named so"), text.require("a field") end
      return require[[gone]], own
    end
  `;
  assert.deepEqual(findings({ 'lua/late.lua': late }), ['lua/late.lua:6: require("gone") finds no file.']);
  const dead = findings({
    'lua/main.lua': `
      require("item")
      require("gone")
      ${MAIN}
    `,
  });
  assert.ok(dead.includes('lua/main.lua:3: require("gone") finds no file.'), dead.join('\n'));
  const endless = check(makeSite({
    'lua/main.lua': `
      local n = 0
      while true do n = n + 1 end
    `,
  }));
  assert.equal(endless.status, 1);
  assert.match(endless.stdout, /^lua\/main\.lua:3: .*5000 ms/);
});

test('C1 a path that names no field or method of the type: the line of the view and the file of the prototype', () => {
  assert.deepEqual(findings(view('<b ui-value="nam"></b>')), [
    'viewdefs/App.DEFAULT.html:2: ui-value="nam": type App has no field or method "nam". (lua/main.lua:2)',
  ]);
  const comment = { ...view('<b ui-value="nam"></b>'), 'lua/main.lua': `-- 'App' had a nam\n${MAIN}` };
  assert.deepEqual(findings(comment), [
    'viewdefs/App.DEFAULT.html:2: ui-value="nam": type App has no field or method "nam". (lua/main.lua:3)',
  ]);
  assert.deepEqual(findings(view('<b ui-action="ad()"></b>')), [
    'viewdefs/App.DEFAULT.html:2: ui-action="ad()": type App has no method "ad". (lua/main.lua:2)',
  ]);
  assert.deepEqual(findings(view('<b ui-event-click="nothing()"></b>')), [
    'viewdefs/App.DEFAULT.html:2: ui-event-click="nothing()": type App has no method "nothing". (lua/main.lua:2)',
  ]);
  assert.deepEqual(findings({ 'viewdefs/Item.list-item.html': '<template>\n\n<b ui-class-on="titel"></b></template>' }),
    ['viewdefs/Item.list-item.html:3: ui-class-on="titel": type Item has no field or method "titel". (lua/item.lua:2)']);
  for (const fine of [
    'ui-value="size()"',
    'ui-value="name?keypress"',
    'ui-value=""',
    'ui-value="items.1.anything"',
    'ui-code="size()"',
    'ui-event-keypress-enter="add()"',
  ])
    assert.deepEqual(findings(view(`<b ${fine}></b>`)), [], fine);
});

test('C1 paths and access words that do not parse', () => {
  assert.deepEqual(findings(view('<b ui-value="name..x"></b>')), [
    'viewdefs/App.DEFAULT.html:2: ui-value="name..x": the path has an empty step',
  ]);
  assert.deepEqual(findings(view('<b ui-value="name?access=all"></b>')),
    ['viewdefs/App.DEFAULT.html:2: ui-value="name?access=all": access=all is no access mode (r, w, rw, action).']);
  assert.deepEqual(findings(view('<b ui-value="size()?access=w"></b>')), [
    'viewdefs/App.DEFAULT.html:2: ui-value="size()?access=w": access=w does not go with a path that ends in ().',
  ]);
});

test('C1 viewdefs that are not one well-formed template', () => {
  const item = (text) => findings({ 'viewdefs/Item.list-item.html': text });
  assert.deepEqual(item('<template>\n<b>x</b>\n'), ['viewdefs/Item.list-item.html:1: <template> is never closed.']);
  assert.deepEqual(item('<template></template>\n<template></template>\n'), [
    'viewdefs/Item.list-item.html:2: There is a second <template> element; a view file holds exactly one.',
  ]);
  assert.ok(item('<p>x</p>').includes('viewdefs/Item.list-item.html:1: There is no <template> element; a view file holds exactly one.'));
});

test('C1 viewdefs that nothing can show: no such type, a namespace that nobody names, a name without one', () => {
  const text = '<template></template>';
  assert.deepEqual(findings({ 'viewdefs/Itm.DEFAULT.html': text }), [
    'viewdefs/Itm.DEFAULT.html: There is no type Itm after main.lua has run, so nothing can show this view.',
  ]);
  assert.deepEqual(findings({ 'viewdefs/Item.card.html': text }), [
    'viewdefs/Item.card.html: Nothing names the namespace "card", so nothing can show this view.',
  ]);
  assert.deepEqual(
    findings({ 'viewdefs/Item.card.html': text, ...view('<b ui-view="items" ui-namespace="card"></b>') }),
    [],
    'named by a view',
  );
  assert.deepEqual(findings({ 'viewdefs/Item.html': text }), ['viewdefs/Item.html: A view file is named TYPE.NAMESPACE.html.']);
  assert.deepEqual(
    findings({ 'viewdefs/Boat.DEFAULT.html': text, 'lua/boat.lua': 'return { type = "Boat" }' }),
    [],
    'a type may live in a field alone',
  );
});

test('C1 two files with one key: both are named', () => {
  assert.deepEqual(findings({ 'viewdefs/sub/App.DEFAULT.html': VIEW }), [
    'viewdefs/sub/App.DEFAULT.html: Two files have the key App.DEFAULT; ' +
      'the first in the order of their paths is used. (viewdefs/App.DEFAULT.html)',
  ]);
});

test('C1 a file that a link leads to is one file, found by its own name', () => {
  const dir = makeSite({
    ...GOOD,
    'apps/x/app.lua': 'local y = = 1',
    'apps/x/viewdefs/App.small.html': '<template><b ui-value="nam"></b></template>',
    'lua/names.lua': 'return "small"',
  });
  symlinkSync('../apps/x/app.lua', path.join(dir, 'lua/x.lua'));
  symlinkSync('../apps/x/viewdefs', path.join(dir, 'viewdefs/x'));
  assert.deepEqual(
    JSON.parse(check(dir, '--json').stdout).map(({ file, line }) => `${file}:${line}`),
    ['apps/x/app.lua:1', 'apps/x/viewdefs/App.small.html:1'],
  );
});

test('C1 what is no site is one line, exit status 1', () => {
  const empty = mkdtempSync(path.join(os.tmpdir(), 'lsess-empty-'));
  mkdirSync(path.join(empty, 'src'));
  for (const [dir, text] of [
    [empty, /is not a site: it has no html/],
    [path.join(empty, 'nowhere'), /there is no folder/],
    [program, /is no folder/],
  ]) {
    const { status, stdout, stderr } = check(dir);
    assert.deepEqual([status, stdout, stderr.trim().split('\n').length], [1, '', 1], stderr);
    assert.match(stderr, text);
  }
});
