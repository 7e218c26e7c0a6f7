import assert from "node:assert/strict";
import test from "node:test";

import { csv } from "../../../imdb_lakehouse/web/static/js/csv.js";

const TEXT = { name: "title", type: "string" };
const NUMBER = { name: "n", type: "decimal(9,2)" };

test("commas, quotes and line breaks are quoted, and lines end as RFC 4180 has it", () => {
  assert.equal(csv([TEXT, NUMBER], [['Say "no", twice', 1], ["two\nlines", 2]]),
    'title,n\r\n"Say ""no"", twice",1\r\n"two\nlines",2\r\n');
});

test("a text that a spreadsheet would take for a formula is marked as a text", () => {
  for (const text of ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "＝1", "\0=1", "\ufeff=1", "\u200b=1", '=HYPERLINK("http://x")']) {
    const line = csv([TEXT], [[text]]).split("\r\n").slice(1, -1).join("\r\n");
    assert.match(line, /^"?'/, text);
  }
  assert.match(csv([{ name: "=cmd", type: "int" }], []), /^'=cmd/);
});

test("negative numbers stay numbers, also where they come as texts", () => {
  assert.equal(csv([NUMBER], [[-1], ["-12.50"], ["-1+cmd"]]), "n\r\n-1\r\n-12.50\r\n'-1+cmd\r\n");
});

test("nothing is an empty cell, and what is nested is JSON", () => {
  assert.equal(csv([TEXT, TEXT], [[null, ["a", "b"]]]), 'title,title\r\n,"[""a"",""b""]"\r\n');
});
