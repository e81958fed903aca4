/** A temporary site served by the real binary. */
import { execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { withPage } from './chromium.js';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const BINARY = path.resolve(process.env.LSESS ?? path.join(ROOT, 'build/lsess'));

/** Nobody has built a program or named one. One that is named and missing fails the tests. */
export const unbuilt = !process.env.LSESS && !existsSync(BINARY) && 'the program is not built';

export class Site {
  /**
   * @param {Record<string, string>} files by path in the site
   * @param {{template?: string}} [options] what `lsess new` is to copy before
   */
  static async create(files, { template } = {}) {
    const site = new Site();
    site.parent = await mkdtemp(path.join(tmpdir(), 'lsess-browser-'));
    site.folder = path.join(site.parent, 'site');
    if (template) await promisify(execFile)(BINARY, ['new', '--template', template, site.folder]);
    else await mkdir(site.folder);
    for (const [name, text] of Object.entries(files)) await site.write(name, text);
    return site;
  }

  /** Writes a file of the site, as an editor would. */
  async write(name, text) {
    const file = path.join(this.folder, name);
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, text);
  }

  /** Starts the server and resolves when it accepts connections. @param {number} [port] @param {string[]} [options] */
  async start(port = 0, options = []) {
    const socket = path.join(this.parent, 'socket');
    const args = ['serve', this.folder, '--port', String(port), '--watch', '--json-log', '--socket', socket, ...options];
    if (port) args.push('--strict-port');
    this.process = spawn(BINARY, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.output = [];
    this.origin = await new Promise((ready, fail) => {
      this.process.once('error', fail);
      this.process.once('exit', (code) => fail(new Error(`the server ended with ${code}:\n${this.output.join('\n')}`)));
      for (const stream of [this.process.stdout, this.process.stderr]) {
        createInterface({ input: stream }).on('line', (line) => {
          this.output.push(line);
          if (line.includes('"ready"')) ready(JSON.parse(line).url.replace(/\/$/, ''));
        });
      }
    });
    this.port = Number(new URL(this.origin).port);
    return this;
  }

  /**
   * What Lua code gives in the site's only session, or in the one that is named, as the REPL prints it.
   * @param {string} code @param {string} [session]
   */
  async lua(code, session) {
    const args = ['repl', '--socket', path.join(this.parent, 'socket'), ...(session ? [session] : []), '-e', code];
    const { stdout } = await promisify(execFile)(BINARY, args);
    return stdout.trim();
  }

  /** A new Lua state for the site's only session. */
  restart() {
    return promisify(execFile)(BINARY, ['restart', '1', '--socket', path.join(this.parent, 'socket')]);
  }

  async stop(signal = 'SIGTERM') {
    const { process: child } = this;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((done) => child.once('exit', done));
    child.kill(signal);
    await gone;
  }

  async remove() {
    await this.stop('SIGKILL');
    await rm(this.parent, { recursive: true, force: true });
  }
}

/** How long one of these tests may take on a busy machine. */
const DEADLINE_MS = 60000;

/**
 * A test with a site, its server and a page. `run` gets `site`, `page`, `context` and `logs`, what the page has reported.
 * @param {string} title @param {Record<string, string>} files of the site @param {(fixture: any) => Promise<void>} run
 * @param {{viewport?: {width: number, height: number}, template?: string}} [options]
 */
export function siteTest(title, files, run, { viewport = { width: 1100, height: 750 }, ...options } = {}) {
  test(title, { timeout: DEADLINE_MS, skip: unbuilt }, async () => {
    const site = await Site.create(files, options);
    try {
      await site.start();
      await withPage(viewport, (fixture) => run({ site, ...fixture }));
    } finally {
      await site.remove();
    }
  });
}

/** Keeps a picture of the page for people. */
export async function shot(page, name) {
  const folder = process.env.LSESS_SHOTS ?? path.join(ROOT, 'build/screenshots');
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: path.join(folder, `${name}.png`), animations: 'disabled' });
}
