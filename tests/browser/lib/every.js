/**
 * Chromium, Firefox and WebKitGTK behind one small face, for what every browser must do (R50):
 * `goto eval click type press back reload close`.
 * Chromium and Firefox are driven by Puppeteer, WebKitGTK by its own WebDriver on a display of its own.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import puppeteer from 'puppeteer-core';
import { until } from './until.js';

const [WIDTH, HEIGHT] = [900, 700];
const START_MS = 30000;

/** A page of Chromium or Firefox. */
class Puppet {
  /** @param {import('puppeteer-core').LaunchOptions} options */
  static async launch(options) {
    const puppet = new Puppet();
    puppet.browser = await puppeteer.launch({ headless: true, timeout: START_MS, ...options });
    puppet.page = await puppet.browser.newPage();
    await puppet.page.setViewport({ width: WIDTH, height: HEIGHT });
    return puppet;
  }

  goto(url) { return this.page.goto(url); }
  eval(fn, ...args) { return this.page.evaluate(fn, ...args); }
  click(selector) { return this.page.click(selector); }
  type(text) { return this.page.keyboard.type(text); }
  press(key) { return this.page.keyboard.press(key); }
  back() { return this.page.goBack(); }
  reload() { return this.page.reload(); }
  close() { return this.browser.close(); }
}

/** How WebDriver writes keys that are no letters. */
const KEYS = { Backspace: '\uE003', Tab: '\uE004', Enter: '\uE007', Escape: '\uE00C', End: '\uE010', Home: '\uE011' };

const freePort = () => new Promise((found) => {
  const server = net.createServer().listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    server.close(() => found(port));
  });
});

/** A window of WebKitGTK's MiniBrowser. */
class WebKit {
  static async launch() {
    const webkit = new WebKit();
    webkit.home = await mkdtemp(path.join(tmpdir(), 'lsess-webkit-'));
    const port = await freePort();
    webkit.url = `http://127.0.0.1:${port}/session`;
    webkit.driver = spawn('xvfb-run', ['-a', '-s', '-screen 0 1280x1000x24', 'WebKitWebDriver', `--port=${port}`], {
      detached: true, // in a process group of its own, so that the display ends with it
      stdio: 'ignore',
      env: {
        ...process.env,
        HOME: webkit.home,
        XDG_RUNTIME_DIR: webkit.home,
        WEBKIT_DISABLE_COMPOSITING_MODE: '1',
        LIBGL_ALWAYS_SOFTWARE: '1',
        NO_AT_BRIDGE: '1',
        GTK_A11Y: 'none',
        DBUS_SESSION_BUS_ADDRESS: 'disabled:',
      },
    });
    try {
      await until('WebKitWebDriver', () => fetch(`http://127.0.0.1:${port}/status`).then(() => true, () => false), START_MS);
      const options = { binary: MINIBROWSER, args: ['--automation'] };
      const { sessionId } = await webkit.command('POST', '', { capabilities: { alwaysMatch: { 'webkitgtk:browserOptions': options } } });
      webkit.url += `/${sessionId}`;
      await webkit.command('POST', '/timeouts', { script: START_MS, pageLoad: START_MS });
    } catch (cause) {
      await webkit.close();
      throw cause;
    }
    return webkit;
  }

  async command(method, name, body = {}) {
    const answer = await fetch(this.url + name, { method, ...(method === 'POST' && { body: JSON.stringify(body) }) });
    const { value } = await answer.json();
    if (!answer.ok) throw new Error(`${name}: ${value.error}: ${value.message}`);
    return value;
  }

  goto(url) { return this.command('POST', '/url', { url }); }

  async eval(fn, ...args) {
    const script = `const done = arguments[arguments.length - 1]; Promise.resolve((${fn})(...[...arguments].slice(0, -1)))
      .then((value) => done({ value: value ?? null }), (cause) => done({ cause: String(cause) }))`;
    const { value, cause } = await this.command('POST', '/execute/async', { script, args });
    if (cause) throw new Error(cause);
    return value;
  }

  async click(selector) {
    const [element] = Object.values(await this.command('POST', '/element', { using: 'css selector', value: selector }));
    await this.command('POST', `/element/${element}/click`);
  }

  type(text) {
    const actions = [...text].flatMap((value) => [{ type: 'keyDown', value }, { type: 'keyUp', value }]);
    return this.command('POST', '/actions', { actions: [{ type: 'key', id: 'keyboard', actions }] });
  }

  press(key) { return this.type(KEYS[key] ?? key); }
  back() { return this.command('POST', '/back'); }
  reload() { return this.command('POST', '/refresh'); }

  async close() {
    await this.command('DELETE', '').catch(() => {}); // it may be gone, or may never have been there
    const ended = new Promise((done) => this.driver.once('exit', done));
    try {
      process.kill(-this.driver.pid, 'SIGTERM');
      await ended;
    } catch { /* ended by itself */ }
    await rm(this.home, { recursive: true, force: true, maxRetries: 5 });
  }
}

const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const FIREFOX = process.env.FIREFOX ?? '/usr/bin/firefox-esr';
const MINIBROWSERS = ['x86_64', 'aarch64'].map((machine) => `/usr/lib/${machine}-linux-gnu/webkit2gtk-4.1/MiniBrowser`);
const MINIBROWSER = MINIBROWSERS.find(existsSync) ?? '';
const chromium = () => Puppet.launch({
  executablePath: CHROMIUM,
  args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking'],
});
const firefox = () => Puppet.launch({
  browser: 'firefox',
  executablePath: FIREFOX,
  extraPrefsFirefox: { 'app.update.enabled': false },
});

/** Name, the program that must be there, and how to open a page. @type {[string, string, () => Promise<Puppet | WebKit>][]} */
export const BROWSERS = [
  ['Chromium', CHROMIUM, chromium],
  ['Firefox', FIREFOX, firefox],
  ['WebKitGTK', MINIBROWSER, () => WebKit.launch()],
];
