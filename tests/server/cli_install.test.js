/** make install, uninstall and dist (cli.md C7). */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import { program } from './lib.js';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const folder = () => mkdtempSync(path.join(os.tmpdir(), 'lsess-install-'));
const make = (args, cwd = root) =>
  execFileSync('make', ['-s', '--no-print-directory', ...args], {
    cwd,
    encoding: 'utf8',
    env: { ...process.env, MAKEFLAGS: '', MFLAGS: '' },
  });

function files(dir, below = '') {
  return readdirSync(path.join(dir, below), { withFileTypes: true }).flatMap((entry) =>
    (entry.isDirectory() ? files(dir, path.join(below, entry.name)) : [path.join(below, entry.name)])).sort();
}

test('C7 install puts program, pages and completions below DESTDIR and PREFIX; uninstall takes them away', () => {
  const place = folder();
  const args = [`B=${path.dirname(program)}`, `DESTDIR=${place}`, 'PREFIX=/opt/lsess'];
  make(['install', ...args]);
  const base = path.join(place, 'opt/lsess');
  assert.deepEqual(readdirSync(place), ['opt'], 'nothing outside of it');
  const pages = readdirSync(path.join(root, 'man'))
    .filter((name) => /\.[157]$/.test(name))
    .map((name) => `share/man/man${name.at(-1)}/${name}`);
  assert.ok(pages.length >= 15);
  assert.deepEqual(
    files(base),
    [
      'bin/lsess',
      ...pages,
      'share/bash-completion/completions/lsess',
      'share/fish/vendor_completions.d/lsess.fish',
      'share/zsh/site-functions/_lsess',
    ].sort(),
  );
  assert.equal(statSync(path.join(base, 'bin/lsess')).mode & 0o777, 0o755);
  assert.equal(statSync(path.join(base, 'share/man/man1/lsess.1')).mode & 0o777, 0o644);
  assert.match(execFileSync(path.join(base, 'bin/lsess'), ['version'], { encoding: 'utf8' }), /^lsess \d/);
  assert.match(
    execFileSync('mandoc', ['-Tascii', path.join(base, 'share/man/man1/lsess-unload.1')], { encoding: 'utf8' }),
    /unload modules from live sessions/,
  );
  make(['uninstall', ...args]);
  assert.deepEqual(files(place), []);
});

test('C7 the installed program is one file: it runs without anything beside it', () => {
  const place = folder();
  make(['install', `B=${path.dirname(program)}`, `DESTDIR=${place}`, 'PREFIX=/usr']);
  const { status, stdout } = spawnSync(path.join(place, 'usr/bin/lsess'), ['new', '--list'], { cwd: place, encoding: 'utf8', env: {} });
  assert.equal(status, 0);
  assert.match(stdout, /^blank /);
});

test(
  'C7 dist makes the same archive from the same commit, wherever it is checked out',
  { skip: !existsSync(path.join(root, '.git')) },
  () => {
    const [one, two, near, far] = [folder(), folder(), path.join(folder(), 'clone'), path.join(folder(), 'other')];
    execFileSync('git', ['clone', '-q', root, near]);
    execFileSync('git', ['clone', '-q', near, far]);
    const first = readFileSync(make(['dist', `B=${one}`], near).trim());
    const second = readFileSync(make(['dist', `B=${two}`], far).trim());
    assert.ok(first.length > 100000);
    assert.ok(first.equals(second), 'byte for byte');
    const names = execFileSync('tar', ['tzf', '-'], { input: first, encoding: 'utf8', maxBuffer: 1 << 26 }).split('\n');
    for (const name of ['Makefile', 'README.md', 'cmd/lsess/main.c', 'man/lsess.1', 'cmd/lsess/completion/_lsess'])
      assert.ok(
        names.some((n) => n.endsWith(`/${name}`) && /^lsess-[\d.]+\//.test(n)),
        name,
      );
    assert.ok(!names.some((n) => n.includes('node_modules') || n.includes('/build/')));
  },
);
