/** A temporary site served by the real binary. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const BINARY = path.resolve(process.env.LSESS ?? path.join(ROOT, 'build/lsess'));

/** False where the program has not been built; tests are skipped then. */
export const built = existsSync(BINARY);

export class Site {
  /** @param {Record<string, string>} files by path in the site @param {{template?: string}} [options] */
  static async create(files, { template } = {}) {
    const site = new Site();
    site.folder = await mkdtemp(path.join(tmpdir(), 'lsess-browser-'));
    if (template) await cp(path.join(ROOT, 'templates/sites', template), site.folder, { recursive: true });
    for (const [name, text] of Object.entries(files)) await site.write(name, text);
    return site;
  }

  /** Writes a file of the site, as an editor would. */
  async write(name, text) {
    const file = path.join(this.folder, name);
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, text);
  }

  /** Starts the server and resolves when it accepts connections. */
  async start(port = 0) {
    const socket = path.join(this.folder, '..', `${path.basename(this.folder)}.sock`);
    const args = ['serve', this.folder, '--port', String(port), '--watch', '--json-log', '--socket', socket, ...(port ? ['--strict-port'] : [])];
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

  async stop(signal = 'SIGTERM') {
    const { process: child } = this;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((done) => child.once('exit', done));
    child.kill(signal);
    await gone;
  }

  async remove() {
    await this.stop('SIGKILL');
    await rm(this.folder, { recursive: true, force: true });
  }
}
