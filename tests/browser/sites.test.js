/**
 * The sites that the program brings, in the real program and a real browser, as the person who copies them meets them.
 * Their pictures are for looking at.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { useBrowser } from './lib/chromium.js';
import { shot, siteTest } from './lib/site.js';
import { until } from './lib/until.js';

useBrowser();
const ready = (page) => page.evaluate(() => window.uiApp.idle());
const text = (page, selector) => page.locator(selector).first().textContent();
const reads = (page, selector, wanted) =>
  until(`${selector} to read ${wanted}`, async () => (await text(page, selector)) === wanted);
const rows = (page) => page.locator('.row').count();
/** The page is there as a whole: its first row may be seen before its last. */
async function shown(page) {
  await page.locator('.row').first().waitFor();
  await ready(page);
}

/** Changes a file of the site as its author would. */
async function edit(site, name, from, to) {
  const before = await readFile(path.join(site.folder, name), 'utf8');
  assert.ok(before.includes(from), `${name} holds ${from}`);
  await site.write(name, before.replace(from, to));
}

siteTest('contacts: search, detail, introductions and favourites', {}, async ({ site, page, logs }) => {
  await page.goto(site.origin);
  await shown(page);
  const all = await rows(page);
  assert.ok(all > 3);
  await shot(page, 'contacts');
  const name = (await text(page, '.card h2')).trim();
  await page.locator('.search').pressSequentially(name.slice(0, 4).toLowerCase());
  await until('fewer rows', async () => (await rows(page)) < all);
  await until('the one that is looked for', async () => (await page.locator('.row').allTextContents()).some((row) => row.includes(name)));
  await page.locator('.search').pressSequentially(' qqqq');
  await page.getByText('Nobody matches').waitFor();
  await shot(page, 'contacts-search');
  await page.locator('.search').press('Escape');
  await until('all rows', async () => (await rows(page)) === all);
  await until('an empty field', async () => (await page.locator('.search').inputValue()) === '');
  const second = page.locator('.row').nth(1);
  await second.click();
  await until('the selection', async () => (await second.getAttribute('class')).includes('selected'));
  await until('no other', async () => (await page.locator('.row.selected').count()) === 1);
  assert.deepEqual(logs, []);
}, { template: 'contacts' });

siteTest('contacts: add with a validation message and a select, edit, delete and undo', {}, async ({ site, page, logs }) => {
  await page.goto(site.origin);
  await shown(page);
  const all = await rows(page);
  await page.getByRole('button', { name: 'New contact' }).click();
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText('Please enter a name.').waitFor();
  await page.getByLabel('E-mail').fill('nowhere');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText('does not look like an e-mail').waitFor();
  await shot(page, 'contacts-editor');
  const options = page.locator('select option');
  assert.equal(await options.count(), all + 1);
  await page.getByLabel('Introduced by').selectOption({ index: 1 });
  const introducer = await options.nth(1).textContent();
  await page.getByLabel('E-mail').fill('zed@example.org');
  await page.locator('#contact-name').fill('Zed Quill');
  await page.locator('#contact-name').press('Enter');
  await reads(page, '.card h2', 'Zed Quill');
  await until('one row more', async () => (await rows(page)) === all + 1);
  await page.locator('.fact.given', { hasText: 'Introduced by' }).getByText(introducer.trim()).waitFor();
  await page.getByRole('button', { name: 'Edit' }).click();
  await page.locator('#contact-name').fill('Zora Quill');
  await page.locator('#contact-name').press('Control+Enter');
  await reads(page, '.card h2', 'Zora Quill');
  await page.getByRole('button', { name: 'Delete' }).click();
  await until('one row less', async () => (await rows(page)) === all);
  await page.getByText('Zora Quill was deleted.').waitFor();
  await shot(page, 'contacts-deleted');
  await page.getByRole('button', { name: 'Undo' }).click();
  await until('the row again', async () => (await rows(page)) === all + 1);
  await ready(page);
  assert.deepEqual(logs, []);
}, { template: 'contacts' });

siteTest('contacts: a save of Lua or a view reaches the page; what was typed and selected stays', {}, async ({ site, page, logs }) => {
  await page.goto(site.origin);
  await shown(page);
  await page.locator('.row').nth(1).click();
  await until('the selection', async () => (await page.locator('.row').nth(1).getAttribute('class')).includes('selected'));
  const name = await text(page, '.row.selected');
  await page.getByRole('button', { name: 'Edit' }).click();
  await page.locator('#contact-name').fill('');
  await page.locator('#contact-name').pressSequentially('Half a na');
  await page.evaluate(() => { window.stayed = true; });
  await edit(site, 'lua/contacts/app.lua', '" people"', '" persons"');
  await until('the new word', async () => (await text(page, '.count')).includes('persons'));
  await edit(site, 'viewdefs/contacts.Editor.DEFAULT.html', '<h2 ui-value="title()"></h2>', '<h2 ui-value="title()"></h2><em>saved</em>');
  await page.getByText('saved', { exact: true }).waitFor();
  await ready(page);
  const field = page.locator('#contact-name');
  assert.equal(await field.inputValue(), 'Half a na');
  assert.ok(await field.evaluate((element) => element === document.activeElement && element.selectionStart === 9));
  assert.equal(await text(page, '.row.selected'), name);
  assert.equal(await page.evaluate(() => window.stayed), true);
  assert.deepEqual(logs, []);
}, { template: 'contacts' });

siteTest('H99, H100: contacts: a bad save shows where it went wrong; Escape hides that until something else is wrong; ' +
  'the repair takes it away', {}, async ({ site, page }) => {
  await page.goto(site.origin);
  await page.locator('.row').first().waitFor();
  const overlay = page.locator('#ui-overlay');
  const file = 'lua/contacts/app.lua';
  const good = await readFile(path.join(site.folder, file), 'utf8');
  const bad = good.replace('function App:clearQuery() self.query = "" end', 'function App:clearQuery() self.query = = "" end');
  await site.write(file, bad);
  await overlay.locator('.here').waitFor();
  assert.ok((await overlay.locator('.here').textContent()).includes('= ='));
  await shot(page, 'contacts-overlay');
  await page.locator('.row').nth(1).click(); // the session goes on
  await until('the selection', async () => (await page.locator('.row').nth(1).getAttribute('class')).includes('selected'));
  await page.keyboard.press('Escape');
  await overlay.waitFor({ state: 'detached' });
  const told = () => site.output.filter((line) => line.includes('app.lua') && line.includes('unexpected symbol')).length;
  const before = await until('the first report', told);
  await site.write(file, `${bad}\n`); // the same again
  await until('the second report', () => told() > before);
  await ready(page);
  assert.equal(await overlay.count(), 0);
  await site.write(file, good.replace('function App:selectFirst()', 'function App:selectFirst(('));
  await overlay.locator('.here').waitFor();
  await site.write(file, good);
  await overlay.waitFor({ state: 'detached' });
}, { template: 'contacts' });

siteTest('contacts: two tabs show one session, another browser a session of its own', {}, async ({ site, page, context }) => {
  await page.goto(site.origin);
  await page.locator('.row').first().waitFor();
  const other = await context.browser().newContext();
  const [tab, stranger] = [await context.newPage(), await other.newPage()];
  try {
    await tab.goto(page.url());
    await stranger.goto(site.origin);
    for (const one of [page, tab, stranger]) await shown(one);
    const all = await rows(page);
    const name = await text(page, '.card h2');
    await page.getByRole('button', { name: 'Delete' }).click();
    for (const one of [page, tab]) await until('one row less', async () => (await rows(one)) === all - 1);
    await tab.getByText(`${name} was deleted.`).waitFor();
    assert.equal(await rows(stranger), all);
    assert.notEqual(new URL(stranger.url()).pathname, new URL(page.url()).pathname);
  } finally {
    await other.close();
  }
}, { template: 'contacts' });

siteTest('contacts: a narrow window', {}, async ({ site, page }) => {
  await page.goto(site.origin);
  await shown(page);
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'nothing is wider than the window');
  await shot(page, 'contacts-narrow');
}, { template: 'contacts', viewport: { width: 390, height: 800 } });

siteTest('tasks: add, tick, filter, rename and clear', {}, async ({ site, page, logs }) => {
  await page.goto(site.origin);
  const titles = () => page.locator('.task .title').evaluateAll((fields) => fields.map((field) => field.value));
  await page.locator('.task').first().waitFor();
  await ready(page);
  const all = (await titles()).length;
  await page.getByLabel('New task').fill('Water the plants');
  await page.getByLabel('New task').press('Enter');
  await until('the new task', async () => (await titles()).includes('Water the plants'));
  await until('an empty field', async () => (await page.getByLabel('New task').inputValue()) === '');
  await shot(page, 'tasks');
  const mine = (await titles()).indexOf('Water the plants');
  await page.locator('.task input[type=checkbox]').nth(mine).check();
  await page.locator('.filter label', { hasText: 'Open' }).click();
  await until('open tasks only', async () => !(await titles()).includes('Water the plants'));
  await page.locator('.filter label', { hasText: 'All' }).click();
  await until('all tasks', async () => (await titles()).length === all + 1);
  await page.getByRole('button', { name: 'Clear done' }).click();
  await until('no done ones', async () => !(await titles()).includes('Water the plants') && !(await page.locator('.task.done').count()));
  await shot(page, 'tasks-cleared');
  assert.deepEqual(logs, []);
}, { template: 'tasks' });

siteTest('dashboard: figures move, stop and go on', {}, async ({ site, page, logs }) => {
  await page.goto(site.origin);
  await page.locator('.chart svg .line').first().waitFor({ state: 'attached' });
  const ticks = async () => Number(await page.locator('dd[ui-value=ticks]').textContent());
  await until('nine ticks', async () => (await ticks()) >= 9);
  await shot(page, 'dashboard');
  await page.getByRole('button', { name: 'Pause' }).click();
  await page.getByText('paused').waitFor();
  await page.getByRole('button', { name: 'Go on' }).click();
  const before = await ticks();
  await page.getByText('live').waitFor();
  await until('more ticks', async () => (await ticks()) > before);
  await page.locator('select').selectOption('400');
  await until('the pace', async () => {
    await ready(page);
    return (await page.locator('select').inputValue()) === '400';
  });
  assert.deepEqual(logs, []);
}, { template: 'dashboard' });

siteTest('blank: greets and counts', {}, async ({ site, page, logs }) => {
  await page.goto(site.origin);
  await page.locator('h1').waitFor();
  await page.getByLabel('Your name').pressSequentially('Ada');
  await until('the greeting', async () => (await text(page, 'h1')).includes('Ada'));
  await page.getByRole('button', { name: 'Count' }).click();
  await reads(page, 'output', '1');
  await shot(page, 'blank');
  await page.getByRole('button', { name: 'Reset' }).click();
  await reads(page, 'output', '0');
  assert.deepEqual(logs, []);
}, { template: 'blank' });
