// A table as CSV (RFC 4180). No cell of text is a formula to the spreadsheet that opens it.

import { isNumeric } from "./format.js";

const FORMULA = /^[\s]*[=+\-@\t\r＝＋－＠]/;
const NUMBER = /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/;

/** The columns' names and the rows, each as a line. */
export function csv(columns, rows) {
  const head = columns.map((column) => quoted(safe(column.name)));
  const body = rows.map((row) => row.map((cell, index) => quoted(written(cell, columns[index]))));
  return [head, ...body].map((line) => `${line.join(",")}\r\n`).join("");
}

function written(cell, column) {
  if (cell === null || cell === undefined) return "";
  const said = typeof cell === "object" ? JSON.stringify(cell) : String(cell);
  return isNumeric(column) && NUMBER.test(said) ? said : safe(said);
}

function safe(text) {
  return FORMULA.test(text) ? `'${text}` : text;
}

function quoted(text) {
  return /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
