/**
 * What a page of another site can do with a server on this machine, in a browser that minds what the server says (Q3, P3):
 * `localhost` and `127.0.0.1` are different sites to it.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createServer } from 'node:http';
import path from 'node:path';
import { promisify } from 'node:util';
import { useBrowser } from './lib/chromium.js';
import { siteTest } from './lib/site.js';
import { until } from './lib/until.js';

useBrowser();
const BINARY = path.resolve(process.env.LSESS ?? 'build/lsess');
const FILES = {
  'lua/main.lua': `
local App = session:prototype("App", { title = "here" })
session:createAppVariable(session:create(App, {}))
`,
  'viewdefs/App.DEFAULT.html': '<template><h1 ui-value="title"></h1></template>',
  'html/dot.svg': '<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"/>',
  'html/a.js': 'window.loaded = true',
};

/** A server of somebody else, at http://localhost:port. */
async function stranger(body) {
  const server = createServer((request, response) => response.setHeader('Content-Type', 'text/html').end(`<!doctype html>${body()}`));
  await new Promise((resolve) => server.listen(0, resolve));
  const close = () => new Promise((resolve) => {
    server.close(resolve);
    server.closeAllConnections();
  });
  return { origin: `http://localhost:${server.address().port}`, close };
}
/** How many sessions the site's server has. */
async function sessions(site) {
  const { stdout } = await promisify(execFile)(BINARY, ['sessions', '--json', '--socket', path.join(site.parent, 'socket')]);
  return JSON.parse(stdout).length;
}
const framed = (page, site) => page.frames().find((frame) => frame.url().startsWith(site.origin));

siteTest('Q3 P3: parts and frames of another site\'s page make no session and are not shown; ' +
  'a link does and is', FILES, async ({ site, page }) => {
  await page.goto(site.origin);
  const id = new URL(page.url()).pathname.slice(1);
  const other = await stranger(() => `
    <script>
      window.ended = [];
      const end = (e) => ended.push(e.type + ' ' + (e.target.id || e.target.tagName));
    </script>
    <img id=root src="${site.origin}/?1" onload="end(event)" onerror="end(event)">
    <img id=dot src="${site.origin}/dot.svg" onload="end(event)" onerror="end(event)">
    <script id=script src="${site.origin}/a.js" onload="end(event)" onerror="end(event)"></script>
    <iframe id=start src="${site.origin}/"></iframe>
    <iframe id=page src="${site.origin}/${id}"></iframe>
    <object data="${site.origin}/"></object>
    <link rel=prefetch href="${site.origin}/?2">
    <a href="${site.origin}/">go</a>
    <script>fetch('${site.origin}/', { mode: 'no-cors' }).catch(() => 0).then(() => ended.push('fetch'));</script>
  `);
  try {
    await page.goto(other.origin, { waitUntil: 'load' });
    await until('all of it to end', async () => (await page.evaluate(() => window.ended.length)) === 4);
    assert.deepEqual((await page.evaluate(() => window.ended)).sort(), ['error dot', 'error root', 'error script', 'fetch']);
    assert.equal(await page.evaluate(() => window.loaded), undefined);
    for (const frame of page.frames().slice(1)) assert.equal(await frame.locator('h1').count(), 0);
    assert.equal(await sessions(site), 1);
    await page.locator('a').click();
    await page.getByText('here').waitFor();
    assert.equal(await sessions(site), 2);
  } finally {
    await other.close();
  }
});

siteTest('Q3: --allow-frame shows the page in a frame of the site that it names', FILES, async ({ site, page }) => {
  const other = await stranger(() => `<iframe src="${site.origin}/"></iframe>`);
  try {
    await site.write('lsess.lua', `return { allow_frame = { "${other.origin}" } }`);
    await site.stop();
    await site.start(); // at a port that is free now
    await page.goto(other.origin);
    await until('the frame', () => framed(page, site) !== undefined);
    await framed(page, site).getByText('here').waitFor();
    assert.equal(await sessions(site), 1);
  } finally {
    await other.close();
  }
});
