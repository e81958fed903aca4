/** Batches and what they are answered with: order, flush, frames, watching, creating, destroying, the transcripts
 * (P51–P88, P96, P97, sections 9, 12 and 18 of protocol.md). */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Server, until } from './lib.js';

const MAIN = `
Harbor = session:prototype("Harbor", { name = "North", count = 0, flag = true })
Card = session:prototype("Card", { value = EMPTY })
function Card:new(v) return session:create(Card, { value = v }) end
function Harbor:bump() self.count = self.count + 1 end
function Harbor:fail() error("mast broken") end
function Harbor:launch() self.boats[#self.boats + 1] = { type = "Boat", name = "New" } end
function Harbor:rename(v) self.name = v end
function Harbor:later()
  session:setTimeout(function() self.count = self.count + 1 end, 1)
end
session:createAppVariable(session:create(Harbor, {
  boats = { { type = "Boat", name = "Gull" } },
  plain = { x = 1 },
  numbers = { 1, 2.5, 3 },
}))
`;

let server;

before(async () => {
  server = await Server.start({ 'lua/main.lua': MAIN });
});

after(() => server.stop());

const fresh = async (options) => server.page(await server.session(), options);
const watch = { type: 'watch', data: { varId: 1 } };
const create = (id, where, more = {}, parentId = 1) => ({ type: 'create', data: { id, parentId, properties: { path: where, ...more } } });
const write = (varId, value) => ({ type: 'update', data: { varId, value } });
const set = (varId, properties) => ({ type: 'update', data: { varId, properties } });
const update = (varId, value) => ({ type: 'update', data: { varId, value } });
const about = (messages, id) => messages.filter((m) => (m.data.varId ?? m.data.id) === id);

/** A page that watches variable 1. */
async function ready(...messages) {
  const own = await fresh();
  await own.ask([watch, ...messages]);
  return own;
}

/** The frames that come until `match` accepts one of their messages. */
async function framesUntil(own, send, match) {
  const from = own.frames.length;
  send();
  await until(() => own.frames.slice(from).some((frame) => [JSON.parse(frame)].flat().some(match)), 'a frame');
  return own.frames.slice(from).map((frame) => JSON.parse(frame));
}

test('P65 one message is a bare object, several are one array in queue order, never a wrapper', async () => {
  const own = await ready();
  const single = await framesUntil(own, () => own.send({ userEvent: true, messages: [create(2, 'name')] }), (m) => m.data.varId === 2);
  assert.deepEqual(single, [update(2, 'North')]);
  const several = await framesUntil(
    own,
    () => own.send({ userEvent: true, messages: [create(3, 'count'), create(4, 'flag')] }),
    (m) => m.data.varId === 4,
  );
  assert.deepEqual(several, [[update(3, 0), update(4, true)]]);
  await own.close();
});

test(
  'P51 P59 P60 P88 the order of a batch: errors and notices as handled, then view definitions, then updates by class, parents first',
  async () => {
    const site = await Server.start({ 'lua/main.lua': MAIN, 'viewdefs/Harbor.DEFAULT.html': '<template><b></b></template>' });
    const own = await site.page(await site.session());
    const answer = await own.ask([
      create(2, 'boats.0', { priority: 'low' }),
      create(3, 'name', {}, 2),
      create(4, 'count', { priority: 'high' }),
      { type: 'watch', id: 90 },
      create(5, 'flag'),
      { type: 'destroy', id: 5 },
      watch,
      { type: 'watch', id: 91 },
      create(6, 'name'),
    ]);
    const shape = answer.map((m) => [
      m.type,
      m.data.varId,
      m.type === 'update' && m.data.properties?.viewdefs ? 'viewdefs' : 'value' in m.data ? 'value' : '',
    ]);
    assert.deepEqual(shape.slice(0, 4), [['error', 90, ''], ['destroy', 5, ''], ['error', 91, ''], ['update', 1, 'viewdefs']]);
    assert.deepEqual(
      shape
        .slice(4)
        .filter((m) => m[2] === 'value')
        .map((m) => m[1]),
      [4, 1, 3, 6, 2].filter((id) => shape.slice(4).some((m) => m[1] === id)),
      JSON.stringify(shape),
    );
    await own.close();
    await site.stop();
  },
);

test('P60 PX22 a parent comes before its children and siblings in creation order, every time', async () => {
  const own = await ready();
  const ids = Array.from({ length: 60 }, (_, i) => 900 - i * 7);
  const answer = await own.ask([create(2, 'boats.0'), ...ids.map((id, i) => create(id, i % 2 ? 'name' : 'count', {}, i % 3 ? 1 : 2))]);
  const seen = answer.map((m) => m.data.varId);
  const expected = [2, ...ids.filter((_, i) => i % 3 === 0), ...ids.filter((_, i) => i % 3 !== 0)];
  assert.deepEqual(seen, expected);
  await own.close();
});

test('P61 value and properties of one class share a message; of different classes they are several', async () => {
  const own = await ready(create(2, 'name'), create(3, 'rename(_)', { access: 'action' }));
  assert.deepEqual(await own.ask([write(3, 'East'), set(2, { a: '1' })]), [
    { type: 'update', data: { varId: 2, value: 'East', properties: { a: '1' } } },
  ]);
  assert.deepEqual(await own.ask([write(3, 'West'), set(2, { 'b:high': '1', 'c:low': '2' })]), [
    { type: 'update', data: { varId: 2, properties: { b: '1' } } },
    { type: 'update', data: { varId: 2, value: 'West' } },
    { type: 'update', data: { varId: 2, properties: { c: '2' } } },
  ]);
  await own.close();
});

test('P62 P64 PX2 what is no user event is sent within some ms, and later entries share the frame', async () => {
  const own = await ready();
  /* A machine that has something else to do may tear the three apart, but not every time. */
  let next = 2;
  await until(async () => {
    const id = next += 2, begun = performance.now();
    const frames = await framesUntil(own, () => {
      own.send([create(id, 'name')]);
      own.send([create(id + 1, 'count')]);
      own.send({ messages: [{ type: 'watch', id: 70 }] });
    }, (m) => m.data.varId === 70);
    assert.equal(frames.flat().length, 3, JSON.stringify(frames));
    return frames.length <= 2 && performance.now() - begun < 2000;
  }, 'an answer in time, in at most two frames');
  for (const message of [{ type: 'watch', id: 71 }, { type: 'destroy', id: 4 }, { type: 'get', varIds: [5] }]) {
    const from = own.frames.length;
    own.send(message);
    await until(() => own.frames.length > from, `an answer to ${message.type}, with nothing else going on`);
  }
  await own.close();
});

test('P63 a user event takes along what was waiting, in one frame', async () => {
  const own = await ready();
  const frames = await framesUntil(own, () => {
    own.send([create(2, 'name')]);
    own.send({ userEvent: true, messages: [create(3, 'count')] });
  }, (m) => m.data.varId === 3);
  assert.deepEqual(frames.flat().map((m) => m.data.varId), [2, 3]);
  await own.close();
});

test('P54 P62 work of timers is followed by detection and delivered by itself', async () => {
  const own = await ready(create(2, 'count'), create(3, 'later()', { access: 'action' }));
  own.send(write(3, null));
  await own.message((m) => m.data?.varId === 2 && m.data.value === 1);
  await own.close();
});

test('P54 without a connection changes wait for the next page', async () => {
  const id = await server.session();
  const own = await server.page(id);
  await own.ask([watch, create(2, 'count'), create(3, 'later()', { access: 'action' })]);
  own.send({ userEvent: true, messages: [write(3, null)] });
  await own.close();
  const control = server.control();
  const { sessions } = await control.call('sessions');
  const { session } = sessions.find((row) => row.url.endsWith(id));
  await until(async () => (await control.call('eval', { session, code: 'return session:getApp().count' })).json === 1, 'the timer');
  control.close();
  const next = await server.page(id);
  assert.deepEqual(about(await next.ask([watch, create(2, 'count')]), 2), [update(2, 1)]);
  await next.close();
});

test('P66 P76 an unwatched variable is computed, its changes are told to nobody and count as told', async () => {
  const own = await ready(create(2, 'bump()', { access: 'action' }), {
    type: 'create',
    data: { id: 3, parentId: 1, nowatch: true, properties: { path: 'count' } },
  });
  assert.deepEqual(await own.ask(write(2, null)), []);
  assert.equal((await own.ask({ type: 'get', varIds: [3] }))[0].data.variables[0].value, 1);
  assert.deepEqual(about(await own.ask({ type: 'watch', id: 3 }), 3).map((m) => m.data.value), [1]);
  assert.deepEqual(await own.ask([]), []);
  await own.close();
});

test('P57 PX8 without variable 1 answers and updates are delivered', async () => {
  const site = await Server.start({
    'lua/main.lua': `
      local box = { name = "n" }
      function put(v) box.name = v end
    `,
  });
  const own = await site.page(await site.session());
  assert.deepEqual((await own.ask(watch)).map((m) => [m.data.code, m.data.varId]), [['not-found', 1]]);
  assert.deepEqual((await own.ask(create(2, 'name'))).map((m) => m.data.code), ['bad-parent']);
  await own.close();
  await site.stop();
});

test('P67 a session that computes does not delay the frames of another', async () => {
  const site = await Server.start({
    'lua/main.lua': `
      ${MAIN}
      function Harbor:spin() while true do end end
    `,
  }, ['--time-limit', '20s']);
  const one = await site.page(await site.session()), two = await site.page(await site.session());
  await one.ask([watch, create(2, 'spin()', { access: 'action' })]);
  await two.ask(watch);
  one.send({ userEvent: true, messages: [write(2, null)] });
  const control = site.control();
  await until(async () => (await control.call('sessions')).sessions.some((row) => row.busy), 'the session that computes');
  for (let id = 10; id < 30; id++) {
    two.send([create(id, 'name')]);
    await two.message((m) => m.data?.varId === id);
  }
  assert.ok(!one.frames.some((frame) => frame.includes('lua-error')), 'it computes all the time');
  /* What a page sends while its session computes waits its turn, its close frame too. */
  await control.call('interrupt', { session: '1' });
  control.close();
  await one.close();
  await two.close();
  await site.stop();
});

// --- watching ---

test('P70 P71 P72 P74 PX25 tallies: two watches need two unwatches; each watch gives the full update', async () => {
  const own = await ready(create(2, 'name', { label: 'x' }), create(3, 'rename(_)', { access: 'action' }));
  const full = [{ type: 'update', data: { varId: 2, value: 'North', properties: { label: 'x', path: 'name' } } }];
  assert.deepEqual(await own.ask({ type: 'watch', id: 2 }), full);
  assert.deepEqual(await own.ask({ type: 'unwatch', id: 2 }), []);
  assert.deepEqual(await own.ask(write(3, 'A')), [update(2, 'A')], 'one is left');
  assert.deepEqual(
    await own.ask([
      { type: 'unwatch', id: 2 },
      { type: 'unwatch', id: 2 },
      { type: 'unwatch', id: 2 },
      { type: 'unwatch', id: 999 },
    ]),
    [],
    'too many and unknown: silent',
  );
  assert.deepEqual(await own.ask(write(3, 'B')), []);
  assert.equal((await own.ask({ type: 'watch', id: 2 }))[0].data.value, 'B');
  assert.deepEqual(await own.ask(write(3, 'C')), [update(2, 'C')]);
  await own.close();
});

test('P72 PX24 a watch of null says null', async () => {
  const own = await ready(create(2, 'nothing', { label: 'x' }));
  assert.deepEqual(await own.ask({ type: 'watch', id: 2 }), [
    { type: 'update', data: { varId: 2, value: null, properties: { label: 'x', path: 'nothing' } } },
  ]);
  await own.close();
});

test('P73 PX23 a watch of an unknown id leaves no tally', async () => {
  const own = await ready();
  assert.deepEqual((await own.ask({ type: 'watch', id: 2 })).map((m) => m.data.code), ['not-found']);
  assert.deepEqual(await own.ask({ type: 'create', data: { id: 2, parentId: 1, nowatch: true, properties: { path: 'name' } } }), []);
  await own.close();
});

test('P75 PX26 an unwatched parent does not freeze its watched children', async () => {
  const own = await ready(create(2, 'boats.0'), create(3, 'name', {}, 2), create(4, 'boats.0.name'));
  await own.ask({ type: 'unwatch', id: 2 });
  assert.deepEqual(await own.ask(write(4, 'Tern')), [update(3, 'Tern')]);
  await own.close();
});

test('P77 P97 watches end with their variable; its id is free at once, also in the same batch', async () => {
  const own = await ready(create(2, 'name'));
  await own.ask([{ type: 'watch', id: 2 }, { type: 'watch', id: 2 }]);
  assert.deepEqual(
    await own.ask([{ type: 'destroy', id: 2 }, create(2, 'count')]),
    [{ type: 'destroy', data: { varId: 2 } }, update(2, 0)],
    'the notice of the old life, then the new one',
  );
  await own.ask({ type: 'unwatch', id: 2 });
  assert.deepEqual(await own.ask([create(3, 'bump()', { access: 'action' }), write(3, null)]), [], 'the tallies of the old life are gone');
  await own.close();
});

// --- create ---

test('P78 ids: in use, 1, negative; the existing variable gains no watch', async () => {
  const own = await ready({ type: 'create', data: { id: 2, parentId: 1, nowatch: true, properties: { path: 'name' } } });
  assert.deepEqual(
    (await own.ask([create(2, 'count'), create(1, 'name')])).map((m) => [m.data.varId, m.data.code]),
    [
      [2, 'id-in-use'],
      [1, 'id-in-use'],
    ],
  );
  assert.equal((await own.ask(create(-1, 'name')))[0].type, 'error');
  assert.deepEqual(await own.ask([create(3, 'rename(_)', { access: 'action' }), write(3, 'x')]), [], 'no watch');
  assert.equal((await own.ask({ type: 'get', varIds: [2] }))[0].data.variables[0].properties.path, 'name');
  await own.close();
});

test('P80 T16 a path with a query sets properties', async () => {
  const own = await ready();
  assert.deepEqual(await own.ask(create(2, 'name?label=a%20b&flag')), [update(2, 'North')]);
  assert.deepEqual((await own.ask({ type: 'get', varIds: [2] }))[0].data.variables[0].properties, {
    flag: 'true',
    label: 'a b',
    path: 'name',
  });
  await own.close();
});

test('P81 value and unbound are taken and ignored for path variables', async () => {
  const own = await ready();
  assert.deepEqual(
    await own.ask({
      type: 'create',
      data: { id: 2, parentId: 1, value: 'mine', unbound: true, properties: { path: 'name' } },
    }),
    [update(2, 'North')],
  );
  await own.close();
});

test('P82 what a create sends, case by case', async () => {
  const own = await ready();
  const cases = [
    [create(10, 'name'), [{ value: 'North' }]],
    [create(11, 'count', { label: 'mine' }), [{ value: 0 }]],
    [create(12, 'flag'), [{ value: true }]],
    [create(13, 'numbers'), [{ value: [1, 2.5, 3] }]],
    [create(14, 'boats.0'), [{ value: 'ref', properties: { type: 'Boat' } }]],
    [create(15, 'plain'), [{ value: 'ref' }]],
    [
      create(16, 'boats', { wrapper: 'lua.ViewList' }),
      [{ properties: { fallbackNamespace: 'list-item' } }, { value: 'ref', properties: { type: 'lua.ViewList' } }],
    ],
    [create(17, 'name', { wrapper: 'Card' }), [{ value: 'ref', properties: { type: 'Card' } }]],
    [create(18, 'nothing'), [{ value: null }]],
    [create(19, 'nothing.at.all'), [{ value: null }]],
    [create(20, 'name', { access: 'w' }), []],
    [create(21, 'bump()', { access: 'action' }), []],
    [create(22, 'boats'), [{ value: 'array' }]],
  ];
  const tidy = ({ varId, value, ...rest }) => ({
    ...(value === undefined
      ? {}
      : { value: value?.obj > 0 ? 'ref' : Array.isArray(value) && value[0]?.obj > 0 ? 'array' : value }),
    ...rest,
  });
  for (const [message, expected] of cases) {
    const answer = await own.ask(message);
    /* P106: a type that appears brings its templates, the built-in ones of lua.ViewList too */
    const told = answer.filter((m) => !m.data.properties?.viewdefs);
    assert.deepEqual(told.map((m) => tidy(m.data)), expected, JSON.stringify(message.data));
    assert.ok(told.every((m) => m.type === 'update' && m.data.varId === message.data.id));
  }
  assert.deepEqual(await own.ask([write(20, 'South')]), [update(10, 'South')], 'nor does a w variable say anything later');
  await own.close();
});

test('P83 PX27 a path that cannot be followed: the variable is there, the error too, and the value comes later', async () => {
  const own = await ready();
  const broken = await own.ask([create(2, 'name.inner'), create(3, 'nothing.inner'), create(4, 'fail()', { access: 'r' })]);
  assert.deepEqual(about(broken, 2).filter((m) => m.type === 'error').map((m) => m.data.code), ['path-failure']);
  assert.deepEqual(about(broken, 3), [update(3, null)], 'a null on the way is only null');
  assert.deepEqual(about(broken, 4).filter((m) => m.type === 'error').map((m) => m.data.code), ['lua-error']);
  const repaired = await own.ask(
    set(1, {
      lua: `
        local app = session:getApp()
        app.name = { inner = "deep" }
        app.nothing = { inner = 5 }
        app.fail = function() return "well" end
      `,
    }),
  );
  assert.deepEqual([2, 3, 4].map((id) => about(repaired, id).find((m) => 'value' in m.data)?.data.value), ['deep', 5, 'well']);
  const gone = await own.ask(set(1, { lua: 'session:getApp().nothing = nil' }));
  assert.deepEqual(gone, [update(3, null)], 'PX27: the old text does not stay');
  await own.close();
});

test('P84 a create that fails uses up no object id', async () => {
  const own = await ready();
  const first = (await own.ask(create(2, 'plain')))[0].data.value.obj;
  for (let i = 0; i < 5; i++)
    await own.ask([
      create(3, 'boats.0', { access: 'sideways' }),
      create(3, 'boats..0'),
      create(3, 'boats.0', {}, 55),
      create(3, 'bump(_)', { access: 'r' }),
    ]);
  const second = (await own.ask(create(3, 'boats.0')))[0].data.value.obj;
  assert.equal(second, first + 1);
  await own.close();
});

test('P85 create and watch of one id in a batch give one value', async () => {
  const own = await ready();
  const answer = await own.ask([create(2, 'name'), { type: 'watch', id: 2 }]);
  assert.equal(answer.filter((m) => 'value' in m.data).length, 1, JSON.stringify(answer));
  await own.close();
});

// --- destroy ---

test('P96 PX32 destroy: children before parents, once each, also to the others that watched', async () => {
  const own = await ready(create(2, 'boats.0'), create(3, 'name', {}, 2), create(4, 'name', {}, 2), create(5, 'deep', {}, 4));
  const { data: { value: before } } = (await own.ask({ type: 'get', varIds: [2] }))[0].data.variables[0] ? { data: { value: 1 } } : {};
  assert.equal(before, 1);
  const answer = await own.ask({ type: 'destroy', id: 2 });
  assert.ok(answer.every((m) => m.type === 'destroy'));
  const order = answer.map((m) => m.data.varId);
  assert.deepEqual([...order].sort(), [2, 3, 4, 5]);
  assert.equal(order.at(-1), 2);
  assert.ok(order.indexOf(5) < order.indexOf(4));
  assert.deepEqual((await own.ask({ type: 'get', varIds: [2, 5] }))[0].data.code, 'not-found');
  await own.close();
});

test('P96 PX32 P115 a shared variable that a page destroys: every page that watched it hears of it', async () => {
  const site = await Server.start({
    'lua/main.lua': `
      ${MAIN}
      shared = session:createVariable(1, { name = "shared" })
    `,
  });
  const id = await site.session();
  const one = await site.page(id), two = await site.page(id), three = await site.page(id);
  for (const own of [one, two]) await own.ask([watch, { type: 'watch', id: -1 }]);
  await three.ask(watch);
  assert.deepEqual(await one.ask({ type: 'destroy', id: -1 }), [{ type: 'destroy', data: { varId: -1 } }]);
  await two.message((m) => m.type === 'destroy' && m.data.varId === -1);
  assert.deepEqual(await three.ask([]), [], 'one that did not watch it is not told');
  for (const own of [one, two, three]) await own.close();
  await site.stop();
});

test('P97 PX33 an unknown id is nothing; variable 1 stays', async () => {
  const own = await ready();
  assert.deepEqual(await own.ask({ type: 'destroy', id: 55 }), []);
  assert.deepEqual(
    (await own.ask({ type: 'destroy', id: 1 })).map((m) => [m.type, m.data.varId, m.data.code]),
    [['error', 1, 'bad-access']],
  );
  assert.deepEqual(await own.ask(create(2, 'name')), [update(2, 'North')]);
  await own.close();
});

// --- transcripts ---

test('section 18: the transcripts, word for word', async () => {
  const template = '<template><b ui-value="name"></b></template>';
  const site = await Server.start({
    'lua/main.lua': `local Harbor = { type = "Harbor" }
      Harbor.__index = Harbor
      function Harbor:rename(v) self.name = v end
      function Harbor:launch() self.boats[#self.boats + 1] = { type = "Boat", name = "Tern" } end
      session:createAppVariable(setmetatable({ name = "North", boats = { { type = "Boat", name = "Gull" } } }, Harbor))`,
    'viewdefs/Harbor.DEFAULT.html': template,
  });
  const own = await site.page(await site.session());
  const exchange = async (message, count) => {
    const from = own.frames.length;
    own.send(message);
    await until(() => own.frames.slice(from).flatMap((frame) => JSON.parse(frame)).length >= count, 'the frames');
    const frames = own.frames.slice(from).map((frame) => JSON.parse(frame));
    assert.equal(frames.length, 1, 'one frame');
    return frames[0];
  };
  assert.deepEqual(await exchange({ userEvent: false, messages: [watch] }, 2), [
    { type: 'update', data: { varId: 1, properties: { viewdefs: JSON.stringify({ 'Harbor.DEFAULT': template }) } } },
    { type: 'update', data: { varId: 1, value: { obj: 2 }, properties: { type: 'Harbor' } } },
  ]);
  assert.deepEqual(
    await exchange(
      {
        userEvent: false,
        messages: [
          create(2, 'name'),
          create(3, 'boats'),
          create(4, 'rename(_)', { access: 'action' }),
          create(5, 'launch()', { access: 'action' }),
        ],
      },
      2,
    ),
    [update(2, 'North'), update(3, [{ obj: 3 }])],
  );
  assert.deepEqual(await exchange({ userEvent: true, messages: [write(4, 'South')] }, 1), update(2, 'South'));
  assert.deepEqual(await exchange({ userEvent: true, messages: [write(5, null)] }, 1), update(3, [{ obj: 3 }, { obj: 4 }]));
  assert.deepEqual(await exchange(write(99, 1), 1), {
    type: 'error',
    data: { varId: 99, code: 'not-found', description: 'no variable 99' },
  });
  assert.deepEqual(
    await exchange(
      [
        { type: 'destroy', data: { varId: 3 } },
        { type: 'destroy', data: { varId: 2 } },
      ],
      2,
    ),
    [
      { type: 'destroy', data: { varId: 3 } },
      { type: 'destroy', data: { varId: 2 } },
    ],
  );
  assert.deepEqual(await exchange({ type: 'update', id: 2, value: 'x' }, 1), {
    type: 'error',
    data: { varId: 2, code: 'not-found', description: 'no variable 2' },
  });
  await own.close();
  await site.stop();
});
