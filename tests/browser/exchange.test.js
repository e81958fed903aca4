/** The recorded exchange of the specification, message by message. */
import assert from 'node:assert/strict';
import { open, pageTest, useBrowser } from './lib/chromium.js';
import { update } from './lib/fake-server.js';

useBrowser();

const FLEET = {
  'Fleet.DEFAULT': `
    <template>
      <h1 ui-value="title"></h1>
      <div class="ships" ui-view="ships?wrapper=lua.ViewList"></div>
      <button ui-action="add()">+</button>
    </template>
  `,
  'lua.ViewList.list-item': '<template><div ui-viewlist="items"></div></template>',
  'lua.ViewListItem.list-item': '<template><div ui-view="item"></div></template>',
  'Ship.list-item': '<template><p ui-value="name"></p></template>',
};

pageTest('F240, F77, R2, R3: the recorded exchange is replayed message by message', async ({ server, page, until }) => {
  await open({ server, page }, FLEET, 'Fleet');
  const creates = () => server.messages.filter((m) => m.type === 'create').map((m) => m.data);
  await server.created('add()');
  const [title, ships, add] = creates();
  assert.deepEqual(ships, {
    id: 3,
    parentId: 1,
    properties: { path: 'ships', wrapper: 'lua.ViewList', keyed: 'true', elementId: ships.properties.elementId, access: 'r' },
  });
  assert.deepEqual(title, { id: 2, parentId: 1, properties: { path: 'title', access: 'r', elementId: title.properties.elementId } });
  assert.deepEqual(add, { id: 4, parentId: 1, properties: { path: 'add()', access: 'action', elementId: add.properties.elementId } });
  await server.received('viewdef of the application', (m) => m.data.properties?.viewdef === 'Fleet.DEFAULT');
  server.send(
    update(2, 'North fleet'),
    update(3, undefined, { fallbackNamespace: 'list-item' }),
    update(3, { obj: 2 }, { type: 'lua.ViewList' }),
  );
  const items = await server.created('items');
  assert.deepEqual(items, {
    id: 5,
    parentId: 3,
    properties: { path: 'items', keyed: 'true', elementId: ships.properties.elementId, fallbackNamespace: 'list-item', access: 'r' },
  });
  server.send(update(5, [{ obj: 4 }]));
  const first = await server.created('#4');
  assert.deepEqual(first, {
    id: 6,
    parentId: 5,
    properties: { path: '#4', elementId: first.properties.elementId, fallbackNamespace: 'list-item' },
  });
  server.send(update(6, { obj: 4 }, { type: 'lua.ViewListItem' }));
  const item = await server.created('item');
  assert.deepEqual(item, {
    id: 7,
    parentId: 6,
    properties: { path: 'item', elementId: first.properties.elementId, fallbackNamespace: 'list-item', access: 'r' },
  });
  server.send(update(7, { obj: 3 }, { type: 'Ship' }));
  const name = await server.created('name');
  assert.deepEqual(name, { id: 8, parentId: 7, properties: { path: 'name', access: 'r', elementId: first.properties.elementId } });
  server.send(update(8, 'Argo'));
  await page.getByText('Argo').waitFor({ state: 'visible' });
  assert.equal(await page.locator('.ships').count(), 1);
  await page.locator('button').click();
  const isAction = (m) => m.type === 'update' && m.data.varId === 4;
  const action = await until('the action', () => server.frames.find((frame) => frame.messages.some(isAction)));
  assert.equal(action.userEvent, true);
  assert.deepEqual(action.messages, [{ type: 'update', data: { varId: 4, value: null, seq: 1 } }]);
  server.send(update(5, [{ obj: 4 }, { obj: 8 }]));
  const second = await server.created('#8');
  assert.equal(second.parentId, 5);
});
