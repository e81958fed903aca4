/** What a variable is to its page: its priority, its type, what cannot be read, the lives of one id, names and values
 * that are never cut (T20, T23, T27, T103, L63, P47, P97). */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Server, until } from './lib.js';

const MAIN = `
Harbor = session:prototype("Harbor", { name = "North", count = 0, flag = true })
function Harbor:rename(v) self.name = v end
function Harbor:both(v)
  self.name = v
  self.count = self.count + 1
end
function Harbor:relieve(v) self.boat = { type = "Boat", name = v } end
harbor = session:create(Harbor, { boat = { type = "Boat", name = "Gull", crew = { n = 3 } }, list = { 1 } })
session:createAppVariable(harbor, { type = "Port", ["url:low"] = "/" })
`;

let server;

before(async () => {
  server = await Server.start({ 'lua/main.lua': MAIN, 'viewdefs/Port.DEFAULT.html': '<template><b></b></template>' });
});

after(() => server.stop());

const watch = (id = 1) => ({ type: 'watch', data: { varId: id } });
const create = (id, where, more = {}, parentId = 1) => ({ type: 'create', data: { id, parentId, properties: { path: where, ...more } } });
const destroy = (varId) => ({ type: 'destroy', data: { varId } });
const update = (varId, value) => ({ type: 'update', data: { varId, value } });
const set = (varId, properties) => ({ type: 'update', data: { varId, properties } });

/** A page that watches variable 1. */
async function ready(...messages) {
  const own = await server.page(await server.session());
  await own.ask([watch(), ...messages]);
  return own;
}

const ids = (messages) => messages.map((m) => m.data.varId);

test('T23 T87 the property priority, set by an update, moves the class of the value in the next frame, in any letter case', async () => {
  const own = await ready(create(2, 'name'), create(3, 'count'), create(4, 'both(_)', { access: 'action' }));
  let name = 0;
  const order = async () => ids(await own.ask(update(4, `${name++}`)));
  assert.deepEqual(await order(), [2, 3]);
  for (const low of ['low', 'LOW', 'Low', 'l\u006fw']) {
    assert.deepEqual(await own.ask(set(2, { priority: low })), [set(2, { priority: low })]);
    assert.deepEqual(await order(), [3, 2], low);
    await own.ask(set(2, { priority: '' }));
    assert.deepEqual(await order(), [2, 3], 'without it');
  }
  for (const high of ['high', 'HIGH', 'hIgH']) {
    await own.ask(set(3, { 'priority:low': high }));
    assert.deepEqual(await order(), [3, 2], high);
    await own.ask(set(3, { priority: 'medium' }));
    assert.deepEqual(await order(), [2, 3], 'anything else is medium');
  }
  /* Set in the frame in which the value changes: that very frame. */
  assert.deepEqual(ids(await own.ask([update(4, 'x'), set(2, { 'priority:high': 'Low' })])), [2, 3, 2], 'the property, then the values');
  /* By the query of a path, too. */
  await own.ask(set(3, { path: 'count?priority=LOW' }));
  await own.ask(set(2, { path: 'name?priority=High' }));
  assert.deepEqual(await order(), [2, 3]);
  await own.close();
});

test('L63 T103 P104 the type that the app variable was given wins over the type of its object', async () => {
  const own = await server.page(await server.session());
  const told = await own.ask(watch());
  assert.deepEqual(
    told.filter((m) => 'value' in m.data),
    [{ type: 'update', data: { varId: 1, value: { obj: 2 }, properties: { type: 'Port' } } }],
    JSON.stringify(told),
  );
  assert.deepEqual(await own.ask(set(1, { lua: 'session:createAppVariable(session:create(Harbor, {}), { type = "Haven" })' })), [
    { type: 'update', data: { varId: 1, value: { obj: 3 }, properties: { type: 'Haven' } } }]);
  assert.deepEqual(await own.ask(set(1, { lua: 'session:createAppVariable(session:create(Harbor, {}))' })), [
    { type: 'update', data: { varId: 1, value: { obj: 4 }, properties: { type: 'Harbor' } } }], 'none given: the object\'s');
  await own.close();
});

test('T27 T80 P82 a variable of access w that holds an object is silent, its children are not', async () => {
  const own = await ready(create(9, 'both(_)', { access: 'action' }));
  assert.deepEqual(
    await own.ask([
      create(2, 'boat', { access: 'w' }),
      create(3, 'name', {}, 2),
      create(4, 'crew.n', { access: 'r' }, 2),
    ]),
    [update(3, 'Gull'), update(4, 3)],
  );
  assert.deepEqual(await own.ask(watch(2)), []);
  assert.deepEqual(await own.ask(update(3, 'Tern')), []);
  assert.deepEqual(await own.ask(set(1, { lua: 'harbor.boat.name = "Skua"' })), [update(3, 'Skua')]);
  assert.deepEqual(await own.ask(update(2, { name: 'Auk' })), [update(3, 'Auk'), update(4, null)]);
  assert.deepEqual(await own.ask(update(2, null)), [update(3, null)]);
  assert.deepEqual(
    ids(await own.ask([create(5, 'list?wrapper=lua.ViewList&access=w'), create(6, 'items', {}, 5)])).filter(
      (id) => id !== 1,
    ),
    [6],
    'no fallbackNamespace either',
  );
  assert.deepEqual(await own.ask(create(7, 'plain', { access: 'w', create: 'Harbor' })), []);
  assert.deepEqual(await own.ask(set(2, { label: 'x' })), [set(2, { label: 'x' })], 'what a page sets is echoed (P88)');
  /* Whoever makes it readable is told what it is. */
  assert.deepEqual(await own.ask(set(7, { access: 'r' })), [
    { type: 'update', data: { varId: 7, value: { obj: 7 }, properties: { access: 'r', type: 'Harbor' } } },
  ]);
  assert.deepEqual(await own.ask(set(2, { access: '' })), [
    { type: 'update', data: { varId: 2, value: null, properties: { access: '' } } },
  ]);
  await own.close();
});

test('P97 destroyed and created again in one batch: the destroy notice, then the update', async () => {
  const own = await ready(create(2, 'name'), create(3, 'boat'), create(4, 'name', {}, 3));
  assert.deepEqual(await own.ask([destroy(2), create(2, 'count')]), [destroy(2), update(2, 0)]);
  assert.deepEqual(await own.ask([create(5, 'name'), destroy(5), create(5, 'count')]), [destroy(5), update(5, 0)]);
  assert.deepEqual(await own.ask([destroy(2), create(2, 'name'), destroy(2), create(2, 'flag')]), [
    destroy(2),
    destroy(2),
    update(2, true),
  ]);
  assert.deepEqual(
    await own.ask([destroy(3), create(4, 'name'), create(3, 'count', {}, 1)]),
    [destroy(4), destroy(3), update(4, 'North'), update(3, 0)],
    'a subtree',
  );
  assert.deepEqual(
    await own
      .ask([update(4, { obj: 9999 }), watch(4), destroy(4), create(4, 'flag')])
      .then((all) => all.map((m) => m.type)),
    ['update', 'error', 'destroy', 'update'],
    'what was answered before stays before',
  );
  /* In frames that wait together as well. */
  const from = own.frames.length;
  own.send([destroy(2)]);
  own.send([create(2, 'count')]);
  await until(() => own.frames.slice(from).join().includes('"value":0'), 'the new life');
  assert.deepEqual(own.frames.slice(from).flatMap((frame) => JSON.parse(frame)), [destroy(2), update(2, 0)]);
  /* The new one is like any other. */
  await own.ask(create(8, 'both(_)', { access: 'action' }));
  assert.deepEqual(ids(await own.ask(update(8, 'x'))), [5, 3, 2]);
  assert.deepEqual(await own.ask([destroy(2), destroy(3)]), [destroy(2), destroy(3)]);
  await own.close();
});

test('P47 T20 a name or a value of a property that holds U+0000 is refused, and the others count', async () => {
  const own = await ready(create(2, 'name'));
  const refused = {
    'p\0rop': 'x',
    '\0': 'x',
    p: 'va\0lue',
    q: '\0',
    'p:high\0': 'x',
    path: 'count\0',
    access: 'r\0w',
    priority: 'low\0',
    lua: 'x = 1\0',
    type: 'T\0',
  };
  for (const [name, value] of Object.entries(refused)) {
    const answer = await own.ask([
      set(2, { [name]: value }),
      create(3, 'name', { label: 'x', [name]: value }),
      { type: 'get', varIds: [2, 3] },
      destroy(3),
    ]);
    assert.deepEqual(
      answer.filter((m) => m.type === 'error' && m.data.code !== 'not-found').map((m) => [m.data.varId, m.data.code]),
      [
        [2, 'bad-message'],
        [3, 'bad-message'],
      ],
      name,
    );
    const made = name === 'path' ? [{ path: 'name' }] : [{ path: 'name' }, { label: 'x', path: 'name' }];
    assert.deepEqual(answer.find((m) => m.type === 'get').data.variables.map((v) => v.properties), made, name);
  }
  assert.deepEqual(
    (await own.ask(set(1, { lua: 'x = 1\0' }))).map((m) => [m.data.varId, m.data.code]),
    [[1, 'bad-message']],
    'code is not run',
  );
  assert.deepEqual(
    (await own.ask(create(3, 'name?label=a%00b'))).map((m) => [m.data.varId, m.data.code]),
    [[3, 'bad-message']],
    'as an escape of a query',
  );
  assert.deepEqual((await own.ask(set(2, { path: 'count?label=a%00b' }))).map((m) => [m.data.varId, m.data.code]), [[2, 'bad-message']]);
  /* A value is no C string: it goes through whole. */
  assert.deepEqual((await own.ask([create(4, 'name'), update(2, 'a\0b')])).at(-1), update(4, 'a\0b'));
  await own.close();
});
