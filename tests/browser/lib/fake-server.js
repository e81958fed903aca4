/**
 * A scripted server: it serves the client as the real one does, and a test decides each message. So client rules are proved in isolation.
 * Frames of the page are kept in `frames` (F15) with the time of their arrival.
 */
import http from 'node:http';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import path from 'node:path';
import { WebSocketServer } from 'ws';
import { until } from './until.js';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const TYPES = {
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.css': 'text/css',
  '.html': 'text/html; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.json': 'application/json',
};
export const SESSION = '0123456789abcdef0123456789abcdef';

export const PAGE = `<!doctype html>
<html>
  <head>
    <meta charset="utf-8">
    <title>test</title>
    <style>.hidden { display: none }</style>
  </head>
  <body><div id="app" ui-app></div><script type="module" src="/main-1a2b3c4d.js"></script></body>
</html>`;

export class FakeServer {
  /**
   * @param {{page?: string, files?: Record<string, string>, mounts?: Record<string, string>, prefix?: string}} [options]
   */
  constructor({ page = PAGE, files = {}, mounts = {}, prefix = '' } = {}) {
    this.page = page.replace('src="/', `src="${prefix}/`);
    this.prefix = prefix; // what the addresses begin with; a proxy has the rest
    this.proxied = 0; // what a proxy answers to everything, since nobody is behind it
    this.files = files;
    this.mounts = mounts;
    this.session = SESSION;
    this.alive = true; // the session is there
    this.refuse = false; // refuses sockets
    this.down = false; // cannot be reached
    this.numbered = true; // tells with values which write it knows (R8), as if each were handled on arrival
    this.handled = new Map();
    this.writeOnly = new Set();
    this.requests = [];
    this.posted = [];
    this.sockets = [];
    this.frames = [];
    this.wss = new WebSocketServer({ noServer: true });
    this.http = http.createServer((request, response) => void this.answer(request, response));
    this.http.on('connection', (socket) => this.down && socket.destroy());
    this.http.on('upgrade', (request, socket, head) => this.upgrade(request, socket, head));
  }

  async listen(port = 0) {
    await new Promise((done) => this.http.listen(port, '127.0.0.1', done));
    this.port = this.http.address().port;
    this.origin = `http://127.0.0.1:${this.port}`;
    this.url = `${this.origin}${this.prefix}/${this.session}`;
    return this;
  }

  async close() {
    for (const socket of this.wss.clients) socket.terminate();
    this.http.closeAllConnections();
    await new Promise((done) => this.http.close(done));
  }

  async answer(request, response) {
    this.requests.push(`${request.method} ${request.url}`);
    const send = (status, type, body) => response.writeHead(status, { 'Content-Type': type, 'Cache-Control': 'no-store' }).end(body);
    if (this.proxied || !request.url.startsWith(`${this.prefix}/`)) return send(this.proxied || 404, TYPES['.html'], 'the proxy');
    const { pathname } = new URL(request.url.slice(this.prefix.length), this.origin);
    if (pathname.startsWith('/ws/')) { // whether a socket would be taken
      const mark = !this.alive || pathname !== `/ws/${this.session}` ? 'gone' : this.refuse ? 'refused' : 'ready';
      response.setHeader('X-Lsess', mark);
      const text = mark === 'refused' ? 'The server takes no further page.\n' : '';
      return send({ gone: 404, refused: 503, ready: 204 }[mark], 'text/plain', text);
    }
    if (request.method === 'POST') {
      let body = '';
      for await (const part of request) body += part;
      this.posted.push({ url: request.url, body: JSON.parse(body) });
      return send(200, 'application/json', '{"result":{}}');
    }
    if (pathname === '/favicon.ico') return send(204, 'image/x-icon', '');
    if (this.files[pathname] !== undefined) return send(200, TYPES[path.extname(pathname)] ?? TYPES['.html'], this.files[pathname]);
    if (/^\/main(-\w+)?\.js$/.test(pathname)) return this.file(send, 'templates/client/main.js');
    if (pathname.startsWith('/lsess-client/')) return this.file(send, `templates/client/${path.basename(pathname)}`);
    for (const [prefix, folder] of Object.entries(this.mounts)) {
      if (pathname.startsWith(prefix)) return this.file(send, path.join(folder, pathname.slice(prefix.length)));
    }
    const first = pathname.split('/')[1];
    if (first === this.session && this.alive) {
      response.setHeader('Set-Cookie', `ui-session=${this.session}; Path=/; SameSite=Lax`);
      return send(200, TYPES['.html'], this.page);
    }
    if (pathname === '/' && this.next) { // a session is begun
      this.session = this.next;
      this.alive = true;
      return response.writeHead(302, { Location: `${this.prefix}/${this.session}` }).end();
    }
    if (pathname === '/') return send(200, TYPES['.html'], '<title>start page</title>');
    return send(404, 'text/plain', 'not found');
  }

  async file(send, name) {
    try {
      send(200, TYPES[path.extname(name)] ?? 'text/plain', await readFile(path.resolve(ROOT, name)));
    } catch {
      send(404, 'text/plain', 'not found');
    }
  }

  upgrade(request, socket, head) {
    if (this.refuse || this.proxied || request.url !== `${this.prefix}/ws/${this.session}`) {
      this.refused = (this.refused ?? 0) + 1;
      socket.end('HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\n');
      return;
    }
    this.wss.handleUpgrade(request, socket, head, (ws) => {
      this.sockets.push(ws);
      ws.on('message', (data) => {
        const frame = JSON.parse(String(data));
        if (frame.type === 'ping') {
          this.pings = (this.pings ?? 0) + 1;
          if (!this.deaf) ws.send('[]');
          return;
        }
        frame.at = performance.now();
        this.frames.push(frame);
        this.number(ws, frame);
        this.react?.(frame);
      });
    });
  }

  /** Notes the numbers of writes, and answers those that get no value. */
  number(ws, { messages }) {
    if (!this.numbered) return;
    for (const { type, data } of messages) {
      if (type === 'create' && /^(w|action)$/.test(data.properties.access)) this.writeOnly.add(data.id);
      if (type !== 'update' || data.seq === undefined) continue;
      this.handled.set(data.varId, data.seq);
      if (this.writeOnly.has(data.varId) && !this.deaf) ws.send(JSON.stringify({ type, data: { varId: data.varId, seq: data.seq } }));
    }
  }

  /** Sends messages to the newest page; one message goes bare, as the real server does. */
  send(...messages) {
    for (const { type, data } of messages) {
      if (this.numbered && type === 'update' && 'value' in data && this.handled.has(data.varId)) data.seq ??= this.handled.get(data.varId);
    }
    this.sockets.at(-1).send(JSON.stringify(messages.length === 1 ? messages[0] : messages));
  }

  /** All messages of the page so far, in order. */
  get messages() {
    return this.frames.flatMap((frame) => frame.messages);
  }

  /** The create whose path is `path`, waited for. `nth` counts from 0. */
  async created(path, nth = 0) {
    return until(`create of ${path}`, () => this.messages.filter((m) => m.type === 'create' && m.data.properties.path === path)[nth]?.data);
  }

  /** Waits until a message that `test` accepts has come. */
  async received(what, test) {
    return until(what, () => this.messages.find(test));
  }

  /** Waits for the connection's first frame and answers it: viewdefs, then variable 1. */
  async show(viewdefs, type = 'App', properties = {}) {
    const count = this.shown ?? 0;
    await until('watch of variable 1', () => this.messages.filter((m) => m.type === 'watch').length > count);
    this.shown = this.messages.filter((m) => m.type === 'watch').length;
    this.send(viewdefsOf(viewdefs), update(1, { obj: 1 }, { type, ...properties }));
  }
}

export const update = (varId, value, properties, seq) => ({
  type: 'update',
  data: { varId, ...(value !== undefined && { value }), ...(properties && { properties }), ...(seq !== undefined && { seq }) },
});

/** Viewdefs by key; a text without a template gets one. */
export function viewdefsOf(viewdefs) {
  const texts = Object.entries(viewdefs).map(([key, html]) => [key, /<template/.test(html) ? html : `<template>${html}</template>`]);
  return update(1, undefined, { viewdefs: JSON.stringify(Object.fromEntries(texts)) });
}

/**
 * Lets the server answer creates and writes of plain models: values by path, an object being `{obj}` with `$type`.
 * Returns what makes the `{obj}` of an object.
 */
export function model(server, values) {
  const known = new Map([[1, values]]);
  let objects = 100;
  const refs = new Map();
  const byPath = new Map();
  const ref = (object) => {
    if (!refs.has(object)) {
      refs.set(object, ++objects);
      byPath.set(`#${objects}`, object);
    }
    return { obj: refs.get(object) };
  };
  const wire = (value) => (Array.isArray(value) ? value.map(wire) : value && typeof value === 'object' ? ref(value) : value ?? null);
  const read = (parent, name) => (name.startsWith('#') ? byPath.get(name) ?? null : steps(parent, name));
  const steps = (parent, name) => name.split('.').reduce((at, step) => (at == null ? null : at[step.replace('()', '')]), parent);
  server.react = (frame) => {
    const answers = [];
    for (const { type, data } of frame.messages) {
      if (type !== 'create') continue;
      const { path: name, access } = data.properties;
      const value = read(known.get(data.parentId), name);
      known.set(data.id, value);
      if (access === 'action' || access === 'w') continue;
      const properties = value?.$type ? { type: value.$type } : undefined;
      answers.push(update(data.id, wire(value), properties));
    }
    if (answers.length) server.send(...answers);
  };
  return ref;
}
