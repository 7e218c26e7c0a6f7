// Decides whether a table has a chart, and which. Independent of the drawing.
//
// A chart is {kind: "line" | "ranking" | "bars", x, labels, series: [{name, values}], time, about}; `labels` of a line
// are numbers; `time` means that they are milliseconds since 1970. `about` describes the chart in a sentence.

import { formatCount, isLabel, isNumeric } from "./format.js";

const LEAST_POINTS = 3;
const MOST_POINTS = 1_000;
const MOST_LINES = 6;
const LEAST_BARS = 2;
const MOST_RANKED = 30;
const MOST_BARS = 60;
const TIME = /^(date|timestamp|timestamp_ntz)$/i;
const HAS_TIME = /T\d/;
const HAS_ZONE = /(Z|[+-]\d\d(:?\d\d)?)$/;
const CALENDAR = /year|decade/i;
const IDENTIFIER = /^(id|[tn]const)$|(_id|Id)$/;

/** Returns the chart of a table, or null if none is useful. */
export function chartFor(table) {
  if (table.rows.length < LEAST_BARS) return null;
  const columns = table.columns.map((column, index) => describeColumn(column, index, table.rows));
  const measures = columns.filter((column) => column.isMeasure);
  if (measures.length === 0) return null;
  for (const way of [series, ranking, distribution]) {
    const found = way(table, columns, measures);
    if (found) return hasDifferentValues(found) ? found : null;
  }
  return null;
}

function describeColumn(column, index, rows) {
  const cells = rows.map((row) => row[index]);
  const numbers = isNumeric(column) ? cells.map(numberOf) : null;
  const isTime = TIME.test(column.type);
  const isYear = numbers !== null && CALENDAR.test(column.name) && numbers.every(isYearNumber);
  const isIdentifier = IDENTIFIER.test(column.name);
  return {
    name: column.name,
    cells,
    numbers: isTime ? cells.map(millisecondsOf) : numbers,
    isTime,
    isPeriod: isTime || isYear,
    isIdentifier,
    isText: /^(string|varchar.*|char.*)$/i.test(column.type) && !isIdentifier,
    isMeasure: numbers !== null && !isYear && !isIdentifier && !isLabel(column) && numbers.some((one) => one !== null),
    isBucket: numbers !== null && !isIdentifier,
  };
}

/** Measures over time: one line per measure, or one measure with a line per group. */
function series(table, columns, measures) {
  const period = columns.find((column) => column.isPeriod);
  if (!period || table.truncated || table.rows.length > MOST_POINTS) return null;
  const points = [...new Set(period.numbers.filter((one) => one !== null))].sort((a, b) => a - b);
  if (points.length < LEAST_POINTS) return null;
  const texts = columns.filter((column) => column.isText);
  const lines = texts.length === 0 ? linesOf(period, measures) : linesByGroup(period, texts, measures);
  if (lines === null) return null;
  const names = lines.map((line) => line.name).join(", ");
  const about = `${names} by ${period.name}, ${formatCount(points.length, "point")}`;
  return {
    kind: "line",
    x: period.name,
    labels: points,
    series: lines.map(({ name, at }) => ({ name, values: points.map((point) => at.get(point) ?? null) })),
    time: period.isTime,
    about: `Line chart of ${about}.`,
  };
}

function linesOf(period, measures) {
  if (measures.length > MOST_LINES) return null;
  const lines = comparableMeasures(measures).map((measure) => ({ name: measure.name, at: points(period, measure) }));
  return lines.every((line) => line.at !== null) ? lines : null;
}

function linesByGroup(period, texts, measures) {
  const groups = [...new Set(texts[0].cells)];
  if (texts.length > 1 || groups.length > MOST_LINES) return null;
  const lines = groups.map((group) => ({
    name: group ?? "null",
    at: points(period, measures[0], (row) => texts[0].cells[row] === group),
  }));
  return lines.every((line) => line.at !== null && line.at.size > 1) ? lines : null;
}

/** Maps points to values, or null if a point has two. */
function points(period, measure, fits = () => true) {
  const found = new Map();
  for (const [row, point] of period.numbers.entries()) {
    if (point === null || !fits(row)) continue;
    if (found.has(point)) return null;
    found.set(point, measure.numbers[row]);
  }
  return found;
}

/** The measures that share an axis with the first: those of similar magnitude. */
function comparableMeasures(measures) {
  const size = (measure) => Math.max(...measure.numbers.map((one) => Math.abs(one ?? 0)));
  const first = size(measures[0]);
  return measures.filter((measure) => size(measure) <= first * 20 && size(measure) * 20 >= first);
}

/** A ranking: the first text column, and the measure that orders the rows. */
function ranking(table, columns, measures) {
  const label = columns.find((column) => column.isText);
  if (!label || table.rows.length > MOST_RANKED) return null;
  const measure = measures.find((one) => isOrdered(one.numbers) && new Set(one.numbers).size > 1);
  if (!measure) return null;
  const about = `Bar chart of ${measure.name} by ${label.name}, ${formatCount(table.rows.length, "bar")}.`;
  return bars("ranking", label, measure, about);
}

function isOrdered(numbers) {
  if (numbers.includes(null)) return false;
  const falls = numbers.every((one, at) => at === 0 || numbers[at - 1] >= one);
  return falls || numbers.every((one, at) => at === 0 || numbers[at - 1] <= one);
}

/** A distribution: a column with distinct values, and a single measure. */
function distribution(table, columns, measures) {
  if (table.truncated || table.rows.length > MOST_BARS || columns.length > 3) return null;
  const [bucket] = columns;
  if (!bucket.isText && bucket.isMeasure && bucket.numbers.some((one) => !Number.isInteger(one))) return null;
  const measure = measures.find((one) => one !== bucket);
  if (!measure || !(bucket.isText || bucket.isBucket) || new Set(bucket.cells).size < bucket.cells.length) return null;
  if (!bucket.isText && !isOrdered(bucket.numbers.filter((one) => one !== null))) return null;
  const about = `Bar chart of ${measure.name} by ${bucket.name}, ${formatCount(table.rows.length, "bar")}.`;
  return bars(bucket.isText ? "ranking" : "bars", bucket, measure, about);
}

function bars(kind, label, measure, about) {
  const labels = label.cells.map((cell) => (cell === null ? "null" : String(cell)));
  return { kind, x: label.name, labels, series: [{ name: measure.name, values: measure.numbers }], time: false, about };
}

/** True if some of the values differ. */
function hasDifferentValues(chart) {
  return new Set(chart.series.flatMap((one) => one.values).filter((one) => one !== null)).size > 1;
}

function numberOf(cell) {
  const number = cell === null || typeof cell === "boolean" || cell === "" ? Number.NaN : Number(cell);
  return Number.isFinite(number) ? number : null;
}

function isYearNumber(number) {
  return number === null || (Number.isInteger(number) && number >= 1_000 && number < 3_000);
}

function millisecondsOf(cell) {
  if (typeof cell !== "string") return null;
  const moment = cell.trim().replace(" ", "T");
  const at = Date.parse(HAS_TIME.test(moment) && !HAS_ZONE.test(moment) ? `${moment}Z` : moment);
  return Number.isNaN(at) ? null : at;
}
