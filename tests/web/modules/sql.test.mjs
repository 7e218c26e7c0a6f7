import assert from "node:assert/strict";
import test from "node:test";

import { pieces } from "../../../imdb_lakehouse/web/static/js/sql.js";

const kinds = (sql) => pieces(sql).filter((one) => one.kind !== "space").map((one) => `${one.kind}:${one.text}`);

test("keywords, functions, names, numbers and texts are told apart", () => {
  assert.deepEqual(kinds("select COUNT(*) AS n, 1.5e3 FROM `my table` WHERE t = 'it''s' -- done"), [
    "keyword:select", "function:COUNT", "operator:(", "operator:*", "operator:)", "keyword:AS", "name:n", "operator:,",
    "number:1.5e3", "keyword:FROM", "name:`my table`", "keyword:WHERE", "name:t", "operator:=", "string:'it''s'",
    "comment:-- done",
  ]);
});

test("what looks like SQL within a text or a comment is part of it", () => {
  assert.deepEqual(kinds("'SELECT \\' x' /* FROM 'y' */"), ["string:'SELECT \\' x'", "comment:/* FROM 'y' */"]);
});

test("the pieces joined are the statement, whatever it is", () => {
  const odd = ["", "SELECT 'open", "/* open", "`open", "\u0000\ud800x", "SELECT 静か FROM 😀", "a|>b <=> c", "1..2", "\\", "<img src=x>"];
  for (const sql of odd) assert.equal(pieces(sql).map((one) => one.text).join(""), sql);
});

test("a long text takes time in proportion to its length", () => {
  const began = process.cpuUsage();
  for (const part of ["'", "'a\"", "/*", "`", "1.", "'\\"]) {
    const sql = `${part.repeat(40_000)}\\`;
    assert.equal(pieces(sql).map((piece) => piece.text).join(""), sql);
  }
  assert.ok(process.cpuUsage(began).user < 2_500_000, "quadratic time would be minutes");
});
