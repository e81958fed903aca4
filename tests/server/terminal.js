/** A pseudo-terminal to type into: tmux with a server of its own, nothing of the user's configuration, waiting on what the screen shows. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { until } from './lib.js';

export class Terminal {
  static count = 0;

  /** A plain shell in a folder, with a home of its own. */
  constructor({ cwd = os.tmpdir(), env = {}, columns = 100, rows = 40 } = {}) {
    this.home = mkdtempSync(path.join(os.tmpdir(), 'lsess-home-'));
    this.name = `lsess-test-${process.pid}-${Terminal.count++}`;
    const settings = {
      HOME: this.home,
      PS1: '$ ',
      LANG: 'C.UTF-8',
      LC_ALL: 'C.UTF-8',
      TERM: 'screen',
      HISTFILE: '/dev/null',
      XDG_STATE_HOME: path.join(this.home, 'state'),
      ...env,
    };
    this.tmux('-f', '/dev/null', 'new-session', '-d', '-x', String(columns), '-y', String(rows), '-c', cwd,
      'env', ...Object.entries(settings).map(([name, value]) => `${name}=${value}`), 'bash', '--norc', '--noprofile');
  }

  tmux(...args) {
    return execFileSync('tmux', ['-L', this.name, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  }

  /** Letters as they are, without Enter. */
  type(text) {
    this.tmux('send-keys', '-l', text);
  }

  /** Keys by tmux's names: Enter, Tab, Up, C-c. */
  press(...keys) {
    this.tmux('send-keys', ...keys);
  }

  line(text) {
    if (text) this.type(text);
    this.press('Enter');
  }

  resize(columns, rows) {
    this.tmux('resize-window', '-x', String(columns), '-y', String(rows));
  }

  /** The lines on the screen, without the empty ones at its end. */
  screen() {
    return this.tmux('capture-pane', '-p').trimEnd();
  }

  /** Wait until the screen matches; its text. */
  async shows(pattern, ms = 20000) {
    let screen = '';
    await until(() => {
      screen = this.screen();
      return pattern.test(screen);
    }, `${pattern} on the screen`, ms).catch((problem) => {
      throw new Error(`${problem.message}; it shows:\n${screen}`);
    });
    return screen;
  }

  clear() {
    this.tmux('send-keys', '-R');
    this.tmux('clear-history');
  }

  close() {
    spawnSync('tmux', ['-L', this.name, 'kill-server']);
    // What ran in it may write a last word while it ends; rm goes by what is there when it looks.
    while (spawnSync('rm', ['-rf', this.home]).status !== 0);
  }
}
