// What may follow at the caret of a statement: tables, columns, functions and keywords. Knows nothing of a browser.

import { forceQuotes, quoteName, unquoteName } from "./names.js";
import { KEYWORDS, pieces } from "./sql.js";

export const MOST_OPTIONS = 50;

const WORDS = new Set(["keyword", "function", "name"]);
const CLOSED_STRING = /^(['"])(?:\\[\s\S]|\1\1|(?!\1)[^\\])*\1$/;
const CLOSED_NAME = /^`(?:``|[^`])*`$/;
const ORDER = ["column", "alias", "keyword", "function", "table"]; // of options that begin alike

/**
 * Finds what may be written at the caret: {from, to, prefix, dotted, options}, or null where nothing fits. An option is
 * {kind, label, detail, insert}. `lake` has `tables` (with a name each), `columnsOf(name)` (null where they are not known
 * yet) and `functions`, a list of names.
 */
export function findSuggestions(sql, caret, lake) {
  const at = placeAt(sql, caret);
  if (at === null) return null;
  const rest = at.quoted ? sql.slice(caret).replace(/^[^`]*`/, "") : sql.slice(caret);
  const { sources, queries } = readSources([...at.before, ...pieces(rest)]);
  const named = resolve(sources, lake);
  const { isTable } = readSources(at.before);
  const options = at.qualifier !== null ? columnOptions(named.filter((one) => isCalled(one, at.qualifier)))
    : isTable ? tableOptions(lake.tables, queries)
    : [...columnOptions(named), ...aliasOptions(named), ...keywordOptions(), ...functionOptions(lake.functions),
      ...tableOptions(lake.tables, queries)];
  const fitting = rank(options.filter((one) => !at.quoted || one.kind === "column" || one.kind === "table"), at.prefix);
  const shown = fitting.slice(0, MOST_OPTIONS).map((one) => ({ ...one, insert: written(one, at, sql[caret]) }));
  if (shown.length === 0 || (shown.length === 1 && shown[0].insert === at.prefix)) return null;
  const to = at.quoted && sql[caret] === "`" ? caret + 1 : caret;
  return { from: at.from, to, prefix: at.prefix, dotted: at.qualifier !== null, options: shown };
}

/** Names the tables of the lake that a statement reads. */
export function tablesNamed(sql, lake) {
  return [...new Set(resolve(readSources(pieces(sql)).sources, lake).map((one) => one.table.name))];
}

/** Describes the caret: the word that is begun there, and the name before a full stop. Null within texts and comments. */
function placeAt(sql, caret) {
  const before = pieces(sql.slice(0, caret));
  const last = before.at(-1);
  if (last?.kind === "comment" && !(last.text.startsWith("/*") && last.text.endsWith("*/"))) return null;
  if (last?.kind === "string" && !CLOSED_STRING.test(last.text)) return null;
  if (last?.kind === "number") return null;
  const quoted = Boolean(last?.text.startsWith("`")) && !CLOSED_NAME.test(last.text);
  const isWord = quoted || (WORDS.has(last?.kind) && !last.text.startsWith("`"));
  const prefix = isWord ? last.text : "";
  if (isWord) before.pop();
  const dotted = before.at(-1)?.text === ".";
  const owner = dotted ? before.at(-2) : null;
  if (dotted && (!WORDS.has(owner?.kind) || before.at(-3)?.text === ".")) return null;
  return { before, prefix, quoted, from: caret - prefix.length, qualifier: dotted ? unquoteName(owner.text) : null };
}

/** Reads FROM, JOIN and WITH: `sources` ({name, alias}), `queries` (names of WITH), `isTable` (a table comes next). */
function readSources(all) {
  const tokens = all.filter(({ kind }) => kind !== "space" && kind !== "comment");
  const sources = [];
  const queries = [];
  const brackets = []; // whether each open one began where a table was expected
  let isTable = false;
  for (let at = 0; at < tokens.length; at += 1) {
    const { kind, text } = tokens[at];
    const word = kind === "keyword" ? text.toUpperCase() : "";
    if (word === "FROM" || word === "JOIN") isTable = true;
    else if (text === "(") {
      brackets.push(isTable);
      isTable = false;
    } else if (text === ")") {
      isTable = false;
      if (brackets.pop()) [at, isTable] = pastAlias(tokens, at);
    } else if (isTable && WORDS.has(kind) && word === "") {
      while (tokens[at + 1]?.text === "." && WORDS.has(tokens[at + 2]?.kind)) at += 2;
      const name = unquoteName(tokens[at].text);
      const [end, isNext, alias] = pastAlias(tokens, at);
      sources.push({ name, alias });
      [at, isTable] = [end, isNext];
    } else {
      if (WORDS.has(kind) && word === "" && isKeyword(tokens[at + 1], "AS") && tokens[at + 2]?.text === "(") {
        queries.push(unquoteName(text));
      }
      if (word !== "LATERAL") isTable = false;
    }
  }
  return { sources, queries, isTable };
}

/** Passes the alias behind a table: the last piece passed, whether a comma leads to another table, and the alias. */
function pastAlias(tokens, at) {
  let end = isKeyword(tokens[at + 1], "AS") ? at + 1 : at;
  const next = tokens[end + 1];
  const alias = WORDS.has(next?.kind) && next.kind !== "keyword" ? unquoteName(next.text) : null;
  if (alias !== null) end += 1;
  const isNext = tokens[end + 1]?.text === ",";
  return [isNext ? end + 1 : end, isNext, alias];
}

function isKeyword(token, word) {
  return token?.kind === "keyword" && token.text.toUpperCase() === word;
}

/** Finds the tables of the lake that the sources name: {table, alias, columns}. */
function resolve(sources, lake) {
  const known = new Map(lake.tables.map((table) => [table.name.toLowerCase(), table]));
  return sources.flatMap(({ name, alias }) => {
    const table = known.get(name.toLowerCase());
    return table ? [{ table, alias, columns: lake.columnsOf(table.name) ?? [] }] : [];
  });
}

function isCalled({ table, alias }, name) {
  return (alias ?? table.name).toLowerCase() === name.toLowerCase();
}

function columnOptions(named) {
  const seen = new Map();
  for (const { columns } of named) {
    for (const { name, type } of columns) {
      if (!seen.has(name)) seen.set(name, { kind: "column", label: name, detail: type });
    }
  }
  return [...seen.values()];
}

function aliasOptions(named) {
  return named
    .filter(({ alias }) => alias !== null)
    .map(({ table, alias }) => ({ kind: "alias", label: alias, detail: table.name }));
}

function tableOptions(tables, queries) {
  return [
    ...queries.map((name) => ({ kind: "table", label: name, detail: "of WITH" })),
    ...tables.map(({ name, kind }) => ({ kind: "table", label: name, detail: kind })),
  ];
}

function keywordOptions() {
  return [...KEYWORDS].map((label) => ({ kind: "keyword", label, detail: "" }));
}

function functionOptions(functions) {
  return functions.map((label) => ({ kind: "function", label, detail: "function" }));
}

/** Keeps what begins with the prefix, and behind it what has a part that does (`votes` finds `numVotes`). */
function rank(options, prefix) {
  const wanted = unquoteName(prefix).toLowerCase();
  const scored = options.map((one) => ({ one, score: scoreOf(one.label, wanted) })).filter(({ score }) => score < 2);
  const order = (one) => ORDER.indexOf(one.kind);
  // Columns keep the order of their tables; `sort` is stable.
  return scored.sort((a, b) => a.score - b.score || order(a.one) - order(b.one)).map(({ one }) => one);
}

function scoreOf(label, wanted) {
  if (label.toLowerCase().startsWith(wanted)) return 0;
  const parts = label.split(/[^\p{L}\p{N}]+|(?<=\p{Ll})(?=\p{Lu})/u);
  return parts.some((_, at) => parts.slice(at).join("").toLowerCase().startsWith(wanted)) ? 1 : 2;
}

/** Writes an option: names in back-quotes where they need them, the rest in the case of what was begun. */
function written({ kind, label }, { prefix, quoted }, next) {
  if (quoted) return forceQuotes(label);
  if (kind === "keyword") return prefix !== "" && prefix === prefix.toLowerCase() ? label.toLowerCase() : label;
  if (kind !== "function") return quoteName(label);
  const name = prefix.length > 1 && prefix === prefix.toUpperCase() ? label.toUpperCase() : label;
  return next === "(" ? name : `${name}(`;
}
