/** Messages as a page sends them: forms, envelopes, malformed input row by row, errors and their codes (P43–P53,
 * P86–P103, section 17 of protocol.md). */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Server, until } from './lib.js';

const MAIN = `
Harbor = session:prototype("Harbor", { name = "North", count = 0, flag = true })
function Harbor:bump() self.count = self.count + 1 end
function Harbor:rename(v) self.name = v end
function Harbor:launch() self.boats[#self.boats + 1] = { type = "Boat", name = "New" } end
function Harbor:fail() error("mast broken") end
function Harbor:bad() return self.missing.field end
function Harbor:upper() return self.name:upper() end
session:createAppVariable(session:create(Harbor, { boats = { { type = "Boat", name = "Gull" } }, list = {}, note = "n" }))
`;

let server, page;
let nextId = 100;

before(async () => {
  server = await Server.start({ 'lua/main.lua': MAIN }, ['-v']);
  page = await server.page(await server.session());
  await page.ask({ type: 'watch', data: { varId: 1 } });
});

after(async () => {
  await page.close();
  await server.stop();
});

const fresh = async (options) => server.page(await server.session(), options);
const watch = { type: 'watch', data: { varId: 1 } };
const create = (id, where, more = {}, parentId = 1) => ({ type: 'create', data: { id, parentId, properties: { path: where, ...more } } });
const write = (varId, value) => ({ type: 'update', data: { varId, value } });
const set = (varId, properties) => ({ type: 'update', data: { varId, properties } });
const valueOf = (messages, id) => messages.find((m) => m.type === 'update' && m.data.varId === id && 'value' in m.data)?.data.value;
const errorsOf = (messages) => messages.filter((m) => m.type === 'error').map((m) => m.data);
const codes = (messages) => errorsOf(messages).map((e) => e.code);

test('P43 P44 the three envelopes, leading blanks; userEvent is read from the wrapper alone', async () => {
  const own = await fresh();
  await own.ask(watch);
  const bodies = [
    (id) => JSON.stringify(create(id, 'name')),
    (id) => JSON.stringify([create(id, 'name')]),
    (id) => JSON.stringify({ messages: [create(id, 'name')] }),
    (id) => JSON.stringify({ userEvent: true, messages: [create(id, 'name')] }),
    (id) => JSON.stringify({ messages: [create(id, 'name')], userEvent: true }),
  ];
  let id = 2;
  for (const body of bodies)
    for (const blank of ['', ' ', '\n\t\r ']) {
      own.send(blank + body(id));
      await own.message((m) => m.data?.varId === id && m.data.value === 'North');
      id++;
    }
  await own.close();
});

test('P44 PX5 an empty wrapper is an empty batch that flushes when it is a user event', async () => {
  const own = await fresh();
  own.send('{"type":"update","data":{"varId":77,"value":1}}');
  own.send('{"userEvent":true,"messages":[]}');
  await own.message((m) => m.type === 'error');
  assert.deepEqual(codes(await own.ask([])), []);
  assert.equal(own.messages().filter((m) => m.type === 'error').length, 1, 'no error for the empty wrapper');
  await own.close();
});

test('P45 PX4 nested and flat forms are equal and mix; with a data object the siblings are ignored', async () => {
  const own = await fresh();
  const answer = await own.ask([
    { type: 'watch', id: 1 },
    { type: 'create', id: 2, parentId: 1, properties: { path: 'name' } },
    create(3, 'count'),
    {
      type: 'create',
      data: { id: 4, parentId: 1, properties: { path: 'flag' } },
      id: 99,
      parentId: 98,
      properties: {},
    },
    { type: 'create', data: 'no object', id: 5, parentId: 1, properties: { path: 'note' } },
  ]);
  assert.deepEqual(errorsOf(answer), []);
  assert.deepEqual([2, 3, 4, 5].map((id) => valueOf(answer, id)), ['North', 0, true, 'n']);
  assert.equal(valueOf(await own.ask([{ type: 'update', id: 2, value: 'x' }, { type: 'get', varIds: [2] }]), 2), undefined, 'no echo');
  await own.close();
});

test('P46 id and varId are one field; of both, id counts for create and varId for the others', async () => {
  const own = await fresh();
  let answer = await own.ask([{ type: 'watch', id: 1 }, { type: 'create', data: { varId: 2, parentId: 1, properties: { path: 'name' } } },
    { type: 'create', data: { id: 3, varId: 2, parentId: 1, properties: { path: 'count' } } }]);
  assert.deepEqual(errorsOf(answer), []);
  assert.equal(valueOf(answer, 2), 'North');
  assert.equal(valueOf(answer, 3), 0);
  answer = await own.ask({ type: 'destroy', data: { id: 2, varId: 3 } });
  assert.deepEqual(answer, [{ type: 'destroy', data: { varId: 3 } }]);
  await own.close();
});

test('P47 a missing value and null are different', async () => {
  const own = await fresh();
  await own.ask([watch, create(2, 'note'), create(3, 'bump()', { access: 'action' }), create(4, 'count')]);
  assert.deepEqual(await own.ask({ type: 'update', data: { varId: 3 } }), [], 'no value: nothing runs');
  assert.equal(valueOf(await own.ask(write(3, null)), 4), 1);
  assert.deepEqual(await own.ask({ type: 'update', data: { varId: 2 } }), []);
  await own.ask(write(2, null));
  assert.equal((await own.ask({ type: 'get', varIds: [2] }))[0].data.variables[0].value, null);
  await own.close();
});

test('P48 a first load as the browser client sends it', async () => {
  const own = await fresh();
  const answer = await own.ask([watch, create(2, 'name', { elementId: 'ui-4', access: 'r' })], false);
  assert.equal(answer.length, 2);
  assert.equal(answer[0].data.properties.type, 'Harbor');
  assert.deepEqual(answer[1], { type: 'update', data: { varId: 2, value: 'North' } });
  await own.close();
});

test('P49 P49a P50 success is silent; updates hold what changed and are never empty', async () => {
  const own = await fresh();
  await own.ask([watch, create(2, 'name'), create(3, 'rename(_)', { access: 'action' })]);
  assert.deepEqual(await own.ask([watch, { type: 'unwatch', data: { varId: 2 } }, { type: 'unwatch', data: { varId: 2 } }].slice(1)), []);
  await own.ask({ type: 'watch', data: { varId: 2 } });
  assert.deepEqual(await own.ask(write(3, 'East')), [{ type: 'update', data: { varId: 2, value: 'East' } }]);
  assert.deepEqual(await own.ask(set(2, { label: 'a', hint: 'b' })), [
    { type: 'update', data: { varId: 2, properties: { hint: 'b', label: 'a' } } },
  ]);
  assert.deepEqual(
    await own.ask(set(2, { label: '' })),
    [{ type: 'update', data: { varId: 2, properties: { label: '' } } }],
    'a removed property is ""',
  );
  for (const message of own.messages().filter((m) => m.type === 'update'))
    assert.ok('value' in message.data || Object.keys(message.data.properties).length > 0);
  await own.close();
});

// --- section 17, row by row ---

/** Messages that are to get exactly these codes, alone and between two good ones that must both be done (P52). */
async function refused(text, expected, sending = (body) => body) {
  const id = nextId;
  nextId += 2;
  const from = page.frames.length;
  page.send(sending(`${JSON.stringify(create(id, 'name'))},${text},${JSON.stringify(create(id + 1, 'count'))}`));
  await until(() => page.messages().some((m) => m.type === 'update' && m.data.varId === id + 1), `the message after ${text}`);
  const messages = page.frames.slice(from).flatMap((frame) => JSON.parse(frame));
  assert.deepEqual(codes(messages), expected, text);
  assert.equal(valueOf(messages, id), 'North', `the message before ${text}`);
  for (const error of errorsOf(messages)) {
    assert.ok(error.description.length > 3, 'a text for people');
    assert.notEqual(error.varId, 0, 'P98: left out, not 0');
    assert.ok(Object.keys(error).every((key) => ['varId', 'code', 'description'].includes(key)));
  }
  return errorsOf(messages)[0];
}
const inArray = (body) => `[${body}]`;

test('section 17: an empty frame is an empty batch', async () => {
  const own = await fresh();
  for (const blank of ['', ' ', '\n']) own.send(blank);
  await own.ask(watch);
  assert.equal(own.messages().filter((m) => m.type === 'error').length, 0);
  await own.close();
});

test('P43 PX6 section 17: text that is no JSON, truncated or followed by garbage is bad-message and nothing of it is done', async () => {
  const own = await fresh();
  await own.ask([watch, create(2, 'bump()', { access: 'action' }), create(3, 'count')]);
  const bad = [
    'hello', '5', '"x"', 'null', 'true', '-', '{', '[', '[1,', `[${JSON.stringify(write(2, null))}`,
    `${JSON.stringify(write(2, null))} x`, `[${JSON.stringify(write(2, null))}],`,
    `{"type":"update","data":{"varId":2,"value":nul}}`, `{'type':'update'}`, '{"type":"update",}', '[,]',
    '{"userEvent":true,"messages":[', '\ufeff{}', '{"type":"upd\u0001ate"}', '{"type":"x\\q"}', '{"value":NaN}',
    '{"value":01}', '{"value":1.}', '{"value":.5}', '{"value":+1}',
  ];
  for (const text of bad) {
    const from = own.frames.length;
    own.send(text);
    await until(() => own.frames.length > from, `an answer to ${text}`);
    const messages = own.frames.slice(from).flatMap((frame) => JSON.parse(frame));
    assert.deepEqual(codes(messages), ['bad-message'], text);
    assert.equal('varId' in messages[0].data, false);
  }
  assert.equal((await own.ask({ type: 'get', varIds: [3] }))[0].data.variables[0].value, 0, 'nothing ran');
  await own.close();
});

test('section 17: an array element that is no object; other elements are processed', async () => {
  for (const text of ['1', '"x"', 'null', 'true', '[]', '[{"type":"watch","id":1}]']) await refused(text, ['bad-message'], inArray);
});

test('section 17: type missing, unknown, not a string', async () => {
  for (const text of [
    '{}', '{"data":{"varId":1}}', '{"type":"nonsense"}', '{"type":""}', '{"type":"Watch","id":1}', '{"type":"poll"}',
    '{"type":"poll","wait":"5s"}',
  ])
    await refused(text, ['unknown-type'], inArray);
  for (const text of ['{"type":5}', '{"type":null}', '{"type":["watch"]}', '{"type":{}}', '{"type":true}'])
    await refused(text, ['bad-message'], inArray);
});

test('section 17: ids missing, zero, fractional, a string, beyond 64 bit', async () => {
  const bad = [
    '', '"varId":0', '"varId":1.5', '"varId":"1"', '"varId":null', '"varId":true', '"varId":9223372036854775808',
    '"varId":-9223372036854775809', '"varId":1e300', '"varId":[1]',
  ];
  for (const type of ['update', 'destroy', 'watch', 'unwatch'])
    for (const id of bad) {
      await refused(`{"type":"${type}","data":{${id}}}`, ['bad-message'], inArray);
      await refused(`{"type":"${type}"${id && `,${id}`}}`, ['bad-message'], inArray);
    }
  for (const id of bad)
    await refused(
      `{"type":"create","data":{${[id.replace('varId', 'id'), '"parentId":1', '"properties":{"path":"name"}'].filter(Boolean).join(',')}}}`,
      ['bad-message'],
      inArray,
    );
  for (const parent of ['1.5', '"1"', '9223372036854775808', 'true'])
    await refused(
      `{"type":"create","data":{"id":9001,"parentId":${parent},"properties":{"path":"name"}}}`,
      ['bad-message'],
      inArray,
    );
  for (const text of [
    '{"type":"get"}',
    '{"type":"get","varIds":1}',
    '{"type":"get","varIds":[1,"2"]}',
    '{"type":"getObjects"}',
    '{"type":"getObjects","objIds":[1.5]}',
  ])
    await refused(text, ['bad-message'], inArray);
});

test('section 17: properties that are no object of strings are refused whole', async () => {
  const own = await fresh();
  await own.ask([watch, create(2, 'name')]);
  for (const properties of ['[]', '"x"', '5', '{"a":"1","b":5}', '{"a":"1","b":null}', '{"a":"1","b":{"c":"d"}}', '{"a":"1","b":true}']) {
    await refused(`{"type":"update","data":{"varId":1,"properties":${properties}}}`, ['bad-message'], inArray);
    const answer = await own.ask([]);
    assert.deepEqual(answer, []);
    own.send(`{"type":"update","data":{"varId":2,"value":"changed","properties":${properties}}}`);
    const [row] = (await own.ask({ type: 'get', varIds: [2] })).find((m) => m.type === 'get').data.variables;
    assert.equal(row.value, 'North', `the value beside ${properties}`);
    assert.deepEqual(row.properties, { path: 'name' });
  }
  await own.close();
});

test('section 17: data null is {}; unknown fields are ignored; of duplicate keys the last counts', async () => {
  await refused('{"type":"watch","data":null,"id":1}', ['bad-message'], inArray);
  await refused('{"type":"watch","id":1,"colour":"red","data2":{"x":[1,{"y":2}]}}', [], inArray);
  await refused('{"type":"nonsense","type":"watch","id":77777,"id":1}', [], inArray);
  await refused('{"type":"watch","data":{"varId":77777,"varId":1},"ID":5,"VarId":6}', [], inArray);
  await refused('{"type":"watch","data":{"varId":77777},"data":{"varId":1}}', [], inArray);
  await refused('{"ty\\u0070e":"watch","\\u0069d":1}', [], inArray);
});

test('section 17 T37: values with nesting and references are legal', async () => {
  const own = await fresh();
  await own.ask([watch, create(2, 'note'), create(3, 'boats')]);
  const boats = (await own.ask({ type: 'get', varIds: [3] }))[0].data.variables[0].value;
  assert.deepEqual(await own.ask(write(2, [boats[0], 1, 'x', null, true])), []);
  assert.deepEqual(errorsOf(await own.ask(write(2, [[1, [2]], { a: { b: [3] } }, { obj: boats[0].obj }]))), []);
  assert.deepEqual(errorsOf(await own.ask(write(2, 'n'))), []);
  await own.close();
});

test('P79 PX16 section 17: self-parents, cycles, missing parents', async () => {
  const cases = [
    [create(9100, 'name', {}, 9100)],
    [create(9100, 'name', {}, 9101), create(9101, 'name', {}, 9100)],
    [create(9100, 'name', {}, 0)],
    [{ type: 'create', data: { id: 9100, properties: { path: 'name' } } }],
    [create(9100, 'name', {}, -1)],
    [create(9100, 'name', {}, 424242)],
  ];
  for (const messages of cases) {
    const answer = await page.ask(messages);
    assert.deepEqual(codes(answer), messages.map(() => 'bad-parent'));
    assert.equal(errorsOf(answer)[0].varId, 9100);
    assert.deepEqual(codes(await page.ask({ type: 'watch', id: 9100 })), ['not-found'], 'P84: nothing is left');
  }
});

// --- errors ---

test('P98 each code, with the id it belongs to', async () => {
  const own = await fresh();
  await own.ask([
    watch,
    create(2, 'name'),
    create(3, 'name', { access: 'r' }),
    create(4, 'fail()', { access: 'action' }),
    create(5, 'name.inner.x', { access: 'w' }),
  ]);
  const cases = [
    [{ type: 'watch', id: 50 }, 'not-found', 50],
    [write(50, 1), 'not-found', 50],
    [{ type: 'get', varIds: [50] }, 'not-found', 50],
    [create(2, 'name'), 'id-in-use', 2],
    [create(1, 'name'), 'id-in-use', 1],
    [create(51, 'name', {}, 50), 'bad-parent', 51],
    [{ type: 'create', data: { id: 51, parentId: 1 } }, 'bad-path', 51],
    [create(51, ''), 'bad-path', 51],
    [create(51, 'a..b'), 'bad-path', 51],
    [create(51, 'rename(_).x', { access: 'action' }), 'bad-path', 51],
    [create(51, 'a.'), 'bad-path', 51],
    [create(51, 'rename(_)', { access: 'rw' }), 'bad-access', 51],
    [create(51, 'name', { access: 'sideways' }), 'bad-access', 51],
    [write(3, 'x'), 'bad-access', 3],
    [write(1, { obj: 2 }), 'bad-access', 1],
    [{ type: 'destroy', id: 1 }, 'bad-access', 1],
    [create(51, 'nothing()', { access: 'r' }), 'path-failure', 51],
    [write(5, 'x'), 'path-failure', 5],
    [create(52, 'name.inner', { access: 'r' }), 'path-failure', 52],
    [write(4, null), 'lua-error', 4],
    [create(53, 'bad()', { access: 'r' }), 'lua-error', 53],
    [{ type: 'getObjects', objIds: [99999] }, 'not-found', undefined],
  ];
  for (const [message, code, id] of cases) {
    const [error, ...more] = errorsOf(await own.ask(message));
    assert.deepEqual([error?.code, error?.varId, more.length], [code, id, 0], JSON.stringify(message));
    assert.ok(!('error' in error), 'P100: no bare form');
  }
  await own.close();
});

test('P52 P53 PX3 a message that fails does not keep the next ones from being done, whatever the failure', async () => {
  const own = await fresh();
  const answer = await own.ask([
    watch,
    create(2, 'name', { access: 'sideways' }),
    create(3, 'rename(_).x'),
    create(4, 'fail()', { access: 'action' }),
    write(4, null),
    write(1, 5),
    create(5, 'count'),
    create(6, 'bump()', { access: 'action' }),
    write(6, null),
  ]);
  assert.deepEqual(codes(answer), ['bad-access', 'bad-path', 'lua-error', 'bad-access']);
  assert.equal(valueOf(answer, 5), 1, 'detection ran after them');
  await own.close();
});

test('P99 errors go to the sender alone; those of detection to every watcher', async () => {
  const id = await server.session();
  const one = await server.page(id), two = await server.page(id);
  for (const own of [one, two]) await own.ask([watch, create(2, 'upper()', { access: 'r' }), create(3, 'name')]);
  assert.deepEqual(codes(await one.ask({ type: 'watch', id: 50 })), ['not-found']);
  assert.deepEqual(await two.ask([]), []);
  assert.deepEqual(codes(await one.ask(write(3, 5))), ['lua-error']);
  await two.message((m) => m.type === 'error' && m.data.varId === 2 && m.data.code === 'lua-error');
  for (const own of [one, two]) await own.close();
});

test('P101 P103 each failed write has its own error; one found by detection is told once, and clears with an update', async () => {
  const own = await fresh();
  await own.ask([watch, create(2, 'fail()', { access: 'action' }), create(3, 'name'), create(4, 'bump()', { access: 'action' })]);
  for (let i = 0; i < 3; i++) assert.deepEqual(codes(await own.ask(write(2, null))), ['lua-error'], `write ${i}`);
  assert.deepEqual(codes(await own.ask([create(3, 'name'), create(3, 'name')])), ['id-in-use', 'id-in-use']);
  assert.deepEqual(codes(await own.ask(create(5, 'upper()', { access: 'r' }))), []);
  assert.deepEqual(codes(await own.ask(write(3, 5))), ['lua-error']);
  assert.deepEqual(await own.ask([]), [], 'told once');
  assert.deepEqual(await own.ask(write(4, null)), [], 'also after other changes');
  const cleared = await own.ask(write(3, 'North'));
  assert.deepEqual(
    cleared,
    [{ type: 'update', data: { varId: 5, value: 'NORTH' } }],
    'it reads again: an update, though the value is the one from before',
  );
  await own.close();
});

test('P101 PX34 a write that works after one that failed sends an update, for actions value null', async () => {
  const own = await fresh();
  const luaAction = 'session:getApp().fail = function() end';
  await own.ask([watch, create(2, 'fail()', { access: 'action' })]);
  assert.deepEqual(codes(await own.ask(write(2, null))), ['lua-error']);
  assert.deepEqual(await own.ask([set(1, { lua: luaAction }), write(2, null)]), [{ type: 'update', data: { varId: 2, value: null } }]);
  assert.deepEqual(await own.ask(write(2, null)), [], 'only once');
  await own.close();
});

test('P89 PX28 a refused value: what holds, then the error; the program keeps its value', async () => {
  const own = await fresh();
  await own.ask([watch, create(2, 'name', { access: 'r' }), create(3, 'name.x')]);
  assert.deepEqual(
    (await own.ask(write(2, 'South'))).map((m) => [m.type, m.data.varId, m.data.value]),
    [
      ['update', 2, 'North'],
      ['error', 2, undefined],
    ],
  );
  assert.deepEqual(
    (await own.ask([write(2, 'South'), { type: 'watch', id: 60 }])).map((m) => m.type),
    ['update', 'error', 'error'],
    'P59: in handling order',
  );
  await own.close();
});

test('P102 PX35 errors that pages send are taken and not answered', async () => {
  const own = await fresh();
  for (const message of [
    { type: 'error', data: { varId: 1, code: 'bad-viewdef', description: 'Harbor.DEFAULT: two roots' } },
    { type: 'error', data: {} },
    { type: 'error' },
    { type: 'error', data: { varId: 'x', code: 5 } },
  ])
    assert.deepEqual(await own.ask(message), []);
  await until(() => server.logs().some((text) => text.includes('bad-viewdef') && text.includes('two roots')), 'the record');
  await own.close();
});

// --- update ---

test('P86 P87 P88 properties: suffixes, order, removal, no change sends nothing', async () => {
  const own = await fresh();
  await own.ask([watch, create(2, 'name')]);
  assert.deepEqual(
    (await own.ask(set(2, { 'a:low': '1', 'b:HIGH': '2', 'c:Med': '3', 'd:medium': '4', 'e:x': '5' }))).map(
      (m) => m.data.properties,
    ),
    [{ b: '2' }, { c: '3', d: '4', 'e:x': '5' }, { a: '1' }],
  );
  assert.deepEqual(await own.ask(set(2, { 'a:low': '1', 'b:high': '2' })), [], 'the same value at the same priority');
  assert.deepEqual((await own.ask(set(2, { 'b:low': '2' }))).map((m) => m.data.properties), [{ b: '2' }], 'another priority is a change');
  assert.deepEqual((await own.ask(set(2, { b: '' }))).map((m) => m.data.properties), [{ b: '' }]);
  await own.close();
});

test('P55 P61 a value that reads back equal is not echoed, one that the program changed is', async () => {
  const own = await fresh();
  await own.ask([watch, create(2, 'name'), create(3, 'clip')]);
  assert.deepEqual(await own.ask(write(2, 'South')), []);
  await own.ask(
    set(1, {
      lua: `
        local app = session:getApp()
        local seen
        setmetatable(app, {
          __index = function(t, k)
            if k == "clip" then return seen end
            return Harbor[k]
          end,
          __newindex = function(t, k, v)
            if k == "clip" then
              seen = tostring(v):sub(1, 3)
            else
              rawset(t, k, v)
            end
          end,
        })
      `,
    }),
  );
  assert.deepEqual((await own.ask(write(3, 'abcdef'))).map((m) => m.data), [{ varId: 3, value: 'abc' }]);
  await own.close();
});

test('P90 an action runs each time; a placeholder gets the value, null included', async () => {
  const own = await fresh();
  await own.ask([
    watch,
    create(2, 'bump()', { access: 'action' }),
    create(3, 'count'),
    create(4, 'rename(_)', { access: 'action' }),
    create(5, 'name'),
  ]);
  assert.equal(valueOf(await own.ask([write(2, null), write(2, null), write(2, 7)]), 3), 3);
  assert.equal(valueOf(await own.ask(write(4, 'West')), 5), 'West');
  assert.deepEqual(await own.ask(write(4, 'West')), []);
  assert.equal(valueOf(await own.ask(write(4, null)), 5) ?? 'prototype', 'North', 'null takes the field away, the prototype shows');
  await own.close();
});

test('P91 PX29 variable 1 has no value to write; its properties may be set', async () => {
  const own = await fresh();
  await own.ask([watch, create(2, 'name')]);
  for (const value of [null, 5, { obj: 1 }, []]) assert.deepEqual(codes(await own.ask(write(1, value))), ['bad-access']);
  assert.deepEqual(await own.ask(set(1, { url: '/x/y' })), [{ type: 'update', data: { varId: 1, properties: { url: '/x/y' } } }]);
  assert.equal((await own.ask({ type: 'get', varIds: [2] }))[0].data.variables[0].value, 'North');
  await own.close();
});

test('P91a PX30 L139 the lua property: inline and a file, both forms; it is dropped and told to nobody', async () => {
  const site = await Server.start({
    'lua/main.lua': MAIN,
    'lua/helpers.lua': 'session:getApp().name = "from a file"',
    'html/x.lua': 'session:getApp().name = "stolen"',
  });
  const id = await site.session();
  const own = await site.page(id), other = await site.page(id);
  await other.ask([watch]);
  await own.ask([watch, create(2, 'name')]);
  assert.deepEqual(await own.ask({ type: 'update', id: 1, properties: { lua: 'session:getApp().name = "inline"' } }), [
    { type: 'update', data: { varId: 2, value: 'inline' } },
  ]);
  assert.deepEqual(await own.ask(set(1, { lua: 'helpers.lua' })), [{ type: 'update', data: { varId: 2, value: 'from a file' } }]);
  for (const bad of ['error("no")', 'x =', '../html/x.lua', '/etc/passwd.lua', 'missing.lua', '..\\html\\x.lua']) {
    const answer = await own.ask(set(1, { lua: bad }));
    assert.deepEqual(errorsOf(answer).map((e) => [e.varId, e.code]), [[1, 'lua-error']], bad);
    assert.equal(answer.length, 1);
  }
  for (let i = 0; i < 2; i++)
    assert.deepEqual(
      errorsOf(await own.ask(set(1, { 'lua:high': 'count = (count or 0) + 1 session:getApp().count = count' }))),
      [],
    );
  assert.equal((await own.ask(create(3, 'count'))).at(-1).data.value, 2, 'the same text twice');
  assert.deepEqual(await other.ask([]), []);
  assert.ok(!own.messages().concat(other.messages()).some((m) => m.data?.properties && 'lua' in m.data.properties));
  assert.ok(!('lua' in (await (await site.fetch(`/${id}/variables.json`)).json())[0].properties));
  await own.close();
  await other.close();
  await site.stop();
});

test('P91a P98 L140 off the loopback the lua property is unauthorized without its option', async () => {
  for (const [options, expected] of [[['--host', '0.0.0.0'], ['unauthorized']], [['--host', '0.0.0.0', '--allow-lua-property'], []]]) {
    const site = await Server.start({ 'lua/main.lua': MAIN }, options);
    site.url = `http://127.0.0.1:${site.port}`;
    const own = await site.page(await site.session());
    const answer = await own.ask([watch, set(1, { lua: 'ran = true' })]);
    assert.deepEqual(codes(answer), expected);
    await own.close();
    await site.stop();
  }
});

// --- inactive ---

test('P92 P93 P94 P95 PX31 inactive: values are ignored, nothing is sent, and it can be cleared', async () => {
  const id = await server.session();
  const own = await server.page(id), other = await server.page(id);
  await own.ask([watch, create(2, 'boats.0'), create(3, 'name', {}, 2), create(4, 'bump()', { access: 'action' }), create(5, 'count')]);
  await other.ask([watch, create(2, 'boats.0.name')]);
  await own.ask(set(2, { inactive: 'true' }));
  assert.deepEqual(await own.ask([write(3, 'ignored'), set(3, { label: 'kept' })]), [], 'P93: neither error nor echo; the descendants too');
  assert.equal((await other.ask({ type: 'get', varIds: [2] }))[0].data.variables[0].value, 'Gull');
  assert.deepEqual(await other.ask(write(2, 'Tern')), []);
  assert.deepEqual(await own.ask([]), [], 'P95: held back');
  const back = await own.ask(set(2, { inactive: '' }));
  assert.equal(valueOf(back, 3), 'Tern');
  assert.equal(back.filter((m) => m.data.varId === 3 && 'value' in m.data).length, 1);
  assert.ok(back.some((m) => m.data.varId === 3 && m.data.properties?.label === 'kept'));
  const born = await own.ask([create(6, 'name', { inactive: 'true' })]);
  assert.equal(valueOf(born, 6), undefined, 'P94: given in create');
  assert.deepEqual(await own.ask(write(6, 'x')), []);
  assert.equal(valueOf(await own.ask(set(6, { inactive: '' })), 6), 'North');
  await own.close();
  await other.close();
});
