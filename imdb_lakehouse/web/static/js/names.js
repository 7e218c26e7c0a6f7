// Names of tables and columns as Spark SQL writes them, and where they go in a statement.

import { KEYWORDS } from "./sql.js";

const PLAIN = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** Writes a name, in back-quotes where SQL would not read it as one. */
export function quoteName(name) {
  return PLAIN.test(name) && !KEYWORDS.has(name.toUpperCase()) ? name : forceQuotes(name);
}

export function forceQuotes(name) {
  return `\`${name.replaceAll("`", "``")}\``;
}

/** Reads a name as it is written in a statement. */
export function unquoteName(text) {
  return text.startsWith("`") ? text.replace(/^`|`$/g, "").replaceAll("``", "`") : text;
}

/** Returns `name` with the blanks that it needs between `start` and `end` of a statement. */
export function spaceName(sql, start, end, name) {
  const before = /[\p{L}\p{N}_`'")*]$/u.test(sql.slice(0, start)) ? " " : "";
  const after = /^[\p{L}\p{N}_`'"]/u.test(sql.slice(end)) ? " " : "";
  return before + name + after;
}
