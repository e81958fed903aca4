/** What our client is told that others are not (R8): numbered writes, the object that was meant, a tab that comes back;
 * beside a page of a site's own client. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { Server, until } from './lib.js';

const MAIN = `
local function Doc(name)
  local doc = { type = "Doc", name = name }
  function doc:title(v)
    if v ~= nil then
      if v == "bad" then error("refused", 0) end
      self.name = v:match("^%s*(.-)%s*$")
    end
    return self.name
  end
  function doc:remove() self.removed = true end
  return doc
end
app = { type = "App", docs = { Doc("a"), Doc("b") }, count = 0 }
app.selected = app.docs[1]
function app:bump() self.count = self.count + 1 end
function app:pick(n) self.selected = self.docs[n] end
session:createAppVariable(app)
`;

let server;

before(async () => { server = await Server.start({ 'lua/main.lua': MAIN }); });
after(() => server.stop());

const token = () => randomBytes(16).toString('hex');
const hello = (tab, url = '/') => ({ type: 'watch', data: { varId: 1, client: { v: 1, tab, url } } });
const watch = { type: 'watch', data: { varId: 1 } };
const create = (id, where, more = {}, parentId = 1) => ({ type: 'create', data: { id, parentId, properties: { path: where, ...more } } });
const write = (varId, value, more = {}) => ({ type: 'update', data: { varId, value, ...more } });
const about = (messages, id) =>
  messages.filter((m) => m.data.varId === id).map(({ type, data: { varId, ...rest } }) => ({ type, ...rest }));
const variables = [
  create(2, 'selected'),
  create(3, 'name', {}, 2),
  create(4, 'title()', {}, 2),
  create(5, 'selected.remove()', { access: 'action' }),
  create(6, 'pick(_)', { access: 'action' }),
  create(7, 'count'),
  create(8, 'bump()', { access: 'action' }),
];

async function ours(id, tab = token()) {
  const page = await server.page(id);
  const first = await page.ask([hello(tab, '/place?query#hash'), ...variables]);
  return { page, first, of: about(first, 3)[0].of };
}

test("R8 a site's own client sees not a byte of it, with or without one of ours in the same session", async () => {
  const script = [
    [watch, ...variables],
    write(3, 'x'),
    write(4, ' y ', { seq: 'no', of: {} }),
    write(4, 'bad'),
    write(5, null, { seq: 1 }),
    write(6, 2),
    write(3, 'z', { seq: 1, of: 3 }),
    write(8, null),
    write(8, null, { seq: 2 }),
    write(6, 1),
    { type: 'update', data: { varId: 3, value: 'w', properties: { hint: 'h' } } },
  ];
  const run = async (beside) => {
    const id = await server.session();
    const page = await server.page(id);
    const companion = await server.page(id);
    for (const [i, messages] of script.entries()) {
      await page.ask(messages);
      if (i === 0) await companion.ask([beside, ...variables]); // from now on it follows all that happens
    }
    await page.close();
    await companion.close();
    return page.frames;
  };
  assert.deepEqual(await run(hello(token())), await run(watch));
});

test('R8 each numbered write is answered, and the other tab follows', async () => {
  const id = await server.session();
  const { page, of } = await ours(id);
  const other = await server.page(id);
  await other.ask([watch, ...variables]);
  assert.equal(typeof of, 'number');
  assert.deepEqual(about(await page.ask(write(3, 'x', { seq: 1, of })), 3), [{ type: 'update', value: 'x', seq: 1 }]);
  assert.deepEqual(about(await page.ask(write(3, 'x', { seq: 2, of })), 3), [{ type: 'update', value: 'x', seq: 2 }]);
  assert.deepEqual(about(await page.ask(write(4, ' y ', { seq: 1, of })), 4), [{ type: 'update', value: 'y', seq: 1 }]);
  assert.deepEqual(about(await page.ask(write(4, 'bad', { seq: 2, of })), 4),
    [{ type: 'update', value: 'y', seq: 2 }, { type: 'error', code: 'lua-error', description: 'refused' }]);
  assert.deepEqual(about(await page.ask(write(8, null, { seq: 1 })), 8), [{ type: 'update', seq: 1 }]);
  await until(() => about(other.messages(), 7).some((m) => m.value === 1), 'the count in the other tab');
  assert.deepEqual(other.messages().filter((m) => 'seq' in m.data || 'of' in m.data), []);
  await page.close();
  await other.close();
});

test('R8 an edit reaches the object that was shown when it began, though another tab has exchanged it', async () => {
  const id = await server.session();
  const { page, of } = await ours(id);
  const other = await server.page(id);
  await other.ask([watch, ...variables]);
  await other.ask(write(6, 2));
  const changed = await page.message((m) => m.data.varId === 3 && m.data.value === 'b');
  assert.notEqual(changed.data.of, of);
  assert.deepEqual(about(await page.ask(write(3, 'late', { seq: 1, of })), 3), [{ type: 'update', value: 'b', seq: 1 }]);
  assert.deepEqual(about(await page.ask(write(5, null, { seq: 1, of })), 5), [{ type: 'update', seq: 1 }]);
  assert.deepEqual(about(await page.ask(write(3, 'guess', { seq: 2, of: 1 })), 3).map((m) => m.code ?? m.value), ['b', 'gone']);
  await page.ask([create(20, 'docs.0.name'), create(21, 'docs.0.removed'), create(22, 'docs.1.name'), create(23, 'docs.1.removed')]);
  assert.deepEqual([20, 21, 22, 23].map((n) => about(page.messages(), n)[0].value), ['late', true, 'b', null]);
  await page.close();
  await other.close();
});

test('R8 P114 a tab that comes back ends what its lost connection left; a duplicate takes nothing for good', async () => {
  const id = await server.session();
  const tab = token();
  const listed = async () => (await (await server.fetch(`/${id}/variables.json`)).json()).length;
  const { page: old } = await ours(id, tab);
  const alone = await listed();
  /* It looks alive: nobody has closed it. */
  const { page: next } = await ours(id, tab);
  assert.equal(await listed(), alone);
  await old.message((m) => m.type === 'error' && m.data.code === 'replaced' && !('varId' in m.data));
  old.send(write(3, 'stray', { seq: 9 }));
  await old.message((m) => m.data.varId === 3 && m.data.code === 'replaced');
  assert.deepEqual(about(await next.ask(create(30, 'docs.0.name')), 30).map((m) => m.value), ['a']);
  /* The older one lives after all, and goes on under a token of its own. */
  await old.ask([hello(token()), create(40, 'count')]);
  assert.deepEqual(about(old.messages(), 40).map((m) => m.value), [0]);
  assert.deepEqual(about(await next.ask(write(8, null, { seq: 1 })), 8), [{ type: 'update', seq: 1 }]);
  await old.message((m) => m.data.varId === 40 && m.data.value === 1);
  assert.ok(!next.messages().some((m) => m.data.code === 'replaced'));
  /* Lost without a close frame: nothing is kept for a client that makes its variables anew. */
  await old.close();
  next.socket.terminate();
  await until(async () => await listed() === 1, 'the end of its variables');
});

test('R8 a mark that is none is refused, and the page goes on as any other', async () => {
  const page = await server.page(await server.session());
  for (const client of [
    7,
    {},
    { v: 0, tab: token(), url: '/' },
    { v: 1, tab: 'short', url: '/' },
    { v: 1, tab: token(), url: 'x' },
  ])
    assert.deepEqual(
      (await page.ask({ type: 'watch', data: { varId: 1, client } })).map((m) => [m.data.varId, m.data.code]),
      [[1, 'bad-message']],
    );
  await page.ask([watch, ...variables]);
  assert.deepEqual(await page.ask(write(3, 'x', { seq: 1 })), [{ type: 'update', data: { varId: 4, value: 'x' } }]);
  await page.close();
});
