/** JSON whose integers keep all their digits (T31): those that a Number cannot hold are BigInts here; in browsers that do not show a reviver the source they are text. */

const LONG = /\d{16}/;
const STRINGS_AND_NUMBERS = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.eE+-]*/gs;

/** @param {string} source of a number */
const isLong = (source) => /^-?\d{16,}$/.test(source) && !Number.isSafeInteger(Number(source));

/** @type {(text: string, reviver: (key: string, value: any, context?: {source: string}) => any) => any} */
const parseWith = JSON.parse;
let shown = false;
parseWith('0', (_key, _value, context) => void (shown = !!context?.source));

/** @type {Parameters<typeof parseWith>[1]} */
const exact = (_key, value, context) => (typeof value === 'number' && context && isLong(context.source) ? BigInt(context.source) : value);

/** @param {string} text @returns {any} */
export function parse(text) {
  if (!LONG.test(text)) return JSON.parse(text);
  return shown ? parseWith(text, exact) : JSON.parse(text.replace(STRINGS_AND_NUMBERS, (part) => (isLong(part) ? `"${part}"` : part)));
}

/** @type {(text: string) => any} */
const raw = /** @type {any} */ (JSON).rawJSON ?? String;

/** @param {any} value @returns {string} */
export const stringify = (value) => JSON.stringify(value, (_key, part) => (typeof part === 'bigint' ? raw(String(part)) : part));
