/**
 * Keys at random into fields of every kind, over a network that delays each frame at random: when it is quiet, field and model agree
 * and no key is lost (R8, F100). `LSESS_SEED` repeats a run, `LSESS_ROUNDS` makes it longer.
 */
import assert from 'node:assert/strict';
import { symlink } from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { useBrowser } from './lib/chromium.js';
import { siteTest } from './lib/site.js';
import { until } from './lib/until.js';

useBrowser();
const MODULES = fileURLToPath(new URL('../node_modules', import.meta.url));
const LIBRARIES = { shoelace: `${MODULES}/@shoelace-style/shoelace/cdn`, webawesome: `${MODULES}/@awesome.me/webawesome/dist-cdn` };
const LONGEST_MS = 400;

/** Numbers from 0 to below 1, the same for the same seed. */
function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** A proxy that holds each piece for up to `longest()` ms, in order. */
async function delaying(port, longest, next) {
  const server = net.createServer((near) => {
    const far = net.connect(port, '127.0.0.1');
    for (const [from, to] of [[near, far], [far, near]]) {
      let last = Promise.resolve();
      const later = (run) => {
        const due = performance.now() + next() * longest();
        last = last.then(() => new Promise((done) => setTimeout(done, due - performance.now()))).then(run);
      };
      from.on('data', (data) => later(() => !to.destroyed && to.write(data)));
      from.on('end', () => later(() => to.end()));
      from.on('error', () => to.destroy());
      from.on('close', () => later(() => to.destroy()));
    }
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return server;
}

/** Fields by name: their markup, what the program makes of their text, and keys that they take. */
const text = (html, clean = (value) => value) => ({ html, clean, keys: 'abcdefghijklmnopqrstuvwxyz', moves: true });
const upper = (value) => value.toUpperCase();
const NATIVE = {
  left: text('<input ui-value="left">'),
  typed: text('<input ui-value="typed?keypress">'),
  cleaned: text('<input ui-value="cleaned?keypress" ui-event-input="clean()">', upper),
  access: text('<input ui-value="upper()?access=rw&keypress">', upper),
  area: text('<textarea ui-value="area?keypress" ui-event-input="clean()"></textarea>', upper),
  shown: text('<input ui-attr-value="shown" ui-event-input="setShown(_)">', upper),
  editable: text('<p contenteditable ui-value="editable?keypress" ui-event-input="clean()"></p>', upper),
  number: {
    html: '<input type="number" step="any" ui-value="number?keypress" ui-event-input="clean()">',
    clean: (value) => value,
    keys: '123456789',
    moves: false,
    most: 15,
  },
  date: { html: '<input type="date" ui-value="date">', clean: () => '2026-12-25', text: '12252026' },
};
const library = (prefix, input) => ({
  left: text(`<${prefix}-input ui-value="left"></${prefix}-input>`),
  typed: text(`<${prefix}-input ui-value="typed?keypress"></${prefix}-input>`),
  cleaned: text(`<${prefix}-input ui-value="cleaned?keypress" ui-event-${input}="clean()"></${prefix}-input>`, upper),
  access: text(`<${prefix}-input ui-value="upper()?access=rw&keypress"></${prefix}-input>`, upper),
  area: text(`<${prefix}-textarea ui-value="area?keypress" ui-event-${input}="clean()"></${prefix}-textarea>`, upper),
});

const LUA = `
local App = session:prototype("App", {
  left = "", typed = "", cleaned = "", access = "", area = "", shown = "", editable = "", number = 0, date = "",
  ticks = 0,
})
function App:clean()
  for _, name in ipairs { "cleaned", "area", "editable" } do self[name] = self[name]:upper() end
  self.number = tonumber(self.number) or 0
end
function App:upper(...)
  if select("#", ...) > 0 then self.access = (...):upper() end
  return self.access
end
function App:setShown(text) self.shown = text:upper() end
function App:tick() self.ticks = self.ticks + 1 end
if not session:getApp() then
  session:createAppVariable(App:new())
  session:setInterval(function() session:getApp():tick() end, 50)
end
`;

function files(fields, head) {
  const rows = Object.entries(fields).map(([name, { html }]) => `<div id="${name}">${html}</div>`).join('');
  return {
    'lsess.lua': `return { static_roots = { ${Object.values(LIBRARIES).map((folder) => JSON.stringify(folder)).join(', ')} } }`,
    'html/index.html': `<!doctype html>
<html>
  <head>
    <meta charset="utf-8">
    ${head}
    <script type="module" src="/main.js"></script>
  </head>
  <body><div ui-app></div></body>
</html>
`,
    'lua/main.lua': LUA,
    'viewdefs/App.DEFAULT.html': `
      <template>
        <main>
          ${rows}
          <b ui-value="ticks"></b>
          <b ui-value="typed"></b>
          <button id="aside">aside</button>
        </main>
      </template>
    `,
  };
}

/** Types at random and says what should stand there. */
async function typeInto(page, { keys, moves, text: fixed, most = 20 }, next) {
  if (fixed) {
    for (const key of fixed) {
      await page.keyboard.press(key);
      await new Promise((done) => setTimeout(done, next() * 60));
    }
    return fixed;
  }
  let typed = '';
  let caret = 0;
  for (let n = 8 + Math.floor(next() * (most - 8)); n; n--) {
    const kind = next();
    if (kind < 0.8 || !moves) {
      const key = keys[Math.floor(next() * keys.length)];
      await page.keyboard.press(key);
      typed = typed.slice(0, caret) + key + typed.slice(caret);
      caret++;
    } else if (kind < 0.9) {
      await page.keyboard.press('Backspace');
      typed = typed.slice(0, Math.max(caret - 1, 0)) + typed.slice(caret);
      caret = Math.max(caret - 1, 0);
    } else {
      await page.keyboard.press(kind < 0.96 ? 'ArrowLeft' : 'End');
      caret = kind < 0.96 ? Math.max(caret - 1, 0) : typed.length;
    }
    await new Promise((done) => setTimeout(done, next() * 60)); // the pace of a person is what is tested
  }
  return typed;
}

/** How often each field is typed into. */
const ROUNDS = Number(process.env.LSESS_ROUNDS ?? 2);

function typingTest(name, fields, head = '') {
  const title = `R8, F100: ${name}: what is typed over a slow network is what the field shows and the program has`;
  siteTest(title, files(fields, head), async ({ site, page }) => {
    const seed = Number(process.env.LSESS_SEED ?? Date.now() % 1e9);
    const next = random(seed);
    let longest = 0;
    for (const [link, folder] of Object.entries(LIBRARIES)) await symlink(folder, path.join(site.folder, 'html', link));
    const proxy = await delaying(site.port, () => longest, next);
    await page.goto(`http://127.0.0.1:${proxy.address().port}/`);
    await page.locator('#aside').waitFor();
    await page.waitForFunction(() => !document.querySelector(':not(:defined)'));
    const held = (field) => page.locator(`#${field}`).evaluate((row) => {
      const element = row.firstElementChild;
      return 'value' in element ? element.value : element.textContent;
    });
    for (let round = 0; round < ROUNDS; round++) {
      for (const [field, { clean, ...kind }] of Object.entries(fields)) {
        longest = 0;
        await site.lua(`local app = session:getApp() app.${field} = ${field === 'number' ? 0 : '""'}`);
        await until('the field to be empty', async () => ['', '0'].includes(String(await held(field))));
        longest = next() * LONGEST_MS;
        await page.locator(`#${field} > *`).evaluate(async (element) => {
          await element.updateComplete;
          element.focus();
        });
        await page.keyboard.press('Control+A');
        await page.keyboard.press('Delete');
        const typed = clean(await typeInto(page, kind, next));
        await page.locator('#aside').click();
        await page.evaluate(() => window.uiApp.idle());
        const model = await site.lua(`return tostring(session:getApp().${field})`);
        assert.deepEqual([await held(field), model], [String(typed), String(typed)], `${field}; LSESS_SEED=${seed} repeats it`);
      }
    }
    proxy.close();
  });
}

typingTest('native fields', NATIVE);
typingTest('Shoelace', library('sl', 'sl-input'), '<script type="module" src="/shoelace/shoelace.js"></script>');
typingTest('Web Awesome', library('wa', 'input'), `
  <script type="module" src="/webawesome/components/input/input.js"></script>
  <script type="module" src="/webawesome/components/textarea/textarea.js"></script>
`);
