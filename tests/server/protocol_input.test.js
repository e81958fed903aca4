/** Input at the edge of what can be sent: long paths, deep values, numbers, bytes, ids, and very many variables at once
 * (section 17 of protocol.md, P47, P52, P78, P79, P98, P120). */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Server, until, within } from './lib.js';

const MAIN = `
Harbor = session:prototype("Harbor", { name = "North", count = 0, note = EMPTY })
function Harbor:bump() self.count = self.count + 1 end
local chain = {}
local at = chain
for i = 1, 400 do
  at.n = {}
  at = at.n
end
session:createAppVariable(session:create(Harbor, {
  chain = chain,
  big = 9007199254740993,
  least = math.mininteger,
  most = math.maxinteger,
  nan = 0/0,
  inf = 1/0,
  bytes = "a\\xff\\xfeb",
  nul = "a\\0b",
}))
`;

let server, page;

before(async () => {
  server = await Server.start({ 'lua/main.lua': MAIN }, ['--max-messages', '300000']);
  page = await server.page(await server.session());
  await page.ask([watch, create(2, 'count'), create(3, 'bump()', { access: 'action' })]);
});

after(async () => {
  await page.close();
  await server.stop();
});

const watch = { type: 'watch', data: { varId: 1 } };
const create = (id, where, more = {}, parentId = 1) => ({ type: 'create', data: { id, parentId, properties: { path: where, ...more } } });
const errorsOf = (messages) => messages.filter((m) => m.type === 'error').map((m) => m.data);

/** Send a message between two others that must both be done (P52); the answers of the message alone. */
async function between(text) {
  const from = page.frames.length;
  const action = '{"type":"update","id":3,"value":null}';
  const before = (await page.ask({ type: 'get', varIds: [2] }))[0].data.variables[0].value;
  page.send(`{"userEvent":true,"messages":[${action},${text},${action},{"type":"get","varIds":[2]}]}`);
  await until(() => page.frames.slice(from + 1).some((frame) => frame.includes('"get"')), 'the answer');
  const messages = page.frames.slice(from + 1).flatMap((frame) => JSON.parse(frame));
  assert.equal(
    (await page.ask({ type: 'get', varIds: [2] }))[0].data.variables[0].value,
    before + 2,
    `the messages beside ${text.slice(0, 100)}`,
  );
  return messages.filter((m) => m.type !== 'get' && m.data.varId !== 2);
}

const JS = (message) => JSON.stringify(message);

test('section 17 P78 ids used again are refused each time, and free once destroyed', async () => {
  await page.ask(create(10, 'name'));
  for (let i = 0; i < 3; i++)
    assert.deepEqual(
      errorsOf(await between(JS(create(10, 'count')))).map((e) => [e.varId, e.code]),
      [[10, 'id-in-use']],
    );
  const answer = await page.ask(Array.from({ length: 50 }, () => [{ type: 'destroy', id: 10 }, create(10, 'name')]).flat());
  assert.deepEqual(errorsOf(answer), []);
  assert.deepEqual(
    answer.filter((m) => m.data.varId === 10).map((m) => m.data.value ?? m.type),
    [...Array(50).fill('destroy'), 'North'],
    'each end, and the last life (P97)',
  );
  await page.ask({ type: 'destroy', id: 10 });
});

test('section 17 PX16 parents that would make a cycle, also with a live variable', async () => {
  await page.ask(create(10, 'chain'));
  for (const [id, parent, code] of [
    [11, 11, 'bad-parent'],
    [10, 10, 'id-in-use'],
    [11, 12, 'bad-parent'],
    [12, 11, 'bad-parent'],
    [11, -5, 'bad-parent'],
    [11, 0, 'bad-parent'],
  ])
    assert.deepEqual(
      errorsOf(await between(JS(create(id, 'n', {}, parent)))).map((e) => [e.varId, e.code]),
      [[id, code]],
      `${id} below ${parent}`,
    );
  assert.equal((await server.fetch('/')).status, 302);
  await page.ask({ type: 'destroy', id: 10 });
});

test('section 17 P80 paths of 300 steps and of 4 KB are followed or refused, never cut', async () => {
  assert.deepEqual((await between(JS(create(10, `chain${'.n'.repeat(254)}.name`)))).map((m) => m.data.value), [null], '256 steps');
  assert.deepEqual((await between(JS(create(11, `chain${'.n'.repeat(200)}`)))).map((m) => typeof m.data.value.obj), ['number']);
  assert.deepEqual((await between(JS(create(12, 'x'.repeat(4096))))).map((m) => m.data.value), [null], 'a name of 4 KB');
  for (const where of [`chain${'.n'.repeat(299)}`, `chain${'.n'.repeat(2000)}`, 'x'.repeat(4097), 'x'.repeat(1000000)]) {
    const [error, ...more] = await between(JS(create(13, where)));
    assert.deepEqual([error.data.varId, error.data.code, more.length], [13, 'bad-path', 0], where.slice(0, 20));
    assert.match(error.data.description, /256 steps|4096 bytes/);
  }
  for (const where of [
    '.'.repeat(4096), 'a.'.repeat(2048), `${'('.repeat(4096)}`, `name${'()'.repeat(2000)}`, '..'.repeat(2048),
    `@${'x'.repeat(4096)}`, '/'.repeat(4096),
  ]) {
    const answer = await between(JS(create(14, where)));
    assert.ok(answer.length <= 2, `${where.slice(0, 10)}: ${answer.length} messages`);
    for (const error of errorsOf(answer)) assert.ok(error.varId === 14 && error.code && error.description.length < 10000);
    await page.ask({ type: 'destroy', id: 14 });
  }
  const properties = (count) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`p${i}`, 'v'.repeat(100)]));
  assert.deepEqual(errorsOf(await between(JS(create(15, 'name', properties(1000))))).map((e) => [e.varId, e.code]), [[15, 'internal']]);
  assert.deepEqual(errorsOf(await between(JS(create(15, 'name', properties(255))))), []);
  assert.equal(Object.keys((await page.ask({ type: 'get', varIds: [15] }))[0].data.variables[0].properties).length, 256);
  await page.ask([10, 11, 12, 15].map((id) => ({ type: 'destroy', id })));
});

test('section 17 T37 values nested a thousand deep are an error with a code, or come back whole', async () => {
  await page.ask(create(10, 'note'));
  const nested = (levels, open, close, inner) => `{"type":"update","id":10,"value":${open.repeat(levels)}${inner}${close.repeat(levels)}}`;
  for (const [open, close] of [['[', ']'], ['{"a":', '}']]) {
    for (const levels of [10, 100, 150])
      assert.deepEqual(errorsOf(await between(nested(levels, open, close, '1'))), [], `${levels} levels of ${open}`);
    const from = page.frames.length;
    for (const levels of [1000, 5000, 100000]) page.send(nested(levels, open, close, '1'));
    await until(() => errorsOf(page.frames.slice(from).flatMap((frame) => JSON.parse(frame))).length === 3, 'three errors');
    for (const error of errorsOf(page.frames.slice(from).flatMap((frame) => JSON.parse(frame))))
      assert.ok(['bad-message', 'internal'].includes(error.code), JSON.stringify(error));
  }
  assert.deepEqual(await between('{"type":"update","id":10,"value":"flat again"}'), []);
  await page.ask({ type: 'destroy', id: 10 });
});

test('section 17 P47 T31 numbers: 64-bit integers are exact, what is no number is no JSON', async () => {
  const answer = await page.ask([
    create(10, 'big'),
    create(11, 'least'),
    create(12, 'most'),
    create(13, 'nan'),
    create(14, 'inf'),
    create(15, 'note'),
  ]);
  assert.deepEqual(
    errorsOf(answer).map((e) => [e.varId, e.code]),
    [
      [13, 'path-failure'],
      [14, 'path-failure'],
    ],
    'a number that JSON does not have is said to be one',
  );
  const text = page.frames.join('\n');
  for (const digits of ['9007199254740993', '-9223372036854775808', '9223372036854775807'])
    assert.ok(text.includes(`"value":${digits}`), digits);
  for (const id of [13, 14])
    assert.equal(answer.find((m) => m.type === 'update' && m.data.varId === id).data.value, null, 'and shown as null');
  for (const digits of [
    '9007199254740993', '-9223372036854775808', '9223372036854775807', '-0', '0.1', '1E+2',
    '123456789012345678901234567890',
  ]) {
    const errors = errorsOf(await between(`{"type":"update","id":15,"value":${digits}}`));
    assert.ok(
      errors.length <= 1 && errors.every((e) => e.code === 'bad-message' || e.varId === 15),
      `${digits}: ${JSON.stringify(errors)}`,
    );
  }
  await between('{"type":"update","id":15,"value":9007199254740993}');
  await page.ask({ type: 'get', varIds: [15] });
  assert.ok(page.frames.at(-1).includes('"value":9007199254740993'));
  for (const wrong of ['1e400', 'NaN', 'Infinity', '-Infinity', '0x10', '1_000', '01', '--1', '1e', 'undefined']) {
    const from = page.frames.length;
    page.send(`{"type":"update","id":15,"value":${wrong}}`);
    await until(() => page.frames.length > from, `an answer to ${wrong}`);
    assert.equal(JSON.parse(page.frames.at(-1)).data.code, 'bad-message', wrong);
  }
  await page.ask([10, 11, 12, 13, 14, 15].map((id) => ({ type: 'destroy', id })));
});

test('section 17 P47 ids of 64 bits are ids like others', async () => {
  for (const id of ['9223372036854775807', '4611686018427387904', '9007199254740993', '1000000002']) {
    const from = page.frames.length;
    const made = `{"type":"create","id":${id},"parentId":1,"properties":{"path":"name"}}`;
    page.send(`{"userEvent":true,"messages":[${made},{"type":"get","varIds":[${id}]}]}`);
    await until(() => page.frames.length > from, 'the answer');
    assert.ok(page.frames.at(-1).includes(`{"varId":${id},"value":"North"}`), page.frames.at(-1));
    page.send(`{"userEvent":true,"messages":[{"type":"destroy","id":${id}}]}`);
    await until(() => page.frames.at(-1).includes(`"destroy","data":{"varId":${id}}`), 'the notice');
  }
  assert.deepEqual(
    errorsOf(await between('{"type":"watch","id":9007199254740992}')).map((e) => e.code),
    ['not-found'],
    'not rounded to another',
  );
});

test('section 17 P37 bytes: invalid UTF-8 ends its connection alone; NUL and lone halves are text', async () => {
  const bad = [
    Buffer.from([0xff]),
    Buffer.from([0xc0, 0x80]),
    Buffer.from([0xed, 0xa0, 0x80]),
    Buffer.from([0xf5, 0x80, 0x80, 0x80]),
    Buffer.from([0xe2, 0x82]),
    Buffer.from('[{"type":"watch","id":1,"x":"\xe4"}]', 'latin1'),
  ];
  for (const bytes of bad) {
    const own = await server.page(await server.session());
    own.send(bytes);
    assert.equal(await within(10000, own.closed, 'the close'), 1007, bytes.toString('hex'));
  }
  await page.ask(create(10, 'note'));
  for (const value of ['a\u0000b', '\u0000', '\u{10ffff}', '\uffff', '\u2028\u2029', '😀'.repeat(1000)]) {
    assert.deepEqual(await between(JS({ type: 'update', id: 10, value })), []);
    assert.equal((await page.ask({ type: 'get', varIds: [10] }))[0].data.variables[0].value, value);
  }
  const half = errorsOf(await between('{"type":"update","id":10,"value":"\\ud800"}'));
  assert.ok(half.every((e) => e.code === 'bad-message'));
  const lua = await page.ask([create(11, 'bytes'), create(12, 'nul')]);
  assert.equal(lua.find((m) => m.data.varId === 12).data.value, 'a\u0000b');
  assert.match(lua.find((m) => m.data.varId === 11).data.value, /^a.+b$/, 'bytes that are no UTF-8 do not break the frame');
  await page.ask([10, 11, 12].map((id) => ({ type: 'destroy', id })));
});

test('section 17 Q2 100,000 variables made and destroyed in one frame; others go on meanwhile', async () => {
  const steady = await server.page(await server.session());
  await steady.ask([watch, create(2, 'count'), create(3, 'bump()', { access: 'action' })]);
  const own = await server.page(await server.session());
  await own.ask(watch);
  const many = 99990;
  const messages = [];
  for (let i = 0; i < many; i++) messages.push(create(i + 2, 'name'));
  for (let i = 0; i < many; i++) messages.push({ type: 'destroy', id: i + 2 });
  messages.push(create(2, 'count'));
  let answered = false, worst = 0;
  const answer = own.ask(messages).then((all) => {
    answered = true;
    return all;
  });
  while (!answered) {
    const begun = performance.now();
    await steady.ask({ type: 'update', id: 3, value: null });
    worst = Math.max(worst, performance.now() - begun);
  }
  const all = await answer;
  assert.deepEqual(errorsOf(all), []);
  assert.deepEqual(all.at(-1), { type: 'update', data: { varId: 2, value: 0 } });
  assert.equal(all.filter((m) => m.type === 'destroy' && m.data.varId !== 2).length, many - 1);
  assert.ok(worst < 5000, `an event of another session took ${worst} ms`);
  const chain = [create(10, 'chain')];
  for (let i = 1; i < 300; i++) chain.push(create(10 + i, 'n', {}, 9 + i));
  assert.deepEqual(errorsOf(await own.ask(chain)), [], 'one below the other');
  assert.equal((await own.ask({ type: 'destroy', id: 10 })).length, 300);
  for (const one of [steady, own]) await one.close();
});
