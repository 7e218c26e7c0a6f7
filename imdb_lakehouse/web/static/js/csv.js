// Converts a table to CSV (RFC 4180), with texts escaped that a spreadsheet would read as formulas.

import { isNumeric } from "./format.js";

// Also behind what is not seen: a spreadsheet may leave out a zero byte or a mark.
const FORMULA = /^[\s\0-\x1f\u200b-\u200f\u2060\ufeff]*[=+\-@\t\r＝＋－＠]/;
const NUMBER = /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/;

/** Converts column names and rows to lines. */
export function csv(columns, rows) {
  const head = columns.map((column) => quoteField(escapeFormula(column.name)));
  const body = rows.map((row) => row.map((cell, index) => quoteField(formatCell(cell, columns[index]))));
  return [head, ...body].map((line) => `${line.join(",")}\r\n`).join("");
}

function formatCell(cell, column) {
  if (cell === null || cell === undefined) return "";
  const said = typeof cell === "object" ? JSON.stringify(cell) : String(cell);
  return isNumeric(column) && NUMBER.test(said) ? said : escapeFormula(said);
}

function escapeFormula(text) {
  return FORMULA.test(text) ? `'${text}` : text;
}

function quoteField(text) {
  return /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
