import assert from "node:assert/strict";
import test from "node:test";

import { describeSize, readAnswer } from "../../../imdb_lakehouse/web/result_view/answer.js";
import { addRows } from "../../../imdb_lakehouse/web/result_view/more_rows.js";

const columns = [{ name: "n", type: "int" }];
const rowsFrom = (first, count) => Array.from({ length: count }, (_, at) => [first + at]);
const answered = (rows, total, more = {}) => ({
  content: [{ type: "text", text: "as text" }],
  structuredContent: {
    status: "done", columns, rows, total_rows: total, truncated: rows.length !== total, query_id: "q1", warnings: [], ...more,
  },
});

/** A server that answers with these results one after another, and what it was asked. */
function scripted(...results) {
  const asked = [];
  const call = async (tool, args) => {
    asked.push([tool, args]);
    return results.shift();
  };
  return { asked, call };
}

test("rows that are kept are added until all are there", async () => {
  const answer = readAnswer(answered(rowsFrom(0, 2), 5));
  const { asked, call } = scripted(answered(rowsFrom(2, 2), 5), answered(rowsFrom(4, 1), 5, { truncated: false }));
  assert.equal(await addRows(answer, call), null);
  assert.equal(describeSize(answer), "4 of 5 rows; the model has 2");
  assert.equal(await addRows(answer, call), null);
  assert.equal(describeSize(answer), "5 rows; the model has 2");
  assert.deepEqual(answer.table.rows, rowsFrom(0, 5));
  assert.equal(answer.table.truncated, false);
  assert.deepEqual(asked.map(([tool, args]) => [tool, args.offset]), [["read_kept_rows", 2], ["read_kept_rows", 4]]);
});

test("where no more are kept it is said", async () => {
  const answer = readAnswer(answered(rowsFrom(0, 2), null));
  assert.match(await addRows(answer, scripted(answered([], null)).call), /^The server keeps 2 rows of this answer/);
  assert.equal(describeSize(answer), "The first 2 rows; there are more");
});

test("a server that has forgotten them is quoted", async () => {
  const answer = readAnswer(answered(rowsFrom(0, 2), 5));
  const gone = { isError: true, content: [{ type: "text", text: "No rows are kept." }] };
  await assert.rejects(addRows(answer, scripted(gone).call), /No rows are kept/);
  assert.deepEqual(answer.table.rows, rowsFrom(0, 2));
});

test("what AI functions cost stands beside the rows", () => {
  const paid = answered([], 0, { elapsed_ms: 1500, engine: "embedded", ai: { calls: 2, cost_usd: 0.01 } });
  assert.deepEqual(readAnswer(paid).facts, ["1.5 s", "embedded", "2 model calls, $0.010"]);
});
