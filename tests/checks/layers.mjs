// `make check-layers`: the walls of the house (lib/README.md). Fails where
//   an include or a call points up between the rooms of lib/, as the Makefile orders them;
//   more than three files of a room call each other in a circle;
//   a room has more than 25 files or 6,000 lines; two rooms have files of one name;
//   a reserved header appears outside of its rooms;
//   what is not static does not begin with ls_.
// Calls are read from the object files of B (build): who refers to a symbol calls the file that defines it, so what a
// macro or an inline function of a header calls counts for the file that includes it, and a call through a table of
// functions does not count. An object that is missing or older than its source is made in a temporary folder first.
// Prints one line a finding, and "N passed, M failed".
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const CIRCLE_MAX = 3, FILES_MAX = 25, LINES_MAX = 6000;
/** Reserved header → rooms that may include it. */
const reserved = [
  [/^(lua5\.4\/)?(lua|lauxlib|lualib)\.h$/, ['vm', 'model', 'resolver', 'reload', 'console', 'session']],
  [/^civetweb\.h$/, ['http', 'server']],
  [/^openssl\//, ['front']],
  [/^(inotifytools\/.*|sys\/inotify\.h)$/, ['hotload']],
];

process.chdir(path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..'));
const build = process.env.B || 'build';
const rooms = /^ROOMS = (.*)$/m.exec(fs.readFileSync('Makefile', 'utf8'))[1].trim().split(/\s+/);
const floor = new Map(rooms.map((room, i) => [room, i]));
let passed = 0, failed = 0;
const finding = (text) => {
  console.log(text);
  failed++;
};
const check = (holds, text) => { if (holds) passed++; else finding(text); };

const folder = (dir) =>
  fs
    .readdirSync(dir, { withFileTypes: true })
    .flatMap((entry) =>
      entry.isDirectory() ? folder(`${dir}/${entry.name}`) : /\.[ch]$/.test(entry.name) ? [`${dir}/${entry.name}`] : [],
    )
    .sort();
const files = folder('lib');
const room_of = (file) => file.split('/')[1];

// Includes.
for (const file of [...files, ...folder('cmd')]) {
  const lib = file.startsWith('lib/'), room = lib ? room_of(file) : 'cmd';
  if (lib && !floor.has(room)) {
    finding(`${file}: ${room} is no room of lib`);
    continue;
  }
  for (const [i, line] of fs.readFileSync(file, 'utf8').split('\n').entries()) {
    const m = /^\s*#\s*include\s*(["<])([^">]+)/.exec(line);
    if (!m) continue;
    const target = m[2], other = target.split('/')[0];
    for (const [header, allowed] of reserved) {
      if (header.test(target)) check(allowed.includes(room), `${file}:${i + 1}: <${target}> belongs to lib/${allowed.join(', lib/')}`);
    }
    if (!lib || m[1] !== '"' || reserved.some(([header]) => header.test(target))) continue;
    if (!floor.has(other)) finding(`${file}:${i + 1}: "${target}" names no room; include as "ROOM/file.h"`);
    else check(floor.get(other) <= floor.get(room), `${file}:${i + 1}: ${room} includes "${target}", which lies above it`);
  }
}

// Sizes and names.
for (const room of rooms) {
  const own = files.filter((file) => room_of(file) === room);
  const lines = own.reduce((sum, file) => sum + fs.readFileSync(file, 'utf8').split('\n').length - 1, 0);
  check(own.length <= FILES_MAX, `lib/${room}: ${own.length} files, at most ${FILES_MAX}`);
  check(lines <= LINES_MAX, `lib/${room}: ${lines} lines, at most ${LINES_MAX}`);
}
for (const file of files) {
  const same = files.find((other) => path.basename(other) === path.basename(file));
  check(same === file, `${file}: a file of that name is in lib/${room_of(same)}, too`);
}

// Calls.
const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'layers-'));
process.on('exit', () => fs.rmSync(scratch, { recursive: true, force: true }));
const sources = files.filter((file) => file.endsWith('.c') && floor.has(room_of(file)));
const objects = sources.map((file, i) => {
  const object = `${build}/${file.slice(0, -2)}.o`;
  if (fs.existsSync(object) && fs.statSync(object).mtimeMs >= fs.statSync(file).mtimeMs) return object;
  const made = `${scratch}/${i}.o`;
  execFileSync(
    process.env.CC || 'cc',
    ['-std=gnu11', '-D_GNU_SOURCE', '-DLS_VERSION=""', '-w', '-Ilib', '-I/usr/include/lua5.4', '-c', '-o', made, file],
    { stdio: 'inherit' },
  );
  return made;
});
/** @type {Map<string, string>} symbol → source that defines it */
const defined = new Map();
/** @type {Map<string, Set<string>>} source → symbols that it refers to */
const wanted = new Map();
for (const file of sources) wanted.set(file, new Set());
const source_of = new Map(objects.map((object, i) => [object, sources[i]]));
for (const line of execFileSync('nm', ['-A', '--format=posix', ...objects], { maxBuffer: 1 << 28 }).toString().split('\n')) {
  const m = /^(.*): (\S+) ([A-Za-z])/.exec(line);
  if (!m) continue;
  if (m[3] === 'U') wanted.get(source_of.get(m[1])).add(m[2]);
  else if (/[TDBRVW]/.test(m[3])) defined.set(m[2], source_of.get(m[1]));
}
for (const [name, file] of defined) {
  if (file.startsWith('lib/')) check(name.startsWith('ls_'), `${file}: shows ${name}, which does not begin with ls_`);
}
/** @type {Map<string, Map<string, string>>} source → sources that it calls → one symbol for which */
const calls = new Map(sources.map((file) => [file, new Map()]));
for (const [file, names] of wanted) {
  for (const name of names) {
    const other = defined.get(name);
    if (other && other !== file) calls.get(file).set(other, name);
  }
}
for (const [file, others] of calls) {
  for (const [other, name] of others) {
    check(floor.get(room_of(other)) <= floor.get(room_of(file)), `${file}: calls ${name} of ${other}, which lies above it`);
  }
}

// Circles: strongly connected components (Tarjan).
const index = new Map(), low = new Map(), stack = [];
function visit(file) {
  index.set(file, index.size);
  low.set(file, index.get(file));
  stack.push(file);
  for (const other of calls.get(file).keys()) {
    if (!index.has(other)) visit(other);
    if (stack.includes(other)) low.set(file, Math.min(low.get(file), low.get(other)));
  }
  if (low.get(file) !== index.get(file)) return;
  const circle = stack.splice(stack.indexOf(file)).sort();
  const names = circle.map((f) => path.basename(f)).join(' ');
  check(
    circle.length <= CIRCLE_MAX,
    `lib/${room_of(file)}: ${circle.length} files call each other in a circle, at most ${CIRCLE_MAX}: ${names}`,
  );
}
for (const file of sources) if (!index.has(file)) visit(file);

console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
