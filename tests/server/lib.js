/** What the black-box tests share: a temporary site, the real program on port 0, raw HTTP, WebSockets and the control
 * socket, waiting on conditions. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';
import WebSocket from 'ws';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
export const program = path.resolve(root, process.env.B ?? 'build', 'lsess');

/** A deadline around a promise: nothing may hang a test. */
export function within(ms, promise, what = 'it') {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not happen within ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Wait until `condition` gives something true; asks again whenever the event loop has turned. */
export async function until(condition, what = 'the condition', ms = 15000) {
  const end = performance.now() + ms;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (performance.now() > end) throw new Error(`${what} did not come true within ${ms} ms`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** A folder with files: { 'lua/main.lua': 'text' }. */
export function makeSite(files) {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'lsess-test-'));
  writeSite(dir, files);
  return dir;
}

export function writeSite(dir, files) {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(dir, name)), { recursive: true });
    writeFileSync(path.join(dir, name), text);
  }
}

export const APP = `
App = session:prototype("App", { name = "North", count = 0 })
function App:bump() self.count = self.count + 1 end
function App:spin() while true do end end
function App:sleep() os.execute("sleep 1") end
function App:big()
  self.count = self.count + 1
  self.name = self.count .. string.rep("x", 4 * 1024 * 1024)
end
session:createAppVariable(session:create(App, {}))
`;

/* What a test started and, because it failed, did not come to end would keep its file from ending. The timer leaves the
 * file's own hooks, which run after this one, their time and keeps nobody waiting. */
const running = new Set();
after(() => { setTimeout(() => running.forEach((child) => child.kill('SIGKILL')), 15000).unref(); });

/** The program with arguments, or a command that becomes it; `output` collects both streams. */
export class Program {
  constructor(args, options = {}, [command, ...before] = [program]) {
    this.output = '';
    const env = { ...process.env, ...options.env };
    this.child = spawn(command, [...before, ...args], { stdio: ['ignore', 'pipe', 'pipe'], ...options, env });
    running.add(this.child);
    this.child.on('exit', () => running.delete(this.child));
    this.child.on('error', (problem) => { this.output += String(problem); });
    this.child.stdout.on('data', (chunk) => { this.output += chunk; });
    this.child.stderr.on('data', (chunk) => { this.output += chunk; });
    this.ended = new Promise((resolve) => this.child.on('close', (code, signal) => resolve({ code, signal })));
  }

  /** Records of the log with that name, of lines that have come wholly. */
  events(name) {
    return this.output
      .split('\n')
      .slice(0, -1)
      .filter((line) => line.startsWith('{') && line.includes(`"event":"${name}"`))
      .map((line) => JSON.parse(line));
  }

  /** Exit status and all output. */
  async result(ms = 20000) {
    const { code, signal } = await within(ms, this.ended, 'the end of the program').catch((problem) => {
      this.child.kill('SIGKILL');
      throw problem;
    });
    return { code, signal, output: this.output };
  }
}

export class Server {
  /** Serve a folder (made from `files` when it is an object) until stop(). */
  static async start(files, options = [], settings = {}) {
    const server = new Server();
    server.dir = files === null || typeof files === 'string' ? files : makeSite(files);
    server.socket = path.join(os.tmpdir(), `lsess-${path.basename(server.dir ?? 'here')}-${process.pid}-${Server.count++}.sock`);
    const dir = files === null ? [] : [server.dir];
    server.run = new Program(['serve', ...dir, '--port', '0', '--json-log', '--socket', server.socket, ...options], settings);
    server.ready = await within(20000, Promise.race([
      until(() => server.events('ready')[0], 'the ready line'),
      server.run.ended.then(() => { throw new Error(`the server ended: ${server.run.output}`); }),
    ]), 'the start');
    server.url = server.ready.url.replace(/\/$/, '');
    server.port = Number(new URL(server.url).port);
    server.pid = server.run.child.pid;
    return server;
  }

  static count = 0;

  events(name) {
    return this.run.events(name);
  }

  logs() {
    return this.events('log').map((record) => record.text);
  }

  async stop() {
    this.run.child.kill('SIGTERM');
    const { code } = await this.run.result(20000);
    rmSync(this.dir, { recursive: true, force: true });
    assert.equal(code, 0, this.run.output);
  }

  fetch(where, init = {}) {
    return within(20000, fetch(this.url + where, { redirect: 'manual', ...init }), `an answer to ${where}`);
  }

  /** A new session's id. */
  async session() {
    const response = await this.fetch('/');
    assert.equal(response.status, 302, await response.clone().text());
    return response.headers.get('location').slice(1);
  }

  /** A new session and its open page. Where sessions end after some hundred milliseconds, one may have ended before its
   * page comes: then another one. */
  async opened() {
    return until(async () => {
      const id = await this.session(), page = new Page(this, id);
      return await Promise.race([page.open.then(() => true, () => false), page.refusal.then(() => false)]) && { id, page };
    }, 'a session with a page');
  }

  /** A new session that a client has joined: it makes no room for others. */
  async joined() {
    const id = await this.session();
    assert.equal((await this.fetch(`/api/get?session=${id}`, { method: 'POST', body: '{"varIds":[1]}' })).status, 200);
    return id;
  }

  /** A request exactly as written: the answer's status, headers and body. */
  raw(text, { half = false } = {}) {
    return within(20000, new Promise((resolve, reject) => {
      const socket = net.connect(this.port, '127.0.0.1');
      let answer = Buffer.alloc(0);
      // An answer may come while the request is being written, and the end behind it.
      socket.on('error', (problem) => { if (!answer.length) reject(problem); });
      socket.on('data', (chunk) => { answer = Buffer.concat([answer, chunk]); });
      socket.on('close', () => resolve(parseAnswer(answer.toString('latin1'))));
      socket.write(text);
      if (!half) socket.end();
    }), 'a raw answer');
  }

  get(where, headers = {}, method = 'GET') {
    const lines = Object.entries({ Host: `127.0.0.1:${this.port}`, Connection: 'close', ...headers }).filter(([, value]) => value !== null)
      .map(([name, value]) => `${name}: ${value}\r\n`).join('');
    return this.raw(`${method} ${where} HTTP/1.1\r\n${lines}\r\n`);
  }

  /** An open page of a session. */
  async page(id, options = {}) {
    return new Page(this, id, options).opened();
  }

  control() {
    return new Control(this.socket);
  }
}

function parseAnswer(text) {
  const end = text.indexOf('\r\n\r\n');
  const [first, ...lines] = text.slice(0, end < 0 ? text.length : end).split('\r\n');
  const headers = {};
  for (const line of lines) {
    const name = line.slice(0, line.indexOf(':')).toLowerCase(), value = line.slice(line.indexOf(':') + 1).trim();
    headers[name] = name in headers ? `${headers[name]}, ${value}` : value;
  }
  return { status: Number(first.split(' ')[1]), headers, body: end < 0 ? '' : text.slice(end + 4) };
}

export class Page {
  constructor(server, id, { headers = {}, path: where = `/ws/${id}` } = {}) {
    this.frames = [];
    /* A browser says whose page it is. */
    this.socket = new WebSocket(server.url.replace('http', 'ws') + where, {
      headers: { Origin: server.url, ...headers },
      rejectUnauthorized: false,
    });
    this.socket.on('message', (data) => this.frames.push(data.toString()));
    this.refusal = new Promise((resolve) => {
      this.socket.on('unexpected-response', (request, response) => {
        let body = '';
        response.on('data', (chunk) => { body += chunk; });
        response.on('end', () => resolve({ status: response.statusCode, body }));
        response.on('error', () => resolve({ status: response.statusCode, body }));
      });
    });
    this.closed = new Promise((resolve) => this.socket.on('close', (code) => resolve(code)));
    this.open = new Promise((resolve, reject) => {
      this.socket.on('open', resolve);
      this.socket.on('error', (problem) => {
        this.problem = problem;
        reject(problem);
      });
    });
    this.open.catch(() => {});
  }

  async opened() {
    await within(20000, this.open, 'the WebSocket');
    return this;
  }

  send(message) {
    this.socket.send(typeof message === 'string' || Buffer.isBuffer(message) ? message : JSON.stringify(message));
  }

  /** Every message so far, frames taken apart. */
  messages() {
    return this.frames.flatMap((frame) => JSON.parse(frame));
  }

  /** The first message, from the `from`-th on, that `match` accepts. */
  message(match, ms = 15000) {
    return until(() => this.messages().find(match), 'a message', ms);
  }

  /** Send a batch and give what it is answered with, in order. The batch ends with an empty `get`, whose answer says
   * that everything is there (P59, P65). */
  async ask(messages, userEvent = true) {
    const from = this.frames.length;
    const isEnd = (m) => m.type === 'get' && m.data.variables.length === 0;
    const since = () => this.frames.slice(from).flatMap((frame) => JSON.parse(frame));
    this.send({ userEvent, messages: [messages, { type: 'get', data: { varIds: [] } }].flat() });
    await until(() => since().some(isEnd), 'the answer to a batch', 20000);
    return since().filter((m) => !isEnd(m));
  }

  watchApp() {
    this.send({ userEvent: true, messages: [{ type: 'watch', data: { varId: 1 } }] });
    return this.message((m) => m.type === 'update' && m.data.varId === 1 && m.data.value);
  }

  create(id, where, more = {}) {
    this.send({ userEvent: true, messages: [{ type: 'create', data: { id, parentId: 1, properties: { path: where, ...more } } }] });
  }

  /** Milliseconds of one action and the update it causes; variables 2 (count) and 3 (bump()) exist after the first. */
  async eventTime() {
    if (!this.ready) {
      await this.watchApp();
      this.create(2, 'count');
      await this.message((m) => m.data?.varId === 2);
      this.create(3, 'bump()', { access: 'action' });
      this.ready = true;
    }
    const before = this.frames.length;
    const begun = performance.now();
    this.send({ userEvent: true, messages: [{ type: 'update', data: { varId: 3, value: null } }] });
    await within(15000, new Promise((resolve) => {
      const look = () =>
        this.frames.slice(before).some((f) => f.includes('"varId":2'))
          ? resolve()
          : this.socket.once('message', () => queueMicrotask(look));
      look();
    }), 'the update of an event');
    return performance.now() - begun;
  }

  /** The session of this page has nothing to do with what goes on, and each of its events is answered as if nothing
   * did. One that is held up waits for three seconds or for ever; a loaded machine takes some hundred milliseconds. A
   * time in which this process itself stood still does not count. */
  async goesOn(events = 5) {
    let still = 0, last = performance.now();
    const timer = setInterval(() => {
      const now = performance.now();
      if (now - last > 500) still += now - last;
      last = now;
    }, 50);
    try {
      for (let i = 0; i < events; i++) {
        const before = still;
        const took = await this.eventTime();
        await new Promise((next) => setTimeout(next, 1)); // a timer that is due runs before it
        assert.ok(took - (still - before) < 2000, `an event of another session took ${took} ms`);
      }
    } finally {
      clearInterval(timer);
    }
  }

  close(code = 1000) {
    this.socket.close(code);
    return within(20000, this.closed, 'the close');
  }
}

/** A connection to the control socket. */
export class Control {
  constructor(socketPath) {
    this.lines = [];
    this.rest = '';
    this.next = 1;
    this.socket = net.connect(socketPath);
    this.socket.on('data', (chunk) => {
      this.rest += chunk;
      const parts = this.rest.split('\n');
      this.rest = parts.pop();
      this.lines.push(...parts.map((line) => JSON.parse(line)));
    });
    this.socket.on('error', () => {});
    this.ended = new Promise((resolve) => this.socket.on('close', resolve));
  }

  write(text) {
    this.socket.write(text);
  }

  /** The answer to a request; `fields` may hold an id. */
  call(cmd, fields = {}) {
    const id = fields.id ?? this.next++;
    this.write(`${JSON.stringify({ id, cmd, ...fields })}\n`);
    return this.answer(id);
  }

  answer(id, ms = 15000) {
    return until(() => this.lines.find((line) => line.id === id && 'ok' in line), `an answer to ${id}`, ms);
  }

  events(id) {
    return this.lines.filter((line) => line.id === id && line.event);
  }

  close() {
    this.socket.destroy();
  }
}
