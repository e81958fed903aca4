/** Real proxies before the real program: each with a configuration of tests/fixtures/deploy, a folder and free ports of its own. */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { until } from '../browser/lib/until.js';

const HERE = path.dirname(fileURLToPath(import.meta.url));
const DEPLOY = path.join(HERE, '../fixtures/deploy');
/** What `.ci/deps` has unpacked; nothing of it is installed, so that no service of the machine begins. */
const UNPACKED = path.join(HERE, '../.proxies');

/** A program of the system's, or one that was unpacked. @param {string} name */
const find = (name) => ['', UNPACKED].flatMap((root) => ['sbin', 'bin'].map((folder) => `${root}/usr/${folder}/${name}`)).find(existsSync);

/** Where a program's modules are. @param {string} program @param {string} folder below lib */
const modules = (program, folder) => path.join(program.startsWith(UNPACKED) ? UNPACKED : '/', 'usr/lib', folder);

/** How each is started with its file, and how it is told to read it again. `told` is a command, where there is no signal. */
const KINDS = {
  nginx: { file: 'nginx.conf', args: (file, dir) => ['-p', dir, '-e', `${dir}/nginx.log`, '-c', file], reload: 'SIGHUP' },
  haproxy: { file: 'haproxy.cfg', args: (file) => ['-W', '-f', file], reload: 'SIGUSR2' },
  caddy: {
    file: 'Caddyfile',
    args: (file) => ['run', '--adapter', 'caddyfile', '--config', file],
    told: (file, dir) => ['reload', '--force', '--adapter', 'caddyfile', '--config', file, '--address', `unix/${dir}/caddy.sock`],
  },
  apache: { program: 'apache2', file: 'apache.conf', args: (file) => ['-DFOREGROUND', '-f', file], reload: 'SIGUSR1' },
  lighttpd: {
    file: 'lighttpd.conf', args: (file, dir, program) => ['-D', '-f', file, '-m', modules(program, 'lighttpd')], reload: 'SIGUSR1',
  },
};

/** As many ports as asked for, that were free a moment ago. @param {number} count @returns {Promise<number[]>} */
export async function freePorts(count) {
  const servers = await Promise.all(Array.from({ length: count }, () => new Promise((done) => {
    const server = net.createServer().listen(0, '127.0.0.1', () => done(server));
  })));
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  return ports;
}

const accepts = (port) => new Promise((done) => {
  const socket = net.connect(port, '127.0.0.1', () => socket.end() && done(true)).on('error', () => done(false));
});

export class Proxy {
  /** Whether there is such a program here. @param {string} kind */
  static has(kind) {
    return !!find(KINDS[kind].program ?? kind);
  }

  /**
   * @param {keyof typeof KINDS} kind
   * @param {{LSESS: number, KEPT: number, IDLE: number}} names of the configuration: ports of servers, and the idle limit in seconds
   */
  static async start(kind, names) {
    const proxy = new Proxy();
    proxy.kind = KINDS[kind];
    proxy.program = find(proxy.kind.program ?? kind);
    proxy.dir = await mkdtemp(path.join(tmpdir(), `lsess-${kind}-`));
    await chmod(proxy.dir, 0o755); // a proxy's workers are other users
    const [plain, tls] = await freePorts(2);
    const all = {
      ...names, PLAIN: plain, TLS: tls, DIR: proxy.dir,
      CERT: `${proxy.dir}/cert.pem`, KEY: `${proxy.dir}/key.pem`, PEM: `${proxy.dir}/both.pem`,
      MODULES: modules(proxy.program, 'apache2/modules'),
    };
    execFileSync('openssl', [
      'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=localhost',
      '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-keyout', all.KEY, '-out', all.CERT,
    ], { stdio: 'ignore' });
    await writeFile(all.PEM, await readFile(all.CERT, 'utf8') + await readFile(all.KEY, 'utf8'));
    proxy.file = path.join(proxy.dir, proxy.kind.file);
    const text = await readFile(path.join(DEPLOY, proxy.kind.file), 'utf8');
    await writeFile(proxy.file, text.replace(/@([A-Z]+)@/g, (whole, name) => all[name] ?? whole));
    Object.assign(proxy, { plain: `http://127.0.0.1:${plain}`, tls: `https://127.0.0.1:${tls}`, output: '' });
    const args = proxy.kind.args(proxy.file, proxy.dir, proxy.program);
    proxy.process = spawn(proxy.program, args, { stdio: ['ignore', 'pipe', 'pipe'], env: proxy.env() });
    for (const stream of [proxy.process.stdout, proxy.process.stderr]) stream.on('data', (text) => { proxy.output += text; });
    const ended = new Promise((_, fail) => {
      proxy.process.once('exit', (code) => fail(new Error(`${kind} ended with ${code}: ${proxy.output}`)));
    });
    ended.catch(() => {});
    await Promise.race([ended, until(`${kind} to accept`, async () => await accepts(plain) && accepts(tls))]);
    return proxy;
  }

  env() {
    const lib = `${UNPACKED}/usr/lib`;
    const libraries = existsSync(lib) ? readdirSync(lib).filter((name) => name.endsWith('-linux-gnu')).map((name) => `${lib}/${name}`) : [];
    return { ...process.env, LD_LIBRARY_PATH: libraries.join(':'), HOME: this.dir, XDG_CONFIG_HOME: this.dir, XDG_DATA_HOME: this.dir };
  }

  /** Lets it read its configuration anew, as an administrator does who has added a site. */
  reload() {
    if (this.kind.reload) this.process.kill(this.kind.reload);
    else execFileSync(this.program, this.kind.told(this.file, this.dir), { env: this.env(), stdio: 'ignore' });
  }

  async stop() {
    if (this.process.exitCode === null && this.process.signalCode === null) {
      const gone = new Promise((done) => this.process.once('exit', done));
      this.process.kill('SIGTERM');
      const timer = setTimeout(() => this.process.kill('SIGKILL'), 3000);
      await gone;
      clearTimeout(timer);
    }
    await rm(this.dir, { recursive: true, force: true });
  }
}
