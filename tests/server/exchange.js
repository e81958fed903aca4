/**
 * Recorded exchanges (tests/fixtures/exchanges): what a site's own client sends and the frames that it gets, byte for byte.
 *
 * An exchange is a file of JSON lines, each one step:
 *
 *     {"site":"fleet","options":["--watch"]}          the first: a copy of that fixture, served alone, with one session
 *     {"open":"a"}                                    a page of the session connects
 *     {"close":"a"}, {"drop":"a"}                     it goes: with code 1000, or without a close frame
 *     {"from":"a","message":{…}}                      what page a sends; text is sent as it is
 *     {"save":"lua/main.lua","replace":"x","by":"y"}  an edit of a file of the copy; with "text" instead the whole file
 *     {"to":"a","frame":"…"}                          recorded: what page a gets of the step before
 *
 * Session ids stand as SESSION. To record again, with the program that is to be the measure (steps are kept, frames are written anew):
 *
 *     RECORD=1 B=/path/to/its/build node --test tests/server/exchanges.test.js
 */
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Server, until, within } from './lib.js';

const fixtures = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../fixtures');
export const exchanges = path.join(fixtures, 'exchanges');

const ASK = '{"userEvent":true,"messages":[{"type":"get","data":{"varIds":[]}}]}';
const DONE = '{"type":"get","data":{"variables":[]}}';
/* While recording: nothing more comes of a step when nothing has come for so long. */
const QUIET_MS = 300;

class Exchange {
  pages = new Map();
  seen = new Map();
  spoken = new Set();

  async start({ site, options = [] }) {
    const dir = mkdtempSync(path.join(os.tmpdir(), 'lsess-test-'));
    cpSync(path.join(fixtures, 'sites', site), dir, { recursive: true, verbatimSymlinks: true });
    this.server = await Server.start(dir, options, { cwd: dir });
    this.id = await this.server.session();
    this.control = this.server.control();
  }

  async stop() {
    this.control?.close();
    await this.server?.stop();
  }

  async connected(count) {
    await until(async () => (await this.control.call('sessions')).sessions[0].connections === count, `${count} connections`);
  }

  async step(step) {
    if (step.open) {
      /* As a browser does it: who asks is told by the header Origin. */
      this.pages.set(step.open, await this.server.page(this.id, { headers: { Origin: this.server.url } }));
      this.seen.set(step.open, 0);
      this.spoken.delete(step.open);
      await this.connected(this.pages.size);
    } else if (step.close || step.drop) {
      const name = step.close ?? step.drop, page = this.pages.get(name);
      if (step.close) await page.close();
      else page.socket.terminate();
      this.pages.delete(name);
      await this.connected(this.pages.size);
    } else if (step.from) {
      this.spoken.add(step.from);
      this.pages.get(step.from).send(step.message);
    } else if (step.save) {
      const file = path.join(this.server.dir, step.save);
      const told = this.server.events('reload').length;
      const old = step.text === undefined ? readFileSync(file, 'utf8') : '';
      const text = step.text ?? old.replace(step.replace, () => step.by);
      assert.notEqual(text, old, `the edit of ${step.save} changes something`);
      writeFileSync(file, text);
      if (file.endsWith('.lua')) await until(() => this.server.events('reload').length > told, `the reload of ${step.save}`);
    } else {
      assert.fail(`no step: ${JSON.stringify(step)}`);
    }
  }

  fresh(name) {
    return this.pages.get(name).frames.slice(this.seen.get(name)).map((frame) => frame.replaceAll(this.id, 'SESSION'));
  }

  count() {
    return [...this.pages.keys()].reduce((sum, name) => sum + this.fresh(name).length, 0);
  }

  /** Everything that comes of a step is here: `expected` frames have come (undefined: none has come for a while), and
   * an empty question to each page that has spoken is answered with nothing but its answer. @returns recorded lines */
  async outcome(expected) {
    if (expected !== undefined) {
      await until(() => this.count() >= expected, 'frames', 15000).catch(() => {});
    } else {
      let count = -1;
      while (count !== this.count()) {
        count = this.count();
        await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
      }
    }
    const lines = [];
    for (const [name, page] of this.pages) {
      if (this.spoken.has(name)) {
        const before = page.frames.length;
        page.send(ASK);
        await until(() => page.frames.slice(before).some((frame) => frame.includes(DONE)), 'the answer to get').catch(() => {});
      }
    }
    for (const [name, page] of this.pages) {
      lines.push(...this.fresh(name).filter((frame) => frame !== DONE).map((frame) => ({ to: name, frame })));
      this.seen.set(name, page.frames.length);
    }
    return lines;
  }
}

/** Play an exchange.
 * @param {string} file
 * @param {boolean} record frames are waited for without knowing how many, and written to the file */
export async function play(file, record) {
  const steps = readFileSync(file, 'utf8').trimEnd().split('\n').map((line) => JSON.parse(line));
  const exchange = new Exchange(), lines = [];
  try {
    await within(20000, exchange.start(steps[0]), 'the start');
    lines.push(steps[0]);
    for (let at = 1, next; at < steps.length; at = next) {
      for (next = at + 1; steps[next]?.to; next++);
      const expected = steps.slice(at + 1, next);
      await exchange.step(steps[at]);
      const got = await exchange.outcome(record ? undefined : expected.length);
      if (!record) assert.deepEqual(got, expected, `${path.basename(file)}:${at + 1}: ${JSON.stringify(steps[at])}`);
      lines.push(steps[at], ...got);
    }
  } finally {
    await exchange.stop();
  }
  if (record) writeFileSync(file, `${lines.map((line) => JSON.stringify(line)).join('\n')}\n`);
}
