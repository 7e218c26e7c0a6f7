import assert from "node:assert/strict";
import test from "node:test";

import { nextOrder, sortRows } from "../../../imdb_lakehouse/web/static/js/sort.js";

const column = (type, ...cells) => ({ columns: [{ name: "c", type }], rows: cells.map((cell) => [cell]) });
const order = (table, descending = false) => sortRows(table, 0, descending).map(([cell]) => cell);

test("nulls come last in either direction", () => {
  assert.deepEqual(order(column("int", 2, null, 10, 1)), [1, 2, 10, null]);
  assert.deepEqual(order(column("int", 2, null, 10, 1), true), [10, 2, 1, null]);
});

test("numbers that came as texts are numbers, to the last digit", () => {
  const cells = ["9007199254740993", "9007199254740992", "10"];
  assert.deepEqual(order(column("bigint", ...cells)), ["10", "9007199254740992", "9007199254740993"]);
  assert.deepEqual(order(column("decimal(9,2)", "10.5", "9.75", "-1.00")), ["-1.00", "9.75", "10.5"]);
  const close = ["12345678901234567890.02", "12345678901234567890.01", "-0.5"];
  assert.deepEqual(order(column("decimal(30,2)", ...close)), ["-0.5", "12345678901234567890.01", "12345678901234567890.02"]);
});

test("what is no number comes after those that are", () => {
  assert.deepEqual(order(column("double", "NaN", 2, -1)), [-1, 2, "NaN"]);
});

test("texts are in the order of a dictionary, with numbers in them by their size", () => {
  assert.deepEqual(order(column("string", "Film 10", "film 9", "Éclair", "Zoo")), ["Éclair", "film 9", "Film 10", "Zoo"]);
});

test("equal rows stay as they were, and the table is left alone", () => {
  const table = { columns: [{ name: "a", type: "int" }], rows: [[1, "x"], [0, "y"], [1, "z"]] };
  assert.deepEqual(sortRows(table, 0, true), [[1, "x"], [1, "z"], [0, "y"]]);
  assert.deepEqual(table.rows[1], [0, "y"]);
});

test("a heading that is chosen ascends, and descends when it is chosen again", () => {
  const first = nextOrder(null, 1);
  assert.deepEqual(first, { index: 1, descending: false });
  assert.deepEqual(nextOrder(first, 1), { index: 1, descending: true });
  assert.deepEqual(nextOrder(nextOrder(first, 1), 1), { index: 1, descending: false });
  assert.deepEqual(nextOrder({ index: 1, descending: false }, 0), { index: 0, descending: false });
});
