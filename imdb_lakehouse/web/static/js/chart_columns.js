// What the columns of a table are to a chart: steps of time, labels, measures; never ranks, ids or years as measures.

import { isLabel, isNumeric } from "./format.js";

const TIME = /^(date|timestamp|timestamp_ntz)$/i;
const HAS_TIME = /T\d/;
const HAS_ZONE = /(Z|[+-]\d\d(:?\d\d)?)$/;
const CALENDAR = /year|decade/i;
const IDENTIFIER = /^(id|[tn]const)$|(_id|Id)$/;
const RANK = /^(#|no|nr|rn|rnk|pos|num|row|place|(dense_?)?rank(ing)?|position|row_?num(ber)?)$/i;
const COUNTED = /count|votes|films|titles|movies|total|sum|number/i;
const [LEAST_YEAR, MOST_YEAR] = [1860, 2100];
const JOINT = " · ";

/** Describes the columns of a table: `cells`, `numbers` (null where it has none) and what each may be used for. */
export function describeColumns(table) {
  const described = table.columns.map((column, index) => describe(column, table.rows.map((row) => row[index])));
  const measures = described.filter((one) => one.isMeasure);
  if (measures.length > 1) for (const one of measures) one.isMeasure = !countsRows(one.numbers);
  return described;
}

function describe(column, cells) {
  const isTime = TIME.test(column.type);
  const numbers = isTime ? cells.map(millisecondsOf) : isNumeric(column) ? cells.map(numberOf) : null;
  const isIdentifier = IDENTIFIER.test(column.name);
  const isYear = numbers !== null && !isTime && areYears(column.name, numbers);
  const isRank = RANK.test(column.name) || (column.name.match(/rank/i) !== null && isNumeric(column));
  const known = numbers !== null && numbers.some((one) => one !== null);
  return {
    name: column.name,
    cells,
    numbers,
    isTime,
    isPeriod: isTime || (isYear && CALENDAR.test(column.name)),
    isIdentifier,
    isText: /^(string|varchar.*|char.*)$/i.test(column.type) && !isIdentifier,
    isMeasure: known && !isTime && !isYear && !isIdentifier && !isRank && !isLabel(column),
    isBucket: numbers !== null && !isTime && !isIdentifier && !isRank,
  };
}

/** True for numbers that only count the rows: 1, 2, 3, … */
function countsRows(numbers) {
  return numbers.length > 2 && numbers.every((one, at) => one === at + 1);
}

function areYears(name, numbers) {
  const [least, most] = CALENDAR.test(name) ? [1_000, 2_999] : [LEAST_YEAR, MOST_YEAR];
  if (!CALENDAR.test(name) && COUNTED.test(name)) return false;
  return numbers.every((one) => one === null || (Number.isInteger(one) && one >= least && one <= most));
}

/**
 * A label for each row that no other row has, of one text column or of several, the first ones first; null if there is
 * none. A column with one value in every row tells nothing apart and is left out.
 */
export function labelsOf(columns) {
  const texts = columns.filter((column) => column.isText && new Set(column.cells).size > 1);
  const parts = [...texts, ...columns.filter((column) => column.isPeriod)];
  if (texts.length === 0) return null;
  for (let count = 1; count <= parts.length; count += 1) {
    const used = parts.slice(0, count);
    const labels = used[0].cells.map((_, row) => used.map((column) => text(column.cells[row])).join(JOINT));
    if (new Set(labels).size === labels.length) return { name: used.map((column) => column.name).join(JOINT), labels };
  }
  return null;
}

function text(cell) {
  return cell === null ? "null" : String(cell);
}

function numberOf(cell) {
  const number = cell === null || typeof cell === "boolean" || cell === "" ? Number.NaN : Number(cell);
  return Number.isFinite(number) ? number : null;
}

function millisecondsOf(cell) {
  if (typeof cell !== "string") return null;
  const moment = cell.trim().replace(" ", "T");
  const at = Date.parse(HAS_TIME.test(moment) && !HAS_ZONE.test(moment) ? `${moment}Z` : moment);
  return Number.isNaN(at) ? null : at;
}
