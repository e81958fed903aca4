/** lsess new (cli.md C1, C6): each template makes a site that runs as it is. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { Program, program, until } from './lib.js';

const TEMPLATES = ['blank', 'contacts', 'dashboard', 'tasks'];

const folder = () => mkdtempSync(path.join(os.tmpdir(), 'lsess-new-'));
const run = (args, options = {}) => spawnSync(program, args, { encoding: 'utf8', timeout: 60000, ...options });

/** Every path below a folder, links as "name -> target". */
function tree(dir, below = '') {
  return readdirSync(path.join(dir, below), { withFileTypes: true }).flatMap((entry) => {
    const name = path.join(below, entry.name);
    if (entry.isSymbolicLink()) return [`${name} -> ${readlinkSync(path.join(dir, name))}`];
    return entry.isDirectory() ? tree(dir, name) : [name];
  }).sort();
}

test('C6 --list names the templates with a line each, also for programs', () => {
  const { status, stdout } = run(['new', '--list']);
  assert.equal(status, 0);
  assert.deepEqual(stdout.trimEnd().split('\n').map((line) => line.split(/ +/)[0]), TEMPLATES);
  for (const line of stdout.trimEnd().split('\n')) assert.match(line, /^\w+ +[A-Z][^*`]{20,}$/);
  const list = JSON.parse(run(['new', '-l', '--json']).stdout);
  assert.deepEqual(list.map((entry) => entry.name), TEMPLATES);
  for (const { summary } of list) assert.ok(summary.length > 20);
});

for (const template of TEMPLATES) {
  test(`C6 the template ${template}: complete, checked, lint-clean, and the two commands that it prints work`, async () => {
    const dir = folder();
    const { status, stdout, stderr } = run(['new', '--template', template, 'mine'], { cwd: dir });
    assert.deepEqual([status, stderr], [0, '']);
    const commands = stdout.split('\n').filter((line) => line.startsWith('  ')).map((line) => line.trim());
    assert.deepEqual(commands, ['cd mine', 'lsess serve --watch']);
    const site = path.join(dir, 'mine');
    const files = tree(site);
    for (const name of [
      'README.md',
      '.luarc.json',
      '.luacheckrc',
      'html/index.html',
      'lua/main.lua',
      '.lsess/meta/lsess.lua',
    ])
      assert.ok(files.includes(name), `${name} in ${files}`);
    assert.ok(files.some((name) => name.endsWith('.DEFAULT.html')), 'a viewdef');
    assert.ok(!files.includes('.links'), 'how links are made is not shown');
    const library = JSON.parse(readFileSync(path.join(site, '.luarc.json'), 'utf8'));
    assert.ok(JSON.stringify(library).includes('.lsess/meta'), 'the definitions are found');
    const checked = run(['check'], { cwd: site });
    assert.equal(checked.status, 0, checked.stdout);
    const lint = spawnSync('luacheck', ['-q', '.'], { cwd: site, encoding: 'utf8' });
    assert.equal(lint.status, 0, lint.stdout);
    const server = new Program([...commands[1].split(' ').slice(1), '--port', '0', '--json-log'], {
      cwd: site,
      env: { XDG_RUNTIME_DIR: folder() },
    });
    const ready = await until(() => server.events('ready')[0], 'the start');
    const page = await fetch(ready.url);
    assert.equal(page.status, 200);
    assert.match(await page.text(), /ui-app/);
    server.child.kill('SIGTERM');
    assert.equal((await server.result(20000)).code, 0, server.output);
  });
}

test('C6 tasks is an app that is linked into lua and viewdefs', () => {
  const dir = path.join(folder(), 'site');
  assert.equal(run(['new', '-t', 'tasks', dir]).status, 0);
  const links = tree(dir).filter((name) => name.includes(' -> '));
  assert.deepEqual(links, [
    'lua/tasks -> ../apps/tasks',
    'lua/tasks.lua -> ../apps/tasks/app.lua',
    'viewdefs/tasks -> ../apps/tasks/viewdefs',
  ]);
  for (const link of links) assert.ok(existsSync(path.join(dir, link.split(' -> ')[0])), `${link} leads somewhere`);
});

test('C6 the default is blank; an empty folder and a path of several parts may be filled', () => {
  const dir = folder();
  mkdirSync(path.join(dir, 'empty'));
  assert.equal(run(['new', path.join(dir, 'empty')]).status, 0);
  assert.equal(run(['new', '--template=blank', path.join(dir, 'a/b/c')]).status, 0);
  assert.deepEqual(tree(path.join(dir, 'empty')), tree(path.join(dir, 'a/b/c')));
  assert.equal(run(['new', '.'], { cwd: folder() }).status, 0);
});

test('C6 the printed commands work for any name', () => {
  for (const name of ["it's a site", '-dash', '$HOME', 'grüße', 'a;b']) {
    const dir = folder();
    const { status, stdout } = run(['new', '--', name], { cwd: dir });
    assert.equal(status, 0, name);
    const [cd] = stdout.split('\n').filter((line) => line.startsWith('  '));
    const there = spawnSync('sh', ['-c', `${cd} && pwd`], { cwd: dir, encoding: 'utf8' });
    assert.equal(there.stdout, `${path.join(dir, name)}\n`, cd);
  }
});

test('C6 a folder that holds something, a file, or a link to nothing is left alone: one line, status 1', () => {
  const dir = folder();
  mkdirSync(path.join(dir, 'full'));
  writeFileSync(path.join(dir, 'full', '.hidden'), 'mine');
  writeFileSync(path.join(dir, 'file'), 'mine');
  symlinkSync('nowhere', path.join(dir, 'dangling'));
  for (const [name, text] of [['full', /not empty/], ['file', /no folder/], ['dangling', /no folder/]]) {
    const { status, stdout, stderr } = run(['new', name], { cwd: dir });
    assert.deepEqual([status, stdout], [1, ''], name);
    assert.match(stderr, text);
    assert.equal(stderr.trim().split('\n').length, 1);
  }
  assert.deepEqual(readdirSync(path.join(dir, 'full')), ['.hidden']);
  assert.equal(readFileSync(path.join(dir, 'file'), 'utf8'), 'mine');
  assert.ok(lstatSync(path.join(dir, 'dangling')).isSymbolicLink());
});

test('C6 an empty name is none: nothing is written to where one is', () => {
  const cwd = folder();
  const { status, stderr } = run(['new', ''], { cwd });
  assert.deepEqual([status, readdirSync(cwd)], [2, []]);
  assert.match(stderr, /name the folder/);
});

test('C6 an unknown template is a usage error with a suggestion; a folder that cannot be written to is one line', () => {
  const near = run(['new', '-t', 'task', path.join(folder(), 'x')]);
  assert.equal(near.status, 2);
  assert.match(near.stderr, /no template "task"; did you mean tasks\?/);
  assert.match(run(['new', '-t', 'zzz', path.join(folder(), 'x')]).stderr, /no template "zzz"; --list names them/);
  const file = path.join(folder(), 'file');
  writeFileSync(file, '');
  const { status, stderr } = run(['new', path.join(file, 'below')]);
  assert.equal(status, 1);
  assert.equal(stderr.trim().split('\n').length, 1, stderr);
});
