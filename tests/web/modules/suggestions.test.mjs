import assert from "node:assert/strict";
import test from "node:test";

import { findSuggestions, MOST_OPTIONS, tablesNamed } from "../../../imdb_lakehouse/web/static/js/suggestions.js";

const COLUMNS = {
  movies: ["tconst", "primaryTitle", "numVotes", "order"],
  "my films.2024": ["Länge in m"],
  people: ["nconst", "primaryName"],
};
const lake = {
  tables: Object.keys(COLUMNS).map((name) => ({ name, kind: "table" })),
  functions: ["count", "count_if", "concat"],
  columnsOf: (name) => COLUMNS[name]?.map((column) => ({ name: column, type: "string" })) ?? null,
};

/** What is offered at the bar of a statement. */
function offered(marked) {
  const caret = marked.indexOf("|");
  return findSuggestions(marked.replace("|", ""), caret, lake);
}
const inserts = (marked) => offered(marked)?.options.map((one) => one.insert) ?? [];

test("behind FROM, JOIN and a comma between tables, tables are offered", () => {
  for (const sql of ["SELECT * FROM mo|", "SELECT * FROM people p JOIN mo|", "SELECT * FROM people AS p, mo|", "SELECT * FROM (SELECT 1) s, mo|"]) {
    assert.deepEqual(inserts(sql), ["movies"], sql);
  }
  assert.deepEqual(inserts("SELECT * FROM |"), ["movies", "`my films.2024`", "people"]);
});

test("columns are those of the tables that the statement names, before or behind the caret", () => {
  assert.deepEqual(inserts("SELECT pri| FROM movies"), ["primaryTitle"]);
  assert.deepEqual(inserts("SELECT pri| FROM movies, people"), ["primaryTitle", "primaryName"]);
  assert.deepEqual(inserts("SELECT pri| FROM nothing"), []);
  assert.equal(inserts("SELECT a FROM people WHERE tco|").length, 0);
});

test("behind a full stop come the columns of that table or alias alone", () => {
  assert.deepEqual(inserts("SELECT m.| FROM movies m JOIN people AS p"), ["tconst", "primaryTitle", "numVotes", "`order`"]);
  assert.deepEqual(inserts("SELECT P.pri| FROM movies m JOIN people AS p"), ["primaryName"]);
  assert.deepEqual(inserts("SELECT `my films.2024`.| FROM `my films.2024`"), ["`Länge in m`"]);
  assert.deepEqual(inserts("SELECT movies.| FROM movies m"), [], "the alias hides the name");
  assert.deepEqual(inserts("SELECT x.| FROM movies m"), []);
  assert.deepEqual(inserts("SELECT m.tconst.| FROM movies m"), []);
});

test("names of WITH are tables, and nothing is known of their columns", () => {
  assert.deepEqual(inserts("WITH best AS (SELECT 1) SELECT * FROM be|"), ["best"]);
});

test("a part of a name finds it, behind those that begin so", () => {
  assert.deepEqual(inserts("SELECT vot| FROM movies"), ["numVotes"]);
  assert.deepEqual(inserts("SELECT * FROM 202|"), [], "a number is no name");
});

test("keywords and functions are written as they were begun, and names in back-quotes where they need them", () => {
  assert.deepEqual(inserts("sel|"), ["select"]);
  assert.deepEqual(inserts("SEL|"), ["SELECT"]);
  assert.deepEqual(inserts("SELECT COUN|"), ["COUNT(", "COUNT_IF("]);
  assert.deepEqual(inserts("SELECT coun|("), ["count", "count_if"]);
  assert.deepEqual(inserts("SELECT ord| FROM movies"), ["`order`", "order"]);
});

test("within back-quotes names alone are offered, and the closing one is written once", () => {
  assert.deepEqual(inserts("SELECT * FROM `my f|"), ["`my films.2024`"]);
  assert.deepEqual(inserts("SELECT `pri|` FROM movies"), ["`primaryTitle`"]);
  const found = offered("SELECT * FROM `my|`");
  assert.deepEqual([found.from, found.to], [14, 18]);
});

test("within texts, comments and numbers nothing is offered", () => {
  for (const sql of ["SELECT 'mo|'", "SELECT 'it''s mo|", "-- mo|", "/* mo|", 'SELECT "mo|', "SELECT 12|"]) {
    assert.equal(offered(sql), null, sql);
  }
  assert.notEqual(offered("SELECT 'x' /* y */ fr|"), null);
});

test("what is written whole already is not offered", () => {
  assert.equal(offered("SELECT * FROM movies|"), null);
});

test("tables that a statement names are found, each once, whatever surrounds them", () => {
  assert.deepEqual(
    tablesNamed("SELECT (SELECT max(x) FROM MOVIES) FROM default.movies m, `my films.2024` WHERE a IN (SELECT 1 FROM people)", lake),
    ["movies", "my films.2024", "people"],
  );
});

test("a long statement and a large lake take little time, and give a bounded list", () => {
  const many = {
    tables: Array.from({ length: 1000 }, (_, i) => ({ name: `many_${i}`, kind: "table" })),
    functions: lake.functions,
    columnsOf: () => Array.from({ length: 500 }, (_, i) => ({ name: `many_column_${i}`, type: "int" })),
  };
  const sql = `SELECT ${"a, ".repeat(9_000)} ma FROM many_1, many_2, many_3`;
  const began = process.cpuUsage();
  assert.equal(findSuggestions(sql, sql.indexOf(" FROM"), many).options.length, MOST_OPTIONS);
  assert.ok(process.cpuUsage(began).user < 1_000_000);
});
