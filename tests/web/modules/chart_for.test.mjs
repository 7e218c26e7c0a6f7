import assert from "node:assert/strict";
import test from "node:test";

import { chartFor, choicesFor } from "../../../imdb_lakehouse/web/static/js/chart_for.js";

const table = (columns, rows, more = {}) => ({
  columns: Object.entries(columns).map(([name, type]) => ({ name, type })),
  rows,
  truncated: false,
  warnings: [],
  ...more,
});

test("a count by year is a line over the years, in their order", () => {
  const chart = chartFor(table({ startYear: "int", titles: "bigint" }, [[2021, 5], [2019, 3], [2020, 4], [null, 9]]));
  assert.equal(chart.kind, "line");
  assert.deepEqual(chart.labels, [2019, 2020, 2021]);
  assert.deepEqual(chart.series, [{ name: "titles", values: [3, 4, 5] }]);
  assert.equal(chart.about, "Line chart of titles by startYear, 3 points.");
});

test("a few groups over time are a line each, with gaps where a group has no row", () => {
  const rows = [["movie", 1990, 1], ["movie", 2000, 2], ["short", 1990, 7], ["short", 2010, 8]];
  const chart = chartFor(table({ titleType: "string", decade: "bigint", titles: "bigint" }, rows));
  assert.deepEqual(chart.labels, [1990, 2000, 2010]);
  assert.deepEqual(chart.series, [{ name: "movie", values: [1, 2, null] }, { name: "short", values: [7, null, 8] }]);
});

test("dates lie apart as they do in time", () => {
  const rows = [["2024-01-01", "1.5"], ["2024-01-02", "2.5"], ["2024-01-31", "0.5"]];
  const chart = chartFor(table({ day: "date", mean: "decimal(3,1)" }, rows));
  assert.equal(chart.time, true);
  assert.equal(chart.labels[2] - chart.labels[1], 29 * 86_400_000);
  assert.deepEqual(chart.series[0].values, [1.5, 2.5, 0.5]);
});

test("a time without a zone lies where it would in Greenwich, wherever the reader is", () => {
  const rows = [["2020-01-01 00:00:00", 1], ["2020-01-02 00:00:00", 2], ["2020-01-03 00:00:00+00:00", 3]];
  const chart = chartFor(table({ at: "timestamp_ntz", titles: "bigint" }, rows));
  assert.deepEqual(chart.labels.map((at) => new Date(at).toISOString().slice(0, 10)),
    ["2020-01-01", "2020-01-02", "2020-01-03"]);
});

test("two measures without a name are no chart of one by the other", () => {
  assert.equal(chartFor(table({ averageRating: "double", numVotes: "int" }, [[9.1, 5], [8.7, 9], [8.2, 1]])), null);
});

test("measures of another size are not put on the same axis", () => {
  const rows = [[2000, 6.1, 90_000], [2001, 6.2, 80_000], [2002, 6.3, 70_000]];
  const chart = chartFor(table({ startYear: "int", rating: "double", votes: "bigint" }, rows));
  assert.deepEqual(chart.series.map((one) => one.name), ["rating"]);
});

test("titles in the order of their rating are a ranking, though they have years", () => {
  const rows = [["Night", 2020, 9.1, 12], ["Glass", 2020, 8.8, 40], ["Ash", 2020, 8.8, 7]];
  const columns = { primaryTitle: "string", startYear: "int", averageRating: "double", numVotes: "int" };
  const chart = chartFor(table(columns, rows, { truncated: true }));
  assert.equal(chart.kind, "ranking");
  assert.deepEqual(chart.labels, ["Night", "Glass", "Ash"]);
  assert.deepEqual(chart.series, [{ name: "averageRating", values: [9.1, 8.8, 8.8] }]);
});

test("titles of several years in the order of their votes are a ranking and no line", () => {
  const rows = [["A", 1999, 9], ["B", 2005, 8], ["C", 2001, 7], ["D", 2001, 6]];
  const chart = chartFor(table({ primaryTitle: "string", startYear: "int", votes: "int" }, rows));
  assert.equal(chart.kind, "ranking");
});

test("identifiers and long lists without an order make no ranking", () => {
  assert.equal(chartFor(table({ tconst: "string", votes: "int" }, [["tt1", 3], ["tt2", 2]])), null);
  const rows = [["A", 1, 5], ["B", 9, 1], ["A", 4, 7]];
  assert.equal(chartFor(table({ title: "string", x: "int", y: "int" }, rows)), null);
});

test("a count of each bucket of a number is bars", () => {
  const chart = chartFor(table({ bucket: "int", titles: "bigint" }, [[1, 4], [2, 11], [3, 6]]));
  assert.equal(chart.kind, "bars");
  assert.deepEqual(chart.labels, ["1", "2", "3"]);
});

test("a count of each of a few kinds is bars beside their names", () => {
  const chart = chartFor(table({ titleType: "string", titles: "bigint" }, [["movie", 4], ["short", 11], ["episode", 6]]));
  assert.equal(chart.kind, "ranking");
  assert.deepEqual(chart.series[0].values, [4, 11, 6]);
});

test("what is cut off is no distribution and no series: the rest would be missed", () => {
  assert.equal(chartFor(table({ bucket: "int", titles: "bigint" }, [[1, 4], [2, 11]], { truncated: true })), null);
  const rows = [[2000, 1], [2001, 2], [2002, 1]];
  assert.equal(chartFor(table({ startYear: "int", titles: "bigint" }, rows, { truncated: true })), null);
});

test("nothing to see is no chart", () => {
  assert.equal(chartFor(table({ n: "bigint" }, [[300]])), null);
  assert.equal(chartFor(table({ title: "string" }, [["A"], ["B"]])), null);
  assert.equal(chartFor(table({ title: "string", votes: "int" }, [["A", 5], ["B", 5]])), null);
  assert.equal(chartFor(table({ title: "string", votes: "int" }, [["A", null], ["B", null]])), null);
  assert.equal(chartFor(table({}, [])), null);
});

test("a rank is no measure, whatever it is called", () => {
  const rows = [[1, "Night", 90], [2, "Glass", 80], [3, "Ash", 70]];
  for (const name of ["rank", "place", "row_number", "n"]) {
    const chart = chartFor(table({ [name]: "int", primaryTitle: "string", numVotes: "int" }, rows));
    assert.deepEqual(chart.series, [{ name: "numVotes", values: [90, 80, 70] }]);
  }
  assert.equal(chartFor(table({ rank: "int", primaryTitle: "string" }, rows.map((row) => row.slice(0, 2)))), null);
});

test("bars have a label each that no other has, made of as many texts as it takes", () => {
  const pairs = [["Griffith", "Gish", 9], ["Griffith", "Marsh", 7], ["Griffith", "Sweet", 5]];
  const chart = chartFor(table({ director: "string", actor: "string", films: "bigint" }, [...pairs, ["Ford", "Gish", 4]]));
  assert.equal(chart.labels[0], "Griffith · Gish");
  const films = [["movie", "Night", 9.1], ["movie", "Glass", 8.8], ["movie", "Ash", 8.1]];
  const ranked = chartFor(table({ titleType: "string", primaryTitle: "string", averageRating: "double" }, films));
  assert.deepEqual(ranked.labels, ["Night", "Glass", "Ash"]);
  assert.equal(chartFor(table({ name: "string", votes: "int" }, [["A", 3], ["A", 2], ["B", 1]])), null);
});

test("films that have nothing to do with each other are not joined by a line", () => {
  const rows = [["tt1", 1994, 9.3], ["tt2", 1972, 9.2], ["tt3", 2008, 9.0], ["tt4", 1957, 9.0], ["tt5", 2003, 9.0]];
  assert.equal(chartFor(table({ tconst: "string", startYear: "int", averageRating: "double" }, rows)), null);
});

test("years are no measure, though their column has another name", () => {
  const rows = [["Ann", 1957, 12], ["Bo", 1990, 9], ["Cy", 2003, 7]];
  const chart = chartFor(table({ primaryName: "string", first: "int", films: "bigint" }, rows));
  assert.equal(chart.series[0].name, "films");
  assert.equal(chartFor(table({ primaryName: "string", first: "int" }, rows.map((row) => row.slice(0, 2)))), null);
});

test("people choose among the kinds and measures that have a chart", () => {
  const rows = [..."abcdefghij"].map((name, at) => [name, 10 - at, at * at]);
  const choices = choicesFor(table({ name: "string", votes: "int", films: "int" }, rows));
  assert.deepEqual(choices.kinds, ["bar", "scatter", "histogram"]);
  assert.deepEqual(choices.measures, ["votes", "films"]);
  assert.deepEqual(choices.draw("bar", "films").series[0].values, rows.map((row) => row[2]));
  const scatter = choices.draw("scatter", "films");
  assert.deepEqual([scatter.x, scatter.labels[0], scatter.series[0].values[0]], ["votes", 10, 0]);
  const histogram = choices.draw("histogram", "votes");
  assert.equal(histogram.series[0].values.reduce((one, other) => one + other), 10);
});
