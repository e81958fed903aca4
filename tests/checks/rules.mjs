// `make rules`: writes tests/RULES.md, one line a rule of the specification: where it is kept, where it is proved.
//
// The rules are the numbers of rules.txt (document, then its numbers as ranges). A rule is kept where a source file cites its number and proved
// where a test does: `T31`, a range `T55–T61`, or a C test's name (`t31_numbers_are_written_exactly`, `t104_t105_variables_by_object`).
// Benchmarks measure and prove nothing. Rules that nothing can prove, or that are not done, have a line in rules-notes.txt that says why.
// With --check nothing is written: the table being out of date is a failure, so is each rule that has neither proof nor note, and so is each note on
// what is no rule. The order is that of rules.txt and of the files' names, so that the same tree gives the same table.
import fs from 'node:fs';
import path from 'node:path';
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));
const top = path.resolve(here, '../..');

/** `1-39 39a 40-108` → numbers in order. */
function expand(letter, words) {
  return words.flatMap((word) => {
    const range = /^(\d+)-(\d+)$/.exec(word);
    if (!range) return [letter + word];
    const out = [];
    for (let n = Number(range[1]); n <= Number(range[2]); n++) out.push(letter + n);
    return out;
  });
}

const documents = fs.readFileSync(path.join(here, 'rules.txt'), 'utf8').split('\n').filter((l) => l && !l.startsWith('#')).map((line) => {
  const [title, letter, words] = line.split('|').map((part) => part.trim());
  return { title, rules: expand(letter, words.split(/\s+/)) };
});
const known = new Set(documents.flatMap((d) => d.rules));
const notes = new Map(fs.readFileSync(path.join(here, 'rules-notes.txt'), 'utf8').split('\n').filter((l) => l && !l.startsWith('#'))
  .map((line) => [line.slice(0, line.indexOf(':')).trim(), line.slice(line.indexOf(':') + 1).trim()]));

/** All rule numbers that a text cites. */
function cited(text) {
  const found = new Set();
  for (const m of text.matchAll(/(?<![A-Za-z0-9_])([TPLHFCQR])(\d+)([a-z]?)(?:\s?(?:–|-|\.\.| to )\s?([TPLHFCQR]?)(\d+)([a-z]?))?(?![0-9A-Za-z])/g)) {
    const [, letter, from, fromLetter, toDocument, to, toLetter] = m;
    found.add(letter + from + fromLetter);
    if (to && (!toDocument || toDocument === letter) && Number(to) > Number(from) && Number(to) - Number(from) < 60) {
      for (let n = Number(from); n <= Number(to); n++) found.add(letter + n);
      if (toLetter) found.add(letter + to + toLetter);
    }
  }
  for (const m of text.matchAll(/(?<![A-Za-z0-9])((?:[tplhfcqr]\d+[a-z]?_)+)[a-z]/g)) {
    for (const part of m[1].split('_')) if (part) found.add(part[0].toUpperCase() + part.slice(1));
  }
  return found;
}

/** The project's files: those that git knows, or all, where there is no repository (an archive). Sorted by code points. */
function projectFiles() {
  const roots = ['lib', 'cmd', 'lua', 'templates', 'tests', 'Makefile', '.ci', 'man'];
  try {
    return execFileSync('git', ['ls-files', '-z', ...roots], { cwd: top, stdio: ['ignore', 'pipe', 'ignore'] }).toString().split('\0').filter(Boolean).sort();
  } catch {
    const walk = (name) => (fs.statSync(path.join(top, name)).isDirectory()
      ? fs.readdirSync(path.join(top, name)).filter((child) => child !== 'node_modules').flatMap((child) => walk(`${name}/${child}`)) : [name]);
    return roots.flatMap(walk).sort();
  }
}

const files = projectFiles()
  .filter((file) => /\.(c|h|js|mjs|lua|html|sh|[157])$|Makefile|\.ci\//.test(file))
  .filter((file) => !/^tests\/(fixtures|bench|checks\/rules)/.test(file));
/** @type {Map<string, {kept: string[], proved: string[]}>} */
const table = new Map([...known].map((rule) => [rule, { kept: [], proved: [] }]));
for (const file of files) {
  if (!fs.existsSync(path.join(top, file))) continue;
  const side = file.startsWith('tests/') ? 'proved' : 'kept';
  for (const rule of cited(fs.readFileSync(path.join(top, file), 'utf8'))) table.get(rule)?.[side].push(file);
}

const short = (list) => list.length > 3 ? [...list.slice(0, 3), `+${list.length - 3}`] : list;
let open = 0;
const out = ['# Rules', '', 'Written by `make rules`: for each rule of the specification the files that keep it and the tests that prove it (they cite its number).', ''];
for (const { title, rules } of documents) {
  const proved = rules.filter((r) => table.get(r).proved.length).length;
  out.push(`## ${title}`, '', `${rules.length} rules, ${proved} proved by a test that names them.`, '', '| rule | kept in | proved by |', '|---|---|---|');
  for (const rule of rules) {
    const { kept, proved: tests } = table.get(rule);
    const note = notes.get(rule);
    if (!tests.length && !note) open++;
    out.push(`| ${rule} | ${short(kept).join(', ')} | ${tests.length ? short(tests).map((t) => t.replace('tests/', '')).join(', ') : note ? `– ${note}` : '**no test**'} |`);
  }
  out.push('');
}
const text = out.join('\n');
const file = path.join(top, 'tests/RULES.md');
if (process.argv.includes('--check')) {
  const problems = [];
  if (!fs.existsSync(file) || fs.readFileSync(file, 'utf8') !== text) problems.push('tests/RULES.md is out of date: make rules');
  for (const rule of known) if (!table.get(rule).proved.length && !notes.has(rule)) problems.push(`${rule} has neither a test nor a line in tests/checks/rules-notes.txt`);
  for (const rule of notes.keys()) if (!known.has(rule)) problems.push(`tests/checks/rules-notes.txt has a line for ${rule}, which is no rule`);
  for (const problem of problems) console.log(`not ok ${problem}`);
  console.log(`${known.size - open} passed, ${problems.length} failed`);
  process.exit(problems.length ? 1 : 0);
}
fs.writeFileSync(file, text);
console.log(`tests/RULES.md: ${known.size} rules, ${open} without test or note`);
