// Decides which charts a table can have, and which of them says at first sight what the table says.
//
// A chart is {kind: "line" | "ranking" | "bars" | "scatter" | "histogram", x, labels, series: [{name, values}], time,
// about}; `labels` of a line and a scatter are numbers; `time` means that they are milliseconds since 1970. `about`
// describes the chart in a sentence.

import { describeColumns, labelsOf } from "./chart_columns.js";
import { formatCount } from "./format.js";

const LEAST_POINTS = 3;
const MOST_POINTS = 1_000;
const MOST_LINES = 6;
const LEAST_BARS = 2;
const MOST_RANKED = 30;
const MOST_BARS = 60;
const LEAST_SPREAD = 8;
const MOST_BINS = 20;

/** Returns the chart that a table is shown with, or null if none is useful. */
export function chartFor(table) {
  return choicesFor(table).first;
}

/**
 * Returns {first, kinds, measures, draw}: the chart to begin with (null: none), the kinds and the measures that people
 * can choose, and draw(kind, measure), which returns null where that measure has no chart of that kind.
 */
export function choicesFor(table) {
  const columns = table.rows.length < LEAST_BARS ? [] : describeColumns(table);
  const measures = columns.filter((column) => column.isMeasure);
  const draw = (kind, name) => {
    const chosen = measures.find((measure) => measure.name === name) ?? measures[0];
    const others = measures.filter((measure) => measure !== chosen);
    const found = chosen ? WAYS[kind](table, columns, [chosen, ...others]) : null;
    return found !== null && hasDifferentValues(found) ? found : null;
  };
  const kinds = Object.keys(WAYS).filter((kind) => measures.some((measure) => draw(kind, measure.name) !== null));
  return { first: firstOf(table, columns, measures), kinds, measures: measures.map((measure) => measure.name), draw };
}

function firstOf(table, columns, measures) {
  if (measures.length === 0) return null;
  for (const way of [series, orderedRanking, distribution]) {
    const found = way(table, columns, measures);
    if (found) return hasDifferentValues(found) ? found : null;
  }
  return null;
}

/** Measures over time: one line per measure, or one measure with a line per group. */
function series(table, columns, measures) {
  const period = columns.find((column) => column.isPeriod);
  if (!period || table.truncated || table.rows.length > MOST_POINTS) return null;
  if (columns.some((column) => column.isIdentifier)) return null; // rows are things, and no line leads from one to another
  const points = [...new Set(period.numbers.filter((one) => one !== null))].sort((a, b) => a - b);
  if (points.length < LEAST_POINTS) return null;
  const texts = columns.filter((column) => column.isText && new Set(column.cells).size > 1);
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

/** Bars in the order of the rows, each with a label of its own. */
function ranking(table, columns, [measure]) {
  const found = table.rows.length > MOST_RANKED ? null : labelsOf(columns);
  return found === null ? null : bars("ranking", found.name, found.labels, measure);
}

/** A ranking by the measure that orders the rows. */
function orderedRanking(table, columns, measures) {
  const measure = measures.find((one) => isOrdered(one.numbers) && new Set(one.numbers).size > 1);
  return measure ? ranking(table, columns, [measure]) : null;
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
  if (!measure || !(bucket.isText || bucket.isBucket)) return null;
  if (bucket.isText) return ranking(table, columns, [measure]);
  if (new Set(bucket.cells).size < bucket.cells.length) return null;
  if (!isOrdered(bucket.numbers.filter((one) => one !== null))) return null;
  return bars("bars", bucket.name, bucket.cells.map((cell) => (cell === null ? "null" : String(cell))), measure);
}

function bars(kind, x, labels, measure) {
  const about = `Bar chart of ${measure.name} by ${x}, ${formatCount(labels.length, "bar")}.`;
  return { kind, x, labels, series: [{ name: measure.name, values: measure.numbers }], time: false, about };
}

/** One measure against another, a dot for each row. */
function scatter(table, _columns, [measure, across]) {
  if (!across || table.rows.length < LEAST_SPREAD || table.rows.length > MOST_POINTS) return null;
  const about = `Scatter chart of ${measure.name} against ${across.name}, ${formatCount(table.rows.length, "dot")}.`;
  const one = { name: measure.name, values: measure.numbers };
  return { kind: "scatter", x: across.name, labels: across.numbers, series: [one], time: false, about };
}

/** How many rows have a value of about that size. */
function histogram(table, _columns, [measure]) {
  const values = measure.numbers.filter((one) => one !== null);
  const [least, most] = [Math.min(...values), Math.max(...values)];
  if (table.truncated || values.length < LEAST_SPREAD || least === most) return null;
  const isWhole = values.every(Number.isInteger);
  const wanted = Math.min(MOST_BINS, Math.ceil(Math.log2(values.length)) + 1);
  const width = isWhole ? Math.max(1, Math.ceil((most - least + 1) / wanted)) : (most - least) / wanted;
  const counts = Array(isWhole ? Math.ceil((most - least + 1) / width) : wanted).fill(0);
  for (const value of values) counts[Math.min(counts.length - 1, Math.floor((value - least) / width))] += 1;
  const labels = counts.map((_, at) => binName(least + at * width, width, isWhole));
  const about = `Histogram of ${measure.name}, ${formatCount(values.length, "value")} in ${counts.length} bars.`;
  return { kind: "histogram", x: measure.name, labels, series: [{ name: "rows", values: counts }], time: false, about };
}

function binName(from, width, isWhole) {
  if (isWhole) return width === 1 ? String(from) : `${from} to ${from + width - 1}`;
  return `${Number(from.toPrecision(3))} to ${Number((from + width).toPrecision(3))}`;
}

/** True if some of the values differ; a flat histogram says something too. */
function hasDifferentValues(chart) {
  if (chart.kind === "histogram") return true;
  return new Set(chart.series.flatMap((one) => one.values).filter((one) => one !== null)).size > 1;
}

const WAYS = { line: series, bar: barsOf, scatter, histogram };

/** Bars for people who choose them: of labels, or of the buckets of a number. */
function barsOf(table, columns, measures) {
  return ranking(table, columns, measures) ?? distribution(table, columns, measures);
}
