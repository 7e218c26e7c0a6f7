import assert from "node:assert/strict";
import test from "node:test";

import { dollars, formatCount, formatterOf, seconds } from "../../../imdb_lakehouse/web/static/js/format.js";

const written = (name, type, ...cells) => cells.map(formatterOf({ name, type }, cells));

test("the numbers of a column have as many decimals as the longest, so that they align", () => {
  assert.deepEqual(written("rating", "double", 9, 8.75, null), ["9.00", "8.75", "null"]);
  assert.deepEqual(written("votes", "bigint", 1234567, 8), ["1,234,567", "8"]);
});

test("years and identifiers are not counted, and so have no commas", () => {
  assert.deepEqual(written("startYear", "int", 1999), ["1999"]);
  assert.deepEqual(written("decade", "bigint", 1990), ["1990"]);
  assert.deepEqual(written("person_id", "bigint", 1234567), ["1234567"]);
  assert.deepEqual(written("first", "int", 1999, 2001), ["1999", "2001"]);
});

test("of a number that came as a text every digit is shown", () => {
  assert.deepEqual(written("n", "bigint", "9007199254740993"), ["9,007,199,254,740,993"]);
  assert.deepEqual(written("n", "double", "NaN", 1e-9), ["NaN", "1e-9"]);
});

test("lists are read as such, what else is nested is JSON, and a text is itself", () => {
  assert.deepEqual(written("genres", "array<string>", ["a", "b"], []), ["a, b", ""]);
  assert.deepEqual(written("cast", "array<struct>", [{ a: null }], { b: [1] }), ['[{"a":null}]', '{"b":[1]}']);
  assert.deepEqual(written("title", "string", "12", true), ["12", "true"]);
});

test("costs are exact where they are small", () => {
  assert.deepEqual([0, 0.00028, 0.0123, 0.5, 12.345, 1e-9].map(dollars),
    ["$0", "$0.00028", "$0.012", "$0.500", "$12.35", "less than $0.000001"]);
});

test("times and counts are written as one says them", () => {
  assert.deepEqual([0.123, 2, 3.21, 42.4, 125].map(seconds), ["0.12 s", "2 s", "3.2 s", "42 s", "2 min 5 s"]);
  assert.deepEqual([59.7, 119.6].map(seconds), ["1 min 0 s", "2 min 0 s"]);
  assert.deepEqual([formatCount(1, "row"), formatCount(1200, "row")], ["1 row", "1,200 rows"]);
});
