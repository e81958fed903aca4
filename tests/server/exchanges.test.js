/** What a site's own client sees on the wire stays as it was recorded, byte for byte (R8): see exchange.js for the form
 * and for how to record again. */
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { exchanges, play } from './exchange.js';

for (const name of readdirSync(exchanges).sort()) {
  test(`R8 P49 P65 the recorded exchange ${name}`, () => play(path.join(exchanges, name), Boolean(process.env.RECORD)));
}
