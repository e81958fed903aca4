// `make rules`: writes tests/RULES.md, one line a rule of the specification: what it asks for, where it is kept, where
// it is proved.
//
// The rules and their sentences are the lines of rules.txt. A rule is kept where a source file cites its number and
// proved where a test does: `T31`, a range `T55–T61`, or a C test's name (`t31_numbers_are_written_exactly`,
// `t104_t105_variables_by_object`). Benchmarks measure and prove nothing. Rules that nothing can prove, or that are not
// done, have a line in rules-notes.txt that says why.
//
// With --check nothing is written: the table being out of date is a failure, so is each rule without a sentence of its
// own (140 characters at most), each that has neither proof nor note, each number that the source cites and rules.txt
// does not have, and each note on what is no rule.
//
// The order is that of rules.txt and of the files' names, so that the same tree gives the same table.
import fs from 'node:fs';
import path from 'node:path';
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));
const top = path.resolve(here, '../..');

/** The lines of a file that say something. */
const lines = (name) => fs.readFileSync(path.join(here, name), 'utf8').split('\n').filter((line) => line && !line.startsWith('# '));

/** `NUMBER: text` → both. */
const split = (line) => [line.split(':')[0].trim(), line.split(':').slice(1).join(':').trim()];

/** @type {{title: string, rules: string[]}[]} */
const documents = [];
/** What each rule asks for. @type {Map<string, string>} */
const known = new Map();
for (const line of lines('rules.txt')) {
  if (line.startsWith('## ')) {
    documents.push({ title: line.slice(3), rules: [] });
    continue;
  }
  const [rule, sentence] = split(line);
  documents.at(-1).rules.push(rule);
  known.set(rule, sentence);
}
/** A remark (TX4, S57) explains rules and is none. */
const isRemark = (rule) => /^(.X|S)/.test(rule);
const notes = new Map(lines('rules-notes.txt').map(split));

/** The letters of a document, the number and the letter behind it. */
const DOCUMENT = '([TPLH]X|[TPLHFCQRSWKNU])';
const NUMBER = String.raw`(\d+)([a-z]?)`;
const TO = String.raw`\s?(?:–|-|\.\.| to )\s?`;
const CITATION = new RegExp(`(?<![A-Za-z0-9_])${DOCUMENT}${NUMBER}(?:${TO}${DOCUMENT}?${NUMBER})?(?![0-9A-Za-z])`, 'g');

/** All rule numbers that a text cites. */
function cited(text) {
  const found = new Set();
  for (const m of text.matchAll(CITATION)) {
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
    return execFileSync('git', ['ls-files', '-z', ...roots], { cwd: top, stdio: ['ignore', 'pipe', 'ignore'] })
      .toString()
      .split('\0')
      .filter(Boolean)
      .sort();
  } catch {
    const walk = (name) => {
      if (!fs.statSync(path.join(top, name)).isDirectory()) return [name];
      const children = fs.readdirSync(path.join(top, name)).filter((child) => child !== 'node_modules');
      return children.flatMap((child) => walk(`${name}/${child}`));
    };
    return roots.flatMap(walk).sort();
  }
}

const files = projectFiles()
  .filter((file) => /\.(c|h|js|mjs|lua|html|sh|[157])$|Makefile|\.ci\//.test(file))
  .filter((file) => !/^tests\/(fixtures|bench|checks\/rules)/.test(file));
/** @type {Map<string, {kept: string[], proved: string[]}>} */
const table = new Map([...known.keys()].map((rule) => [rule, { kept: [], proved: [] }]));
const problems = [];
for (const file of files) {
  if (!fs.existsSync(path.join(top, file))) continue;
  const side = file.startsWith('tests/') ? 'proved' : 'kept';
  for (const rule of cited(fs.readFileSync(path.join(top, file), 'utf8'))) {
    if (known.has(rule)) table.get(rule)[side].push(file);
    else if (side === 'kept') problems.push(`${file} cites ${rule}, which has no line in tests/checks/rules.txt`);
  }
}

const short = (list) => list.length > 3 ? [...list.slice(0, 3), `+${list.length - 3}`] : list;
let open = 0;
const out = [
  '# Rules',
  '',
  'Written by `make rules`: for each rule of the specification what it asks for, the files that keep it and the tests ' +
    'that prove it (they cite its number).',
  '',
];
for (const { title, rules } of documents) {
  const proved = rules.filter((r) => table.get(r).proved.length).length;
  out.push(
    `## ${title}`,
    '',
    `${rules.length} rules, ${proved} proved by a test that names them.`,
    '',
    '| rule | asks for | kept in | proved by |',
    '|---|---|---|---|',
  );
  for (const rule of rules) {
    const { kept, proved: tests } = table.get(rule);
    const note = notes.get(rule);
    const missing = !tests.length && !note && !isRemark(rule);
    if (missing) open++;
    let proof = '';
    if (tests.length) proof = short(tests.map((t) => t.replace('tests/', ''))).join(', ');
    else if (note) proof = `– ${note}`;
    else if (missing) proof = '**no test**';
    out.push(`| ${rule} | ${known.get(rule)} | ${short(kept).join(', ')} | ${proof} |`);
    if (missing) problems.push(`${rule} has neither a test nor a line in tests/checks/rules-notes.txt`);
  }
  out.push('');
}
const text = out.join('\n');
const file = path.join(top, 'tests/RULES.md');
if (process.argv.includes('--check')) {
  if (!fs.existsSync(file) || fs.readFileSync(file, 'utf8') !== text) problems.push('tests/RULES.md is out of date: make rules');
  /** @type {Map<string, string>} */
  const said = new Map();
  for (const [rule, sentence] of known) {
    if (!sentence || sentence.length > 140 || sentence.includes('|'))
      problems.push(`${rule} has no sentence of 1 to 140 characters in tests/checks/rules.txt`);
    else if (said.has(sentence))
      problems.push(`${rule} has the sentence of ${said.get(sentence)} in tests/checks/rules.txt`);
    said.set(sentence, rule);
  }
  for (const rule of notes.keys())
    if (!known.has(rule)) problems.push(`tests/checks/rules-notes.txt has a line for ${rule}, which is no rule`);
  for (const problem of problems) console.log(`not ok ${problem}`);
  console.log(`${known.size - open} passed, ${problems.length} failed`);
  process.exit(problems.length ? 1 : 0);
}
fs.writeFileSync(file, text);
console.log(`tests/RULES.md: ${known.size} rules, ${open} without test or note`);
